"""Decoding of external bytes to UTF-8.

An encoding is recognised by its byte order mark, NUL bytes (UTF-16) or escape sequences (ISO-2022), or because the
bytes are valid UTF-8; otherwise it is guessed by the language (`languages`). Invalid bytes become U+FFFD and are
counted.
"""

from __future__ import annotations

import codecs
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rlmbox.context.load.languages import best_encoding, is_wide_text
from rlmbox.context.storage.source import ByteSource, InMemory, pieces
from rlmbox.context.storage.text import Utf8
from rlmbox.errors import ContextError

HEAD_BYTES = 64 * 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ERRORS = "rlmbox.counted"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SEVEN_BIT = (
    (re.compile(rb"\x1b\$[@B]|\x1b\$\([DOPQ]"), "iso2022_jp_2004"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"~\{[!-w][!-~](?:[!-w][!-~])*~\}"), "hz"),
)
_CONTROLS = bytes(code for code in range(1, 0x20) if code not in (9, 10, 13))
_MARKING = b"\0" + _CONTROLS  # NULs of UTF-16, escapes of ISO-2022, and what is every second byte of Cyrillic UTF-16
_MIN_WIDE_CHARS = 8
_FEW_BLOCKS = 4


class Presumed(NamedTuple):
    """The encoding suggested by the beginning of a text.

    Attributes:
        encoding: Its name; UTF-8 if nothing suggests another.
        mark_bytes: Length of its byte order mark.
        is_guess: Whether it is based only on the plausibility of the text.
    """

    encoding: str
    mark_bytes: int = 0
    is_guess: bool = False


class Decoded(NamedTuple):
    """A decoded text.

    Attributes:
        content: The text.
        encoding: The encoding that was assumed.
        is_guess: Whether that is a guess.
    """

    content: Utf8
    encoding: str
    is_guess: bool = False


