"""Mapping of characters and lines to bytes, through counts for small blocks.

For each block of 16 KiB the index stores how many characters (or newlines) begin in it, in two bytes, and for each 64
blocks how many come before: 280 KB for a text of 2 GB. A position is found by bisecting the sums, adding up a few
counts, and decoding part of one block, independent of the length of the text.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

from rlmbox.context.storage import _counting
from rlmbox.context.storage._counting import BLOCK_BYTES, MAX_CHAR_BYTES, PIECE_BYTES, InvalidUtf8, count_pieces
from rlmbox.context.storage.source import ByteSource, InFile, InMemory, threads

__all__ = ["BLOCK_BYTES", "Counts", "Index", "InvalidUtf8", "count_chars", "count_newlines"]

PROGRAMS_BYTES = 128 * 1024 * 1024
"""From how many bytes on that are not ASCII processes share the counting."""

_GROUP = 64
_POLL_S = 0.1


class Counts:
    """The number of items that begin in each block of a text.

    Attributes:
        blocks: The count of each block.
        total: Their sum.
    """

    __slots__ = ("_sums", "blocks", "total")

    def __init__(self, blocks: array[int]) -> None:
        self.blocks = blocks
        self._sums = array("Q")
        total = 0
        for begin in range(0, len(blocks), _GROUP):
            self._sums.append(total)
            total += sum(blocks[begin : begin + _GROUP])
        self.total = total

    @property
    def size_bytes(self) -> int:
        """Memory that the counts take."""
        return self.blocks.itemsize * len(self.blocks) + self._sums.itemsize * len(self._sums)

    def before(self, block: int) -> int:
        """Return the count before a block."""
        group = block // _GROUP
        return self._sums[group] + sum(self.blocks[group * _GROUP : block]) if self._sums else 0

    def block_of(self, number: int) -> tuple[int, int]:
        """Return the block of an item by its number, from 0 to `total` - 1, and the number of items before it."""
        group = bisect_right(self._sums, number) - 1
        begin = group * _GROUP
        sums = list(accumulate(self.blocks[begin : begin + _GROUP], initial=self._sums[group]))
        place = bisect_right(sums, number) - 1
        return begin + place, sums[place]


def count_chars(source: ByteSource, check: Callable[[], None] = lambda: None) -> tuple[int, Counts | None]:
    """Count the characters of a text, and check that it is UTF-8.

    Args:
        source: The text.
        check: Called between pieces; an exception that it raises ends the count.

    Returns:
        The number of characters, and their counts by block; None if each is a byte.

    Raises:
        InvalidUtf8: The text is not valid UTF-8.
    """
    begin = _ascii_bytes(source, check)
    if begin == source.size_bytes:
        return source.size_bytes, None
    blocks = array("H", [BLOCK_BYTES]) * (begin // BLOCK_BYTES)
    blocks.extend(_by_programs(source, begin, check) or _by_pieces(source, begin, check))
    counts = Counts(blocks)
    return counts.total, counts


def _ascii_bytes(source: ByteSource, check: Callable[[], None]) -> int:
    """Return the position of the first piece that is not ASCII; the size of the text if there is none."""
    for begin, piece in _ahead(source, 0):
        check()
        if not piece.isascii():
            return begin
    return source.size_bytes


def _by_pieces(source: ByteSource, begin: int, check: Callable[[], None]) -> array[int]:
    def checked() -> Iterator[tuple[int, bytes]]:
        for piece in _ahead(source, begin):
            check()
            yield piece

    return count_pieces(checked(), lambda position: b"")[0]


def _by_programs(source: ByteSource, begin: int, check: Callable[[], None]) -> array[int] | None:
    """Count ranges in separate processes; return None if that is not possible, or not worthwhile."""
    parts = threads()
    if (
        not isinstance(source, InFile)
        or source.size_bytes - begin < PROGRAMS_BYTES
        or parts < 2
        or os.name != "posix"
        or not sys.executable
    ):
        return None
    step = -(-(source.size_bytes - begin) // (parts * BLOCK_BYTES)) * BLOCK_BYTES
    ranges = [(at, min(at + step, source.size_bytes)) for at in range(begin, source.size_bytes, step)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.extend(_program(source, *part) for part in ranges)
        outputs = [_output(program, check) for program in running]
    except OSError:
        return None
    finally:
        for program in running:
            program.kill()
            program.communicate()
    source.check()
    blocks, position = array("H"), begin
    for (at, end), output in zip(ranges, outputs, strict=True):
        if len(output) != 16 + 2 * (-(-(end - at) // BLOCK_BYTES)):
            # It found invalid UTF-8, or could not run: the slower way reports what and where.
            return None
        first, finish = array("q", output[:16])
        if first != position and at != begin:
            return None
        blocks.frombytes(output[16:])
        position = finish
    return blocks if position == source.size_bytes else None


def _program(source: InFile, begin: int, end: int) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-I", "-S", "-B", _counting.__file__, str(source.offset), str(begin), str(end)]
    descriptor = source.duplicate()
    try:
        return subprocess.Popen(  # noqa: S603 - our own file, and numbers
            arguments, stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
        )
    finally:
        os.close(descriptor)


def _output(program: subprocess.Popen[bytes], check: Callable[[], None]) -> bytes:
    while True:
        check()
        try:
            return program.communicate(timeout=_POLL_S)[0]
        except subprocess.TimeoutExpired:
            continue


def count_newlines(source: ByteSource, check: Callable[[], None] = lambda: None) -> Counts:
    """Count the newlines of each block of a text."""
    blocks = array("H")
    for _, piece in _ahead(source, 0):
        check()
        blocks.extend(piece.count(b"\n", at, at + BLOCK_BYTES) for at in range(0, len(piece), BLOCK_BYTES))
    return Counts(blocks)


def _ahead(source: ByteSource, begin: int) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of a text with their positions, reading the next one in advance."""
    starts = range(begin, source.size_bytes, PIECE_BYTES)

    def read(at: int) -> bytes:
        return source.read(at, min(at + PIECE_BYTES, source.size_bytes))

    if len(starts) < 8 or isinstance(source, InMemory):
        for at in starts:
            yield at, read(at)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "rlmbox-read") as reader:
        coming = reader.submit(read, begin)
        for at in starts:
            piece = coming.result()
            if at + PIECE_BYTES < source.size_bytes:
                coming = reader.submit(read, at + PIECE_BYTES)
            yield at, piece


