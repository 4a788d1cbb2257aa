"""The past of a resumed run: results of effects, messages and observations, and charges.

It is derived from the events alone, and nothing is written here. `Journal` consults it before it performs an effect.
"""

from __future__ import annotations

import builtins
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rlmbox import errors
from rlmbox.errors import RLMError, StoreError
from rlmbox.events import (
    AttemptFinished,
    AttemptStarted,
    CellExecuted,
    CellStarted,
    EffectBegan,
    EffectEnded,
    Event,
    HostCallFinished,
    LastAnswerAsked,
    LoopEntered,
    ObservationMade,
    QuestionAsked,
    RunResumed,
    RunStarted,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    SubcallStarted,
    TurnFinished,
)
from rlmbox.record.keys import key_of
from rlmbox.types import Usage

TOLD: frozenset[type[Event]] = frozenset(
    {
        RunStarted,
        SessionStarted,
        LoopEntered,
        QuestionAsked,
        CellStarted,
        CellExecuted,
        LastAnswerAsked,
        ObservationMade,
        TurnFinished,
        SessionFinished,
        SessionFailed,
    }
)
"""Events that a session comes to again in the same order, and that are then read back instead of being derived."""

_OF_SESSION = frozenset({RunStarted, SessionStarted, LoopEntered, QuestionAsked})
"""Those of them that are of no question."""

OF_TURNS: tuple[type[Event], ...] = (CellStarted, CellExecuted, ObservationMade, TurnFinished)
"""Those of them that a turn is made of."""

