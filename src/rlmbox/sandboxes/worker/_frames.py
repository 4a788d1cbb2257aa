"""Frames from a worker, read as what they are: bytes from an attacker.

A frame is four bytes of big-endian length and that many bytes of UTF-8 JSON. Nothing is allocated for a length
that is too large, nothing is decoded that has too many nodes or is nested too deeply, and what was decoded is
one of three messages with fields of the right type, or a `Violation`.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from rlmbox.types import CellError, Outcome

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OUTCOMES: frozenset[Outcome] = frozenset(("ok", "error", "timeout", "memory", "stack", "output"))
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_PIECE_BYTES = 1 << 20
_NAME_CHARS = 200
_TEXT_CHARS = 50_000


class Violation(Exception):
    """The worker broke the protocol; nothing more of it is believed."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What a worker may send.

    Attributes:
        frame_bytes: Longest frame.
        nodes: Values and keys in a frame.
        depth: Nesting of lists and objects in a frame.
        cell_bytes: Bytes of all frames of a cell.
        burst_frames: Frames of a cell that may come at once.
        frames_per_s: Frames per second of a cell beyond the burst.
    """

    frame_bytes: int = 64 * 1024 * 1024
    nodes: int = 500_000
    depth: int = 64
    cell_bytes: int = 256 * 1024 * 1024
    burst_frames: int = 10_000
    frames_per_s: int = 100_000


@dataclass(frozen=True, slots=True)
class Ready:
    """The namespace stands."""


@dataclass(frozen=True, slots=True)
class HostCall:
    """Code calls a host function."""

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A request was carried out."""

    id: int
    outcome: Outcome
    stdout: str
    stderr: str
    dropped_chars: int
    error: CellError | None
    value: Any
    value_repr: str | None


Reply = Ready | HostCall | Done


def encode(message: Mapping[str, Any]) -> bytes:
    """Makes a frame.

    Args:
        message: A JSON object. Lone surrogates pass as they are.

    Raises:
        TypeError: Something in it is not JSON.
        ValueError: A number in it is not finite, or something in it contains itself.
    """
    body = _ENCODER.encode(message).encode("utf-8", "surrogatepass")
    return len(body).to_bytes(4, "big") + body


class Inbox:
    """Collects bytes from the worker and gives its messages.

    Args:
        limits: What is accepted.
    """

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self.begin()

    def begin(self) -> None:
        """Starts counting anew, for a new cell."""
        self._began = time.monotonic()
        self._bytes = self._frames = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was received that was not taken out."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Takes bytes as they come; all messages must be taken out in between."""
        self._bytes += len(data)
        if self._bytes > self._limits.cell_bytes:
            raise Violation(f"it sent more than {self._limits.cell_bytes:,} bytes for one cell")
        self._buffer += data

    def take(self) -> Reply | None:
        """Gives the next message, or None when more bytes are needed.

        Raises:
            Violation: The bytes are not an acceptable message.
        """
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size > self._limits.frame_bytes:
            raise Violation(f"it announced a frame of {size:,} bytes")
        if len(self._buffer) < 4 + size:
            return None
        body = bytes(memoryview(self._buffer)[4 : 4 + size])
        del self._buffer[: 4 + size]
        self._count_frame()
        return _message(_decoded(body, self._limits))

    def _count_frame(self) -> None:
        self._frames += 1
        burst, rate = self._limits.burst_frames, self._limits.frames_per_s
        if self._frames > burst and self._frames > burst + rate * (time.monotonic() - self._began):
            raise Violation(f"it sent more than {rate:,} frames per second")


def _decoded(body: bytes, limits: FrameLimits) -> Any:
    _check_size(body, limits)
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Violation(f"it sent a frame that is not JSON: {str(error)[:200]}") from None
    # Only an escape can bring a lone surrogate, which no file and no request to a model can hold.
    return _without_surrogates(value) if b"\\u" in body else value


def _check_size(body: bytes, limits: FrameLimits) -> None:
    """Bounds the nodes and the depth of JSON text without decoding it."""
    if _structural(body) <= limits.nodes and body.count(b"[") + body.count(b"{") <= limits.depth:
        return
    nodes, depth = 0, 0
    for part, texts in _outside_texts(body):
        nodes += _structural(part) + texts
        if nodes > limits.nodes:
            raise Violation(f"it sent a frame with more than {limits.nodes:,} values")
        levels = list(accumulate(map(_STEPS.__getitem__, part.translate(None, _NOT_BRACKETS)), initial=depth))
        depth = levels[-1]
        if max(levels) > limits.depth:
            raise Violation(f"it sent a frame nested deeper than {limits.depth} levels")


def _outside_texts(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Gives JSON text without its strings, and how many strings there were, in pieces of bounded size."""
    at, inside = 0, 0
    while at < len(body):
        end = min(at + _PIECE_BYTES, len(body))
        while end < len(body) and body[end - 1] == ord("\\"):
            end += 1
        # Backslashes pair up from the left; what is left of a run escapes a quote that ends nothing.
        parts = body[at:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        yield b"".join(parts[inside::2]), len(parts) // 2
        inside ^= (len(parts) - 1) & 1
        at = end


def _structural(body: bytes) -> int:
    return sum(map(body.count, (b",", b":", b"[", b"{")))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is not finite")
    return value


# Made once: `json.dumps` and `json.loads` would make them anew for each frame, which takes longer than a short frame.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _message(frame: Any) -> Reply:
    if not isinstance(frame, dict):
        raise Violation("it sent a frame that is not an object")
    kind = frame.pop("type", None)
    if kind == "ready" and not frame:
        return Ready()
    if kind == "call":
        return HostCall(
            _field(frame, "id", int),
            _field(frame, "name", str),
            _field(frame, "args", list),
            _field(frame, "kwargs", dict),
        )
    if kind == "done":
        return _done(frame)
    raise Violation(f"it sent a frame of the unknown type {str(kind)[:50]!r}")


def _done(frame: dict[str, Any]) -> Done:
    outcome: Outcome = _field(frame, "outcome", str)
    if outcome not in _OUTCOMES:
        raise Violation(f"it sent the unknown outcome {outcome[:50]!r}")
    error = _field(frame, "error", dict, optional=True)
    if (error is None) != (outcome == "ok"):
        raise Violation(f"it sent the outcome {outcome!r} {'without' if error is None else 'with'} an error")
    return Done(
        id=_field(frame, "id", int),
        outcome=outcome,
        stdout=_field(frame, "stdout", str, optional=True) or "",
        stderr=_field(frame, "stderr", str, optional=True) or "",
        dropped_chars=max(0, _field(frame, "dropped", int, optional=True) or 0),
        error=None if error is None else _cell_error(error),
        value=frame.get("value") if error is None else None,
        value_repr=_field(frame, "value_repr", str, optional=True) if error is None else None,
    )


def _cell_error(error: dict[str, Any]) -> CellError:
    return CellError(
        type=_field(error, "type", str)[:_NAME_CHARS],
        message=_field(error, "message", str)[:_TEXT_CHARS],
        traceback=(_field(error, "traceback", str, optional=True) or "")[:_TEXT_CHARS],
        line=_field(error, "line", int, optional=True),
    )


def _field(frame: Mapping[str, Any], name: str, kind: type, *, optional: bool = False) -> Any:
    value = frame.get(name)
    if value is None and optional:
        return None
    # An exact type: `true` is an `int` for isinstance.
    if type(value) is not kind:
        raise Violation(f"it sent a frame whose {name!r} is a {type(value).__name__}")
    return value