class Index:
    """Locates characters and lines in valid UTF-8; counts are made on first use.

    Attributes:
        source: The bytes.
    """

    __slots__ = ("_chars", "_lock", "_newlines", "source")

    def __init__(self, source: ByteSource, chars: Counts | None = None, newlines: Counts | None = None) -> None:
        self.source = source
        self._chars = chars
        self._newlines = newlines
        self._lock = threading.Lock()

    @property
    def chars(self) -> Counts:
        """The counts of characters; only for a text that is not ASCII."""
        if self._chars is None:
            with self._lock:
                if self._chars is None:
                    counts = count_chars(self.source)[1]
                    self._chars = counts or Counts(array("H"))
        return self._chars

    @property
    def newlines(self) -> Counts:
        """The counts of newlines."""
        return self.count_newlines()

    def count_newlines(self, check: Callable[[], None] = lambda: None) -> Counts:
        """Count the newlines unless done before; an exception that `check` raises between pieces ends it."""
        if self._newlines is None:
            with self._lock:
                if self._newlines is None:
                    self._newlines = count_newlines(self.source, check)
        return self._newlines

    @property
    def has_newlines(self) -> bool:
        """True if the newlines have been counted."""
        return self._newlines is not None

    def aligned(self, position: int) -> int:
        """Move a byte position back to the start of its character."""
        if not 0 < position < self.source.size_bytes:
            return position
        begin = max(0, position - MAX_CHAR_BYTES + 1)
        near = self.source.read(begin, position + 1)
        return begin + _start_of_char(near, len(near) - 1)

    def next_char(self, position: int) -> int:
        """Return the byte position of the character after the one at `position`."""
        near = self.source.read(position + 1, min(position + 1 + MAX_CHAR_BYTES, self.source.size_bytes))
        return position + 1 + _continued(near)

    def _block(self, block: int) -> tuple[int, bytes]:
        """Return the bytes of the characters that begin in a block, and their position."""
        begin = block * BLOCK_BYTES
        end = min(begin + BLOCK_BYTES, self.source.size_bytes)
        data = self.source.read(begin, min(end + MAX_CHAR_BYTES - 1, self.source.size_bytes))
        first, last = _continued(data), end - begin
        return begin + first, data[first : last + _continued(data[last:])]

    def byte_of(self, char: int) -> int:
        """Return the byte position of a character."""
        counts = self.chars
        block, before = counts.block_of(char)
        begin, data = self._block(block)
        left, held = char - before, counts.blocks[block]
        if held == len(data):
            return begin + left
        if 2 * left <= held:
            return begin + _bytes_of_first(data, left, held)
        return begin + len(data) - _bytes_of_last(data, held - left, held)

    def char_of(self, position: int) -> int:
        """Return the number of characters before a byte position, which must be at the start of one."""
        counts = self.chars
        block = position // BLOCK_BYTES
        if block >= len(counts.blocks):
            return counts.total
        before = counts.before(block)
        begin = block * BLOCK_BYTES
        data = self.source.read(begin, position)
        return before + len(data[_continued(data) :].decode())

    def newlines_before(self, position: int) -> int:
        """Return the number of newlines before a byte position."""
        counts = self.newlines
        block = position // BLOCK_BYTES
        if block >= len(counts.blocks):
            return counts.total
        return counts.before(block) + self.source.read(block * BLOCK_BYTES, position).count(b"\n")

    def after_newline(self, number: int) -> int:
        """Return the position after the newline with a number, from 1."""
        block, before = self.newlines.block_of(number - 1)
        begin = block * BLOCK_BYTES
        data = self.source.read(begin, min(begin + BLOCK_BYTES, self.source.size_bytes))
        position = 0
        for _ in range(number - before):
            position = data.index(b"\n", position) + 1
        return begin + position


