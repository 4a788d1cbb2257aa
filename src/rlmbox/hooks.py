"""Hooks: a user's functions that are called with the events of a run, by name or with all of them.

A sync hook is called on the run's event loop as soon as the event was recorded, so it must be quick. An async hook is
awaited in a separate task, one event after another and in order, while the run continues; the end of the run waits for
it. In both cases, exceptions are logged and do not affect the run.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

from rlmbox.errors import ConfigError, is_interrupt
from rlmbox.events import (
    AttemptFinished,
    CellExecuted,
    CellStarted,
    Event,
    Hook,
    ModelRequested,
    SessionStarted,
    SubcallStarted,
    TurnFinished,
)
from rlmbox.types import Usage

PATIENCE_S = 10.0
"""Seconds that the end of a run waits for async hooks to finish."""

_log = logging.getLogger("rlmbox")


@dataclass(frozen=True, slots=True)
class CostUpdate:
    """The cost of a run after one more request was settled.

    Attributes:
        run_id: The run.
        session_id: The session that asked.
        depth: The session's depth, 0 for the root.
        model: The model that was asked.
        number: The sub-call's number, or None for a turn of the session.
        outcome: `settled` with the provider's counts, or `uncertain`, charged at the worst case.
        usage: Tokens of this request.
        cost_usd: Cost of this request.
        total_usage: Tokens of the whole run so far.
        total_usd: Cost of the whole run so far.
    """

    run_id: str
    session_id: str
    depth: int
    model: str
    number: int | None
    outcome: Literal["settled", "uncertain"]
    usage: Usage
    cost_usd: Decimal
    total_usage: Usage
    total_usd: Decimal


@dataclass(frozen=True, slots=True)
class NamedHooks:
    """Hooks by name, each sync or async; see the page on steering for when each is called.

    Attributes:
        on_session_start: When a session's sandbox is ready, before its first request.
        on_llm_call: Before a model is asked, by a session or by its code.
        on_code_exec: Before a cell runs.
        on_observation: After a cell has run.
        on_cost_update: After a request was charged.
        on_step_end: At the end of a turn.
    """

    on_session_start: Callable[[SessionStarted], Awaitable[None] | None] | None = None
    on_llm_call: Callable[[ModelRequested | SubcallStarted], Awaitable[None] | None] | None = None
    on_code_exec: Callable[[CellStarted], Awaitable[None] | None] | None = None
    on_observation: Callable[[CellExecuted], Awaitable[None] | None] | None = None
    on_cost_update: Callable[[CostUpdate], Awaitable[None] | None] | None = None
    on_step_end: Callable[[TurnFinished], Awaitable[None] | None] | None = None

    def __post_init__(self) -> None:
        """Check that each can be called.

        Raises:
            ConfigError: One cannot.
        """
        for name in (each.name for each in fields(self)):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise ConfigError(f"{name} is a function of one argument, not {type(hook).__name__}")

    @property
    def are_given(self) -> bool:
        """True if any hook is set."""
        return any(getattr(self, each.name) is not None for each in fields(self))


class HookReader:
    """A reader of a run's journal that calls a hook, and awaits its result if it is awaitable.

    Args:
        hook: The hook, sync or async.

    Raises:
        ConfigError: It cannot be called.
    """

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        if not callable(hook):
            raise ConfigError(f"a hook is a function of an event, not {type(hook).__name__}")
        self._hook = hook
        self._waiting: deque[Awaitable[Any]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, event: object) -> None:
        """Call the hook; see `Hook`."""
        result = self._hook(event)
        if result is None or not inspect.isawaitable(result):
            return
        self._waiting.append(result)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def aclose(self) -> None:
        """Wait until the hook has finished; after `PATIENCE_S`, cancel it."""
        if self._task is not None and not self._task.done():
            done, _ = await asyncio.wait([self._task], timeout=PATIENCE_S)
            if not done:
                name = getattr(self._hook, "__qualname__", type(self._hook).__name__)
                _log.error("the hook %s was given up: it had not ended %g s after the run", name, PATIENCE_S)
                self._task.cancel()
                await asyncio.wait([self._task])
        while self._waiting:
            close = getattr(self._waiting.popleft(), "close", None)
            if close is not None:
                close()

    async def _work(self) -> None:
        while self._waiting:
            try:
                await self._waiting.popleft()
            except BaseException as error:
                if is_interrupt(error):
                    raise
                _log.exception("a hook failed")


class _ByName:
    """A reader that calls the hooks of `NamedHooks` by the kind of the event."""

    def __init__(self, named: NamedHooks, past: Sequence[Event]) -> None:
        self._by_kind: Mapping[type[Event], HookReader] = {
            kind: HookReader(hook)
            for kind, hook in (
                (SessionStarted, named.on_session_start),
                (CellStarted, named.on_code_exec),
                (CellExecuted, named.on_observation),
                (TurnFinished, named.on_step_end),
            )
            if hook is not None
        }
        self._llm_call = HookReader(named.on_llm_call) if named.on_llm_call is not None else None
        self._cost = HookReader(named.on_cost_update) if named.on_cost_update is not None else None
        self._usage, self._usd = Usage(), Decimal(0)
        for event in past:
            if isinstance(event, AttemptFinished):
                self._add(event)

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            self._add(event)
            if self._cost is not None and event.outcome != "released":
                self._cost(self._update(event, event.outcome))
        elif isinstance(event, ModelRequested | SubcallStarted):
            is_child = isinstance(event, SubcallStarted) and not event.prompt
            if self._llm_call is not None and not is_child:  # a child session asks by itself
                self._llm_call(event)
        elif isinstance(event, CellStarted | CellExecuted) and event.cell.by == "engine":
            return
        elif (hook := self._by_kind.get(type(event))) is not None:
            hook(event)

    async def aclose(self) -> None:
        for hook in (*self._by_kind.values(), self._llm_call, self._cost):
            if hook is not None:
                await hook.aclose()

    def _add(self, event: AttemptFinished) -> None:
        self._usage += event.usage
        self._usd += event.cost_usd

    def _update(self, event: AttemptFinished, outcome: Literal["settled", "uncertain"]) -> CostUpdate:
        return CostUpdate(
            run_id=event.run_id,
            session_id=event.session_id,
            depth=event.depth,
            model=event.model,
            number=event.number,
            outcome=outcome,
            usage=event.usage,
            cost_usd=event.cost_usd,
            total_usage=self._usage,
            total_usd=self._usd,
        )


def readers_of(
    hooks: Iterable[Callable[[Event], Any]], named: NamedHooks, past: Sequence[Event] = ()
) -> tuple[Hook, ...]:
    """Return the readers of one run's journal.

    Args:
        hooks: Hooks for all events, sync or async.
        named: Hooks by name.
        past: The run's earlier events, which count towards its cost.
    """
    readers: tuple[Hook, ...] = tuple(HookReader(hook) for hook in hooks)
    return (*readers, _ByName(named, past)) if named.are_given else readers
