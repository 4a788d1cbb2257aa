"""The one stream of events; traces, hooks and the terminal's live tree are readers of it.

Every event names the run, the session and its depth, and the state that the session is in:
INIT → THOUGHT → ACTION → OBSERVATION → THOUGHT … → TERMINATED.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Literal

from rlmbox.types import Answer, Cell, Completion, Cost, Execution, Observation, Turn, Usage

State = Literal["INIT", "THOUGHT", "ACTION", "OBSERVATION", "TERMINATED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        run_id: The run, shared by the whole tree of sessions.
        session_id: The session; the root's is the run's.
        parent_id: The session that opened this one, or None for the root.
        depth: 0 for the root session, 1 for its children.
        state: The session's state after the event.
        at_s: Seconds since the epoch.
    """

    run_id: str
    session_id: str
    parent_id: str | None
    depth: int
    state: State
    at_s: float = field(default_factory=time.time)

    @property
    def kind(self) -> str:
        """The event's name in traces, such as `cell_executed`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """A session's sandbox is ready.

    Attributes:
        sandbox_reason: Why this sandbox was chosen, where `auto` chose it; empty otherwise.
    """

    question: str
    model: str
    sandbox: str
    context: Mapping[str, object]
    sandbox_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequested(Event):
    """A request to the session's model is about to be sent."""

    turn: int
    model: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied(Event):
    """The session's model has answered."""

    turn: int
    completion: Completion
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted(Event):
    """A cell is about to run."""

    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellExecuted(Event):
    """A cell has run."""

    cell: Cell
    execution: Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcallStarted(Event):
    """Code in the sandbox asked another model; `number` counts the calls of the whole run."""

    number: int
    function: str
    model: str
    prompt_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcallFinished(Event):
    """The other model answered, or failed with `error`."""

    number: int
    model: str
    text: str = ""
    usage: Usage = Usage()
    cost_usd: Decimal = Decimal(0)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent(Event):
    """Something that happened on the way to a reply.

    Attributes:
        model: The model that was asked.
        number: The sub-call's number, or None for a turn of the session.
    """

    model: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetried(RequestEvent):
    """A request failed for `reason` and is sent again, as attempt number `attempt`, after `wait_s` seconds."""

    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTruncated(RequestEvent):
    """A request was longer than the model's window and was cut; lengths are estimates."""

    before_tokens: int
    after_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFellBack(RequestEvent):
    """A model failed for good and another was asked in its place."""

    from_model: str
    to_model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFromCache(RequestEvent):
    """A reply came from the cache, which saved `saved_usd`."""

    saved_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyContinued(RequestEvent):
    """A reply was cut at its longest, and the model is asked for part number `part` of it."""

    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerAsked(Event):
    """A limit, `reason`, has ended the session, and its model is asked for the best answer from what it has."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationMade(Event):
    """The model's next message is ready."""

    turn: int
    observation: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished(Event):
    """A turn is over; `spent` is the whole run's until now."""

    turn: Turn
    spent: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFinished(Event):
    """The session has an answer."""

    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFailed(Event):
    """The session ended without an answer."""

    error_type: str
    message: str
    partial: Answer | None


Hook = Callable[[Event], None]
"""A reader of the stream. It is called on the session's event loop and must be quick."""


def to_json(value: object) -> object:
    """Gives the JSON form of an event or of anything in one: dataclasses as objects, money as strings.

    Args:
        value: An event, a noun of `rlmbox.types`, or what they hold.
    """
    if isinstance(value, Event):
        body = {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
        return {"kind": value.kind, **body}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
