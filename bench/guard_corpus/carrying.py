"""Texts that carry a value: prose in six languages, code, logs and configuration."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from guard_corpus import making

SENTENCES: tuple[tuple[str, str], ...] = (
    ("en", "The delivery was confirmed on 12 March; the reference that was agreed is {}. Nothing else was changed."),
    ("en", "Please use {} until the end of the week, then tell operations that it can go."),
    ("pt", "Segue o valor combinado ontem: {}. Qualquer dúvida, responda a esta mensagem até sexta-feira."),
    ("pt", "O contrato foi assinado em São Paulo e o dado informado pelo cliente foi {}, conforme o anexo."),
    ("es", "El dato que nos enviaron es {} y se usará a partir del lunes, según lo acordado en la reunión."),
    ("de", "Für die Prüfung wurde {} angegeben; die übrigen Unterlagen liegen der Geschäftsstelle vor."),
    ("zh", "请在周五之前使用 {} 完成测试，之后由运维人员负责更换，谢谢。"),  # noqa: RUF001
    ("ja", "来週の会議までに {} を使って確認してください。結果は担当者に報告をお願いします。"),
    (
        "code",
        'def connect(retries: int = 3) -> Client:\n    client = Client("{}", retries=retries)\n    return client\n',
    ),
    ("code", "const client = new Client({{ value: '{}', region: 'eu-west-1' }});\n"),
    ("log", "2026-03-14T09:26:53.589Z INFO  worker-7 request accepted value={} status=200 duration_ms=31\n"),
    ("log", '10.0.3.7 - - [14/Mar/2026:09:26:53 +0000] "GET /v1/items?value={} HTTP/1.1" 200 512 "-" "curl/8.5"\n'),
    ("config", "[service]\nname = billing\nvalue = {}\ntimeout_s = 30\n"),
    ("config", "services:\n  billing:\n    value: {}\n    replicas: 3\n"),
    ("config", '{{"name": "billing", "value": "{}", "replicas": 3}}\n'),
    ("table", "id,name,value,amount\n17,Northwind,{},120.50\n18,Contoso,,33.00\n"),
)


@dataclass(frozen=True)
class Sample:
    """A text with a value in it.

    Attributes:
        kind: What the value is.
        language: What the text around it is.
        text: The text.
        value: The value that must not leave.
    """

    kind: str
    language: str
    text: str
    value: str


def samples(kinds: dict[str, making.Make], seed: int, each: int) -> Iterator[Sample]:
    """Yields samples of every kind in carriers of all sorts. Even seeds are for tuning, odd ones are held out."""
    rng = random.Random(seed)
    for kind, make in kinds.items():
        for number in range(each):
            language, carrier = SENTENCES[(number + rng.randrange(len(SENTENCES))) % len(SENTENCES)]
            value = make(rng)
            yield Sample(kind, language, carrier.format(value), value)


def assigned(seed: int, each: int) -> Iterator[Sample]:
    """Yields samples of passwords that are known by what stands before them."""
    rng = random.Random(seed)
    for form in making.ASSIGNED:
        for _ in range(each):
            value = making.password(rng)
            yield Sample(
                "password",
                "assigned",
                form.replace("{{", "\0").replace("}}", "\1").replace("{}", value).replace("\0", "{").replace("\1", "}"),
                value,
            )
