"""`monty`: cells run in pydantic-monty, a small Python interpreter written in Rust, in a worker process.

The interpreter has no way to reach files, network, environment or other processes: all it can do is to
compute and to ask the host, by suspending, for one of the host's functions. A cell that hits a time or memory
limit leaves a heap that is not to be trusted, so the session is rebuilt in a fresh worker by running the
earlier cells again with the recorded answers of every call that may not be repeated.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

import anyio
from pydantic_monty import (
    FutureSnapshot,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyTypingError,
    NameLookupSnapshot,
)

from rlmbox.context import Context
from rlmbox.errors import SandboxCrashed, SandboxError, SandboxUnavailable
from rlmbox.sandboxes import _large_text
from rlmbox.sandboxes._cells import refused
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty._code import PRELUDE, VALUE_SOURCE, CellSource, read_cell, show_vars_source
from rlmbox.sandboxes.monty._host import MontyObject, call, call_async, function_name, name_answer, refusal
from rlmbox.sandboxes.monty._large import prelude
from rlmbox.sandboxes.monty._pool import new_session
from rlmbox.sandboxes.monty._result import CellRefused, Printed, cell_error, outcome_of, value_of
from rlmbox.sandboxes.monty._threads import run_in_thread
from rlmbox.sandboxes.monty._types import MODULE_STUB, findings, stubs_of
from rlmbox.sandboxes.monty.modules import HOST_FUNCTIONS, MODULES, NOTES, instance_name, module_source
from rlmbox.types import Cell, CellLimits, Execution, HostFunction, Outcome

_LARGE_NOTE = _large_text.NOTE.format(
    patterns="; patterns are for ctx.search, since re takes a real str such as a part"
)


@dataclass(slots=True)
class _Run:
    """One cell on its way: what it called, and what was answered that a rebuild must not ask again.

    Attributes:
        source: The cell.
        answers: Answers of the calls that are not pure, by the order in which the cell made them.
        calls: How many such calls there were.
        waiting: Calls that the cell awaits, by Monty's number: their own number and how to make them.
    """

    source: CellSource
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: int = 0
    waiting: dict[int, tuple[int, Callable[[], Any]]] = field(default_factory=dict)


class MontySandbox:
    """Runs cells in a worker process of pydantic-monty.

    Starts in a fraction of a millisecond from a warm pool, on every platform that the wheel supports, and
    needs no privileges. It is not all of Python: see `notes`.

    Args:
        type_check: Check each cell's names, arguments and methods before it runs; a cell that cannot be right is
            not run, and the model is told why. Costs about a millisecond a cell. Cells over a context that is too
            long to be a `str` are not checked.
    """

    name = "monty"
    notes = NOTES

    def __init__(self, *, type_check: bool = False) -> None:
        self._type_check = type_check
        self._limits = CellLimits()
        self._host: dict[str, HostFunction] = {}
        self._prelude = PRELUDE
        self._objects: dict[UUID, str] = {}
        self._inputs: dict[str, Any] = {}
        self._memory_bytes = 0
        self._session: Any = None
        self._pid: int | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._started = self._closed = self._is_large = False
        self._waiting: anyio.CancelScope | None = None
        self._history: list[_Run] = []
        self._names: dict[str, None] = {}
        self._feeds: dict[str, CellSource] = {}
        self._feed_count = 0
        self._modules: dict[str, Any] = {}
        self._fed: set[str] = set()
        self._awaited: dict[str, frozenset[int]] = {}
        self._printed = Printed(self._limits)

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
        """Takes a worker from the pool and binds the context in it; see `Sandbox.start`."""
        self._limits = limits
        self._host = {**host, **{function.name: function for function in HOST_FUNCTIONS}}
        ctx = MontyObject("ctx").exposed(host)
        self._objects = {ctx.id: "ctx"}
        self._memory_bytes = limits.memory_bytes
        self._inputs = {"query": query, "ctx": ctx}
        self._is_large = await _large_text.is_large(context, limits)
        if self._is_large:
            self._host |= _large_text.text_functions(context)
            scans = MontyObject(_large_text.OBJECT).exposed(self._host)
            self._objects[scans.id] = _large_text.OBJECT
            self._inputs["rlm_large_scans"] = scans
            self._prelude = PRELUDE + VALUE_SOURCE + prelude(context)
            self.notes = (*NOTES, _LARGE_NOTE)
        else:
            self._memory_bytes += context.size_bytes
        self._started = True
        await self._in_thread(partial(self._begin, context))

    def _begin(self, context: Context) -> None:
        if not self._is_large:
            self._inputs["context"] = self._inputs["P"] = context.text()
        self._open()

    async def execute(self, cell: Cell) -> Execution:
        """Runs a cell; see `Sandbox.execute`."""
        self._check_open()
        began = time.perf_counter()
        if (too_long := refused(cell, self._limits)) is not None:
            return too_long
        run = _Run(read_cell(cell.code, large=self._names if self._is_large else None))
        self._printed = Printed(self._limits)
        error: Exception | None = None
        value: object = None
        value_repr: str | None = None
        try:
            result = await self._drive(run, shows_variables="SHOW_VARS" in cell.code)
            if run.source.has_value:
                value, value_repr = value_of(result)
        except (MontyError, CellRefused, RuntimeError) as raised:
            error = raised
        outcome: Outcome = "output" if self._printed.flooded else outcome_of(error) if error else "ok"
        execution = Execution(
            outcome,
            self._printed.stdout.text(),
            self._printed.stderr.text(),
            self._printed.stdout.dropped_chars + self._printed.stderr.dropped_chars,
            None if outcome == "ok" else cell_error(error, outcome, self._feeds, self._limits),
            value,
            value_repr,
            time.perf_counter() - began,
        )
        if outcome in ("ok", "error", "stack"):
            self._history.append(run)
            self._names.update(dict.fromkeys(run.source.names))
            return execution
        self._check_open()
        return replace(execution, namespace="rebuilt" if await self._rebuild() else "lost")

    async def variables(self) -> Mapping[str, str]:
        """Lists the variables that cells have set; see `Sandbox.variables`."""
        self._check_open()
        self._printed = Printed(self._limits)
        listing = await self._drive(_Run(CellSource("SHOW_VARS()")), shows_variables=True)
        return {str(name): str(text) for name, text in listing.items()}

    async def close(self) -> None:
        """Gives the worker back to the pool, or kills it when it is busy; see `Sandbox.close`."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        with anyio.CancelScope(shield=True):
            await run_in_thread(self._release)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, for diagnostics; None before the start."""
        return self._pid

    def _check_open(self) -> None:
        if self._closed or not self._started:
            raise SandboxError("this sandbox is closed; open a new session")

    # A worker is used from one thread at a time. The event loop only waits for it, so that neither a long cell
    # nor a large context holds up other sessions.

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Runs `work` in a thread; on cancellation the worker is killed, which ends `work` at once."""
        self._idle.clear()

        def tracked() -> Any:
            try:
                return work()
            finally:
                self._idle.set()

        try:
            return await run_in_thread(tracked)
        except asyncio.CancelledError:
            await self.close()
            raise

    def _open(self) -> None:
        """Checks a worker out and binds the injected names."""
        stubs = stubs_of(self._host) if self._type_check else None
        self._session = new_session(self._limits, self._memory_bytes, stubs)
        self._pid = self._session.worker_pid
        self._feeds, self._feed_count, self._modules, self._awaited = {}, 0, {}, {}
        self._fed = {VALUE_SOURCE} if self._is_large else set()
        self._feed(self._prelude, self._inputs, skip_type_check=self._is_large)

    def _release(self) -> None:
        if not self._idle.is_set() and self._pid is not None:
            # The worker is ours while a call is under way, so its number cannot have been given away.
            with suppress(ProcessLookupError):
                os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._idle.wait()
        self._give_back()

    def _give_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(MontyError, RuntimeError):  # a killed worker has nothing left to give back
                session.__exit__(None, None, None)

    def _feed(self, code: str, inputs: dict[str, Any] | None = None, *, skip_type_check: bool = True) -> Any:
        """Runs our own code, which calls no host function."""
        self._feed_count += 1
        take = self._printed.take
        return self._session.feed_run(code, inputs=inputs, print_callback=take, skip_type_check=skip_type_check)

    def _feed_once(self, code: str) -> None:
        if code not in self._fed:
            self._fed.add(code)
            self._feed(code)

    def _load_module(self, name: str) -> Any:
        """Gives the object in the worker that stands for a module, made on first use."""
        if name not in self._modules:
            self._feed(module_source(name))
            self._modules[name] = self._feed(instance_name(name))
        return self._modules[name]

    async def _drive(self, run: _Run, *, shows_variables: bool = False) -> Any:
        """Runs a cell to its end, answering each suspension; gives the value of its last expression."""

        def begin() -> Any:
            for name in run.source.modules:
                self._load_module(name)
            if run.source.has_value:
                self._feed_once(VALUE_SOURCE)
            if "zlib" in run.source.code:  # it is there without import, but most sessions never ask for it
                self._load_module("zlib")
                self._feed_once(f"zlib = {instance_name('zlib')}")
            if shows_variables:
                self._feed(show_vars_source(dict.fromkeys([*self._names, *run.source.names])))
            file_name = f"<python-input-{self._feed_count}>"
            self._feed_count += 1
            self._feeds[file_name], self._awaited[file_name] = run.source, run.source.awaited
            return self._start(run.source, checked=self._is_large)  # the checker knows no rewritten cells

        step: Callable[[], Any] = begin
        while True:
            snapshot, answering = await self._in_thread(partial(self._advance, step, run))
            if isinstance(snapshot, MontyComplete):
                return snapshot.output
            with anyio.CancelScope() as self._waiting:
                step = partial(snapshot.resume, await answering())
            if self._closed:
                raise SandboxError("the sandbox was closed while a cell waited for a host call")

    def _start(self, source: CellSource, *, checked: bool = False) -> Any:
        """Feeds a cell; with a type check, first what the checker says, unless that may be a matter of taste."""
        try:
            snapshot = self._session.feed_start(source.code, print_callback=self._printed.take, skip_type_check=checked)
            while getattr(snapshot, "is_os_function", False) and snapshot.function_name == "import_stubs":
                stubs = {name: MODULE_STUB for name in snapshot.args[0] if name in MODULES}
                snapshot = snapshot.resume({"return_value": stubs})
        except MontyTypingError as error:
            found = list(findings(error.display(), [*self._names, *source.names], self._host))
            if found:
                raise CellRefused(found) from error
            return self._start(source, checked=True)
        return snapshot

    def _advance(self, step: Callable[[], Any], run: _Run) -> tuple[Any, Callable[[], Any]]:
        """Answers suspensions until the cell ends or needs something that is awaited on the event loop."""
        snapshot = step()
        while not isinstance(snapshot, MontyComplete):
            if isinstance(snapshot, FutureSnapshot):
                waiting = {number: run.waiting.pop(number) for number in snapshot.pending_call_ids}
                return snapshot, partial(self._settle, run, waiting)
            if isinstance(snapshot, NameLookupSnapshot):
                snapshot = name_answer(snapshot, self._objects, self._host)
                continue
            answer = self._answer_now(snapshot, run)
            if answer is None:
                number = run.calls
                run.calls += 1
                make = self._call_of(snapshot)
                if snapshot.position.start in self._awaited.get(snapshot.position.filename, ()):
                    run.waiting[snapshot.call_id] = (number, make)
                    answer = {"future": ...}
                elif number in run.answers:
                    answer = run.answers[number]
                else:
                    return snapshot, partial(self._recorded, run, number, make)
            snapshot = snapshot.resume(answer)
        return snapshot, self.close

    def _answer_now(self, snapshot: Any, run: _Run) -> dict[str, Any] | None:
        """Answers what needs no waiting; None for a call that is to be awaited."""
        if snapshot.is_os_function:
            if snapshot.function_name == "import" and snapshot.args[0] in MODULES:
                return {"return_value": self._load_module(snapshot.args[0])}
            if snapshot.function_name == "import":
                return {"exc_type": "ModuleNotFoundError", "message": f"No module named {snapshot.args[0]!r}"}
            return refusal(str(snapshot.function_name))
        name = function_name(snapshot, self._objects)
        function = self._host.get(name)
        if function is None:
            return refusal(name)
        if function.is_async:
            return None
        if function.pure:
            return call(function, snapshot.args, snapshot.kwargs)
        number = run.calls
        run.calls += 1
        if number not in run.answers:
            run.answers[number] = call(function, snapshot.args, snapshot.kwargs)
        return run.answers[number]

    def _call_of(self, snapshot: Any) -> Callable[[], Any]:
        function = self._host[function_name(snapshot, self._objects)]
        args, kwargs = snapshot.args, snapshot.kwargs
        return partial(call_async, function, args, kwargs)

    async def _recorded(self, run: _Run, number: int, make: Callable[[], Any]) -> dict[str, Any]:
        if number not in run.answers:
            run.answers[number] = await make()
        return run.answers[number]

    async def _settle(self, run: _Run, waiting: Mapping[int, tuple[int, Callable[[], Any]]]) -> dict[int, Any]:
        """Makes the calls that a cell awaits, all at once."""
        answers: dict[int, Any] = {}

        async def settle(call_id: int, number: int, make: Callable[[], Any]) -> None:
            answers[call_id] = await self._recorded(run, number, make)

        async with anyio.create_task_group() as tasks:
            for call_id, (number, make) in waiting.items():
                tasks.start_soon(settle, call_id, number, make)
        return answers

    async def _rebuild(self) -> bool:
        """Opens a fresh worker and runs the earlier cells again; False where that failed and they are lost."""
        runs, self._history = self._history, []
        await self._in_thread(self._reopen)
        try:
            for run in runs:
                self._printed = Printed(self._limits)
                again = _Run(run.source, run.answers)
                try:
                    await self._drive(again, shows_variables="SHOW_VARS" in run.source.code)
                except MontyError as error:
                    if outcome_of(error) not in ("error", "stack"):
                        raise
        except (MontyError, RuntimeError):
            self._names = {}
            await self._in_thread(self._reopen)
            return False
        self._history = runs
        return True

    def _reopen(self) -> None:
        self._give_back()
        self._check_open()  # it may have been closed meanwhile, and a worker taken now would be nobody's
        try:
            self._open()
        except (MontyCrashedError, SandboxUnavailable) as error:
            raise SandboxCrashed(f"monty's worker ended and no other could be started: {error}") from error
