"""What is a secret or personal data, and what only looks like it."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.guard import Guard
from rlmbox.guard.findings import Finding, without_overlaps
from rlmbox.guard.rarity import is_rare

GUARD = Guard()


def hidden(text: str) -> list[tuple[str, str]]:
    return [(f.kind, text[f.start : f.end]) for f in GUARD.findings(text) if f.effect == "hidden"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DB_PASSWORD=hunter2x", "hunter2x"),
        ('"password": "Tr0ub4dor&3"', "Tr0ub4dor&3"),
        ("senha: abacaxi99", "abacaxi99"),
        ("A senha é abacaxi99.", "abacaxi99"),
        ("contraseña = 'verano2026!'", "verano2026!"),
        ("La contraseña es Verano2026", "Verano2026"),
        ("Das Passwort ist Sonne!47", "Sonne!47"),
        ("Kennwort: Sonne!47", "Sonne!47"),
        ("密码：hunter2x", "hunter2x"),  # noqa: RUF001
        ("密码是hunter2x。", "hunter2x"),
        ("パスワード：sakura77", "sakura77"),  # noqa: RUF001
        ("mot de passe : kaffee#12", "kaffee#12"),
        ("пароль: zima2026", "zima2026"),
        ("비밀번호: hangul99", "hangul99"),
        ("<password>winter42</password>", "winter42"),
        ("Server=db;Uid=app;Pwd=s3cr3t!;", "s3cr3t!"),
        ("mysql --password=S3cr3t! app", "S3cr3t!"),
        ("curl -u admin:S3cr3t9 https://intranet", "S3cr3t9"),
        ("postgresql://app:p4ss.word@db:5432/x", "p4ss.word"),
        ("redis://:onlypass9@cache:6379", "onlypass9"),
        ("machine ftp.example login ana password quux77", "quux77"),
        ("docker login -u bob -p quux77 hub", "quux77"),
        ("mysqldump -u root -pquux77 db", "quux77"),
        ("sshpass -p quux77 ssh root@db", "quux77"),
        ("openssl rsa -in key.pem -passin pass:quux77", "quux77"),
        ('<add key="Password" value="quux77" />', "quux77"),
        ('{"name": "DB_PASSWORD", "value": "quux77"}', "quux77"),
        ("- name: DB_PASSWORD\n  value: quux77", "quux77"),
        ("A senha do wifi é abacaxi99.", "abacaxi99"),
        ("the password for the new router: quux77", "quux77"),
        ("Her password was quux77.", "quux77"),
        ("パスワードはsakura77です", "sakura77"),
        ("CREATE USER app IDENTIFIED BY 'quux77'", "quux77"),
        ("api_key: 7f3k9x2m5q8w1z4v", "7f3k9x2m5q8w1z4v"),
        ("client-secret = 'aB3dE6gH9jK2'", "aB3dE6gH9jK2"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("Authorization: Basic YWRtaW46aHVudGVyMg==", "YWRtaW46aHVudGVyMg=="),
        ("Authorization: Bearer 7f3k9x2m5q8w1z4v7f3k9x2m", "7f3k9x2m5q8w1z4v7f3k9x2m"),
        ("otpauth://totp/Example:ana?secret=JBSWY3DPEHPK3PXP&issuer=Example", "JBSWY3DPEHPK3PXP"),
    ],
)
def test_what_is_assigned_to_a_secret_name_is_hidden_and_nothing_more(text: str, value: str) -> None:
    assert [found for _, found in hidden(text)] == [value]


def test_what_stands_in_a_column_of_passwords_or_keys_is_hidden() -> None:
    assert hidden("user,password,city\nana,hunter2x,Lima\nbob,Winter!9x,Rome\n\nx,abc12345,y\n") == [
        ("password", "hunter2x"),
        ("password", "Winter!9x"),
    ]
    assert hidden('"id";"Senha"\n"1";"abacaxi99"\n"2";""\n') == [("password", "abacaxi99")]
    table = "| name | API key |\n|------|---------|\n| a | `7f3k9x2m5q8w1z4v` |\n| b | none |\n"
    assert hidden(table) == [("secret", "7f3k9x2m5q8w1z4v")]
    assert hidden("token | rule\n--- | ---\nnumber_literal | [0-9]+\nstring2 | a\n") == []
    assert hidden("ocsp,\npasswd,\npkcs12,\npkcs7,\n") == []
    assert hidden("The password, the name and the city\nare asked for, in that order, by form12\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "password = self._password",
        "password: str = field(repr=False)",
        "password = getpass.getpass('Password: ')",
        "token = next(tokens)",
        "if password == None: return",
        'parser.add_argument("--password", help="the password")',
        "PASSWORD = os.environ['DB_PASSWORD']",
        "password: ${DB_PASSWORD}",
        "password = <your password>",
        "password: ********",
        "The password is required and must have eight characters.",
        "A senha é obrigatória.",
        "La contraseña es obligatoria.",
        "パスワードは必要です。",
        "secret_name: projects/my-project/secrets/db/versions/2",
        "token_type: Bearer",
        "PASS: binutils-all/pr20130b\nPASS: test_1",
        "the password hash is sha512",
        "docker run -p 8080:80 -u root app",
        "the password for the user is needed",
        "export TOKEN=$(cat token.txt)",
        "https://example.com:8443/path@2x",
        "git@github.com:org/repo.git",
        "icon@2x.png",
        "key: 42",
        "api_key=YOUR_API_KEY",
        "sk-learn-pipeline-and-some-more-words-in-a-name",
    ],
)
def test_code_and_prose_about_secrets_are_left_alone(text: str) -> None:
    assert hidden(text) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "ana.souza+x@sub.empresa.com.br"),
        ("cpf", "529.982.247-25"),
        ("cpf", "52998224725"),
        ("cnpj", "11.222.333/0001-81"),
        ("cnpj", "12.ABC.345/01DE-35"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB29NWBK60161331926819"),
        ("card", "4111 1111 1111 1111"),
        ("card", "3782-822463-10005"),
        ("card", "5555555555554444"),
        ("phone", "+55 11 91234-5678"),
        ("phone", "(11) 91234-5678"),
        ("phone", "+49 151 23456789"),
        ("phone", "+1 415-555-2671"),
        ("phone", "138 1234 5678"),
        ("phone", "090-1234-5678"),
    ],
)
def test_personal_data_is_hidden_in_a_sentence_a_table_and_json(kind: str, value: str) -> None:
    for text in (f"It is {value}.", f"7,{value},x", f'{{"v": "{value}"}}', f"値は{value}です"):
        assert hidden(text) == [(kind, value)]
    if kind in ("cpf", "cnpj", "iban", "card"):
        assert hidden(f"see _{value}_") == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "529.982.247-26",
        "11.222.333/0001-82",
        "GB28NWBK60161331926819",
        "4111 1111 1111 1112",
        "9111111111111111",
        "2026-03-14 09:26:53, 14/03/2026, 2026.03.14",
        "3.14159265358979323846 and 0.4111111111111111",
        "1,234,567,890 bytes, 12345678 rows, id 20260314092653",
        "192.168.100.200:8080, version 10.15.7.2",
        "[1234, 5678, 9012, 3456]",
        "column_52998224725",
    ],
)
def test_numbers_of_other_kinds_stay(text: str) -> None:
    assert hidden(text) == []


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("q7Rk2mVx9Lt4Zw8Np3Yb6Hc1", True),
        ("XvLExgZZqFqEVseXXUtHfQwA", True),
        ("test_where_nothing_is_found_a_text_is_unchanged", False),
        ("AbstractSingletonProxyFactoryBean2", False),
        ("MAX_RETRIES_BEFORE_GIVING_UP_2", False),
        ("x86_64-pc-linux-gnu-gcc-12", False),
    ],
)
def test_random_tokens_are_told_from_names(token: str, expected: bool) -> None:
    assert is_rare(token) is expected


@pytest.mark.parametrize(
    "text",
    [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0mL7qzv8kq3hM5Qx2tV9Yb6Hc1Jd5Fs0Gu2AieXw ana@host",
        '"integrity": "sha512-q7Rk2mVx9Lt4Zw8Np3Yb6Hc1Jd5Fs0Gu2AieXwq7Rk2mVx9Lt4Zw8Np3Yb6Hc1Jd5Fs0Gu2Aieaa=="',
        "commit 8ced2f59f5c7bea3344e35d2d53e1f8f8e123456",
        "123e4567-e89b-12d3-a456-426614174000",
        "01HASFKBN8SKZTSVVS03K5AMMS",
        "docker.io (20.10.24+dfsg1-1+deb12u1+b6)",
        "/FontName /XDVKOU+NimbusRomNo9L-Regu def",
        "https://github.com/advisories/GHSA-vqfr-h8mv-ghfj",
        "mantissa 1XXXXXXXXXXXXXXXXXXXXXXX",
    ],
)
def test_what_is_random_and_public_stays(text: str) -> None:
    assert [kind for kind, _ in hidden(text) if kind != "email"] == []


@settings(max_examples=examples(300), deadline=None)
@given(st.text())
def test_no_text_makes_a_detector_fail_and_findings_lie_within_it(text: str) -> None:
    end = 0
    for found in GUARD.findings(text):
        assert end <= found.start < found.end <= len(text)
        end = found.end


RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(["hidden", "warned"])), max_size=12)


@given(RANGES)
def test_what_any_detector_hides_stays_hidden_where_findings_overlap(ranges: list[tuple[int, int, str]]) -> None:
    found = [Finding(f"k{n}", at, at + size, effect) for n, (at, size, effect) in enumerate(ranges)]  # type: ignore[arg-type]
    merged = without_overlaps(found)
    assert all(first.end <= second.start for first, second in pairwise(merged))
    covered = {at for f in merged if f.effect == "hidden" for at in range(f.start, f.end)}
    assert covered >= {at for f in found if f.effect == "hidden" for at in range(f.start, f.end)}


@pytest.mark.parametrize(
    "piece",
    [
        "password=",
        "a@b.co ",
        "eyJ.",
        "-----BEGIN PRIVATE KEY-----\nabc\n",
        "A",
        "hf_",
        ":AA",
        "\u200b",
        "\u0430",
        "\u0430b",
    ],
)
def test_a_text_made_to_be_slow_is_looked_through(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    assert all(0 <= found.start < found.end <= len(text) for found in GUARD.findings(text))
