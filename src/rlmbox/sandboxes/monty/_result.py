"""Conversion of Monty's results and exceptions to an `Execution`."""

from __future__ import annotations

import ast
import builtins
import importlib
import io
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_monty import (
    MontyClassProxy,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontyStdTypeProxy,
    MontySyntaxError,
)

from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes.monty._caught import SLICES_ARE_KEYS
from rlmbox.sandboxes.monty._code import REPR_CHARS, CellSource
from rlmbox.sandboxes.monty._host import without_proxies
from rlmbox.sandboxes.monty._refusals import native_modules
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.sandboxes.monty._types import TypeProblem
from rlmbox.sandboxes.monty.modules._words import STATISTICS, in_this_version, type_name
from rlmbox.sandboxes.worker._values import MAX_LEVELS, to_json
from rlmbox.types import CellError, CellLimits, CellOutcome, cut_middle

_OBJECT_CHARS = 1_000
_LIMIT_NAMES: dict[CellOutcome, str] = {
    "timeout": "ExecutionTimeout",
    "memory": "MemoryExceeded",
    "stack": "StackOverflow",
    "output": "OutputExceeded",
    "crashed": "SandboxCrashed",
}


class CheckFailed(Exception):
    """Raised for a cell that is not run because of a type error.

    Args:
        findings: The errors that the checker reports.
    """

    def __init__(self, findings: Sequence[TypeProblem]) -> None:
        super().__init__("; ".join(f"line {found.line}: {found.message}" for found in findings))
        self.line = findings[0].line


class Printed:
    """The bounded output of a cell.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: CellLimits) -> None:
        self.stdout, self.stderr = BoundedText(limits.output_chars), BoundedText(limits.output_chars)
        self._flood_bytes = limits.output_flood_bytes

    @property
    def flooded(self) -> bool:
        """Return whether the output exceeds what a cell may print at all."""
        return self.stdout.size_bytes + self.stderr.size_bytes > self._flood_bytes

    def take(self, stream: str, text: str) -> None:
        (self.stderr if stream == "stderr" else self.stdout).write(text)


def value_of(result: Any, as_shown: Callable[[str], str]) -> tuple[object, str | None]:
    """Return the JSON form and the bounded `repr` of a value that `_rlm_value` returned; twice None for None.

    Args:
        result: The result of `_rlm_value`.
        as_shown: Converts the `repr` of functions and objects to CPython's.
    """
    value, shown = result
    if value is None:
        return None, None
    written = as_shown(shown)
    if isinstance(value, MontyStdTypeProxy) or (isinstance(value, MontyClassProxy) and not value.is_dataclass):
        return _ADDRESS.sub("", written[:_OBJECT_CHARS]), written
    found = to_json(without_proxies(value))
    return found if written == shown and " at 0x" not in shown else each_text(
        found, lambda text: without_place(as_shown(text))
    ), written


def without_place(text: str) -> str:
    """Return the `repr` of a function without its address; any other text unchanged."""
    return _ADDRESS.sub("", text) if text.startswith("<function ") else text


def each_text(value: Any, change: Callable[[str], str], depth: int = 0) -> Any:
    """Return a value with a function applied to the strings in its lists, tuples and dicts, except keys.

    Args:
        value: The value.
        change: Returns the replacement of a string.
        depth: How many containers it is nested in; what is deeper than may leave a cell is unchanged.
    """
    if isinstance(value, str):
        return change(value)
    if depth > MAX_LEVELS:
        return value
    if type(value) in (list, tuple):
        return type(value)(each_text(item, change, depth + 1) for item in value)
    if type(value) is dict:
        return {key: each_text(item, change, depth + 1) for key, item in value.items()}
    return value


def outcome_of(error: Exception) -> CellOutcome:
    """Classify an exception as the cell's, a limit reached, or the loss of the worker."""
    text = str(error)
    if isinstance(error, MontyCrashedError):
        return "timeout" if error.timed_out or "duration" in text else "crashed"
    if isinstance(error, CheckFailed):
        return "error"
    if not isinstance(error, MontyError):
        # A value with no form outside the worker; or the worker is lost.
        return "error" if isinstance(error, ValueError | RecursionError | TypeError) else "crashed"
    if text.startswith("TimeoutError: feed time limit exceeded"):
        return "timeout"
    if text.startswith(("MemoryError: memory limit exceeded", "MemoryError: the worker exceeded")):
        return "memory"
    return "stack" if text.startswith("RecursionError: maximum recursion depth") else "error"


