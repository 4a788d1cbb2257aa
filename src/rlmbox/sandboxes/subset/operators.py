"""Python's operators, computed after the size of the result is bounded."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from re import RegexFlag
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset.errors import forbidden_syntax
from rlmbox.sandboxes.subset.formatting import percent
from rlmbox.sandboxes.subset.grammar import hint_of
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import INT_BOUND, Meter
from rlmbox.sandboxes.subset.regex import Match
from rlmbox.sandboxes.subset.values import (
    SCALARS,
    CellFrozenSet,
    CellIterator,
    CellSet,
    DictView,
    check_hashable,
    collect,
    counted,
    length,
    same_kind,
    weigh,
)

Binary = Callable[[Meter, Any, Any], Any]

_NUMBERS = frozenset({int, float, bool})
_WHOLE: frozenset[type] = frozenset({int, bool})
_SEQUENCES: frozenset[type] = frozenset({str, bytes, list, tuple})
_SETS = frozenset({CellSet, CellFrozenSet})
_DICTS = frozenset({dict, Counter, defaultdict})
_ENTRY_BYTES = 104


def _wide(*texts: Any) -> bool:
    return any(text.__class__ is str and not text.isascii() for text in texts)


def add(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a + b`."""
    kind = a.__class__
    if kind is int and b.__class__ is int:
        found = a + b
        return found if -INT_BOUND < found < INT_BOUND else meter.digits(found)
    if kind is b.__class__ and kind in _SEQUENCES:
        if kind is str or kind is bytes:
            meter.make_text(len(a) + len(b), _wide(a, b))
        else:
            meter.make_items(len(a) + len(b))
        return a + b
    return _plain(meter, operator.add, a, b)


