"""Choosing the longest reply to ask for, from how long the replies of a run have been.

What a request may cost is mostly its reply at its longest, which hardly any reply is. Asking for less makes the worst
case tight: more requests fit beside each other, and one that breaks off is charged less. Where a reply is cut after
all, it is asked for again at full length, and the next ones are asked for longer.
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
# Of the longest reply, by how many there were: of 200, the next one is longer than all of them once in 200 times.
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
        """Return the longest reply to ask for.

        Args:
            key: The model and the depth.
            wanted_tokens: The longest that is wanted at all.
            affordable_tokens: The longest that costs no more than `FIRST_SHARE` of what is left.
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
            # The reply that was cut is known at its full length now, so there is nothing to guess any more.
            seen.cut_tokens, seen.floor_tokens = 0, _SHORTEST_TOKENS

    def note_cut(self, key: Key, cap_tokens: int) -> None:
        """Record that a reply was longer than requested.

        Args:
            key: The model and the depth.
            cap_tokens: What was asked for.
        """
        seen = self._seen.setdefault(key, _SeenLength())
        seen.cut_tokens = max(seen.cut_tokens, cap_tokens)
        seen.floor_tokens = max(seen.floor_tokens, cap_tokens * _GROWTH)
