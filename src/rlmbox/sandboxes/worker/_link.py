"""The host's end of the wire to a worker: one request at a time, with host calls in between, under one deadline.

One task waits for everything at once: frames from the worker, room to send, and what its process writes to descriptors
1 and 2, which is read with a limit so that nothing reaches our terminal. Nothing the worker does raises here; its end
is a value, `Lost`, and the sandbox then kills what is left of it.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from rlmbox.context.json_parts import is_long
from rlmbox.context.storage.stopping import STOPPED
from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.worker._frames import (
    CallFrame,
    Done,
    FrameLimits,
    Inbox,
    Ready,
    Reply,
    Violation,
    encode,
    read_message,
)
from rlmbox.sandboxes.worker._wire import OutputFlood, WorkerPipes
from rlmbox.sandboxes.worker._worker import FREE_CALLS_S
from rlmbox.types import CellError, CellLimits, CellOutcome, HostFunction

GRACE_S = 0.8
"""Seconds between a cell's interrupt, by the worker's own timer, and its kill; all of it has to be over within 1.1."""

INTERRUPT_GRACE_S = 2.0
"""Seconds between an interrupt, by a person or for a flood of output, and the kill of a cell that does not heed it."""

PARALLEL_CALLS = 16
"""Host calls of one cell that may be under way at once; further threads of the cell wait."""

_LONG_FRAME_BYTES = 1 << 18  # about a millisecond of reading
_TICK_S = 0.001
# A wait up to this counts as running time, so that an endless loop of calls times out: of calls that read the context,
# and of others, which often wait for the disk.
_SHORT_READ_S, _SHORT_S = 0.05, 0.005
_QUICK_S = 0.0005
_SLOW_S = 0.005
_QUICK_CALLS = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker is no longer usable and is to be killed.

    Attributes:
        outcome: `timeout`, `output`, `crashed`, or `error` for an interrupt that the cell ignored.
        message: The reason.
        ended: Whether the worker exited by itself.
    """

    outcome: CellOutcome
    message: str
    ended: bool = False


_CLOSED = Lost("crashed", "the sandbox was closed while the cell ran")


class _Expired(Exception):
    """The deadline has passed."""


class _InterruptIgnored(Exception):
    """The cell ignored its interrupt."""


class _Aborted(Exception):
    """The sandbox is being closed."""


