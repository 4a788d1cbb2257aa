"""Frames from a worker, read as what they are: bytes from an attacker.

A frame is four bytes of big-endian length and that many bytes of UTF-8 JSON. Nothing is allocated for a length
that is too large, nothing is decoded that has too many nodes for its size or is nested too deeply (the parser sees to
that), and what was decoded is one of three messages with fields of the right type and numbers in their ranges, or a
`Violation`. Every step takes time in proportion to the frame's size, whatever is in it; a long frame is read in a
thread (see `_link.py`).
"""

from __future__ import annotations

import gc
import json
import math
import re
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2
from pydantic_core import from_json

from rlmbox.sandboxes.worker._values import DENSE_BYTES, DENSE_NODES, MAX_NODES
from rlmbox.sandboxes.worker._worker import FRAME_BYTES
from rlmbox.types import CellError, CellOutcome

_STRUCTURAL = b",:[{"
_OUTCOMES: frozenset[CellOutcome] = frozenset(("ok", "error", "timeout", "memory", "stack", "output"))
# A number that may be infinite as a float has three digits of exponent, or 200 of mantissa.
_DIGITS = bytes.maketrans(b"0123456789E", b"0" * 10 + b"e")
_LONG_EXPONENT, _LONG_MANTISSA = b"e000", b"0" * 200
_BRIEF_BYTES = 1 << 16
_SURROGATE_BYTES = 6
_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)
_TEXT = r'"(?:[^"\\]|\\.)*"'
_VALUES_AT_ONCE, _RUNS_AT_ONCE = 1_000, 40
_FEW_NODES = 500  # which all may be long numbers
_MANY_NODES = 20_000  # which are quickly looked at
# An int of so many digits or more takes long to read, about as long for each such run of digits.
_LONG_RUN = b"0" * 20
_LONG_RUNS, _LONG_RUN_BYTES = 50_000, 200  # so many are free; beyond, each has to come with so many bytes
_NAME_CHARS = 200
_TEXT_CHARS = 50_000
_MAX_INT = 2**53
_MAX_RESTORED = 100
_NOT_FINITE = "it sent a frame that is not JSON: a number in it is not finite"


class _Pause:
    """Has no garbage collected meanwhile: going over a hundred thousand new dicts again and again takes half the time.

    Frames are read in several threads; the last one to end turns the collector on again.
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
    """The worker broke the protocol; nothing more of it is believed."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """Bounds of the frames of a worker.

    Attributes:
        frame_bytes: Longest frame.
        nodes: Values and keys in a frame, besides one more for each so many bytes of it (`DENSE_BYTES`).
        cell_bytes: Bytes of all frames of a cell.
        burst_frames: Frames of a cell that may come at once.
        frames_per_s: Frames per second of a cell beyond the burst.
    """

    frame_bytes: int = FRAME_BYTES
    nodes: int = DENSE_NODES
    cell_bytes: int = 256 * 1024 * 1024
    burst_frames: int = 10_000
    frames_per_s: int = 100_000


@dataclass(frozen=True, slots=True)
class Ready:
    """The namespace stands."""


@dataclass(frozen=True, slots=True)
class CallFrame:
    """Code calls a host function."""

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A request was carried out."""

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
    """Make a frame.

    Args:
        message: A JSON object, not empty. Lone surrogates pass as they are.
        written: More of its members, as JSON writes them: `"a": 1, "b": 2`.

    Raises:
        TypeError: Something in it is not JSON.
        ValueError: A number in it is not finite, or something in it contains itself.
    """
    text = _ENCODER.encode(message)
    body = (f"{text[:-1]}, {written}}}" if written else text).encode("utf-8", "surrogatepass")
    return len(body).to_bytes(4, "big") + body


