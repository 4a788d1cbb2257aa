"""Parsing of frames from a worker, which are bytes from an attacker.

A frame is a length (four bytes, big-endian) and a body of that length: JSON, optionally followed by a zero byte and the
long texts that belong into it, each at the place that the JSON names. Nothing is allocated for an excessive length, and
nothing is decoded that is nested too deeply (the parser checks that) or would take longer to read than its length
allows (see `_values.cost_bytes`). The result is one of three messages with fields of the right types and ranges, or a
`Violation`. So reading takes time in proportion to the length of the frame, whatever it contains; a long frame is read
in a thread (see `_link.py`).
"""

from __future__ import annotations

import gc
import json
import math
import re
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import re2
from pydantic_core import from_json

from rlmbox.context.json_parts import json_parts
from rlmbox.sandboxes.worker._values import (
    CONTAINER_BYTES,
    DIGITS,
    DIGITS_BYTES,
    ESCAPE_BYTES,
    FRAME_BYTES,
    FREE_BYTES,
    JSON_SHARE,
    MAX_NODES,
    PART_BYTES,
)
from rlmbox.types import CellError, CellOutcome

_MARKS = b",:[{\\"
_OUTCOMES: frozenset[CellOutcome] = frozenset(("ok", "error", "timeout", "memory", "stack", "output"))
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_STRIDE = 4  # checking every fourth digit is enough to recognise a long int
_BRIEF_BYTES = 1 << 16
_PIECE_BYTES = 1 << 16  # what is built from one piece fits the processor's cache
_SURROGATE_BYTES = 6
_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)
_TEXT = r'"(?:[^"\\]|\\.)*"'
_VALUES_AT_ONCE, _FEW_VALUES, _RUNS_AT_ONCE = 1_000, 100, 40
_MANY_PARTS = 20_000
_MOST_RUNS = 215  # length, in runs of digits, of the longest number that the parser accepts
_NAME_CHARS = 200
_TEXT_CHARS = 50_000
_MAX_INT = 2**53
_MAX_RESTORED = 100
_NOT_FINITE = "it sent a frame that is not JSON: a number in it is not finite"


class _Pause:
    """Suspends garbage collection: repeated passes over a hundred thousand new dicts would double the time.

    Frames are read in several threads; the last one to finish turns the collector on again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._was_on = gc.isenabled()
                gc.disable()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers and self._was_on:
                gc.enable()


_PAUSE = _Pause()


class Violation(Exception):
    """The worker broke the protocol; none of its messages is trusted from then on."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """Limits on the frames of a worker.

    Attributes:
        frame_bytes: Maximum length of a frame.
        free_bytes: Cost of reading a frame that is allowed beyond its length; see `_values.cost_bytes`.
        cell_bytes: Maximum total length of a cell's frames.
        burst_frames: Frames of a cell that may arrive at once.
        frames_per_s: Frames per second of a cell beyond the burst.
    """

    frame_bytes: int = FRAME_BYTES
    free_bytes: int = FREE_BYTES
    cell_bytes: int = 256 * 1024 * 1024
    burst_frames: int = 10_000
    frames_per_s: int = 100_000


@dataclass(frozen=True, slots=True)
class Ready:
    """The namespace is ready."""


@dataclass(frozen=True, slots=True)
class CallFrame:
    """A cell calls a host function."""

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A request was completed."""

    id: int
    outcome: CellOutcome
    stdout: str
    stderr: str
    dropped_chars: int
    error: CellError | None
    value: Any
    value_repr: str | None
    restored: tuple[str, ...] = ()
    reads_clock: bool = False


Reply = Ready | CallFrame | Done


def encode(message: Mapping[str, Any], written: str = "") -> bytes:
    """Encode a frame, in parts if it is long.

    Args:
        message: A JSON object, not empty. Lone surrogates are kept.
        written: More members, already encoded as JSON: `"a": 1, "b": 2`.

    Raises:
        TypeError: A value cannot be encoded as JSON.
        ValueError: A number is not finite, or a container contains itself.
    """
    body = b"".join(part.encode("utf-8", "surrogatepass") for part in json_parts(message, ENCODER))
    if written:
        body = b"".join((body[:-1], b", ", written.encode("utf-8", "surrogatepass"), b"}"))
    return b"".join((len(body).to_bytes(4, "big"), body))


