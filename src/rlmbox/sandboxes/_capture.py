"""Keeping a bounded part of unbounded output."""

from __future__ import annotations

from collections import deque


class BoundedText:
    """Collects text, keeping the head and the tail and counting what is dropped in between.

    Memory stays below about three times `max_chars` however much is written.

    Args:
        max_chars: Number of characters to keep, half of them at the head, half at the tail.
    """

    def __init__(self, max_chars: int) -> None:
        self._head_room = max_chars - max_chars // 2
        self._tail_room = max_chars // 2
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self.total_chars = 0
        self.size_bytes = 0

    def write(self, text: str) -> None:
        """Append text."""
        self.total_chars += len(text)
        self.size_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if self._head_room:
            self._head.append(text[: self._head_room])
            rest = text[self._head_room :]
            self._head_room -= len(text) - len(rest)
            text = rest
        if text and self._tail_room:
            self._tail.append(text[-self._tail_room :])
            self._tail_chars += len(self._tail[-1])
            while self._tail_chars - len(self._tail[0]) >= self._tail_room:
                self._tail_chars -= len(self._tail.popleft())

    @property
    def dropped_chars(self) -> int:
        """Number of characters dropped."""
        return self.total_chars - sum(map(len, self._head)) - min(self._tail_chars, self._tail_room)

    def text(self) -> str:
        """Return the kept text, with one line in place of what was dropped."""
        tail = "".join(self._tail)[-self._tail_room :] if self._tail_room else ""
        dropped = self.dropped_chars
        middle = f"\n... [{dropped:,} characters dropped] ...\n" if dropped else ""
        return "".join(self._head) + middle + tail
