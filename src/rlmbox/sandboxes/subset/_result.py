"""From what a cell gave to an `Execution`."""

from __future__ import annotations

import math
from typing import Any

from rlmbox.sandboxes._cells import bounded
from rlmbox.sandboxes.subset.errors import SubsetError, Uncatchable
from rlmbox.sandboxes.subset.evaluate import MESSAGE_CHARS, SubsetSession
from rlmbox.sandboxes.subset.long_text import LongText
from rlmbox.sandboxes.subset.values import CellFrozenSet, CellSet, same_kind, weigh
from rlmbox.sandboxes.worker._values import to_json
from rlmbox.types import CellError, CellOutcome

_OUTCOMES: dict[str, tuple[CellOutcome, str]] = {
    "steps": ("timeout", "ExecutionTimeout"),
    "wall clock": ("timeout", "ExecutionTimeout"),
    "memory": ("memory", "MemoryExceeded"),
    "output": ("output", "OutputExceeded"),
}
_MAX_DEPTH = 50


def encodable(text: str) -> str:
    """Return a text that can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def cell_error(session: SubsetSession, error: SubsetError) -> tuple[CellOutcome, CellError]:
    """Return how a cell ended.

    Args:
        session: Its session.
        error: Its error.
    """
    outcome, name = _OUTCOMES.get(error.limit, ("error", error.code))
    if error.code == "RecursionError":
        outcome, name = "stack", "StackOverflow"
    message = encodable(f"{error.message}: {error.hint}" if error.hint else error.message)
    shown = SubsetError(name, message, error.line, error.column, "", "", error.frames)
    trace = encodable(session.traceback(shown))
    if error.code in ("SyntaxError", "IndentationError", "TabError") and not error.frames:
        trace = f'  File "<rlm_session>"\n{trace}'
    return outcome, CellError(name, message, trace, error.line)


def value_of(session: SubsetSession, value: Any) -> tuple[object, str | None]:
    """Return the value of a last expression as JSON, and its bounded `repr`; None and None for None."""
    if value is None:
        return None, None
    try:
        shown = encodable(bounded(session.shown(value), MESSAGE_CHARS))
    except (Uncatchable, RecursionError):
        shown = f"<{same_kind(value)}, too large to be shown>"
        return shown, shown
    try:
        weigh(session.meter, value, as_text=True)
        return _json(value, shown, 0), shown
    except (Uncatchable, RecursionError, ValueError):
        return shown, shown


def _hashable(value: Any) -> Any:
    """Return an item of a set as Python's own, for the one rule by which sets are ordered."""
    if value.__class__ is tuple:
        return tuple(_hashable(item) for item in value)
    return frozenset(_hashable(item) for item in value.items) if value.__class__ is CellFrozenSet else value


def _json(value: Any, shown: str, depth: int) -> object:
    if value is None or value.__class__ in (bool, int):
        return value
    if value.__class__ is str:
        return encodable(value)
    if value.__class__ is float:
        return value if math.isfinite(value) else repr(value)
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if value.__class__ is bytes:
        return to_json(value)
    if value.__class__ in (CellSet, CellFrozenSet):
        return to_json({_hashable(item) for item in value.items})
    if isinstance(value, list | tuple):
        return [_json(item, "", depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            encodable(key if key.__class__ is str else repr(key)): _json(item, "", depth + 1)
            for key, item in value.items()
        }
    return shown or encodable(repr(value))


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
