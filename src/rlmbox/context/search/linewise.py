"""Matches of a pattern that cannot span lines: threads search whole lines independently.

Lines are independent, so nothing overlaps and nothing is cut. If every match must contain some literal, only the lines
that contain it are searched.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.context.search import windows
from rlmbox.context.search.matching import Matcher
from rlmbox.context.search.windows import ByteSpan, WindowBytes
from rlmbox.context.storage import scan
from rlmbox.context.storage.source import InFile
from rlmbox.context.storage.text import TextStore

MIN_BYTES = 2 * 1024 * 1024
"""Below this a text is searched at once."""

_STEP_BYTES = 2 * 1024 * 1024
_NEAR_BYTES = 4 * 1024
_MAX_LINE_BYTES = 1024 * 1024
_MIN_LITERAL_BYTES = 2
# With more candidate lines in a step, checking them one by one takes longer than searching all.
_MANY_LINES = 100
_MAX_POSITIONS = 200_000


def applies(store: TextStore, matcher: Matcher) -> bool:
    """Return whether a text can be searched for a pattern line by line, and is long enough to benefit."""
    return (
        isinstance(store.source, InFile)
        and store.size_bytes >= MIN_BYTES
        and matcher.translation.traits.within_line
        and not matcher.has_marks
    )


def find_spans(store: TextStore, matcher: Matcher, tick: scan.Tick) -> Iterator[ByteSpan]:
    """Yield the spans that a pattern matches, in bytes; from an overlong line on, searches window by window.

    Args:
        store: The text.
        matcher: The pattern, to which this `applies`.
        tick: Called periodically; an exception that it raises ends the search.
    """
    search = _Lines(store, matcher, tick)
    size = min(_STEP_BYTES if search.literal else windows.FILE_WINDOW_BYTES, matcher.window_bytes)
    steps = ((at, min(at + size, store.size_bytes)) for at in range(0, store.size_bytes, size))
    results = scan.in_order(search.step, steps)
    done = 0
    try:
        for found in results:
            tick()
            if found is None:
                break
            each = iter(found.positions)
            yield from zip(each, each, strict=True)
            if found.resume is not None:
                yield from search.rest(found.resume, found.end)
            done = found.end
        else:
            return
    finally:
        results.close()
    yield from windows.find_spans(store, matcher, tick, done)


@dataclass(slots=True)
class _LineMatches:
    """The matches in the lines that begin in a step, found by a thread.

    Attributes:
        positions: Start and end of the matches.
        end: End of the last line.
        resume: Position from which matches remain to be found; None if there are no more.
    """

    positions: array[int]
    end: int
    resume: int | None = None


class _Lines:
    def __init__(self, store: TextStore, matcher: Matcher, tick: scan.Tick) -> None:
        self.store, self.regexp, self.tick = store, matcher.regexp, tick
        literal = matcher.translation.traits.literal.encode()
        self.literal = literal if len(literal) >= _MIN_LITERAL_BYTES else b""

    def step(self, step: tuple[int, int]) -> _LineMatches | None:
        """Find the matches in the lines that begin in a step; return None if one of them is too long."""
        begin, end = self.line_start(step[0]), self.line_start(step[1])
        if begin is None or end is None:
            return None
        found = _LineMatches(array("Q"), end)
        if begin < end:
            self.find(begin, found)
        return found

    def line_start(self, position: int) -> int | None:
        """Return the start of the first line at or after a position; None if it is too far away."""
        at, size = position - 1, _NEAR_BYTES
        while 0 <= at < self.store.size_bytes - 1:
            if at > position + _MAX_LINE_BYTES:
                return None
            newline = self.store.read(at, at + size).find(b"\n")
            if newline >= 0:
                return at + newline + 1
            at, size = at + size, 16 * size
        return 0 if position == 0 else self.store.size_bytes

    def find(self, begin: int, found: _LineMatches) -> None:
        store = self.store
        first, last = max(0, begin - 1), min(store.size_bytes, found.end + 1)
        buffer = scan.filled(store.source, store.offset + first, store.offset + last)
        low, high = begin - first, found.end - first
        ranges = self.candidates(buffer, low, high, last - first) if self.literal else ((low, high),)
        text = memoryview(buffer)[: last - first]
        for start, end in ranges:
            for match in self.regexp.finditer(text, start, end):
                self.tick()
                span = match.span()
                found.positions.append(first + span[0])
                found.positions.append(first + span[1])
                if len(found.positions) >= _MAX_POSITIONS:
                    found.resume = first + span[1]
                    return

    def candidates(self, buffer: bytearray, low: int, high: int, size: int) -> Iterator[ByteSpan]:
        """Yield the lines that contain the literal, between two positions of a buffer with `size` valid bytes."""
        done = low
        for number, at in enumerate(scan.found(buffer, size, self.literal)):
            if at >= high:
                return
            if at < done:
                continue
            if number > _MANY_LINES:
                yield done, high
                return
            start = max(buffer.rfind(b"\n", done, at) + 1, done)
            end = buffer.find(b"\n", at, high)
            done = end if end >= 0 else high
            yield start, done

    def rest(self, begin: int, end: int) -> Iterator[ByteSpan]:
        """Yield the matches from a position on, one by one."""
        part = WindowBytes.of(self.store, begin, end)
        for match in self.regexp.finditer(part.data, begin - part.base, end - part.base):
            self.tick()
            start, finish = match.span()
            yield start + part.base, finish + part.base
