"""Limiting an output to its head and its tail, with a count of what is hidden in between."""

from __future__ import annotations

from dataclasses import dataclass

from rlmbox.errors import ConfigError

_MARKER = "... [Output Truncated: {lines:,} lines, {size:,} bytes hidden] ..."
MAX_MARKER_CHARS = 96
"""Room for a marker on a line of its own."""


@dataclass(frozen=True, slots=True)
class OutputBounds:
    """Limits on the output shown to a model.

    The default per turn, 20,000 characters, is about 5,000 tokens: a table of a hundred rows or thirty pages of search
    hits fit, and thirty turns stay below 200,000 tokens. Half is the head, because listings and files are most
    informative at the beginning, and half the tail, because computations and tracebacks are so at the end.

    Attributes:
        turn_chars: Limit for one turn, all its cells together, in characters.
        head_share: Share of it that is the head, from 0 to 1.
        session_chars: Limit for one session. Beyond it, each turn gets `least_chars`.
        least_chars: Minimum for a turn.
    """

    turn_chars: int = 20_000
    head_share: float = 0.5
    session_chars: int = 1_000_000
    least_chars: int = 2_000

    def __post_init__(self) -> None:
        for name in ("turn_chars", "session_chars", "least_chars"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be a number of characters, 0 or more, not {getattr(self, name)}")
        if not 0 <= self.head_share <= 1:
            raise ConfigError(f"head_share must be a number from 0 to 1, not {self.head_share:g}")


def marker(lines: int, size_bytes: int) -> str:
    """Return the line that replaces the hidden part."""
    return _MARKER.format(lines=lines, size=size_bytes)


def bounded(text: str, max_chars: int, head_share: float = 0.5, dropped_chars: int = 0) -> tuple[str, int]:
    """Return the head and the tail of a text, and the number of hidden characters.

    Args:
        text: The text.
        max_chars: Number of characters to keep, in addition to the marker between head and tail.
        head_share: Share of them that is the head.
        dropped_chars: Number of characters dropped from the middle before; each counts as a byte.
    """
    if len(text) <= max_chars:
        return joined(text, "", "", dropped_chars)
    head, tail = split(max_chars, head_share)
    return joined(text[:head], text[head : len(text) - tail], text[len(text) - tail :], dropped_chars)


def split(max_chars: int, head_share: float) -> tuple[int, int]:
    """Return the lengths of head and tail."""
    head = round(max_chars * head_share)
    return head, max_chars - head


def joined(head: str, hidden: str, tail: str, dropped_chars: int = 0) -> tuple[str, int]:
    """Join head and tail with a marker for the hidden part, and return the number of hidden characters."""
    if not hidden and not dropped_chars:
        return head + tail, 0
    size = len(hidden.encode(errors="replace")) + dropped_chars
    between = marker(hidden.count("\n"), size)
    before = "" if not head or head.endswith("\n") else "\n"
    after = "" if not tail or tail.startswith("\n") else "\n"
    return f"{head}{before}{between}{after}{tail}", len(hidden) + dropped_chars
