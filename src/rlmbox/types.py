"""The nouns: frozen values that travel between the model, the loop and the sandbox.

Nothing here does any work. Token counts are whole tokens, money is `Decimal` US dollars, durations are
seconds, positions are characters counted as in a Python `str`.
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
        usage: What the provider says it used.
        model: The model's name as rlmbox was given it, such as `openai:gpt-5`.
        stop_reason: Why the reply ended: `length` where it was cut at the output limit, `content_filter` where the
            provider's filter stopped it, `refusal` where the model declined and `text` has its words, and `tool_calls`
            where it called a tool instead of writing a text, and `text` has the calls.
        counted: Whether `usage` is the provider's own; False for an estimate, which is not what a run is charged.
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
        index: Its place among the cells of its turn, from 0.
        by: Who wrote it: `model`, `person` where somebody replaced the model's code, or `engine` for what rlmbox itself
            runs, such as reading a variable.
    """

    code: str
    turn: int = 0
    index: int = 0
    by: Literal["model", "person", "engine"] = "model"


@dataclass(frozen=True, slots=True)
class Table:
    """A pandas object on its way into a sandbox.

    Attributes:
        form: Its JSON form, of which a sandbox that has pandas makes it again; see `rlmbox.sandboxes.worker._tables`.
    """

    form: Mapping[str, Any]

    @property
    def description(self) -> str:
        """A line about it, such as `DataFrame, 3 rows x 2 columns: name, price`."""
        kind, shape, labels = self.form["kind"], self.form["shape"], self.form["labels"]
        more = ", …" if len(shape) > 1 and shape[1] > len(labels) else ""
        columns = f" x {shape[1]:,} columns" if len(shape) > 1 else ""
        return f"{kind}, {shape[0]:,} rows{columns}{': ' if labels else ''}{', '.join(labels)}{more}"


@dataclass(frozen=True, slots=True)
class CellError:
    """The Python exception, or the limit, that ended a cell.

    Attributes:
        type: The exception's class name, such as `KeyError` or `ExecutionTimeout`.
        message: What `str(exception)` gave.
        traceback: The traceback as Python prints it; the cell is called `<rlm_session>`.
        line: The line of the cell, from 1, or None where it is not known.
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
        stdout: What it printed, bounded by the sandbox; the middle may be missing.
        stderr: The same for the error stream.
        dropped_chars: Characters of stdout and stderr that the bound left out.
        error: Set exactly when `outcome` is not `ok`.
        value: The JSON form of the value of a last bare expression; None without one. See
            `rlmbox.sandboxes.worker._values` for the form of each kind of value.
        value_repr: The `repr` of that value, bounded; None without one or when it is None.
        duration_s: Wall time from request to result.
        namespace: Whether the variables are the same afterwards, were rebuilt by running the earlier cells
            again, or are lost.
        reads_clock: Whether the cell names something that reads a clock, so that running it again may do otherwise.
        restored: Names of the REPL, such as `context`, that the cell had overwritten and that are there again.
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
        cell_timeout_s: Seconds of running time of a cell. Time spent waiting for a host call is not counted, but for
            calls that only read the context (`HostFunction.pure`) beyond the first 30 s of them.
        memory_bytes: Memory beyond the context itself, and what Python needs to change its case, in bytes.
        recursion_depth: Depth of nested Python calls; imports and `re` need a few hundred now and then.
        output_chars: Characters of printed output that are kept; beyond it the middle is dropped.
        output_flood_bytes: Bytes of printed output at which the cell is ended with `OutputExceeded`.
        code_bytes: Longest cell that is accepted.
        host_calls: Calls from one session to host functions.
        inline_limit_chars: Longest context that is a real `str` in the REPL; a longer one is a handle that reads parts.
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

    Arguments and results are JSON values. A plain function may be called from any thread; a coroutine function is
    awaited on the session's event loop.

    Attributes:
        name: The name in the REPL; `ctx.search` is the method `search` of the object `ctx`.
        call: The function.
        summary: One line for the model.
        pure: Whether it does nothing but compute from the context and its arguments, so that a rebuilt session
            may call it again. The answers of others are recorded.
        is_answer: True for `FINAL` and the like, which do nothing but say how a turn ends.
        is_tool: True for a function of the user's own.
        is_alias: True for another name of a function, such as one that a peer's models know; it is not advertised.
        is_slice: True for a function that gives a part of the context by its two positions and does nothing else; a
            sandbox that has the text may answer it itself.
        takes_texts: True for a function that takes, in the place of a text, what stands for one that is a handle in the
            sandbox, or for a part of it: `{"context_slice": [start, end], "of": variable}`.
        at_once: The same call for a sandbox that is on the session's event loop: it returns the result where that
            takes a fraction of a millisecond, else an awaitable of it, to be awaited in the task that called it. None
            where there is no such way.
        off_loop: As `at_once`, for a thread that the event loop waits for where it is: it needs no running loop. None
            where there is no such way.
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
        """True if the time of a call is the cell's own: it waits for nobody, and a loop of such calls has to end."""
        return self.pure or self.is_answer

    @property
    def is_async(self) -> bool:
        """True if `call` is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def signature(self) -> str:
        """The call as a model would write it, such as `ctx.slice(start: int, end: int) -> str`.

        Raises:
            ValueError: The function is written in C and does not say.
        """
        return self.name + self.description[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Name of the arguments that can be given by position.

        Raises:
            ValueError: As for `signature`.
        """
        return self.description[1]

    @property
    def description(self) -> tuple[str, tuple[str, ...]]:
        """The signature without the name, and the parameters; both at once for who wants both of many functions.

        Raises:
            ValueError: As for `signature`.
        """
        return _described(self.call)