class _Clock:
    """The deadline of a request, which is paused while a host call is under way.

    Args:
        loop: The event loop whose time is used.
        timeout_s: Seconds of running time.
        ring: Called when they have passed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, ring: Callable[[], None]) -> None:
        self._loop, self._left_s, self._ring = loop, timeout_s, ring
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.resume()

    @property
    def is_paused(self) -> bool:
        return self._timer is None

    def resume(self) -> None:
        if self._timer is None:
            self._due_s = self._loop.time() + self._left_s
            self._timer = self._loop.call_later(self._left_s, self._wake)

    def pause(self) -> None:
        if self._timer is not None:
            self._left_s = self._due_s - self._loop.time()
            self._timer.cancel()
            self._timer = None

    def add(self, seconds: float) -> None:
        self._left_s += seconds
        self._due_s += seconds  # the timer looks for itself, when it comes

    def _wake(self) -> None:
        self._timer, self._left_s = None, self._due_s - self._loop.time()
        if self._left_s > _TICK_S:
            self.resume()
        else:
            self._ring()


class Link:
    """A conversation with one worker. Owns the wire and the pipes, not the process.

    Args:
        wire: A stream socket to the worker; made non-blocking.
        outputs: Our ends of the pipes at the worker's descriptors 1 and 2; made non-blocking.
        limits: Limits of a cell.
        host: Functions that the worker may call.
        frame_limits: Limits on the worker's frames.
        ease: Called to help a worker that ignores its interrupt, before it is killed; see `WorkerProcess.ease`.
        interrupt: Interrupts the running cell, if possible; see `WorkerProcess.interrupt`.
    """

    def __init__(
        self,
        wire: socket.socket,
        outputs: Sequence[int],
        limits: CellLimits,
        host: Host,
        frame_limits: FrameLimits | None = None,
        ease: Callable[[], object] = lambda: None,
        interrupt: Callable[[], bool] = lambda: False,
    ) -> None:
        self._limits = limits
        self._host = host
        self._ease, self._interrupt = ease, interrupt
        self._inbox = Inbox(frame_limits or FrameLimits())
        self._wire = WorkerPipes(wire, outputs, limits, self._inbox, self._flooded)
        self._quick: dict[str, float] = {}
        # Results of calls that were already started, in this very task, and how much of their time does not count.
        self._begun: dict[int, tuple[Awaitable[Any], float]] = {}
        self._got: Done | Ready | Lost
        self._pending: set[int] = set()
        self._request_id = self._last_call_id = self._calls = 0
        self._free_left_s = self._free_s = self._paused_s = 0.0
        self._clock: _Clock
        self._tasks: anyio.abc.TaskGroup
        self._aborted = self._is_busy = self._is_open = False

    @cached_property
    def _threads(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(PARALLEL_CALLS)  # most sessions need none

    async def open(self, start: Mapping[str, Any], timeout_s: float, written: str = "") -> Lost | None:
        """Send the start frame and wait until the namespace is ready.

        Args:
            start: The frame; see `_worker.py`.
            timeout_s: Seconds to wait.
            written: More members of the frame; see `encode`.
        """
        reply = await self._exchange({**start, "type": "start"}, timeout_s, written=written)
        self._is_open = not isinstance(reply, Lost)
        return reply if isinstance(reply, Lost) else None

    async def request(self, message: Mapping[str, Any], timeout_s: float) -> Done | Lost:
        """Send a request and wait for its reply, answering the host calls in between.

        Args:
            message: `execute` with `code`, or `variables`.
            timeout_s: Seconds of running time, without host calls and the grace period of one second.
        """
        self._request_id += 1
        reply = await self._exchange({**message, "id": self._request_id}, timeout_s, GRACE_S)
        if isinstance(reply, Ready):
            return Lost("crashed", "the worker broke the protocol: it became ready twice")
        return reply

    def printed(self) -> tuple[BoundedText, ...]:
        """Return what was written to the worker's descriptors during the last request, bypassing Python's streams."""
        return self._wire.printed()

    def abort(self) -> None:
        """End the request under way, which returns `Lost`."""
        self._aborted = True
        self._wire.fail(_Aborted())

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running cell; return False if that is not possible.

        A cell that ignores it, such as one inside a long operation of a C library, is killed a little later. Between
        cells, and while a worker starts (it would end), this does nothing.
        """
        if not self._is_busy:
            return self._is_open
        if not self._interrupt():
            return False
        self._end_within(INTERRUPT_GRACE_S, _InterruptIgnored())
        return True

    def close(self) -> None:
        """Close the wire and the pipes; no request may be under way."""
        self._wire.close()

    async def _exchange(
        self, message: Mapping[str, Any], timeout_s: float, grace_s: float = 0.0, *, written: str = ""
    ) -> Done | Ready | Lost:
        gone = self._stale()
        if gone is not None:
            return gone
        starting = message["type"] == "start"
        frame = await self._written(partial(encode, message, written), message, written)
        self._free_left_s = FREE_CALLS_S
        self._is_busy = not starting
        self._clock = _Clock(asyncio.get_running_loop(), timeout_s + grace_s / 2, partial(self._late, grace_s / 2))
        try:
            begin = partial(self._converse, starting=starting, frame=frame)
            if any(function.at_once is not None and function.is_async for function in self._host.values()):
                # A scope that a call's first step enters, such as anyio's timeout, must be left before outer ones.
                async with anyio.create_task_group() as self._tasks:
                    await self._go_on(await begin())
                return self._got
            got = await begin()
            if isinstance(got, CallFrame):  # a task group only if needed: most cells make no call that waits
                async with anyio.create_task_group() as self._tasks:
                    await self._go_on(got)
                got = self._got
        finally:
            self._is_busy = False
            self._clock.pause()
            self._drop_begun()
        return got

    async def _written(self, write: Callable[[], bytes], *values: object) -> bytes:
        """Return a frame with these values, written in a thread if they are long."""
        if not is_long(*values):
            return write()
        return await anyio.to_thread.run_sync(write, abandon_on_cancel=True, limiter=self._threads)

    async def _go_on(self, got: Done | Ready | CallFrame | Lost) -> None:
        """Continue from a call that has to be awaited to the end of the request.

        A call that has begun is awaited in the task that began it, since what it has entered there, such as a timeout,
        belongs to that task; from then on another task holds the conversation.
        """
        while isinstance(got, CallFrame):
            self._pend(got)
            if got.id in self._begun:
                self._tasks.start_soon(self._take_over)
                await self._answer(self._host[got.name], got)
                return
            self._tasks.start_soon(self._answer, self._host[got.name], got)
            got = await self._converse(starting=False)
        self._got = got
        if self._pending:
            self._tasks.cancel_scope.cancel()

    async def _take_over(self) -> None:
        await self._go_on(await self._converse(starting=False))

    def _drop_begun(self) -> None:
        """Close the calls that were begun and are no longer awaited."""
        for result, _ in self._begun.values():
            if (close := getattr(result, "close", None)) is not None:
                close()
        self._begun.clear()

    def _late(self, grace_s: float) -> None:
        if not grace_s:
            self._wire.fail(_Expired())
            return
        with suppress(OSError):
            self._ease()
        self._clock = _Clock(asyncio.get_running_loop(), grace_s, partial(self._late, 0.0))

    def _flooded(self) -> None:
        """Interrupt a cell that prints too much; its worker is killed if that fails or does not help."""
        if not self._interrupt():
            self._wire.fail(OutputFlood())
            return
        self._end_within(INTERRUPT_GRACE_S, OutputFlood())

    def _end_within(self, grace_s: float, error: Exception) -> None:
        """Fail the request with an exception after a grace period, not counting host calls, unless it ends before."""
        self._clock.pause()
        self._clock = _Clock(asyncio.get_running_loop(), grace_s, partial(self._wire.fail, error))
        if self._pending:
            self._pause()

    def _stale(self) -> Lost | None:
        """Check for unsolicited bytes from the worker, and for its end, since the last request."""
        self._inbox.begin()
        self._pending.clear()
        if self._aborted:
            return _CLOSED
        data = self._wire.begin()
        if data is None:
            return None
        if not data:
            return Lost("crashed", "the worker ended between two cells", ended=True)
        return Lost("crashed", "the worker broke the protocol: it sent something that was not asked for")

    async def _converse(self, *, starting: bool, frame: bytes = b"") -> Done | Ready | CallFrame | Lost:
        """Continue until the request is answered, or until a call has to be awaited."""
        try:
            if frame:
                self._wire.send(frame)
            while True:
                while (body := self._inbox.take()) is not None:
                    message = await self._read(body)
                    if not isinstance(message, CallFrame):
                        return self._accepted(message, starting=starting)
                    self._check_call(message, starting=starting)
                    if not self._answer_at_once(message):
                        return message
                await self._wire.wait()
        except (Violation, OutputFlood, OSError, _Expired, _InterruptIgnored, _Aborted) as error:
            return self._lost(error)

    async def _read(self, body: bytes) -> Reply:
        if len(body) < _LONG_FRAME_BYTES:
            return read_message(body, self._inbox.limits)
        return await anyio.to_thread.run_sync(
            read_message, body, self._inbox.limits, abandon_on_cancel=True, limiter=self._threads
        )

    def _lost(self, error: Exception) -> Lost:
        if isinstance(error, Violation):
            return Lost("crashed", f"the worker broke the protocol: {error}")
        if isinstance(error, OutputFlood):
            return Lost("output", self._too_much().message)
        if isinstance(error, _InterruptIgnored):
            return Lost("error", "the cell went on after it was interrupted, so its process was killed")
        if isinstance(error, _Expired):
            return Lost("timeout", "it did not end when it was interrupted, so its process was killed")
        if isinstance(error, _Aborted):
            return _CLOSED
        return Lost("crashed", "the worker ended", ended=True)

    def _too_much(self) -> CellError:
        message = f"the cell's process wrote more than {self._limits.output_flood_bytes:,} bytes of output"
        return CellError("OutputExceeded", message, f"OutputExceeded: {message}")

    def _accepted(self, message: Done | Ready, *, starting: bool) -> Done | Ready:
        if starting != isinstance(message, Ready):
            raise Violation("it sent a reply to something else")
        if isinstance(message, Done) and message.id != self._request_id:
            raise Violation("it sent a reply to another request")
        if isinstance(message, Done) and self._wire.is_flooded:
            message = replace(message, outcome="output", value=None, value_repr=None, error=self._too_much())
        if self._pending:
            raise Violation("it ended a cell while it waited for a host call")
        if not self._inbox.is_empty:
            raise Violation("it sent more after the end of a cell")
        return message

    def _check_call(self, call: CallFrame, *, starting: bool) -> None:
        if call.name not in self._host or starting:
            raise Violation(f"it called the unknown function {call.name[:50]!r}")
        if call.id <= self._last_call_id:
            raise Violation("it used the number of a call again")
        # Answers that the worker does not read count too, or they would pile up here.
        if len(self._pending) + self._wire.backlog >= PARALLEL_CALLS:
            raise Violation(f"it made more than {PARALLEL_CALLS} calls at once")
        self._last_call_id = call.id
        self._calls += 1

    # The worker's clock is paused while a call is under way, and so is ours. How much of a call's time is free is
    # measured here and sent with the answer: two measurements would drift apart on a busy machine, and then this
    # deadline, which costs the namespace, would pass before the worker's own.
    def _pend(self, call: CallFrame) -> None:
        if not self._pending:
            self._free_s = 0.0
        self._pending.add(call.id)
        if not self._host[call.name].is_running_time or self._free_left_s > 0:
            self._pause()

    def _pause(self) -> None:
        if not self._clock.is_paused:
            self._clock.pause()
            self._paused_s = time.monotonic()

    async def _answer(self, function: HostFunction, call: CallFrame) -> None:
        began = time.monotonic()
        _, freed_s = self._begun.get(call.id, (None, 0.0))
        try:
            value = await self._result_of(function, call)
            frame = await self._written(partial(_result, call, value), value)
        except Exception as error:  # noqa: BLE001 - whatever it is, the cell is told
            frame = _failure(call, error)
        free_s = self._freed(function, time.monotonic() - began)
        self._pending.discard(call.id)
        self._free_s += free_s
        if not self._pending and self._clock.is_paused:
            self._clock.resume()
            self._clock.add(-max(0.0, time.monotonic() - self._paused_s - self._free_s))
        with suppress(OSError):  # the reading side sees the end of the worker too
            self._wire.send(_framed(frame, freed_s + free_s))

    def _freed(self, function: HostFunction, took_s: float) -> float:
        """Return how much of a call's time does not count."""
        if not function.is_running_time:
            return took_s if took_s > _SHORT_S else 0.0
        if took_s <= _SHORT_READ_S or self._free_left_s <= 0:
            return 0.0
        free_s = min(took_s, self._free_left_s)
        self._free_left_s -= free_s
        return free_s

    # A plain function ought to be quick, but a user's may not be and would block every session. So it runs in a
    # thread until it has been quick a few times; from then on it is called directly, which saves two thread switches
    # for each of what may be thousands of calls. One slow call sends it back to threads for good.

    async def _result_of(self, function: HostFunction, call: CallFrame) -> Any:
        if call.id in self._begun:
            return await self._begun.pop(call.id)[0]
        if function.is_async:
            return await function.call(*call.args, **call.kwargs)  # type: ignore[misc]
        took_s, stopped = math.inf, threading.Event()

        def timed() -> Any:
            nonlocal took_s
            STOPPED.set(stopped)
            began = time.perf_counter()
            try:
                return function.call(*call.args, **call.kwargs)
            finally:
                took_s = time.perf_counter() - began

        try:
            result = await anyio.to_thread.run_sync(timed, abandon_on_cancel=True, limiter=self._threads)
        finally:
            stopped.set()
            self._quick[call.name] = self._quick.get(call.name, 0) + 1 if took_s < _QUICK_S else -math.inf
        if not inspect.isawaitable(result):
            return result
        self._quick[call.name] = -math.inf
        return await result

    def _answer_at_once(self, call: CallFrame) -> bool:
        """Answer a call that needs no waiting; return whether it was answered."""
        if self._calls > self._limits.host_calls:
            limit = f"this session has made its {self._limits.host_calls:,} calls to host functions"
            self._wire.send(_failure(call, RuntimeError(limit)))
            return True
        function = self._host[call.name]
        if function.at_once is None and self._quick.get(call.name, 0) < _QUICK_CALLS:
            return False
        began = time.perf_counter()
        try:
            result: Any = (function.at_once or function.call)(*call.args, **call.kwargs)
            is_begun = function.at_once is not None and inspect.isawaitable(result)
            if not is_begun and is_long(result):  # written in a thread
                result, is_begun = _itself(result), True
            frame = b"" if is_begun else _result(call, result)
        except Exception as error:  # noqa: BLE001 - whatever it is, the cell is told
            is_begun, frame = False, _failure(call, error)
        took_s = time.perf_counter() - began
        if took_s > _SLOW_S:
            self._quick[call.name] = -math.inf
        free_s = self._freed(function, took_s)
        self._clock.add(free_s)
        if is_begun:
            self._begun[call.id] = result, free_s
            return False
        self._wire.send(_framed(frame, free_s))
        return True


def _framed(frame: bytes, free_s: float) -> bytes:
    """Prepend to the frame of an answer how much of the call's time does not count."""
    if not free_s:
        return frame
    body = f'{{"free_s":{free_s!r},'.encode() + frame[5:]
    return len(body).to_bytes(4, "big") + body


async def _itself(value: Any) -> Any:
    return value


def _result(call: CallFrame, value: Any) -> bytes:
    try:
        return encode({"id": call.id, "value": value})
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{call.name}() returned a value that is not JSON: {error}") from None


def _failure(call: CallFrame, error: Exception) -> bytes:
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return encode({"id": call.id, "error": {"type": type(error).__name__, "message": str(message)[:10_000]}})