def cell_error(
    error: Exception | None,
    outcome: CellOutcome,
    feeds: Mapping[str, CellSource],
    limits: CellLimits,
) -> CellError:
    """Describe how a cell failed.

    Args:
        error: What Monty raised; None for a cell that finished but reached a limit.
        outcome: The result of `outcome_of`.
        feeds: Each cell by the file name that Monty gave it.
        limits: The cell's limits.
    """
    if isinstance(error, CheckFailed):
        said = f"the cell was not run: {cut_middle(str(error), REPR_CHARS)}"
        return CellError("TypeCheckError", said, f"TypeCheckError: {said}", error.line)
    inner = error.exception() if isinstance(error, MontyError) else error
    frames = _frames(error, feeds)
    line = next((number for name, number, _ in reversed(frames) if name), None)
    if outcome != "error" or inner is None:
        name, message = _LIMIT_NAMES[outcome], _reached(outcome, limits) or f"the sandbox's worker ended: {error}"
    else:
        name, message = type(inner).__name__, str(inner.args[0]) if inner.args else ""
        if isinstance(inner, UnicodeError):
            message = str(inner)
        of_cell = _OF_CELL.fullmatch(message)
        if of_cell is not None:
            return _cell_error_of(of_cell[1], of_cell[2], frames, line)
        if message.startswith("Internal error in monty: exceptions can only be called"):
            name = "NotImplementedError"
            message = "an exception of this REPL takes one string at most; write KeyError(str(key))"
        text = str(error) if name != "NotImplementedError" else ""
        kind = text.partition(":")[0].rpartition(".")[2]  # of `json.JSONDecodeError` too
        name = kind if ":" in text and kind.isidentifier() else name
        name, message = in_words(name, message, feeds)
        name, message = type_name(name), in_this_version(name, message)
        if name in ("AttributeError", "TypeError"):
            classes = frozenset[str]().union(*(cell.binds.classes for cell in feeds.values()))
            message = _OF_RE.sub(lambda found: found[0] if found[0] in classes else f"re.{found[0]}", message)
        elif name == "KeyError":
            message = _key_shown(message)
        elif name == "SystemExit":
            message = f"exit({message}) ended the cell; the session goes on"  # as the other sandboxes say
    return _cell_error_of(name, message, frames, line)


def _key_shown(key: str) -> str:
    """Return a missing key, of which Monty gives the text, as `KeyError` shows it: a text in quotes.

    What may be the text of another value, such as `1` or a date, stays as it is.
    """
    if not key or _OF_OBJECTS.fullmatch(key):
        return key
    try:
        ast.literal_eval(key)
    except (ValueError, SyntaxError):
        return repr(key)
    except (MemoryError, RecursionError):
        pass
    return key


def _cell_error_of(name: str, message: str, frames: list[tuple[bool, int, str]], line: int | None) -> CellError:
    message = cut_middle(message, REPR_CHARS)
    lines = ["Traceback (most recent call last):", *(text for _, _, text in _folded(frames))] if frames else []
    return CellError(name, message, "\n".join([*lines, f"{name}: {message}" if message else name]), line)


def refusal_error(refusal: CellRefused, lines: Sequence[str]) -> CellError:
    """Describe a cell that was refused, before or while it ran, in the form of a syntax error.

    Args:
        refusal: The refusal.
        lines: The lines of the cell.
    """
    message, line = str(refusal), refusal.line
    shown = [f"{refusal.type_name}: {message}"]
    if line is not None and 0 < line <= len(lines):
        shown = [f'  File "<rlm_session>", line {line}', f"    {lines[line - 1].strip()}", *shown]
    return CellError(refusal.type_name, message, "\n".join(shown), line)


