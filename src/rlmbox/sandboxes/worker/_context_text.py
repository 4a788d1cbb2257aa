"""What `context` is inside a sandbox where the text is too long to be a `str` there: reads parts, has scans made.

Runs inside the sandbox, from source that the start frame carries beside that of `_repl.py`: standard library only,
Python 3.11 and later, nothing of rlmbox. Whatever an operation gives is what the real `str` would give; an operation
that would need the whole text at once is refused with a word on what to use instead.
"""

from __future__ import annotations

import codecs
from operator import index as whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, Protocol

    class Scans(Protocol):
        """The functions of the host that work on the text; see `rlmbox.sandboxes._large_text`."""

        def slice(self, start: int, end: int) -> str: ...
        def byte_range(self, start: int, end: int) -> list[int]: ...
        def find(self, sub: str, start: int, end: int) -> int: ...
        def rfind(self, sub: str, start: int, end: int) -> int: ...
        def count(self, sub: str, start: int, end: int) -> int: ...
        def line_count(self) -> int: ...
        def line_span(self, first: int, last: int) -> list[int]: ...


SLICE_CHARS = 16_000_000
PIECE_CHARS = 1 << 18
ASKED_CHARS = 1 << 20  # of one answer of the host, which travels as JSON
PARTS = "read a part with context[a:b] or ctx.slice(start, end), look something up with ctx.search(pattern)"
HINTS = {
    **dict.fromkeys(
        ("casefold", "lower", "swapcase", "title", "upper"),
        "ctx.search(pattern, case_sensitive=False) finds something in either case; context[a:b].lower() takes a part",
    ),
    **dict.fromkeys(
        ("split", "rsplit", "partition", "rpartition"),
        "`for line in context.splitlines()` gives the lines one by one; context.find(sub) gives positions to cut at",
    ),
    "re.split": "re.finditer(pattern, context) gives positions to cut at",
    "replace": "change a part: context[a:b].replace(old, new)",
    "re.sub": "change a part: re.sub(pattern, new, context[a:b])",
    "in reverse": "context[-1:-1001:-1] gives the last characters in reverse",
    "as a key": "use a position or a slice as the key",
}


class Reader:
    """Gives parts of the text.

    Args:
        length: Characters of the text.
        scans: The host's functions.
        fetch: Gives bytes of the text's UTF-8 from a position to another; None where the host gives all parts.
        is_ascii: Whether positions of bytes are those of characters.
    """

    def __init__(
        self, length: int, scans: Scans, fetch: Callable[[int, int], bytes] | None = None, *, is_ascii: bool = False
    ) -> None:
        self.length, self.scans, self.is_ascii = length, scans, is_ascii
        self._fetch = fetch

    def read(self, start: int, end: int) -> str:
        """Gives the characters from a position to another."""
        if self._fetch is not None and (self.is_ascii or end - start > ASKED_CHARS):
            first, last = (start, end) if self.is_ascii else self.scans.byte_range(start, end)
            return self._fetch(first, last).decode()
        if end - start <= ASKED_CHARS:
            return self.scans.slice(start, end) if start < end else ""
        return "".join(self.pieces(start, end, ASKED_CHARS))

    def pieces(self, start: int, end: int, chars: int = PIECE_CHARS) -> Iterator[str]:
        """Gives the same in pieces of about so many characters, read one after the other."""
        if self._fetch is None or self.is_ascii:
            for at in range(start, end, chars):
                yield self.read(at, min(at + chars, end))
        elif start < end:
            at, last = self.scans.byte_range(start, end)
            decoder = codecs.getincrementaldecoder("utf-8")()
            while at < last:
                yield decoder.decode(self._fetch(at, min(at + chars, last)))
                at += chars

    def lines(self, keepends: bool) -> Iterator[str]:
        """Gives the lines as `str.splitlines` cuts them."""
        rest = ""
        for piece in self.pieces(0, self.length):
            lines = (rest + piece).splitlines(keepends=True)
            # The last one may go on in the next piece, even if only with the second half of its end of line.
            rest = lines.pop() if lines else ""
            yield from lines if keepends else (line.splitlines()[0] for line in lines)
        if rest:
            yield rest if keepends else rest.splitlines()[0]


