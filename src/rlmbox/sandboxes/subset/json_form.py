"""The JSON form of a value that leaves a cell, as defined for all sandboxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import (
    SCALARS,
    CellFrozenSet,
    CellIterator,
    CellSet,
    DictView,
    Module,
    counted,
    same_kind,
    weigh,
)
from rlmbox.sandboxes.worker._values import to_json
from rlmbox.sandboxes.worker._worker import utf8

MAX_LEVELS = 50
"""Deepest nesting of containers."""

_SEQUENCES: frozenset[Any] = frozenset({list, tuple, range, *DictView})
_VALUE_BYTES = 8


def argument_form(meter: Meter, value: Any, what: str) -> Any:
    """Return the JSON form of an argument of a host function; iterators are consumed, as by any function.

    Args:
        meter: Counts the work.
        value: The argument.
        what: Its name in an error.

    Raises:
        TypeError: It contains something without a JSON form, such as a function, or is nested too deeply.
    """
    if value is None or value.__class__ in (bool, int):
        return value
    weigh(meter, value)
    return to_json(_Copying(meter, what, consumes=True).copy(value, 0))


def shown_form(meter: Meter, value: Any) -> Any:
    """Return the JSON form of a displayed value; iterators and functions are replaced by their `repr`.

    Args:
        meter: Counts the work.
        value: The value.

    Raises:
        TypeError: It is nested too deeply, or contains a text that is too long to leave.
    """
    weigh(meter, value, as_text=True)
    return to_json(_Copying(meter, "the value", consumes=False).copy(value, 0))


class _Copying:
    """Copies values, converting the types of cells to Python's own."""

    def __init__(self, meter: Meter, what: str, *, consumes: bool) -> None:
        self._meter, self._what, self._consumes = meter, what, consumes

    def copy(self, value: Any, level: int) -> Any:
        if value.__class__ in SCALARS:
            return _scalar(value)
        if value.__class__ is LongText:
            raise needs_whole(self._what, value)
        if level > MAX_LEVELS:
            raise TypeError(f"{self._what} is nested deeper than {MAX_LEVELS} levels")
        if value.__class__ is CellIterator and self._consumes:
            return self._listed(counted(self._meter, value), level)
        if value.__class__ in _SEQUENCES:
            self._meter.make_items(len(value), _VALUE_BYTES)
            return self._listed(value, level)
        if isinstance(value, CellSet):
            self._meter.make_items(len(value), _VALUE_BYTES)
            return set(map(_hashable, value.items))
        if isinstance(value, Mapping) and not isinstance(value, Module):
            self._meter.make_items(len(value), _VALUE_BYTES)
            return {_hashable(key): self.copy(item, level + 1) for key, item in value.items()}
        if self._consumes:
            raise TypeError(
                f"{self._what} must be made of text, numbers, bytes, lists, sets and dicts, not {same_kind(value)}"
            )
        return _scalar(repr(value))

    def _listed(self, items: Iterable[Any], level: int) -> list[Any]:
        return [self.copy(item, level + 1) for item in items]


def _scalar(value: Any) -> Any:
    """Return a scalar, with lone surrogates of a string replaced."""
    return utf8(value).decode() if value.__class__ is str and not value.isascii() else value


def _hashable(value: Any) -> Any:
    """Convert an item of a set, or a key, to Python's own types."""
    if value.__class__ is tuple:
        return tuple(map(_hashable, value))
    return frozenset(map(_hashable, value.items)) if value.__class__ is CellFrozenSet else _scalar(value)
