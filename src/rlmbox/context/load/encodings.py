"""Bytes from outside -> UTF-8.

What an encoding is: by its byte order mark; UTF-16 by its NUL bytes; UTF-8 if that is what it is; otherwise what
`charset-normalizer` takes a sample for. What is not valid becomes U+FFFD and is counted.
"""

from __future__ import annotations

import codecs
import threading
import unicodedata
from collections.abc import Iterable, Iterator

from rlmbox.context.storage.source import ByteSource, InMemory, pieces
from rlmbox.context.storage.text import Utf8

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
_NEVER_GUESSED = ["utf_7", "utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"]
# What the languages of Western Europe write beside ASCII, with what word processors add.
_WESTERN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþŒœŠšŽž"
    "\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2026\u2022€£§©®°·«»ªº¡¿\u00b4\u00a0"
)
_MOSTLY = 0.95
_FEW = 8


def has_byte_order_mark(head: bytes) -> bool:
    """Whether bytes begin with the mark of UTF-8, UTF-16 or UTF-32."""
    return any(head.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS)


def presumed(head: bytes) -> tuple[str, int]:
    """Gives the encoding that the beginning of a text shows, UTF-8 if nothing, and the bytes of its mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return _utf16_by_nul(head) or "utf-8", 0


def _utf16_by_nul(head: bytes) -> str | None:
    # Of each two bytes of mostly Western text in UTF-16, one is NUL, always the same one.
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
    """Gives valid UTF-8 for bytes that are by a byte order mark what it says, and UTF-8 otherwise."""
    encoding, mark = next(((name, len(m)) for m, name in _BYTE_ORDER_MARKS if data.startswith(m)), ("utf-8", 0))
    return joined(transcoded(InMemory(data[mark:]), encoding))


def decoded(data: bytes) -> tuple[Utf8, str]:
    """Gives valid UTF-8 for the bytes of a file, and the encoding that they were taken to be in."""
    encoding, mark = presumed(data[:HEAD_BYTES])
    source = InMemory(data[mark:])
    if encoding == "utf-8":
        try:
            return joined(transcoded(source, encoding, strict=True)), encoding
        except UnicodeDecodeError:
            encoding = encoding if mark else recognised(source, 0)
    return joined(transcoded(source, encoding)), encoding


def transcoded(source: ByteSource, encoding: str, *, strict: bool = False) -> Iterator[Utf8]:
    """Gives bytes of any encoding as UTF-8, piece by piece.

    Args:
        source: The bytes.
        encoding: What they are in.
        strict: Whether what is not valid is an error instead of being replaced.

    Raises:
        UnicodeDecodeError: `strict`, and they are not valid.
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
    """Makes one of several pieces."""
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
    """Makes known what stands for invalid bytes: what `replace` puts, counted, because good text may have it too."""
    codecs.register_error(_ERRORS, _count_one)


def _count_one(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _replaced.count += 1
    return _REPLACEMENT, error.end


def recognised(source: ByteSource, position: int) -> str:
    """Decides what a text without a mark is that is not valid UTF-8: damaged UTF-8, or another encoding.

    Args:
        source: The bytes.
        position: Near which they are not valid.
    """
    sample = _sample(source, position)
    damaged = joined(transcoded(InMemory(sample), "utf-8"))
    valid = sum(1 for char in damaged.data.decode() if not char.isascii()) - damaged.replaced
    others = sum(1 for byte in sample if byte >= 0x80)
    if valid >= damaged.replaced or (others == 1 and sample[-1] >= 0x80):
        return "utf-8"
    if others < _FEW:  # too little for statistics
        return "cp1252" if _is_western(sample) and _in_words(sample) else "utf-8"
    return _by_statistics(sample)


def _sample(source: ByteSource, position: int) -> bytes:
    begin = max(HEAD_BYTES, position - HEAD_BYTES // 2)
    head = source.read(0, min(HEAD_BYTES, source.size_bytes))
    return head + (source.read(begin, min(begin + HEAD_BYTES, source.size_bytes)) if begin < source.size_bytes else b"")


def _by_statistics(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_exclusion=_NEVER_GUESSED).best()
    if best is None:
        return "cp1252" if _is_western(sample) else "utf-8"
    # Among the many encodings of Latin letters the statistics often prefer a rare one.
    if _is_latin(sample.decode(best.encoding, "replace")) and _is_western(sample):
        return "cp1252"
    return codecs.lookup(best.encoding).name


def _is_western(sample: bytes) -> bool:
    others = [char for char in sample.decode("cp1252", "replace") if not char.isascii()]
    return sum(char in _WESTERN for char in others) >= _MOSTLY * len(others)


def _in_words(sample: bytes) -> bool:
    text = f" {sample.decode('cp1252', 'replace')} "
    places = [at for at, char in enumerate(text) if not char.isascii()]
    return all((text[at - 1] + text[at + 1]).strip() and text[at].isalpha() for at in places)


def _is_latin(text: str) -> bool:
    letters = [char for char in text if not char.isascii() and char.isalpha()]
    latin = sum(unicodedata.name(char, "").startswith("LATIN") for char in letters)
    return 2 * latin >= len(letters)