class LargeText:
    """The text, as far as a `str` can be had without holding it.

    Iteration gives lines, each with its end, as that of a file does.

    Args:
        reader: Gives parts of it.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._length = reader.length

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # So that `isinstance(context, str)` is true; `type(context)` tells the truth.
        return _AsStr

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: int | slice) -> str:
        if not isinstance(key, slice):
            try:
                at = range(self._length)[whole_number(key)]
            except IndexError:
                raise IndexError("string index out of range") from None
            return self._reader.read(at, at + 1)
        places = range(self._length)[key]
        if len(places) > SLICE_CHARS:
            raise refusal(f"a slice of {len(places):,} characters", self)
        if places.step == 1:
            return self._reader.read(places.start, max(places.start, places.stop))
        return self._picked(places) if places.step > 0 else self._picked(places[::-1])[::-1]

    def _picked(self, places: range) -> str:
        """Gives the characters at places that are a step apart."""
        if not places:
            return ""
        if len(places) < 100 and places.step > PIECE_CHARS:
            return "".join(self._reader.read(at, at + 1) for at in places)
        parts, skip = [], 0
        for piece in self._reader.pieces(places[0], places[-1] + 1):
            parts.append(piece[skip :: places.step])
            skip = (skip - len(piece)) % places.step if len(piece) > skip else skip - len(piece)
        return "".join(parts)

    def _within(self, start: Any, end: Any) -> tuple[int, int] | None:
        """Gives the bounds of a search as `str` takes them; None where the start lies beyond the end."""
        first = 0 if start is None else whole_number(start)
        last = self._length if end is None else whole_number(end)
        first = max(0, first + self._length) if first < 0 else first
        last = max(0, last + self._length) if last < 0 else min(last, self._length)
        return (first, last) if first <= last else None

    def find(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Finds the first occurrence, as `str.find` does."""
        return self._found("find", sub, start, end)

    def rfind(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Finds the last occurrence, as `str.rfind` does."""
        return self._found("rfind", sub, start, end)

    def _found(self, scan: str, sub: str, start: Any, end: Any) -> int:
        bounds = self._within(start, end)
        if _text(sub, "must be str, not") and bounds is not None and len(sub) <= bounds[1] - bounds[0]:
            if sub:
                at: int = getattr(self._reader.scans, scan)(sub, *bounds)
                return at
            return bounds[0] if scan == "find" else bounds[1]
        return -1

    def index(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Finds the first occurrence, as `str.index` does."""
        return _found_at(self.find(sub, start, end))

    def rindex(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Finds the last occurrence, as `str.rindex` does."""
        return _found_at(self.rfind(sub, start, end))

    def count(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Counts occurrences that do not overlap, as `str.count` does."""
        bounds = self._within(start, end)
        if not _text(sub, "must be str, not") or bounds is None or len(sub) > bounds[1] - bounds[0]:
            return 0
        return self._reader.scans.count(sub, *bounds) if sub else bounds[1] - bounds[0] + 1

    def __contains__(self, sub: str) -> bool:
        return bool(_text(sub, "'in <string>' requires string as left operand, not")) and self.find(sub) >= 0

    def startswith(self, prefix: str | tuple[str, ...], start: int | None = None, end: int | None = None, /) -> bool:
        """Tells whether the text between `start` and `end` begins so, as `str.startswith` does."""
        return self._has_edge(prefix, start, end, at_end=False)

    def endswith(self, suffix: str | tuple[str, ...], start: int | None = None, end: int | None = None, /) -> bool:
        """Tells whether the text between `start` and `end` ends so, as `str.endswith` does."""
        return self._has_edge(suffix, start, end, at_end=True)

    def _has_edge(self, edge: Any, start: Any, end: Any, *, at_end: bool) -> bool:
        if isinstance(edge, tuple):
            return any(self._has_edge(one, start, end, at_end=at_end) for one in edge)
        name = "endswith" if at_end else "startswith"
        bounds = self._within(start, end)
        _text(edge, f"{name} first arg must be str or a tuple of str, not")
        if bounds is None or len(edge) > bounds[1] - bounds[0]:
            return False
        at = bounds[1] - len(edge) if at_end else bounds[0]
        return self._reader.read(at, at + len(edge)) == str(edge)

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, str) or not issubclass(type(other), str):
            return self is other
        if len(other) != self._length:
            return False
        at = 0
        for piece in self._reader.pieces(0, self._length):
            if other[at : at + len(piece)] != piece:
                return False
            at += len(piece)
        return True

    def __hash__(self) -> int:
        raise refusal("the whole text as a key", self, HINTS["as a key"])

    def isascii(self) -> bool:
        """Tells whether all characters are ASCII."""
        return self._reader.is_ascii

    def splitlines(self, keepends: bool = False) -> Lines:
        """Gives the lines as `str.splitlines` cuts them, read when they are asked for."""
        return Lines(self._reader, keepends)

    def __iter__(self) -> Iterator[str]:
        rest: list[str] = []
        for piece in self._reader.pieces(0, self._length):
            first, *more = piece.split("\n")
            rest.append(first)
            if more:
                yield "".join(rest) + "\n"
                yield from (line + "\n" for line in more[:-1])
                rest = [more[-1]]
        if last := "".join(rest):
            yield last

    def pieces(self, start: int, end: int, chars: int) -> Iterator[str]:
        """Gives a part in pieces of about so many characters."""
        return self._reader.pieces(start, end, chars)

    def refuse_to_leave(self) -> NoReturn:
        """Raise the error of the whole text as an argument of a host call or as an answer; see `_values.py`."""
        raise refusal("the whole text as one value", self)

    def __reversed__(self) -> NoReturn:
        raise refusal("the whole text in reverse", self, HINTS["in reverse"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(str, name):
            raise AttributeError(f"the context has no attribute {name!r}: {PARTS}")

        def refuse(*args: object, **options: object) -> NoReturn:
            raise refusal(f"{name}() of the whole text", self, HINTS.get(name, PARTS))

        return refuse

    def _refuse(self, *_: object) -> NoReturn:
        raise refusal("the whole text in one piece", self)

    __str__ = __format__ = __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse

    def __repr__(self) -> str:
        return f"<context of {self._length:,} characters; {PARTS}>"


class _AsStr(str):
    """What the handle says its class is."""

    __slots__ = ()


_AsStr.__name__ = _AsStr.__qualname__ = LargeText.__name__


class Lines:
    """The lines of the text, read when they are asked for.

    Args:
        reader: Gives parts of the text.
        keepends: Whether lines have their ends.
    """

    def __init__(self, reader: Reader, keepends: bool) -> None:
        self._reader, self._keepends = reader, keepends

    def __iter__(self) -> Iterator[str]:
        return self._reader.lines(self._keepends)

    def __len__(self) -> int:
        return self._reader.scans.line_count()

    def __getitem__(self, key: int | slice) -> Any:
        if not isinstance(key, slice):
            if not -len(self) <= whole_number(key) < len(self):
                raise IndexError("list index out of range")
            at = whole_number(key) % len(self)
            return self[at : at + 1][0]
        places = range(len(self))[key]
        if not places:
            return []
        first, last = min(places[0], places[-1]), max(places[0], places[-1]) + 1
        start, end = self._reader.scans.line_span(first, last)
        if end - start > SLICE_CHARS:
            raise TypeError(f"{last - first:,} lines would not fit in memory: take fewer, or go through all with `for`")
        lines = self._reader.read(start, end).splitlines(self._keepends)
        return [lines[at - first] for at in places]

    def __repr__(self) -> str:
        return "<the lines of the context; go through them with `for`, or take some with [a:b]>"


def refuse_json(context: LargeText) -> None:
    """Has `json` say what to do instead, where it is given the text."""
    import json

    encode, default = json.JSONEncoder.encode, json.JSONEncoder.default

    def encode_other(encoder: json.JSONEncoder, value: Any) -> str:
        if value is context:
            raise refusal("json.dumps() of the whole text", context)
        return encode(encoder, value)

    def default_other(encoder: json.JSONEncoder, value: Any) -> Any:
        if value is context:
            raise refusal("json.dumps() of the whole text", context)
        return default(encoder, value)

    for name, function in {"encode": encode_other, "default": default_other}.items():
        setattr(json.JSONEncoder, name, function)


def _text(sub: object, message: str) -> bool:
    if not issubclass(type(sub), str):
        raise TypeError(f"{message} {type(sub).__name__}")
    return True


def _found_at(at: int) -> int:
    if at < 0:
        raise ValueError("substring not found")
    return at


def refusal(what: str, text: LargeText, hint: str = PARTS) -> TypeError:
    """Gives the error of an operation that would need the whole text."""
    return TypeError(f"{what} would not fit in memory; the context has {len(text):,} characters: {hint}")
