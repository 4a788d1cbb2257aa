"""The handle `context` in a sandbox where the text is too long to be a `str`: reads parts, has the host scan the rest.

Runs inside the sandbox, from source that the start frame carries beside that of `_repl.py`: standard library only,
Python 3.11 and later, nothing of rlmbox. Operations return what a real `str` would: a part is a `str`, a longer part or
a copy that keeps positions (`strip`, `lower`) is a view, and the parts of `split` are sliced lazily. What would need
the whole text at once is refused, with advice on what to use instead.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import wraps
from itertools import islice, zip_longest
from operator import index as whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, Protocol

    class Scans(Protocol):
        """The host's functions on the text; see `rlmbox.sandboxes._large_text`."""

        def slice(self, start: int, end: int) -> str: ...
        def anchors(self, block: int) -> list[int]: ...
        def find(self, sub: str, start: int, end: int) -> int: ...
        def rfind(self, sub: str, start: int, end: int) -> int: ...
        def count(self, sub: str, start: int, end: int) -> int: ...
        def line_count(self) -> int: ...
        def line_span(self, first: int, last: int) -> list[int]: ...
        def matches(self, pattern: str, flags: int, span: list[int], part: list[int], most: int) -> list[Any]: ...


SLICE_CHARS = 16_000_000
PIECE_CHARS = 1 << 18
NEAR_CHARS = 1 << 12  # searching so many characters here costs less than asking the host
ASKED_CHARS = 1 << 20  # per answer of the host, which is sent as JSON
ANCHOR_CHARS, BLOCK_ANCHORS = 1 << 15, 32  # as in `_large_text.py`
KEPT_EVERY = 64  # the position of every so many-th part of a split text is kept
SHOWN_CHARS = 20_000
PARTS = "read a part with context[a:b] or ctx.slice(start, end), look something up with ctx.search(pattern)"
PARTS_OF_INPUT = "read a part with context[a:b], look something up with re.search(pattern, context)"
TO_CHANGE = "make a list of those that you need, such as [*lines[a:b]] or [line for line in lines if …]"
_EITHER_CASE = "re.search(pattern, context, re.I) finds something in either case; context[a:b].{name}() takes a part"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
HINTS = {
    **{name: _EITHER_CASE.format(name=name) for name in ("casefold", "lower", "swapcase", "title", "upper")},
    "replace": "change a part: context[a:b].replace(old, new)",
    "translate": "change a part: context[a:b].translate(table)",
    "expandtabs": "change a part: context[a:b].expandtabs()",
    "encode": "encode a part: context[a:b].encode()",
    "as a key": "use a position or a slice as the key",
}


class Reader:
    """Reads parts of the text.

    Args:
        length: Length of the text in characters.
        scans: The host's functions.
        fetch: Returns a byte range of the text's UTF-8; None if the host reads all parts.
        is_ascii: Whether byte positions are character positions.
        name: The variable of the text.
    """

    def __init__(
        self,
        length: int,
        scans: Scans,
        fetch: Callable[[int, int], bytes] | None = None,
        *,
        is_ascii: bool = False,
        name: str = "context",
    ) -> None:
        self.length, self.scans, self.is_ascii, self.name = length, scans, is_ascii, name
        self._fetch = fetch
        self._anchors: dict[int, list[int]] = {}
        self._kept, self._kept_at, self._last_end = "", 0, -1

    def read(self, start: int, end: int) -> str:
        """Return a range of characters."""
        if start >= end:
            return ""
        if self._fetch is not None and self.is_ascii:
            return self._fetch(start, end).decode()
        kept_end = self._kept_at + len(self._kept)
        if not self._kept_at <= start < end <= kept_end:
            # A sequential reader is given more at once.
            ahead = ASKED_CHARS // 4 if self._fetch is None and start == self._last_end else 0
            self._kept, self._kept_at = self._read(start, min(max(end, start + ahead), self.length))
        self._last_end = end
        part = self._kept[start - self._kept_at : end - self._kept_at]
        if len(self._kept) > ASKED_CHARS:
            self._kept = ""
        return part

    def _read(self, start: int, end: int) -> tuple[str, int]:
        """Return a text that contains a range of characters, and its start."""
        if self._fetch is None:
            steps = range(start, end, ASKED_CHARS)
            return "".join(self.scans.slice(at, min(at + ASKED_CHARS, end)) for at in steps), start
        first, last = start // ANCHOR_CHARS, -(-end // ANCHOR_CHARS)
        return self._fetch(self._anchor(first), self._anchor(last)).decode(), first * ANCHOR_CHARS

    def _anchor(self, number: int) -> int:
        """Return the byte position of an anchor: one of the characters at regular intervals."""
        block = max(number - 1, 0) // BLOCK_ANCHORS  # each block includes the end of its last part
        anchors = self._anchors.get(block)
        if anchors is None:
            anchors = self._anchors[block] = self.scans.anchors(block)
        return anchors[number - block * BLOCK_ANCHORS]

    def near(self, start: int, end: int) -> str:
        """Return the beginning of a range if that can be read without asking the host; empty otherwise."""
        return self.read(start, min(end, start + NEAR_CHARS)) if self._fetch is not None else ""

    def pieces(self, start: int, end: int, chars: int = PIECE_CHARS) -> Iterator[str]:
        """Yield a range of characters in pieces of `chars`."""
        for at in range(start, end, chars):
            yield self.read(at, min(at + chars, end))

    @property
    def what(self) -> str:
        """A description of the text for sentences."""
        return "the context" if self.name == "context" else self.name

    def hint(self, words: str) -> str:
        """Return advice that uses the text's own name; on reading parts, if there is no other."""
        words = words or (PARTS if self.name == "context" else PARTS_OF_INPUT)
        return words.replace("context", self.name)


