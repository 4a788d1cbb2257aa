"""A recorded run for inspection: its status, its cost, and its tree as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Self

from rlmbox.errors import StoreError
from rlmbox.events import (
    AttemptFinished,
    CellDiffered,
    CellExecuted,
    Event,
    HistoryCompacted,
    ModelReplied,
    ModelRequested,
    QuestionAsked,
    RunResumed,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    SubcallFinished,
    SubcallStarted,
    from_json,
)
from rlmbox.guard.visible import printable
from rlmbox.record.hiding import without_table
from rlmbox.record.jsonl_store import line_of, record_lines
from rlmbox.record.keys import is_last_word
from rlmbox.record.past import Past
from rlmbox.record.private_file import write_text
from rlmbox.record.summary import RunSummary, summary_of
from rlmbox.types import Answer, Cell, Message, Turn

_LINE_CHARS, _CODE_LINES = 100, 6


@dataclass(frozen=True)
class Run:
    """The recorded part of a run. If the record hides secrets, their values are not included.

    `str(run)` is its tree, with money and time. Nothing here asks or runs anything.

    Attributes:
        events: The events, in order; at least one.
    """

    events: tuple[Event, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Check that there are events.

        Raises:
            StoreError: There are none.
        """
        if not self.events:
            raise StoreError("there are no events, so it is not the record of a run")
        object.__setattr__(self, "events", tuple(map(without_table, self.events)))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Return the run of a trace: JSON Lines as `--trace` and `export` write them, or a `trace.json`.

        A truncated last line of a process that ended while writing is skipped.

        Args:
            path: The file.

        Raises:
            StoreError: It cannot be read, or is no trace.
        """
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            events = [from_json(form) for _, form in record_lines(text)]
        except StoreError as error:
            raise StoreError(f"{path}, {error}") from None
        if not events:
            raise StoreError(f"{path} has no events")
        return cls(tuple(events))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the run as a trace: one event as JSON on each line.

        Args:
            path: The file.

        Raises:
            StoreError: It cannot be written.
        """
        text = "".join(f"{line_of(event)}\n" for event in self.events)
        try:
            write_text(path, text)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from None

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.events[0].run_id

    @property
    def summary(self) -> RunSummary:
        """The run as it appears in a list of runs."""
        return summary_of(self.events)

    @property
    def question(self) -> str:
        """The last question of the root session."""
        return self.summary.question

    @property
    def cost_usd(self) -> Decimal:
        """The cost up to its last event, in US dollars."""
        return sum((e.cost_usd for e in self.events if isinstance(e, AttemptFinished)), Decimal(0))

    @property
    def answer(self) -> Answer | None:
        """The answer, or the partial one if an error ended the run, or None."""
        for event in reversed(self.events):
            if event.depth == 0 and isinstance(event, SessionFinished):
                return event.answer
            if event.depth == 0 and isinstance(event, SessionFailed):
                return event.partial
        return None

    @property
    def error(self) -> str | None:
        """The error that ended it without an answer, in one line, or None."""
        ends = (e for e in reversed(self.events) if isinstance(e, SessionFinished | SessionFailed | RunResumed))
        last = next((e for e in ends if not e.depth), None)
        return f"{last.error_type}: {last.message}" if isinstance(last, SessionFailed) else None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the root session's last question."""
        return tuple(self.turns_of(self.run_id))

    @property
    def last_cell(self) -> Cell | None:
        """The last cell that ran, other than the engine's own; None if none ran."""
        executed = (e.cell for e in reversed(self.events) if isinstance(e, CellExecuted))
        return next((cell for cell in executed if cell.by != "engine"), None)

    def turns_of(self, session_id: str) -> list[Turn]:
        """Return the turns of a session's last question, including unfinished ones.

        Args:
            session_id: The session.
        """
        found: dict[int, Turn] = {}
        for event in self.events:
            if event.session_id != session_id:
                continue
            if isinstance(event, QuestionAsked):
                found.clear()
            elif isinstance(event, ModelReplied) and event.completion is not None:
                found[event.turn] = Turn(event.turn, event.completion.text, cost_usd=event.cost_usd)
            elif isinstance(event, CellExecuted) and event.cell.by != "engine":
                turn = found.setdefault(event.cell.turn, Turn(event.cell.turn, ""))
                cells, ran = (*turn.cells, event.cell), (*turn.executions, event.execution)
                found[event.cell.turn] = Turn(turn.number, turn.reply, cells, ran, cost_usd=turn.cost_usd)
            elif event.kind == "turn_finished":
                turn = event.turn  # type: ignore[attr-defined]
                found[turn.number] = turn
        return list(found.values())

    def messages_of(self, session_id: str) -> tuple[Message, ...]:
        """Return the conversation of a session up to its last request and the reply to it.

        Args:
            session_id: The session.
        """
        found: list[Message] = []
        last: list[Message] = []
        for event in self.events:
            if event.session_id == session_id and isinstance(event, ModelRequested):
                last = [*found[: event.messages - len(event.added)], *event.added]
                found = found if is_last_word(event.key) else last  # a request for a best answer may be truncated
        return tuple(last)

    def __str__(self) -> str:
        """Return the tree."""
        return "\n".join(tree_of(self.events))