_FINAL = (errors.LimitExceeded, errors.AnswerRejected)


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge for an attempt.

    Attributes:
        key: The key of its request.
        depth: Depth at which it was charged.
        model: The model that was asked.
        usage: The tokens.
        cost_usd: The cost in US dollars.
        uncertain: Whether that is the worst case, because the outcome is unknown.
    """

    key: str
    depth: int
    model: str
    usage: Usage
    cost_usd: Decimal
    uncertain: bool


class Past:
    """The record of a run so far, indexed for replay.

    Args:
        events: The events of the run, in order.

    Attributes:
        events: The events.
        ended: The last valid end of each effect.
        begun: The last beginning of each effect.
        closed_cells: Paths of the cells that ran to their end.
        charges: The charges for attempts.
        subcalls: Number of calls to other models.
        used_s: Seconds of wall time that the run took, without those between its processes.
        open_attempts: Attempts in flight when the record ends.
        unanswered: Attempts that were paid for, but whose reply is not in the record: they will be made again.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.events = tuple(events)
        self.ended: dict[str, EffectEnded] = {}
        self._unwritten: dict[str, Callable[[], EffectEnded]] = {}
        self.begun: dict[str, EffectBegan] = {}
        self.closed_cells: set[str] = set()
        self.charges: list[Charge] = []
        self._charged_below: dict[str, tuple[Decimal, int]] = {}
        self.subcalls = 0
        self.used_s = 0.0
        self._told: defaultdict[tuple[str, int, object], deque[Event]] = defaultdict(deque)
        self._answers: dict[tuple[str, int], SessionFinished] = {}
        self._failures: dict[tuple[str, int], SessionFailed] = {}
        self._questions: dict[str, int] = {}  # the last question asked of each session
        self._at: dict[str, int] = {}  # the question that a continued session is at
        self._last_words: Counter[str] = Counter()
        self.open_attempts: tuple[AttemptStarted, ...] = ()
        self.unanswered: tuple[AttemptFinished, ...] = ()
        self._read()

    @property
    def is_over(self) -> bool:
        """True if the run has its answer, or failed in a way that continuing would not change."""
        return self._at_work in self._answers or self.final_failure is not None

    @property
    def final_failure(self) -> SessionFailed | None:
        """The failure of a run that would fail so again, at a limit or with rejected answers; None for others."""
        failed = self._failures.get(self._at_work)
        return failed if failed is not None and is_final(failed) else None

    @property
    def _at_work(self) -> tuple[str, int]:
        """The root session and the last question asked of it."""
        root = self.events[0].run_id if self.events else ""
        return root, self._questions.get(root, 0)

    def keep_unwritten(self, key: str, end: Callable[[], EffectEnded]) -> None:
        """Keep how an effect ended when nothing stores or reads events, in case the effect is reached again.

        Args:
            key: The effect's key.
            end: Creates the event.
        """
        self._unwritten[key] = end

    def has_end(self, key: str) -> bool:
        """Return True if it is known how an effect ended.

        Args:
            key: The effect's key.
        """
        return key in self.ended or key in self._unwritten

    def end(self, key: str) -> EffectEnded | None:
        """Return how an effect ended, or None if unknown, because it was cut off together with its callers.

        Args:
            key: The effect's key.
        """
        if key in self._unwritten:
            self.ended[key] = self._unwritten.pop(key)()
        ended = self.ended.get(key)
        was_cut = ended is not None and ended.ended == "cancelled" and key.rsplit("/", 3)[0] not in self.closed_cells
        return None if was_cut else ended

    def peek(self, session_id: str, kind: type[Event]) -> Event | None:
        """Return the next event of a kind that a session will reach in its question, or None if there is none.

        Args:
            session_id: The session.
            kind: The event's class, one of `TOLD`.
        """
        queue = self._told.get((session_id, self._place(session_id, kind), kind))
        return queue[0] if queue else None

    def take(self, session_id: str, kind: object) -> Event | None:
        """Return the recorded event for the one that a session has reached, or None if there is none.

        Args:
            session_id: The session.
            kind: The class of the event that it would record.
        """
        queue = self._told.get((session_id, self._place(session_id, kind), kind))
        if not queue:
            return None
        if isinstance(queue[0], QuestionAsked):
            self.come_to(queue[0])
        elif kind is SessionFailed:
            self._drop_last_word(session_id, self._at.get(session_id, 0), queue[0].sequence)
        return queue.popleft()

    def come_to(self, asked: QuestionAsked) -> None:
        """Replay from a given question of its session on.

        Args:
            asked: The question, recorded or new.
        """
        self._at[asked.session_id] = asked.number

    def _place(self, session_id: str, kind: object) -> int:
        return 0 if kind in _OF_SESSION else self._at.get(session_id, 0)

    def unread(self) -> list[Event]:
        """Return the events that sessions have not reached, except those inside a replayed effect.

        Events after the end of a question belonged to the next one, which was not asked this time.
        """
        left = (event for queue in self._told.values() for event in queue)
        return [e for e in left if not (_is_inside(e.session_id, self.ended) or self._is_after_end(e))]

    def _is_after_end(self, event: Event) -> bool:
        question = event.session_id, self._at.get(event.session_id, 0)
        end = self._failures.get(question) or self._answers.get(question)
        return end is not None and event is not end and event.sequence > end.sequence

    def failure_of(self, session_id: str) -> SessionFailed | None:
        """Return how a session's current question failed, by the record; None if it did not, or continues.

        Args:
            session_id: The session.
        """
        return self._failures.get((session_id, self._at.get(session_id, 0)))

    def last_failure(self, session_id: str) -> SessionFailed | None:
        """Return how the last question of a session failed, whatever its current one; None if it did not.

        Args:
            session_id: The session.
        """
        return self._failures.get((session_id, self._questions.get(session_id, 0)))

    def last_words(self, session_id: str) -> int:
        """Return how often a session was asked for its best answer at a limit and then continued beyond it.

        Args:
            session_id: The session.
        """
        return self._last_words[session_id]

    def charged_below(self, prefix: str) -> tuple[Decimal, int]:
        """Return the cost and the tokens charged to requests below a path.

        Args:
            prefix: The path.
        """
        return self._charged_below.get(prefix, (Decimal(0), 0))

    def subcalls_below(self, prefix: str) -> int:
        """Return the number of calls to other models below a path.

        Args:
            prefix: The path.
        """
        started = (e for e in self.begun.values() if isinstance(e, SubcallStarted))
        return sum(event.key.startswith(f"{prefix}/") for event in started)

    def end_of(self, session_id: str) -> Exception:
        """Return the error that a session ended with, for a reader that has reached the end of the record.

        Args:
            session_id: The session.
        """
        failed = self.failure_of(session_id)
        if failed is None:
            return StoreError("the record ends here, before an answer; go on with it: rlmbox resume RUN")
        kind = getattr(errors, failed.error_type, None)
        is_limit = isinstance(kind, type) and issubclass(kind, errors.LimitExceeded)
        error = error_of(failed.error_type, failed.message, {"depth": failed.depth} if is_limit else {})
        return error if isinstance(error, RLMError) else RLMError(failed.message)

    def _read(self) -> None:
        open_attempts: dict[tuple[str, int], AttemptStarted] = {}
        unanswered: dict[str, AttemptFinished] = {}
        began_s = self.events[0].at_s if self.events else 0.0
        last_s = began_s
        for event in self.events:
            if isinstance(event, RunResumed):
                self.used_s += max(last_s - began_s, 0.0)
                began_s = event.at_s
                self._resume()
                unanswered.clear()  # included in this event
            last_s = max(event.at_s, began_s)
            if isinstance(event, AttemptStarted):
                open_attempts[event.key, event.attempt] = event
                unanswered.pop(event.key, None)  # it ended without an answer
            elif isinstance(event, AttemptFinished):
                open_attempts.pop((event.key, event.attempt), None)
                self._charge(event)
                if event.outcome == "settled":
                    unanswered[event.key] = event
            else:
                self._note(event)
                if isinstance(event, EffectEnded):
                    unanswered.pop(event.key, None)
        self.used_s += max(last_s - began_s, 0.0)
        self.open_attempts = tuple(open_attempts.values())
        self.unanswered = tuple(unanswered.values())

    def _note(self, event: Event) -> None:
        if isinstance(event, EffectBegan):
            self.begun[event.key] = event
            if isinstance(event, SubcallStarted):
                self.subcalls = max(self.subcalls, event.number)
        elif isinstance(event, EffectEnded):
            self.ended[event.key] = event
        elif type(event) in TOLD:
            question = self._questions.get(event.session_id, 0)
            self._told[event.session_id, 0 if type(event) in _OF_SESSION else question, type(event)].append(event)
            if isinstance(event, QuestionAsked):
                self._questions[event.session_id] = event.number
            elif isinstance(event, SessionFinished):
                self._answers[event.session_id, question] = event
            elif isinstance(event, SessionFailed):
                self._failures[event.session_id, question] = event
            elif isinstance(event, CellExecuted):
                self.closed_cells.add(cell_path(event, question))

    def _charge(self, event: AttemptFinished) -> None:
        if event.outcome == "released":
            return
        uncertain = event.outcome == "uncertain"
        self.charges.append(Charge(event.key, event.account_depth, event.model, event.usage, event.cost_usd, uncertain))
        path = event.key
        while (cut := path.rfind("/")) >= 0:
            path = path[:cut]
            usd, tokens = self._charged_below.get(path, (Decimal(0), 0))
            self._charged_below[path] = (usd + event.cost_usd, tokens + event.usage.total_tokens)

    def _resume(self) -> None:
        """Forget how the previous process ended: what was cut off is not a result, and is tried again.

        A run that ended at a limit is only continued if the limit is wider now, so what failed at it is tried again.
        Earlier questions of the session stay as they ended.
        """
        root, question = self._at_work
        failed = self._failures.get((root, question))
        if failed is not None:
            if is_final(failed):
                self._drop_what_met_the_limit()
            self._drop_failed(f"{root}/{question}/", failed)
            self._drop_end(root, question)
        for session_id, number in list(self._failures):
            if session_id != root and _was_cut(self._failures[session_id, number]):
                self._drop_end(session_id, number)
        for key in [key for key, end in self.ended.items() if end.ended == "cancelled" and not self._is_closed(key)]:
            del self.ended[key]

    def _drop_failed(self, path: str, failed: SessionFailed) -> None:
        """Forget the effect whose failure ended a question, so that it is tried again."""
        for key, end in list(self.ended.items()):
            is_its = end.session_id == failed.session_id and key.startswith(path) and end.error == failed.message
            if is_its and end.ended == "failed" and not self._is_closed(key):
                del self.ended[key]

    def _drop_what_met_the_limit(self) -> None:
        """Forget what failed at a limit of the run in cells which that ended, so that they never saw the error."""
        started = self.events[0]
        settings: Mapping[str, Any] = started.settings if isinstance(started, RunStarted) else {}
        tools = {*settings.get("tools", ()), *settings.get("source_tools", ())}  # their limits belong to other runs
        met = [end for end in self.ended.values() if _met_limit_of_run(end) and not self._is_closed(end.key)]
        for end in met:
            if isinstance(end, HostCallFinished) and end.function in tools:
                continue
            key = end.key
            del self.ended[key]
            question = self._questions.get(key, 0)  # of a child session, whose name is the key
            if (key, question) in self._failures:
                self._drop_end(key, question)

    def _is_closed(self, key: str) -> bool:
        """Return True if an effect belongs, at any depth, to a cell that ran to its end."""
        parts = key.split("/")
        return any("/".join(parts[:length]) in self.closed_cells for length in range(4, len(parts)))

    def _drop_end(self, session_id: str, question: int) -> None:
        """Forget that a question failed, and the request for its best answer then."""
        del self._failures[session_id, question]
        self._told[session_id, question, SessionFailed].pop()
        self._last_words[session_id] += len(self._told[session_id, question, LastAnswerAsked])
        self._drop_last_word(session_id, question)

    def _drop_last_word(self, session_id: str, question: int, until: float = math.inf) -> None:
        """Forget the request for the best answer at the end of a question, which will not be reached again."""
        self._told[session_id, question, LastAnswerAsked].clear()
        queues = [self._told[session_id, question, kind] for kind in OF_TURNS]
        last = max(
            (e.sequence for queue in queues for e in queue if e.sequence < until and not is_of_engine(e)), default=0
        )
        for queue in queues:
            kept = [event for event in queue if not last < event.sequence < until]
            if len(kept) != len(queue):
                queue.clear()
                queue.extend(kept)


