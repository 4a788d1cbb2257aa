"""From what Monty gives or raises to an `Execution`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes.monty._code import CellSource
from rlmbox.sandboxes.monty._types import TypeProblem
from rlmbox.types import CellError, CellLimits, Outcome

_REPR_CHARS = 20_000
_LIMIT_NAMES: dict[Outcome, str] = {
    "timeout": "ExecutionTimeout",
    "memory": "MemoryExceeded",
    "stack": "StackOverflow",
    "output": "OutputExceeded",
    "crashed": "SandboxCrashed",
}


class CellRefused(Exception):
    """A cell was not run, because its types cannot be right.

    Args:
        findings: What the checker says.
    """

    def __init__(self, findings: Sequence[TypeProblem]) -> None:
        super().__init__("; ".join(f"line {found.line}: {found.message}" for found in findings))
        self.line = findings[0].line


class Printed:
    """What a cell prints, bounded.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: CellLimits) -> None:
        self.stdout, self.stderr = BoundedText(limits.output_chars), BoundedText(limits.output_chars)
        self._flood_bytes = limits.output_flood_bytes

    @property
    def flooded(self) -> bool:
        """Whether it was more than a cell may print at all."""
        return self.stdout.size_bytes + self.stderr.size_bytes > self._flood_bytes

    def take(self, stream: str, text: str) -> None:
        """Takes a piece; raises RuntimeError, with which Monty ends the cell, where it is too much."""
        (self.stderr if stream == "stderr" else self.stdout).write(text)
        if self.flooded:
            raise RuntimeError("the cell prints too much")


def json_value(value: Any, depth: int = 0) -> object:
    """Gives a value from the sandbox as JSON, with the `repr` of what is not."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < 50 and isinstance(value, list | tuple):
        return [json_value(item, depth + 1) for item in value]
    if depth < 50 and isinstance(value, dict):
        return {k if isinstance(k, str) else repr(k): json_value(v, depth + 1) for k, v in value.items()}
    return repr(value)


def value_of(result: Any) -> tuple[object, str | None]:
    """Splits what `rlm_value_` gave into the JSON value and its bounded `repr`; None and None for None."""
    crossed, value = result
    if value is None:
        return None, None
    text = repr(value) if crossed else value
    return json_value(value), _bounded(text)


def _bounded(text: str) -> str:
    """Keeps the head and the tail of a long text."""
    if len(text) <= _REPR_CHARS:
        return text
    half = _REPR_CHARS // 2
    return f"{text[:half]} ... [{len(text) - _REPR_CHARS:,} characters dropped] ... {text[-half:]}"


def outcome_of(error: Exception) -> Outcome:
    """Tells an exception of the cell from a limit and from the loss of the worker."""
    if isinstance(error, MontyCrashedError):
        return "timeout" if error.timed_out or "duration" in str(error) else "crashed"
    if isinstance(error, CellRefused):
        return "error"
    if not isinstance(error, MontyError):
        return "crashed"
    text = str(error)
    if text.startswith("TimeoutError: feed time limit exceeded"):
        return "timeout"
    if text.startswith("MemoryError: memory limit exceeded"):
        return "memory"
    return "stack" if text.startswith("RecursionError: maximum recursion depth") else "error"


def cell_error(
    error: Exception | None, outcome: Outcome, feeds: Mapping[str, CellSource], limits: CellLimits
) -> CellError:
    """Describes the end of a cell.

    Args:
        error: What Monty raised; None for a cell that reached its end and a limit at once.
        outcome: What `outcome_of` made of it.
        feeds: Each cell by the file name that Monty gave it.
        limits: What the cell could use.
    """
    if isinstance(error, CellRefused):
        said = f"the cell was not run: {_bounded(str(error))}"
        return CellError("TypeCheckError", said, f"TypeCheckError: {said}", error.line)
    inner = error.exception() if isinstance(error, MontyError) else error
    frames = _frames(error, feeds)
    line = next((number for name, number, _ in reversed(frames) if name), None)
    if outcome != "error" or inner is None:
        name, message = _LIMIT_NAMES[outcome], _reached(outcome, limits) or f"the sandbox's worker ended: {error}"
    else:
        name, message = type(inner).__name__, str(inner.args[0]) if inner.args else ""
        if message.startswith("Internal error in monty: exceptions can only be called"):
            message = "an exception of this REPL takes one string at most; write KeyError(str(key))"
        text = str(error)
        name = text.partition(":")[0] if ":" in text and text.partition(":")[0].isidentifier() else name
    message = _bounded(message)
    lines = ["Traceback (most recent call last):", *(text for _, _, text in _folded(frames))] if frames else []
    return CellError(name, message, "\n".join([*lines, f"{name}: {message}" if message else name]), line)


def _reached(outcome: Outcome, limits: CellLimits) -> str:
    """Says which limit a cell reached; empty for an outcome that is none."""
    return {
        "timeout": f"the cell ran longer than {limits.cell_timeout_s:g} s",
        "memory": f"the cell needed more than {limits.memory_bytes / 2**20:,.0f} MiB",
        "stack": f"the cell called deeper than {limits.recursion_depth} levels",
        "output": f"the cell printed more than {limits.output_flood_bytes:,} bytes",
    }.get(outcome, "")


def _frames(error: Exception | None, feeds: Mapping[str, CellSource]) -> list[tuple[bool, int, str]]:
    """Gives each frame as (is it the cell's, line, text)."""
    if not isinstance(error, MontySyntaxError | MontyRuntimeError):
        return []
    found = []
    for frame in error.traceback():
        cell = feeds.get(frame.filename)
        line, source = cell.line(frame.line) if cell else (frame.line, "")
        where = f'  File "<rlm_session>", line {line}'
        if not isinstance(error, MontySyntaxError):
            where += f", in {frame.function_name or '<module>'}"
        if cell or not frame.filename.startswith("<python-input"):
            found.append((bool(cell), line, f"{where}\n    {source}" if source else where))
    return found


def _folded(frames: list[tuple[bool, int, str]]) -> list[tuple[bool, int, str]]:
    """Keeps three of a run of equal frames, as Python does."""
    kept: list[tuple[bool, int, str]] = []
    repeats = 0
    for frame in [*frames, None]:
        if frame is not None and len(kept) >= 3 and kept[-3:] == [frame] * 3:
            repeats += 1
            continue
        if repeats:
            kept.append((False, 0, f"  [Previous line repeated {repeats} more time{'s' if repeats > 1 else ''}]"))
            repeats = 0
        if frame is not None:
            kept.append(frame)
    return kept
