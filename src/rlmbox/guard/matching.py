"""RE2 over the UTF-8 of a text, with positions in characters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any


@lru_cache(1024)
def compiled(pattern: str) -> Any:
    """Return a pattern, compiled on first use."""
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options=options)


def any_of(literals: Iterable[str]) -> str:
    """Return an alternation of literals, longest first, so that none shadows a longer one."""
    import re2

    ordered = sorted(set(literals), key=lambda literal: (-len(literal), literal))
    return "|".join(re2.escape(literal) for literal in ordered)


class Encoded:
    """The UTF-8 of a text, with a mapping back to its characters.

    Attributes:
        text: The text.
        data: Its UTF-8; a lone surrogate is a question mark.
    """

    __slots__ = ("_at", "_chars", "_is_ascii", "data", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode(errors="replace")
        self._is_ascii = len(self.data) == len(text)
        self._at = self._chars = 0

    def char(self, position: int) -> int:
        """Return the character position of a byte position."""
        if self._is_ascii:
            return position
        if position < self._at:
            self._at = self._chars = 0
        self._chars += len(self.data[self._at : position].decode(errors="replace"))
        self._at = position
        return self._chars


def common_prefix(first: bytes, second: bytes) -> int:
    """Return the length of the common prefix."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    low, high = 0, size
    while low + 1 < high:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low if low == size or first[low] != second[low] else low + 1
