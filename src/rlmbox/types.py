"""Frozen value types that are passed between the model, the loop and the sandbox.

Token counts are whole tokens, money is `Decimal` US dollars, durations are
seconds, positions are character offsets as in a Python `str`.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import FunctionType, MethodType
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from rlmbox.usage import Cost as Cost
from rlmbox.usage import Report as Report
from rlmbox.usage import Spend as Spend
from rlmbox.usage import SpendShare as SpendShare
from rlmbox.usage import Usage as Usage
from rlmbox.usage import quantity

Role = Literal["system", "user", "assistant"]
StopReason = Literal["stop", "length", "content_filter", "refusal", "tool_calls"]
CellOutcome = Literal["ok", "error", "timeout", "memory", "stack", "output", "crashed"]
NamespaceState = Literal["kept", "rebuilt", "lost"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a model."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply to one request.

    Attributes:
        text: The reply, without reasoning.
        usage: The usage that the provider reports.
        model: The model's name as given to rlmbox, such as `openai:gpt-5`.
        stop_reason: Why the reply ended: `length` if it was cut at the output limit, `content_filter` if the provider's
            filter stopped it, `refusal` if the model declined (`text` has its words), `tool_calls` if it called a tool
            instead of writing text (`text` has the calls).
        counted: True if the provider reported `usage`; False for an estimate, which is not what a run is charged.
    """

    text: str
    usage: Usage
    model: str
    stop_reason: StopReason = "stop"
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of Python to run in a sandbox.

    Attributes:
        code: The source.
        turn: The turn it belongs to, from 1; 0 for cells outside of any turn.
        index: Its index among the cells of its turn, from 0.
        by: Who wrote it: `model`, `person` if someone replaced the model's code, or `engine` for code that rlmbox runs
            itself, such as reading a variable.
    """

    code: str
    turn: int = 0
    index: int = 0
    by: Literal["model", "person", "engine"] = "model"


@dataclass(frozen=True, slots=True)
class Table:
    """A pandas object on its way into a sandbox.

    Attributes:
        form: Its JSON form, from which a sandbox with pandas recreates it; see `rlmbox.sandboxes.worker._tables`.
    """

    form: Mapping[str, Any]

    @property
    def description(self) -> str:
        """A one-line summary, such as `DataFrame, 3 rows x 2 columns: name, price`."""
        kind, shape, labels = self.form["kind"], self.form["shape"], self.form["labels"]
        more = ", …" if len(shape) > 1 and shape[1] > len(labels) else ""
        columns = f" x {shape[1]:,} columns" if len(shape) > 1 else ""
        return f"{kind}, {shape[0]:,} rows{columns}{': ' if labels else ''}{', '.join(labels)}{more}"


@dataclass(frozen=True, slots=True)
class CellError:
    """The Python exception, or the limit, that ended a cell.

    Attributes:
        type: The exception's class name, such as `KeyError` or `ExecutionTimeout`.
        message: The exception's message, as from `str(exception)`.
        traceback: The traceback as Python prints it, with `<rlm_session>` as the cell's file name.
        line: The line of the cell, from 1, or None if unknown.
    """

    type: str
    message: str
    traceback: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of running a cell.

    Attributes:
        outcome: `ok`, `error` (a Python exception), or the limit that ended the cell.
        stdout: Standard output, limited in length by the sandbox; the middle may be missing.
        stderr: Standard error, limited likewise.
        dropped_chars: Number of characters of stdout and stderr that were dropped.
        error: The error; None if and only if `outcome` is `ok`.
        value: The JSON form of the value of a final bare expression, or None. See `rlmbox.sandboxes.worker._values` for
            the form of each kind of value.
        value_repr: The `repr` of that value, limited in length; None if there is no value or it is None.
        duration_s: Wall time from request to result.
        namespace: `kept` if the variables are intact, `rebuilt` if they were restored by running the earlier cells
            again, `lost` if they are gone.
        reads_clock: True if the cell refers to something that reads a clock or the system's randomness, so that its
            results may not be repeatable.
        restored: Names of the REPL, such as `context`, that the cell had overwritten and that were restored.
    """

    outcome: CellOutcome = "ok"
    stdout: str = ""
    stderr: str = ""
    dropped_chars: int = 0
    error: CellError | None = None
    value: object = None
    value_repr: str | None = None
    duration_s: float = 0.0
    namespace: NamespaceState = "kept"
    reads_clock: bool = False
    restored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Limits of one cell; they mean the same in every sandbox.

    Attributes:
        cell_timeout_s: Running time of a cell in seconds. Waiting for a host call does not count, except for calls that
            are answered in a few milliseconds, and for calls that only read the context (`HostFunction.pure`), after
            the first 30 s of such waiting. A cell that goes on after its interrupt is killed within another second.
        memory_bytes: Memory in bytes, in addition to the context itself and what Python needs to change its case.
        recursion_depth: Depth of nested Python calls; imports and `re` sometimes need a few hundred.
        output_chars: Characters of output that are kept; if there are more, the middle is dropped.
        output_flood_bytes: Bytes of output at which the cell is stopped with `OutputExceeded`.
        code_bytes: Maximum size of a cell's source.
        host_calls: Number of calls that one session may make to host functions.
        inline_limit_chars: Length up to which the context is a real `str` in the REPL; a longer one is a handle that
            reads parts on demand.
    """

    cell_timeout_s: float = 5.0
    memory_bytes: int = 128 * 1024 * 1024
    recursion_depth: int = 1000
    output_chars: int = 200_000
    output_flood_bytes: int = 64 * 1024 * 1024
    code_bytes: int = 1024 * 1024
    host_calls: int = 1_000_000
    inline_limit_chars: int = 32_000_000


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function of the host that code in a sandbox may call.

    Arguments and results are JSON values. A sync function may be called from any thread; a coroutine function is
    awaited on the session's event loop.

    Attributes:
        name: The name in the REPL; `ctx.search` is the method `search` of the object `ctx`.
        call: The function.
        summary: One line for the model.
        pure: True if the result depends only on the context and the arguments, so that a rebuilt session may call it
            again. The results of other functions are recorded.
        is_answer: True for `FINAL` and similar functions, which only decide how a turn ends.
        is_tool: True for a tool of the user.
        is_alias: True for an alternative name of a function, such as one known from another system; it is not listed
            in the prompt.
        is_slice: True for a function that returns the part of the context between two positions and does nothing else;
            a sandbox that has the text may answer it itself.
        takes_texts: True for a function that accepts, in place of a text, a reference to a handle in the sandbox or a
            part of it: `{"context_slice": [start, end], "of": variable}`.
        at_once: A variant for sandboxes on the session's event loop. It returns the result if that takes a fraction of
            a millisecond, otherwise an awaitable, to be awaited in the calling task. None if there is no such variant.
        off_loop: Like `at_once`, for a thread that the event loop is waiting for; it needs no running loop. None if
            there is no such variant.
    """

    name: str
    call: Callable[..., object]
    summary: str
    pure: bool = False
    is_answer: bool = False
    is_tool: bool = False
    is_alias: bool = False
    is_slice: bool = False
    takes_texts: bool = False
    at_once: Callable[..., object] | None = None
    off_loop: Callable[..., object] | None = None

    @property
    def is_running_time(self) -> bool:
        """True if the time of a call counts as the cell's running time, so that a loop of such calls times out."""
        return self.pure or self.is_answer

    @property
    def is_async(self) -> bool:
        """True if `call` is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def signature(self) -> str:
        """The call as it appears in the prompt, such as `ctx.slice(start: int, end: int) -> str`.

        Raises:
            ValueError: The function is written in C and has no signature.
        """
        return self.name + self.description[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments that can be passed by position.

        Raises:
            ValueError: As for `signature`.
        """
        return self.description[1]

    @property
    def description(self) -> tuple[str, tuple[str, ...]]:
        """The signature without the name, and the positional parameters; both at once, because reading them is slow.

        Raises:
            ValueError: As for `signature`.
        """
        return _described(self.call)


