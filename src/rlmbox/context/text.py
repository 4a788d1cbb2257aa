"""Storage: UTF-8 bytes that are addressed by characters.

Everything above this module speaks of characters as in a Python `str`; everything that touches bytes asks
`TextStore`. The buffer only has to slice, `find` and `count` as `bytes` does, so a memory map can take the
place of the `bytes` without a change elsewhere.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# UTF-8 has no other use for these three bytes, so replacing them keeps every position.
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Utf8:
    """Valid UTF-8.

    Attributes:
        data: The bytes.
        length: How many characters they are.
        replaced: How many U+FFFD stand in for lone surrogates or invalid bytes.
    """

    data: bytes
    length: int
    replaced: int = 0


def encode(text: str) -> Utf8:
    """Gives the UTF-8 of a `str`; each lone surrogate becomes one U+FFFD."""
    try:
        return Utf8(text.encode(), len(text))
    except UnicodeEncodeError:
        data, replaced = _ENCODED_SURROGATE.subn(_REPLACEMENT.encode(), text.encode("utf-8", "surrogatepass"))
        return Utf8(data, len(text), replaced)


def has_byte_order_mark(head: bytes) -> bool:
    """Whether bytes begin with the mark of UTF-8, UTF-16 or UTF-32."""
    return any(head.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS)


def repair(data: bytes) -> Utf8:
    """Gives valid UTF-8 for bytes from outside.

    Text with a byte order mark is decoded by it and loses the mark; all else is taken for UTF-8. What is not
    valid becomes U+FFFD, as with `bytes.decode(errors="replace")`.

    Args:
        data: The bytes as they were found.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            if encoding != "utf-8":
                text = data.decode(encoding, "replace")
                # The decoder puts the same character for bad input as stands in good input: count the bad ones.
                good = data.decode(encoding, "ignore")
                replaced = text.count(_REPLACEMENT) - good.count(_REPLACEMENT)
                return Utf8(text.encode(), len(text), replaced)
            data = data[len(mark) :]
    if data.isascii():
        return Utf8(data, len(data))
    try:
        return Utf8(data, sum(len(piece) for piece in _decoded(data, "strict")))
    except UnicodeDecodeError:
        return _replaced(data)


def _decoded(data: bytes, errors: str) -> Iterator[str]:
    # Piece by piece: a `str` of the whole would need up to four times the memory.
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    view = memoryview(data)
    for begin in range(0, len(data), _CHUNK_BYTES):
        yield decoder.decode(bytes(view[begin : begin + _CHUNK_BYTES]), begin + _CHUNK_BYTES >= len(data))


def _replaced(data: bytes) -> Utf8:
    pieces: list[bytes] = []
    length = marks = 0
    for piece in _decoded(data, "replace"):
        length += len(piece)
        marks += piece.count(_REPLACEMENT)
        pieces.append(piece.encode())
    return Utf8(b"".join(pieces), length, marks - data.count(_REPLACEMENT.encode()))


