"""How long a reply is asked for, by how long the replies of a run have been.

What a request may cost is mostly its reply at its longest, which hardly any reply is. Asking for less makes the worst
case tight: more requests fit beside each other, and one that breaks off is charged less. Where a reply is cut after
all, it is asked for again at full length, and the next ones are asked for longer.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_TOKENS = 4_096
"""Longest reply asked for while little is known."""

_SHORTEST_TOKENS = 256
_FEW, _MANY = 5, 20
_GROWTH = 4

Key = tuple[str, int]
"""A model's name and the depth of the account."""


@dataclass(slots=True)
class _Seen:
    replies: int = 0
    longest_tokens: int = 0
    floor_tokens: int = _SHORTEST_TOKENS


class ReplyLengths:
    """The lengths of one run's replies, by model and depth."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}

    def cap_tokens(self, key: Key, wanted_tokens: int) -> int:
        """Return the longest reply to ask for.

        Args:
            key: The model and the depth.
            wanted_tokens: The longest that is wanted at all.
        """
        seen = self._seen.get(key)
        if seen is None or seen.replies < _FEW:
            return min(wanted_tokens, max(FIRST_TOKENS, seen.floor_tokens if seen else 0))
        margin = 2 if seen.replies >= _MANY else 4
        # A power of two, so that requests of one kind are alike.
        ample = 1 << (margin * seen.longest_tokens - 1).bit_length() if seen.longest_tokens else 0
        return min(wanted_tokens, max(ample, seen.floor_tokens))

    def note(self, key: Key, output_tokens: int) -> None:
        """Take note of a reply.

        Args:
            key: The model and the depth.
            output_tokens: Its length.
        """
        seen = self._seen.setdefault(key, _Seen())
        seen.replies += 1
        seen.longest_tokens = max(seen.longest_tokens, output_tokens)

    def note_cut(self, key: Key, cap_tokens: int) -> None:
        """Take note that a reply was longer than it was asked for.

        Args:
            key: The model and the depth.
            cap_tokens: What was asked for.
        """
        seen = self._seen.setdefault(key, _Seen())
        seen.floor_tokens = max(seen.floor_tokens, cap_tokens * _GROWTH)
