"""A persistent interpreter in a sandbox, which is replaced by a new one when a call has to be killed."""

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
"""The value of the variable `context` if none is given."""

_GRACE_S = 1.0  # between an interrupt and the kill
_AGAIN_S = 0.3
_NOTE_CHARS = 200  # room for the sandbox's own note of what it has dropped


def tool_limits(*, memory_bytes: int | None = None, max_timeout_s: float = MAX_TIMEOUT_S) -> CellLimits:
    """Return the limits of an interpreter.

    Args:
        memory_bytes: Memory limit of the code; None for the default.
        max_timeout_s: The longest timeout of a call.
    """
    # The sandbox's own deadline is a last resort: it comes after the tool's timeout and kill.
    limits = CellLimits(
        cell_timeout_s=max_timeout_s + 10 * _GRACE_S,
        output_chars=MAX_OUTPUT_BYTES - _NOTE_CHARS,
        code_bytes=MAX_CODE_BYTES,
    )
    return limits if memory_bytes is None else replace(limits, memory_bytes=memory_bytes)


class Interpreter:
    """A persistent interpreter, used from one event loop; calls run one after another.

    Args:
        make_sandbox: Creates its sandbox, and a new one if that is lost.
        limits: Limits of a call; see `tool_limits`.
        context: The text of the variable `context`, or None.
        host: Functions that code may call; None for those of the context, if there is one.
        echo: Whether the value of a last bare expression is printed, as at Python's prompt.
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
        """Start the interpreter, which the first call does otherwise.

        Raises:
            RLMError: No sandbox can be started.
        """
        async with self._turn:
            await self._started()

    async def run(self, call: ToolCall) -> ToolResult:
        """Run a call's code; every failure is reported in the result.

        Cancellation interrupts the code; if it stops in time, its variables are kept.
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
        """Close the interpreter after the calls that are already queued."""
        async with self._turn:
            await self.close()

    async def close(self) -> None:
        """Close the interpreter; a running call ends."""
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
            if self._is_closed():  # while it started
                await sandbox.close()
                raise RLMError("the tool is closed")
        return self._sandbox

    def _is_closed(self) -> bool:
        return self._closed

    async def _drop(self) -> None:
        """Discard the sandbox; the next call starts in a new one."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            self._lost = self._used
            self._used = False
            with suppress(RLMError):
                await sandbox.close()

    async def _timed(self, sandbox: Sandbox, call: ToolCall) -> tuple[Execution, bool]:
        """Run the code up to its timeout; return the execution, and whether the time was up."""
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
        """Interrupt the code, which keeps the variables, or kill the sandbox if it does not stop."""
        if await self._interrupted(sandbox, running):
            return running.result()
        running.cancel()
        ended = Execution("timeout", namespace="lost")
        with suppress(asyncio.CancelledError, RLMError):
            ended = await running
        if await _is_whole(sandbox):
            return replace(ended, namespace="kept")
        await self._drop()
        self._lost = False  # reported in this result
        return replace(ended, namespace="lost")

    async def _interrupted(self, sandbox: Sandbox, running: asyncio.Future[Execution]) -> bool:
        interrupt: Callable[[], bool] = getattr(sandbox, "interrupt", bool)
        until_s = time.monotonic() + _GRACE_S
        while time.monotonic() < until_s and interrupt():
            done, _ = await asyncio.wait([running], timeout=_AGAIN_S)
            if done:
                return True
        return running.done()


async def _is_whole(sandbox: Sandbox) -> bool:
    """Return whether a sandbox still has its variables after the cancellation of a cell."""
    if not sandbox.outlives_cancellation:
        return False
    with suppress(RLMError):
        await sandbox.variables()
        return True
    return False
