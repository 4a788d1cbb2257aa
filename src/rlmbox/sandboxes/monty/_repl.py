"""A worker that holds a namespace: feeding it cells, answering its calls, and ending it.

A worker is used by one thread at a time. The event loop only waits for it, so that neither a long cell nor a large
context blocks other sessions.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
from pydantic_monty import FutureSnapshot, MontyComplete, MontyTypingError, NameLookupSnapshot

from rlmbox.context.repl import OF_KEY, SLICE_KEY
from rlmbox.sandboxes._texts import CONTEXT, NamedText, inline_bytes
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty import _files, _large
from rlmbox.sandboxes.monty._code import (
    MARK,
    PRELUDE,
    VALUE_SOURCE,
    CellSource,
    own_names,
    read_expression,
    show_vars_source,
)
from rlmbox.sandboxes.monty._history import STOP, CellRun, MadeCall
from rlmbox.sandboxes.monty._host import (
    MontyObject,
    call,
    call_async,
    call_off_loop,
    function_name,
    missing,
    name_answer,
    no_files,
    whole_characters,
    without_proxies,
)
from rlmbox.sandboxes.monty._known import Known
from rlmbox.sandboxes.monty._large_host import text_functions
from rlmbox.sandboxes.monty._methods import METHOD_SHIMS
from rlmbox.sandboxes.monty._place import LoopPlace
from rlmbox.sandboxes.monty._reprs import NO_METHODS, MethodShown, may_differ, of_cpython
from rlmbox.sandboxes.monty._result import CheckFailed, Printed, each_text, in_words, without_place
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.sandboxes.monty._types import MODULE_STUB, findings, stubs_of
from rlmbox.sandboxes.monty._worker import MontyWorker
from rlmbox.sandboxes.monty.modules import (
    HOST_FUNCTIONS,
    MODULES,
    instance_name,
    module_source,
    own_exports,
    own_source,
)
from rlmbox.sandboxes.monty.modules._words import STATISTICS, date_words, is_of_cpython, pattern_words, words_source
from rlmbox.sandboxes.worker._values import Writer
from rlmbox.threads import ThreadJob
from rlmbox.types import CellLimits, HostFunction

_Make = Callable[[], Awaitable[dict[str, Any]]]
_MAX_SUSPENSIONS = 2**31  # host calls are counted here instead
_CALLS_OVERDUE = 20  # host calls allowed to a cell that has to end, for its clean-up code
_INTERRUPT: dict[str, Any] = {"exc_type": "KeyboardInterrupt", "message": "the cell was stopped"}
_SHORT_WAIT_S = 0.05
_OF_OBJECTS = ("<function ", "<bound method>", "<class '")
_PATIENCE = 4  # factor on the time limit of a replayed cell, since the machine may be busier than before
_KILL_AFTER_S = 0.1
_MAX_HOST_WORDS = 1_000
_VALUE_BYTES = 256  # of a value or a key in a list or a dict, as measured
_RECURSION_BESIDE = 20  # frames of our functions between those of a cell


@cache
def _reuses_places() -> bool:
    """Return whether this Python's sets reuse the slot of a removed number."""
    numbers = {0, 8}
    numbers.discard(0)
    numbers.add(16)
    return [*numbers] == [16, 8]