_OF_DATES = {
    "fromisocalendar": "datetime.strptime('2024 09 4', '%G %V %u')",
    "timetuple": "d.year, d.month and the like, and int(d.strftime('%j')) for the day of the year",
    "today": "datetime.now()",
    "utcnow": "datetime.now(timezone.utc).replace(tzinfo=None)",
}
"""What to write in the place of what Monty's dates lack."""


def in_words(name: str, message: str, feeds: Mapping[str, CellSource]) -> tuple[str, str]:
    """Return the type and message of an error, with a hint if it is caused by a lack of Monty's.

    Args:
        name: Name of the type.
        message: The message.
        feeds: Each cell by the file name that Monty gave it; messages that a cell itself contains get no hint.
    """
    if _CANNOT_SUSPEND.search(message):
        return "NotImplementedError", (
            "a builtin, an operator or an iterator cannot call a function of the host in this REPL: call it in "
            "a list comprehension, such as [llm_query(x) for x in xs], and go on with the list"
        )
    lack_of = _NOT_YET.search(message)
    if lack_of is not None and not any(lack_of[0] in cell.code for cell in feeds.values()):
        return "NotImplementedError", f"{message} (this REPL's Python is Monty, a subset)"
    if _OF_HANDLES.search(message):
        return name, (
            f"{_OF_HANDLES.sub(lambda found: found[1], message)}: the context, or an input, is too long to be a str "
            "here; take a part with context[a:b], look something up with re.search(pattern, context), or, up to 32 "
            "million characters, take all of it with str(context) or list(context.splitlines())"
        )
    if _VIEWS.search(message):
        return "NotImplementedError", f"{message}: compare with <= and <, or make sets or dicts of views"
    if (other := _of_another_type(name, message)) is not None:
        return other
    missing = _NO_ATTRIBUTE.match(message) if name == "AttributeError" else None
    lack = _lacking(missing[1], missing[2], message) if missing else None
    return (name, message) if lack is None else ("NotImplementedError", lack)


def _lacking(kind: str, attribute: str, message: str) -> str | None:
    """Return the refusal of an attribute that CPython has; None if CPython lacks it too."""
    if attribute == "__doc__":
        return f"__doc__ of a {kind} is not in this REPL's Python: use a text beside it"
    if kind in ("module", "Module"):
        return f"{attribute} of this module is not in this REPL's Python: use plain Python"
    if kind == "function" and message.endswith(_NO_DICT):
        return f"{attribute} of a function is not in this REPL's Python: use a dict beside it"
    if kind == "function" and attribute.startswith("__"):
        return f"{attribute} of a function is not in this REPL's Python: keep the name yourself"
    if kind.endswith("Error") and attribute in _OF_ERRORS:
        return f"{kind}.{attribute} is not in this REPL's Python: use str(error)"
    if _python_has(kind, attribute):
        way = _OF_DATES.get(attribute, "other methods") if kind.startswith("datetime.") else "other methods"
        return f"{kind}.{attribute} is not in this REPL's Python: use {way}"
    return None


def _of_another_type(name: str, message: str) -> tuple[str, str] | None:
    """Return the type and message in CPython of an error that has another type there."""
    if name == "KeyError" and _OF_SLICES.match(message) and not SLICES_ARE_KEYS:
        return "TypeError", "unhashable type: 'slice'"
    if name == "ValueError" and STATISTICS.fullmatch(message):
        return "StatisticsError", message
    if name == "SyntaxError" and (found := _OF_INDENTATION.match(message)):
        return "TabError" if found[1] else "IndentationError", message
    if name == "TypeError" and _OUT_OF_DATES.fullmatch(message):
        return "OverflowError", "date value out of range"
    return None


