"""Cells over a context: in a plain interpreter, or in a session of the loop where code may ask a model."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.errors import RLMError
from rlmbox.loop.session import Session
from rlmbox.loop.task import Task
from rlmbox.models.base import Model
from rlmbox.models.prices import FREE
from rlmbox.rlm import RLM
from rlmbox.tool.interpreter import Interpreter
from rlmbox.tool.mcp.spending import CallSpend
from rlmbox.tool.result import LOST, ToolResult, failure, of_execution
from rlmbox.tool.schema import ToolCall
from rlmbox.types import Completion, Execution, HostFunction, Message, Usage

_NO_MODEL = (
    "no model is configured for sub-calls; start the server with --model, or read the parts yourself with ctx.search "
    "and print"
)
_SUBCALLS = 10_000  # the limit that counts is money
_END = "FINAL(done)"
_GRACE_S = 1.0  # between an interrupt and the end
_AGAIN_S = 0.3


class Cells(Protocol):
    """Runs the cells of one namespace."""

    async def run(self, call: ToolCall, spend: CallSpend) -> ToolResult:
        """Run a cell; every failure is reported in the result."""

    async def close(self) -> None:
        """End the namespace."""


class PlainCells:
    """Cells that cannot ask a model.

    Args:
        interpreter: Runs them.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter

    async def run(self, call: ToolCall, spend: CallSpend) -> ToolResult:
        """Run a cell; see `Cells.run`."""
        del spend  # such a cell costs nothing
        return await self._interpreter.run(call)

    async def close(self) -> None:
        """End the interpreter."""
        await self._interpreter.close()


def no_model_functions() -> tuple[HostFunction, ...]:
    """Return replacements of the functions that ask a model, which raise that there is none."""

    def refuse(prompt: object = None, context_chunk: object = None) -> object:
        raise RuntimeError(_NO_MODEL)

    names = ("llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched")
    return tuple(HostFunction(name, refuse, "Not available: no model is configured.") for name in names)


class AskingCells:
    """Cells in a session, so that their sub-calls are guarded, recorded and counted as in any run.

    The agent takes the place of the session's model: each cell is a reply, which costs nothing.

    Args:
        make_rlm: Creates the RLM of the session, given its model.
        context: The text.
        limits: Limits of a cell.
    """

    def __init__(self, make_rlm: _MakeRLM, context: Context, limits: Limits) -> None:
        self._replies = _Replies()
        self._rlm = make_rlm(self._replies)
        self._context, self._limits = context, limits
        self._session: Session | None = None
        self._spend = CallSpend(None)
        self._was_lost = False

    async def run(self, call: ToolCall, spend: CallSpend) -> ToolResult:
        """Run a cell; see `Cells.run`."""
        self._spend = spend
        try:
            session = await self._opened()
            own = None if spend.limit_usd is None else Limits(cost_limit_usd=spend.limit_usd, last_answer=False)
            task = await session.begin("Run the agent's code.", limits=own)
            result = await self._result(session, task, call)
        except RLMError as error:
            await self._drop()
            return failure(str(error))
        except BaseException:
            await self._drop()
            raise
        if self._was_lost:
            self._was_lost = False
            return ToolResult(
                result.stdout,
                f"note: {LOST}\n{result.stderr}",
                result.exception,
                result.success,
                result.execution_time,
                result.timed_out,
            )
        return result

    async def close(self) -> None:
        """End the session."""
        await self._drop()
        await self._rlm.aclose()

    async def _opened(self) -> Session:
        if self._session is None:
            session = self._rlm.session(
                self._context, limits=self._limits, hooks=[lambda event: self._spend.note(event)]
            )
            self._session = await session.__aenter__()
        return self._session

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._was_lost = True
            await session.__aexit__()

    async def _result(self, session: Session, task: Task, call: ToolCall) -> ToolResult:
        self._replies.next = fenced(call.code)
        said, timed_out = "", False
        try:
            timed_out = await _timed(session, task, call)
        except RLMError as error:
            said = str(error)
        if timed_out and task.error is not None:  # it was cut off: the next call replays the earlier cells
            return of_execution(Execution("timeout", namespace="rebuilt"), call)
        executions = task.turns[-1].executions if task.turns else ()
        result = failure(said or "nothing of it was run")
        if executions:
            result = of_execution(executions[-1], call, timed_out=timed_out)
        if task.answer is None and task.error is None:
            self._replies.next = _END
            await session.step(task)
        if said and result.exception is None:
            result = failure(said, execution_time=result.execution_time)
        return result


async def _timed(session: Session, task: Task, call: ToolCall) -> bool:
    """Take a turn within a call's timeout, sub-calls included; return whether it was ended at the timeout.

    The cell is interrupted, which keeps its variables, or cut off if it does not stop or is waiting for a model.
    """
    running = asyncio.ensure_future(session.step(task))
    try:
        done, _ = await asyncio.wait([running], timeout=call.timeout_s)
        if done:
            running.result()
            return False
        until_s = time.monotonic() + _GRACE_S
        while not running.done() and time.monotonic() < until_s and session.interrupt_cell():
            await asyncio.wait([running], timeout=_AGAIN_S)
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
    if not running.cancelled():
        running.result()
    return True


class _MakeRLM(Protocol):
    def __call__(self, model: Model, /) -> RLM: ...


class _Replies:
    """A model whose next reply is given beforehand."""

    name = "agent"
    window_tokens = 10_000_000
    price = FREE

    def __init__(self) -> None:
        self.next = _END

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        reply, self.next = self.next, _END
        return Completion(reply, Usage(), self.name)


def fenced(code: str) -> str:
    """Return code as a fenced block of a reply, with a fence longer than any in the code."""
    longest = max((len(ticks) for ticks in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}repl\n{code}\n{fence}"


def cell_budget(limits: Limits, total_usd: Decimal | None) -> Limits:
    """Return the limits of a session of cells: per cell those of `limits`, in total what the server may spend."""
    return Limits(
        cost_limit_usd=total_usd if total_usd is not None else limits.cost_limit_usd,
        max_turns=1_000_000,
        max_subcalls=_SUBCALLS,
        last_answer=False,
        cell=limits.cell,
    )