class _Index:
    """How many characters and newlines come before each block of a buffer; both are counted on first use."""

    __slots__ = ("_chars", "_newlines", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chars: array[int] | None = None
        self._newlines: array[int] | None = None

    def aligned(self, position: int) -> int:
        """Moves a byte position back to the start of its character."""
        while 0 < position < len(self.data) and self.data[position] & 0xC0 == 0x80:
            position -= 1
        return position

    def next_char(self, position: int) -> int:
        """Gives where the character after the one at `position` begins."""
        position += 1
        while position < len(self.data) and self.data[position] & 0xC0 == 0x80:
            position += 1
        return position

    def _count_chars(self, begin: int, end: int) -> int:
        return len(self.data[begin:end].decode())

    @property
    def chars(self) -> array[int]:
        if self._chars is None:
            counts, total, begin = array("Q", [0]), 0, 0
            for nominal in range(BLOCK_BYTES, len(self.data) + BLOCK_BYTES, BLOCK_BYTES):
                end = self.aligned(min(nominal, len(self.data)))
                total += self._count_chars(begin, end)
                counts.append(total)
                begin = end
            self._chars = counts
        return self._chars

    @property
    def newlines(self) -> array[int]:
        if self._newlines is None:
            counts, total = array("Q", [0]), 0
            for begin in range(0, len(self.data), BLOCK_BYTES):
                total += self.data.count(b"\n", begin, begin + BLOCK_BYTES)
                counts.append(total)
            self._newlines = counts
        return self._newlines

    def byte_of(self, char: int) -> int:
        """Gives where a character begins, by halving its block."""
        block = min(bisect_right(self.chars, char), len(self.chars) - 1) - 1
        begin = self.aligned(block * BLOCK_BYTES)
        end = self.aligned(min((block + 1) * BLOCK_BYTES, len(self.data)))
        left, held = char - self.chars[block], self.chars[block + 1] - self.chars[block]
        while left and held != end - begin:
            middle = self.aligned((begin + end) // 2)
            if middle == begin:
                middle = self.next_char(begin)
            before = self._count_chars(begin, middle)
            if left < before:
                end, held = middle, before
            else:
                begin, left, held = middle, left - before, held - before
        return begin + left

    def char_of(self, position: int) -> int:
        """Gives how many characters begin before a byte position, which is at the start of one."""
        block = min(position // BLOCK_BYTES, len(self.chars) - 1)
        return self.chars[block] + self._count_chars(self.aligned(block * BLOCK_BYTES), position)

    def newlines_before(self, position: int) -> int:
        block = position // BLOCK_BYTES
        return self.newlines[block] + self.data.count(b"\n", block * BLOCK_BYTES, position)

    def after_newline(self, number: int) -> int:
        """Gives the position after the newline of that number, from 1."""
        block = bisect_right(self.newlines, number - 1) - 1
        position = block * BLOCK_BYTES
        for _ in range(number - self.newlines[block]):
            position = self.data.index(b"\n", position) + 1
        return position


class TextStore:
    """A range of an immutable UTF-8 buffer.

    Byte positions are relative to the range and lie at the start of a character; so do those that are
    returned. Views share the buffer and its index.

    Attributes:
        length: Characters.
        size_bytes: Bytes.
    """

    __slots__ = ("_begin", "_data", "_first_char", "_first_newline", "_index", "length", "size_bytes")

    def __init__(self, index: _Index, begin: int, size_bytes: int, first_char: int, length: int) -> None:
        self._index = index
        self._data = index.data
        self._begin = begin
        self._first_char = first_char
        self._first_newline: int | None = None
        self.length = length
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, content: Utf8) -> TextStore:
        """Gives the store of a whole text."""
        return cls(_Index(content.data), 0, len(content.data), 0, content.length)

    @property
    def is_ascii(self) -> bool:
        """Whether characters and bytes are one to one."""
        return self.length == self.size_bytes

    @property
    def buffer(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self._data)[self._begin : self._begin + self.size_bytes]

    def byte_offset(self, char: int) -> int:
        """Gives the byte position of a character position.

        Args:
            char: From 0 to `length`.
        """
        if self.is_ascii:
            return char
        return self.size_bytes if char >= self.length else self._index.byte_of(char + self._first_char) - self._begin

    def char_offset(self, position: int) -> int:
        """Gives the character position of a byte position.

        Args:
            position: From 0 to `size_bytes`, at the start of a character.
        """
        if self.is_ascii:
            return position
        if position >= self.size_bytes:
            return self.length
        return self._index.char_of(position + self._begin) - self._first_char

    def aligned(self, position: int) -> int:
        """Moves a byte position back to the start of its character."""
        return self._index.aligned(position + self._begin) - self._begin

    def next_char(self, position: int) -> int:
        """Gives the byte position of the character after the one at `position`."""
        return self._index.next_char(position + self._begin) - self._begin

    def decode(self, begin: int, end: int) -> str:
        """Gives the text between two byte positions."""
        return self._data[begin + self._begin : min(end, self.size_bytes) + self._begin].decode()

    def before(self, position: int, chars: int) -> str:
        """Gives up to so many characters that end at a byte position."""
        begin = self.aligned(max(0, position - 4 * chars))
        return self.decode(begin, position)[-chars:] if chars > 0 else ""

    def after(self, position: int, chars: int) -> str:
        """Gives up to so many characters from a byte position on."""
        end = self.aligned(min(self.size_bytes, position + 4 * chars))
        return self.decode(position, end)[:chars]

    def slice(self, start: int | None, end: int | None) -> str:
        """Gives `text[start:end]`."""
        first, last, _ = slice(start, end).indices(self.length)
        return self.decode(self.byte_offset(first), self.byte_offset(last)) if first < last else ""

    def view(self, start: int | None, end: int | None) -> TextStore:
        """Gives the same range as a store, without a copy."""
        first, last, _ = slice(start, end).indices(self.length)
        last = max(first, last)
        begin, finish = self.byte_offset(first), self.byte_offset(last)
        return TextStore(self._index, self._begin + begin, finish - begin, self._first_char + first, last - first)

    def find(self, needle: bytes, position: int = 0) -> int:
        """Gives the byte position of the first occurrence from `position` on, or -1."""
        found = self._data.find(needle, position + self._begin, self._begin + self.size_bytes)
        return found - self._begin if found >= 0 else -1

    def count(self, needle: bytes) -> int:
        """Counts the occurrences that do not overlap."""
        return self._data.count(needle, self._begin, self._begin + self.size_bytes)

    def _newlines_before_range(self) -> int:
        if self._first_newline is None:
            self._first_newline = self._index.newlines_before(self._begin)
        return self._first_newline

    def newlines_before(self, position: int) -> int:
        """Counts the newlines before a byte position."""
        return self._index.newlines_before(position + self._begin) - self._newlines_before_range()

    def line_start(self, line: int) -> int:
        """Gives the byte position where a line begins; line 0 is the first.

        Args:
            line: From 0 to the number of newlines.
        """
        if line == 0:
            return 0
        return self._index.after_newline(line + self._newlines_before_range()) - self._begin

    def sha256(self) -> str:
        """Gives the SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.buffer).hexdigest()
