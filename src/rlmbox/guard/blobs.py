"""Binary and encoded data, which a model cannot read and which could smuggle text out: described instead of sent."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from rlmbox.guard.findings import Finding
from rlmbox.guard.matching import compiled

MIN_ENCODED_CHARS = 512
_BINARY_SHARE = 0.3
_NUL_SHARE = 0.1
_MIN_UNREADABLE = 8
_PIECE_CHARS = 1 << 20
_MIN_ESCAPES = 32
_LITERAL = r"""[bB]'(?:[^'\\\n]|\\[ -~]){64,}'?|[bB]"(?:[^"\\\n]|\\[ -~]){64,}"?"""
_ESCAPES = r"(?:\\x[0-9A-Fa-f]{2}[ -~]{0,3}?){32,}"
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\([nrt0'\"\\])")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_LINES = r"[0-9A-Za-z+/_-]{60,}(?:\r?\n[ \t]{0,8}[0-9A-Za-z+/_-]{1,100})*={0,2}"
_BASE64 = rf"{_LINES}|[0-9A-Za-z+/_-]{{{MIN_ENCODED_CHARS},}}={{0,2}}"
_HEX = rf"(?:[0-9A-Fa-f]{{2}}[ :]?){{{MIN_ENCODED_CHARS // 2},}}"
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF-", "PDF document"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"\x7fELF", "ELF program"),
    (b"MZ", "Windows program"),
    (b"RIFF", "RIFF media"),
    (b"OggS", "Ogg media"),
    (b"ID3", "MP3 audio"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"PAR1", "Parquet data"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
    (b"x\x9c", "zlib data"),
    (b"x\xda", "zlib data"),
    (b"wOF", "font"),
    (b"\x00asm", "WebAssembly program"),
)


def binary_name(text: str) -> str | None:
    """Return a description of a text that is entirely binary, or None for ordinary text."""
    pieces = range(0, len(text), _PIECE_CHARS)  # Python's other threads wait during one
    unreadable = sum(1 for at in pieces for _ in _UNREADABLE.finditer(text, at, at + _PIECE_CHARS))
    if unreadable < _MIN_UNREADABLE and not (unreadable and _is_known(text)):
        return None  # a stray control character is shown as an escape
    if unreadable < (_NUL_SHARE if "\0" in text else _BINARY_SHARE) * len(text):
        return None
    data = _bytes(text)
    return f"[binary output, {len(data):,} bytes, {_kind(data)}, not shown]"


def encoded_blobs(text: str) -> Iterator[tuple[Finding, str]]:
    """Yield the runs of base64, hexadecimal and escapes, each with the description that replaces it."""
    if len(text) < MIN_ENCODED_CHARS and "\\x" not in text:
        return
    data = text.encode(errors="replace")
    if len(data) != len(text):
        data = text.encode("ascii", "replace")  # one byte per character, so positions are unchanged
    for name, pattern in (("escaped", _LITERAL), ("escaped", _ESCAPES), ("hexadecimal", _HEX), ("base64", _BASE64)):
        for found in compiled(pattern).finditer(data):
            start, end = found.span()
            described = _described(name, text[start:end])
            if described:
                yield Finding("blob", start, end, "named", why=f"{name} data"), described


def _described(name: str, value: str) -> str | None:
    if name != "escaped" and len(value) < MIN_ENCODED_CHARS:
        return None
    decoded = {"base64": _from_base64, "hexadecimal": _from_hex, "escaped": _from_escapes}[name](value)
    if decoded is None or (name == "base64" and not _mixed(value)):
        return None
    return f"[{name} data, {len(value):,} characters: {_kind(decoded)}, about {len(decoded):,} bytes, not shown]"


def _mixed(value: str) -> bool:
    """Return whether base64 has digits and both cases, which concatenated words do not."""
    head = value[:4096]
    return len(set(head)) > 24 and any(map(str.isdigit, head)) and head.lower() != head and head.upper() != head


def _from_base64(value: str) -> bytes | None:
    joined = re.sub(r"\s", "", value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(joined[: len(joined) // 4 * 4])
    except (binascii.Error, ValueError):
        return None


def _from_hex(value: str) -> bytes | None:
    joined = re.sub(r"[ :]", "", value)
    if len(set(joined)) < 4 or joined[:4096].isdigit():  # a long number, not encoded data
        return None
    return bytes.fromhex(joined[: len(joined) // 2 * 2])


def _from_escapes(value: str) -> bytes | None:
    if value.count("\\x") < _MIN_ESCAPES:
        return None
    inner = value[2:].rstrip("'\"") if value[:1] in {"b", "B"} else value
    return _ESCAPE.sub(_unescaped, inner).encode("latin-1", "replace")


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _PLAIN.get(found[2], found[2])


def _bytes(text: str) -> bytes:
    for encoding, errors in (("latin-1", "strict"), ("utf-8", "surrogateescape")):
        try:
            return text.encode(encoding, errors)
        except UnicodeEncodeError:
            continue
    return text.encode("utf-8", "replace")


def _is_known(text: str) -> bool:
    return any(text.encode("latin-1", "replace").startswith(magic) for magic, _ in _MAGIC)


def _kind(data: bytes) -> str:
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    try:
        data[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 4096) - 4:
            return "unknown format"
    return "unknown format" if b"\0" in data else "text"
