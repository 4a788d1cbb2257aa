"""Sets of positions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Intervals:
    """A set of positions, as disjoint ranges."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0

    def missing(self, start: int, end: int) -> int:
        """Return the number of positions in a range that are not in the set."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        pairs = zip(self._starts[first:last], self._ends[first:last], strict=True)
        return end - start - sum(max(0, min(end, e) - max(start, s)) for s, e in pairs)

    def add(self, start: int, end: int) -> None:
        """Add a range to the set."""
        if start >= end:
            return
        self.total += self.missing(start, end)
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def room_end(self, start: int, end: int, room: int) -> int:
        """Return the furthest end up to which a range adds at most `room` positions."""
        low, high = start, end
        while low < high:
            middle = (low + high + 1) // 2
            if self.missing(start, middle) <= room:
                low = middle
            else:
                high = middle - 1
        return low