_SOURCES: dict[str, Callable[[], str]] = {
    "methods": partial(own_source, "methods"),
    "builtins": partial(own_source, "builtins"),
    "dataclasses": partial(own_source, "dataclasses"),
    "dates": lambda: date_words() + own_source("dates"),
    "sets": lambda: f"_rlm_sets_reuse = {_reuses_places()}\n{own_source('sets')}",
}
"""The sources that cells call, by name, in the order in which they are fed."""
_NEEDS = {"builtins": "methods"}
_OF_SETS = frozenset(
    [
        "eval",
        "getattr",
        "m_difference_update",
        "m_intersection_update",
        "m_symmetric_difference_update",
        "unbound",
        "worded_set_update",
    ]
)
"""Functions that may call a method of a set by its name."""
_BY_NAME = frozenset({"getattr", "unbound"})
"""Functions of `methods` that call some methods of builtin types through `builtins`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings and inputs that a session starts with.

    Attributes:
        limits: Limits of each cell.
        texts: The context and the inputs that are texts.
        host: The functions that code may call.
        query: The question.
        seed: Seed of `random`.
        inputs: The other inputs by name.
        type_check: Whether cells are checked before they run.
        function_names: Global names of the host functions and of the objects that have such methods.
        reserved: All names that the REPL provides again after a cell has rebound them.
    """

    limits: CellLimits
    texts: tuple[NamedText, ...]
    host: Host
    query: str
    seed: int
    inputs: Mapping[str, object]
    type_check: bool
    function_names: frozenset[str] = field(init=False)
    reserved: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "function_names", frozenset(name.partition(".")[0] for name in self.host))
        object.__setattr__(self, "reserved", self.function_names | {"context", "P", "SHOW_VARS"})

    @property
    def is_large(self) -> bool:
        """Return whether a text stays on the host, represented by a handle."""
        return any(each.is_handle for each in self.texts)


@dataclass(slots=True)
class _MontyClock:
    """The running time of a cell and of the host functions that it does not wait for.

    Attributes:
        limit_s: Largest running time.
    """

    limit_s: float
    spent_s: float = 0.0
    since: float | None = None
    stopped: float | None = None

    def start(self) -> None:
        """Start or resume; a short wait counts as running, so that a loop of free calls reaches the limit."""
        now = time.monotonic()
        if self.stopped is not None and now - self.stopped < _SHORT_WAIT_S:
            self.spent_s += now - self.stopped
        self.since, self.stopped = now, None

    def stop(self) -> None:
        """Pause, while the cell waits."""
        if self.since is not None:
            self.stopped = time.monotonic()
            self.spent_s += self.stopped - self.since
            self.since = None

    @property
    def is_over(self) -> bool:
        """Return whether the limit is reached."""
        running = time.monotonic() - self.since if self.since is not None else 0.0
        return self.spent_s + running > self.limit_s

    @property
    def left_s(self) -> float:
        """The remaining time, while paused."""
        return max(self.limit_s - self.spent_s, 0.0)


@dataclass(slots=True)
class _Feed:
    """The state of the running cell.

    Attributes:
        run: The cell.
        printed: What it has printed.
        file_name: Monty's name for it.
        clock: Its running time.
        waiting: Calls that it awaits, by Monty's call id.
        calls_overdue: Number of calls after the time limit, or beyond what was recorded.
    """

    run: CellRun
    printed: Printed
    clock: _MontyClock
    file_name: str = ""
    waiting: dict[int, tuple[MadeCall, _Make]] = field(default_factory=dict)
    calls_overdue: int = 0