def subtract(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a - b`."""
    if a.__class__ is int and b.__class__ is int:
        found = a - b
        return found if -INT_BOUND < found < INT_BOUND else meter.digits(found)
    return _set_operation(meter, operator.sub, a, b)


def multiply(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a * b`."""
    if b.__class__ in _SEQUENCES and a.__class__ not in _SEQUENCES:
        a, b = b, a
    kind, other = a.__class__, b.__class__
    if kind in _SEQUENCES and other in _WHOLE:
        times = max(0, b)
        if kind is str or kind is bytes:
            meter.make_text(len(a) * times, _wide(a))
        else:
            meter.make_items(len(a) * times)
        return a * b
    if kind is int and other is int:
        meter.check_digits(a.bit_length() + b.bit_length())
        return meter.digits(a * b)
    return _plain(meter, operator.mul, a, b)


def power(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a ** b`."""
    if a.__class__ in (int, bool) and b.__class__ in (int, bool) and b > 0 and a not in (0, 1, -1):
        meter.check_digits((abs(a).bit_length() - 1) * b)
        return meter.digits(a**b)
    found = _plain(meter, operator.pow, a, b)
    if found.__class__ is complex:
        raise forbidden_syntax("a complex number", hint_of("complex number"))
    return found


def shift_left(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a << b`."""
    if a.__class__ in (int, bool) and b.__class__ in (int, bool) and b > 0 and a:
        meter.check_digits(a.bit_length() + b)
    return _plain(meter, operator.lshift, a, b)


def remainder(meter: Meter, a: Any, b: Any) -> Any:
    """Return `a % b`; formats if `a` is a text."""
    if a.__class__ is str:
        return percent(meter, a, b)
    if a.__class__ is bytes:
        raise forbidden_syntax("% on bytes", "format a str and encode it")
    return _plain(meter, operator.mod, a, b)


def _plain(meter: Meter, do: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Apply an operator whose result is small, or that raises a TypeError."""
    if a.__class__ is LongText or b.__class__ is LongText:
        raise needs_whole("this operator", a if a.__class__ is LongText else b)
    if a.__class__ is Counter and b.__class__ is Counter:
        meter.make_items(len(a) + len(b), _ENTRY_BYTES)
    return meter.digits(do(a, b))


def _set_operation(meter: Meter, do: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    kind, other = a.__class__, b.__class__
    if kind in _NUMBERS or kind is RegexFlag:
        return meter.digits(do(a, b))
    if kind in DictView or other in DictView:
        if kind is DictView[1] or other is DictView[1]:
            raise TypeError(f"unsupported operand type(s): '{same_kind(a)}' and '{same_kind(b)}'")
        a, b = CellSet(collect(meter, a)), CellSet(collect(meter, b))
    if a.__class__ in _SETS | _DICTS and b.__class__ in _SETS | _DICTS:
        meter.make_items(len(a) + len(b), _ENTRY_BYTES)
    return do(a, b)


def _set_like(do: Callable[[Any, Any], Any]) -> Binary:
    def run(meter: Meter, a: Any, b: Any) -> Any:
        return _set_operation(meter, do, a, b)

    return run


def _simple(do: Callable[[Any, Any], Any]) -> Binary:
    def run(meter: Meter, a: Any, b: Any) -> Any:
        return _plain(meter, do, a, b)

    return run


BINARY: Mapping[str, Binary] = MappingProxyType(
    {
        "Add": add,
        "Sub": subtract,
        "Mult": multiply,
        "Pow": power,
        "LShift": shift_left,
        "Mod": remainder,
        "Div": _simple(operator.truediv),
        "FloorDiv": _simple(operator.floordiv),
        "RShift": _simple(operator.rshift),
        "BitAnd": _set_like(operator.and_),
        "BitOr": _set_like(operator.or_),
        "BitXor": _set_like(operator.xor),
    }
)
"""Binary operators, by the name of their node."""


def augmented(meter: Meter, name: str, a: Any, b: Any) -> Any:
    """Return the value that `a += b` and the like assign; lists, sets and dictionaries are modified in place."""
    kind = a.__class__
    if kind is list and name == "Add":
        items = collect(meter, b)
        meter.make_items(len(items))
        a += items
        return a
    if kind is list and name == "Mult" and b.__class__ in (int, bool):
        meter.make_items(len(a) * max(0, b))
        a *= b
        return a
    found = BINARY[name](meter, a, b)
    if kind in (CellSet, dict, Counter, defaultdict) and found.__class__ is kind and name in _IN_PLACE:
        if kind is CellSet:
            a.items = found.items
        else:
            a.clear()
            a.update(found)
        return a
    return found


_IN_PLACE = frozenset({"BitOr", "BitAnd", "Sub", "BitXor", "Add"})


UNARY: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert}
)
"""Unary operators, by the name of their node."""


def _ordered(do: Callable[[Any, Any], Any]) -> Binary:
    def run(meter: Meter, a: Any, b: Any) -> Any:
        if a.__class__ not in SCALARS or b.__class__ not in SCALARS:
            weigh(meter, a)
            weigh(meter, b)
        elif a.__class__ is str:
            meter.scan(len(a))
        return do(a, b)

    return run


def contains(meter: Meter, item: Any, container: Any) -> bool:
    """Return `item in container`."""
    kind = container.__class__
    if kind is str or kind is bytes:
        meter.scan(len(container))
    elif kind is CellIterator:
        weigh(meter, item)
        return any(item is each or item == each for each in counted(meter, container))
    elif kind in _DICTS or kind in _SETS or kind is DictView[0] or kind is DictView[2]:
        check_hashable(meter, item)
        if kind in _SETS and item.__class__ is CellSet:
            item = CellFrozenSet(item.items)
    elif kind is range:
        if item.__class__ not in (int, bool):
            meter.go_through(length(container))
    elif kind is list or kind is tuple or kind is DictView[1]:
        meter.go_through(len(container))
        if item.__class__ not in SCALARS:
            weigh(meter, item)
            weigh(meter, container)
    return item in container


def identical(a: Any, b: Any) -> bool:
    """Return `a is b`; equal texts and numbers are identical, so that the result does not depend on the host."""
    kind = a.__class__
    return a is b or (kind is b.__class__ and kind in SCALARS and a == b)


COMPARISONS: Mapping[str, Binary] = MappingProxyType(
    {
        "Eq": _ordered(operator.eq),
        "NotEq": _ordered(operator.ne),
        "Lt": _ordered(operator.lt),
        "LtE": _ordered(operator.le),
        "Gt": _ordered(operator.gt),
        "GtE": _ordered(operator.ge),
        "In": contains,
        "NotIn": lambda meter, a, b: not contains(meter, a, b),
        "Is": lambda _, a, b: identical(a, b),
        "IsNot": lambda _, a, b: not identical(a, b),
    }
)
"""Comparisons, by the name of their node."""

_SUBSCRIPTABLE = frozenset({str, bytes, list, tuple, dict, range, Counter, defaultdict, Match, LongText})


def item_of(meter: Meter, container: Any, key: Any) -> Any:
    """Return `container[key]`."""
    kind = container.__class__
    if kind not in _SUBSCRIPTABLE:
        if kind.__name__ == "type":
            raise TypeError(f"type '{container.name}' is not subscriptable")
        raise TypeError(f"'{same_kind(container)}' object is not subscriptable")
    if key.__class__ is slice:
        return _slice_of(meter, container, key)
    if key.__class__ is tuple or key.__class__ is CellFrozenSet:
        check_hashable(meter, key)
    if kind is defaultdict or kind is LongText:
        meter.take(_ENTRY_BYTES)
    return container[key]


def _slice_of(meter: Meter, container: Any, key: slice) -> Any:
    kind = container.__class__
    if kind in _SEQUENCES or kind is LongText:
        chosen = len(range(*key.indices(len(container))))
        if kind is list or kind is tuple:
            meter.make_items(chosen)
        else:
            meter.make_text(chosen, kind is LongText or _wide(container))
    elif kind in _DICTS:
        raise TypeError("unhashable type: 'slice'")
    return container[key]


def set_item(meter: Meter, container: Any, key: Any, value: Any) -> None:
    """Execute `container[key] = value`."""
    kind = container.__class__
    if kind is list:
        if key.__class__ is slice:
            value = collect(meter, value)
            meter.make_items(len(value))
            meter.go_through(len(container))
    elif kind in _DICTS:
        if key.__class__ is slice:
            raise TypeError("unhashable type: 'slice'")
        check_hashable(meter, key)
        meter.take(_ENTRY_BYTES)
    else:
        raise TypeError(f"'{same_kind(container)}' object does not support item assignment")
    container[key] = value


def delete_item(meter: Meter, container: Any, key: Any) -> None:
    """Execute `del container[key]`."""
    kind = container.__class__
    if kind is list:
        meter.go_through(len(container))
    elif kind in _DICTS and key.__class__ is not slice:
        check_hashable(meter, key)
    elif kind not in SCALARS and kind is not tuple and kind is not range:  # for these Python raises the error itself
        raise TypeError(f"'{same_kind(container)}' object does not support item deletion")
    del container[key]
