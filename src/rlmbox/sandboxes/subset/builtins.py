"""The builtin functions and types of a cell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from re import RegexFlag
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset.collection_methods import ordered, pairs_of
from rlmbox.sandboxes.subset.comprehensions import iterator
from rlmbox.sandboxes.subset.errors import NAMED_EXCEPTIONS
from rlmbox.sandboxes.subset.grammar import SubsetProfile, accepted
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.operators import BINARY, COMPARISONS
from rlmbox.sandboxes.subset.values import (
    SCALARS,
    Builtin,
    CellFrozenSet,
    CellIterator,
    CellSet,
    DictView,
    Function,
    TypeValue,
    check_hashable,
    collect,
    counted,
    length,
    same_kind,
    show,
    text,
)

Write = Callable[[str], None]

_ENTRY_BYTES = 104
_MISSING: Any = object()
_MAX_INT_DIGITS = 4_300


def builtins_for(profile: SubsetProfile, meter: Meter, write: Write) -> dict[str, Any]:
    """Return the functions, types and exceptions of a profile by name.

    Args:
        profile: The profile.
        meter: Counts the work.
        write: Receives the output.
    """
    names = accepted(profile, "builtin")
    found: dict[str, Any] = {
        name: Builtin(name, partial(do, meter)) for name, do in _FUNCTIONS.items() if name in names
    }
    found |= {name: TypeValue(name, types, partial(do, meter)) for name, (types, do) in _TYPES.items() if name in names}
    found["print"] = Builtin("print", partial(_print, meter, write))
    found |= {name: value for name, value in exception_types().items() if name in accepted(profile, "exception")}
    return found


@cache
def exception_types() -> Mapping[str, TypeValue]:
    """Return the exceptions that a cell can name."""
    return MappingProxyType({name: TypeValue(name, (kind,), kind) for name, kind in NAMED_EXCEPTIONS.items()})


# ---- output ---------------------------------------------------------------------------------------------------


def _print(
    meter: Meter, write: Write, /, *args: Any, sep: Any = None, end: Any = None, file: Any = None, flush: Any = None
) -> None:
    for value, name in ((sep, "sep"), (end, "end")):
        if value is not None and value.__class__ is not str:
            raise TypeError(f"{name} must be None or a string, not {same_kind(value)}")
    if file is not None:
        raise TypeError("there is only one output here; leave file= out")
    for place, value in enumerate(args):
        if place:
            write(" " if sep is None else sep)
        shown = text(meter, value)
        meter.scan(len(shown))
        write(shown)
    write("\n" if end is None else end)


# ---- functions of one value -----------------------------------------------------------------------------------


def _len(meter: Meter, value: Any, /) -> int:
    if value.__class__ in (CellSet, CellFrozenSet, LongText) or not _is_ours(value):
        return len(value)
    raise TypeError(f"object of type '{same_kind(value)}' has no len()")


def _is_ours(value: Any) -> bool:
    return value.__class__ in (CellIterator, Function, Builtin, TypeValue)


def _abs(meter: Meter, value: Any, /) -> Any:
    return abs(value)


def _chr(meter: Meter, value: Any, /) -> str:
    return chr(value)


def _ord(meter: Meter, value: Any, /) -> int:
    return ord(value)


def _repr(meter: Meter, value: Any, /) -> str:
    return show(meter, value)


def _round(meter: Meter, number: Any, ndigits: Any = None) -> Any:
    if ndigits.__class__ is int and not -_MAX_INT_DIGITS <= ndigits <= _MAX_INT_DIGITS:
        ndigits = _MAX_INT_DIGITS if ndigits > 0 else -_MAX_INT_DIGITS
    if number.__class__ not in (int, float, bool):
        raise TypeError(f"type {same_kind(number)} doesn't define __round__ method")
    return round(number) if ndigits is None else round(number, ndigits)


def _divmod(meter: Meter, a: Any, b: Any, /) -> Any:
    return divmod(a, b)


def _isinstance(meter: Meter, value: Any, kinds: Any, /) -> bool:
    found = False
    for kind in kinds if kinds.__class__ is tuple else (kinds,):
        if kind.__class__ is tuple:
            found = found or _isinstance(meter, value, kind)
        elif kind is None or kind.__class__ is not TypeValue:
            raise TypeError("isinstance() arg 2 must be a type, a tuple of types, or a union")
        elif kind.types and issubclass(kind.types[0], BaseException):
            found = found or isinstance(value, kind.types)
        else:
            found = found or value.__class__ in kind.types
    return found


# ---- functions of an iterable ---------------------------------------------------------------------------------


def _sum(meter: Meter, items: Any, /, start: Any = 0) -> Any:
    if start.__class__ in (str, bytes):
        what, empty = ("strings", "''") if start.__class__ is str else ("bytes", "b''")
        raise TypeError(f"sum() can't sum {what} [use {empty}.join(seq) instead]")
    if items.__class__ in (list, tuple) and start.__class__ is int and set(map(type, items)) <= {int, float, bool}:
        meter.go_through(len(items))
        return meter.digits(sum(items, start))
    if items.__class__ is range:
        meter.go_through(length(items))
        return meter.digits(sum(items, start))
    if _all_numbers(items, start):
        found = collect(meter, items)
        if set(map(type, found)) <= {int, float, bool}:  # added as Python does, which rounds once since 3.12
            return meter.digits(sum(found, start))
        items = found
    total, add = start, BINARY["Add"]
    for item in counted(meter, items):
        total = add(meter, total, item)
    return total


def _all_numbers(items: Any, start: Any) -> bool:
    return start.__class__ in (int, float, bool) and items.__class__ is CellIterator


def _extreme(name: str, operator: str) -> Callable[..., Any]:
    better = COMPARISONS[operator]

    def run(meter: Meter, /, *args: Any, key: Any = None, default: Any = _MISSING) -> Any:
        if not args:
            raise TypeError(f"{name} expected at least 1 argument, got 0")
        if len(args) > 1 and default is not _MISSING:
            raise TypeError(f"Cannot specify a default for {name}() with multiple positional arguments")
        best = best_key = _MISSING
        for item in counted(meter, args[0] if len(args) == 1 else args):
            item_key = item if key is None else key(item)
            if best is _MISSING or better(meter, item_key, best_key):
                best, best_key = item, item_key
        if best is not _MISSING:
            return best
        if default is _MISSING:
            raise ValueError(_empty_message(name))
        return default

    return run


def _empty_message(name: str) -> str:
    try:
        (max if name == "max" else min)(())
    except ValueError as error:  # the message depends on Python's version
        return str(error)
    return ""


def _any(meter: Meter, items: Any, /) -> bool:
    return any(counted(meter, items)) if items.__class__ is CellIterator else any(_checked(meter, items))


def _all(meter: Meter, items: Any, /) -> bool:
    return all(counted(meter, items)) if items.__class__ is CellIterator else all(_checked(meter, items))


def _checked(meter: Meter, items: Any) -> Iterator[Any]:
    if items.__class__ is LongText:
        return iter(items)
    found = iterator(meter, items)
    meter.go_through(length(items) if hasattr(items, "__len__") else 0)
    return found


def _sorted(meter: Meter, items: Any, /, *, key: Any = None, reverse: Any = False) -> list[Any]:
    return ordered(meter, collect(meter, items), key, reverse)


def _reversed(meter: Meter, items: Any, /) -> CellIterator:
    kind = items.__class__
    if kind not in (list, tuple, str, bytes, range, dict, Counter, defaultdict, *DictView):
        raise TypeError(f"'{same_kind(items)}' object is not reversible")
    return CellIterator(type(reversed(items)).__name__, reversed(items), (items,))


def _iter(meter: Meter, items: Any, /, *sentinel: Any) -> CellIterator:
    if sentinel:
        if not callable(items):
            raise TypeError("iter(v, w): v must be callable")
        return CellIterator("callable_iterator", _until(meter, items, sentinel[0]), (items, sentinel[0]))
    if items.__class__ is CellIterator:
        return items
    found = iterator(meter, items)
    name = "set_iterator" if isinstance(items, CellSet) else type(found).__name__
    return CellIterator(name, found, (items,))


def _until(meter: Meter, ask: Any, sentinel: Any) -> Iterator[Any]:
    while True:
        meter.spend(1)
        found = ask()
        if COMPARISONS["Eq"](meter, found, sentinel):
            return
        yield found


def _next(meter: Meter, items: Any, /, *default: Any) -> Any:
    if items.__class__ is not CellIterator:
        raise TypeError(f"'{same_kind(items)}' object is not an iterator")
    return next(items.source, *default)


def _enumerate(meter: Meter, iterable: Any, start: Any = 0) -> CellIterator:
    return CellIterator("enumerate", enumerate(iterator(meter, iterable), start), (iterable,))


def _zip(meter: Meter, /, *items: Any, strict: Any = False) -> CellIterator:
    sources = []
    for place, each in enumerate(items, 1):
        if not hasattr(each.__class__, "__iter__"):
            raise TypeError(f"zip argument #{place} must support iteration")
        sources.append(iterator(meter, each))
    return CellIterator("zip", zip(*sources, strict=bool(strict)), items)


def _map(meter: Meter, function: Any, /, *items: Any) -> CellIterator:
    if not items:
        raise TypeError("map() must have at least two arguments.")
    return CellIterator("map", map(function, *(iterator(meter, each) for each in items)), (function, *items))


def _filter(meter: Meter, function: Any, items: Any, /) -> CellIterator:
    source = iterator(meter, items)

    def run() -> Iterator[Any]:
        for item in source:
            meter.spend(1)
            if item if function is None else function(item):
                yield item

    return CellIterator("filter", run(), (function, items))


# ---- types ------------------------------------------------------------------------------------------------------


def _str(meter: Meter, /, *args: Any, **kwargs: Any) -> str:
    if len(args) == 1 and not kwargs:
        if args[0].__class__ is LongText:
            raise needs_whole("str", args[0])
        return text(meter, args[0])
    if args and args[0].__class__ is bytes:
        meter.make_text(len(args[0]) * 4)
    return str(*args, **kwargs)


def _bytes(meter: Meter, /, *args: Any, **kwargs: Any) -> bytes:
    if not args and not kwargs:
        return b""
    value = args[0] if args else None
    if len(args) + len(kwargs) > 1 and value.__class__ is not str:
        raise TypeError("encoding without a string argument")
    if value.__class__ in (int, bool):
        meter.check_room(value)
        meter.make_text(max(0, value))
        return bytes(value)
    if value.__class__ is str:
        meter.make_text(len(value) * (1 if value.isascii() else 12))
        return bytes(*args, **kwargs)
    if value.__class__ is bytes:
        return value
    return bytes(collect(meter, value))


def _int(meter: Meter, /, *args: Any, **kwargs: Any) -> int:
    if args and args[0].__class__ in (str, bytes):
        meter.scan(len(args[0]))
        digits = len(args[0].strip().replace(*(("_", "") if args[0].__class__ is str else (b"_", b""))))
        if digits > _MAX_INT_DIGITS + 1:
            raise ValueError(
                f"Exceeds the limit (4300 digits) for integer string conversion: value has {digits} digits"
            )
    return int(meter.digits(int(*args, **kwargs)))


def _float(meter: Meter, value: Any = 0.0, /) -> float:
    if value.__class__ in (str, bytes):
        meter.scan(len(value))
    return float(value)


def _bool(meter: Meter, value: Any = False, /) -> bool:
    return bool(value)


def _list(meter: Meter, items: Any = (), /) -> list[Any]:
    return collect(meter, items)


def _tuple(meter: Meter, items: Any = (), /) -> tuple[Any, ...]:
    return items if items.__class__ is tuple else tuple(collect(meter, items))


def _set(meter: Meter, items: Any = (), /) -> CellSet:
    return CellSet(_keys(meter, items))


def _frozenset(meter: Meter, items: Any = (), /) -> CellFrozenSet:
    return items if items.__class__ is CellFrozenSet else CellFrozenSet(_keys(meter, items))


def _keys(meter: Meter, items: Any) -> list[Any]:
    found = collect(meter, items)
    meter.make_items(len(found), _ENTRY_BYTES)
    if not set(map(type, found)) <= SCALARS:
        for item in found:
            check_hashable(meter, item)
    return found


def _dict(meter: Meter, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*(pairs_of(meter, arg) for arg in args), **kwargs)


def _range(meter: Meter, /, *args: Any) -> range:
    return range(*args)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "abs": _abs,
        "all": _all,
        "any": _any,
        "chr": _chr,
        "divmod": _divmod,
        "isinstance": _isinstance,
        "iter": _iter,
        "len": _len,
        "max": _extreme("max", "Gt"),
        "min": _extreme("min", "Lt"),
        "next": _next,
        "ord": _ord,
        "repr": _repr,
        "round": _round,
        "sorted": _sorted,
        "sum": _sum,
    }
)
_TYPES: Mapping[str, tuple[tuple[type, ...], Callable[..., Any]]] = MappingProxyType(
    {
        "bool": ((bool,), _bool),
        "bytes": ((bytes,), _bytes),
        "dict": ((dict, Counter, defaultdict), _dict),
        "enumerate": ((), _enumerate),
        "filter": ((), _filter),
        "float": ((float,), _float),
        "frozenset": ((CellFrozenSet,), _frozenset),
        "int": ((int, bool, RegexFlag), _int),
        "list": ((list,), _list),
        "map": ((), _map),
        "range": ((range,), _range),
        "reversed": ((), _reversed),
        "set": ((CellSet,), _set),
        "str": ((str, LongText), _str),
        "tuple": ((tuple,), _tuple),
        "zip": ((), _zip),
    }
)
__all__ = ["builtins_for", "exception_types"]
