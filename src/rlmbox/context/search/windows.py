"""Matches of a pattern in a text of any size, window by window.

The deadline is checked between windows, and only one window of a file is in memory. Windows overlap, so that a match
that crosses the end of one is whole in the next. After the first one, threads search windows in advance; their results
are used if no match extends into the window from before, and discarded otherwise.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from rlmbox.context.search.matching import Matcher
from rlmbox.context.storage import scan
from rlmbox.context.storage.source import InMemory
from rlmbox.context.storage.text import TextStore

FILE_WINDOW_BYTES = 8 * 1024 * 1024
"""A window of a file is read into memory, once for each thread."""

ByteSpan = tuple[int, int]

_CONTEXT_BYTES = 4
_MAX_AHEAD_POSITIONS = 200_000
# Starting threads costs about as much as searching this many bytes.
_WORTH_THREADS_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WindowBytes:
    """Bytes of a text, with adjacent ones that determine word and line boundaries.

    Attributes:
        data: The bytes.
        base: Position of the first one in the text.
    """

    data: Any
    base: int

    @classmethod
    def of(cls, store: TextStore, begin: int, end: int, *, lent: bool = False) -> WindowBytes:
        """Return the bytes between two positions, and a few around them.

        Args:
            store: The text.
            begin: The first position.
            end: The last one.
            lent: Whether the bytes may be overwritten by the next such call of this thread.
        """
        if isinstance(store.source, InMemory):
            return cls(store.buffer, 0)
        first, last = max(0, begin - _CONTEXT_BYTES), min(store.size_bytes, end + _CONTEXT_BYTES)
        if not lent:
            return cls(store.read(first, last), first)
        buffer = scan.filled(store.source, store.offset + first, store.offset + last)
        return cls(memoryview(buffer)[: last - first], first)


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """A part of the text that is searched at once.

    A match is certain, that is, the same as in a search of the whole text, if its start and its length leave room for
    every longer match of the pattern.

    Attributes:
        begin: Its start.
        end: Its end.
        sure: Position before which a match must begin to be certain.
        overlap: Length in bytes below which a match is certain.
        whole: Whether it ends with the text.
    """

    begin: int
    end: int
    sure: int
    overlap: int
    whole: bool

    @classmethod
    def at(cls, store: TextStore, begin: int, size: int, overlap: int) -> SearchWindow:
        """Return the window that begins at a position."""
        end = store.aligned(min(begin + size, store.size_bytes))
        return cls(begin, end, store.aligned(max(begin, end - overlap)), overlap, end >= store.size_bytes)


@dataclass(slots=True)
class _State:
    """The progress of a search.

    Attributes:
        position: Start of the remaining text.
        last: The previous match.
        beyond: A larger window to search again for a match that was too long to be certain.
    """

    position: int
    last: ByteSpan = (-1, -1)
    beyond: SearchWindow | None = None


@dataclass(slots=True)
class _WindowMatches:
    """The matches in a window, found by a thread.

    Attributes:
        window: The window.
        spans: The matches, as pairs of positions.
        state: The progress of the search.
        is_complete: Whether it reached the window's end.
    """

    window: SearchWindow
    spans: array[int]
    state: _State
    is_complete: bool = True


def find_spans(store: TextStore, matcher: Matcher, tick: scan.Tick, position: int = 0) -> Iterator[ByteSpan]:
    """Yield the spans that a pattern matches, in bytes.

    Args:
        store: The text.
        matcher: The pattern.
        tick: Called periodically; an exception that it raises ends the search.
        position: Where to begin; the text before it is context.
    """
    return _Search(store, matcher, tick).spans(position)


class _Search:
    def __init__(self, store: TextStore, matcher: Matcher, tick: scan.Tick) -> None:
        self.store, self.matcher, self.tick = store, matcher, tick
        in_memory, least = isinstance(store.source, InMemory), matcher.least_overlap_bytes
        size = matcher.window_bytes if in_memory else min(matcher.window_bytes, FILE_WINDOW_BYTES)
        self.size = max(size, 2 * least)
        self.overlap = least if matcher.is_bounded else max(self.size // 8, least)
        # In memory a window costs nothing; in a file it must not grow to the whole file.
        self.largest = store.size_bytes if in_memory else 4 * self.size

    def spans(self, position: int) -> Iterator[ByteSpan]:
        # A pattern that looks back consumes the character before the first match.
        begin = self.store.aligned(position - 1) if self.matcher.looks_back and position else position
        state, window = _State(position), SearchWindow.at(self.store, begin, self.size, self.overlap)
        ahead = _Ahead(self)
        try:
            while True:
                found = ahead.of(window)
                if found and state.position <= window.begin:
                    yield from _pairs(found.spans)
                    state = found.state
                if not found or state is not found.state or not found.is_complete:
                    yield from self.search(window, state)
                at = window
                while state.beyond:
                    at, state.beyond = state.beyond, None
                    self.tick()
                    yield from self.search(at, state)
                self.tick()
                if at.whole:
                    return
                state.position = max(state.position, at.sure)
                window = next(later for later in self.from_window(window) if later.whole or later.sure > at.sure)
        finally:
            ahead.close()

    def from_window(self, window: SearchWindow) -> Iterator[SearchWindow]:
        """Yield the windows from one on; each begins where the matches of the previous one are no longer certain."""
        yield window
        while not window.whole:
            window = SearchWindow.at(self.store, window.sure, self.size, self.overlap)
            yield window

    def look_ahead(self, window: SearchWindow) -> _WindowMatches:
        """Search a window as if no match extended into it."""
        found = _WindowMatches(window, array("Q"), _State(window.begin))
        for span in self.search(window, found.state, lent=True):
            found.spans.extend(span)
            if len(found.spans) >= _MAX_AHEAD_POSITIONS:
                found.is_complete = False
                break
        return found

    def search(self, window: SearchWindow, state: _State, *, lent: bool = False) -> Iterator[ByteSpan]:
        part = WindowBytes.of(self.store, window.begin, window.end, lent=lent)
        return self.marked(part, window, state) if self.matcher.has_marks else self.plain(part, window, state)

    def plain(self, part: WindowBytes, window: SearchWindow, state: _State) -> Iterator[ByteSpan]:
        base = part.base
        begin = max(state.position, window.begin) - base
        for match in self.matcher.regexp.finditer(part.data, begin, window.end - base):
            self.tick()
            start, end = match.span()
            span = start + base, end + base
            if self.is_beyond(span, window, state):
                return
            if span != state.last:  # the package reports empty matches twice
                state.last, state.position = span, span[1]
                yield span

    def marked(self, part: WindowBytes, window: SearchWindow, state: _State) -> Iterator[ByteSpan]:
        """Do the same where a match is only a part of what RE2 reports, so that each search starts anew."""
        store, base, looks_back = self.store, part.base, self.matcher.looks_back
        state.position = max(state.position, window.begin)
        blocked = -1
        while state.position <= window.end:
            self.tick()
            # A pattern that looks back consumes one character before.
            origin = state.position
            if looks_back and origin not in (0, blocked):
                origin = max(store.aligned(origin - 1), window.begin)
            match = self.matcher.regexp.search(part.data, origin - base, window.end - base)
            if match is None:
                return
            start, end = match.span()
            if self.is_beyond((start + base, end + base), window, state):
                return
            begin, finish = (place + base for place in self.matcher.span(match))
            if begin < state.position:
                # At the beginning of the text nothing is consumed: its first word would be found again and again.
                blocked = state.position
                continue
            state.position = finish if finish > begin else store.next_char(finish)
            yield begin, finish

    def is_beyond(self, span: ByteSpan, window: SearchWindow, state: _State) -> bool:
        """Return whether a match is uncertain in a window; if it is only too long, request a larger one."""
        if window.whole or (span[0] < window.sure and span[1] - span[0] < window.overlap):
            return False
        if span[0] < window.sure:
            size = 2 * (window.end - window.begin)
            if size > 2 * self.largest:
                return False  # too long for any window: it is cut
            state.beyond = SearchWindow.at(self.store, span[0], size, 2 * window.overlap)
        return True


class _Ahead:
    """Windows that threads search in advance."""

    def __init__(self, search: _Search) -> None:
        self._search = search
        self._results: Generator[_WindowMatches, None, None] | None = None
        self._is_first = True

    def of(self, window: SearchWindow) -> _WindowMatches | None:
        """Return the matches in a window; None in the first one, and if threads are not worthwhile."""
        if self._results is None:
            first, self._is_first = self._is_first, False
            if first or self._search.store.size_bytes - window.begin < _WORTH_THREADS_BYTES:
                return None
            self._results = scan.in_order(self._search.look_ahead, self._search.from_window(window))
        return next(found for found in self._results if found.window.begin == window.begin)

    def close(self) -> None:
        """Stop the threads."""
        if self._results is not None:
            self._results.close()


def _pairs(positions: array[int]) -> Iterator[ByteSpan]:
    each = iter(positions)
    return zip(each, each, strict=True)
