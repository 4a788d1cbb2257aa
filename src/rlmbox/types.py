"""The nouns: frozen values that travel between the model, the loop and the sandbox.

Nothing here does any work. Token counts are whole tokens, money is `Decimal` US dollars, durations are
seconds, positions are characters counted as in a Python `str`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

Role = Literal["system", "user", "assistant"]
StopReason = Literal["stop", "length", "content_filter"]
Outcome = Literal["ok", "error", "timeout", "memory", "stack", "output", "crashed"]
Namespace = Literal["kept", "rebuilt", "lost"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a model."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used by one or more requests.

    Attributes:
        input_tokens: Tokens sent, including those that the provider had cached.
        cached_input_tokens: The part of `input_tokens` that was read from the provider's cache.
        output_tokens: Tokens received, including reasoning.
        reasoning_tokens: The part of `output_tokens` that was reasoning.
        requests: How many requests were answered.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens sent and received."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply to one request.

    Attributes:
        text: The reply, without reasoning.
        usage: What the provider says it used.
        model: The model's name as rlmbox was given it, such as `openai:gpt-5`.
        stop_reason: Why the reply ended; `length` means that it was cut at the output limit.
    """

    text: str
    usage: Usage
    model: str
    stop_reason: StopReason = "stop"


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of Python to run in a sandbox.

    Attributes:
        code: The source.
        turn: The turn it belongs to, from 1; 0 for cells that no model wrote.
        index: Its place among the cells of its turn, from 0.
    """

    code: str
    turn: int = 0
    index: int = 0


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
    """What running a cell gave.

    Attributes:
        outcome: `ok`, `error` (a Python exception), or the limit that ended the cell.
        stdout: What it printed, bounded by the sandbox; the middle may be missing.
        stderr: The same for the error stream.
        dropped_chars: Characters of stdout and stderr that the bound left out.
        error: Set exactly when `outcome` is not `ok`.
        value: The value of a last bare expression where it is JSON, its `repr` otherwise; None without one.
        value_repr: The `repr` of that value, bounded; None without one or when it is None.
        duration_s: Wall time from request to result.
        namespace: Whether the variables are the same afterwards, were rebuilt by running the earlier cells
            again, or are lost.
    """

    outcome: Outcome = "ok"
    stdout: str = ""
    stderr: str = ""
    dropped_chars: int = 0
    error: CellError | None = None
    value: object = None
    value_repr: str | None = None
    duration_s: float = 0.0
    namespace: Namespace = "kept"


@dataclass(frozen=True, slots=True)
class CellLimits:
    """What one cell may use; the same meaning in every sandbox.

    Attributes:
        cell_timeout_s: Seconds of running time of a cell. Time spent waiting for a host call is not counted.
        memory_bytes: Memory beyond the context itself, in bytes.
        recursion_depth: Depth of nested Python calls.
        output_chars: Characters of printed output that are kept; beyond it the middle is dropped.
        output_flood_bytes: Bytes of printed output at which the cell is ended with `OutputExceeded`.
        code_bytes: Longest cell that is accepted.
        host_calls: Calls from one session to host functions.
    """

    cell_timeout_s: float = 5.0
    memory_bytes: int = 128 * 1024 * 1024
    recursion_depth: int = 100
    output_chars: int = 200_000
    output_flood_bytes: int = 64 * 1024 * 1024
    code_bytes: int = 1024 * 1024
    host_calls: int = 1_000_000


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
    """

    name: str
    call: Callable[..., object]
    summary: str
    pure: bool = False

    @property
    def is_async(self) -> bool:
        """Whether `call` is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def signature(self) -> str:
        """The call as a model would write it, such as `ctx.slice(start: int, end: int) -> str`."""
        text = str(inspect.signature(self.call))
        # Annotations are strings where the module postpones them; default values keep their quotes.
        return self.name + re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the model is told about the cells that ran.

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
    """

    number: int
    reply: str
    cells: tuple[Cell, ...] = ()
    executions: tuple[Execution, ...] = ()
    observation: Observation | None = None
    cost_usd: Decimal = Decimal(0)

    @property
    def failed(self) -> bool:
        """Whether the last cell that ran ended in an exception or at a limit."""
        return bool(self.executions) and self.executions[-1].outcome != "ok"


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn came to.

    Attributes:
        status: `continue`, `finished`, or `error` when the turn's last cell failed.
        content: The answer when finished; otherwise what the model was told.
        cost_usd: What the turn cost, sub-calls included.
    """

    status: Literal["continue", "finished", "error"]
    content: str
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """Money spent by a run, in US dollars.

    Attributes:
        total_usd: Everything, including what was reserved for requests whose outcome is not known.
        root_usd: The part of the root session's own turns.
        recursive_usd: The part of sub-calls and child sessions.
        by_model: Per model name.
        unknown: Whether a model without a known price was used, so that the true cost is higher.
    """

    total_usd: Decimal = Decimal(0)
    root_usd: Decimal = Decimal(0)
    recursive_usd: Decimal = Decimal(0)
    by_model: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unknown: bool = False

    def __str__(self) -> str:
        return f"{'at least ' if self.unknown else ''}${self.total_usd.quantize(Decimal('0.0001'))}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a run.

    Attributes:
        text: The answer in words.
        value: The answer as a JSON value, where the model gave one; otherwise the same as `text`.
        sources: Where in the context it was found, checked against the context.
        usage: Tokens of the whole tree of sessions.
        cost: Money of the whole tree.
        turns: Turns of the root session.
        subcalls: Calls to other models in the whole tree.
        duration_s: Wall time.
        run_id: Name of the run.
        model: The root model's name.
        sandbox: The sandbox's name.
        complete: False for what a run had when a limit or an error ended it.
        trajectory: The turns themselves.
    """

    text: str
    value: object = None
    sources: tuple[Source, ...] = ()
    usage: Usage = Usage()
    cost: Cost = Cost()
    turns: int = 0
    subcalls: int = 0
    duration_s: float = 0.0
    run_id: str = ""
    model: str = ""
    sandbox: str = ""
    complete: bool = True
    trajectory: tuple[Turn, ...] = field(default=(), repr=False)

    @property
    def cost_usd(self) -> Decimal:
        """Money of the whole tree, in US dollars."""
        return self.cost.total_usd
