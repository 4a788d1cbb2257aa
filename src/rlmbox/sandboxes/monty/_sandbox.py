"""`monty`: cells run in pydantic-monty, a small Python interpreter written in Rust, in a worker process.

The interpreter cannot reach files, the network, the environment or other processes: it can only compute, and suspend to
call a host function. A cell that reaches a limit leaves a heap that cannot be trusted, or no process, so the session is
rebuilt in a new worker: see `_history.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import anyio
import anyio.to_thread
from pydantic_monty import MontyError, MontySyntaxError

from rlmbox.context import Context
from rlmbox.errors import RLMError, SandboxCrashed, SandboxError, SandboxUnavailable
from rlmbox.sandboxes import _large_text, _texts
from rlmbox.sandboxes._cells import refused
from rlmbox.sandboxes._installed import ELSEWHERE, explained
from rlmbox.sandboxes.base import Host, refuse_tables
from rlmbox.sandboxes.monty import _large, _walls
from rlmbox.sandboxes.monty._code import CellSource, read_cell
from rlmbox.sandboxes.monty._history import CellRun
from rlmbox.sandboxes.monty._known import Known
from rlmbox.sandboxes.monty._repl import MontyRepl, Setting
from rlmbox.sandboxes.monty._result import CheckFailed, Printed, cell_error, outcome_of, refusal_error, value_of
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.sandboxes.monty._worker import MontyWorker
from rlmbox.sandboxes.monty.modules import NOTES
from rlmbox.sandboxes.worker._clocks import ClockReaders
from rlmbox.threads import ThreadJob
from rlmbox.types import Cell, CellLimits, CellOutcome, Execution

_PATTERNS = "; re.search, finditer, findall and split take it whole"
_WITH_A_WHOLE_HEAP: tuple[CellOutcome, ...] = ("ok", "error", "stack")

INLINE_LIMIT_CHARS = 1_000_000
"""Longest ASCII context that is a real `str` here; above it `find(sub, p + 1)` in a loop costs more than a handle."""
INLINE_LIMIT_WIDE_CHARS = 200_000
"""The same for text that is not ASCII: Monty finds the n-th character by counting, so reading 16 MB in chunks takes
minutes. A handle that asks the host takes a fraction of a second; `docs/monty.md` has the figures."""


async def _is_long(text: Context, limits: CellLimits) -> bool:
    """Return whether a text is too long to be a `str` here; this may have to count its characters."""
    limit_chars = limits.inline_limit_chars
    if text.size_bytes <= min(limit_chars, INLINE_LIMIT_WIDE_CHARS):
        return False
    length = await anyio.to_thread.run_sync(lambda: text.length)
    is_ascii = length == text.size_bytes
    return length > min(limit_chars, INLINE_LIMIT_CHARS if is_ascii else INLINE_LIMIT_WIDE_CHARS)


class MontySandbox:
    """Runs cells in a worker process of pydantic-monty.

    Starts in a millisecond, on every platform that the wheel supports, and needs no privileges. Monty is a subset of
    Python: what it lacks or does differently is refused by name before a cell runs; see `notes`.

    Args:
        type_check: Check each cell's names, arguments and methods before it runs; a cell with an error is not run, and
            the model is told why. Costs about a millisecond per cell. Cells over a context that is too long to be a
            `str` are not checked. Off by default, since of 3,386 cells that CPython runs it refused 18: some that catch
            the very error, and some that rebind a name to a value of another type.
    """

    name = "monty"
    outlives_cancellation = True
    notes = NOTES

    def __init__(self, *, type_check: bool = False) -> None:
        self._type_check = type_check
        self._limits = CellLimits()
        self._repl: MontyRepl | None = None
        self._setting: Setting | None = None
        self._closed = False
        self._history: list[CellRun] = []
        self._names: dict[str, None] = {}
        self._known = Known()
        self._stopping: anyio.CancelScope | None = None
        self._clocks = ClockReaders()
        self._launched: ThreadJob | None = None

    def launch(self) -> None:
        """Begin to start a worker ahead of `start`; `close` ends it if `start` does not follow."""
        if self._launched is None and self._repl is None and not self._closed:
            self._launched = ThreadJob(MontyWorker)

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
        """Start a worker and bind the context in it; see `Sandbox.start`."""
        refuse_tables(self.name, inputs)
        self._limits = limits
        texts = await _texts.placed(context, inputs, limits, _is_long)
        if handles := [each for each in texts if each.is_handle]:
            names, whole = [each.name for each in handles], all(_large.may_be_whole(each, limits) for each in handles)
            self.notes = (*NOTES, _large_text.note(names, _PATTERNS, whole=whole))
        plain = {name: value for name, value in inputs.items() if not isinstance(value, Context)}
        self._setting = Setting(limits, texts, host, query, seed, plain, self._type_check)
        await self._open()

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`."""
        began = time.perf_counter()
        if (too_long := refused(cell, self._limits)) is not None:
            return too_long
        repl = await self._ready()
        printed = Printed(self._limits)
        try:
            source = read_cell(
                cell.code,
                known=self._known,
                host_names=repl.setting.function_names,
                is_large=repl.setting.is_large,
            )
        except CellRefused as refusal:
            lines = cell.code.splitlines()
            return Execution("error", error=refusal_error(refusal, lines), duration_s=time.perf_counter() - began)
        run = CellRun(source)
        error: Exception | None = None
        value: object = None
        value_repr: str | None = None
        try:
            result = await self._driven(repl, run, printed, shows_variables="SHOW_VARS" in cell.code)
            if source.has_value:
                value, value_repr = value_of(result, repl.as_shown)
        except (SandboxError, SandboxUnavailable):
            raise
        except Exception as raised:  # noqa: BLE001 - whatever Monty raises is reported as the cell's error
            error = raised
        outcome = self._outcome(repl, printed, error)
        execution = Execution(
            outcome,
            printed.stdout.text(),
            printed.stderr.text(),
            printed.stdout.dropped_chars + printed.stderr.dropped_chars,
            None if outcome == "ok" else self._error(repl, error, outcome, cell),
            value if outcome == "ok" else None,
            value_repr if outcome == "ok" else None,
        )
        execution = await explained(await self._settled(repl, run, execution, error), ELSEWHERE)
        return replace(execution, duration_s=time.perf_counter() - began, reads_clock=self._reads_clock(cell))

    async def variables(self) -> Mapping[str, str]:
        """List the variables that cells have set; see `Sandbox.variables`."""
        repl = await self._ready()
        try:
            listing = await self._driven(
                repl, CellRun(CellSource("SHOW_VARS()")), Printed(self._limits), shows_variables=True
            )
        except (SandboxError, SandboxUnavailable):
            raise
        except Exception as error:
            raise SandboxCrashed(f"monty's worker could not list the variables: {error}") from error
        return {str(name): str(text) for name, text in listing.items()}

    async def close(self) -> None:
        """End the worker; see `Sandbox.close`."""
        self._closed = True
        if self._stopping is not None:
            self._stopping.cancel()
        repl, launched = self._repl, self._launched
        if launched is not None and repl is None:
            self._launched = None
            with anyio.CancelScope(shield=True), suppress(SandboxUnavailable):
                worker = await launched.wait()
                await anyio.to_thread.run_sync(worker.end)
        if repl is not None:
            repl.kill()
            with anyio.CancelScope(shield=True):
                await repl.end()

    @property
    def warning(self) -> str | None:
        """Why the worker runs unconfined by the kernel, once started; None if it is confined."""
        why_not = _walls.why_none() if self._repl is not None else ""
        return f"the kernel's walls are not around monty's worker: {why_not}" if why_not else None

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, for diagnostics; None before the start."""
        return self._repl.pid if self._repl is not None else None

    def _check_open(self) -> None:
        if self._closed or self._setting is None:
            raise SandboxError("this sandbox is closed; open a new session")

    async def _open(self, *, is_rebuilt: bool = False) -> MontyRepl:
        """Open a new worker, replacing the previous one."""
        assert self._setting is not None  # noqa: S101 - `start` set it
        if self._repl is not None:
            with anyio.CancelScope(shield=True):
                await self._repl.end()
        launched, self._launched = self._launched, None
        repl = self._repl = MontyRepl(self._setting, is_rebuilt=is_rebuilt, launched=launched)
        try:
            await repl.open()
        except MontyError as error:
            raise SandboxUnavailable(f"monty's worker did not start: {error}") from error
        if self._closed:  # while it opened; nothing else would end it
            await repl.end()
            self._check_open()
        return repl

    async def _ready(self) -> MontyRepl:
        """Return the worker, rebuilt if the last one was lost to the cancellation of a task."""
        self._check_open()
        assert self._repl is not None  # noqa: S101 - `start` made it
        if await self._repl.recovered():
            return self._repl
        if not await self._rebuild([]):
            raise SandboxCrashed(
                "the worker was lost with a cell that was cancelled, and the earlier cells could not be run again; "
                "the next cell starts in a fresh namespace"
            )
        return self._repl

    async def _driven(self, repl: MontyRepl, run: CellRun, printed: Printed, *, shows_variables: bool) -> Any:
        """Run a cell to its end, answering its calls; return the value of its last expression."""
        source = run.source
        bound = dict.fromkeys([*self._names, *source.names])
        names = [name for name in bound if name not in repl.setting.reserved] if shows_variables else None
        repl.enter(run, printed)
        step: Callable[[], Any] = partial(repl.begin, names, self._known)
        try:
            with anyio.CancelScope() as answers:
                while (answering := await repl.advance(step)) is not None:
                    self._stopping = answers
                    step = partial(repl.resume, await answering())
                    self._stopping = None
                    self._check_open()
                return repl.result()
            self._check_open()
            raise SandboxError("the cell was stopped")
        except anyio.get_cancelled_exc_class():
            self._note_cancelled(repl, run)
            raise
        finally:
            self._stopping = None

    def _note_cancelled(self, repl: MontyRepl, run: CellRun) -> None:
        """Record what a cell had done when its task was cancelled, for when the session goes on."""
        if run.source.ends and not run.again:
            cut = run.cut(drop_last=False)
            if cut is not None:
                self._history.append(cut)
                self._learn(run.source)
        repl.is_lost = True

    def _learn(self, source: CellSource) -> None:
        """Record what a cell has bound."""
        self._names.update(dict.fromkeys(source.names))
        self._known = self._known.and_then(source.binds)

    def _reads_clock(self, cell: Cell) -> bool:
        self._clocks.seen = False
        self._clocks.look(cell.code)
        return self._clocks.seen

    def _outcome(self, repl: MontyRepl, printed: Printed, error: Exception | None) -> CellOutcome:
        if printed.flooded:
            return "output"
        if repl.is_overdue:
            return "timeout"
        if repl.refusal is not None:
            return "error"
        return "ok" if error is None else outcome_of(error)

    def _error(self, repl: MontyRepl, error: Exception | None, outcome: CellOutcome, cell: Cell) -> Any:
        if outcome == "error" and repl.refusal is not None:
            return refusal_error(CellRefused(repl.refusal), cell.code.splitlines())
        return cell_error(error, outcome, repl.feeds, self._limits)

    async def _settled(self, repl: MontyRepl, run: CellRun, execution: Execution, error: Exception | None) -> Execution:
        """Record the cell in the history, and restore the namespace."""
        outcome = execution.outcome
        self._check_open()
        if outcome in _WITH_A_WHOLE_HEAP and not repl.is_lost:
            if not isinstance(error, MontySyntaxError | CheckFailed):  # then nothing of it ran
                self._history.append(run)
                self._learn(run.source)
            return replace(execution, restored=await repl.restore(run.source))
        cut = run.cut(drop_last=True)
        if repl.is_overdue and not repl.is_lost:
            # An exception stopped it at a call, so the heap is intact.
            if cut is not None:
                self._history.append(cut)
            self._learn(run.source)
            return replace(execution, restored=await repl.restore(run.source))
        rebuilt = await self._rebuild([cut] if cut is not None else [])
        return replace(execution, namespace="rebuilt" if rebuilt else "lost")

    async def _rebuild(self, partly: list[CellRun]) -> bool:
        """Open a new worker and replay the earlier cells.

        Args:
            partly: What the current cell had run when it reached a limit, to be replayed as well.

        Returns:
            False if that failed and the variables are lost.
        """
        before = self._history
        for runs in ([*before, *partly], before)[0 if partly else 1 :]:
            self._history = [*runs]  # set now: if this is cancelled, the next cell starts it again
            if await self._replayed(await self._open(is_rebuilt=True), runs):
                return True
        self._history, self._names, self._known = [], {}, Known()
        await self._open()
        return False

    async def _replayed(self, repl: MontyRepl, runs: list[CellRun]) -> bool:
        for run in runs:
            again = run.repeated()
            error: Exception | None = None
            try:
                await self._driven(repl, again, Printed(self._limits), shows_variables="SHOW_VARS" in run.source.code)
            except RLMError:
                raise
            except Exception as raised:  # noqa: BLE001 - as for the cell itself
                error = raised
            self._learn(run.source)
            if error is not None and (repl.is_overdue or repl.is_lost or outcome_of(error) not in _WITH_A_WHOLE_HEAP):
                return False
            await repl.restore(run.source)
        return True
