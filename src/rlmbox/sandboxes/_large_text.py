"""The host's side of a context that is too long to be a `str` in the sandbox: functions for its handle there.

They are called by `_context_text.py` and its companions, and not described to models. Arguments come from hostile code
all the same, and every answer is bounded. A scan runs in a thread, so that it does not block anything else.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from rlmbox.context import Context
from rlmbox.context.storage.text import TextStore
from rlmbox.sandboxes._large_matches import find_matches
from rlmbox.types import CellLimits, HostFunction

T = TypeVar("T")

OBJECT = "_rlm_text"
"""The name of the object in the sandbox whose methods the functions are."""

_NOTE = (
    "{names} {is_} too long to be a real str here. len, {name}[a:b], in, ==, find, rfind, index, count, startswith and "
    "endswith give what they give for one; `for line in {name}.splitlines():` gives lines one by one, without holding "
    "the text{patterns}. {of_all}"
)
"""A note for a model on such texts; `{patterns}` is for a word on `re`."""

_NEEDS_ALL = "What needs all of it at once (lower, split, replace, +, str) raises a TypeError: take a part first."
_TAKES_ALL = "lower, split, replace, +, str({name}) and functions of modules read all of it: keep what they give."

SLICE_CHARS = 1 << 20
"""Characters of a slice at most."""

ANCHOR_CHARS, BLOCK_ANCHORS = 1 << 15, 32
"""Every so many-th character is an anchor, whose position in bytes is told; so many of them at once."""

_CASE_BYTES, _SHORT_BYTES = 12, 1 << 20
_THREADS = 4
_SCAN_TIMEOUT_S = 10.0
_PIECE_BYTES = 1 << 20
_LINES_TIMEOUT_S = 20.0
_BLOCK_BYTES = 1 << 18
_LOOK_AHEAD_BYTES = 4
_BATCH_CHARS = 1 << 18
_MAX_LINE_CHARS = 1 << 24
_LINE_ENDS = b"\n\r\x0b\x0c\x1c\x1d\x1e"
_WIDE_LINE_ENDS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode())


async def is_large(context: Context, limits: CellLimits) -> bool:
    """Return whether a context is too long to be a `str` in a sandbox.

    Args:
        context: The text.
        limits: The limits of a cell.
    """
    if context.size_bytes <= limits.inline_limit_chars:
        return False
    # Its length may have to be counted.
    return await anyio.to_thread.run_sync(lambda: context.length > limits.inline_limit_chars)


async def case_bytes(context: Context, limits: CellLimits) -> int:
    """Return the memory that CPython needs to change the case of a context that is a `str`.

    For non-ASCII text, `context.lower()` allocates three characters of four bytes for each character.
    """
    if context.size_bytes < _SHORT_BYTES or await is_large(context, limits):
        return 0
    length = await anyio.to_thread.run_sync(lambda: context.length)
    return 0 if length == context.size_bytes else _CASE_BYTES * length


def note(names: Sequence[str], patterns: str, *, whole: bool = False) -> str:
    """Return a note for a model on variables that are handles.

    Args:
        names: The variables.
        patterns: The supported functions of `re`, appended to the list of what works.
        whole: Whether what needs all of a text gets it.
    """
    is_, of_all = "are" if len(names) > 1 else "is", (_TAKES_ALL if whole else _NEEDS_ALL).format(name=names[0])
    return _NOTE.format(names=listed(names), is_=is_, name=names[0], patterns=patterns, of_all=of_all)


def listed(names: Sequence[str]) -> str:
    """Join names of variables for a sentence, such as `` `context` and `contract` ``.

    Args:
        names: The names.
    """
    *others, last = [f"`{name}`" for name in names]
    return f"{', '.join(others)} and {last}" if others else last


def text_functions(context: Context, of: str = OBJECT) -> dict[str, HostFunction]:
    """Return the functions on a text, by their names in the host table.

    Args:
        context: The text.
        of: Name of the object in the sandbox whose methods they are; each text has its own.
    """
    text = _HostText(context)
    plain: tuple[Callable[..., object], ...] = (text.slice, text.byte_range, text.line_batch)
    scans: tuple[Callable[..., object], ...] = (
        text.anchors,
        text.find,
        text.rfind,
        text.count,
        text.line_count,
        text.line_span,
        text.matches,
    )
    named = {f"{of}.{call.__name__}": call for call in (*plain, *scans)}
    return {name: HostFunction(name, call, "", pure=True) for name, call in named.items()}


class _HostText:
    """The functions themselves; positions are in characters."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context._store  # noqa: SLF001 - for byte positions, which `Context` does not expose
        self._lines: _LineIndex | None = None
        self._counting = threading.Lock()
        self._threads = anyio.CapacityLimiter(_THREADS)  # so that one session's scans cannot take all threads

    def _bounds(self, start: object, end: object) -> tuple[int, int]:
        for value in (start, end):
            if type(value) is not int:
                raise TypeError(f"a position must be an int, not {type(value).__name__}")
        first, last, _ = slice(start, end).indices(self._context.length)
        return first, max(first, last)

    def slice(self, start: int, end: int) -> str:
        """Return a slice."""
        first, last = self._bounds(start, end)
        if last - first > SLICE_CHARS:
            raise ValueError(f"a slice may have at most {SLICE_CHARS:,} characters")
        return self._context.slice(first, last)

    def line_batch(self, start: int) -> list[object]:
        """Return some whole lines, as split by `splitlines`, as one text, and the start of the next."""
        size = _BATCH_CHARS
        while size <= _MAX_LINE_CHARS:
            first, last = self._bounds(start, start + size)
            piece = self._context.slice(first, last)
            if last == self._context.length:
                return [piece, last]
            # The last one may be incomplete.
            whole = len(piece) - len(piece.splitlines(keepends=True)[-1])
            if whole:
                return [piece[:whole], first + whole]
            size *= 4
        raise ValueError(f"a line is longer than {_MAX_LINE_CHARS:,} characters: take parts with context[a:b]")

    def byte_range(self, start: int, end: int) -> list[int]:
        """Return the byte range of a slice in UTF-8."""
        return [self._store.byte_offset(position) for position in self._bounds(start, end)]

    async def anchors(self, block: int) -> list[int]:
        """Return the byte positions of characters at regular intervals in a part of the text, and of its end."""
        if type(block) is not int or not 0 <= block <= self._context.length // (ANCHOR_CHARS * BLOCK_ANCHORS):
            raise ValueError("there is no such part of the text")
        first = block * BLOCK_ANCHORS
        places = [min(n * ANCHOR_CHARS, self._context.length) for n in range(first, first + BLOCK_ANCHORS + 1)]
        return await self._in_thread(lambda: [self._store.byte_offset(place) for place in places])

    async def matches(self, pattern: str, flags: int, span: list[int], part: list[int], most: int) -> list[object]:
        """Find the matches of a pattern in a part of the text, as `re` with these flags would.

        Args:
            pattern: The pattern.
            flags: Flags of `re`.
            span: Bounds of the search within the part.
            part: Bounds of the part in the text.
            most: Maximum number of matches.

        Returns:
            For each match its start and end within the part, the text around it, and the start of that; None in place
            of a long text.
        """
        given = (pattern, flags, most, *span, *part)
        if [type(value) for value in given] != [str, *[int] * 6] or len(span) != 2:
            raise TypeError("a pattern is a str; flags, the number of matches and the ends of parts are int")
        first, last = self._bounds(*part)
        return await self._in_thread(
            lambda: find_matches(self._store.view(first, last), pattern, flags, (span[0], span[1]), most)
        )

    async def find(self, sub: str, start: int, end: int) -> int:
        """Return the first occurrence within a part, or -1."""

        def scan(first: int, last: int) -> int:
            part = self._store.view(first, last)
            found = next(part.occurrences(_utf8(sub), tick=_Deadline().check), -1)
            return first + part.char_offset(found) if found >= 0 else -1

        return await self._scan(scan, sub, start, end)

    async def rfind(self, sub: str, start: int, end: int) -> int:
        """Return the last occurrence within a part, or -1."""
        return await self._scan(lambda first, last: self._last(sub, first, last), sub, start, end)

    async def count(self, sub: str, start: int, end: int) -> int:
        """Count the occurrences within a part, without overlaps."""

        def scan(first: int, last: int) -> int:
            return self._store.view(first, last).count(_utf8(sub), _Deadline().check)

        return await self._scan(scan, sub, start, end)

    async def line_count(self) -> int:
        """Count the lines, as split by `str.splitlines`."""
        return (await self._in_thread(self._line_index)).total

    async def line_span(self, first: int, last: int) -> list[int]:
        """Return start and end of the lines from `first` up to `last`, counted from 0."""
        if not type(first) is type(last) is int or not 0 <= first <= last:
            raise ValueError("lines are counted from 0")
        return await self._in_thread(lambda: [self._line_index().start_of(line) for line in (first, last)])

    def _line_index(self) -> _LineIndex:
        with self._counting:
            if self._lines is None:
                self._lines = _LineIndex(self._store)
            return self._lines

    async def _scan(self, work: Callable[[int, int], int], sub: object, start: object, end: object) -> int:
        if not isinstance(sub, str) or not sub:
            raise TypeError("the text to find must be a str that is not empty")
        first, last = self._bounds(start, end)
        return await self._in_thread(lambda: work(first, last))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    def _last(self, sub: str, first: int, last: int) -> int:
        part, needle, deadline = self._store.view(first, last), _utf8(sub), _Deadline()
        end, size = part.size_bytes, max(_PIECE_BYTES, 2 * len(needle))
        while end >= len(needle):
            deadline.check()
            begin = max(0, end - size)
            found = part.read(begin, end).rfind(needle)
            if found >= 0:
                return first + part.char_offset(begin + found)
            end = begin + len(needle) - 1 if begin else 0
        return -1


