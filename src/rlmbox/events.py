"""The stream of events: everything that happens in a run, recorded once and in order.

The journal stores it; hooks, traces and the terminal's live tree read it. Every event names the run, the session and
its depth, and the state that the session is in: INIT → THOUGHT → ACTION → OBSERVATION → THOUGHT … → TERMINATED.

Order within a session: `SessionStarted`; for each question `QuestionAsked`; for each turn `ModelRequested`, the
events of its request, `ModelReplied`, then for each cell `CellStarted`, the events of its host calls, `CellExecuted`,
then `ObservationMade` unless the turn gave the answer, and `TurnFinished`; at the end of a question
`SessionFinished` or `SessionFailed`. Events of sub-calls and of child sessions are between the start and the end of
the cell that made them, interleaved if several run concurrently; `key` and `opened_by` show which belong together.

An effect is something that must not happen twice: a request that is paid for, or a call of a host function. It has a
key and two events with that key: one recorded before anything is sent, and one with the outcome.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Literal

from rlmbox.errors import StoreError
from rlmbox.types import Answer, Cell, Completion, Cost, Execution, Message, Observation, Turn, Usage

FORMAT = 4
"""Version of the events' JSON form. A reader accepts this version and older ones."""

State = Literal["INIT", "THOUGHT", "ACTION", "OBSERVATION", "TERMINATED"]
Ended = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        run_id: The run, which is shared by the whole tree of sessions.
        session_id: The session; that of the root is the same as `run_id`.
        parent_id: The session that opened this one, or None for the root.
        depth: 0 for the root session, 1 for its children.
        state: The session's state after the event.
        at_s: Seconds since the epoch.
        sequence: Position in the run's journal, from 1; 0 for events that are not recorded, or not yet.
        audit: Digest of its last line in the audit, or empty. See `rlmbox.record.audit`.
        hidden: Values that are hidden from this event on, by their placeholders; only in the record's own file.
    """

    KEPT: ClassVar[bool] = True
    """False for events that hooks see but the journal does not store."""

    run_id: str
    session_id: str
    parent_id: str | None
    depth: int
    state: State
    at_s: float = field(default_factory=time.time)
    sequence: int = 0
    audit: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """The event's name in traces, such as `cell_executed`."""
        return kind_of(type(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectBegan(Event):
    """An effect is about to happen.

    Attributes:
        key: A path of session, question, turn and so on, which does not depend on the order of arrival.
    """

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEnded(Event):
    """An effect is over.

    Attributes:
        key: The key of the event that recorded its beginning.
        ended: `done`, `failed` or `cancelled`.
        error_type: Class name of the error, or None.
        error: The error's message, or None.
        error_data: Other attributes of the error that are needed to recreate it, such as `limit` and `used`.
    """

    key: str
    ended: Ended = "done"
    error_type: str | None = None
    error: str | None = None
    error_data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A recorded run begins. The event has everything needed to resume it.

    Attributes:
        version: The version of rlmbox that wrote it.
        settings: The configuration of the run: names of models and sandbox, limits, seed, options, tools by name.
        context: The paths to open the text from, or the text itself.
        inputs: The additional variables of the REPL, as JSON values.
        tables: Inputs that are pandas objects, in their JSON form.
        texts: Inputs that are files or long texts, each in the form of `context`.
        origin_run: The run that this one was forked from, or None.
        origin_turn: The turn at which it departs from that run, or None.
    """

    version: str
    settings: Mapping[str, object] = field(default_factory=dict)
    context: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    origin_run: str | None = None
    origin_turn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A run continues from its record, because its process ended early or because it was forked.

    Attributes:
        uncertain: Requests that were in flight when the process ended, and are sent again. They remain charged: at
            their cost if that is known, otherwise at their worst case.
        is_fork: True if the record up to here belongs to another run.
        changes: Replacements for fields of `RunStarted` from here on: `settings` for new limits, `context` and `texts`
            for files that have moved.
    """

    uncertain: int = 0
    is_fork: bool = False
    changes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDiffered(Event):
    """A cell that ran again printed something else than recorded, apart from memory addresses.

    Attributes:
        cell: The cell.
        recorded: The recorded output, shortened.
        now: The output now, shortened.
    """

    cell: Cell
    recorded: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """A session's sandbox is ready.

    Attributes:
        model: The session's model.
        sandbox: The sandbox's name.
        sandbox_reason: Why this sandbox was chosen, where `auto` chose it, and in what its wall is weaker than it could
            be; empty where there is nothing of that to say.
        context: Facts about the text, as from `Context.metadata()`.
        limits: The limits in force, by name; those of a cell under `cell`.
        seed: Seed of the sandbox's `random` and of its hash order.
        system: The system message as it is sent.
        opened_by: Key of the host call that opened this session, or None for the root.
        route: `direct` if the text is sent with the question and no sandbox was started, otherwise `loop`.
    """

    model: str
    sandbox: str
    context: Mapping[str, object]
    sandbox_reason: str = ""
    limits: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    system: str = ""
    opened_by: str | None = None
    route: Literal["direct", "loop"] = "loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEntered(Event):
    """A session with the route `direct` has code to run, and has started its sandbox.

    Attributes:
        sandbox: The sandbox's name.
        sandbox_reason: Why this sandbox was chosen, where `auto` chose it, and in what its wall is weaker than it could
            be; empty where there is nothing of that to say.
        system: The system message as it is sent from here on.
    """

    sandbox: str
    sandbox_reason: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked(Event):
    """A question was put to the session.

    Attributes:
        number: From 1 within the session.
        question: The question.
        limits: The limits of this question, by name.
        message: The user message with the question, as it is sent.
        returns: The JSON Schema that its answer must match, or None.
    """

    number: int
    question: str
    limits: Mapping[str, object] = field(default_factory=dict)
    message: str = ""
    returns: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequested(EffectBegan):
    """A request to the session's model is about to be sent.

    Attributes:
        turn: The turn, from 1.
        model: The model that is asked.
        messages: Number of messages in the conversation that is sent.
        added: The messages added since the previous request, as they are sent.
        max_output_tokens: Maximum length of the reply.
        temperature: The requested sampling temperature, or None for the provider's default.
    """

    turn: int
    model: str
    messages: int
    added: tuple[Message, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplied(EffectEnded):
    """The session's model has answered, or the request ended without an answer.

    Attributes:
        turn: The turn, from 1.
        completion: The reply, or None.
        cost_usd: The cost, including every attempt that was charged.
        reading: The parsed reply: `cells`, `final`, `problems`, `thought`, `reasoning`, `notes` and `draft`, if
            they are not empty. Empty for a last answer, and in older records.
    """

    turn: int
    completion: Completion | None = None
    cost_usd: Decimal = Decimal(0)
    reading: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionStarted(EffectBegan):
    """The conversation became too long, and its middle is about to be replaced by a digest.

    Attributes:
        turn: The turn, from 1, whose request is next.
        messages: Length of the conversation, in messages.
        tokens: Its estimated length in tokens.
    """

    turn: int
    messages: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCompacted(EffectEnded):
    """The middle of the conversation was replaced by a digest; the system message and the first question are kept.

    Attributes:
        turn: The turn, from 1, whose request is next.
        first_kept: Index, in the previous conversation, of the first message after the middle.
        left_out: Number of messages that were replaced.
        digest: The text that replaces them.
        before_tokens: Estimated length of the previous conversation in tokens.
        after_tokens: Estimated length of the new conversation in tokens.
        cost_usd: Cost of the digest, if a model wrote it.
    """

    turn: int
    first_kept: int = 0
    left_out: int = 0
    digest: str = ""
    before_tokens: int = 0
    after_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(EffectBegan):
    """The code of a model is presented for approval.

    Attributes:
        turn: The turn, from 1.
        code: The code that would run.
    """

    turn: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalGiven(EffectEnded):
    """The code was approved, rejected or replaced.

    Attributes:
        turn: The turn, from 1.
        decision: `run`, `reject` or `replace`.
        reason: Why it was rejected; empty otherwise.
        code: The code that replaces the model's; empty otherwise.
    """

    turn: int
    decision: Literal["run", "reject", "replace"] = "run"
    reason: str = ""
    code: str = ""


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
class HostCallStarted(EffectBegan):
    """Code in the sandbox called a function of the host. Pure reads of the context are not recorded.

    Attributes:
        function: The function's name.
        arguments: The arguments by position, as JSON values.
        keywords: The arguments by name, as JSON values.
    """

    function: str
    arguments: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCallFinished(EffectEnded):
    """The function has returned `value`, a JSON value, or failed."""

    function: str
    value: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcallStarted(EffectBegan):
    """Code in the sandbox asked another model.

    Attributes:
        number: Number of the call within the whole run, from 1.
        function: The host function that was called.
        model: The model that is asked.
        prompt_chars: Length of the prompt in characters.
        item: Index in the batch, from 0; 0 for a single call.
        prompt: The messages as they are sent; empty for a child session, which has its own.
        max_output_tokens: Maximum length of the reply, or None for the run's limit.
        temperature: The requested sampling temperature, or None for the provider's default.
    """

    number: int
    function: str
    model: str
    prompt_chars: int
    item: int = 0
    prompt: tuple[Message, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubcallFinished(EffectEnded):
    """The other model answered, or the call failed.

    Attributes:
        number: As in `SubcallStarted`.
        model: The model that answered; not the one that was asked if a fallback was used.
        text: The answer.
        usage: Tokens of the attempt that answered.
        cost_usd: Cost of the call, including every attempt that was charged, even if the call failed.
    """

    number: int
    model: str
    text: str = ""
    usage: Usage = Usage()
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent(Event):
    """Something that happened on the way to a reply.

    Attributes:
        model: The model that was asked.
        number: The sub-call's number, or None for a turn of the session.
        key: The key of the request or sub-call that it belongs to.
    """

    model: str
    number: int | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(RequestEvent):
    """Room was reserved in the ledger, and a request is about to be sent.

    Attributes:
        attempt: Number of the attempt, from 1.
        reserved_usd: Maximum cost.
        reserved_tokens: Maximum number of tokens.
        max_output_tokens: Maximum length of the reply, as it is sent.
        sent: The messages as they are sent, if they were truncated to the window; otherwise None.
    """

    attempt: int
    reserved_usd: Decimal = Decimal(0)
    reserved_tokens: int = 0
    max_output_tokens: int = 0
    sent: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(RequestEvent):
    """An attempt was settled in the ledger. The sum of all `cost_usd` is the cost of the run.

    Attributes:
        attempt: As in `AttemptStarted`.
        outcome: `settled` with the provider's counts, `uncertain` if the worst case remains charged because the actual
            cost is unknown, or `released` if nothing was charged.
        usage: Tokens that were charged.
        cost_usd: Money that was charged.
        account_depth: Depth at which it was entered: 0 for the root's turns, 1 for its sub-calls.
        error: The error of the attempt, in one line, or None.
    """

    attempt: int
    outcome: Literal["settled", "uncertain", "released"]
    usage: Usage = Usage()
    cost_usd: Decimal = Decimal(0)
    account_depth: int = 0
    error: str | None = None


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
    """A model failed permanently and another was asked in its place."""

    from_model: str
    to_model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFromCache(RequestEvent):
    """A reply came from the cache, which saved `saved_usd`."""

    saved_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyContinued(RequestEvent):
    """A reply was cut at its maximum length, and the model is asked for part number `part` of it."""

    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDelta(RequestEvent):
    """The next piece of a streamed reply. It is not recorded.

    Attributes:
        attempt: As in `AttemptStarted`; a further attempt starts the reply again.
        text: The piece.
        is_reasoning: True for the model's reasoning, which is not part of the reply.
    """

    KEPT: ClassVar[bool] = False

    attempt: int
    text: str
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerAsked(Event):
    """A limit, `reason`, has ended the question, and its model is asked for its best answer so far."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGuarded(Event):
    """The guard has hidden or reported something in a turn, or cut output that would have copied the text.

    Attributes:
        turn: The turn.
        found: Counts by path, then by kind and effect, such as `email hidden`; never values.
        copied_chars: Distinct characters of the text that outputs of the turn showed verbatim.
        cuts: Number of outputs and prompts that were cut or refused because of the text that they show.
        why: How each kind was recognised, in a few words.
    """

    turn: int
    found: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    copied_chars: int = 0
    cuts: int = 0
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationMade(Event):
    """The model's next message is ready."""

    turn: int
    observation: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished(Event):
    """A turn has ended; `spent` is the cost of the whole run so far."""

    turn: Turn
    spent: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFinished(Event):
    """The session has an answer to its question."""

    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFailed(Event):
    """The question ended without an answer.

    Attributes:
        error_type: Class name of the error.
        message: Its message.
        partial: The results so far.
    """

    error_type: str
    message: str
    partial: Answer | None


Hook = Callable[[Event], None]
"""A function that is called with each event, on the session's event loop, after the event was recorded.

It must be quick, and cannot change what is recorded. Exceptions that it raises are logged and do not affect the run."""


def kind_of(event: type[Event]) -> str:
    """Return the name of a class of events in traces, such as `cell_executed`."""
    return _in_snake_case(event.__name__)


@cache
def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def to_json(value: object) -> object:
    """Return the JSON form of an event or of anything in one.

    Dataclasses become objects, money strings; an event has its `kind` and the `format` of the form besides its
    fields. What a dataclass derives from its fields and names in `DERIVED` is there too, for readers.

    Args:
        value: An event, a noun of `rlmbox.types`, or what they hold.
    """
    if value is None or isinstance(value, str | bool | int | float):  # most of what there is
        return value
    if isinstance(value, Event):
        members = _members(value)
        for name in ("audit", "hidden"):
            if not members[name]:
                del members[name]
        return {"kind": value.kind, "format": FORMAT, **members}
    if isinstance(value, dict | Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _members(value)
    return str(value)


def _members(value: Any) -> dict[str, object]:
    kind = type(value)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = (*(f.name for f in fields(value)), *getattr(value, "DERIVED", ()))
    return {name: to_json(getattr(value, name)) for name in names}


_names: dict[type, tuple[str, ...]] = {}  # of the members of each kind, which are asked for thousands of times


def from_json(data: Mapping[str, object]) -> Event:
    """Return the event of a JSON form that `to_json` made.

    Args:
        data: The form, as `json.loads` gives it.

    Raises:
        StoreError: It is not the form of an event, or a newer version of rlmbox wrote it.
    """
    version, kind = data.get("format"), data.get("kind")
    if isinstance(version, int) and version > FORMAT:
        raise StoreError(f"this event has format {version}, and this rlmbox reads up to {FORMAT}; use a newer rlmbox")
    if kind not in _kinds():
        raise StoreError(f"there is no event of the kind {kind!r}; the record is damaged or of another program")
    try:
        event: Event = _reader(str(kind))(data)
    except _invalid() as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"the record of a {kind} event is damaged at {place}: {first['msg']}") from None
    return event


@cache
def _kinds() -> Mapping[str, type[Event]]:
    here = tuple(globals().values())
    return {kind_of(each): each for each in here if isinstance(each, type) and issubclass(each, Event)}


@cache
def _reader(kind: str) -> Any:
    from pydantic import TypeAdapter  # takes 60 ms, and a live run does not need it

    return TypeAdapter(_kinds()[kind]).validator.validate_python


@cache
def _invalid() -> Any:
    from pydantic import ValidationError

    return ValidationError