def cell_path(event: CellStarted | CellExecuted, question: int) -> str:
    """Return the path of a cell, below which its host calls have their keys.

    Args:
        event: The event of the cell.
        question: Number of the current question.
    """
    cell = event.cell
    index = f"engine-{cell.index}" if cell.by == "engine" else cell.index
    return key_of(event.session_id, question, cell.turn, index)


def is_final(failed: SessionFailed) -> bool:
    """Return True if a failed question would fail in the same way again: at a limit, or with rejected answers.

    Args:
        failed: How it ended.
    """
    kind = getattr(errors, failed.error_type, None)
    return isinstance(kind, type) and issubclass(kind, _FINAL)


def is_of_engine(event: Event) -> bool:
    """Return True if an event belongs to a cell of the engine's own.

    Args:
        event: The event.
    """
    return isinstance(event, CellStarted | CellExecuted) and event.cell.by == "engine"


def _met_limit_of_run(end: EffectEnded) -> bool:
    """Return True if an effect failed at a limit that ended its own session, and not only a child."""
    kind = getattr(errors, end.error_type or "", None)
    if end.ended != "failed" or not (isinstance(kind, type) and issubclass(kind, errors.LimitExceeded)):
        return False
    depth = end.error_data.get("depth", 0)
    return end.error_data.get("is_final") is not False and isinstance(depth, int) and depth <= end.depth


