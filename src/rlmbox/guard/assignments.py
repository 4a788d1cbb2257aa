"""Secrets that are known by what stands before them: `password = …`, `senha: …`, `https://user:…@host`.

Most of the work is in leaving code alone: `password = self._password` and `token: str` assign no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rlmbox.guard.findings import Finding
from rlmbox.guard.matching import Encoded, compiled
from rlmbox.guard.rarity import bits_per_pair

_PASSWORD_WORDS = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "passwort",
    "kennwort",
    "kennung_geheim",
    "senha",
    "contraseña",
    "contrasenya",
    "clave_acceso",
    "mot_de_passe",
    "motdepasse",
    "wachtwoord",
    "hasło",
    "пароль",
    "密码",
    "密碼",
    "口令",
    "パスワード",
    "暗証番号",
    "비밀번호",
    "pass",
]
_TOKEN_WORDS = [
    "secret",
    "token",
    "apikey",
    "api_key",
    "access_key",
    "accesskey",
    "auth_key",
    "authkey",
    "private_key",
    "privatekey",
    "secret_key",
    "secretkey",
    "client_secret",
    "signing_key",
    "encryption_key",
    "credential",
    "credentials",
    "segredo",
    "chave_secreta",
    "chave_api",
    "chave_de_api",
    "secreto",
    "clave_secreta",
    "geheimnis",
    "schlüssel_geheim",
    "geheimer_schlüssel",
    "密钥",
    "密鑰",
    "秘密鍵",
    "令牌",
]
_JOINT = "[ _-]?"
_SEPARATOR = r"""["'`]?\]?\s{0,8}(?:=>|:=|==?|:|>| is | é | es | ist | est |是|为|は)\s{0,8}"""
_VALUE = r"""(?:"([^"\n]{3,400})"|'([^'\n]{3,400})'|`([^`\n]{3,400})`|([^\s"'`,;<>(){}\[\]。、」』】]{3,400}))"""
_URL = r"[A-Za-z][0-9A-Za-z+.-]{1,20}://[^\s/:@\"'<>]{0,200}:([^\s/@\"'<>]{3,200})@[0-9A-Za-z\[._-]"
_OPTION = r"""(?:--password|--passwd)[ =]["']?([^\s"'-][^\s"']{3,200})"""
_TOKEN_OPTION = r"""(?:--token|--secret|--api-key)[ =]["']?([^\s"'-][^\s"']{7,200})"""  # noqa: S105 - a pattern
_CURL_USER = r"""(?:-u|--user) ["']?[0-9A-Za-z_.@+-]{1,80}:([^\s"']{4,200})"""
_NETRC = r"\bmachine\s{1,4}\S{1,200}\s{1,4}login\s{1,4}\S{1,200}\s{1,4}password\s{1,4}(\S{1,200})"
_SQL = r"""(?i:identified\s{1,4}by|with\s{1,4}password|set\s{1,4}password)\s{1,4}'([^'\n]{3,200})'"""

# What manuals and templates write in a value's place.
_STANDS_FOR_ONE = re.compile(
    r"""\$.*|\{.*|<.*|%.*|\[.*|\*+|[xX]+|\.{2,}|-+|_+|\?+|#.*|\\.*|!.*|.*\}|.*\.\.\.|.*…|/.*|\.[/\\].*|[a-z]+://.*"""
    r"""|(?i:none|null|nil|true|false|undefined|str|string|bytes|int|bool|text|any|object|optional|required|default|empty|"""
    r"""n/?a|yes|no|on|off|your.*|my[_-]?(?:secret|password|token|key)|example.*|change.?me.*|placeholder|redacted|hidden|secret|password|"""
    r"""passwd|token|basic|bearer|digest|incorrect|correct|invalid|wrong|missing|expired|enabled|disabled|prompt|env|"""
    r"""unset|unknown|user(?:name)?|self|this|new|old|pass|test|foo|bar|baz|spam|eggs|.*redacted.*|.*passw(?:or)?d)"""
)
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:(?:\.|::|->)\w+)*\.?")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_WORDY = re.compile(r"[^\W\d_]+(?:[-_. :/\\][^\W\d_]+)*[.!?:]?")
_IN_WORDS = re.compile(r"\s(?:is|é|es|ist|est)\s|[是为は]")
_UNSPACED = re.compile("[\u3000-\u9fff\uac00-\ud7af]")
_RESOURCE = re.compile(r"[\w\\.-]+(?:/[\w\\.-]+){2,}")  # the name of a place where a secret is kept
_NO_SECRET_BEFORE = re.compile(rb"(?:page|next|sync|continuation|resume|cursor)[\\ _-]{0,3}$", re.IGNORECASE)
_MIN_TOKEN_CHARS = 8
_MIN_TOKEN_BITS = 5.0
_MIN_PASSWORD_CHARS = 4
_MIN_RARE_CHARS = 8
_MIN_RARE_BITS = 6.5
_NEXT_FIELD = re.compile(r"&\w+=.*")  # of an address with a query
_CALLS = re.compile(r"[(\[{]|\.\w")