_of_methods: WeakKeyDictionary[object, tuple[str, tuple[str, ...]]] = WeakKeyDictionary()


def _described(call: Callable[..., object]) -> tuple[str, tuple[str, ...]]:
    """Return a function's signature and its positional parameters.

    Every session has objects of its own with the same methods, and to inspect two dozen takes a millisecond: what was
    found of a method is kept for as long as its class has it.
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
    """The text that tells the model about the cells that ran.

    Attributes:
        text: The message.
        hidden_chars: Characters of output that were left out of it.
    """

    text: str
    hidden_chars: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A place in the context that an answer rests on.

    Attributes:
        document: The document's name, such as a path, or `context` where there is only one text.
        start: Position of the first character within the document.
        end: Position after the last.
        quote: The text there, cut to 300 characters.
    """

    document: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of the loop: a reply, the cells in it and what they gave.

    Attributes:
        number: From 1.
        reply: The model's reply.
        cells: The cells that were found in it.
        executions: One for each cell that ran.
        observation: What was told to the model; None on the last turn.
        cost_usd: Cost of the turn, sub-calls included.
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
        content: The answer when finished; otherwise what the model was told.
        cost_usd: What the turn cost, sub-calls included.
    """

    status: Literal["continue", "finished", "error"]
    content: str
    cost_usd: Decimal


_MOST_SHOWN_SOURCES = 5


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The end of a run.

    Attributes:
        text: The answer in words.
        value: The answer as a JSON value, where the model gave one; otherwise the same as `text`.
        sources: Where in the context it was found, checked against the context.
        cost: Money of the whole tree of sessions, and the lines of its ledger, of which usage and report are views.
        turns: Turns of the root session.
        subcalls: Calls to other models in the whole tree.
        duration_s: Wall time.
        run_id: Name of the run.
        model: The root model's name.
        sandbox: The sandbox's name.
        sandbox_reason: Why this one was chosen, where `auto` chose it, and in what its wall is weaker than it could be;
            empty where there is nothing of that to say.
        complete: False for what a run had when a limit or an error ended it. Where a limit did and the model was
            asked for its best answer, `text` and `value` are that answer; otherwise `value` is None.
        guard: What the guard hid in the run, by kind and path, and what was shown of the text; never a value.
        trajectory: The turns themselves; after them the last call for a best answer, where there was one.
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
        """Money of the whole tree, in US dollars."""
        return self.cost.total_usd

    @property
    def usage(self) -> Usage:
        """Tokens of the whole tree of sessions."""
        return self.report.usage

    @property
    def report(self) -> Report:
        """The money and the tokens, divided by model and by depth."""
        return Report(self.cost.lines, self.guard)

    def __repr__(self) -> str:
        spent = f"{quantity(self.turns, 'turn')}, {quantity(self.subcalls, 'sub-call')}, {self.cost}"
        return f"Answer({short_repr(self.text)}, {spent}{'' if self.complete else ', incomplete'})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
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


def html_text(text: str) -> str:
    """Return a text as HTML: no markup of its own counts, and what cannot be seen is written as an escape.

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