def load_from_trace(path: str | PathLike[str]) -> Run:
    """Return the run of a trace; see `Run.load`.

    Args:
        path: The file.

    Raises:
        StoreError: It cannot be read, or is no trace.
    """
    return Run.load(path)


def tree_of(events: Sequence[Event]) -> Iterator[str]:
    """Yield the lines of a run's tree: sessions, turns, cells and sub-calls, with money and time.

    Args:
        events: The run's events, in order.
    """
    summary = summary_of(events)
    taken_s = Past(events).used_s  # without the time between processes
    from_run = f", forked from {summary.origin}" if summary.origin else ""
    where = f"{summary.model} in {summary.sandbox}" if summary.model else "not begun"
    yield f"{summary.run_id}: {summary.status}, ${summary.cost_usd:.4f}, {taken_s:.1f} s, {where}{from_run}"
    tree = RunTree()
    for event in events:
        yield from tree.lines_of(event)


class RunTree:
    """A hook that writes the tree of a run as it grows: `RLM(…, hooks=[RunTree()])`.

    Each run needs a separate one. `str(run)` is the same tree for a recorded run, below a line of totals.

    Args:
        write: Called with each line; None prints them.
    """

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = print if write is None else write
        self._calls: defaultdict[str, list[SubcallStarted]] = defaultdict(list)
        self._prompts: Counter[str] = Counter()
        self._cost: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._asked_s: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Write the lines that an event adds.

        Args:
            event: The event.
        """
        for line in self.lines_of(event):
            self._write(line)

    def lines_of(self, event: Event) -> Iterator[str]:
        """Yield the lines that an event adds, indented by the depth of its session.

        Args:
            event: The event, which comes after all that were given before.
        """
        for line in self._lines_of(event):
            yield f"{'  ' * (2 * event.depth + 1)}{line}"

    def _lines_of(self, event: Event) -> Iterator[str]:
        match event:
            case QuestionAsked():
                yield f"question: {one_line(event.question)}"
            case ModelRequested():
                self._asked_s[event.key] = event.at_s
            case ModelReplied() if event.completion is not None:
                took_s = max(event.at_s - self._asked_s.get(event.key, event.at_s), 0.0)
                yield f"turn {event.turn}  ${event.cost_usd:.4f}  {took_s:.1f} s"
            case ModelReplied():
                yield f"turn {event.turn}  {event.ended}: {one_line(event.error or '')}"
            case CellExecuted() if event.cell.by != "engine":
                yield from self._cell(event)
            case SubcallStarted():
                self._calls[event.session_id].append(event)
            case SubcallFinished():
                self._cost[event.session_id] += event.cost_usd
            case _:
                yield from _lines_of_session(event)

    def _cell(self, event: CellExecuted) -> Iterator[str]:
        by = " (by a person)" if event.cell.by == "person" else ""
        lines = printable(event.cell.code).strip().split("\n")
        for line in lines[:_CODE_LINES]:
            yield f"  | {line[:_LINE_CHARS]}{by}"
            by = ""
        if len(lines) > _CODE_LINES:
            yield f"  | … {len(lines) - _CODE_LINES} more lines"
        yield from self._subcalls(event.session_id)
        execution = event.execution
        shown = (execution.stdout or execution.value_repr or "").strip()
        if shown:
            yield f"  > {one_line(shown)}"
        if execution.error:
            yield f"  ! {execution.error.type}: {one_line(execution.error.message)}"

    def _subcalls(self, session_id: str) -> Iterator[str]:
        calls = list({call.key: call for call in self._calls.pop(session_id, [])}.values())  # retried calls once
        if not calls:
            return
        prompts = [call.prompt[-1].content for call in calls if call.prompt]
        repeated = sum(self._prompts[prompt] > 0 for prompt in prompts)
        self._prompts.update(prompts)
        again = f", {repeated} of them asked before" if repeated else ""
        names = ", ".join(dict.fromkeys(call.model for call in calls))
        many = "sub-call" if len(calls) == 1 else "sub-calls"
        yield f"  {len(calls)} {many} to {names}, ${self._cost.pop(session_id, Decimal(0)):.4f}{again}"


def _lines_of_session(event: Event) -> Iterator[str]:
    match event:
        case SessionStarted() if event.depth:
            yield f"child of {event.model} in {event.sandbox}"
        case SessionFinished():
            yield f"answer: {one_line(event.answer.text)}"
        case SessionFailed():
            yield f"ended without an answer: {event.error_type}: {one_line(event.message)}"
        case HistoryCompacted() if event.ended == "done":
            tokens = f"{event.before_tokens:,} tokens became {event.after_tokens:,}"
            yield f"history summed up before turn {event.turn}  ${event.cost_usd:.4f}  {tokens}"
        case RunResumed():
            yield "its own from here on" if event.is_fork else f"resumed; {_under_way(event.uncertain)}"
        case CellDiffered():
            yield f"turn {event.cell.turn} printed something else than before: {one_line(event.now)}"
        case _:
            pass


def _under_way(requests: int) -> str:
    if not requests:
        return "no request was under way"
    if requests == 1:
        return "one request was under way and stays charged"
    return f"{requests} requests were under way and stay charged"


def one_line(text: str) -> str:
    """Return text on one line, safe for a terminal and truncated if long.

    Args:
        text: Any text.
    """
    line = " ".join(printable(text).split())
    return line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"
