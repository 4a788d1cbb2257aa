"""One persistent interpreter in a sandbox: runs call after call, and is made anew where one has to end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import RLMError
from rlmbox.sandboxes.base import Host, Sandbox
from rlmbox.tool.result import ToolResult, failure, of_execution
from rlmbox.tool.schema import MAX_CODE_BYTES, MAX_OUTPUT_BYTES, MAX_TIMEOUT_S, ToolCall
from rlmbox.types import Cell, CellLimits, Execution

NO_CONTEXT = "(no context)"
"""The variable `context` where none is given."""

_GRACE_S = 1.0  # between an interrupt and the kill
_AGAIN_S = 0.3
_NOTE_CHARS = 200  # the sandbox's own note on what it has dropped


def tool_limits(*, memory_bytes: int | None = None, max_timeout_s: float = MAX_TIMEOUT_S) -> CellLimits:
    """Return the limits of an interpreter.

    Args:
        memory_bytes: Memory of its own; None for the usual.
        max_timeout_s: The longest timeout of a call; each call has one of its own below it.
    """
    # The sandbox's own deadline is only the last resort here: it comes after ours and its kill.
    limits = CellLimits(
        cell_timeout_s=max_timeout_s + 10 * _GRACE_S,
        output_chars=MAX_OUTPUT_BYTES - _NOTE_CHARS,
        code_bytes=MAX_CODE_BYTES,
    )
    return limits if memory_bytes is None else replace(limits, memory_bytes=memory_bytes)


class Interpreter:
    """A persistent interpreter. Used from one event loop; calls run one after another.

    Args:
        make_sandbox: Makes its sandbox, and another where one is lost.
        limits: What a call may use; see `tool_limits`.
        context: The text that is `context` in it; None for none.
        host: Functions that code may call; None for those of the context, where there is one.
        echo: Whether the value of a last bare expression is printed, as Python's prompt does.
    """

    def __init__(
        self,
        make_sandbox: Callable[[], Sandbox],
        limits: CellLimits,
        *,
        context: Context | None = None,
        host: Host | None = None,
        echo: bool = False,
    ) -> None:
        self._make_sandbox, self._limits, self._echo = make_sandbox, limits, echo
        self._context = Context.from_text(NO_CONTEXT) if context is None else context
        if host is None and context is not None:
            host = {function.name: function for function in repl_functions(context)}
        self._host: Host = host or {}
        self._sandbox: Sandbox | None = None
        self._turn = asyncio.Lock()
        self._closed = self._lost = self._used = False

    @property
    def sandbox(self) -> str:
        """The sandbox's name; empty before the start."""
        return "" if self._sandbox is None else self._sandbox.name

    async def start(self) -> None:
        """Make the interpreter ready, which the first call does otherwise.

        Raises:
            RLMError: No sandbox can be started here.
        """
        async with self._turn:
            await self._started()

    async def run(self, call: ToolCall) -> ToolResult:
        """Run a call's code; whatever becomes of it is the result.

        Cancellation interrupts the code, and what it has done until then is kept where it heeds that.
        """
        async with self._turn:
            began = time.perf_counter()
            try:
                sandbox = await self._started()
                lost_before, self._lost = self._lost, False
                execution, timed_out = await self._timed(sandbox, call)
            except RLMError as error:
                await self._drop()
                return failure(str(error), execution_time=time.perf_counter() - began)
            return of_execution(execution, call, timed_out=timed_out, lost_before=lost_before, echo=self._echo)

    async def finish(self) -> None:
        """End the interpreter once the calls that came before are done."""
        async with self._turn:
            await self.close()

    async def close(self) -> None:
        """End the interpreter, also while a call runs, which then ends."""
        self._closed = True
        if self._sandbox is not None:
            await self._sandbox.close()

    async def _started(self) -> Sandbox:
        if self._closed:
            raise RLMError("the tool is closed")
        if self._sandbox is None:
            sandbox = self._make_sandbox()
            try:
                await sandbox.start(self._limits, self._context, self._host)
            except BaseException:
                await sandbox.close()
                raise
            self._sandbox = sandbox
            if self._is_closed():  # meanwhile
                await sandbox.close()
                raise RLMError("the tool is closed")
        return self._sandbox

    def _is_closed(self) -> bool:
        return self._closed

    async def _drop(self) -> None:
        """Give up the sandbox; the next call begins in a new one."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            self._lost = self._used
            self._used = False
            with suppress(RLMError):
                await sandbox.close()

    async def _timed(self, sandbox: Sandbox, call: ToolCall) -> tuple[Execution, bool]:
        """Run the code until its time is over; return what it gave and whether that was so."""
        running = asyncio.ensure_future(sandbox.execute(Cell(call.code)))
        self._used = True
        try:
            done, _ = await asyncio.wait([running], timeout=call.timeout_s)
            if done:
                return running.result(), False
            return await self._stopped(sandbox, running), True
        except asyncio.CancelledError:
            if not running.done():
                await asyncio.shield(asyncio.ensure_future(self._stopped(sandbox, running)))
            raise

    async def _stopped(self, sandbox: Sandbox, running: asyncio.Future[Execution]) -> Execution:
        """Interrupt the code, so that the variables are kept, or else end all of it."""
        if await self._heeded(sandbox, running):
            return running.result()
        running.cancel()
        ended = Execution("timeout", namespace="lost")
        with suppress(asyncio.CancelledError, RLMError):
            ended = await running
        if await _is_whole(sandbox):
            return replace(ended, namespace="kept")
        await self._drop()
        self._lost = False  # this result says so
        return replace(ended, namespace="lost")

    async def _heeded(self, sandbox: Sandbox, running: asyncio.Future[Execution]) -> bool:
        interrupt: Callable[[], bool] = getattr(sandbox, "interrupt", bool)
        until_s = time.monotonic() + _GRACE_S
        while time.monotonic() < until_s and interrupt():
            done, _ = await asyncio.wait([running], timeout=_AGAIN_S)
            if done:
                return True
        return running.done()


async def _is_whole(sandbox: Sandbox) -> bool:
    """Return whether a sandbox, of which a cell was cancelled, goes on with its variables."""
    if not sandbox.outlives_cancellation:
        return False
    with suppress(RLMError):
        await sandbox.variables()
        return True
    return False
