"""Storage of UTF-8 bytes, addressed by characters.

All modules above this one use character positions, as in a Python `str`; access to bytes goes through `TextStore`,
which reads from a `ByteSource`: memory or a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.context.storage import scan
from rlmbox.context.storage.index import BLOCK_BYTES, Index
from rlmbox.context.storage.source import Backing, ByteSource, InFile, InMemory, pieces

__all__ = ["BLOCK_BYTES", "TextStore", "Utf8", "encode"]

# Counting the lines of this many bytes takes a few milliseconds.
_SOON_BYTES = 16 * 1024 * 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# These three bytes occur in UTF-8 only as a surrogate, so replacing them keeps every position.
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


@dataclass(frozen=True, slots=True)
class Utf8:
    """Valid UTF-8.

    Attributes:
        data: The bytes.
        length: Length in characters.
        replaced: Number of U+FFFD that replace lone surrogates or invalid bytes.
    """

    data: bytes
    length: int
    replaced: int = 0


def encode(text: str) -> Utf8:
    """Encode a `str` as UTF-8; each lone surrogate becomes U+FFFD."""
    try:
        return Utf8(text.encode(), len(text))
    except UnicodeEncodeError:
        data, replaced = _ENCODED_SURROGATE.subn(_REPLACEMENT.encode(), text.encode("utf-8", "surrogatepass"))
        return Utf8(data, len(text), replaced)


class TextStore:
    """A range of a source of valid UTF-8.

    Byte positions, given and returned, are relative to the range and at the start of a character. Views share the
    source and its index.

    Attributes:
        length: Length in characters.
        size_bytes: Length in bytes.
    """

    __slots__ = ("_begin", "_first_char", "_first_newline", "_index", "_source", "length", "size_bytes")

    def __init__(self, index: Index, begin: int, size_bytes: int, first_char: int, length: int) -> None:
        self._index = index
        self._source = index.source
        self._begin = begin
        self._first_char = first_char
        self._first_newline: int | None = None
        self.length = length
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, content: Utf8) -> TextStore:
        """Return the store of a whole text in memory."""
        return cls.over(Index(InMemory(content.data)), content.length)

    @classmethod
    def over(cls, index: Index, length: int) -> TextStore:
        """Return the store of the whole text of an index.

        Args:
            index: The index of a source of valid UTF-8.
            length: Its length in characters.
        """
        return cls(index, 0, index.source.size_bytes, 0, length)

    @property
    def is_ascii(self) -> bool:
        """True if each character is one byte."""
        return self.length == self.size_bytes

    @property
    def source(self) -> ByteSource:
        """The source of the bytes; this text begins in it at `offset`."""
        return self._source

    @property
    def offset(self) -> int:
        """Position in the source where this text begins."""
        return self._begin

    @property
    def index(self) -> Index:
        """The index of the source."""
        return self._index

    @property
    def buffer(self) -> memoryview:
        """The bytes, without a copy if they are in memory; a text in a file is read into memory first."""
        if isinstance(self._source, InMemory):
            return memoryview(self._source.data)[self._begin : self._begin + self.size_bytes]
        return memoryview(self.read(0, self.size_bytes))

    def backing(self) -> Backing | None:
        """Return the range of a file that holds the text, or None if it is in memory."""
        if not isinstance(self._source, InFile):
            return None
        return Backing(self._source, self._source.offset + self._begin, self.size_bytes, self.is_ascii)

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes between two positions."""
        return self._source.read(begin + self._begin, min(end, self.size_bytes) + self._begin)

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """Yield all bytes, in pieces."""
        return pieces(self._source, self._begin, self._begin + self.size_bytes, size_bytes)

    @property
    def ends_with_newline(self) -> bool:
        """True if the last character is a newline."""
        return self.size_bytes > 0 and self.read(self.size_bytes - 1, self.size_bytes) == b"\n"

    @property
    def knows_lines(self) -> bool:
        """True if counting the lines takes little or no time."""
        return self._index.has_newlines or self._source.size_bytes <= _SOON_BYTES

    @property
    def line_count(self) -> int:
        """Number of lines; the last one may lack its newline."""
        if not self.size_bytes:
            return 0
        return self.newlines_before(self.size_bytes) + (not self.ends_with_newline)

    def byte_offset(self, char: int) -> int:
        """Return the byte position of a character position.

        Args:
            char: From 0 to `length`.
        """
        if self.is_ascii:
            return char
        return self.size_bytes if char >= self.length else self._index.byte_of(char + self._first_char) - self._begin

    def char_offset(self, position: int) -> int:
        """Return the character position of a byte position.

        Args:
            position: From 0 to `size_bytes`, at the start of a character.
        """
        if self.is_ascii:
            return position
        if position >= self.size_bytes:
            return self.length
        return self._index.char_of(position + self._begin) - self._first_char

    def aligned(self, position: int) -> int:
        """Move a byte position back to the start of its character."""
        return position if self.is_ascii else self._index.aligned(position + self._begin) - self._begin

    def next_char(self, position: int) -> int:
        """Return the byte position of the character after the one at `position`."""
        return position + 1 if self.is_ascii else self._index.next_char(position + self._begin) - self._begin

    def decode(self, begin: int, end: int) -> str:
        """Return the text between two byte positions."""
        return self.read(begin, end).decode()

    def before(self, position: int, chars: int) -> str:
        """Return up to `chars` characters before a byte position."""
        begin = self.aligned(max(0, position - 4 * chars))
        return self.decode(begin, position)[-chars:] if chars > 0 else ""

    def after(self, position: int, chars: int) -> str:
        """Return up to `chars` characters from a byte position on."""
        end = self.aligned(min(self.size_bytes, position + 4 * chars))
        return self.decode(position, end)[:chars]

    def slice(self, start: int | None, end: int | None) -> str:
        """Return `text[start:end]`."""
        first, last, _ = slice(start, end).indices(self.length)
        if first >= last:
            return ""
        if not self.is_ascii and last - first <= BLOCK_BYTES // 4:  # reading slightly too much beats a second lookup
            return self.after(self.byte_offset(first), last - first)
        return self.decode(self.byte_offset(first), self.byte_offset(last))

    def view(self, start: int | None, end: int | None) -> TextStore:
        """Return the same range as a store, without a copy."""
        first, last, _ = slice(start, end).indices(self.length)
        last = max(first, last)
        begin, finish = self.byte_offset(first), self.byte_offset(last)
        return TextStore(self._index, self._begin + begin, finish - begin, self._first_char + first, last - first)

    def find(self, needle: bytes, position: int = 0) -> int:
        """Return the byte position of the first occurrence from `position` on, or -1."""
        return next(self.occurrences(needle, position), -1)

    def occurrences(self, needle: bytes, position: int = 0, tick: scan.Tick = lambda: None) -> Iterator[int]:
        """Yield the byte positions of occurrences without overlaps.

        Args:
            needle: The bytes to search for.
            position: Where to begin.
            tick: Called periodically; an exception that it raises ends the search.
        """
        end = self._begin + self.size_bytes
        for found in scan.occurrences(self._source, needle, position + self._begin, end, tick):
            yield found - self._begin

    def count(self, needle: bytes, tick: scan.Tick = lambda: None) -> int:
        """Count the occurrences without overlaps."""
        return scan.count(self._source, needle, self._begin, self._begin + self.size_bytes, tick)

    def _newlines_before_range(self) -> int:
        if self._first_newline is None:
            self._first_newline = self._index.newlines_before(self._begin)
        return self._first_newline

    def newlines_before(self, position: int) -> int:
        """Count the newlines before a byte position."""
        return self._index.newlines_before(position + self._begin) - self._newlines_before_range()

    def line_start(self, line: int) -> int:
        """Return the byte position of the start of a line; line 0 is the first.

        Args:
            line: From 0 to the number of newlines.
        """
        if line == 0:
            return 0
        return self._index.after_newline(line + self._newlines_before_range()) - self._begin

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self.pieces(1024 * 1024):
            digest.update(piece)
        return digest.hexdigest()