def error_of(error_type: str, message: str, data: Mapping[str, Any]) -> Exception:
    """Return the error that a record describes.

    Args:
        error_type: Its class.
        message: Its message.
        data: Its other attributes.
    """
    kind = getattr(errors, error_type, None) or getattr(builtins, error_type, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(error_type, (RLMError,), {})  # a class of the user's program, represented by its name
    if issubclass(kind, errors.LimitExceeded):
        data = {"limit": 0, "used": 0, **data}
    if kind is KeyError and message[:1] in ("'", '"'):
        message = message[1:-1]  # the text of a KeyError is the repr of its key
    try:
        error: Exception = kind(message, **data)
    except TypeError:
        error = type(error_type, (RLMError,), {})(message)
    return error


def closings(attempts: Iterable[AttemptStarted]) -> list[AttemptFinished]:
    """Return the ends of the attempts in flight when a process ended, each charged at its worst case.

    Args:
        attempts: The attempts.
    """
    return [
        AttemptFinished(
            run_id=start.run_id,
            session_id=start.session_id,
            parent_id=start.parent_id,
            depth=start.depth,
            state=start.state,
            model=start.model,
            number=start.number,
            key=start.key,
            attempt=start.attempt,
            outcome="uncertain",
            usage=Usage(
                input_tokens=max(start.reserved_tokens - start.max_output_tokens, 0),
                output_tokens=min(start.max_output_tokens, start.reserved_tokens),
                requests=1,
            ),
            cost_usd=start.reserved_usd,
            account_depth=start.depth + (start.number is not None),
            error="the process ended while it was under way",
        )
        for start in attempts
    ]


def _was_cut(failed: SessionFailed) -> bool:
    kind = getattr(errors, failed.error_type, None)
    return not (isinstance(kind, type) and issubclass(kind, RLMError))


def _is_inside(session_id: str, ended: Mapping[str, EffectEnded]) -> bool:
    """Return True if a session is a child that ran, at any depth, inside an effect that is over."""
    parts = session_id.split("/")
    return any("/".join(parts[:length]) in ended for length in range(2, len(parts) + 1))
