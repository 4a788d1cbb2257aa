"""Shared state of a tree of sessions, and each session's place in it."""

from __future__ import annotations

import re
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from rlmbox import __version__
from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.context.json_parts import is_long
from rlmbox.errors import ConfigError
from rlmbox.events import AttemptFinished, Event, RunStarted, State
from rlmbox.guard import Guard, GuardPath, RunGuard
from rlmbox.loop.cancellation import to_its_end
from rlmbox.loop.guarding import SessionGuard
from rlmbox.loop.toolbox import Toolbox
from rlmbox.models.base import Model
from rlmbox.record.journal import Journal
from rlmbox.requests.attempt import Tell
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.client import Calls, FallbackWhen
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.base import Retriever
from rlmbox.sandboxes.base import Sandbox, reason_of
from rlmbox.types import Answer, Message, Source, Turn

_Result = TypeVar("_Result")


def new_run_id() -> str:
    """Return a unique name for a run."""
    return uuid.uuid4().hex[:12]


def checked_run_id(run_id: object) -> str:
    """Check that a run's name is valid, and return it.

    Args:
        run_id: The name.

    Raises:
        ConfigError: It is not valid.
    """
    if not isinstance(run_id, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise ConfigError(f"a run's name has letters, digits, '.', '_' and '-', at most 100 of them, not {run_id!r}")
    return run_id


@dataclass(frozen=True)
class RunContext:
    """A tree of sessions: the root and all its children.

    Attributes:
        model: The model of the root session.
        sub_model: The model of sub-calls and child sessions.
        budget: The ledger of the run.
        new_sandbox: Creates a sandbox that has not been started.
        journal: The journal in which everything is recorded.
        models: Models that code may name in `llm_query(..., model=…)`.
        fallback: The model that is asked if another is not available; None for none.
        fallback_when: A check of replies; the fallback model is asked if it returns True. None for none.
        cache: The cache for the replies to sub-calls across runs; None for none.
        retries: The retry policy for requests; None for the default.
        id: The run's name.
        seed: Seed of the root's sandbox, from which those of the children follow.
        guard: What may leave the sandboxes; by default everything that fits.
        tools: The user's own functions in the REPL.
        retriever: An index that code may search; None for none.
        streams: Whether the replies of sessions' models are read as they arrive.
        describe: Returns the fields of `RunStarted`; called once, in a thread, where the run is recorded.
        calls: The one way to ask a model.
        requests: The limiter of sub-calls under way.
        checking: Held while a long prompt is checked in a thread; the next ones wait, as placeholders have numbers.
    """

    model: Model
    sub_model: Model
    budget: Budget
    new_sandbox: Callable[[], Sandbox]
    journal: Journal = field(default_factory=Journal)
    models: Mapping[str, Model] = field(default_factory=dict)
    fallback: Model | None = None
    fallback_when: FallbackWhen | None = None
    cache: ReplyCache | None = None
    retries: RetryPolicy | None = None
    id: str = field(default_factory=new_run_id)
    seed: int = 0
    guard: RunGuard = field(default_factory=lambda: Guard("off").for_run())
    tools: Toolbox = field(default_factory=Toolbox)
    retriever: Retriever | None = None
    streams: bool = False
    describe: Callable[[], Mapping[str, Any]] | None = None
    calls: Calls = field(init=False)
    requests: anyio.CapacityLimiter = field(init=False)
    checking: anyio.Lock = field(init=False, default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        calls = Calls(
            self.budget,
            retries=self.retries,
            cache=self.cache,
            fallback=self.fallback,
            fallback_when=self.fallback_when,
        )
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "requests", anyio.CapacityLimiter(self.budget.limits.concurrency))
        past = self.journal.past
        for charge in past.charges:
            self.budget.enter_past(
                charge.depth, charge.model, charge.usage, charge.cost_usd, uncertain=charge.uncertain
            )
        self.budget.go_on_from(past.subcalls, past.used_s)

    async def open(self) -> None:
        """Acquire the run's record and begin it, before anything else happens.

        Raises:
            StoreError: The record cannot be written, or another process holds the run.
        """
        if not self.journal.is_recorded:
            return
        await self.journal.open(self.id)
        fields: Mapping[str, Any] = {"version": __version__}
        if self.describe is not None and self.journal.past.peek(self.id, RunStarted) is None:
            fields = await anyio.to_thread.run_sync(self.describe)
        if self.journal.read_back(self.id, RunStarted) is None:
            await self.journal.begin(Scope.root(self).event(RunStarted, "INIT", **fields))

    async def close(self) -> None:
        """Close the connections of tools, make the record durable and release it.

        Raises:
            StoreError: The record cannot be written.
        """
        self.guard.release()
        try:
            await self.tools.aclose()
        finally:
            await self.journal.close()

    def answer(
        self,
        text: str,
        turns: Sequence[Turn],
        *,
        model: str,
        sandbox: Sandbox,
        value: object = None,
        sources: tuple[Source, ...] = (),
        complete: bool = True,
    ) -> Answer:
        """Return an answer with the usage of the whole tree so far.

        Args:
            text: The answer in words.
            turns: The turns that led to it.
            model: Name of the session's model.
            sandbox: Its sandbox.
            value: The answer as a JSON value.
            sources: Its sources in the context.
            complete: False for the result so far when an error ended the question.
        """
        return Answer(
            text=text,
            value=value,
            sources=sources,
            cost=self.budget.cost,
            turns=sum(1 for turn in turns if not turn.is_last_word),
            subcalls=self.budget.subcalls,
            duration_s=time.monotonic() - self.budget.began_s,
            run_id=self.id,
            model=model,
            sandbox=sandbox.name,
            sandbox_reason=reason_of(sandbox),
            complete=complete,
            guard=self.guard.report(),
            trajectory=tuple(turns),
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """A session's place in its tree; every event of the session carries it.

    Attributes:
        run: The shared state of the tree.
        session_id: The session's name: the root's is the run's, a child's the key of the call that opened it.
        parent_id: The session that opened this one, or None for the root.
        account: The account that its turns are charged to; its depth is the session's, 0 for the root.
    """

    run: RunContext
    session_id: str
    parent_id: str | None
    account: Account

    @classmethod
    def root(cls, run: RunContext) -> Scope:
        """Return the scope of a run's first session.

        Args:
            run: The run.
        """
        return cls(run, run.id, None, run.budget.root)

    @property
    def depth(self) -> int:
        """0 for the root, 1 for its children."""
        return self.account.depth

    @property
    def opened_by(self) -> str | None:
        """The key of the host call that opened the session, or None for the root."""
        return None if self.parent_id is None else self.session_id

    @property
    def seed(self) -> int:
        """Seed of the session's sandbox, determined by the run's seed and the session's place in the run."""
        place = self.session_id.removeprefix(self.run.id)
        return zlib.crc32(place.encode(), self.run.seed & 0xFFFFFFFF) if place else self.run.seed

    @property
    def guard(self) -> SessionGuard:
        """The run's guard as this session uses it."""
        return SessionGuard(self.run.guard, self.session_id)

    async def may_ask(self, messages: list[Message], model: str, path: GuardPath = "subcall") -> list[Message]:
        """Return what another model may be asked; see `SessionGuard.asked`. Long prompts are checked in a thread.

        Args:
            messages: The messages.
            model: The model that reads them.
            path: `subcall`, or `question` where a child session is asked.

        Raises:
            ValueError: They show more of the context than may leave.
        """
        asked = partial(self.guard.asked, messages, model, path)
        return await self.checked(asked, *(message.content for message in messages))

    async def checked(self, check: Callable[[], _Result], *values: object) -> _Result:
        """Return what the guard makes of values that leave the sandbox, checked in a thread where they are long.

        Args:
            check: Has the guard check them.
            values: The values.
        """
        if not is_long(*values) and not self.run.checking.locked():
            return check()
        async with self.run.checking:
            result = await to_its_end(anyio.to_thread.run_sync(check))  # the guard is not left to two threads
        return result  # noqa: RET504 - a type checker takes a lock for one that may swallow

    def child(self, name: str, account: Account, *, cost_limit_usd: Decimal | None = None) -> Scope:
        """Return the scope of a new session below this one.

        Args:
            name: The key of the call that opens it.
            account: The account of the question that opens it.
            cost_limit_usd: US dollars that the child and all below it may not exceed; None for no limit of its own.
        """
        below = account.below(cost_limit_usd=cost_limit_usd)
        if cost_limit_usd is not None:
            self.carry_over(below, name)
        return Scope(self.run, name, self.session_id, below)

    def carry_over(self, account: Account, path: str) -> None:
        """Charge what the record says was spent below a path to the account's own pool.

        Args:
            account: The account, whose last pool is new.
            path: The path of the session or of its question.
        """
        past = self.run.journal.past
        if past.events:
            usd, tokens = past.charged_below(path)
            self.run.budget.enter_in_pool(account.pools[-1], usd, tokens, past.subcalls_below(path))

    def event(self, kind: Callable[..., Event], state: State, **fields: Any) -> Any:
        """Return an event of this session, which is not recorded yet.

        Args:
            kind: The event's class.
            state: The session's state after it.
            fields: The event's fields besides those of the scope.
        """
        return kind(
            run_id=self.run.id,
            session_id=self.session_id,
            parent_id=self.parent_id,
            depth=self.depth,
            state=state,
            **fields,
        )

    def note(self, kind: Callable[..., Event], state: State, **fields: Any) -> Any:
        """Record an event of this session, and return it as the record has it; see `event`."""
        recorded = self.run.journal.read_back(self.session_id, kind)
        return recorded or self.run.journal.add(self.event(kind, state, **fields))

    async def tell(self, kind: Callable[..., Event], state: State, **fields: Any) -> Any:
        """Record an event of this session with possibly long texts, and return it as the record has it; see `event`."""
        recorded = self.run.journal.read_back(self.session_id, kind)
        if recorded is not None:
            return recorded
        event = self.event(kind, state, **fields)
        await self.run.journal.look_through(event)
        return self.run.journal.add(event)

    async def append(self, kind: Callable[..., Event], state: State, **fields: Any) -> Any:
        """Record an event of this session, and return it, as the record has it, when it is durable; see `event`."""
        recorded = self.run.journal.read_back(self.session_id, kind)
        if recorded is not None:
            return recorded
        return await to_its_end(self._appended(self.event(kind, state, **fields)))

    async def _appended(self, event: Event) -> Event:
        await self.run.journal.look_through(event)
        return await self.run.journal.append(event)

    def tells(self, state: State, model: str, key: str, number: int | None = None) -> RequestTale:
        """Return a recorder for the events of one request.

        Args:
            state: The session's state.
            model: The model that is asked.
            key: The request's key.
            number: The sub-call's number; None for a turn of the session.
        """

        def tell(kind: Callable[..., Event], **fields: Any) -> None:
            tale.cost_usd += fields["cost_usd"] if kind is AttemptFinished else 0
            self.note(kind, state, model=model, number=number, key=key, **fields)

        tale = RequestTale(tell)
        return tale


@dataclass(slots=True)
class RequestTale:
    """The progress that one request has reported so far.

    Attributes:
        tell: Records an event of the request.
        cost_usd: The charges of its attempts.
    """

    tell: Tell
    cost_usd: Decimal = field(default_factory=Decimal)