_of_methods: WeakKeyDictionary[object, tuple[str, tuple[str, ...]]] = WeakKeyDictionary()


def _described(call: Callable[..., object]) -> tuple[str, tuple[str, ...]]:
    """Return a function's signature and its positional parameters.

    Every session has its own objects with the same methods, and inspecting two dozen takes a millisecond, so the result
    for a method is kept for as long as its class has it.
    """
    method = call if isinstance(call, MethodType) else getattr(call, "__wrapped__", None)
    shared = method.__func__ if isinstance(method, MethodType) else None
    if not isinstance(shared, FunctionType):
        shared = None
    elif (known := _of_methods.get(shared)) is not None:
        return known
    signature = inspect.signature(inspect.unwrap(call))
    # Annotations are strings where the module postpones them; default values keep their quotes.
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature)).replace("typing.", "")
    found = text, tuple(p.name for p in signature.parameters.values() if p.kind < p.VAR_POSITIONAL)
    if shared is not None:
        _of_methods[shared] = found
    return found


@dataclass(frozen=True, slots=True)
class Observation:
    """The message that shows the model the results of its cells.

    Attributes:
        text: The message.
        hidden_chars: Number of characters of output that were left out.
    """

    text: str
    hidden_chars: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A place in the context that supports an answer.

    Attributes:
        document: The document's name, such as a path, or `context` if there is only one text.
        start: Position of the first character within the document.
        end: Position after the last character.
        quote: The text at this place, cut to 300 characters.
    """

    document: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of the loop: a reply, its cells and their results.

    Attributes:
        number: From 1.
        reply: The model's reply.
        cells: The cells found in the reply.
        executions: The results, one for each cell that ran.
        observation: The message with the results that was sent to the model; None on the last turn.
        cost_usd: Cost of the turn, including sub-calls.
        is_last_word: True for the reply to the request for a best answer at a limit; it is not counted as a turn.
    """

    number: int
    reply: str
    cells: tuple[Cell, ...] = ()
    executions: tuple[Execution, ...] = ()
    observation: Observation | None = None
    cost_usd: Decimal = Decimal(0)
    is_last_word: bool = False

    @property
    def failed(self) -> bool:
        """True if the last cell that ran ended in an exception or at a limit."""
        return bool(self.executions) and self.executions[-1].outcome != "ok"


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one turn.

    Attributes:
        status: `continue`, `finished`, or `error` when the turn's last cell failed.
        content: The answer when finished; otherwise the observation sent to the model.
        cost_usd: Cost of the turn, including sub-calls.
    """

    status: Literal["continue", "finished", "error"]
    content: str
    cost_usd: Decimal


_MOST_SHOWN_SOURCES = 5


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The answer to a question, with what it cost and how it was found.

    Attributes:
        text: The answer as text.
        value: The answer as a JSON value if the model gave one; otherwise the same as `text`.
        sources: Places in the context that support the answer, checked against the context.
        cost: Cost of the whole tree of sessions, with the lines of its ledger; `usage` and `report` are views of it.
        turns: Turns of the root session.
        subcalls: Number of calls to other models in the whole tree.
        duration_s: Wall time in seconds.
        run_id: Name of the run.
        model: The root model's name.
        sandbox: The sandbox's name.
        sandbox_reason: Why `auto` chose this sandbox, and in which respects its isolation is weaker than it could be;
            empty if neither applies.
        complete: False for partial results, when a limit or an error ended the run. If the model was asked for its
            best answer at a limit, `text` and `value` are that answer; otherwise `value` is None.
        guard: What the guard hid during the run, counted by kind and path, and how much of the text was shown. It never
            has the hidden values.
        trajectory: The turns, followed by the request for a best answer at a limit, if there was one.
    """

    DERIVED: ClassVar = ("usage", "report")

    text: str
    value: object = None
    sources: tuple[Source, ...] = ()
    cost: Cost = field(default_factory=Cost)
    turns: int = 0
    subcalls: int = 0
    duration_s: float = 0.0
    run_id: str = ""
    model: str = ""
    sandbox: str = ""
    sandbox_reason: str = ""
    complete: bool = True
    guard: Mapping[str, object] = field(default_factory=dict, repr=False)
    trajectory: tuple[Turn, ...] = field(default=(), repr=False)

    @property
    def cost_usd(self) -> Decimal:
        """Cost of the whole tree in US dollars."""
        return self.cost.total_usd

    @property
    def usage(self) -> Usage:
        """Tokens of the whole tree of sessions."""
        return self.report.usage

    @property
    def report(self) -> Report:
        """Cost and tokens, divided by model and by depth."""
        return Report(self.cost.lines, self.guard)

    def __repr__(self) -> str:
        spent = f"{quantity(self.turns, 'turn')}, {quantity(self.subcalls, 'sub-call')}, {self.cost}"
        return f"Answer({short_repr(self.text)}, {spent}{'' if self.complete else ', incomplete'})"

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        shown = f'<div dir="auto" style="white-space:pre-wrap">{html_text(self.text)}</div>'
        more = len(self.sources) - _MOST_SHOWN_SOURCES
        sources = [f"{each.document}, characters {each.start:,}-{each.end:,}" for each in self.sources]
        if more > 0:
            sources[_MOST_SHOWN_SOURCES:] = [f"… {more:,} more"]
        took = f"{self.duration_s:.2f} s, {quantity(self.turns, 'turn')}, {quantity(self.subcalls, 'sub-call')}"
        rows = [
            ("", "" if self.complete else "incomplete: a limit or an error ended the run"),
            ("found in", "; ".join(sources)),
            ("took", f"{took}, {quantity(self.usage.total_tokens, 'token')}"),
            ("cost", str(self.cost)),
            ("model", self.model),
            ("run", self.run_id),
        ]
        return shown + html_table(rows)


