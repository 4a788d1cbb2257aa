"""Detection of passwords and keys in table columns with such a name, in CSV, TSV or Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rlmbox.guard.assignments import is_key, is_password
from rlmbox.guard.findings import Finding
from rlmbox.guard.matching import Encoded, compiled

_PASSWORDS = (
    "password|passwd|pwd|passphrase|passwort|kennwort|senha|contraseña|clave|mot de passe|wachtwoord|hasło|пароль"
    "|密码|密碼|口令|パスワード|비밀번호"
)
_KEYS = "secret|token|api[_ -]?key|secret[_ -]?key|access[_ -]?key|access[_ -]?token|client[_ -]?secret|密钥|密鑰"
_MARKS = "\"'`* \t"
_ROOM = r"""["'`* ]{0,4}"""
_HEADING = (
    rf"(?i)[,;\t|]{_ROOM}(?:{_PASSWORDS}|{_KEYS}){_ROOM}(?:[,;\t|\r\n]|$)"
    rf"|(?m:^){_ROOM}(?:{_PASSWORDS}|{_KEYS}){_ROOM}[,;\t|]"
)
_PASSWORD, _KEY = re.compile(_PASSWORDS, re.IGNORECASE), re.compile(_KEYS, re.IGNORECASE)
_DELIMITERS = (",", ";", "\t", "|")
_MAX_HEADING_CHARS = 2_000


def secret_columns(text: str) -> Iterator[Finding]:
    """Yield the values in columns named as passwords, secrets, tokens or keys."""
    encoded = Encoded(text)
    at = 0
    for found in compiled(_HEADING).finditer(encoded.data):
        place = encoded.char(found.start() + 1)
        begin, end = text.rfind("\n", 0, place) + 1, text.find("\n", place)
        if begin < at or end < 0 or end - begin > _MAX_HEADING_CHARS:
            continue
        line, at = text[begin:end], end + 1
        delimiter = max(_DELIMITERS, key=line.count)
        cells = [cell.strip(_MARKS) for cell in line.split(delimiter)]
        wanted = {n: kind for n, cell in enumerate(cells) if (kind := _kind(cell))}
        if wanted and sum(map(bool, cells)) > 1:  # a comma-separated list of words is no table
            yield from _values(text, at, delimiter, len(cells), wanted)


def _kind(name: str) -> str:
    return "password" if _PASSWORD.fullmatch(name) else "secret" if _KEY.fullmatch(name) else ""


def _values(text: str, at: int, delimiter: str, columns: int, wanted: dict[int, str]) -> Iterator[Finding]:
    """Yield the values below a heading, to the end of the table, skipping lines of another shape."""
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if not text[at:end].strip():
            return
        cells = text[at:end].split(delimiter)
        if len(cells) == columns:
            start = at
            for number, cell in enumerate(cells):
                value = cell.strip(_MARKS + "\r")
                if (kind := wanted.get(number)) and (is_password(value) if kind == "password" else is_key(value)):
                    first = start + cell.index(value)
                    yield Finding(kind, first, first + len(value), why=f"stands in a column of {kind}s")
                start += len(cell) + 1
        at = end + 1
