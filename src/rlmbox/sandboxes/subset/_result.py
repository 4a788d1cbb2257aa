"""Conversion of a cell's result to an `Execution`."""

from __future__ import annotations

import re
from typing import Any

from rlmbox.sandboxes.subset.errors import SubsetError, Uncatchable
from rlmbox.sandboxes.subset.evaluate import MESSAGE_CHARS, SubsetSession
from rlmbox.sandboxes.subset.json_form import shown_form
from rlmbox.sandboxes.subset.long_text import LongText
from rlmbox.sandboxes.subset.values import CONTAINERS, SCALARS, same_kind
from rlmbox.types import CellError, CellOutcome, cut_middle

_OUTCOMES: dict[str, tuple[CellOutcome, str]] = {
    "steps": ("timeout", "ExecutionTimeout"),
    "wall clock": ("timeout", "ExecutionTimeout"),
    "memory": ("memory", "MemoryExceeded"),
    "output": ("output", "OutputExceeded"),
}


_WANTS_STR = re.compile(r"\bLongText\b|^encoding without a string argument$")
_NO_STR = "a text this long is no str in this REPL: take a part, context[a:b], or use ctx"


def encodable(text: str) -> str:
    """Return a text that can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def cell_error(session: SubsetSession, error: SubsetError) -> tuple[CellOutcome, CellError]:
    """Return the outcome and the error of a cell that failed.

    Args:
        session: The cell's session.
        error: Why it failed.
    """
    outcome, name = _OUTCOMES.get(error.limit, ("error", error.code))
    if error.code == "RecursionError":
        outcome, name = "stack", "StackOverflow"
    hint = error.hint or (_NO_STR if error.code == "TypeError" and _WANTS_STR.search(error.message) else "")
    message = encodable(f"{error.message}: {hint}" if hint else error.message)
    shown = SubsetError(name, message, error.line, error.column, "", "", error.frames)
    trace = encodable(session.traceback(shown))
    if error.code in ("SyntaxError", "IndentationError", "TabError") and not error.frames:
        trace = f'  File "<rlm_session>"\n{trace}'
    return outcome, CellError(name, message, trace, error.line)


def value_of(session: SubsetSession, value: Any, *, must_leave: bool) -> tuple[object, str | None]:
    """Return the JSON form and the bounded `repr` of the last expression's value; twice None for None.

    Args:
        session: The cell's session.
        value: The value.
        must_leave: Whether the expression is the whole cell, which then fails if the value is too large to leave. Any
            other cell has done its work, and only the `repr` is returned.

    Raises:
        ValueError: It is too large, and must leave.
    """
    if value is None:
        return None, None
    try:
        shown = encodable(cut_middle(session.shown(value), MESSAGE_CHARS))
    except (Uncatchable, RecursionError):
        shown = f"<{same_kind(value)}, too large to be shown>"
    if value.__class__ not in CONTAINERS | SCALARS | {range}:
        return shown, shown
    try:
        return shown_form(session.meter, value), shown
    except (Uncatchable, ValueError) as error:
        if must_leave:
            problem = error.message if isinstance(error, Uncatchable) else str(error)
            raise ValueError(f"the value is too large to leave the cell: {problem}") from None
    except (RecursionError, TypeError):
        pass
    return shown, shown


def describe_value(value: Any) -> str:
    """Return a short description of a variable, such as `list, 3 items`."""
    kind = same_kind(value)
    if value.__class__ in (int, float, bool, type(None)):
        return f"{kind}, {repr(value)[:60]}"
    if value.__class__ is LongText:
        return f"str, {len(value)} characters"
    try:
        size = len(value)
    except TypeError:
        return kind
    return f"{kind}, {size} {'characters' if value.__class__ is str else 'items'}"


__all__ = ["cell_error", "describe_value", "encodable", "value_of"]