_OF_OBJECTS = re.compile(r"<.*>|[\w.]+\(.*\)|nan|inf|\d{4}-\d\d-\d\d.*", re.DOTALL)
_OF_HANDLES = re.compile(r"\b_rlm_(LargeText|Lines)\b")
_OUT_OF_DATES = re.compile(r"unsupported operand type\(s\) for [+-]: 'datetime\.date(time)?' and 'datetime\.timedelta'")
_OF_INDENTATION = re.compile(
    r"(?:unexpected indent|unindent does not match|expected an indented block|(inconsistent use of tabs)).*"
    r"\(<unknown>, line "
)
_OF_SLICES = re.compile(r"'?slice\(")
_OF_CELL = re.compile(r"_rlm_error \d+ (\w+): (.*)", re.DOTALL)
"""The message of an exception that a cell defined; see `modules/errors.monty`."""
_OF_RE = re.compile(r"(?<=['\"])(Match|Pattern)(?=['\"])")
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+(?=>)")
_CANNOT_SUSPEND = re.compile(r"suspend|external function .* cannot|host call", re.IGNORECASE)
_NOT_YET = re.compile(
    r"not yet support|'of_typing'|must be sys\.stdout or sys\.stderr|^Python int too large to convert to C ssize_t"
    r"|^Internal error in monty|unhashable type: '\w*(Error|Exception|StopIteration)'"
    r"|^ord\(\) expected string of length 1, but bytes found"
)
_NO_DICT = " and no __dict__ for setting new attributes"
_SET = "'(set|frozenset)'"
_VIEWS = re.compile(rf"not supported between instances of ('dict_(items|keys)'|{_SET} and {_SET})")
_OF_ERRORS = frozenset(
    {"pos", "lineno", "colno", "doc", "msg", "errno", "filename", "strerror", "name", "obj", "reason"}
)
_NO_ATTRIBUTE = re.compile(r"(?:type object |module )?'([\w.]+)'(?: object)? has no attribute '(\w+)'")


_OF_TYPES = {
    "coroutine": types.CoroutineType,
    "function": types.FunctionType,
    "generator": types.GeneratorType,
    "method": types.MethodType,
    "module": types.ModuleType,
    "Stream": io.BytesIO,
    "list_iterator": type(iter([])),
    "tuple_iterator": type(iter(())),
    "dict_keys": type({}.keys()),
    "dict_values": type({}.values()),
    "dict_items": type({}.items()),
}


def _module_of(kind: str) -> set[str]:
    """Return the module that qualifies a type's name, if Monty has it."""
    return {kind.rpartition(".")[0]} & native_modules().keys()


def _python_has(kind: str, attribute: str) -> bool:
    """Return whether CPython's type or module of a name has an attribute."""
    owner = getattr(builtins, kind, None) or _OF_TYPES.get(kind)
    for module in {"datetime", "decimal", "collections", "re", "pathlib", "random", *_module_of(kind)}:
        owner = owner or getattr(importlib.import_module(module), kind.rpartition(".")[2], None)
    if owner is None and kind in native_modules():
        owner = importlib.import_module(kind)
    return owner is not None and hasattr(owner, attribute)


def _reached(outcome: CellOutcome, limits: CellLimits) -> str:
    """Name the limit that a cell reached; empty for an outcome that is no limit."""
    return {
        "timeout": f"the cell ran longer than {limits.cell_timeout_s:g} s",
        "memory": f"the cell needed more than {limits.memory_bytes / 2**20:,.0f} MiB",
        "stack": f"the cell called deeper than {limits.recursion_depth} levels",
        "output": f"the cell printed more than {limits.output_flood_bytes:,} bytes",
    }.get(outcome, "")


def _frames(error: Exception | None, feeds: Mapping[str, CellSource]) -> list[tuple[bool, int, str]]:
    """Return each frame as (is it the cell's, line, text)."""
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
    """Collapse a run of equal frames to three, as Python does."""
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
