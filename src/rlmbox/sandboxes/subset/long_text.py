"""The handle of a context that is too long to be a `str`: it reads parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rlmbox.context import Context

_BATCH_CHARS = 1 << 18
_MAX_LINE_CHARS = 1 << 24


class LongText:
    """A long text, accessed by position.

    Args:
        context: The text.
        ask: Calls a host function by name with its arguments, for what only the host does in linear time.
        name: The variable that holds it.
    """

    __slots__ = ("_ask", "_context", "name")

    def __init__(self, context: Context, ask: Callable[..., Any], name: str = "context") -> None:
        self._context, self._ask, self.name = context, ask, name

    def __len__(self) -> int:
        return self._context.length

    def __getitem__(self, key: Any) -> str:
        if key.__class__ is slice:
            first, last, step = key.indices(self._context.length)
            if step == 1:
                return self._context.slice(first, max(first, last))
            places = range(first, last, step)
            if not places:
                return ""
            low, high = min(places[0], places[-1]), max(places[0], places[-1])
            return self._context.slice(low, high + 1)[::step]
        if key.__class__ not in (int, bool):
            raise TypeError(f"string indices must be integers, not '{key.__class__.__name__}'")
        place = key + self._context.length if key < 0 else key
        if not 0 <= place < self._context.length:
            raise IndexError("string index out of range")
        return self._context.slice(place, place + 1)

    def __contains__(self, item: object) -> bool:
        if item.__class__ is LongText:
            return item is self or item == self
        if item.__class__ is not str:
            raise TypeError(f"'in <string>' requires string as left operand, not {item.__class__.__name__}")
        return item == "" or self.find(item) >= 0

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if not isinstance(other, str) or len(other) != self._context.length:
            return False
        size = _BATCH_CHARS
        return all(
            self._context.slice(at, min(at + size, len(other))) == other[at : at + size]
            for at in range(0, len(other), size)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.name}: {self._context.length:,} characters; {self.name}[a:b] is a str>"

    def __str__(self) -> str:
        raise needs_whole("str", self)

    def _span(self, start: Any, end: Any) -> tuple[int, int]:
        first, last, _ = slice(start, end).indices(self._context.length)
        beyond = first == self._context.length and start is not None and start > first
        return first + beyond, last  # beyond the end of a `str` there is not even the empty text

    def find(self, sub: Any, start: Any = None, end: Any = None) -> int:
        """Return the position of the first occurrence, or -1."""
        return self._look("find", sub, start, end)

    def rfind(self, sub: Any, start: Any = None, end: Any = None) -> int:
        """Return the position of the last occurrence, or -1."""
        return self._look("rfind", sub, start, end)

    def index(self, sub: Any, start: Any = None, end: Any = None) -> int:
        """Return the position of the first occurrence.

        Raises:
            ValueError: There is none.
        """
        found = self.find(sub, start, end)
        if found < 0:
            raise ValueError("substring not found")
        return found

    def rindex(self, sub: Any, start: Any = None, end: Any = None) -> int:
        """Return the position of the last occurrence.

        Raises:
            ValueError: There is none.
        """
        found = self.rfind(sub, start, end)
        if found < 0:
            raise ValueError("substring not found")
        return found

    def count(self, sub: Any, start: Any = None, end: Any = None) -> int:
        """Count the non-overlapping occurrences."""
        first, last = self._span(start, end)
        if sub == "":
            return max(0, last - first) + 1 if last >= first else 0
        return self._look("count", sub, start, end)

    def _look(self, name: str, sub: Any, start: Any, end: Any) -> int:
        if sub.__class__ is LongText:
            raise needs_whole("a search", self)
        first, last = self._span(start, end)
        if sub == "":
            return -1 if first > last else first if name == "find" else last
        if last - first < len(sub):
            return 0 if name == "count" else -1
        return int(self._ask(name, sub, first, last))

    def startswith(self, prefix: Any, start: Any = None, end: Any = None) -> bool:
        """Return whether the text, or a part, starts with one of the given strings."""
        first, last = self._span(start, end)
        return any(
            last - first >= len(each) and self._context.slice(first, first + len(each)) == each
            for each in _texts("startswith", prefix)
        )

    def endswith(self, suffix: Any, start: Any = None, end: Any = None) -> bool:
        """Return whether the text, or a part, ends with one of the given strings."""
        first, last = self._span(start, end)
        return any(
            last - first >= len(each) and self._context.slice(last - len(each), last) == each
            for each in _texts("endswith", suffix)
        )

    def __iter__(self) -> Iterator[str]:
        for at in range(0, self._context.length, _BATCH_CHARS):
            yield from self._context.slice(at, min(at + _BATCH_CHARS, self._context.length))

    def lines(self, *, keepends: bool) -> Iterator[str]:
        """Iterate over the lines, as split by `splitlines`."""
        at = 0
        while at < self._context.length:
            piece, at = self._batch(at)
            yield from piece.splitlines(keepends)

    def _batch(self, at: int) -> tuple[str, int]:
        """Return a batch of whole lines, and the position after it."""
        size = _BATCH_CHARS
        while size <= _MAX_LINE_CHARS:
            last = min(at + size, self._context.length)
            piece = self._context.slice(at, last)
            if last == self._context.length:
                return piece, last
            whole = len(piece) - len(piece.splitlines(keepends=True)[-1])
            if whole:
                return piece[:whole], at + whole
            size *= 4
        raise ValueError(f"a line is longer than {_MAX_LINE_CHARS:,} characters: take parts with {self.name}[a:b]")


def _texts(name: str, given: Any) -> Iterator[str]:
    for each in given if given.__class__ is tuple else (given,):
        if each.__class__ is LongText:
            raise needs_whole(name, each)
        getattr("x", name)((each,))  # raises what a `str` would for one that is none
        yield each


def needs_whole(name: str, text: Any) -> TypeError:
    """Return the error for an operation that needs the whole text.

    Args:
        name: The operation.
        text: The handle.
    """
    of = text.name
    what, more = ("the context", ", or use ctx") if of == "context" else (of, "")
    return TypeError(f"{name} needs all of {what} at once, which is too long for that: take a part, {of}[a:b]{more}")
