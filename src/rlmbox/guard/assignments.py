"""Detection of secrets by what precedes them: `password = …`, `senha: …`, `https://user:…@host`.

Most of the work is to leave code alone: `password = self._password` and `token: str` assign no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
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
    r"\bclave",
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
_IS = " is | was | é | era | foi | es | ist | war | lautet | est "
_SEPARATOR = rf"""["'`]?\]?\s{{0,8}}(?:=>|:=|==?|:|>|{_IS}|是|为|は)\s{{0,8}}"""
_VALUE = r"""(?:"([^"\n]{3,400})"|'([^'\n]{3,400})'|`([^`\n]{3,400})`|([^\s"'`,;<>(){}\[\]。、」』】]{3,400}))"""
_URL = r"[A-Za-z][0-9A-Za-z+.-]{1,20}://[^\s/:@\"'<>]{0,200}:([^\s/@\"'<>]{3,200})@[0-9A-Za-z\[._-]"
# `senha do wifi: …`, `the password for the router is …`
_OF = (
    r"""(?i:{words}) (?:do|da|de|del|dos|of|for|para|von|vom|f[üu]r|du|pour|to|no|na)"""
    r"""(?: [^\s:=.,;"'<>()]{1,24}){1,3}?"""
    rf"""(?:\s?[:=]\s?|{_IS})["'`]?([^\s"'`,;<>()]{{6,200}})"""
)
# `<add key="Password" value="…">`, `- name: DB_PASSWORD` and `value: …` on the next line
_VALUE_OF = (
    r"""(?i:name|key|id)["']?\s?[=:>]\s?["']?[\w .-]{0,60}?(?i:{words})["']?(?:\s|,|;|/>|</name>){1,4}\s{0,40}"""
    r"""(?:<|-\s)?["']?(?i:value|content)["']?\s?[=:>]\s?["']?([^\s"'<>]{3,400})"""
)
_OPTION = r"""(?:--password|--passwd)[ =]["']?([^\s"'-][^\s"']{3,200})"""
_TOKEN_OPTION = r"""(?:--token|--secret|--api-key)[ =]["']?([^\s"'-][^\s"']{7,200})"""  # noqa: S105 - a pattern
_CURL_USER = r"""(?:-u|--user) ["']?[0-9A-Za-z_.@+-]{1,80}:([^\s"']{4,200})"""
_NETRC = r"\bmachine\s{1,4}\S{1,200}\s{1,4}login\s{1,4}\S{1,200}\s{1,4}password\s{1,4}(\S{1,200})"
_LOGIN = (
    r"""\blogin\b[^\n|;]{0,160}?\s-p[ =]["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\bsshpass\s{1,4}-p\s?["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\b(?:mysql|mysqldump|mysqladmin|mysqlsh|mariadb)\s(?:[^\n|;]{0,120}?\s)?-p["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\bredis-cli\s(?:[^\n|;]{0,120}?\s)?-a\s{1,4}["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\bldap[a-z]{3,8}\s(?:[^\n|;]{0,200}?\s)?-w\s{1,4}["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\b(?:plink|pscp|psftp)\s(?:[^\n|;]{0,120}?\s)?-pw\s{1,4}["']?([^\s"'-][^\s"']{3,200})"""
    r"""|\s-(?:pass|passin|passout)\s{1,4}["']?pass:([^\s"']{3,200})"""
    r"""|\s-U\s?["']?[\w.\\/-]{1,80}%([^\s"'%]{4,200})"""
    r"""|\bConvertTo-SecureString\s{1,4}(?:-String\s{1,4})?["']([^"'\n]{3,200})["']"""
    r"""|["'\s][\w.-]{1,64}:([^\s"':|]{4,200})["']?\s{0,4}\|\s{0,4}(?:sudo\s{1,4})?chpasswd"""
)
_SQL = r"""(?i:identified\s{1,4}by|with\s{1,4}password|set\s{1,4}password)\s{1,4}'([^'\n]{3,200})'"""

# Placeholder values in manuals and templates.
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
_IN_WORDS = re.compile(rf"(?:{_IS})|[是为は]")
_RESULT_OF_TEST = re.compile(rb"(?i:pass):\s")  # `PASS: name of a test`
# Statements about passwords: `the password hash is sha512`.
_STANDARD = re.compile(
    r"(?i:md5|sha-?\d+(?:[-/]\d+)?|hmac-\w+|base-?\d\d|utf-?\d+\S*|b?crypt\d?|argon2\w*|pbkdf2\S*|(?:rfc|ssh|tls|ssl|ntlm|krb|ipv?|aes|rc|v|x)-?\d+(?:\.\d+)*)"
)
_UNSPACED = re.compile("[\u3000-\u9fff\uac00-\ud7af]")
_RESOURCE = re.compile(r"[\w\\.-]+(?:/[\w\\.-]+){2,}")  # the path of a stored secret
_NO_SECRET_BEFORE = re.compile(rb"(?:page|next|sync|continuation|resume|cursor)[\\ _-]{0,3}$", re.IGNORECASE)
_MIN_TOKEN_CHARS = 8
_MIN_TOKEN_BITS = 5.0
_MIN_PASSWORD_CHARS = 4
_MIN_RARE_CHARS = 8
_MIN_RARE_BITS = 6.5
_NEXT_FIELD = re.compile(r"&\w+=.*")  # the rest of a query string
_CALLS = re.compile(r"[(\[{]|\.\w")


def assigned_secrets(text: str) -> Iterator[Finding]:
    """Yield the values of anything named as a password, secret, token or key."""
    encoded = Encoded(text)
    has_word = compiled(_any_word()).search(encoded.data) is not None
    for kind, pattern in _patterns() if has_word else ():
        for found in compiled(pattern).finditer(encoded.data):
            span = _value_span(found, kind, encoded.data)
            if span:
                start, end = map(encoded.char, span)
                yield Finding(kind, start, end, why="stands where a secret is assigned")
    yield from _in_commands(encoded, has_word=has_word)


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


@cache
def _any_word() -> str:
    """Return the pattern of all names; a text without a match needs few of the other searches."""
    return f"(?i:{_named([*_PASSWORD_WORDS, *_TOKEN_WORDS])})"


def _named(words: list[str]) -> str:
    return "|".join(word.replace("_", _JOINT) for word in sorted(words, key=len, reverse=True))


def _value_span(found: Any, kind: str, data: bytes) -> tuple[int, int] | None:
    if kind == "secret" and _NO_SECRET_BEFORE.search(data[max(0, found.start() - 20) : found.start()]):
        return None  # a pagination token
    group = next(number for number in (1, 2, 3, 4) if found.span(number)[0] >= 0)
    start, end = found.span(group)
    value = data[start:end].decode(errors="replace")
    if _RESULT_OF_TEST.match(data, found.start()) and not found.group().startswith(b"pass"):
        return None
    if group == 4:
        value = _UNSPACED.split(value, maxsplit=1)[0] or value  # a sentence continues without a space
        value = _NEXT_FIELD.sub("", value).rstrip(".:")
        end = start + len(value.encode())
        following = data[end : end + 2].decode(errors="replace")
        if not _is_bare_secret(value, following, data[found.start() : start].decode(errors="replace")):
            return None
    return (start, end) if _is_secret(value, kind, is_quoted=group < 4) else None


def _is_bare_secret(value: str, following: str, before: str) -> bool:
    """Return whether an unquoted value is a literal, and not a name or a call in code."""
    if _UNSPACED.search(value) or (_IN_WORDS.search(before) and not _is_unlike_words(value)):
        return False
    if _IN_WORDS.search(before) and _STANDARD.fullmatch(value):
        return False
    if "\n" in before and value.startswith("."):
        return False  # a troff request on the next line
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
    """Return whether a value has a digit, or letter sequences that do not occur in words."""
    return any(map(str.isdigit, value)) or (len(value) >= _MIN_RARE_CHARS and bits_per_pair(value) >= _MIN_RARE_BITS)


def _is_odd_word(value: str) -> bool:
    return value.isalpha() and value.lower() != value and value.upper() != value and not value.istitle()


def _in_commands(encoded: Encoded, *, has_word: bool) -> Iterator[Finding]:
    for kind, marks, pattern in _COMMANDS:
        if (pattern in _WITH_WORD and not has_word) or not any(mark in encoded.data for mark in marks):
            continue
        for found in compiled(pattern).finditer(encoded.data):
            start, end = found.span(found.lastindex)
            value = encoded.data[start:end].decode(errors="replace")
            if pattern == _OF_PASSWORD:
                value = value.rstrip(".:")
                end = start + len(value.encode())
            if _is_given(value, kind) if pattern != _OF_PASSWORD else is_password(value):
                yield Finding(kind, encoded.char(start), encoded.char(end), why="stands where a secret is given")


def _is_given(value: str, kind: str) -> bool:
    if kind == "secret":
        return _is_secret(value, kind, is_quoted=True)
    if _STANDS_FOR_ONE.fullmatch(value):
        return False
    return kind == "url-password" or not _WORDY.fullmatch(value) or _is_unlike_words(value)


def is_password(value: str) -> bool:
    """Return whether a candidate, a word of a sentence or a cell of a table, looks like a password."""
    if len(value) < _MIN_PASSWORD_CHARS or any(map(str.isspace, value)):
        return False
    if _STANDS_FOR_ONE.fullmatch(value) or _STANDARD.fullmatch(value) or not any(map(str.isalpha, value)):
        return False
    return _is_unlike_words(value) or _is_odd_word(value) or any(mark in value for mark in "!#$%*@&")


def is_key(value: str) -> bool:
    """Return whether a candidate looks like a key or a token."""
    return _is_secret(value, "secret", is_quoted=True)


_NAMES = "passwords?|passwd|passwort|pwd|senha|contraseña|kennwort|pass"
_OF_PASSWORD = _OF.replace("{words}", "|".join(_PASSWORD_WORDS[:-1]).replace("_", _JOINT))
_COMMANDS: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("url-password", (b"://",), _URL),
    ("password", (b"--pass",), _OPTION),
    ("secret", (b"--",), _TOKEN_OPTION),
    ("password", (b"-u ", b"--user "), _CURL_USER),
    ("password", (b"login", b" -p", b"-cli", b"ldap", b"-pw", b"-pass", b"-U", b"-Secure", b"chpasswd"), _LOGIN),
    ("password", (b"'",), _SQL),
    ("netrc-password", (b"machine",), _NETRC),
    ("password", (b"alue", b"ALUE", b"ontent"), _VALUE_OF.replace("{words}", _NAMES)),
    ("secret", (b"alue", b"ALUE", b"ontent"), _VALUE_OF.replace("{words}", "secret|token|api[_-]?key|access[_-]?key")),
    ("password", (b" ",), _OF_PASSWORD),
)
_WITH_WORD = frozenset(pattern for _, _, pattern in _COMMANDS[-3:])
