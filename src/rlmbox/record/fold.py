"""The state of a run as a pure function of its events: conversation, turns, spend, and the next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import Literal

from rlmbox.events import (
    AttemptFinished,
    CellExecuted,
    Event,
    ModelReplied,
    ModelRequested,
    ObservationMade,
    QuestionAsked,
    RunResumed,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    TurnFinished,
)
from rlmbox.record.keys import is_last_word
from rlmbox.types import Answer, Message, Turn

NextAction = Literal["start", "question", "model", "code", "observation"]
"""What a session does next: wait for its sandbox or a question, ask its model, run code, tell the model."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """The state of a session, derived from its events.

    Attributes:
        messages: Its conversation as it was last sent, or as it begins.
        question: The current question, from 1; 0 before the first.
        turns: The finished turns of this question.
        comes_next: Its next step.
        answer: The answer to the question, or None.
        error: The error that ended the question without one, or None.
        conversation: The conversation without a last request for the best answer, which may be truncated: a session
            that continues beyond its limit continues from it.
    """

    messages: tuple[Message, ...] = ()
    question: int = 0
    turns: tuple[Turn, ...] = ()
    comes_next: NextAction = "start"
    answer: Answer | None = None
    error: str | None = None
    conversation: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run, derived from its events.

    Attributes:
        spent_usd: The sum of the charges for its attempts.
        uncertain_usd: The part of it that is charged because the outcome is unknown.
        tokens: The tokens that were charged.
        sessions: Its sessions, by name.
    """

    spent_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    tokens: int = 0
    sessions: tuple[tuple[str, SessionState], ...] = ()

    def of(self, session_id: str) -> SessionState:
        """Return the state of a session; one without events is at its beginning.

        Args:
            session_id: The session.
        """
        return dict(self.sessions).get(session_id, SessionState())


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Return the state that results from events.

    Args:
        events: The events, in order.
        state: The state before them; None for the empty state.
    """
    return reduce(after, events, state or RunState())


def after(state: RunState, event: Event) -> RunState:
    """Return the state after one more event.

    Args:
        state: The state before.
        event: The event.
    """
    if isinstance(event, AttemptFinished):
        return replace(
            state,
            spent_usd=state.spent_usd + event.cost_usd,
            uncertain_usd=state.uncertain_usd + (event.cost_usd if event.outcome == "uncertain" else 0),
            tokens=state.tokens + event.usage.total_tokens,
        )
    before = state.of(event.session_id)
    changed = _session_after(before, event)
    if changed is before:
        return state
    return replace(state, sessions=tuple({**dict(state.sessions), event.session_id: changed}.items()))


def _session_after(state: SessionState, event: Event) -> SessionState:
    match event:
        case SessionStarted():
            return SessionState((Message("system", event.system),), comes_next="question")
        case QuestionAsked():
            asked = replace(state, question=event.number, turns=(), answer=None, error=None, comes_next="model")
            return replace(asked, messages=(*state.messages, Message("user", event.message)))
        case ModelRequested():
            before = state.conversation or state.messages
            kept = before[: event.messages - len(event.added)]
            aside = before if is_last_word(event.key) else ()
            return replace(state, messages=(*kept, *event.added), conversation=aside, comes_next="model")
        case ModelReplied() if event.ended == "done":
            return replace(state, comes_next="code")
        case CellExecuted() if event.cell.by != "engine":
            return replace(state, comes_next="observation")
        case ObservationMade():
            return replace(state, comes_next="model")
        case TurnFinished():
            return replace(state, turns=(*state.turns, event.turn))
        case SessionFinished():
            return replace(state, answer=event.answer, error=None, comes_next="question")
        case SessionFailed():
            error = f"{event.error_type}: {event.message}"
            return replace(state, answer=event.partial, error=error, comes_next="question")
        case _:
            return _resumed(state) if isinstance(event, RunResumed) else state


def _resumed(state: SessionState) -> SessionState:
    """Return the state of a session whose question, if it had failed, continues."""
    return state if state.error is None else replace(state, answer=None, error=None, comes_next="model")