def presumed(head: bytes) -> Presumed:
    """Return the encoding suggested by the beginning of a text, UTF-8 if nothing suggests another."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return Presumed(encoding, len(mark))
    if _is_plain_ascii(head):
        return Presumed("utf-8")
    if known := _utf16_by_nul(head) or _seven_bit(head):
        return Presumed(known)
    guessed = _wide_utf16(head) or _narrow_utf16(head)
    return Presumed(guessed, is_guess=True) if guessed else Presumed("utf-8")


def _is_plain_ascii(head: bytes) -> bool:
    """Return whether a text is ASCII without anything that another encoding is recognised by; most files are."""
    return head.isascii() and b"~{" not in head and len(head.translate(None, _MARKING)) == len(head)


def known_encoding(name: str) -> str:
    """Return Python's name for an encoding.

    Raises:
        ContextError: Python has no such encoding of text.
    """
    try:
        found = codecs.lookup(name)
        b"".decode(found.name)
        codecs.getincrementaldecoder(found.name)("replace").decode(b"a", True)
    except Exception:  # noqa: BLE001 - some codecs are no text encodings, and each fails in its own way
        raise ContextError(
            f"{name[:100]!r} is not the name of an encoding; give one such as utf-8, cp1252 or shift_jis"
        ) from None
    return found.name


def _seven_bit(head: bytes) -> str | None:
    """Return the double-byte encoding whose escape sequences occur in a 7-bit text."""
    if not head.isascii():
        return None
    found = (encoding for escape, encoding in _SEVEN_BIT if escape.search(head))
    return next((encoding for encoding in found if is_wide_text(_decoded_head(head, encoding))), None)


def _decoded_head(head: bytes, encoding: str) -> str:
    return head.decode(encoding, "replace").rstrip(_REPLACEMENT)


def _wide_utf16(head: bytes) -> str | None:
    """Return the byte order of UTF-16 text in mostly Chinese, Japanese or Korean, with few or no NUL bytes."""
    units = len(head) // 2
    if units < _MIN_WIDE_CHARS or (len(head) % 2 and len(head) < HEAD_BYTES) or _is_utf8(head):
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        if is_wide_text(_decoded_head(head[: 2 * units], encoding)):
            return encoding
    return None


def _narrow_utf16(head: bytes) -> str | None:
    """Return the byte order of UTF-16 text in an alphabet, such as Cyrillic, where every second byte is a control."""
    units = len(head) // 2
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if units < _MIN_WIDE_CHARS or controls < 0.2 * len(head):
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        text = _decoded_head(head[: 2 * units], encoding)
        blocks = {ord(char) >> 8 for char in text}
        plain = sum(1 for char in text if char.isascii() or unicodedata.category(char)[0] in "LMNPZ")
        if (
            len(blocks) <= _FEW_BLOCKS
            and all(c.isprintable() or c in "\t\r\n" for c in text)
            and plain > 0.9 * len(text)
        ):
            return encoding
    return None


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.utf_8_decode(head, "strict", False)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_by_nul(head: bytes) -> str | None:
    # In mostly Western UTF-16 text, one of each two bytes is NUL, always the same one.
    units = len(head) // 2
    if units < 4 or b"\0" not in head:
        return None
    even, odd = head[0 : 2 * units : 2].count(0), head[1 : 2 * units : 2].count(0)
    for many, few, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if many >= 0.4 * units and few <= 0.02 * units:
            text = head[: 2 * units].decode(encoding, "replace")[:-1]
            return encoding if text.count(_REPLACEMENT) <= len(text) // 100 else None
    return None


def repair(data: bytes) -> Utf8:
    """Decode bytes as their byte order mark says, otherwise as UTF-8, and return valid UTF-8."""
    encoding, mark = next(((name, len(m)) for m, name in _BYTE_ORDER_MARKS if data.startswith(m)), ("utf-8", 0))
    return joined(transcoded(InMemory(data[mark:]), encoding))


def decoded(data: bytes, encoding: str | None = None) -> Decoded:
    """Decode the bytes of a file.

    Args:
        data: The bytes.
        encoding: Their encoding; None to detect it.
    """
    found = presumed(data[:HEAD_BYTES]) if encoding is None else Presumed(encoding, mark_bytes(data, encoding))
    source = InMemory(data[found.mark_bytes :])
    if found.encoding == "utf-8" and source.data.isascii():
        return Decoded(Utf8(source.data, source.size_bytes), "utf-8")
    if found.encoding == "utf-8" and encoding is None:
        try:
            return Decoded(joined(transcoded(source, "utf-8", strict=True)), "utf-8")
        except UnicodeDecodeError:
            name = "utf-8" if found.mark_bytes else recognised(source, 0)
            found = Presumed(name, is_guess=name != "utf-8")
    return Decoded(joined(transcoded(source, found.encoding)), found.encoding, found.is_guess)


def mark_bytes(data: bytes, encoding: str) -> int:
    """Return the length of the byte order mark at the beginning of a text.

    For an encoding whose own decoder consumes the mark, such as `utf-16`, it is 0.

    Args:
        data: The text's beginning.
        encoding: The encoding, by Python's name.
    """
    marks = (mark for mark, name in _BYTE_ORDER_MARKS if name == encoding)
    return next((len(mark) for mark in marks if data.startswith(mark)), 0)


def transcoded(source: ByteSource, encoding: str, *, strict: bool = False) -> Iterator[Utf8]:
    """Decode bytes of any encoding to UTF-8, in pieces.

    Args:
        source: The bytes.
        encoding: Their encoding.
        strict: Whether invalid bytes are an error instead of being replaced.

    Raises:
        UnicodeDecodeError: `strict` is set, and the bytes are invalid.
    """
    if not strict:
        _register()
    decoder = codecs.getincrementaldecoder(encoding)("strict" if strict else _ERRORS)
    utf8 = encoding == "utf-8"
    for piece in pieces(source, 0, source.size_bytes):
        if utf8 and piece.isascii() and not decoder.getstate()[0]:
            yield Utf8(piece, len(piece))
            continue
        yield _decoded(decoder, piece, final=False)
    yield _decoded(decoder, b"", final=True)


def joined(parts: Iterable[Utf8]) -> Utf8:
    """Join several pieces."""
    found = list(parts)
    data = b"".join(part.data for part in found)
    return Utf8(data, sum(part.length for part in found), sum(part.replaced for part in found))


class _Replaced(threading.local):
    count = 0


_replaced = _Replaced()


def _decoded(decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool) -> Utf8:
    _replaced.count = 0
    text = decoder.decode(piece, final)
    return Utf8(text.encode(), len(text), _replaced.count)


def _register() -> None:
    """Register an error handler that replaces invalid bytes as `replace` does, and counts them."""
    codecs.register_error(_ERRORS, _count_one)


def _count_one(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _replaced.count += 1
    return _REPLACEMENT, error.end


def recognised(source: ByteSource, position: int) -> str:
    """Determine the encoding of a text without a mark that is not valid UTF-8: damaged UTF-8, or another encoding.

    Args:
        source: The bytes.
        position: A position near invalid bytes.
    """
    sample = _sample(source, position)
    damaged = joined(transcoded(InMemory(sample), "utf-8"))
    valid = sum(1 for char in damaged.data.decode() if not char.isascii()) - damaged.replaced
    if valid >= damaged.replaced or _is_utf8(sample):  # the latter if only the last character is truncated
        return "utf-8"
    return best_encoding(sample) or "utf-8"


def _sample(source: ByteSource, position: int) -> bytes:
    begin = max(HEAD_BYTES, position - HEAD_BYTES // 2)
    head = source.read(0, min(HEAD_BYTES, source.size_bytes))
    return head + (source.read(begin, min(begin + HEAD_BYTES, source.size_bytes)) if begin < source.size_bytes else b"")
