"""Sets of characters: folded as by `re`, and written for RE2."""

from __future__ import annotations

import _sre  # type: ignore[import-not-found]
from collections.abc import Sequence
from functools import lru_cache
from re._casefix import _EXTRA_CASES  # type: ignore[import-not-found]

from rlmbox.context.search.code_ranges import LAST, CodeRanges, between_brackets, intersection, joined

_LAST_CASED = 0x1FFFF
_MOST_FOLDED = 3_000
ALL: CodeRanges = ((0, LAST),)
ASCII_WORD: CodeRanges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
ASCII_DIGIT: CodeRanges = ((0x30, 0x39),)
ASCII_SPACE: CodeRanges = ((0x09, 0x0D), (0x20, 0x20))


def as_class(ranges: CodeRanges) -> str:
    """Return a set of characters as an RE2 class."""
    if not ranges:
        return r"[^\x{0}-\x{10ffff}]"
    if ranges == ALL:
        return "(?s:.)"
    return f"[{between_brackets(ranges)}]"


@lru_cache(maxsize=1)
def _uppers() -> dict[int, tuple[int, ...]]:
    """Return the uppercase characters of each lowercase one."""
    found: dict[int, tuple[int, ...]] = {}
    for code in range(_LAST_CASED + 1):
        small = _sre.unicode_tolower(code)
        if small != code:
            found[small] = (*found.get(small, ()), code)
    return found


def folded(ranges: CodeRanges) -> CodeRanges:
    """Return a set of characters as folded by `re.IGNORECASE`; of a long range only the start is folded."""
    wanted: set[int] = set()
    for low, high in ranges:
        for code in range(low, min(high, low + _MOST_FOLDED) + 1):
            small = _sre.unicode_tolower(code)
            wanted.add(small)
            wanted.update(_EXTRA_CASES.get(small, ()))
    uppers = _uppers()
    found = {code for small in wanted for code in (small, *uppers.get(small, ()))}
    # An uppercase letter matches only through its lowercase form.
    found -= {code for code in found if _sre.unicode_tolower(code) not in wanted}
    long = [(low, high) for low, high in ranges if high - low > _MOST_FOLDED]
    return joined([*((code, code) for code in found), *long])


def ascii_folded(ranges: CodeRanges) -> CodeRanges:
    """Return a set of characters as folded by `re.IGNORECASE` with `re.ASCII`."""
    letters: Sequence[tuple[int, int, int]] = ((0x41, 0x5A, 32), (0x61, 0x7A, -32))
    other = [
        (low + shift, high + shift)
        for first, last, shift in letters
        for low, high in intersection(ranges, ((first, last),))
    ]
    return joined([*ranges, *other])
