"""Sets of characters as ranges of code points, as `re` sees them and as RE2 writes them."""

from __future__ import annotations

import _sre  # type: ignore[import-not-found]
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from re._casefix import _EXTRA_CASES  # type: ignore[import-not-found]

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
_LAST_WORD = 0x3FFFF  # the planes above hold no letters, digits or numbers
_LAST_CASED = 0x1FFFF
_MOST_FOLDED = 3_000
ALL: Ranges = ((0, LAST),)
ASCII_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
ASCII_DIGIT: Ranges = ((0x30, 0x39),)
ASCII_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
SPACE: Ranges = (
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


def is_word(code: int) -> bool:
    r"""Return whether `\w` matches a character."""
    return code == 0x5F or chr(code).isalnum()


@lru_cache(maxsize=1)
def word() -> Ranges:
    r"""Return what `\w` matches."""
    return joined((code, code) for code in range(_LAST_WORD + 1) if is_word(code))


@lru_cache(maxsize=1)
def digit() -> Ranges:
    r"""Return what `\d` matches."""
    return joined((code, code) for code in range(_LAST_WORD + 1) if chr(code).isdecimal())


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, with those joined that touch."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    """Return the code points that are in none of some ordered ranges."""
    edges = [(-1, -1), *ranges, (LAST + 1, LAST + 1)]
    return tuple((a[1] + 1, b[0] - 1) for a, b in pairwise(edges) if a[1] + 1 <= b[0] - 1)


def intersection(a: Ranges, b: Ranges) -> Ranges:
    """Return the code points that are in both of two ordered sets of ranges."""
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


def as_class(ranges: Ranges) -> str:
    """Return a class of RE2."""
    if not ranges:
        return r"[^\x{0}-\x{10ffff}]"
    if ranges == ALL:
        return "(?s:.)"
    return "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges) + "]"


@lru_cache(maxsize=1)
def _uppers() -> dict[int, tuple[int, ...]]:
    """Return which characters a small one is the small form of."""
    found: dict[int, tuple[int, ...]] = {}
    for code in range(_LAST_CASED + 1):
        small = _sre.unicode_tolower(code)
        if small != code:
            found[small] = (*found.get(small, ()), code)
    return found


def folded(ranges: Ranges) -> Ranges:
    """Return what `re.IGNORECASE` makes of a set of characters; only the beginning of a long one is looked at."""
    wanted: set[int] = set()
    for low, high in ranges:
        for code in range(low, min(high, low + _MOST_FOLDED) + 1):
            small = _sre.unicode_tolower(code)
            wanted.add(small)
            wanted.update(_EXTRA_CASES.get(small, ()))
    uppers = _uppers()
    found = {code for small in wanted for code in (small, *uppers.get(small, ()))}
    # A capital letter is found by its small form alone.
    found -= {code for code in found if _sre.unicode_tolower(code) not in wanted}
    long = [(low, high) for low, high in ranges if high - low > _MOST_FOLDED]
    return joined([*((code, code) for code in found), *long])


def ascii_folded(ranges: Ranges) -> Ranges:
    """Return what `re.IGNORECASE` with `re.ASCII` makes of a set of characters."""
    letters: Sequence[tuple[int, int, int]] = ((0x41, 0x5A, 32), (0x61, 0x7A, -32))
    other = [
        (low + shift, high + shift)
        for first, last, shift in letters
        for low, high in intersection(ranges, ((first, last),))
    ]
    return joined([*ranges, *other])
