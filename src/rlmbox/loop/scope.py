"""What one tree of sessions has in common, and each session's place in it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

import anyio

from rlmbox import events
from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.events import Event, Hook, State
from rlmbox.models.base import Model
from rlmbox.requests import notices
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.client import Calls
from rlmbox.requests.notices import Notice
from rlmbox.requests.retries import RetryPolicy
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Answer, Source, Turn

_log = logging.getLogger("rlmbox")

_NOTICED: Mapping[type[Notice], type[Event]] = {
    notices.Retried: events.CallRetried,
    notices.Truncated: events.InputTruncated,
    notices.FellBack: events.ModelFellBack,
    notices.FromCache: events.ReplyFromCache,
    notices.Continued: events.ReplyContinued,
}


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Run:
    """One question's run: the root session and all its children.

    Attributes:
        model: The model of the root session.
        sub_model: The model of sub-calls and child sessions.
        budget: The one ledger.
        new_sandbox: Gives a sandbox that has not been started.
        hooks: Readers of the events.
        models: Models that code may name in `llm_query(..., model=…)`.
        fallback: The model that is asked where another is not available; None for none.
        cache: Where the replies to sub-calls are kept from run to run; None for nowhere.
        retries: When a request is sent again; None for the usual.
        id: The run's name.
        calls: The one way to ask a model.
        requests: The limiter of sub-calls under way.
    """

    model: Model
    sub_model: Model
    budget: Budget
    new_sandbox: Callable[[], Sandbox]
    hooks: tuple[Hook, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    fallback: Model | None = None
    cache: ReplyCache | None = None
    retries: RetryPolicy | None = None
    id: str = field(default_factory=_new_id)
    calls: Calls = field(init=False)
    requests: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        """Makes what its sessions ask through."""
        calls = Calls(self.budget, retries=self.retries, cache=self.cache, fallback=self.fallback)
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "requests", anyio.CapacityLimiter(self.budget.limits.concurrency))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.budget.began_s

    def answer(
        self,
        text: str,
        turns: Sequence[Turn],
        *,
        model: Model,
        sandbox: Sandbox,
        value: object = None,
        sources: tuple[Source, ...] = (),
        complete: bool = True,
        last: Turn | None = None,
    ) -> Answer:
        """Puts an answer together with what the whole tree has used until now."""
        return Answer(
            text=text,
            value=value,
            sources=sources,
            cost=self.budget.cost,
            turns=len(turns),
            subcalls=self.budget.subcalls,
            duration_s=self.elapsed_s,
            run_id=self.id,
            model=model.name,
            sandbox=sandbox.name,
            complete=complete,
            trajectory=(*turns, last) if last else tuple(turns),
        )

    def emit(self, event: Event) -> None:
        """Hands an event to every hook; a hook that fails is logged and costs the run nothing."""
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:  # noqa: BLE001 - a reader's mistake must not cost the run
                _log.exception("a hook failed on %s", event.kind)


@dataclass(frozen=True, slots=True)
class Scope:
    """A session's place in its tree; every event of the session carries it.

    Attributes:
        run: What the tree shares.
        session_id: The session's name; the root's is the run's.
        parent_id: The session that opened this one, or None for the root.
        account: Where its turns are entered in the ledger; its depth is the session's, 0 for the root.
    """

    run: Run
    session_id: str
    parent_id: str | None
    account: Account

    @classmethod
    def root(cls, run: Run) -> Scope:
        """Gives the place of a run's first session."""
        return cls(run, run.id, None, run.budget.root)

    @property
    def depth(self) -> int:
        """Gives 0 for the root, 1 for its children."""
        return self.account.depth

    def child(self, *, cost_limit_usd: Decimal | None = None) -> Scope:
        """Gives the place of a new session below this one.

        Args:
            cost_limit_usd: A share in US dollars which the child and all below it may not exceed; None for none.
        """
        account = self.account.below(cost_limit_usd=cost_limit_usd)
        return Scope(self.run, _new_id(), self.session_id, account)

    def noticed(self, state: State, model: str, number: int | None = None) -> Callable[[Notice], None]:
        """Gives what turns the notices of one request into events of this session.

        Args:
            state: The session's state.
            model: The model that is asked.
            number: The sub-call's number; None for a turn of the session.
        """

        def emit(notice: Notice) -> None:
            values = {f.name: getattr(notice, f.name) for f in fields(notice)}
            self.emit(_NOTICED[type(notice)], state, model=model, number=number, **values)

        return emit

    def emit(self, kind: Callable[..., Event], state: State, **fields: Any) -> None:
        """Hands a new event of this session to every hook.

        Args:
            kind: The event's class.
            state: The session's state after it.
            fields: What the event carries besides the place.
        """
        self.run.emit(
            kind(
                run_id=self.run.id,
                session_id=self.session_id,
                parent_id=self.parent_id,
                depth=self.depth,
                state=state,
                **fields,
            )
        )