_MOST_REPR_CHARS = 120


def short_repr(text: str) -> str:
    """Return the `repr` of a text, cut where it is long.

    Args:
        text: Any text.
    """
    return repr(text if len(text) <= _MOST_REPR_CHARS else text[: _MOST_REPR_CHARS - 1] + "…")


def cut_middle(text: str, max_chars: int, *, dropped: str = " ... [{:,} characters dropped] ... ") -> str:
    """Return a text without its middle if it is longer than allowed.

    Args:
        text: The text.
        max_chars: Characters to keep; the note of what was dropped is in addition to them.
        dropped: The note, with a place for the number of characters.
    """
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return text[:half] + dropped.format(len(text) - 2 * half) + text[len(text) - half :]


def html_text(text: str) -> str:
    """Return a text as HTML, with its markup escaped and invisible characters written as escapes.

    Args:
        text: Any text, such as a model wrote it.
    """
    seen = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return html.escape(seen)


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with their values as a table in HTML.

    Args:
        rows: Name and value, as plain text; rows without a value are left out.
    """
    left = 'style="text-align:left"'
    cells = "".join(
        f"<tr><th {left}>{html_text(name)}</th><td {left}>{html_text(value)}</td></tr>" for name, value in rows if value
    )
    return f"<table>{cells}</table>"