class LargeText:
    """The text, or a part of it, with the interface of a `str` as far as possible without holding the text.

    Args:
        reader: Reads parts of the text.
        start: Its start.
        end: Its end; by default that of the reader's text.
    """

    __slots__ = ("_length", "_reader", "_start")
    maketrans = staticmethod(str.maketrans)

    def __init__(self, reader: Reader, start: int = 0, end: int | None = None) -> None:
        self._reader, self._start = reader, start
        self._length = (reader.length if end is None else end) - start

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # So that `isinstance(context, str)` is true; `type(context)` is this class.
        return _AsStr

    def __len__(self) -> int:
        return self._length

    @property
    def reader(self) -> Reader:
        """The reader of the text that this is, or is a part of."""
        return self._reader

    def _read(self, start: int, end: int) -> str:
        return self._reader.read(self._start + start, self._start + end)

    def _view(self, start: int, end: int) -> LargeText:
        return LargeText(self._reader, self._start + start, self._start + end)

    def _scan(self, name: str, sub: str, start: int, end: int) -> int:
        """Have the host do `find` or `rfind`; what is near, as in a loop over all occurrences, is found here."""
        start, end = self._start + start, self._start + end
        near = self._reader.near(start, end) if name == "find" else ""
        if (at := near.find(sub)) >= 0:
            return start + at - self._start
        beyond = max(start, start + len(near) - len(sub) + 1)
        at = getattr(self._reader.scans, name)(sub, beyond, end) if beyond + len(sub) <= end else -1
        return at - self._start if at >= 0 else -1

    def _count(self, sub: str, start: int, end: int) -> int:
        return self._reader.scans.count(sub, self._start + start, self._start + end)

    def matches(self, pattern: str, flags: int, start: int, end: int, most: int) -> list[Any]:
        """Return matches of a pattern, found by the host: [start, end, the text around, the start of that]."""
        part = [self._start, self._start + self._length]
        return self._reader.scans.matches(pattern, flags, [start, end], part, most)

    def __getitem__(self, key: int | slice) -> Any:
        if not isinstance(key, slice):
            place = place_of(key, "x")
            try:
                at = range(self._length)[place]
            except IndexError:
                raise IndexError("string index out of range") from None
            return self._read(at, at + 1)
        places = range(self._length)[key]
        if places.step == 1:
            first, last = places.start, max(places.start, places.stop)
            return self._read(first, last) if last - first <= SLICE_CHARS else self._view(first, last)
        if len(places) > SLICE_CHARS:
            raise refusal(f"a slice of {len(places):,} characters", self)
        return self._picked(places) if places.step > 0 else self._picked(places[::-1])[::-1]

    def _picked(self, places: range) -> str:
        """Return the characters at regularly spaced positions."""
        if not places:
            return ""
        if len(places) < 100 and places.step > PIECE_CHARS:
            return "".join(self._read(at, at + 1) for at in places)
        parts, skip = [], 0
        for piece in self.pieces(places[0], places[-1] + 1):
            parts.append(piece[skip :: places.step])
            skip = (skip - len(piece)) % places.step if len(piece) > skip else skip - len(piece)
        return "".join(parts)

    def _within(self, start: Any, end: Any) -> tuple[int, int] | None:
        """Return the bounds of a search as for `str.find`; None if the start is beyond the end."""
        first = 0 if start is None else whole_number(start)
        last = self._length if end is None else whole_number(end)
        first = max(0, first + self._length) if first < 0 else first
        last = max(0, last + self._length) if last < 0 else min(last, self._length)
        return (first, last) if first <= last else None

    def find(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Find the first occurrence, as `str.find` does."""
        return self._found("find", sub, start, end)

    def rfind(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Find the last occurrence, as `str.rfind` does."""
        return self._found("rfind", sub, start, end)

    def _found(self, scan: str, sub: str, start: Any, end: Any) -> int:
        bounds = self._within(start, end)
        if bounds is None or len(sub) > bounds[1] - bounds[0]:
            return -1
        if is_whole(sub):
            return bounds[0] if self._is_all(sub, *bounds) else -1
        if sub:
            return self._scan(scan, sub, *bounds)
        return bounds[0] if scan == "find" else bounds[1]

    def _is_all(self, sub: Any, start: int, end: int) -> bool:
        """Return whether a long text is all of a part; whether it is within a longer one would take too long."""
        if len(sub) < end - start:
            raise refusal(f"a search for a text of {len(sub):,} characters", self)
        return bool(self._view(start, end) == sub)

    def index(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Find the first occurrence, as `str.index` does."""
        return _found_at(self.find(sub, start, end))

    def rindex(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Find the last occurrence, as `str.rindex` does."""
        return _found_at(self.rfind(sub, start, end))

    def count(self, sub: str, start: int | None = None, end: int | None = None, /) -> int:
        """Count occurrences without overlaps, as `str.count` does."""
        bounds = self._within(start, end)
        if bounds is None or len(sub) > bounds[1] - bounds[0]:
            return 0
        if is_whole(sub):
            return int(self._is_all(sub, *bounds))
        return self._count(sub, *bounds) if sub else bounds[1] - bounds[0] + 1

    def __contains__(self, sub: str) -> bool:
        stand_in(sub) in "xx"  # noqa: B015 - raises what a `str` would
        return self.find(sub) >= 0

    def startswith(self, prefix: str | tuple[str, ...], start: int | None = None, end: int | None = None, /) -> bool:
        """Return whether the text between `start` and `end` begins with a prefix, as `str.startswith` does."""
        return self._has_edge(prefix, start, end, at_end=False)

    def endswith(self, suffix: str | tuple[str, ...], start: int | None = None, end: int | None = None, /) -> bool:
        """Return whether the text between `start` and `end` ends with a suffix, as `str.endswith` does."""
        return self._has_edge(suffix, start, end, at_end=True)

    def _has_edge(self, edge: Any, start: Any, end: Any, *, at_end: bool) -> bool:
        name = "endswith" if at_end else "startswith"
        if isinstance(edge, tuple):
            # A call of a `str` with the prefix alone raises its error for one that is no text.
            return any(
                self._has_edge(one, start, end, at_end=at_end) if isinstance(one, str) else getattr("x", name)((one,))
                for one in edge
            )
        bounds = self._within(start, end)
        if bounds is None or len(edge) > bounds[1] - bounds[0]:
            return False
        at = bounds[1] - len(edge) if at_end else bounds[0]
        return bool(self._view(at, at + len(edge)) == edge)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not (issubclass(type(other), str) or is_whole(other)):
            return NotImplemented
        if len(other) != self._length:  # type: ignore[arg-type]
            return False
        at = 0
        for piece in self.pieces(0, self._length):
            if other[at : at + len(piece)] != piece:  # type: ignore[index]
                return False
            at += len(piece)
        return True

    def __hash__(self) -> int:
        raise refusal("the whole text as a key", self, HINTS["as a key"])

    def isascii(self) -> bool:
        """Return whether all characters are ASCII."""
        return self._reader.is_ascii or all(piece.isascii() for piece in self.pieces(0, self._length))

    def isspace(self) -> bool:
        """Return whether all characters are white space."""
        return self._all(str.isspace)

    def isalnum(self) -> bool:
        """Return whether all characters are letters or digits."""
        return self._all(str.isalnum)

    def isalpha(self) -> bool:
        """Return whether all characters are letters."""
        return self._all(str.isalpha)

    def isdecimal(self) -> bool:
        """Return whether all characters are decimal digits."""
        return self._all(str.isdecimal)

    def isdigit(self) -> bool:
        """Return whether all characters are digits."""
        return self._all(str.isdigit)

    def isnumeric(self) -> bool:
        """Return whether all characters are numeric."""
        return self._all(str.isnumeric)

    def isprintable(self) -> bool:
        """Return whether all characters can be printed."""
        return self._all(str.isprintable)

    def isidentifier(self) -> bool:
        """Return whether the text is an identifier."""
        return self[:1].isidentifier() and self._all(lambda piece: ("a" + piece).isidentifier())

    def islower(self) -> bool:
        """Return whether no cased character is in upper case, and there is one."""
        # After a lower-case letter, a piece without cased characters counts as lower case.
        return self._all(lambda piece: ("a" + piece).islower()) and self._any(str.islower)

    def isupper(self) -> bool:
        """Return whether no cased character is in lower case, and there is one."""
        return self._all(lambda piece: ("A" + piece).isupper()) and self._any(str.isupper)

    def _all(self, holds: Callable[[str], bool]) -> bool:
        return self._length > 0 and all(holds(piece) for piece in self.pieces(0, self._length))

    def _any(self, holds: Callable[[str], bool]) -> bool:
        return any(holds(piece) for piece in self.pieces(0, self._length))

    def center(self, width: int, _: str = " ", /) -> LargeText:
        """Return the text itself if it is at least that wide."""
        return self._padded("center", width)

    def ljust(self, width: int, _: str = " ", /) -> LargeText:
        """Return the text itself if it is at least that wide."""
        return self._padded("ljust", width)

    def rjust(self, width: int, _: str = " ", /) -> LargeText:
        """Return the text itself if it is at least that wide."""
        return self._padded("rjust", width)

    def zfill(self, width: int, /) -> LargeText:
        """Return the text itself if it is at least that wide."""
        return self._padded("zfill", width)

    def _padded(self, name: str, width: int) -> LargeText:
        if whole_number(width) > self._length:
            raise refusal(f"{name}() of the whole text", self)
        return self

    def expandtabs(self, tabsize: int = 8) -> LargeText:
        """Return the text itself if it has no tabs."""
        if self.find("\t") >= 0:
            raise refusal("expandtabs() of the whole text", self, HINTS["expandtabs"])
        return self

    # Copies: views of the text, or parts that are sliced lazily

    def strip(self, chars: str | None = None, /) -> Any:
        """Return the text without white space, or the given characters, at both ends."""
        chars = _characters(chars)
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None, /) -> Any:
        """Return the text without white space, or the given characters, at its beginning."""
        at = self._beginning(_characters(chars))
        return self if at == 0 else self[at:]

    def _beginning(self, chars: str | None) -> int:
        at = 0
        for piece in self.pieces(0, self._length):
            left = piece.lstrip(chars)
            at += len(piece) - len(left)
            if left:
                break
        return at

    def rstrip(self, chars: str | None = None, /) -> Any:
        """Return the text without white space, or the given characters, at its end."""
        end = self._length
        chars = _characters(chars)
        while end:
            piece = self._read(max(0, end - PIECE_CHARS), end)
            left = piece.rstrip(chars)
            end -= len(piece) - len(left)
            if left:
                break
        return self if end == self._length else self[:end]

    def removeprefix(self, prefix: str, /) -> Any:
        """Return the text without the given prefix."""
        return self[len(prefix) :] if prefix and self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> Any:
        """Return the text without the given suffix."""
        return self[: -len(suffix)] if suffix and self.endswith(suffix) else self

    def lower(self) -> LargeText:
        """Return a view in lower case, if that keeps every position."""
        if not self.isascii() and any(self.find(char) >= 0 for char in "\u0130\u03a3"):  # these depend on neighbours
            raise refusal("lower() of the whole text", self, HINTS["lower"])
        return CasedText(self, str.lower)

    def upper(self) -> LargeText:
        """Return a view of an ASCII text in upper case."""
        return self._cased("upper")

    def casefold(self) -> LargeText:
        """Return a view of an ASCII text for caseless comparison."""
        return self._cased("casefold")

    def swapcase(self) -> LargeText:
        """Return a view of an ASCII text with upper and lower case swapped."""
        return self._cased("swapcase")

    def _cased(self, name: str) -> LargeText:
        if not self.isascii():
            raise refusal(f"{name}() of the whole text", self, HINTS[name])
        return CasedText(self, getattr(str, name))

    def replace(self, old: str, new: str, count: int = -1, /) -> LargeText:
        """Return the text itself if there is nothing to replace."""
        if count and self.find(old) >= 0:
            raise refusal("replace() of the whole text", self, HINTS["replace"])
        return self

    def split(self, sep: str | None = None, maxsplit: int = -1) -> Any:
        """Return the parts as split by `str.split`, sliced lazily."""
        if is_whole(sep):
            raise refusal("split() at a text this long", self)
        found = self.spaces if sep is None else lambda at: self.occurrences(sep, at)
        if maxsplit < 0:
            return CutText(self, found, drop_empty=sep is None)
        if sep is not None:
            return list(CutText(self, found).up_to(maxsplit))
        text = self._view(self._beginning(None), self._length)
        return list(CutText(text, text.spaces, drop_empty=True).up_to(maxsplit))

    def rsplit(self, sep: str | None = None, maxsplit: int = -1) -> Any:
        """Return the parts as split by `str.rsplit`."""
        if maxsplit < 0:
            return self.split(sep)
        if sep is None:
            raise refusal("rsplit() at white space", self, "context.split() gives the parts one by one")
        parts: list[Any] = []
        text: Any = self
        while len(parts) < maxsplit and (at := text.rfind(sep)) >= 0:
            parts.append(text[at + len(sep) :])
            text = text[:at]
        return [text, *reversed(parts)]

    def partition(self, sep: str, /) -> tuple[Any, str, Any]:
        """Return the text before a separator, the separator, and the text after it."""
        at = self.find(sep)
        return (self[:at], sep, self[at + len(sep) :]) if at >= 0 else (self, "", "")

    def rpartition(self, sep: str, /) -> tuple[Any, str, Any]:
        """Return the text before the last separator, the separator, and the text after it."""
        at = self.rfind(sep)
        return (self[:at], sep, self[at + len(sep) :]) if at >= 0 else ("", "", self)

    def splitlines(self, keepends: bool = False) -> Any:
        """Return the lines as split by `str.splitlines`, read lazily."""
        if type(self) is LargeText and self._length == self._reader.length:
            return Lines(self, self._reader.scans, keepends)
        last = self._read(max(0, self._length - 2), self._length).splitlines(keepends=True)[-1]
        end = self._length - (0 if keepends else len(last) - len(last.splitlines()[0]))
        text = self._view(0, end)
        return CutText(text, text.line_ends(keepends), drop_empty=keepends)

    def cut(self, found: Callable[[int], Iterator[tuple[int, int]]]) -> CutText:
        """Return the parts between separators; see `CutText`."""
        return CutText(self, found)

    def occurrences(self, sub: str, start: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of a text from a position on, without overlaps."""
        rest, at = "", start
        for piece in self.pieces(start, self._length):
            rest += piece
            begin = 0
            while (found := rest.find(sub, begin)) >= 0:
                begin = found + len(sub)
                yield at + found, at + begin
            keep = max(begin, len(rest) - len(sub) + 1)
            rest, at = rest[keep:], at + keep

    def spaces(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of white space from a position on."""
        import re

        begin = end = -1
        at = start
        for piece in self.pieces(start, self._length):
            for found in re.finditer(r"[\s\x1c-\x1f\x85]+", piece):
                if at + found.start() == end:  # continued from the previous piece
                    end = at + found.end()
                    continue
                if end >= 0:
                    yield begin, end
                begin, end = at + found.start(), at + found.end()
            at += len(piece)
        if end >= 0:
            yield begin, end

    def line_ends(self, keepends: bool) -> Callable[[int], Iterator[tuple[int, int]]]:
        """Return a function that yields the spans of line ends."""

        def found(start: int) -> Iterator[tuple[int, int]]:
            at = start
            for line in lines_of(self.pieces(start, self._length), keepends=True):
                end = at + len(line)
                size = len(line) - len(line.splitlines()[0])
                if size:
                    yield end if keepends else end - size, end
                at = end

        return found

    def __iter__(self) -> Iterator[str]:
        return (char for piece in self.pieces(0, self._length) for char in piece)

    def pieces(self, start: int, end: int, chars: int = PIECE_CHARS) -> Iterator[str]:
        """Yield a part in pieces of `chars` characters."""
        for at in range(start, end, chars):
            yield self._read(at, min(at + chars, end))

    def reference(self) -> dict[str, Any]:
        """Return a reference to this part of the text, for functions that take texts; see `_values.py`."""
        return {"context_slice": [self._start, self._start + self._length], "of": self._reader.name}

    def refuse_to_leave(self) -> NoReturn:
        """Raise the error for the whole text as an argument of a host call or as an answer; see `_values.py`."""
        raise refusal("the whole text as one value", self)

    def __reversed__(self) -> Iterator[str]:
        ends = range(self._length, 0, -PIECE_CHARS)
        return (char for end in ends for char in reversed(self._read(max(0, end - PIECE_CHARS), end)))

    def __copy__(self) -> LargeText:
        return self

    def __deepcopy__(self, _: object) -> LargeText:
        return self

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise refusal("the whole text in one piece", self)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"'str' object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return dir(str)

    def __bytes__(self) -> NoReturn:
        raise TypeError("string argument without an encoding")

    def _refuse(self, *_: object) -> NoReturn:
        raise refusal("the whole text in one piece", self)

    __mod__ = __rmod__ = __str__ = _refuse  # `_context_joins.py` adds the other operators

    def _order(self, other: Any) -> int | None:
        """Return a negative, zero or positive number if the text sorts before, with or after another."""
        if not (issubclass(type(other), str) or is_whole(other)):
            return None
        at = 0
        for piece in self.pieces(0, self._length):
            beside = other[at : at + len(piece)]
            if piece != beside:
                return -1 if piece < beside else 1
            at += len(piece)
        return self._length - len(other)

    def __lt__(self, other: Any) -> bool:
        return NotImplemented if (order := self._order(other)) is None else order < 0

    def __le__(self, other: Any) -> bool:
        return NotImplemented if (order := self._order(other)) is None else order <= 0

    def __gt__(self, other: Any) -> bool:
        return NotImplemented if (order := self._order(other)) is None else order > 0

    def __ge__(self, other: Any) -> bool:
        return NotImplemented if (order := self._order(other)) is None else order >= 0

    def __format__(self, spec: str) -> str:
        import re

        format("x", re.sub(r"\d+", "1", spec))  # raises what a `str` would
        found = re.fullmatch(r"(.*?)\.(\d+)s?", spec, re.DOTALL)
        if found is None or int(found[2]) > SLICE_CHARS:
            raise refusal("the whole text in one piece", self)
        return format(self[: int(found[2])], found[1])

    def excerpt(self) -> str:
        """Return what `print` shows of the text: its beginning, and how long it is."""
        shown, what = self[: min(SHOWN_CHARS, self._length)], self._reader.what
        return f"{shown}\n... [{what} goes on, to {self._length:,} characters: {self._reader.hint('')}]"

    def __repr__(self) -> str:
        return f"<{self._reader.name} of {self._length:,} characters; {self._reader.hint('')}>"


class _AsStr(str):
    """The class reported as the handle's `__class__`."""

    __slots__ = ()


_AsStr.__name__ = _AsStr.__qualname__ = LargeText.__name__


class UnscannedText(LargeText):
    """A text derived from another, unknown to the host, so that searching means reading it."""

    __slots__ = ()

    def _scan(self, name: str, sub: str, start: int, end: int) -> int:
        if name == "find":
            return next((at for at, last in self.occurrences(sub, start) if last <= end), -1)
        while end - start >= len(sub):
            begin = max(start, end - PIECE_CHARS - len(sub))
            at = self._read(begin, end).rfind(sub)
            if at >= 0:
                return begin + at
            end = begin + len(sub) - 1 if begin > start else start
        return -1

    def _count(self, sub: str, start: int, end: int) -> int:
        return sum(1 for _, last in self.occurrences(sub, start) if last <= end)


class CasedText(UnscannedText):
    """A view of a text in another case, with every character at its original position.

    Args:
        text: The text.
        change: Changes the case of a part without changing its length.
    """

    __slots__ = ("_change", "_text")

    def __init__(self, text: LargeText, change: Callable[[str], str]) -> None:
        super().__init__(text._reader, text._start, text._start + len(text))  # noqa: SLF001 - the same class
        self._text, self._change = text, change

    def _read(self, start: int, end: int) -> str:
        return self._change(self._text._read(start, end))  # noqa: SLF001

    def _view(self, start: int, end: int) -> LargeText:
        return CasedText(self._text._view(start, end), self._change)  # noqa: SLF001

    def reference(self) -> dict[str, Any]:
        """Refuse: the host has the text in its original case."""
        raise refusal("a view in another case as one value", self)

    def matches(self, pattern: str, flags: int, start: int, end: int, most: int) -> list[Any]:
        """Return the matches in the original text in either case, if the pattern says the same of both."""
        import re

        if not keeps_case(pattern, flags, self._change, ascii=self._text.isascii()):
            raise refusal("this pattern on a view in another case", self, "use re.I on context itself")
        if not self._text.isascii() and self._text.find("\u017f") >= 0:  # the long s, which is `s` in either case
            raise refusal("a pattern on a view in another case", self, "use re.I on context itself")
        found = self._text.matches(pattern, flags | re.IGNORECASE, start, end, most)
        return [[first, last, part and self._change(part), at] for first, last, part, at in found]


def keeps_case(pattern: str, flags: int, change: Callable[[str], str], *, ascii: bool) -> bool:  # noqa: A002
    """Return whether a pattern matches a text in another case just where it matches the text in either case.

    It does if no part of it is about one case alone, and it ignores case itself, or each set of characters in it has,
    with a letter, that letter in the other case.

    Args:
        pattern: The pattern.
        flags: Its flags.
        change: Changes the case of letters.
        ascii: Whether the text is ASCII; otherwise the pattern has to be.
    """
    from re import IGNORECASE, _parser  # type: ignore[attr-defined]

    todo: list[Any] = [*_parser.parse(pattern, flags)]
    while todo:
        one = todo.pop()
        name = str(one[0]) if type(one) is tuple and one else ""
        if name == "SUBPATTERN" and one[1][2] & IGNORECASE:  # (?-i:…)
            return False
        if name in ("LITERAL", "NOT_LITERAL", "IN") and not flags & IGNORECASE:
            items = one[1] if name == "IN" else [one]
            spans = [item[1] if str(item[0]) == "RANGE" else (item[1], item[1]) for item in items if _has_code(item)]
            letters = {char for char in LETTERS if any(first <= ord(char) <= last for first, last in spans)}
            if not letters.issuperset(map(change, letters)) or not (ascii or all(last < 128 for _, last in spans)):
                return False
        elif type(one) in (tuple, list, _parser.SubPattern):
            todo.extend(one)
    return True


def _has_code(item: tuple[Any, Any]) -> bool:
    return str(item[0]) in ("LITERAL", "NOT_LITERAL", "RANGE")


class Parts(Sequence["Any"]):
    """The common part of sequences of parts of a text, which behave like lists."""

    __hash__ = None  # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # So that `isinstance(lines, list)` is true; `type(lines)` is this class.
        return _AsList

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(list, name):
            raise AttributeError(f"'list' object has no attribute {name!r}")
        return self._refuse_to_change

    def _refuse_to_change(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"parts of a long text cannot be changed: {TO_CHANGE}")

    __setitem__ = __delitem__ = _refuse_to_change

    def __mul__(self, times: Any) -> list[Any]:
        return [*self] * times

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, list | Parts):
            return NotImplemented
        ends: Any = object()
        return all(one == another for one, another in zip_longest(self, other, fillvalue=ends))

    def __add__(self, other: Any) -> list[Any]:
        return [*self, *other] if isinstance(other, list | Parts) else NotImplemented

    def __radd__(self, other: Any) -> list[Any]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __reversed__(self) -> Iterator[Any]:
        for end in range(len(self), 0, -KEPT_EVERY):
            yield from reversed(self[max(0, end - KEPT_EVERY) : end])

    def copy(self) -> list[Any]:
        """Return a list of the parts."""
        return [*self]

    def index(self, value: Any, *bounds: Any) -> int:
        """Return the place of a part, as `list.index` does."""
        try:
            return super().index(value, *bounds)
        except ValueError:
            return [].index(value)  # raises what a list would

    def __reduce_ex__(self, _: object) -> Any:
        return list, ([*self],)


class _AsList(list["Any"]):
    """The class reported as the parts' `__class__`."""

    __slots__ = ()


_AsList.__name__ = _AsList.__qualname__ = "Parts"


class CutText(Parts):
    """The parts of a text between separators, sliced lazily.

    Args:
        text: The text.
        found: Yields the spans of separators from a position on.
        drop_empty: Whether to drop an empty first or last part, as `split` at white space does.
    """

    def __init__(
        self,
        text: LargeText,
        found: Callable[[int], Iterator[tuple[int, int]]],
        *,
        drop_empty: bool = False,
    ) -> None:
        self._text, self._found, self._drop_empty = text, found, drop_empty
        self._starts = array("Q", [0])  # start of every so many-th part, as far as known
        self._length = -1

    def _spans(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of parts, from one with a kept position on."""
        at, total = self._starts[number // KEPT_EVERY], len(self._text)
        for start, end in self._found(at):
            if start > at or not self._drop_empty or at:
                yield at, start
                number += 1
                if number == len(self._starts) * KEPT_EVERY:
                    self._starts.append(end)
            elif self._drop_empty:  # white space before the first part
                self._starts[0] = end
            at = end
        if at < total or not self._drop_empty:
            yield at, total
            number += 1
        self._length = number

    def __iter__(self) -> Iterator[Any]:
        return (self._text[start:end] for start, end in self._spans(0))

    def up_to(self, cuts: int) -> Iterator[Any]:
        """Yield the parts for `cuts` separators, the last of which extends to the end."""
        at = 0
        for start, end in islice(self._spans(0), cuts):
            yield self._text[start:end]
            at = end
        rest = next((start for start, _ in islice(self._spans(0), cuts, None)), -1)
        if rest >= at:
            yield self._text[rest:]

    def __len__(self) -> int:
        if self._length < 0:
            for _ in self._spans((len(self._starts) - 1) * KEPT_EVERY):
                pass
        return self._length

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            at = place_of(key, [0])
            at = at + len(self) if at < 0 else at
            got = list(self._range(at, at + 1)) if at >= 0 else []
            if not got:
                raise IndexError("list index out of range")
            return got[0]
        open_end = key.stop is None or key.stop < 0 or (key.start or 0) < 0 or (key.step or 1) < 0
        places = range(len(self) if open_end else max(key.stop, 0))[key]
        if not places:
            return []
        first, last = min(places[0], places[-1]), max(places[0], places[-1]) + 1
        parts = list(self._range(first, last))
        return [parts[at - first] for at in places if at - first < len(parts)]

    def _range(self, first: int, last: int) -> Iterator[Any]:
        kept = min(first // KEPT_EVERY, len(self._starts) - 1) * KEPT_EVERY
        spans = self._spans(kept)
        return (self._text[start:end] for start, end in islice(spans, first - kept, last - kept))

    def __repr__(self) -> str:
        return f"<parts of {self._text.reader.what}; go through them with `for`, or take some with [a:b]>"


class Lines(Parts):
    """The lines of the text, read lazily.

    Args:
        text: The text.
        scans: The host's functions.
        keepends: Whether lines include their ends.
    """

    def __init__(self, text: LargeText, scans: Scans, keepends: bool) -> None:
        self._text, self._scans, self._keepends = text, scans, keepends

    def __iter__(self) -> Iterator[str]:
        return lines_of(self._text.pieces(0, len(self._text)), self._keepends)

    def __len__(self) -> int:
        return self._scans.line_count()

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            if not -len(self) <= place_of(key, [0]) < len(self):
                raise IndexError("list index out of range")
            at = whole_number(key) % len(self)
            return self[at : at + 1][0]
        places = range(len(self))[key]
        if not places:
            return []
        first, last = min(places[0], places[-1]), max(places[0], places[-1]) + 1
        start, end = self._scans.line_span(first, last)
        if end - start > SLICE_CHARS:
            raise TypeError(f"{last - first:,} lines would not fit in memory: take fewer, or go through all with `for`")
        lines = self._text[start:end].splitlines(self._keepends)
        return [lines[at - first] for at in places]

    def __repr__(self) -> str:
        return f"<the lines of {self._text.reader.what}; go through them with `for`, or take some with [a:b]>"


def lines_of(pieces: Iterator[str], keepends: bool) -> Iterator[str]:
    """Yield lines as split by `str.splitlines`."""
    rest = ""
    for piece in pieces:
        lines = (rest + piece).splitlines(keepends=True)
        # The last one may continue in the next piece, even if only with the second half of its line end.
        rest = lines.pop() if lines else ""
        yield from lines if keepends else (line.splitlines()[0] for line in lines)
    if rest:
        yield rest if keepends else rest.splitlines()[0]


def is_whole(value: object) -> bool:
    """Return whether a value is the handle of a long text."""
    return issubclass(type(value), LargeText)


def stand_in(value: Any) -> Any:
    """Return an argument for a call of the same method on a short `str`, which checks the arguments."""
    if is_whole(value):
        return "xx"
    if type(value) is tuple:  # of prefixes, which are looked at one by one
        return ()
    if type(value) is bool or not hasattr(type(value), "__index__"):
        return value
    number = whole_number(value)
    return 0 if abs(number) < 1 << 62 else number


def place_of(key: Any, short: Any) -> int:
    """Return an index; for one that is none, raise what a short `str` or list does."""
    try:
        short[stand_in(key)]
    except IndexError as error:
        if "out of range" not in str(error):
            raise
    return whole_number(key)


def _characters(chars: str | None) -> str | None:
    """Return the characters to strip, each once if they are a long text."""
    return "".join({*chars}) if chars is not None and is_whole(chars) else chars


def judged(own: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a method that raises what the method of a `str` would raise for its arguments."""
    of_str = getattr(str, name)

    @wraps(of_str)
    def method(self: LargeText, *args: Any, **options: Any) -> Any:
        try:
            of_str("x", *map(stand_in, args), **{key: stand_in(value) for key, value in options.items()})
        except ValueError as error:
            if str(error) != "substring not found":
                raise
        return own(self, *args, **options)

    return method


def _refusing(name: str) -> Callable[..., NoReturn]:
    def method(self: LargeText, *_: object, **__: object) -> NoReturn:
        raise refusal(f"{name}() of the whole text", self, HINTS.get(name, ""))

    return method


for _name in dir(str):
    if not _name.startswith("_") and _name != "maketrans":
        _own = vars(LargeText).get(_name) or _refusing(_name)
        # A call of `join` would take the parts of an iterator.
        setattr(LargeText, _name, _own if _name == "join" else judged(_own, _name))


def _found_at(at: int) -> int:
    if at < 0:
        raise ValueError("substring not found")
    return at


def refusal(what: str, text: LargeText, hint: str = "") -> TypeError:
    """Return the error for an operation that would need the whole text."""
    reader = text.reader
    return TypeError(f"{what} would not fit in memory; {reader.what} has {len(text):,} characters: {reader.hint(hint)}")