class Inbox:
    """Collects bytes from the worker and gives its messages.

    Args:
        limits: What is accepted.
    """

    def __init__(self, limits: FrameLimits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self.begin()

    def begin(self) -> None:
        """Start counting anew, for a new cell."""
        self._began = time.monotonic()
        self._bytes = self._frames = 0

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was received that was not taken out."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; all messages must be taken out in between."""
        self._bytes += len(data)
        if self._bytes > self.limits.cell_bytes:
            raise Violation(f"it sent more than {self.limits.cell_bytes:,} bytes for one cell")
        self._buffer += data

    def take(self) -> bytes | None:
        """Return the body of the next frame, for `read_message`; None when more bytes are needed.

        Raises:
            Violation: The frame is too long, or there are too many.
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
    """Read the body of a frame.

    Raises:
        Violation: The bytes are not an acceptable message.
    """
    return _message(_decoded(body, limits))


def _decoded(body: bytes, limits: FrameLimits) -> Any:
    nodes = _checked_nodes(body, limits)
    digits = body.translate(_DIGITS, b"+") if nodes > _FEW_NODES else b""
    _check_long_numbers(body, digits)
    try:
        with _PAUSE if nodes > _MANY_NODES else nullcontext():
            value = _parsed(body)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise Violation("it sent a frame nested deeper than 200 levels") from None
        raise Violation(f"it sent a frame that is not JSON: {str(error)[:200]}") from None
    # The parser takes numbers that no float can hold, and gives them as infinite.
    if (nodes <= _MANY_NODES or _has_odd_numbers(body, digits)) and not _is_finite(value):
        raise Violation(_NOT_FINITE)
    return value


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError:
        # It takes no lone surrogates, which no file and no request to a model can hold. Our worker sends none; whoever
        # does has to be brief.
        if len(body) > _BRIEF_BYTES or not (b"\\ud" in body or b"\\uD" in body):
            raise
        return from_json(_ESCAPES.sub(_without_surrogate, body), allow_inf_nan=False, cache_strings="none")


def _without_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == _SURROGATE_BYTES else escape[0]


def _check_long_numbers(body: bytes, digits: bytes) -> None:
    """Bound the digits of long numbers.

    Args:
        body: The frame.
        digits: The same with a 0 for every digit; empty where there are few values.

    Raises:
        Violation: There are too many.
    """
    most = _LONG_RUNS + len(body) // _LONG_RUN_BYTES
    if digits.count(_LONG_RUN) <= most:
        return
    # In a text there may be any digits.
    if _counted(body, _patterns().runs, _RUNS_AT_ONCE, most) > most:
        raise Violation(f"it sent a frame with more than {most * len(_LONG_RUN):,} digits in long numbers")


def _has_odd_numbers(body: bytes, digits: bytes) -> bool:
    """Return whether there is what may be a number that no float can hold.

    Args:
        body: The frame.
        digits: The same with a 0 for every digit, and without signs.

    Raises:
        Violation: There is one that is larger than any float by far.
    """
    may_be_odd = [
        pattern
        for sign, pattern in ((_LONG_EXPONENT, _patterns().odd), (_LONG_MANTISSA, _patterns().long))
        if sign in digits
    ]
    if not any(pattern.match(body) for pattern in may_be_odd):
        return False
    if _patterns().infinite.match(body) is not None:
        raise Violation(_NOT_FINITE)
    return True


def _is_finite(value: Any) -> bool:
    """Return whether all numbers in a value are finite."""
    left: list[Collection[Any]] = [[value]]
    while left:
        part = left.pop()
        kinds = {*map(type, part)}  # a list of a million numbers has two or three
        if float in kinds:
            floats = [one for one in part if type(one) is float]
            if math.inf in floats or -math.inf in floats:
                return False
        if list in kinds:
            left += [one for one in part if type(one) is list and one]
        if dict in kinds:
            left += [one.values() for one in part if type(one) is dict and one]
    return True


def _checked_nodes(body: bytes, limits: FrameLimits) -> int:
    """Bound the nodes of JSON text without decoding it; return how many there are at most.

    Raises:
        Violation: There are too many.
    """
    most = min(limits.nodes + len(body) // DENSE_BYTES, MAX_NODES)
    # Inside its texts there may be anything; often there is little enough even so.
    sample = body[:_BRIEF_BYTES]
    if len(body) <= _BRIEF_BYTES or _count(sample) * len(body) <= 2 * most * len(sample):
        nodes = _count(body)
        if nodes <= most:
            return nodes
    nodes = _counted(body, _patterns().values, _VALUES_AT_ONCE, most)
    if nodes > most:
        raise Violation(f"it sent a frame with more than {most:,} values")
    return nodes + _VALUES_AT_ONCE


def _counted(body: bytes, pattern: Any, at_once: int, most: int) -> int:
    """Count what a pattern finds so many of at once, up to so many more than there may be.

    What is left at the end, or comes after a text that does not end, is not counted.
    """
    found, at = 0, 0
    while found <= most and (match := pattern.match(body, at)) is not None:
        found += at_once
        at = match.end()
    return found


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Patterns over JSON text from its beginning, none of which looks into the texts in it.

    Each is an automaton that takes every byte once, whatever comes: the nodes of a frame full of escapes and commas are
    counted in the time that it takes to look through any other.

    Attributes:
        values: The next so many characters before a value or a key.
        runs: The next so many runs of digits that are long.
        odd: All up to a number that may be larger than any float, for its exponent.
        long: The same for its mantissa.
        infinite: All up to one that is.
    """

    values: Any
    runs: Any
    odd: Any
    long: Any
    infinite: Any


@cache
def _patterns() -> _Patterns:
    def compiled(pattern: str) -> Any:
        return re2.compile(f"(?s){pattern}".encode())

    over = r"[eE]\+?0*(?:[1-9][0-9]{3}|[4-9][0-9]{2}|3[1-9][0-9]|309)"
    most = r"[^0-9.](?:[2-9]|1\.[89])[0-9.]*[eE]\+?308"
    odd = rf"(?:{over}|{most}|1\.7[0-9]*[eE]\+?308|[0-9]{{2}}(?:\.[0-9]*)?[eE]\+?0*[1-9][0-9]{{2}})"
    return _Patterns(
        values=compiled(rf"(?:(?:[^\",:\[{{]|{_TEXT})*[,:\[{{]){{{_VALUES_AT_ONCE}}}"),
        runs=compiled(
            rf"(?:(?:[^\"0-9]|{_TEXT}|[0-9]{{1,19}}(?:[^\"0-9]|{_TEXT}))*[0-9]{{{len(_LONG_RUN)}}}){{{_RUNS_AT_ONCE}}}"
        ),
        odd=compiled(rf"(?:[^\"]|{_TEXT})*?{odd}"),
        long=compiled(rf"(?:[^\"]|{_TEXT})*?[0-9]{{200}}[0-9]*[.eE]"),
        infinite=compiled(rf"(?:[^\"]|{_TEXT})*?(?:[1-9](?:\.[0-9]*)?{over}|{most})"),
    )


def _count(data: bytes) -> int:
    return len(data) - len(data.translate(None, _STRUCTURAL))


# Made once: `json.dumps` would make it anew for each frame, which takes longer than a short frame.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


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
        raise Violation("it sent names that are none")
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
