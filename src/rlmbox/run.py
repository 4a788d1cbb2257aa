"""What one tree of sessions has in common, and each session's place in it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from rlmbox.budget import Budget
from rlmbox.events import Event, Hook, State
from rlmbox.models.base import Model
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Answer, Source, Turn

_log = logging.getLogger("rlmbox")


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
        id: The run's name.
        began_s: When it began, on the monotonic clock.
    """

    model: Model
    sub_model: Model
    budget: Budget
    new_sandbox: Callable[[], Sandbox]
    hooks: tuple[Hook, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    id: str = field(default_factory=_new_id)
    began_s: float = field(default_factory=time.monotonic)
    requests: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        """Makes the one limiter of sub-calls under way."""
        object.__setattr__(self, "requests", anyio.CapacityLimiter(self.budget.limits.concurrency))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began_s

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
    ) -> Answer:
        """Puts an answer together with what the whole tree has used until now."""
        return Answer(
            text=text,
            value=value,
            sources=sources,
            usage=self.budget.usage,
            cost=self.budget.cost,
            turns=len(turns),
            subcalls=self.budget.subcalls,
            duration_s=self.elapsed_s,
            run_id=self.id,
            model=model.name,
            sandbox=sandbox.name,
            complete=complete,
            trajectory=tuple(turns),
        )

    def emit(self, event: Event) -> None:
        """Hands an event to every hook; a hook that fails is logged and costs the run nothing."""
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:  # noqa: BLE001 - a reader's mistake must not cost the run
                _log.exception("a hook failed on %s", event.kind)


@dataclass(frozen=True, slots=True)
class Place:
    """A session's place in its tree; every event of the session carries it.

    Attributes:
        run: What the tree shares.
        session_id: The session's name; the root's is the run's.
        parent_id: The session that opened this one, or None for the root.
        depth: 0 for the root.
    """

    run: Run
    session_id: str
    parent_id: str | None = None
    depth: int = 0

    @classmethod
    def root(cls, run: Run) -> Place:
        """Gives the place of a run's first session."""
        return cls(run, run.id)

    def child(self) -> Place:
        """Gives the place of a new session below this one."""
        return Place(self.run, _new_id(), self.session_id, self.depth + 1)

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
