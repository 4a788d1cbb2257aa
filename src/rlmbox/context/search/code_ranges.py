"""Sets of characters as ranges of code points, including those with a shorthand in `re`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

CodeRanges = tuple[tuple[int, int], ...]
"""Ranges in ascending order, each with its first and its last code point, none of which touch."""

LAST = 0x10FFFF
# The planes above have no letters, digits or numbers: they are for variation selectors and private use.
_LAST_WITH_WORDS = 0x3FFFF
SPACES: CodeRanges = (
    (0x09, 0x0D),
    (0x1C, 0x20),
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)


def is_word(char: str) -> bool:
    r"""Return True if `\w` matches a character."""
    return char.isalnum() or char == "_"


@lru_cache(maxsize=1)
def word() -> CodeRanges:
    r"""Return the characters that `\w` matches."""
    return joined((code, code) for code in range(_LAST_WITH_WORDS + 1) if is_word(chr(code)))


@lru_cache(maxsize=1)
def digit() -> CodeRanges:
    r"""Return the characters that `\d` matches."""
    return joined((code, code) for code in range(_LAST_WITH_WORDS + 1) if chr(code).isdecimal())


def joined(ranges: Iterable[tuple[int, int]]) -> CodeRanges:
    """Return ranges in order, merging adjacent and overlapping ones."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: CodeRanges) -> CodeRanges:
    """Return the code points in none of some ordered ranges."""
    edges = [(-1, -1), *ranges, (LAST + 1, LAST + 1)]
    return tuple((a[1] + 1, b[0] - 1) for a, b in pairwise(edges) if a[1] + 1 <= b[0] - 1)


def intersection(a: CodeRanges, b: CodeRanges) -> CodeRanges:
    """Return the code points in both of two ordered sets of ranges."""
    found = []
    i = j = 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low <= high:
            found.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def between_brackets(ranges: CodeRanges) -> str:
    """Return ranges as written between brackets in RE2's syntax."""
    return "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges)