class _LineIndex:
    """The number of lines that end before each block of a text, as split by `str.splitlines`.

    Args:
        store: The text.
    """

    def __init__(self, store: TextStore) -> None:
        self._store = store
        self._starts, self._ends = array("Q"), array("Q")
        deadline = _Deadline(_LINES_TIMEOUT_S)
        total = at = 0
        block = b""
        while at < store.size_bytes:
            deadline.check()
            self._starts.append(at)
            self._ends.append(total)
            block = self._block(at)
            total += _line_ends(block)
            at += len(block)
        last = block[-4:].decode("utf-8", "ignore")
        self.total = total + (f"{last[-1:]}x".splitlines()[0] != "")

    def _block(self, at: int) -> bytes:
        """Return a block, which ends neither within a character nor within a line ending."""
        data = self._store.read(at, min(at + _BLOCK_BYTES + _LOOK_AHEAD_BYTES, self._store.size_bytes))
        end = min(len(data), _BLOCK_BYTES)
        while end < len(data) and (data[end] & 0xC0 == 0x80 or data[end - 1 : end + 1] == b"\r\n"):
            end += 1
        return data[:end]

    def start_of(self, line: int) -> int:
        """Return the start of a line; the end of the text if there is no such line."""
        if line == 0 or line >= self.total:
            return self._store.length if line else 0
        block = bisect_right(self._ends, line - 1) - 1
        lines = self._block(self._starts[block]).decode().splitlines(keepends=True)
        return self._store.char_offset(self._starts[block]) + sum(map(len, lines[: line - self._ends[block]]))


def _line_ends(block: bytes) -> int:
    number = len(block) - len(block.translate(None, _LINE_ENDS)) - block.count(b"\r\n")
    return number if block.isascii() else number + sum(block.count(end) for end in _WIDE_LINE_ENDS)


class _Deadline:
    """Ends a scan that takes too long."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = _SCAN_TIMEOUT_S if timeout_s is None else timeout_s
        self._end = time.monotonic() + self._timeout_s

    def check(self) -> None:
        if time.monotonic() >= self._end:
            raise TimeoutError(f"the scan took longer than {self._timeout_s:g} s: look in a part, context[a:b]")


def _utf8(sub: str) -> bytes:
    # No context contains a lone surrogate, so its bytes are never found.
    return sub.encode("utf-8", "surrogatepass")
