"""A compiled pattern, and what is known of its matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlmbox.context.search.translate import Translation

MAX_CHAR_BYTES = 4


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled pattern.

    Attributes:
        regexp: What RE2 made of it.
        translation: What RE2 was given.
        window_bytes: How much is searched at once.
    """

    regexp: Any
    translation: Translation
    window_bytes: int

    @property
    def has_marks(self) -> bool:
        """True if matches begin or end at marks."""
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
        """Bytes of the longest match of a bounded pattern, and of what it looks at beside."""
        return MAX_CHAR_BYTES * (self.translation.positions + 3)

    def span(self, match: Any) -> tuple[int, int]:
        """Return the span that `re` would give for a match of RE2."""
        start, end = match.span()
        starts = [match.end(group) for group in self.translation.starts]
        ends = [match.start(group) for group in self.translation.ends]
        return max([start, *starts]), min([mark for mark in ends if mark >= 0], default=end)