class Inbox:
    """Buffers bytes from the worker and splits them into frames.

    Args:
        limits: Limits on the frames.
    """

    def __init__(self, limits: FrameLimits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self.begin()

    def begin(self) -> None:
        """Reset the counts for a new cell."""
        self._began = time.monotonic()
        self._bytes = self._frames = 0

    @property
    def is_empty(self) -> bool:
        """Return whether all received bytes have been taken."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Add received bytes; all complete frames must have been taken before."""
        self._bytes += len(data)
        if self._bytes > self.limits.cell_bytes:
            raise Violation(f"it sent more than {self.limits.cell_bytes:,} bytes for one cell")
        self._buffer += data

    def take(self) -> bytes | None:
        """Return the body of the next frame, for `read_message`, or None if it is incomplete.

        Raises:
            Violation: The frame is too long, or there are too many frames.
        """
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size > self.limits.frame_bytes:
            raise Violation(f"it announced a frame of {size:,} bytes")
        if len(self._buffer) < 4 + size:
            return None
        body = bytes(memoryview(self._buffer)[4 : 4 + size])
        del self._buffer[: 4 + size]
        self._count_frame()
        return body

    def _count_frame(self) -> None:
        self._frames += 1
        burst, rate = self.limits.burst_frames, self.limits.frames_per_s
        if self._frames > burst and self._frames > burst + rate * (time.monotonic() - self._began):
            raise Violation(f"it sent more than {rate:,} frames per second")


def read_message(body: bytes, limits: FrameLimits) -> Reply:
    """Parse the body of a frame.

    Raises:
        Violation: The body is not an acceptable message.
    """
    return _message(_decoded(body, limits))


def _decoded(body: bytes, limits: FrameLimits) -> Any:
    room = limits.free_bytes + len(body)
    end = body.find(b"\0")
    text = body if end < 0 else body[:end]
    parts = _checked_parts(text, room - len(text) // JSON_SHARE)
    try:
        with _PAUSE if parts > _MANY_PARTS else nullcontext():
            value = _parsed(text)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise Violation("it sent a frame nested deeper than 200 levels") from None
        raise Violation(f"it sent a frame that is not JSON: {str(error)[:200]}") from None
    # The parser accepts numbers outside the range of a float and returns infinity.
    if not _is_finite(value):
        raise Violation(_NOT_FINITE)
    if end >= 0 and type(value) is dict:
        _put_back(value, memoryview(body)[end + 1 :])
    return value


def _put_back(frame: dict[str, Any], texts: memoryview) -> None:
    """Put the long texts that follow the JSON into their places in it.

    Raises:
        Violation: A place or a text does not exist.
    """
    at = 0
    for way in _field(frame, "aside", list, optional=True) or ():
        if type(way) is not list or len(way) < 2 or type(way[-1]) is not int or not 0 <= way[-1] <= len(texts) - at:
            raise Violation("it sent a text of the wrong size")
        *leading, last, size = way
        holder: Any = frame
        for step in leading:
            holder = _part(holder, step)
        if _part(holder, last) != "":
            raise Violation("it sent a text for a place that is taken")
        try:
            holder[last] = str(texts[at : at + size], "utf-8")
        except UnicodeDecodeError:
            raise Violation("it sent a text that is not UTF-8") from None
        at += size


def _part(holder: Any, step: Any) -> Any:
    """Return the item of a container at one step of a path."""
    is_step = step in holder if type(holder) is dict and type(step) is str else False
    is_step = is_step or (type(holder) is list and type(step) is int and 0 <= step < len(holder))
    if not is_step:
        raise Violation("it sent a text for a place that does not exist")
    return holder[step]


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError:
        # It rejects lone surrogates, which no file and no request to a model can hold. Our worker sends none; a frame
        # from anyone else that has them must be short.
        if len(body) > _BRIEF_BYTES or not (b"\\ud" in body or b"\\uD" in body):
            raise
        return from_json(_ESCAPES.sub(_without_surrogate, body), allow_inf_nan=False, cache_strings="none")


def _without_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == _SURROGATE_BYTES else escape[0]


def _is_finite(value: Any) -> bool:
    """Return whether all numbers in a value are finite.

    Values are checked level by level; checking each container by itself would take as long as parsing.
    """
    level: list[Any] = [value]
    while level:
        kinds = {*map(type, level)}
        if float in kinds and any(map(math.isinf, [one for one in level if type(one) is float])):
            return False
        lists = [one for one in level if type(one) is list] if list in kinds else ()
        dicts = [one.values() for one in level if type(one) is dict] if dict in kinds else ()
        level = [*chain.from_iterable(lists), *chain.from_iterable(dicts)]
    return True


def _checked_parts(body: bytes, room: int) -> int:
    """Check what JSON text costs to parse, without decoding it; return an upper bound of its values and keys.

    Args:
        body: The text.
        room: Allowed cost in bytes; see `_values.cost_bytes`.

    Raises:
        Violation: It would cost more.
    """
    # String contents count here too, which overestimates; that is often low enough.
    parts = _counted_quickly(body, room // (PART_BYTES + CONTAINER_BYTES))
    if parts is None:
        room -= ESCAPE_BYTES * body.count(b"\\")
        if room < 0:
            raise Violation("it sent a frame with too many escapes for its length")
        parts = _checked_values(body, room)
    if parts * _MOST_RUNS * DIGITS_BYTES > room:
        _check_long_numbers(body, room)
    return parts


def _counted_quickly(body: bytes, most: int) -> int | None:
    """Count everything that may have a cost, inside strings too; return None if there is more than `most`."""
    count, at = 0, 0
    while at < len(body):
        piece = body[at : at + _PIECE_BYTES]
        count += len(piece) - len(piece.translate(None, _MARKS))
        at += len(piece)
        if count > most or (at == _PIECE_BYTES and count * len(body) > 2 * most * at):
            return None
    return count


def _checked_values(body: bytes, room: int) -> int:
    """Check the number of values and keys of JSON text, outside of its strings; return an upper bound of it."""
    most = min(room // PART_BYTES, MAX_NODES)
    first = _patterns().few.match(body)
    if first is None:
        return _FEW_VALUES
    parts = _FEW_VALUES + _counted(body, _patterns().values, _VALUES_AT_ONCE, most, first.end())
    if parts > most:
        raise Violation(f"it sent a frame with more than {most:,} values")
    most = (room - PART_BYTES * parts) // CONTAINER_BYTES
    if (
        parts > most
        and body.count(b"[") + body.count(b"{") > most
        and _counted(body, _patterns().containers, _VALUES_AT_ONCE, most) > most
    ):
        raise Violation(f"it sent a frame with more than {most:,} lists and objects")
    return parts + _VALUES_AT_ONCE


def _check_long_numbers(body: bytes, room: int) -> None:
    """Check the number of digits in long numbers.

    Raises:
        Violation: There are too many.
    """
    most = room // DIGITS_BYTES
    if len(body) // DIGITS <= most or body[::_STRIDE].translate(_DIGITS).count(b"0" * (DIGITS // _STRIDE)) <= most:
        return
    # Strings may contain any digits.
    if _counted(body, _patterns().runs, _RUNS_AT_ONCE, most) > most:
        raise Violation(f"it sent a frame with more than {most * DIGITS:,} digits in long numbers")


def _counted(body: bytes, pattern: Any, at_once: int, most: int, at: int = 0) -> int:
    """Count matches of a pattern that finds `at_once` items at a time, stopping above `most`.

    A remainder at the end, or after a string that is not closed, is not counted.
    """
    found = 0
    while found <= most and (match := pattern.match(body, at)) is not None:
        found += at_once
        at = match.end()
    return found


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Patterns over JSON text from its beginning, which skip the contents of strings.

    Each is an automaton that consumes every byte once, so a frame full of escapes and commas takes no longer to count
    than any other.

    Attributes:
        few: A few characters before a value or a key.
        values: The next group of characters before a value or a key.
        containers: The next group of lists and objects.
        runs: The next group of long runs of digits.
    """

    few: Any
    values: Any
    containers: Any
    runs: Any


@cache
def _patterns() -> _Patterns:
    def compiled(pattern: str) -> Any:
        return re2.compile(f"(?s){pattern}".encode())

    value = rf"(?:(?:[^\",:\[{{]|{_TEXT})*[,:\[{{])"
    other = rf"(?:[^\"0-9]|{_TEXT})"
    return _Patterns(
        few=compiled(rf"{value}{{{_FEW_VALUES}}}"),
        values=compiled(rf"{value}{{{_VALUES_AT_ONCE}}}"),
        containers=compiled(rf"(?:(?:[^\"\[{{]|{_TEXT})*[\[{{]){{{_VALUES_AT_ONCE}}}"),
        runs=compiled(rf"(?:(?:{other}|[0-9]{{1,{DIGITS - 1}}}{other})*[0-9]{{{DIGITS}}}){{{_RUNS_AT_ONCE}}}"),
    )


# Made once: `json.dumps` would make an encoder for each frame, which takes longer than encoding a short frame.
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _message(frame: Any) -> Reply:
    if not isinstance(frame, dict):
        raise Violation("it sent a frame that is not an object")
    kind = frame.pop("type", None)
    if kind == "ready" and not frame:
        return Ready()
    if kind == "call":
        return CallFrame(
            _number(frame, "id"),
            _field(frame, "name", str),
            _field(frame, "args", list),
            _field(frame, "kwargs", dict),
        )
    if kind == "done":
        return _done(frame)
    raise Violation(f"it sent a frame of the unknown type {str(kind)[:50]!r}")


def _done(frame: dict[str, Any]) -> Done:
    outcome: CellOutcome = _field(frame, "outcome", str)
    if outcome not in _OUTCOMES:
        raise Violation(f"it sent the unknown outcome {outcome[:50]!r}")
    error = _field(frame, "error", dict, optional=True)
    if (error is None) != (outcome == "ok"):
        raise Violation(f"it sent the outcome {outcome!r} {'without' if error is None else 'with'} an error")
    return Done(
        id=_number(frame, "id"),
        outcome=outcome,
        stdout=_field(frame, "stdout", str, optional=True) or "",
        stderr=_field(frame, "stderr", str, optional=True) or "",
        dropped_chars=_number(frame, "dropped", optional=True) or 0,
        error=None if error is None else _cell_error(error),
        value=frame.get("value") if error is None else None,
        value_repr=_field(frame, "value_repr", str, optional=True) if error is None else None,
        restored=_names(frame),
        reads_clock=_field(frame, "reads_clock", bool, optional=True) or False,
    )


def _names(frame: dict[str, Any]) -> tuple[str, ...]:
    names = _field(frame, "restored", list, optional=True) or []
    if len(names) > _MAX_RESTORED or not all(type(name) is str and len(name) <= _NAME_CHARS for name in names):
        raise Violation("it sent invalid names")
    return tuple(names)


def _cell_error(error: dict[str, Any]) -> CellError:
    return CellError(
        type=_field(error, "type", str)[:_NAME_CHARS],
        message=_field(error, "message", str)[:_TEXT_CHARS],
        traceback=(_field(error, "traceback", str, optional=True) or "")[:_TEXT_CHARS],
        line=_number(error, "line", optional=True),
    )


def _number(frame: Mapping[str, Any], name: str, *, optional: bool = False) -> Any:
    value = _field(frame, name, int, optional=optional)
    if value is not None and not 0 <= value <= _MAX_INT:
        raise Violation(f"it sent a frame whose {name!r} is out of range")
    return value


def _field(frame: Mapping[str, Any], name: str, kind: type, *, optional: bool = False) -> Any:
    value = frame.get(name)
    if value is None and optional:
        return None
    # An exact type: `true` is an `int` for isinstance.
    if type(value) is not kind:
        raise Violation(f"it sent a frame whose {name!r} is a {type(value).__name__}")
    return value
