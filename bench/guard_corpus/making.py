"""Secrets and personal data by rule: prefix, alphabet, length, checksum as issuers publish them.

Written apart from the detectors' table, so that a mistake in one is not a mistake in the other. Nothing here is
anybody's: every value comes from a seeded generator.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

from stdnum import iban as iban_number
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
BASE32 = string.ascii_uppercase + "234567"

Make = Callable[[random.Random], str]


def some(alphabet: str, length: int) -> Make:
    return lambda rng: "".join(rng.choices(alphabet, k=length))


def joined(*parts: str | Make) -> Make:
    return lambda rng: "".join(part if isinstance(part, str) else part(rng) for part in parts)


def uuid(rng: random.Random) -> str:
    digits = some(HEX, 32)(rng)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": some(string.digits, 10)(rng), "iat": rng.randrange(1_600_000_000, 1_800_000_000)}
    return f"{part({'alg': rng.choice(['HS256', 'RS256']), 'typ': 'JWT'})}.{part(claims)}.{some(URLSAFE, 43)(rng)}"


def private_key(rng: random.Random) -> str:
    name = rng.choice(
        ["RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
    )
    body = some(BASE64, rng.choice([160, 640, 1600]))(rng)
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {name}-----\n{lines}\n-----END {name}-----"


MAJOR: dict[str, Make] = {
    "openai project": joined("sk-proj-", some(URLSAFE, 74), "T3BlbkFJ", some(URLSAFE, 74)),
    "openai service account": joined("sk-svcacct-", some(URLSAFE, 58), "T3BlbkFJ", some(URLSAFE, 58)),
    "openai before 2024": joined("sk-", some(ALNUM, 20), "T3BlbkFJ", some(ALNUM, 20)),
    "anthropic": joined("sk-ant-api03-", some(URLSAFE, 93), "AA"),
    "google api": joined("AIza", some(URLSAFE, 35)),
    "google oauth secret": joined("GOCSPX-", some(URLSAFE, 28)),
    "aws key id": joined("AKIA", some(BASE32, 16)),
    "github classic": joined("ghp_", some(ALNUM, 36)),
    "github oauth": joined("gho_", some(ALNUM, 36)),
    "github server": joined("ghs_", some(ALNUM, 36)),
    "github fine-grained": joined("github_pat_", some(ALNUM, 22), "_", some(ALNUM, 59)),
    "gitlab": joined("glpat-", some(URLSAFE, 20)),
    "slack bot": joined("xoxb-", some(string.digits, 12), "-", some(string.digits, 13), "-", some(ALNUM, 24)),
    "slack user": joined("xoxp-", some(string.digits, 12), "-", some(string.digits, 12), "-", some(HEX, 32)),
    "slack webhook": joined(
        "https://hooks.slack.com/services/T", some(UPPER, 8), "/B", some(UPPER, 10), "/", some(ALNUM, 24)
    ),
    "stripe live": joined("sk_live_", some(ALNUM, 99)),
    "stripe test": joined("sk_test_", some(ALNUM, 24)),
    "stripe restricted": joined("rk_live_", some(ALNUM, 99)),
    "azure account": joined("AccountKey=", some(BASE64, 86), "=="),
    "private key": private_key,
}
"""Key formats of the major providers, and private keys: all of these have to be found."""

OTHER: dict[str, Make] = {
    "azure client": joined(some(ALNUM, 3), "8Q~", some(ALNUM + "_~.-", 33), "a"),
    "sendgrid": joined("SG.", some(URLSAFE, 22), ".", some(URLSAFE, 43)),
    "twilio": joined("SK", some(HEX, 32)),
    "npm": joined("npm_", some(ALNUM, 36)),
    "python index": joined("pypi-AgEIcHlwaS5vcmc", some(URLSAFE, 150)),
    "hugging face": joined("hf_", some(string.ascii_letters, 34)),
    "replicate": joined("r8_", some(ALNUM, 37)),
    "groq": joined("gsk_", some(ALNUM, 52)),
    "xai": joined("xai-", some(ALNUM, 80)),
    "perplexity": joined("pplx-", some(ALNUM, 48)),
    "openrouter": joined("sk-or-v1-", some(HEX, 64)),
    "digitalocean": joined("dop_v1_", some(HEX, 64)),
    "heroku": joined("HRKU-AA", some(URLSAFE, 58)),
    "shopify": joined("shpat_", some(HEX, 32)),
    "square": joined("sq0atp-", some(URLSAFE, 22)),
    "telegram": joined(some("123456789", 1), some(string.digits, 8), ":AA", some(URLSAFE, 33)),
    "discord webhook": joined("https://discord.com/api/webhooks/", some("123456789", 18), "/", some(URLSAFE, 68)),
    "mailgun": joined("key-", some(HEX, 32)),
    "mailchimp": joined(some(HEX, 32), "-us", some("123456789", 1)),
    "databricks": joined("dapi", some(HEX, 32)),
    "grafana": joined("glsa_", some(ALNUM, 32), "_", some(HEX, 8)),
    "new relic": joined("NRAK-", some(UPPER, 27)),
    "sentry": joined("sntryu_", some(HEX, 64)),
    "linear": joined("lin_api_", some(ALNUM, 40)),
    "notion": joined("ntn_", some(string.digits, 11), some(ALNUM, 35)),
    "postman": joined("PMAK-", some(HEX, 24), "-", some(HEX, 34)),
    "terraform": joined(some(ALNUM, 14), ".atlasv1.", some(ALNUM, 67)),
    "vault": joined("hvs.", some(URLSAFE, 90)),
    "docker": joined("dckr_pat_", some(URLSAFE, 27)),
    "planetscale": joined("pscale_tkn_", some(URLSAFE, 43)),
    "doppler": joined("dp.pt.", some(ALNUM, 43)),
    "tailscale": joined("tskey-auth-", some(ALNUM, 17), "-", some(ALNUM, 32)),
    "airtable": joined("pat", some(ALNUM, 14), ".", some(HEX, 64)),
    "alibaba": joined("LTAI5t", some(ALNUM, 18)),
    "brevo": joined("xkeysib-", some(HEX, 64), "-", some(ALNUM, 16)),
    "age": joined("AGE-SECRET-KEY-1", some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "bcrypt": joined("$2b$12$", some(ALNUM + "./", 53)),
    "jwt": jwt,
    "no format, 24": joined(some(ALNUM, 24)),
    "no format, 32": joined(some(ALNUM, 32)),
    "no format, 40": joined(some(URLSAFE, 40)),
    "no format, 64": joined(some(BASE64, 64)),
}


def password(rng: random.Random) -> str:
    word = rng.choice(["Sonne", "abacaxi", "dragon", "verano", "Winter", "kaffee", "tortuga", "futebol", "sakura"])
    return rng.choice(
        [
            f"{word}{rng.randrange(10, 9999)}",
            f"{word}!{rng.randrange(10, 99)}",
            some(ALNUM, 12)(rng),
            some(ALNUM, 9)(rng) + rng.choice("#$!%@") + some(LOWER, 4)(rng),
        ]
    )


ASSIGNED: tuple[str, ...] = (
    "DB_PASSWORD={}\n",
    'password: "{}"',
    "senha: {}",
    "senha = '{}'",
    "contraseña: {}",
    "La contraseña es {} y no cambia.",
    "A senha é {} desde ontem.",
    "Das Passwort ist {} (bitte ändern).",
    "Kennwort: {}",
    "密码：{}",  # noqa: RUF001
    "密码是{}",
    "パスワード：{}",  # noqa: RUF001
    "mot de passe : {}",
    '{{"user": "svc", "password": "{}"}}',
    "<password>{}</password>",
    "mysql --host db --password={} app",
    "postgresql://app:{}@db.internal:5432/app",
    "curl -u admin:{} https://intranet/api",
    "machine ftp.example login ana password {}",
    'connection = "Server=db;Uid=app;Pwd={};"',
    "export PGPASSWORD='{}'",
    "spring.datasource.password={}",
    "CREATE USER app IDENTIFIED BY '{}'",
)


def email(rng: random.Random) -> str:
    name = rng.choice(["ana", "joao.silva", "m.mueller", "li_wei", "sato", "j.garcia", "o'neill", "support+eu"])
    host = rng.choice(
        ["example.com", "empresa.com.br", "firma.de", "correo.es", "mail.co.jp", "xn--fiq228c.cn", "gov.uk"]
    )
    return f"{name}{rng.randrange(100)}@{host}"


def check_digits(base: str, weights: int) -> str:
    """Computes the two digits at the end of a CPF or CNPJ; weights count up from 2 at the right and begin again."""
    for _ in range(2):
        total = sum((ord(c) - 48) * (2 + at % weights) for at, c in enumerate(reversed(base)))
        base += str((11 - total % 11) % 11 % 10)
    return base[-2:]


def cpf(rng: random.Random) -> str:
    base = some(string.digits, 9)(rng)
    number = base + check_digits(base, 10)
    return rng.choice([number, f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"])


def cnpj(rng: random.Random) -> str:
    return rng.choice([str, written_cnpj])(cnpj_of(some(string.digits, 8)(rng) + "0001"))


def cnpj_with_letters(rng: random.Random) -> str:
    return written_cnpj(cnpj_of(some(UPPER, 8)(rng) + "0001"))


def cnpj_of(base: str) -> str:
    return base + check_digits(base, 8)


def written_cnpj(number: str) -> str:
    return f"{number[:2]}.{number[2:5]}.{number[5:8]}/{number[8:12]}-{number[12:]}"


def iban(rng: random.Random) -> str:
    country, bank = rng.choice(
        [
            ("DE", some(string.digits, 18)),
            ("GB", joined(some(string.ascii_uppercase, 4), some(string.digits, 14))),
            ("NL", joined(some(string.ascii_uppercase, 4), some(string.digits, 10))),
            ("CH", some(string.digits, 17)),
        ]
    )
    account = bank(rng)
    check = mod_97_10.calc_check_digits(account + country)
    number = f"{country}{check}{account}"
    return rng.choice([number, str(iban_number.format(number))])


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3530", 16)]
    )
    base = prefix + some(string.digits, length - 1 - len(prefix))(rng)
    number = base + luhn.calc_check_digit(base)
    groups = (
        [number[at : at + 4] for at in range(0, 16, 4)] if length == 16 else [number[:4], number[4:10], number[10:]]
    )
    return rng.choice([number, " ".join(groups), "-".join(groups)])


def phone(rng: random.Random) -> str:
    d = some(string.digits, 20)(rng)
    return rng.choice(
        [
            f"(11) 9{d[:4]}-{d[4:8]}",
            f"+55 21 9{d[:4]}-{d[4:8]}",
            f"+49 151 2{d[:7]}",
            f"+1 415-{2}{d[:2]}-{d[2:6]}",
            f"(415) 5{d[:2]}-{d[2:6]}",
            f"+34 6{d[:2]} {d[2:5]} {d[5:8]}",
            f"+86 138 {d[:4]} {d[4:8]}",
            f"090-{d[:4]}-{d[4:8]}",
            f"+44 20 7{d[:3]} {d[3:7]}",
            f"138{d[:8]}",
        ]
    )


PERSONAL: dict[str, Make] = {
    "email": email,
    "cpf": cpf,
    "cnpj": cnpj,
    "cnpj with letters": cnpj_with_letters,
    "iban": iban,
    "card": card,
    "phone": phone,
}
CHECKSUMMED = frozenset({"cpf", "cnpj", "cnpj with letters", "iban", "card"})