def assigned_secrets(text: str) -> Iterator[Finding]:
    """Return the values of what is named a password, secret, token or key."""
    encoded = Encoded(text)
    for kind, pattern in _patterns():
        for found in compiled(pattern).finditer(encoded.data):
            span = _value_span(found, kind, encoded.data)
            if span:
                start, end = map(encoded.char, span)
                yield Finding(kind, start, end, why="stands where a secret is assigned")
    if any(mark in text for mark in ("://", "-u", "--", "'", "machine")):
        yield from _in_commands(encoded)


def _patterns() -> tuple[tuple[str, str], ...]:
    return (
        (
            "password",
            f"(?i:{_named(_PASSWORD_WORDS)})(?i:s?|_?[0-9]{{1,2}}|_?(?:prod|dev|test|value|b64|base64|hash)){_SEPARATOR}{_VALUE}",
        ),
        (
            "secret",
            f"(?i:{_named(_TOKEN_WORDS)})(?i:s?|_?[0-9]{{1,2}}|_?(?:prod|dev|test|value|b64|base64|id|key)){_SEPARATOR}{_VALUE}",
        ),
    )


def _named(words: list[str]) -> str:
    return "|".join(word.replace("_", _JOINT) for word in sorted(words, key=len, reverse=True))


def _value_span(found: Any, kind: str, data: bytes) -> tuple[int, int] | None:
    if kind == "secret" and _NO_SECRET_BEFORE.search(data[max(0, found.start() - 20) : found.start()]):
        return None  # where the next page of a list begins
    group = next(number for number in (1, 2, 3, 4) if found.span(number)[0] >= 0)
    start, end = found.span(group)
    value = data[start:end].decode(errors="replace")
    if group == 4:
        value = _NEXT_FIELD.sub("", value).rstrip(".:")
        end = start + len(value.encode())
        following = data[end : end + 2].decode(errors="replace")
        if not _is_bare_secret(value, following, data[found.start() : start].decode(errors="replace")):
            return None
    return (start, end) if _is_secret(value, kind, is_quoted=group < 4) else None


def _is_bare_secret(value: str, following: str, before: str) -> bool:
    """Return whether a value without quotes is a literal, and not a name or a call in code."""
    if _UNSPACED.search(value) or (_IN_WORDS.search(before) and not _is_unlike_words(value)):
        return False
    if "\n" in before and value.startswith("."):
        return False  # a request of troff on the next line
    if _CALLS.match(following) and _IDENTIFIER.fullmatch(value):
        return False
    if _CONSTANT.fullmatch(value):
        return False
    is_name = _IDENTIFIER.fullmatch(value) is not None
    if not is_name:
        return not _WORDY.fullmatch(value)
    if "." in value or "->" in value or "::" in value or not _is_unlike_words(value):
        return False
    in_code = re.search(r"\s(?:=|:=|==)\s", before) is not None
    return not (in_code or "_" in value) or bits_per_pair(value) >= _MIN_TOKEN_BITS


def _is_secret(value: str, kind: str, *, is_quoted: bool) -> bool:
    if _STANDS_FOR_ONE.fullmatch(value) or any(map(str.isspace, value)):
        return False
    has_digit = any(map(str.isdigit, value))
    if kind == "password":
        if len(value) < _MIN_PASSWORD_CHARS:
            return False
        return (
            has_digit or not _WORDY.fullmatch(value) or _is_unlike_words(value) or (is_quoted and _is_odd_word(value))
        )
    if len(value) < _MIN_TOKEN_CHARS or not has_digit or _RESOURCE.fullmatch(value):
        return False
    return bits_per_pair(value) >= _MIN_TOKEN_BITS


def _is_unlike_words(value: str) -> bool:
    """Return whether a value has a digit, or letters in an order that words do not have."""
    return any(map(str.isdigit, value)) or (len(value) >= _MIN_RARE_CHARS and bits_per_pair(value) >= _MIN_RARE_BITS)


def _is_odd_word(value: str) -> bool:
    return value.isalpha() and value.lower() != value and value.upper() != value and not value.istitle()


def _in_commands(encoded: Encoded) -> Iterator[Finding]:
    for kind, pattern in _COMMANDS:
        for found in compiled(pattern).finditer(encoded.data):
            start, end = found.span(1)
            if _is_given(encoded.data[start:end].decode(errors="replace"), kind):
                yield Finding(kind, encoded.char(start), encoded.char(end), why="stands where a secret is given")


def _is_given(value: str, kind: str) -> bool:
    if kind == "secret":
        return _is_secret(value, kind, is_quoted=True)
    if _STANDS_FOR_ONE.fullmatch(value):
        return False
    return kind == "url-password" or not _WORDY.fullmatch(value) or _is_unlike_words(value)


_COMMANDS = (
    ("url-password", _URL),
    ("password", _OPTION),
    ("secret", _TOKEN_OPTION),
    ("password", _CURL_USER),
    ("password", _SQL),
    ("netrc-password", _NETRC),
)