def _continued(data: bytes) -> int:
    """Return the number of leading bytes that belong to a character that began before."""
    count = 0
    while count < len(data) and data[count] & 0xC0 == 0x80:
        count += 1
    return count


def _start_of_char(data: bytes, position: int) -> int:
    while position > 0 and data[position] & 0xC0 == 0x80:
        position -= 1
    return position


def _bytes_of_first(data: bytes, chars: int, held: int) -> int:
    """Return the length in bytes of a block's first `chars` characters of `held`, by estimating and then decoding."""
    position = 0
    while chars:
        guess = position + max(MAX_CHAR_BYTES, chars * (len(data) - position) // held)
        guess = _start_of_char(data, guess) if guess < len(data) else len(data)
        text = data[position:guess].decode()
        if len(text) >= chars:
            return position + (guess - position if len(text) == chars else len(text[:chars].encode()))
        position, chars, held = guess, chars - len(text), held - len(text)
    return position


def _bytes_of_last(data: bytes, chars: int, held: int) -> int:
    """Return the length in bytes of a block's last characters."""
    end = len(data)
    while chars:
        guess = end - max(MAX_CHAR_BYTES, chars * end // held)
        guess = _start_of_char(data, guess) if guess > 0 else 0
        text = data[guess:end].decode()
        if len(text) >= chars:
            surplus = len(text) - chars
            return len(data) - guess - (len(text[:surplus].encode()) if surplus else 0)
        end, chars, held = guess, chars - len(text), held - len(text)
    return len(data) - end
