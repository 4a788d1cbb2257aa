"""Attributes that the objects of a type have in CPython; Monty tells few of its own types, and no special one."""

from __future__ import annotations

import builtins
import re
from collections import Counter, defaultdict, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import FunctionType, GeneratorType


class _Plain:
    """A class as a cell defines it."""


_VIEWED: dict[str, int] = {}
_TYPES: dict[str, type] = {
    **{name: found for name, found in vars(builtins).items() if isinstance(found, type)},
    **{
        kind.__name__: kind
        for kind in map(type, (None, print, builtins, _VIEWED.keys(), _VIEWED.values(), _VIEWED.items()))
    },
    **{f"{kind}_iterator": type(iter([])) for kind in ("list", "tuple", "str", "dict", "range", "set")},
    **{one.__name__: one for one in (Counter, defaultdict, date, datetime, time, timedelta, deque, Decimal)},
    **{f"{one.__module__}.{one.__qualname__}": one for one in (date, datetime, time, timedelta)},
    "collections.defaultdict": defaultdict,
    "collections.deque": deque,
    "decimal.Decimal": Decimal,
    "function": FunctionType,
    "generator": GeneratorType,
    "iterator": type(iter([])),
    "re.Match": re.Match,
    "re.Pattern": re.Pattern,
    "_rlm_LargeText": str,
}
"""Types by their names in Monty."""


def has_attribute(kind: str, name: str) -> bool:
    """Return whether the objects of a type have an attribute, as `hasattr` tells; a host function.

    Args:
        kind: The type's name in Monty, after `type ` if the object is the type itself. Any other is a cell's own.
        name: The attribute's.
    """
    found = _TYPES.get(kind.removeprefix("type "), _Plain)
    if kind.startswith("type "):
        return hasattr(found, name)
    return any(name in vars(base) for base in found.__mro__)
