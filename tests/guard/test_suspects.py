"""Many short texts are looked through together, and a secret in one of them is found as if it stood alone."""

import random
from collections.abc import Iterator

import pytest

from guard.sampling import sample
from rlmbox.events import RunStarted
from rlmbox.guard import Guard, Policy
from rlmbox.guard.findings import Finding
from rlmbox.guard.formats import FORMATS
from rlmbox.record.hiding import HiddenValues

CARRIERS = ("{}", "the value is {}", '"value": "{}",', "{} was agreed.")
OTHERS = (
    "DB_PASSWORD=hunter2x",
    "A senha é abacaxi99.",
    "密码是hunter2x。",
    "curl -u admin:S3cr3t9 https://intranet",
    "Authorization: Basic YWRtaW46aHVudGVyMg==",
    "ann@example.org",
    "+49 30 901820 55",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "JGYt4LAZRrTkAmqU8joAeovswb5JG5PPrE1P3F+Lyw1gKcoA1PFYrMTj6VoadcZ5",
    "UwwICQ14Cgsqri8HR3k8Q6YaT5VmdpoXDKTxtlDHNqTpEo7TfBlSciH91s35qXFp",
    "-----BEGIN PRIVATE KEY-----",
    "name: DB_PASSWORD\n  value: quux77",
)


@pytest.mark.parametrize("policy", ["redact", "strict"])
def test_every_text_with_a_secret_is_a_suspect_among_many_without(policy: Policy) -> None:
    draw = random.Random(7)
    texts = {f"customer {n}" for n in range(1_500)} | {str(draw.randrange(10 ** (n % 12 + 1))) for n in range(600)}
    texts |= {sample(each.pattern, draw) for each in FORMATS}
    texts |= {CARRIERS[n % 4].format(sample(each.pattern, draw)) for n, each in enumerate(FORMATS)} | set(OTHERS)
    mixed = sorted(texts)
    draw.shuffle(mixed)
    run = Guard(policy).for_run(known_secrets=["customer 77"])
    alone = {each for each in texts if any(found.effect == "hidden" for found in run.secrets_in(each))}
    suspects = run.suspects(mixed)
    assert alone <= suspects, sorted(alone - suspects)[:5]
    assert len(alone) > 200
    assert len(suspects) < len(texts) / 2


def test_with_a_detector_of_the_users_every_text_is_a_suspect() -> None:
    def whole(text: str) -> Iterator[Finding]:
        if text == "red":
            yield Finding("colour", 0, 3, "hidden")

    assert Guard(detectors=[whole]).for_run().suspects(["red", "blue"]) == {"red", "blue"}


def test_a_record_of_many_rows_hides_what_it_would_hide_of_each_alone() -> None:
    rows = [
        {"id": n, "mail": f"ann{n}@example.org" if n % 50 == 0 else f"row {n}", "card": 4111111111111111}
        for n in range(1_200)
    ]
    inputs = {"rows": [*rows, {"<HIDDEN: email 1>": "x"}]}
    started = RunStarted(run_id="r", session_id="s", parent_id=None, depth=0, state="INIT", version="1", inputs=inputs)
    run = Guard().for_run()
    together = HiddenValues(run.secrets_in, None, run.suspects).hide(started)
    assert together == HiddenValues(run.secrets_in).hide(started)
    assert "ann50@" not in str(together.inputs)
    assert "4111111111111111" not in str(together.inputs)
