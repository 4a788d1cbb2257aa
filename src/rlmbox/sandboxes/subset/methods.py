"""Methods of values: Python's own, after the size of the result is bounded.

An implementation takes the meter, the value, and the arguments of the call. Iterables among the arguments are converted
to lists first, so that all work is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset.collection_methods import collection_methods, of_collection, of_set
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.regex import Engine, Match, Pattern
from rlmbox.sandboxes.subset.text_methods import of_text, text_methods
from rlmbox.sandboxes.subset.values import (
    CellFrozenSet,
    CellIterator,
    CellSet,
    Method,
)


def implementation(kind: type, name: str) -> Method:
    """Return a method.

    Args:
        kind: The type of the value.
        name: Name of the method, which the table has.
    """
    own = _OWN.get((kind, name))
    if own is not None:
        return own
    if kind in (str, bytes):
        return of_text(kind, name)
    if kind in (CellSet, CellFrozenSet):
        return of_set(name)
    if kind is Match:
        return _of_match(name)
    if kind is Pattern:
        return _of_pattern(name)
    return of_collection(kind, name)


def _of_match(name: str) -> Method:
    do = getattr(Match, name)

    def run(meter: Meter, value: Match, /, *args: Any, **kwargs: Any) -> Any:
        if name in ("group", "groups", "groupdict"):
            meter.make_text(value.spans[0][1] - value.spans[0][0])
        return do(value, *args, **kwargs)

    return run


_MOST_ARGUMENTS = {"split": 2, "sub": 3}


def _of_pattern(name: str) -> Method:
    def run(meter: Meter, value: Pattern, /, *args: Any, **kwargs: Any) -> Any:
        engine = Engine(meter)
        if name in _MOST_ARGUMENTS:
            if len(args) > _MOST_ARGUMENTS[name] or "flags" in kwargs:
                raise TypeError(f"{name}() takes at most {_MOST_ARGUMENTS[name]} arguments ({len(args)} given)")
            return getattr(engine, name)(value, *args, **kwargs)
        string, *places = _positional(name, args, kwargs)
        found = getattr(engine, name)(value, string, 0, *places)
        return CellIterator("callable_iterator", found, (string,)) if name == "finditer" else found

    return run


def _positional(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    names = ("string", "pos", "endpos")
    found = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(kwargs) - set(names) or set(found) & set(kwargs):
        raise TypeError(f"{name}() takes string, pos and endpos")
    found.update(kwargs)
    if "string" not in found:
        raise TypeError(f"{name}() missing required argument 'string' (pos 1)")
    return [found.get(each) for each in names]


_LONG_READS = frozenset({"count", "endswith", "find", "index", "rfind", "rindex", "startswith"})


# `join` would use up an iterator, `translate` may change its table, `encode` has its own words.
_NOT_JUDGED = frozenset({"encode", "join", "translate"})


def _judge(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise what the method of a `str` raises for these arguments; a short one stands in for the text."""
    with suppress(ValueError) if name in ("index", "rindex") else nullcontext():
        getattr(str, name)("x", *map(_stand_in, args), **{key: _stand_in(value) for key, value in kwargs.items()})


def _stand_in(value: Any) -> Any:
    if value.__class__ is LongText:
        return "xx"
    if value.__class__ is tuple:  # of prefixes, which are looked at one by one
        return ()
    return 0 if value.__class__ is int and abs(value) < 1 << 62 else value


def of_long_text(name: str) -> Method:
    """Return a method of a context that is too long to be a `str`."""

    def run(meter: Meter, value: LongText, /, *args: Any, **kwargs: Any) -> Any:
        if name not in _NOT_JUDGED:
            _judge(name, args, kwargs)
        if name == "splitlines":
            return _long_lines(meter, value, *args, **kwargs)
        if name not in _LONG_READS:
            raise needs_whole(name, value)
        meter.spend(1 + len(value) // 100_000)
        return getattr(value, name)(*args, **kwargs)

    return run


def _long_lines(meter: Meter, value: LongText, keepends: Any = False) -> list[str]:
    found: list[str] = []
    meter.held.append(found)
    for line in value.lines(keepends=bool(keepends)):
        meter.spend(1)
        meter.take(64 + len(line))
        found.append(line)
    meter.held.pop()
    return found


_OWN: Mapping[tuple[type, str], Method] = MappingProxyType(text_methods() | collection_methods())
