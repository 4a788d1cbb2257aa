"""The JSON form of a value that leaves a cell, by the one rule that holds in every sandbox."""

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
"""Most containers within one another."""

_SEQUENCES: frozenset[Any] = frozenset({list, tuple, range, *DictView})
_VALUE_BYTES = 8


def argument_form(meter: Meter, value: Any, what: str) -> Any:
    """Return the form of an argument of a host function, which consumes iterators as any function does.

    Args:
        meter: Counts the work.
        value: The argument.
        what: Names it in an error.

    Raises:
        TypeError: It is or holds something without a form, such as a function, or is nested too deeply.
    """
    if value is None or value.__class__ in (bool, int):
        return value
    weigh(meter, value)
    return to_json(_Copying(meter, what, consumes=True).copy(value, 0))


def shown_form(meter: Meter, value: Any) -> Any:
    """Return the form of a value that is shown, which stays as it is: an iterator, or a function, is its `repr`.

    Args:
        meter: Counts the work.
        value: The value.

    Raises:
        TypeError: It is nested too deeply, or holds a text that is too long to leave.
    """
    weigh(meter, value, as_text=True)
    return to_json(_Copying(meter, "the value", consumes=False).copy(value, 0))


class _Copying:
    """Copies values with Python's own in the place of what only cells have."""

    def __init__(self, meter: Meter, what: str, *, consumes: bool) -> None:
        self._meter, self._what, self._consumes = meter, what, consumes

    def copy(self, value: Any, level: int) -> Any:
        if value.__class__ in SCALARS:
            return _whole(value)
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
        return _whole(repr(value))

    def _listed(self, items: Iterable[Any], level: int) -> list[Any]:
        return [self.copy(item, level + 1) for item in items]


def _whole(value: Any) -> Any:
    """Return a scalar, of a text without halves of characters."""
    return utf8(value).decode() if value.__class__ is str and not value.isascii() else value


def _hashable(value: Any) -> Any:
    """Return an item of a set, or a key, as Python's own."""
    if value.__class__ is tuple:
        return tuple(map(_hashable, value))
    return frozenset(map(_hashable, value.items)) if value.__class__ is CellFrozenSet else _whole(value)
