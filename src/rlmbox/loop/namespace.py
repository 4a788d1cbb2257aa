"""The namespace of a session: the sandbox that holds its variables, and its recovery after a loss."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import anyio

from rlmbox import events
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError, SandboxCrashed, SandboxUnavailable, is_interrupt
from rlmbox.loop.bindings import binds
from rlmbox.loop.bridge import Bridge
from rlmbox.loop.inputs import described
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.task import Task
from rlmbox.record.compare import printed_otherwise, shown_output
from rlmbox.record.keys import key_of
from rlmbox.sandboxes.base import Host
from rlmbox.types import Cell, Execution

_DESCRIPTION = re.compile(r"\w[\w.]*(?:, (?:-?\w[\w.+-]*|[\d,]+ \w+(?: x [\d,]+ \w+)?))?")


class SessionNamespace:
    """The variables that a session's code has set, kept from question to question.

    Args:
        recorder: Records the session's events.
        bridge: Notified of each cell; the keys of the cell's calls lie below it.
        context: The text.
        inputs: Further variables of the user's, by name.
        own: The loop's own variables, by name, which are not listed for the model.
        make_sure_of_it: Starts the namespace if code has to run and it was not started yet.

    Attributes:
        sandbox: The sandbox in which code runs.
        host: The functions that code may call, by name.
        is_started: True once code can run.
        is_cut: True if a cell, or a listing of variables, was interrupted, so that the sandbox cannot continue.
        task: The current question.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        bridge: Bridge,
        context: Context,
        inputs: Mapping[str, object],
        own: Mapping[str, object],
        make_sure_of_it: Callable[[], Awaitable[None]],
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._bridge = bridge
        self._context = context
        self._inputs, self._own = inputs, own
        self._make_sure_of_it = make_sure_of_it
        self._query = ""  # as passed to the sandbox at its start
        self._query_is_ours = True  # not rebound by a cell
        self._ran: list[tuple[Cell, str, bool]] = []
        self._may_call = True
        self._engine_cells = 0
        self.sandbox = recorder.scope.run.new_sandbox()
        if not hasattr(self.sandbox, "close"):
            raise ConfigError(f"sandbox is a function that makes a sandbox, not {type(self.sandbox).__name__}")
        self.host: Host = {}
        self.is_started = False
        self.is_cut = False
        self.task: Task | None = None

    def launch(self) -> None:
        """Begin to start the sandbox before its inputs are known, if it can; followed by `start` or `close`."""
        launch: Callable[[], object] = getattr(self.sandbox, "launch", bool)
        launch()

    async def start(self, query: str) -> None:
        """Start the sandbox; on failure release everything.

        Args:
            query: The value of the variable `query`.
        """
        self._query = query
        try:
            await self.sandbox.start(
                self._scope.run.budget.limits.cell,
                self._context,
                self.host,
                query=query,
                seed=self._scope.seed,
                inputs={**self._inputs, **self._own},
            )
        except BaseException as error:
            await self.sandbox.close()
            if isinstance(error, RLMError) or is_interrupt(error):
                raise
            kind = type(error).__name__
            raise SandboxUnavailable(f"the sandbox {self.sandbox.name} did not start: {kind}: {error}") from error
        self.is_started = True

    async def rebuild(self) -> None:
        """Replace a sandbox that was cut in the middle of a cell, and replay its other cells in a new one.

        Host calls return the results recorded in the journal.
        """
        with anyio.CancelScope(shield=True):
            await self.sandbox.close()
        self.sandbox = self._scope.run.new_sandbox()
        await self.start(self._query)
        for cell, path, may_call in self._ran:
            self._bridge.enter(path, may_call=may_call)
            await self._in_sandbox(cell)
        self.is_cut = False

    async def close(self) -> None:
        """Close the sandbox."""
        await self.sandbox.close()

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running cell; return False if the sandbox cannot do that."""
        interrupt: Callable[[], bool] = getattr(self.sandbox, "interrupt", bool)
        return interrupt()

    @contextmanager
    def without_calls(self) -> Iterator[None]:
        """Refuse calls of host functions by the engine's own cells, except those that only read the context."""
        before, self._may_call = self._may_call, False
        try:
            yield
        finally:
            self._may_call = before

    async def evaluate(self, code: str) -> Execution:
        """Run a cell of the engine's own, recorded like any other.

        Args:
            code: The cell.
        """
        await self._make_sure_of_it()
        number, turn = (self.task.number, len(self.task.turns)) if self.task is not None else (0, 0)
        cell = Cell(code, turn, self._engine_cells, by="engine")
        self._engine_cells += 1
        cell = self._recorder.note(events.CellStarted, cell=cell).cell
        execution = await self.run(cell, key_of(number, turn, f"engine-{cell.index}"))
        executed = self._recorder.note(events.CellExecuted, cell=cell, execution=execution)
        found: Execution = executed.execution
        return found

    async def note_query(self, question: str) -> None:
        """Set the variable `query` to a further question, and reset the loop's own variables.

        Args:
            question: The question.
        """
        # An `answer` left ready by the previous question would be taken as the answer to this one.
        bindings = {"query": question, **self._own}
        await self.evaluate("\n".join(f"{name} = {value!r}" for name, value in bindings.items()))
        self._query_is_ours = True

    async def variables(self) -> Mapping[str, str]:
        """Return the variables, each with a short description such as `list, 3 items`.

        An input that no cell has rebound is described as it was given.

        Raises:
            SandboxError: The sandbox does not answer.
        """
        if not self.is_started:
            return {}
        given = {name: described(value) for name, value in self._inputs.items()}
        was_cut, self.is_cut = self.is_cut, True  # an interruption here cuts the sandbox as in a cell
        try:
            found = await self.sandbox.variables()
        except RLMError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise SandboxCrashed(f"the sandbox does not answer: {type(error).__name__}: {error}") from error
        self.is_cut = was_cut
        # The model is told of them in words of the system, so that neither may hold a sentence of the cell's.
        own = {
            name: what if _DESCRIPTION.fullmatch(what) else "object"
            for name, what in found.items()
            if name.isidentifier() and (name != "query" or not self._query_is_ours)
        }
        return {**given, **own}

    async def run(self, cell: Cell, path: str) -> Execution:
        """Run a cell; for a recorded cell, restore the variables and return the recorded result.

        Args:
            cell: The cell.
            path: Its path below the session.

        Raises:
            SandboxError: The sandbox cannot continue.
        """
        executed = self._recorder.next_recorded(events.CellExecuted)
        if not isinstance(executed, events.CellExecuted):
            return await self._execute(cell, path)
        recorded = executed.execution
        if recorded.namespace == "lost":
            self._ran.clear()
            await self.rebuild()
        elif recorded.namespace == "kept":  # otherwise the variables were rebuilt, and are as before the cell
            now = await self._execute(cell, path)
            if printed_otherwise(recorded, now):
                then, again = shown_output(recorded), shown_output(now)
                self._recorder.note(events.CellDiffered, cell=cell, recorded=then, now=again)
        return recorded

    async def _execute(self, cell: Cell, path: str) -> Execution:
        path = key_of(self._scope.session_id, path)
        may_call = self._may_call or cell.by != "engine"
        self._bridge.enter(path, may_call=may_call)
        self.is_cut = True
        execution = await self._in_sandbox(cell)
        self.is_cut = False
        was_interrupted = execution.error is not None and execution.error.type == "KeyboardInterrupt"
        if cell.by != "engine" and binds(cell.code, "query"):
            self._query_is_ours = False
        if execution.namespace != "lost" and execution.outcome in ("ok", "error") and not was_interrupted:
            self._ran.append((cell, path, may_call))
        return execution

    async def _in_sandbox(self, cell: Cell) -> Execution:
        """Run a cell; only an `RLMError` leaves the sandbox."""
        try:
            return await self.sandbox.execute(cell)
        except RLMError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            kind = type(error).__name__
            raise SandboxCrashed(f"the sandbox {self.sandbox.name} failed: {kind}: {error}") from error
