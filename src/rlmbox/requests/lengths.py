"""The output limit of a request, chosen from the lengths of the run's previous replies.

The worst-case cost of a request is mostly that of a reply of maximum length, which is rare. A lower limit tightens the
worst case: more requests fit in the budget at once, and an aborted one is charged less. A reply that is truncated by it
is requested again at full length, and later ones get a higher limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_TOKENS = 4_096
"""Longest reply asked for while little is known, in a run that can afford it."""

FIRST_SHARE = 1 / 200
"""Most of what is left of a run's limits that a reply may cost while little is known."""

_SHORTEST_FIRST_TOKENS = 512
_SHORTEST_TOKENS = 128
_STEP_TOKENS = 16
_FEW = 5
# Of the longest reply, by their number: after 200, the next one is longer than all of them once in 200 times.
_MARGINS = ((200, 1.1), (50, 1.3), (20, 2.0), (_FEW, 4.0))
_GROWTH = 4

Key = tuple[str, int]
"""A model's name and the depth of the account."""


@dataclass(slots=True)
class _SeenLength:
    replies: int = 0
    longest_tokens: int = 0
    cut_tokens: int = 0
    floor_tokens: int = _SHORTEST_TOKENS


class ReplyLengths:
    """The lengths of one run's replies, by model and depth."""

    def __init__(self) -> None:
        self._seen: dict[Key, _SeenLength] = {}

    def cap_tokens(self, key: Key, wanted_tokens: int, affordable_tokens: float) -> int:
        """Return the output limit of a request.

        Args:
            key: The model and the depth.
            wanted_tokens: The maximum length wanted.
            affordable_tokens: The length that costs `FIRST_SHARE` of what is left.
        """
        seen = self._seen.get(key)
        if seen is None or seen.replies < _FEW:
            first = int(min(max(affordable_tokens, _SHORTEST_FIRST_TOKENS), FIRST_TOKENS))
            return min(wanted_tokens, max(first, seen.floor_tokens if seen else 0))
        margin = next(margin for replies, margin in _MARGINS if seen.replies >= replies)
        ample = math.ceil(seen.longest_tokens * margin / _STEP_TOKENS) * _STEP_TOKENS
        return min(wanted_tokens, max(ample, seen.floor_tokens))

    def note(self, key: Key, output_tokens: int) -> None:
        """Record the length of a reply.

        Args:
            key: The model and the depth.
            output_tokens: Its length.
        """
        seen = self._seen.setdefault(key, _SeenLength())
        seen.replies += 1
        seen.longest_tokens = max(seen.longest_tokens, output_tokens)
        if output_tokens > seen.cut_tokens:
            # The truncated reply is known at its full length now, so no estimate is needed any more.
            seen.cut_tokens, seen.floor_tokens = 0, _SHORTEST_TOKENS

    def note_cut(self, key: Key, cap_tokens: int) -> None:
        """Record that a reply was longer than requested.

        Args:
            key: The model and the depth.
            cap_tokens: The requested limit.
        """
        seen = self._seen.setdefault(key, _SeenLength())
        seen.cut_tokens = max(seen.cut_tokens, cap_tokens)
        seen.floor_tokens = max(seen.floor_tokens, cap_tokens * _GROWTH)
