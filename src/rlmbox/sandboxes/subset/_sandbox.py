"""`subset` as a sandbox: cells run in a thread of this process, in a language that can only compute.

There is no process to kill and nothing to keep out: a cell can reach only what `grammar` lists. Work is counted in
steps, so that the same cells end alike on every machine. The clock only ends a cell that is stuck.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import anyio

from rlmbox.context import Context
from rlmbox.errors import SandboxError
from rlmbox.sandboxes import _large_text, _texts
from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes._cells import refused
from rlmbox.sandboxes.base import Host, refuse_tables
from rlmbox.sandboxes.subset._calls import HostBridge, HostRequest, injected
from rlmbox.sandboxes.subset._result import cell_error, describe_value, encodable, value_of
from rlmbox.sandboxes.subset.errors import LimitReached, Stopped
from rlmbox.sandboxes.subset.evaluate import CellResult, CompiledCell, SubsetSession
from rlmbox.sandboxes.subset.grammar import SubsetProfile
from rlmbox.sandboxes.subset.long_text import LongText
from rlmbox.sandboxes.subset.service import default_limits
from rlmbox.sandboxes.subset.snapshot import restore, snapshot
from rlmbox.sandboxes.subset.values import Builtin
from rlmbox.types import Cell, CellError, CellLimits, Execution, HostFunction

NOTES = (
    "This Python is a deterministic subset: no while, with, class, yield, async, await, match, decorators or nonlocal.",
    "Modules are re, json, math, base64, binascii, zlib (decompress), string and collections (Counter, defaultdict).",
    "Patterns of re match in linear time: no look-around and no back-references.",
    "Work is limited in steps, about one for each operation: prefer one call over a whole text to a loop over it.",
    "Sets go through their items in the order in which they were put in.",
    "An error says what could be written instead.",
)
_STRICT_NOTES = (
    "This Python is a strict subset: assignments to one name, if, for, try with except Exception, calls, slices, +, |.",
    "Functions are print, len, max, range and iter; methods are strip, lower and find of str, and decode of bytes.",
    "Of modules there are re.search, re.findall, base64.b64decode, binascii.hexlify and zlib.decompress.",
)
_GRACE_S = 1.0
_MOST_WAITS = 20
_INTERRUPT = object()
_CUT = "the cell before this one was cancelled and its variables are lost; this one began in a fresh namespace\n"


class SubsetSandbox:
    """Runs cells in a deterministic interpreter for a subset of Python.

    The same cells over the same context print the same, fail with the same error and take the same number of steps,
    wherever they run. A session starts in less than a millisecond, on every platform.

    Args:
        profile: The language: `wide`, or `strict` for the smallest one.
        steps: Step limit of a cell: one for each syntax node that is evaluated, and one for each 1,000 characters or 50
            items of a bulk operation.
        memory_bytes: Limit of the session's live data; `CellLimits.memory_bytes` may lower it.
        code_chars: Limit of a cell's length; `CellLimits.code_bytes` may lower it.
    """

    name = "subset"
    outlives_cancellation = False

    def __init__(
        self,
        *,
        profile: SubsetProfile = "wide",
        steps: int = 50_000,
        memory_bytes: int = 64 * 1024 * 1024,
        code_chars: int = 20_000,
    ) -> None:
        self._profile: SubsetProfile = profile
        self._limits = replace(default_limits(profile), steps=steps, memory_bytes=memory_bytes, code_chars=code_chars)
        self.notes: tuple[str, ...] = NOTES if profile == "wide" else _STRICT_NOTES
        self._cell_limits = CellLimits()
        self._values: dict[str, Any] = {}
        self._host: dict[str, HostFunction] = {}
        self._inputs: Mapping[str, object] = {}
        self._given: dict[str, object] = {}
        self._texts: dict[str, Any] = {}
        self._output = BoundedText(0)
        self._bridge: HostBridge | None = None
        self._session: SubsetSession | None = None
        self._closed = self._is_running = self._was_cut = False
        self._waiting: anyio.CancelScope | None = None

    async def start(
        self,
        limits: CellLimits,
        context: Context,
        host: Host,
        *,
        query: str = "",
        seed: int = 0,
        inputs: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Prepare the namespace; see `Sandbox.start`.

        Args:
            limits: Limits of each cell.
            context: The text.
            host: The functions that code may call.
            query: The question.
            seed: Ignored: there is no randomness.
            inputs: Values of further variables.
        """
        refuse_tables(self.name, inputs)
        self._cell_limits = limits
        self._limits = replace(
            self._limits,
            memory_bytes=min(self._limits.memory_bytes, limits.memory_bytes),
            call_depth=limits.recursion_depth,
            code_chars=min(self._limits.code_chars, limits.code_bytes),
        )
        self._host = dict(host)
        self._bridge = HostBridge(asyncio.get_running_loop(), limits.host_calls)
        texts = await _texts.placed(context, inputs, limits)
        self._texts = {each.name: await self._text_of(each) for each in texts}
        if handles := [each.name for each in texts if each.is_handle]:
            self.notes = (*self.notes, _large_text.note(handles, "; patterns are for ctx.search"))
        text = self._texts.pop("context")
        self._values = {"context": text, "query": query}
        self._inputs = {name: value for name, value in inputs.items() if name not in self._texts}
        if self._profile == "wide":
            self._values["P"] = text
        self._session = self._new_session()

    async def _text_of(self, placed: _texts.NamedText) -> Any:
        """Return the value of a text in a cell: a `str`, or the handle of a long one."""
        context = placed.text
        if not placed.is_handle:
            if context.size_bytes < 1 << 20:
                return context.text()
            return await anyio.to_thread.run_sync(context.text)
        functions = _large_text.text_functions(context)

        def ask(name: str, *args: Any) -> Any:
            bridge = self._bridge
            return bridge.call(functions[f"{_large_text.OBJECT}.{name}"], *args) if bridge else None

        return LongText(context, ask, placed.name)

    def _new_session(self) -> SubsetSession:
        bridge = self._bridge
        if bridge is None:
            raise SandboxError("this sandbox was not started")
        session = SubsetSession(self._profile, self._limits, self._write, self._values)
        bridge.meter = session.meter
        session.bind(injected(bridge, self._host))
        if self._profile == "wide":
            session.bind({"SHOW_VARS": Builtin("SHOW_VARS", lambda: self._described(session))})
        self._given = {**copy.deepcopy(dict(self._inputs)), **self._texts}
        session.variables.update(self._given)
        return session

    def _write(self, text: str) -> None:
        self._output.write(text)
        if self._output.size_bytes > self._cell_limits.output_flood_bytes:
            raise LimitReached(
                f"the cell printed more than {self._cell_limits.output_flood_bytes:,} bytes",
                hint="print less, or a slice",
                limit="output",
            )

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`."""
        session = self._open_session()
        began = time.perf_counter()
        if (too_long := refused(cell, self._cell_limits)) is not None:
            return too_long
        self._output = BoundedText(self._cell_limits.output_chars)
        was_cut, self._was_cut = self._was_cut, False
        prepared = session.prepare(cell.code)
        if prepared.error is None:
            execution = await self._run(session, prepared)
        else:
            execution = self._execution(session, CellResult(prepared.error, None, 0))
        return replace(execution, stderr=_CUT if was_cut else "", duration_s=time.perf_counter() - began)

    def _open_session(self) -> SubsetSession:
        if self._closed or self._session is None:
            raise SandboxError("this sandbox is closed; open a new session")
        return self._session

    async def _run(self, session: SubsetSession, prepared: CompiledCell) -> Execution:
        """Run a cell in a thread and answer its calls."""
        bridge = self._bridge
        if bridge is None:
            raise SandboxError("this sandbox was not started")
        bridge.events = asyncio.Queue()
        thread = threading.Thread(
            target=_work, args=(bridge, session, prepared, partial(self._execution, session)), daemon=True
        )
        clock = _CpuClock(self._cell_limits.cell_timeout_s)
        thread.start()
        self._is_running = True
        try:
            while True:
                try:
                    event = await clock.within(bridge.events.get)
                except TimeoutError:
                    if clock.is_over(thread):
                        return await self._too_late(session, bridge)
                    continue
                if event is _INTERRUPT:
                    return await self._interrupted(session, bridge)
                if not isinstance(event, HostRequest):
                    return self._ended(event)
                await self._answer_call(event)
        except BaseException:
            # Nothing waits for the cell any more: its thread must stop, and its variables cannot be trusted.
            session.meter.stop()
            if bridge.waiting is not None:
                bridge.waiting.answer.put((False, RuntimeError("the session was ended")))
            self._bridge = bridge.renewed()
            self._session = None if self._closed else self._new_session()
            self._was_cut = True
            raise
        finally:
            self._is_running = False

    def _ended(self, event: Any) -> Execution:
        if self._closed:
            raise SandboxError("the sandbox was closed while a cell ran")
        if isinstance(event, BaseException):
            raise event
        return event  # type: ignore[no-any-return]

    async def _answer_call(self, request: HostRequest) -> None:
        answer: tuple[bool, Any] = (False, RuntimeError("the session was ended"))
        with anyio.CancelScope() as self._waiting:
            try:
                answer = True, await request.function.call(*request.args, **request.kwargs)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
                answer = False, error
        self._waiting = None
        if self._closed:
            raise SandboxError("the sandbox was closed while a cell waited for a host call")
        request.answer.put(answer)

    async def _too_late(self, session: SubsetSession, bridge: HostBridge) -> Execution:
        """End a cell that reached its time limit; its variables are lost."""
        await self._stop(session, bridge)
        stdout, dropped = encodable(self._output.text()), self._output.dropped_chars
        self._bridge = bridge.renewed()
        self._session = self._new_session()
        message = f"the cell ran longer than {self._cell_limits.cell_timeout_s:g} s; its variables are lost"
        error = CellError("ExecutionTimeout", message, f"ExecutionTimeout: {message}")
        return Execution("timeout", stdout, "", dropped, error, namespace="lost")

    async def _interrupted(self, session: SubsetSession, bridge: HostBridge) -> Execution:
        """End a cell that was interrupted; its variables are kept unless it is inside one long call."""
        ended = await self._stop(session, bridge)
        stdout, dropped = encodable(self._output.text()), self._output.dropped_chars
        error = CellError("KeyboardInterrupt", "interrupted by the host", "KeyboardInterrupt: interrupted by the host")
        if ended:
            session.meter.revive()
            return Execution("error", stdout, "", dropped, error, restored=self._restored(session))
        self._bridge = bridge.renewed()
        self._session = self._new_session()
        return Execution("error", stdout, "", dropped, error, namespace="lost")

    async def _stop(self, session: SubsetSession, bridge: HostBridge) -> bool:
        """Stop the thread of a cell; return whether it ended: inside one long call it only ends after that."""
        session.meter.stop()
        with anyio.move_on_after(_GRACE_S) as waiting:
            while (event := await bridge.events.get()) is _INTERRUPT or isinstance(event, HostRequest):
                if isinstance(event, HostRequest):
                    event.answer.put((False, RuntimeError("the session was ended")))
        if self._closed:
            raise SandboxError("the sandbox was closed while a cell ran")
        return not waiting.cancelled_caught

    def interrupt(self) -> bool:
        """Interrupt the running cell; call it on the sandbox's event loop.

        The cell's variables are kept, unless it is inside one long call; its execution then reports that they are lost.

        Returns:
            False if the sandbox is closed.
        """
        if self._closed or self._bridge is None:
            return False
        if self._is_running:
            self._bridge.events.put_nowait(_INTERRUPT)
            if self._waiting is not None:
                self._waiting.cancel()
        return True

    def _execution(self, session: SubsetSession, result: CellResult) -> Execution:
        stdout, dropped = encodable(self._output.text()), self._output.dropped_chars
        restored = self._restored(session)
        if result.error is not None:
            outcome, error = cell_error(session, result.error)
            return Execution(outcome, stdout, "", dropped, error, restored=restored)
        try:
            value, shown = value_of(session, result.value, must_leave=result.is_expression)
        except ValueError as problem:
            error = CellError("ValueError", str(problem), f"ValueError: {problem}")
            return Execution("error", stdout, "", dropped, error, restored=restored)
        return Execution("ok", stdout, "", dropped, None, value, shown, restored=restored)

    def _restored(self, session: SubsetSession) -> tuple[str, ...]:
        """Unbind the REPL's own names that the cell has rebound, and return them."""
        own = {name.partition(".")[0] for name in self._host} | {"context", "P", "SHOW_VARS"}
        taken = tuple(sorted(own & session.variables.keys()))
        for name in taken:
            del session.variables[name]
        return taken

    async def variables(self) -> Mapping[str, str]:
        """List the variables that cells have set; see `Sandbox.variables`."""
        return self._described(self._open_session())

    def _described(self, session: SubsetSession) -> dict[str, str]:
        return {
            name: describe_value(value)
            for name, value in session.variables.items()
            if not name.startswith("_") and value is not self._given.get(name, self)
        }

    def snapshot(self) -> dict[str, object]:
        """Return the variables as JSON; no cell may be running.

        Returns:
            The argument of `restore`; `lost` maps the names of variables that could not be kept to the reason.
        """
        return snapshot(self._open_session())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the variables of a snapshot in this session, which must have the same host functions.

        Args:
            state: What `snapshot` returned.

        Raises:
            SandboxError: It is not a valid snapshot.
        """
        session = self._open_session()
        try:
            restore(session, state)
        except ValueError as error:
            raise SandboxError(str(error)) from None
        for name, value in self._given.items():
            if type(now := session.variables.get(name)) is type(value):
                self._given[name] = now

    async def close(self) -> None:
        """Release everything; see `Sandbox.close`."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            session.meter.stop()
        if self._waiting is not None:
            self._waiting.cancel()


class _CpuClock:
    """Detects that a cell has run too long.

    Where it can, it counts the CPU time of the thread, so that a busy machine does not end a cell early.

    Args:
        timeout_s: The time limit.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ran_s = 0.0
        self._next_s = timeout_s

    async def within(self, get: Any) -> Any:
        """Return the next event.

        Raises:
            TimeoutError: It is time to call `is_over`.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(self._next_s - self._ran_s, 0.0)):
                return await get()
        finally:
            self._ran_s += time.monotonic() - began

    def is_over(self, thread: threading.Thread) -> bool:
        """Return whether the time limit is reached; if not, set when to check again."""
        if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
            return True
        try:
            used_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        except OSError:  # the thread has just ended
            used_s = 0.0
        left_s = self._timeout_s - used_s
        self._next_s = self._ran_s + max(left_s, 0.01)
        return left_s <= 0 or self._ran_s > _MOST_WAITS * self._timeout_s


def _work(bridge: HostBridge, session: SubsetSession, prepared: CompiledCell, finish: Any) -> None:
    """Run a cell in its thread."""
    event: object
    try:
        event = finish(session.run(prepared))
    except BaseException as error:  # noqa: BLE001 - raised where the cell is awaited
        event = SandboxError(f"the interpreter failed with {type(error).__name__}: {error}")
    with suppress(Stopped):  # nothing waits for it any more
        bridge.send(event)
