"""The one stream of events: everything that happened in a run, once and in order.

The journal keeps it; hooks, traces and the terminal's live tree read it. Every event names the run, the session and
its depth, and the state that the session is in: INIT → THOUGHT → ACTION → OBSERVATION → THOUGHT … → TERMINATED.

Order within a session: `SessionStarted`; for each question `QuestionAsked`; for each turn `ModelRequested`, the
events of its request, `ModelReplied`, then for each cell `CellStarted`, the events of its host calls, `CellExecuted`,
then `ObservationMade` unless the turn gave the answer, and `TurnFinished`; at the end of a question
`SessionFinished` or `SessionFailed`. Events of sub-calls and of child sessions stand between the start and the end of
the cell that made them, interleaved where several are under way; `key` and `opened_by` tell which belong together.

An effect is what must not happen twice: a request that is paid for, a call of a host function. It has a key, and two
events with that key: one that says that it began, recorded before anything leaves, and one that says how it ended.
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
"""Version of the events' JSON form. A reader takes this one and older ones."""

State = Literal["INIT", "THOUGHT", "ACTION", "OBSERVATION", "TERMINATED"]
Ended = Literal["done", "failed", "cancelled"]


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
        sequence: Place in the run's journal, from 1; 0 before the event is recorded, and of one that is not.
        audit: Digest of its last line in the audit; empty where it has none. See `rlmbox.record.audit`.
        hidden: Values that are hidden from this event on, by their placeholders; empty but in the record's own file.
    """

    KEPT: ClassVar[bool] = True
    """False for events that readers see and the journal does not keep."""

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
        key: Its place in the run: a path of session, question, turn and so on, never an order of arrival.
    """

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEnded(Event):
    """An effect is over.

    Attributes:
        key: As in the event that said that it began.
        ended: `done`, `failed` or `cancelled`.
        error_type: Class of the error it ended with, or None.
        error: The error's message, or None.
        error_data: The error's other attributes that a later reader needs, such as `limit` and `used`.
    """

    key: str
    ended: Ended = "done"
    error_type: str | None = None
    error: str | None = None
    error_data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run that is recorded begins: what it takes to go on with it.

    Attributes:
        version: The rlmbox that wrote it.
        settings: How the run was made: names of models and sandbox, limits, seed, options, tools by name.
        context: How the text is opened again, or the text itself.
        inputs: The further variables of the REPL, as JSON values.
        tables: Those that are pandas objects, in their JSON form.
        texts: Those that are files or long texts: each as `context` is.
        origin_run: The run that this one was forked from, or None.
        origin_turn: The turn from which on it is its own, or None.
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
    """The process before this one ended early, or the run was forked, and the run goes on from its record.

    Attributes:
        uncertain: Requests that were under way when it ended, and are made again. They stay charged: at what they cost,
            where that is known, and else at their worst case.
        is_fork: True where the record until here is another run's.
        changes: What holds from here on in place of what `RunStarted` has: `settings`, which are new limits, and
            `context` and `texts`, where their files have moved.
    """

    uncertain: int = 0
    is_fork: bool = False
    changes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDiffered(Event):
    """A cell that ran again did not print what the record has, addresses aside.

    Attributes:
        cell: The cell.
        recorded: What the record has, as far as it is shown.
        now: What it gave now.
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
        context: Facts of the text, as `Context.metadata()` has them.
        limits: The limits in force, by name; what one cell may use under `cell`.
        seed: Seed of the sandbox's `random` and of its hash order.
        system: The system message as it is sent.
        opened_by: Key of the host call that opened this session, or None for the root.
        route: `direct` where the text is sent with the question, and no sandbox was started; else `loop`.
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
    """A session whose text was sent with the question has code to run, and starts its sandbox.

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
        question: What is asked.
        limits: The limits of this question, by name.
        message: The user message that carries it, as it is sent.
        returns: The JSON Schema that its answer must fit; None for any.
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
        messages: Length of the conversation that is sent, in messages.
        added: The messages that the conversation has more than in the request before, as they are sent.
        max_output_tokens: Longest reply asked for.
        temperature: The sampling temperature that was asked for, or None for the provider's own.
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
        completion: The reply; None where there is none.
        cost_usd: What it cost, with every attempt that was charged for.
        reading: The reply as it was read: those of `cells`, `final`, `problems`, `thought`, `reasoning`, `notes` and
            `draft` that are not empty. Empty for a last answer, and in records of before.
    """

    turn: int
    completion: Completion | None = None
    cost_usd: Decimal = Decimal(0)
    reading: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionStarted(EffectBegan):
    """The conversation became too long, and its middle is about to be replaced by a digest.

    Attributes:
        turn: The turn, from 1, before whose request that is.
        messages: Length of the conversation, in messages.
        tokens: Its length in tokens, as estimated.
    """

    turn: int
    messages: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCompacted(EffectEnded):
    """The middle of the conversation was replaced by a digest; system message and first question stay.

    Attributes:
        turn: The turn, from 1, before whose request that is.
        first_kept: Index of the first message after the middle, in the conversation before.
        left_out: How many messages were left out.
        digest: What is said in their place.
        before_tokens: Length of the conversation before, in tokens, as estimated.
        after_tokens: Its length afterwards.
        cost_usd: What the digest cost, where a model was asked for it.
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
    """Somebody is asked about what the model would do.

    Attributes:
        turn: The turn, from 1.
        code: The code that would run.
    """

    turn: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalGiven(EffectEnded):
    """Somebody has decided.

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
        number: Number of the call among those of the whole run, from 1.
        function: The host function that it called.
        model: The model that is asked.
        prompt_chars: Length of what it is asked, in characters.
        item: Place in the batch, from 0; 0 for a single call.
        prompt: The messages as they are sent; none for a child session, which has its own.
        max_output_tokens: Longest reply asked for, or None for the run's.
        temperature: The sampling temperature that was asked for, or None for the provider's own.
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
        model: The model that answered, which is another than was asked where it fell back.
        text: The answer.
        usage: Tokens of the attempt that answered.
        cost_usd: What the call cost, with every attempt that was charged for, failed calls included.
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
        reserved_usd: The most that it can cost.
        reserved_tokens: The most tokens that it can use.
        max_output_tokens: Longest reply asked for, as it is sent.
        sent: The messages as they are sent, where the window cut them; None where they are as they were asked.
    """

    attempt: int
    reserved_usd: Decimal = Decimal(0)
    reserved_tokens: int = 0
    max_output_tokens: int = 0
    sent: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(RequestEvent):
    """An attempt as the ledger settled it. The `cost_usd` of all of them is the cost of the run.

    Attributes:
        attempt: As in `AttemptStarted`.
        outcome: `settled` at what the provider counted, `uncertain` where the worst case stays charged because nobody
            knows, or `released` where nothing was charged.
        usage: Tokens that were charged.
        cost_usd: Money that was charged.
        account_depth: Depth at which it was entered: 0 for the root's turns, 1 for its sub-calls.
        error: What the attempt ended with, in one line, or None.
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
class ReplyDelta(RequestEvent):
    """The next piece of a reply, as it comes in from a provider that streams it. It is shown and not recorded.

    Attributes:
        attempt: As in `AttemptStarted`; a further attempt begins the reply anew.
        text: The piece.
        is_reasoning: Whether it is of the model's reasoning, which is no part of the reply.
    """

    KEPT: ClassVar[bool] = False

    attempt: int
    text: str
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswerAsked(Event):
    """A limit, `reason`, has ended the question, and its model is asked for the best answer from what it has."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGuarded(Event):
    """The guard has hidden, named or warned of something in a turn, or cut what would have copied the text.

    Attributes:
        turn: The turn.
        found: How often, by path and then by kind and effect, such as `email hidden`; never a value.
        copied_chars: Different characters of the text that outputs of the turn showed word for word.
        cuts: Outputs and prompts that were cut or refused for what they show of the text.
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
    """A turn is over; `spent` is the whole run's until now."""

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
        error_type: Class of the error.
        message: Its message.
        partial: What there was until then.
    """

    error_type: str
    message: str
    partial: Answer | None


Hook = Callable[[Event], None]
"""A reader of the stream. It is called on the session's event loop, after the event was recorded, and must be quick.
It cannot change or hold back what is recorded, and an exception of its own is logged and costs the run nothing."""


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
