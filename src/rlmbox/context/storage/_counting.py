"""Counting the characters of UTF-8; also a program of its own, because Python's decoder holds the GIL.

Standard library only, so that the program starts quickly. It receives the file as its standard input and a range of it,
and writes the number of characters that begin in each block.
"""

from __future__ import annotations

import codecs
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator

BLOCK_BYTES = 16 * 1024
PIECE_BYTES = 512 * 1024
MAX_CHAR_BYTES = 4


class InvalidUtf8(Exception):
    """A text is not UTF-8.

    Attributes:
        position: Position of the first invalid bytes.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def count_pieces(pieces: Iterable[tuple[int, bytes]], more: Callable[[int], bytes]) -> tuple[array[int], int, int]:
    """Count the characters that begin in each block of a range.

    Args:
        pieces: The range, piece by piece, each with its position; all but the last are of whole blocks.
        more: Returns the bytes at a position after the range, at least those of one character.

    Returns:
        The counts, the start of the first character, and the end of the last one.

    Raises:
        InvalidUtf8: The range is not valid UTF-8.
    """
    blocks = array("H")
    first, end = -1, 0
    rest, begun = b"", False  # a character that began in the previous block: its bytes, and whether there is one
    for begin, piece in pieces:
        skip = 0
        if first < 0:
            skip = _continued(piece) if begin else 0
            first = begin + skip
        end = begin + len(piece)
        if not rest and piece.isascii():
            whole, part = divmod(len(piece), BLOCK_BYTES)
            blocks.extend([BLOCK_BYTES] * whole + [part] * (part > 0))
            begun = False
            continue
        view = memoryview(piece)
        for at in range(0, len(piece), BLOCK_BYTES):
            block = view[at + skip : at + BLOCK_BYTES] if not rest else memoryview(rest + piece[at : at + BLOCK_BYTES])
            try:
                text, used = codecs.utf_8_decode(block, "strict", False)
            except UnicodeDecodeError as error:
                raise InvalidUtf8(begin + at + skip - len(rest) + error.start) from None
            rest, skip = bytes(block[used:]), 0
            # A character that a block's end splits begins in that block.
            blocks.append(len(text) - begun + bool(rest))
            begun = bool(rest)
    return blocks, max(first, 0), end + _missing(rest, end, more)


def _missing(rest: bytes, end: int, more: Callable[[int], bytes]) -> int:
    """Return the number of bytes after a range that belong to its last character."""
    if not rest:
        return 0
    size = 2 if rest[0] < 0xE0 else 3 if rest[0] < 0xF0 else 4
    missing = size - len(rest)
    try:
        (rest + more(end)[:missing]).decode()
    except UnicodeDecodeError:
        raise InvalidUtf8(end - len(rest)) from None
    return missing


def _continued(data: bytes) -> int:
    count = 0
    while count < min(len(data), MAX_CHAR_BYTES - 1) and data[count] & 0xC0 == 0x80:
        count += 1
    return count


def main() -> None:
    """Count a range of the file on standard input; both positions are byte positions in the file."""
    offset, begin, end = map(int, sys.argv[1:4])

    def pieces() -> Iterator[tuple[int, bytes]]:
        for at in range(begin, end, PIECE_BYTES):
            yield at, os.pread(0, min(PIECE_BYTES, end - at), offset + at)

    def more(position: int) -> bytes:
        return os.pread(0, MAX_CHAR_BYTES, offset + position)

    try:
        blocks, first, finish = count_pieces(pieces(), more)
    except InvalidUtf8 as found:
        blocks, first, finish = array("H"), -1, found.position
    sys.stdout.buffer.write(array("q", [first, finish]).tobytes() + blocks.tobytes())


if __name__ == "__main__":
    main()
