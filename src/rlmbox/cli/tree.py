"""The live tree of a run in the terminal: a reader of the event stream."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from rlmbox.cli.newest import NewestLines
from rlmbox.cli.status import RunStatus, short_reason, shortest_reason
from rlmbox.events import (
    CallRetried,
    CellExecuted,
    CellStarted,
    Event,
    HistoryCompacted,
    LastAnswerAsked,
    ModelReplied,
    QuestionAsked,
    ReplyDelta,
    RequestEvent,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    SubcallFinished,
    SubcallStarted,
    TextGuarded,
)
from rlmbox.guard.visible import printable
from rlmbox.record.run import one_line
from rlmbox.usage import quantity

_CODE_LINES, _OUTPUT_LINES, _LINE_CHARS = 6, 4, 110

_REMARKS = {
    "call_retried": "sent again",
    "input_truncated": "cut to the window",
    "model_fell_back": "answered by the fallback",
    "reply_from_cache": "from the cache",
    "reply_continued": "continued",
}


class _SubcallsLine:
    """The one line that stands for all sub-calls of a cell, however many they are."""

    def __init__(self, node: Tree) -> None:
        self._node = node
        self._model = ""
        self._begun = self._ended = self._failed = 0
        self._remarks: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}

    def count(self, event: SubcallStarted | SubcallFinished) -> None:
        self._model = event.model
        self._begun += isinstance(event, SubcallStarted)
        if isinstance(event, SubcallFinished):
            self._ended += 1
            self._failed += event.ended == "failed"
            if event.error:
                self._reasons["failed"] = short_reason(event.error, event.model)
        self._draw()

    def noted(self, event: RequestEvent) -> None:
        self._remarks[event.kind] += 1
        if isinstance(event, CallRetried):
            self._reasons[event.kind] = shortest_reason(event.reason, event.model)
        self._draw()

    def _draw(self) -> None:
        counts = {_REMARKS.get(kind, kind): (count, self._reasons.get(kind)) for kind, count in self._remarks.items()}
        remarks = "".join(_remark(count, what, reason) for what, (count, reason) in counts.items())
        line = f"sub-calls to {self._model}: {self._ended} of {self._begun}{remarks}"
        failed = _remark(self._failed, "failed", self._reasons.get("failed")) if self._failed else ""
        self._node.label = Text.assemble((line, "magenta"), (failed, "red"))


class _ReplyLine:
    """The end of the reply that comes in, while it does."""

    def __init__(self, session: Tree) -> None:
        self._session = session
        self._node: Tree | None = None
        self._attempt = 0
        self._text = ""

    def add(self, event: ReplyDelta) -> None:
        if self._node is None:
            self._node = self._session.add("")
        if event.attempt != self._attempt:
            self._attempt, self._text = event.attempt, ""
        self._text = (self._text + ("" if event.is_reasoning else event.text))[-_LINE_CHARS:]
        line = " ".join(printable(self._text).split()) or "thinking"
        self._node.label = Text(f"\N{HORIZONTAL ELLIPSIS} {line}", style="dim italic")

    def end(self) -> None:
        if self._node is not None:
            self._session.children.remove(self._node)
        self._node, self._attempt, self._text = None, 0, ""


class LiveTree:
    """Shows sessions, turns, cells and sub-calls as they happen. Use it as a context manager, and as a hook.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._root = Tree(Text("rlmbox", style="bold"))
        self._status = RunStatus()
        self._shown = NewestLines(self._root, self._status)
        self._live = Live(self._shown, console=console, refresh_per_second=8)
        self._sessions: dict[str, Tree] = {}
        self._where: dict[str, str] = {}
        self._turns: dict[str, Tree] = {}
        self._cells: dict[str, Tree] = {}
        self._subcalls: dict[str, _SubcallsLine] = {}
        self._replies: dict[str, _ReplyLine] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Draw a last time and leave the tree on the screen."""
        self._shown.is_live = False
        self._live.stop()
        if not self._console.is_terminal:
            self._console.line()  # where nothing is live, the tree was printed without its last line's end

    def refresh(self) -> None:
        """Draw now, and not only when it is time to."""
        self._live.refresh()

    def __call__(self, event: Event) -> None:
        """Take one event; what the engine itself runs is not shown."""
        self._status.take(event)
        if isinstance(event, ReplyDelta):
            self._reply(event.session_id).add(event)
        elif not (isinstance(event, CellStarted | CellExecuted) and event.cell.by == "engine"):
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case SessionStarted() | QuestionAsked():
                self._opened(event)
            case ModelReplied() if event.ended == "done":
                self._reply(event.session_id).end()
                label = Text.assemble(f"turn {event.turn}", (_cost(event.cost_usd), "dim"))
                self._turns[event.session_id] = self._sessions[event.session_id].add(label)
            case CellStarted():
                code = _lines(event.cell.code, _CODE_LINES)
                self._cells[event.session_id] = self._turns[event.session_id].add(Text(code, style="cyan"))
                self._subcalls.pop(event.session_id, None)
            case SubcallStarted() | SubcallFinished():
                self._calls(event.session_id).count(event)
            case RequestEvent() if event.kind in _REMARKS:
                self._on_the_way(event)
            case CellExecuted():
                self._executed(event)
            case LastAnswerAsked() | HistoryCompacted():
                self._remarked(event)
            case SessionFinished() if event.depth:
                self._sessions[event.session_id].add(Text.assemble(("answer  ", "green"), _lines(event.answer.text, 6)))
            case SessionFailed():
                self._sessions[event.session_id].add(
                    Text(one_line(f"{event.error_type}: {event.message}"), style="red")
                )
            case _:
                pass

    def _reply(self, session_id: str) -> _ReplyLine:
        """Return the line of the reply that a session's model is writing."""
        if session_id not in self._replies:
            self._replies[session_id] = _ReplyLine(self._sessions[session_id])
        return self._replies[session_id]

    def _opened(self, event: SessionStarted | QuestionAsked) -> None:
        if isinstance(event, SessionStarted):
            parent = self._cells.get(event.parent_id or "") or self._root
            self._sessions[event.session_id] = parent.add("")
            self._where[event.session_id] = f"  {event.model} in {event.sandbox}"
        else:
            where = (self._where[event.session_id], "dim")
            self._sessions[event.session_id].label = Text.assemble((one_line(event.question), "bold"), where)

    def _remarked(self, event: LastAnswerAsked | HistoryCompacted) -> None:
        if isinstance(event, LastAnswerAsked):
            line = f"{event.reason}: asked for the best answer"
        else:
            line = f"history summed up: {event.before_tokens:,} tokens became {event.after_tokens:,}"
        self._sessions[event.session_id].add(Text(one_line(line), style="yellow"))

    def _on_the_way(self, event: RequestEvent) -> None:
        if event.number is not None:
            self._calls(event.session_id).noted(event)
            return
        line = _REMARKS[event.kind]
        if isinstance(event, CallRetried):
            wait = f" in {event.wait_s:.0f} s" if event.wait_s >= 1 else ""
            line = f"{short_reason(event.reason, event.model)}, {line}{wait}"
        self._sessions[event.session_id].add(Text(line, style="yellow"))

    def _calls(self, session_id: str) -> _SubcallsLine:
        """Return the line of the sub-calls of a session's cell."""
        calls = self._subcalls.get(session_id)
        if calls is None:
            calls = self._subcalls[session_id] = _SubcallsLine(self._cells.get(session_id, self._root).add(""))
        return calls

    def _executed(self, event: CellExecuted) -> None:
        execution = event.execution
        cell = self._cells[event.session_id]
        output = execution.stdout + (execution.value_repr or "")
        if output.strip():
            cell.add(Text(_lines(output, _OUTPUT_LINES), style="dim"))
        if execution.error:
            cell.add(Text(one_line(f"{execution.error.type}: {execution.error.message}"), style="red"))


def _guarded(event: TextGuarded) -> str:
    """Return what the guard did in a turn, as a count."""
    counts: Counter[str] = Counter()
    for kinds in event.found.values():
        for kind, times in kinds.items():
            counts[kind.rpartition(" ")[2]] += times
    told = [f"{times:,} {effect}" for effect, times in sorted(counts.items())]
    return f"guard: {', '.join(told + ([f'{event.cuts:,} cut for copying'] if event.cuts else []))}"


def _remark(count: int, what: str, reason: str | None) -> str:
    return f", {count:,} {what}" + (f" ({reason})" if reason else "")


def _cost(cost_usd: object) -> str:
    return f"  ${cost_usd:.4f}" if cost_usd else ""


def _lines(text: str, most: int) -> str:
    """Return the first lines, each cut, and how many there are more."""
    lines = printable(text).strip().split("\n")
    shown = [line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…" for line in lines[:most]]
    more = len(lines) - most
    return "\n".join([*shown, f"… {quantity(more, 'more line')}"] if more > 0 else shown)
