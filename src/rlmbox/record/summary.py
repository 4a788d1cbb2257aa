"""The summary of a run in a list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from rlmbox.events import (
    AttemptFinished,
    Event,
    LoopEntered,
    QuestionAsked,
    RunResumed,
    RunStarted,
    SessionFailed,
    SessionFinished,
    SessionStarted,
)
from rlmbox.record.past import is_final

Status = Literal["answered", "failed", "stopped"]
"""`failed` where going on would end in the same way, unless a limit is wider, and `stopped` where it can go on; one at
work is `stopped`, too."""

STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list.

    Attributes:
        run_id: The run's name.
        question: Its last question.
        model: The root model.
        sandbox: The sandbox.
        status: Its status.
        cost_usd: Its cost so far.
        began_s: Its start time, in seconds since the epoch.
        changed_s: The time of its last event.
        events: Number of its events.
        origin: The run that it was forked from, or None.
    """

    run_id: str
    question: str = ""
    model: str = ""
    sandbox: str = ""
    status: Status = "stopped"
    cost_usd: Decimal = Decimal(0)
    began_s: float = 0.0
    changed_s: float = 0.0
    events: int = 0
    origin: str | None = None


def summary_of(events: Sequence[Event], *, count: int | None = None) -> RunSummary:
    """Return the summary of a run.

    Args:
        events: The run's events, in order; at least one. Those irrelevant to the summary may be missing.
        count: Total number of events; None for the number given.
    """
    run_id = events[0].run_id
    question = model = sandbox = ""
    status: Status = "stopped"
    origin: str | None = None
    cost_usd = Decimal(0)
    for event in events:
        if isinstance(event, AttemptFinished):
            cost_usd += event.cost_usd
        elif event.session_id != run_id:
            continue
        elif isinstance(event, RunStarted):
            origin = event.origin_run
        elif isinstance(event, SessionStarted):
            model, sandbox = event.model, event.sandbox
        elif isinstance(event, LoopEntered):
            sandbox = event.sandbox
        elif isinstance(event, QuestionAsked):
            question, status = event.question, "stopped"
        else:
            status = _status_after(event, status)
    return RunSummary(
        run_id,
        question,
        model,
        sandbox,
        status,
        cost_usd,
        events[0].at_s,
        events[-1].at_s,
        len(events) if count is None else count,
        origin,
    )


def _status_after(event: Event, status: Status) -> Status:
    match event:
        case SessionFinished():
            return "answered"
        case SessionFailed():
            return "failed" if is_final(event) else "stopped"
        case RunResumed() if status == "failed":  # with a wider limit
            return "stopped"
        case _:
            return status
