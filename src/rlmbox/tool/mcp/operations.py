"""The operations that rlmbox offers to agents, independent of the protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from rlmbox.budget.limits import Limits, dollars
from rlmbox.config import OFFLINE_MODEL
from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import ConfigError, ContextError, RLMError
from rlmbox.events import Event, SubcallFinished, TurnFinished
from rlmbox.guard import Guard, RunGuard, each_text
from rlmbox.loop.scope import new_run_id
from rlmbox.models.base import Model
from rlmbox.record.journal import Store
from rlmbox.record.run import Run
from rlmbox.rlm import RLM
from rlmbox.sandboxes.base import Sandbox
from rlmbox.tool.interpreter import Interpreter
from rlmbox.tool.mcp.cells import AskingCells, Cells, PlainCells, cell_budget, no_model_functions
from rlmbox.tool.mcp.contexts import OpenContexts
from rlmbox.tool.mcp.roots import Roots
from rlmbox.tool.mcp.spending import CallSpend, Spending
from rlmbox.tool.result import ToolResult, failure
from rlmbox.tool.schema import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, BadCall, read_call
from rlmbox.tool.sessions import session_name
from rlmbox.types import Answer, CellLimits
from rlmbox.usage import quantity

MAX_READ_CHARS = 200_000
"""Longest part that one call may read: an agent's window is small, and the next part is one call away."""

ReportProgress = Callable[[float, str], Awaitable[None]]
"""Receives the progress of a question, as a growing number, and a message."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits that the operator has set.

    Attributes:
        per_call_usd: Cost limit of one call; None for no limit.
        total_usd: Cost limit of all calls together; None for no limit.
        run: Limits of a question.
        cell: Limits of an interpreter.
        timeout_s: Timeout of a cell that specifies none, in seconds.
        max_timeout_s: Longest timeout that a cell may specify.
        max_open: Contexts that may be open at once.
    """

    per_call_usd: Decimal | None
    total_usd: Decimal | None
    run: Limits
    cell: CellLimits
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_timeout_s: float = MAX_TIMEOUT_S
    max_open: int = 64


