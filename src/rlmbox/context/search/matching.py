"""A compiled pattern, and known properties of its matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlmbox.context.search.translate import Translation

MAX_CHAR_BYTES = 4


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled pattern.

    Attributes:
        regexp: The pattern compiled by RE2.
        translation: The translation that was compiled.
        window_bytes: Size of a search window.
    """

    regexp: Any
    translation: Translation
    window_bytes: int

    @property
    def has_marks(self) -> bool:
        """True if groups mark where matches begin or end."""
        return bool(self.translation.starts or self.translation.ends)

    @property
    def looks_back(self) -> bool:
        """True if the character before a match is consumed."""
        return self.translation.looks_back

    @property
    def is_bounded(self) -> bool:
        """True if no match is longer than `least_overlap_bytes`."""
        return self.translation.is_bounded

    @property
    def least_overlap_bytes(self) -> int:
        """Length in bytes of the longest match of a bounded pattern, including the context that it inspects."""
        return MAX_CHAR_BYTES * (self.translation.positions + 3)

    def span(self, match: Any) -> tuple[int, int]:
        """Return the span that `re` would report for a match of RE2."""
        start, end = match.span()
        starts = [match.end(group) for group in self.translation.starts]
        ends = [match.start(group) for group in self.translation.ends]
        return max([start, *starts]), min([mark for mark in ends if mark >= 0], default=end)