class MontyRepl:
    """A namespace in a worker.

    Args:
        setting: What it starts with.
        is_rebuilt: Whether cells are replayed in it first. Monty's own time limit is then longer, and the limit of new
            cells is enforced from here.
        launched: A job that is already starting the worker; None to start it in `open`.

    Attributes:
        setting: As above.
        feeds: Each cell by the file name that Monty gave it.
        is_lost: Whether the worker was killed while it ran.
        is_overdue: Whether the last cell made a call after its time limit.
        refusal: The last cell's use of something that the REPL lacks.
    """

    def __init__(self, setting: Setting, *, is_rebuilt: bool = False, launched: ThreadJob | None = None) -> None:
        self.setting = setting
        self._launched = launched
        self._is_rebuilt = is_rebuilt
        self.feeds: dict[str, CellSource] = {}
        self.is_lost = self.is_overdue = False
        self.refusal: str | None = None
        self._host = {**setting.host, **{function.name: function for function in HOST_FUNCTIONS}}
        self._objects: dict[UUID, str] = {}
        self._inputs: dict[str, Any] = {}
        self._worker: MontyWorker | None = None
        self._session: Any = None
        self._idle = threading.Event()
        self._idle.set()
        self._snapshot: Any = None
        self._awaited: dict[str, frozenset[int]] = {}
        self._feed_count = 0
        self._calls = 0
        self._modules: dict[str, Any] = {}
        self._fed: set[str] = set()
        self._known = Known()
        self._host_words: set[str] = set()
        self._at_risk: frozenset[str] = frozenset()
        self._feed: _Feed | None = None
        self._place = LoopPlace()

    # Opening and closing

    async def open(self) -> None:
        """Start a worker and bind what the session starts with.

        Raises:
            SandboxUnavailable: No worker can be started.
        """
        await self._in_thread(self._open)

    def _open(self) -> None:
        setting, limits = self.setting, self.setting.limits
        memory_bytes = limits.memory_bytes
        handles = [each for each in setting.texts if each.is_handle]
        wholes = [n for each in handles if (n := each.text.size_bytes) <= _large.WHOLE_LIMIT_CHARS]
        memory_bytes += inline_bytes(setting.texts) + max(wholes, default=0) + _heap_bytes(setting.inputs)
        prelude = PRELUDE
        ctx = MontyObject("ctx").exposed(setting.host)
        self._objects[ctx.id] = "ctx"
        self._inputs = {**whole_characters({**setting.inputs, "query": setting.query}), "ctx": ctx}
        started: dict[str, Any] = {**self._inputs, MARK: _reference(MARK)}
        for each in handles:
            self._host |= text_functions(each)
            handle = MontyObject(each.object).exposed(self._host)
            self._objects[handle.id] = each.object
            started[each.object] = handle
        if handles:
            methods = _SOURCES["methods"]()
            prelude += VALUE_SOURCE + methods + _large.prelude(handles, limits)
            self._fed |= {VALUE_SOURCE, methods}
        started |= {each.name: each.text.text() for each in setting.texts if not each.is_handle}
        prelude += f"_rlm_context = P = {CONTEXT}\n"
        names = [*setting.inputs, *(each.name for each in setting.texts[1:])]
        self._worker = worker = MontyWorker() if self._launched is None else self._launched.result_in_thread()
        self._session = worker.open(
            script_name="rlm_session",
            limits={
                "max_feed_duration_secs": limits.cell_timeout_s * (_PATIENCE if self._is_rebuilt else 1),
                "max_memory": memory_bytes,
                "max_recursion_depth": limits.recursion_depth + _RECURSION_BESIDE,
                "max_suspensions": _MAX_SUSPENSIONS,
            },
            os_policy={"sleep": "zero", "random_start": {"seed": setting.seed}},
            type_check=setting.type_check,
            type_check_stubs=stubs_of(self._host, names) if setting.type_check else None,
            type_check_format="jsonlines",
            assert_message_annotations=False,
        )
        self._run_own(prelude, started, directory=_files.WORKING_DIRECTORY)

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._worker.pid if self._worker is not None else None

    def kill(self) -> None:
        """Kill the worker if it is busy, which releases those that wait for it."""
        if not self._idle.is_set() and self._worker is not None:
            self.is_lost = True
            self._worker.kill()

    async def end(self) -> None:
        """End the worker once it is idle."""
        await anyio.to_thread.run_sync(self._end)

    def _end(self) -> None:
        self._idle.wait()
        worker, self._worker, self._session, self._snapshot = self._worker, None, None, None
        if worker is not None:
            worker.end()

    async def recovered(self) -> bool:
        """Recover the namespace after a cell whose task was cancelled; return False if the worker is lost."""
        if self.is_lost or self._session is None:
            return False
        if self._snapshot is None:
            return True
        try:
            return bool(await self._in_thread(self._interrupted))
        except Exception:  # noqa: BLE001 - a worker that cannot continue is lost
            return False

    def _interrupted(self) -> bool:
        snapshot, self._snapshot = self._snapshot, None
        for _ in range(_CALLS_OVERDUE):
            try:
                if isinstance(snapshot, MontyComplete):
                    return True
                if isinstance(snapshot, FutureSnapshot):
                    answers: dict[int, Any] = dict.fromkeys(snapshot.pending_call_ids, _INTERRUPT)
                    snapshot = snapshot.resume(answers)
                elif isinstance(snapshot, NameLookupSnapshot):
                    snapshot = snapshot.resume()
                else:
                    snapshot = snapshot.resume(_INTERRUPT)
            except Exception as error:  # noqa: BLE001 - normally the interrupt itself
                return "KeyboardInterrupt" in str(error)
        return False

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Run `work` in a thread; cancellation kills the worker, which ends `work` at once."""
        turn = threading.Lock()
        began = given_up = False  # `began`: the job has reached its thread

        def tracked() -> Any:
            nonlocal began
            with turn:
                if given_up:
                    return None
                began = True
                self._idle.clear()
            try:
                return work()
            finally:
                self._idle.set()

        try:
            return await self._place.wait_for(ThreadJob(tracked))
        except anyio.get_cancelled_exc_class():
            with turn:
                given_up = True  # it may not have reached a thread yet
            if began:
                self.kill()
            raise

    # Cells

    def enter(self, run: CellRun, printed: Printed) -> None:
        """Set the cell to be fed next.

        Args:
            run: The cell.
            printed: Receives its output.
        """
        limit_s = self.setting.limits.cell_timeout_s * (_PATIENCE if run.again and not run.is_cut else 1)
        self._feed = _Feed(run, printed, _MontyClock(limit_s))
        self.is_overdue, self.refusal = False, None

    def begin(self, show_names: Iterable[str] | None, known: Known) -> Any:
        """Feed the cell that was set, as its first step.

        Args:
            show_names: The variables that `SHOW_VARS` describes.
            known: What earlier cells have bound.
        """
        feed, source = self._current, self._current.run.source
        self._known = known
        self._load_for(source)
        if show_names is not None:
            self._run_own(show_vars_source(show_names))
        feed.file_name = f"<python-input-{self._feed_count}>"
        self._feed_count += 1
        self.feeds[feed.file_name], self._awaited[feed.file_name] = source, source.awaited
        feed.clock.start()
        return self._fed_cell(source, checked=self.setting.is_large or not source.ends or feed.run.again)

    async def advance(self, step: Callable[[], Any]) -> Callable[[], Awaitable[Any]] | None:
        """Run a step and answer what can be answered at once; return what is to be awaited, or None at the cell's end.

        Raises:
            TimeoutError: The cell reached its time limit, and the worker was killed.
        """
        found: Callable[[], Awaitable[Any]] | None = None
        work = partial(self._advance, step)
        if not self._is_rebuilt:
            return await self._in_thread(work)  # type: ignore[no-any-return]
        with anyio.CancelScope() as watched:
            watched.deadline = anyio.current_time() + self._current.clock.left_s + _KILL_AFTER_S
            found = await self._in_thread(work)
        if watched.cancelled_caught:
            self.is_overdue = self.is_lost = True
            raise TimeoutError("the cell's time is up")
        return found

    def resume(self, answer: Any) -> Any:
        """Continue the cell with an answer, as its next step."""
        snapshot, self._snapshot = self._snapshot, None
        self._current.clock.start()
        return snapshot.resume(answer)

    def result(self) -> Any:
        """Return the value of the cell's last expression.

        Raises:
            Exception: The value has no form outside the worker.
        """
        snapshot, self._snapshot = self._snapshot, None
        return snapshot.output

    def _of_function(self, text: str) -> str:
        """Return an argument of a host call, with the `repr` of a function or a class in CPython's form."""
        return without_place(self.as_shown(text)) if text.startswith(_OF_OBJECTS) else text

    def as_shown(self, text: str) -> str:
        """Return a displayed text with the `repr` of functions and objects in CPython's form.

        The `repr` of a method that Monty does not name is refused.
        """
        if not may_differ(text):
            return text
        try:
            return of_cpython(text, self._known.and_then(self._current.run.source.binds))
        except MethodShown:
            self.refusal = NO_METHODS
            return text

    @property
    def _current(self) -> _Feed:
        assert self._feed is not None  # noqa: S101 - `enter` comes first
        return self._feed

    async def restore(self, source: CellSource) -> tuple[str, ...]:
        """Rebind reserved names that a cell has rebound, and return them.

        A function that declares one global may rebind it in any later cell.
        """
        self._at_risk |= source.globals
        reserved = self.setting.reserved
        rebound = tuple(name for name in (*source.names, *source.members) if name.partition(".")[0] in reserved)
        taken = {name.partition(".")[0] for name in rebound} | (self._at_risk & reserved)
        if taken:
            await self._in_thread(partial(self._restore, sorted(taken)))
        return rebound

    def _restore(self, names: Iterable[str]) -> None:
        inputs: dict[str, Any] = {}
        code = "pass\n"
        for name in names:
            if name in ("context", "P"):
                code += f"{name} = _rlm_context\n"
            elif name in self._host:
                inputs[name] = _reference(name)
            elif name in self._inputs:
                inputs[name] = self._inputs[name]
        self._run_own(code, inputs)

    # In the worker's thread

    def _run_own(self, code: str, inputs: dict[str, Any] | None = None, *, directory: str | None = None) -> Any:
        """Run code of our own, which calls no host function."""
        self._feed_count += 1
        unchecked = not inputs or self.setting.is_large or "_rlm_" in code
        return self._session.feed_run(
            code, inputs=inputs, print_callback=_print_nothing, skip_type_check=unchecked, cwd=directory
        )

    def _load_for(self, source: CellSource) -> None:
        for name in sorted(source.modules):
            self._load_module(name)
        own = own_names(source.code)
        if source.has_value or "leaving" in own:
            self._feed_once(VALUE_SOURCE)
        is_by_name = bool(own & _BY_NAME) and any(name in source.code for name in METHOD_SHIMS)
        for name in _SOURCES:
            if own & own_exports(name) or (is_by_name and name == "builtins"):
                self._feed_once(_SOURCES[_NEEDS.get(name, name)]())
                self._feed_once(_SOURCES[name]())
        if any(name.startswith(("worded", "error_")) for name in own) or "contextlib" in source.modules:
            self._feed_once(words_source())
        if own & _OF_SETS:
            self._feed_once(_SOURCES["sets"]())
        if "module_re" in own or "eval" in own:
            self._load_re()
        if "zlib" in source.code:  # offered without import, but most sessions never use it
            self._load_module("zlib")
            self._feed_once(f"zlib = {instance_name('zlib')}")

    def _load_re(self) -> None:
        self._feed_once(pattern_words() + own_source("re"))
        if self.setting.is_large:
            self._feed_once("_rlm_re_knows(_rlm_LargeText)")

    def _feed_once(self, code: str) -> None:
        if code not in self._fed:
            self._fed.add(code)
            self._run_own(code)

    def _load_module(self, name: str) -> Any:
        """Return the object in the worker that represents a module, creating it on first use."""
        if name not in self._modules:
            self._run_own(module_source(name))
            self._modules[name] = self._run_own(instance_name(name))
        return self._modules[name]

    def _fed_cell(self, source: CellSource, *, checked: bool) -> Any:
        """Feed a cell; with a type check, raise the errors that are certain instead."""
        take = partial(self._take_printed, self._current.printed)
        try:
            snapshot = self._session.feed_start(source.code, print_callback=take, skip_type_check=checked)
            while getattr(snapshot, "is_os_function", False) and snapshot.function_name == "import_stubs":
                stubs = {name: MODULE_STUB for name in snapshot.args[0] if name in MODULES}
                snapshot = snapshot.resume({"return_value": stubs})
        except MontyTypingError as error:
            found = findings(error.display(), [*self._known.names, *source.names], self.setting.host)
            problems = [replace(one, line=source.line(one.line)[0]) for one in found]
            if problems:
                raise CheckFailed(problems) from error
            return self._fed_cell(source, checked=True)
        return snapshot

    def _take_printed(self, printed: Printed, stream: str, text: str) -> None:
        printed.take(stream, self.as_shown(text))
        if printed.flooded and self._worker is not None:
            self.is_lost = True
            self._worker.kill()  # Monty would run on until its timeout

    def _advance(self, step: Callable[[], Any]) -> Callable[[], Awaitable[Any]] | None:
        try:
            snapshot = step()
            feed = self._current
            while not isinstance(snapshot, MontyComplete):
                if isinstance(snapshot, FutureSnapshot):
                    self._snapshot = snapshot
                    waiting = {number: feed.waiting.pop(number) for number in sorted(snapshot.pending_call_ids)}
                    return partial(self._settle, feed.run, waiting)
                if isinstance(snapshot, NameLookupSnapshot):
                    snapshot = name_answer(snapshot, self._objects, self._host)
                    continue
                answer = self._answered(snapshot, feed)
                if callable(answer):
                    self._snapshot = snapshot
                    return answer
                snapshot = snapshot.resume(answer)
            self._snapshot = snapshot
        finally:
            self._current.clock.stop()
        return None

    def _answered(self, snapshot: Any, feed: _Feed) -> dict[str, Any] | Callable[[], Awaitable[Any]]:
        """Return the answer to a call, or a function that awaits it."""
        if snapshot.function_name == MARK:
            feed.run.statement = snapshot.args[0]
            return {"return_value": None}
        if feed.clock.is_over:
            return self._overdue(feed)
        if snapshot.is_os_function:
            return self._os_answer(snapshot)
        name = function_name(snapshot, self._objects)
        if name in ("_rlm_refuse", "_rlm_source", "_rlm_lacks", "_rlm_is_vague", "_rlm_of_statistics"):
            return self._own_answer(name, snapshot.args)
        function = self._host.get(name)
        if function is None:
            return missing(name)
        if name.startswith("_rlm_"):
            return self._call_answer(snapshot, function, snapshot.args, snapshot.kwargs, feed)
        try:
            whole = partial(self._whole_text, function)
            args = each_text(without_proxies(snapshot.args, whole=whole), self._of_function)
            kwargs = each_text(without_proxies(snapshot.kwargs, whole=whole), self._of_function)
        except (ValueError, RecursionError) as error:
            return {"exc_type": "ValueError", "message": f"an argument of {name} cannot leave the REPL: {error}"}
        if self.refusal is not None:  # raised for an argument
            return _INTERRUPT
        self._calls += 1
        if self._calls > self.setting.limits.host_calls:
            message = f"the session has made its {self.setting.limits.host_calls:,} calls of host functions"
            return {"exc_type": "RuntimeError", "message": message}
        return self._call_answer(snapshot, function, args, kwargs, feed)

    def _whole_text(self, function: HostFunction, variable: str) -> Any:
        """Return what replaces a handle in an argument: the text if it may leave whole, else a reference to it."""
        text = next((each.text for each in self.setting.texts if each.name == variable), None)
        if text is None:
            raise ValueError(f"there is no text {variable!r}")
        if function.takes_texts:
            return {SLICE_KEY: [0, text.length], OF_KEY: variable}
        if text.length > self.setting.limits.inline_limit_chars:
            what = "the context" if variable == CONTEXT else variable
            raise ValueError(f"{what} has {text.length:,} characters: pass a part, such as {variable}[a:b]")
        return text.text()

    def _call_answer(
        self, snapshot: Any, function: HostFunction, args: tuple[Any, ...], kwargs: dict[str, Any], feed: _Feed
    ) -> dict[str, Any] | Callable[[], Awaitable[Any]]:
        run, is_async = feed.run, function.is_async
        if function.pure and not is_async:
            return self._noted(call(function, args, kwargs))
        try:
            made = _made(function.name, args, kwargs)
        except ValueError as error:  # too large to leave the worker
            return {"exc_type": "ValueError", "message": str(error)}
        make = partial(call_async, function, made.args, made.kwargs)
        awaited_at = self._awaited.get(snapshot.position.filename)
        if awaited_at and snapshot.position.start in awaited_at:
            feed.waiting[snapshot.call_id] = (made, make)
            return {"future": ...}
        if is_async and function.pure:
            return make
        if run.again:
            answer = run.recorded(made)
            return self._stopped(feed, STOP) if answer is STOP else self._noted(answer)
        if not is_async:
            return run.record(made, self._noted(call(function, args, kwargs)))
        if function.off_loop is not None:
            taken = self._place.take(partial(call_off_loop, function, made.args, made.kwargs))
            if taken is not None:
                return self._taken(run, made, *taken)
        return partial(self._recorded, run, made, make)

    def _taken(
        self, run: CellRun, made: MadeCall, answer: dict[str, Any] | Awaitable[dict[str, Any]]
    ) -> dict[str, Any] | Callable[[], Awaitable[dict[str, Any]]]:
        """Record the answer to a call made off the loop, or return a function for the loop to await."""
        if isinstance(answer, dict):
            return run.record(made, self._noted(answer))
        return partial(self._recorded, run, made, lambda: answer)

    def _overdue(self, feed: _Feed) -> dict[str, Any]:
        self.is_overdue = True
        return self._stopped(feed, _INTERRUPT)

    def _stopped(self, feed: _Feed, answer: dict[str, Any]) -> dict[str, Any]:
        """Answer a call of a cell that has to end; one that keeps calling is killed."""
        feed.calls_overdue += 1
        if feed.calls_overdue > _CALLS_OVERDUE and self._worker is not None:
            self.is_lost = True
            self._worker.kill()
        return answer

    def _os_answer(self, snapshot: Any) -> dict[str, Any]:
        if snapshot.function_name == "import" and snapshot.args[0] in MODULES:
            return {"return_value": self._modules.get(snapshot.args[0])}
        if snapshot.function_name == "import":
            return {"exc_type": "ModuleNotFoundError", "message": f"No module named {snapshot.args[0]!r}"}
        try:
            found = _files.answer(str(snapshot.function_name), snapshot.args)
        except CellRefused as error:
            self.refusal = str(error)
            return _INTERRUPT
        return no_files(str(snapshot.function_name)) if found is None else found

    def _own_answer(self, name: str, args: tuple[Any, ...]) -> dict[str, Any]:
        if name == "_rlm_source":
            try:
                return {"return_value": read_expression(str(args[0]), known=self._known, hidden=args[1])}
            except CellRefused as error:
                if error.type_name != "NotImplementedError":
                    return {"exc_type": "SyntaxError", "message": f"{error} (<string>, line {error.line or 1})"}
                self.refusal = str(error)
                return _INTERRUPT
        if name == "_rlm_lacks":
            kind, words = in_words(str(args[0]), str(args[1]), self.feeds)
            lacks = kind == "NotImplementedError" and (kind, words) != (args[0], args[1])
            return {"return_value": words if lacks else ""}
        if name == "_rlm_is_vague":
            return {"return_value": str(args[0]) not in self._host_words and not is_of_cpython(str(args[0]))}
        if name == "_rlm_of_statistics":
            return {"return_value": bool(STATISTICS.fullmatch(str(args[0])))}
        self.refusal = str(args[0])
        return _INTERRUPT

    def _noted(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Register the message of a TypeError raised by a host function, which is already CPython's."""
        if answer.get("exc_type") == "TypeError" and len(self._host_words) < _MAX_HOST_WORDS:
            self._host_words.add(str(answer.get("message")))
        return answer

    async def _recorded(self, run: CellRun, made: MadeCall, make: _Make) -> dict[str, Any]:
        return run.record(made, self._noted(await make()))

    async def _settle(self, run: CellRun, waiting: Mapping[int, tuple[MadeCall, _Make]]) -> dict[int, Any]:
        """Make the calls that a cell awaits, concurrently."""
        answers: dict[int, Any] = {}

        async def settle(call_id: int, made: MadeCall, make: _Make) -> None:
            answers[call_id] = self._noted(run.recorded(made)) if run.again else await self._recorded(run, made, make)

        async with anyio.create_task_group() as tasks:
            for call_id, (made, make) in waiting.items():
                tasks.start_soon(settle, call_id, made, make)
        return answers


def _made(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> MadeCall:
    """Return a call with its arguments in JSON form, bounded by the size that may leave a cell."""
    writer = Writer()
    return MadeCall(
        name, [writer.write(value) for value in args], {key: writer.write(value) for key, value in kwargs.items()}
    )


def _heap_bytes(inputs: Mapping[str, object]) -> int:
    """Return an upper bound of the memory that values take in Monty, where 80 bytes of JSON may take two kilobytes."""
    try:
        written = json.dumps(inputs)
    except RecursionError:
        return 0
    return len(written) + _VALUE_BYTES * sum(map(written.count, ",:[{"))


def _reference(name: str) -> Callable[[], None]:
    """Return a stand-in for a host function: only its name crosses to Monty, and a call suspends under it."""

    def reference() -> None:
        """Stand in for the host function."""

    reference.__name__ = name
    return reference


def _print_nothing(stream: str, text: str) -> None:
    """Discard the output of our own code."""