class Operations:
    """The state of the server, and its operations.

    Args:
        roots: The folders whose files may be opened.
        make_rlm: Creates an RLM, with the given root model or else the configured one.
        make_sandbox: Creates a sandbox for code that cannot ask a model.
        store: Where runs are recorded.
        limits: The operator's limits.
        guard: Hides what the agent's model may not see.
    """

    def __init__(
        self,
        roots: Roots,
        make_rlm: Callable[[Model | None], RLM],
        make_sandbox: Callable[[], Sandbox],
        store: Store,
        limits: ServerLimits,
        guard: Guard,
    ) -> None:
        self._guard = guard.for_run() if guard.is_ever_on else None
        self._roots, self._make_rlm, self._make_sandbox = roots, make_rlm, make_sandbox
        self._store, self._limits = store, limits
        self._rlm = make_rlm(None)
        self.contexts = OpenContexts(self._new_cells, limits.max_open)
        self.spending = Spending(limits.per_call_usd, limits.total_usd)
        self._pythons: dict[str, Interpreter] = {}
        self.runs: dict[str, str] = {}

    @property
    def has_model(self) -> bool:
        """True if a real model is configured, rather than the offline one that only quotes."""
        return OFFLINE_MODEL not in (self._rlm.model.name, self._rlm.sub_model.name)

    def shown(self, value: Any) -> Any:
        """Return a JSON value with all its strings filtered by the guard, for the agent's model."""
        return value if self._guard is None else each_text(value, partial(self._text_shown, self._guard))

    def _text_shown(self, guard: RunGuard, text: str) -> str:
        # The server's own handles look like keys, but the agent has to send them back.
        if text in self.runs or any(text == each.handle for each in self.contexts):
            return text
        return guard.redact_again(text, path="export")

    async def open_context(self, path: str | None, text: str | None) -> dict[str, object]:
        """Open a file or folder below a root, or a text; return its handle and description."""
        if (path is None) == (text is None):
            raise ConfigError("give either path, of a file or folder below a root, or text")
        self.contexts.check_room()
        if path is not None:
            context = await anyio.to_thread.run_sync(self._roots.open, path)
        else:
            context = Context.from_text(text or "")
        opened = self.contexts.add(path or "a text", context)
        return await anyio.to_thread.run_sync(opened.described)

    async def search(
        self, handle: str, pattern: str, *, regex: bool, case_sensitive: bool, max_matches: int
    ) -> list[dict[str, object]]:
        """Search for a text or a regular expression."""
        return await self._hits(handle, "ctx.find", pattern, regex, case_sensitive, max_matches)

    async def rank(self, handle: str, query: str, k: int) -> list[dict[str, object]]:
        """Return the passages that match a query best."""
        return await self._hits(handle, "ctx.rank", query, k)

    async def read(self, handle: str, *, document: str | None, start: int, max_chars: int) -> dict[str, object]:
        """Read a part of the text, or of one of its documents."""
        if not 0 < max_chars <= MAX_READ_CHARS:
            raise ConfigError(f"max_chars is a number from 1 to {MAX_READ_CHARS:,}; read on from `next_start`")
        context = self.contexts.get(handle).context
        first, last = (0, context.length) if document is None else _span(context, document)
        begin = min(first + max(start, 0), last)
        end = min(begin + max_chars, last)
        text = await self._read(handle, "ctx.slice", begin, end)
        return {
            "text": text,
            "start": begin - first,
            "end": end - first,
            "length": last - first,
            "next_start": end - first if end < last else None,
        }

    async def exec(self, handle: str, code: str, timeout: object, cost_limit_usd: object) -> dict[str, object]:
        """Run a cell over a context."""
        opened = self.contexts.get(handle)
        try:
            call = self._call({"code": code, "timeout": timeout})
        except BadCall as error:
            return failure(str(error)).as_dict()
        with self.spending.call(_amount(cost_limit_usd)) as spend:
            result = await opened.cells.run(call, spend)
        return {**result.as_dict(), "cost_usd": str(spend.spent_usd)} if self.has_model else result.as_dict()

    async def python(self, arguments: Mapping[str, object], session: object) -> ToolResult:
        """Run code in the plain Python tool."""
        try:
            call, name = self._call(arguments), session_name(session)
        except BadCall as error:
            return failure(str(error))
        if name not in self._pythons:
            if len(self._pythons) >= self._limits.max_open:
                return failure(f"{self._limits.max_open} sessions are open; use one of {', '.join(self._pythons)}")
            self._pythons[name] = Interpreter(self._make_sandbox, self._limits.cell)
        return await self._pythons[name].run(call)

    async def ask(
        self, handle: str, question: str, cost_limit_usd: object, report: ReportProgress
    ) -> dict[str, object]:
        """Ask a question about a context, reporting progress."""
        context = self.contexts.get(handle).context
        run_id = new_run_id()
        with self.spending.call(_amount(cost_limit_usd)) as spend:
            limits = self._limits.run
            if spend.limit_usd is not None:
                limits = replace(limits, cost_limit_usd=spend.limit_usd)
            progress = _Progress(spend)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(progress.tell, report)
                try:
                    session = self._rlm.session(
                        context, question=question, limits=limits, hooks=[progress.note], run_id=run_id
                    )
                    async with session:
                        answer = await session.run()
                finally:
                    self.runs[run_id] = question
                    tasks.cancel_scope.cancel()
        return {**_answered(answer), **self._notice()}

    async def run(self, run_id: str) -> dict[str, object]:
        """Describe a finished run."""
        if run_id not in self.runs:
            raise ContextError(f"this server has no finished run {run_id[:80]!r}")
        run = Run(tuple(await self._store.read(run_id)))
        return {
            "run_id": run_id,
            "question": run.question,
            "answer": run.answer.text if run.answer else None,
            "error": run.error,
            "cost_usd": str(run.cost_usd),
            "tree": str(run),
        }

    async def aclose(self) -> None:
        """Close all interpreters and contexts."""
        with anyio.CancelScope(shield=True):
            await self.contexts.aclose()
            for interpreter in self._pythons.values():
                await interpreter.close()
            await self._rlm.aclose()

    def _new_cells(self, context: Context) -> Cells:
        if self.has_model:
            limits = cell_budget(replace(self._limits.run, cell=self._limits.cell), self._limits.total_usd)
            return AskingCells(self._make_rlm, context, limits)
        host = {function.name: function for function in (*repl_functions(context), *no_model_functions())}
        return PlainCells(Interpreter(self._make_sandbox, self._limits.cell, context=context, host=host))

    def _call(self, arguments: Mapping[str, object]) -> Any:
        return read_call(arguments, default_timeout_s=self._limits.timeout_s, max_timeout_s=self._limits.max_timeout_s)

    async def _hits(self, handle: str, function: str, *arguments: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = await self._read(handle, function, *arguments)
        return found

    async def _read(self, handle: str, function: str, *arguments: object) -> Any:
        call = self.contexts.get(handle).functions[function]
        return await anyio.to_thread.run_sync(_call_reader, call, *arguments)

    def _notice(self) -> dict[str, object]:
        if self.has_model:
            return {}
        from rlmbox.models.offline import NOTICE

        return {"notice": NOTICE}


def _call_reader(call: Callable[..., Any], *arguments: object) -> Any:
    """Call a function that reads a text; errors about its arguments are passed on to the caller."""
    try:
        return call(*arguments)
    except (TypeError, ValueError, LookupError) as error:
        raise ContextError(str(error.args[0] if error.args else error)) from error


def _span(context: Context, document: str) -> tuple[int, int]:
    found: tuple[int, int] = _call_reader(context.document_span, document)
    return found


class _Progress:
    """Reports the progress of a run to a waiting client.

    Args:
        spend: The money of the call.
    """

    def __init__(self, spend: CallSpend) -> None:
        self._spend = spend
        self._turns = self._subcalls = self._steps = 0
        self._news = anyio.Event()

    def note(self, event: Event) -> None:
        self._spend.note(event)
        self._turns += isinstance(event, TurnFinished) and event.depth == 0
        self._subcalls += isinstance(event, SubcallFinished)
        if isinstance(event, TurnFinished | SubcallFinished):
            self._steps += 1
            self._news.set()

    async def tell(self, report: ReportProgress) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await report(
                self._steps, f"{quantity(self._turns, 'turn')}, {quantity(self._subcalls, 'sub-call')}, {self._spend}"
            )


def _answered(answer: Answer) -> dict[str, object]:
    return {
        "answer": answer.text,
        "sources": [
            {"document": each.document, "start": each.start, "end": each.end, "quote": each.quote}
            for each in answer.sources
        ],
        "complete": answer.complete,
        "cost_usd": str(answer.cost_usd),
        "turns": answer.turns,
        "subcalls": answer.subcalls,
        "model": answer.model,
        "run": f"rlmbox://runs/{answer.run_id}",
    }


def _amount(given: object) -> Decimal | None:
    if given is None:
        return None
    amount = dollars(given, "cost_limit_usd")
    if amount <= 0:
        raise ConfigError("cost_limit_usd is an amount of US dollars above 0")
    return amount


def told(error: RLMError) -> str:
    """Describe an error, with the partial results."""
    partial = error.partial
    if partial is None or not partial.turns:
        return str(error)
    rest = {"cost_usd": str(partial.cost_usd), "turns": partial.turns, "subcalls": partial.subcalls}
    answer = f"; the best answer until then: {partial.text.strip()}" if partial.text.strip() else ""
    return f"{error}; until then: {json.dumps(rest)}{answer}"


__all__ = ["Operations", "ReportProgress", "ServerLimits", "told"]
