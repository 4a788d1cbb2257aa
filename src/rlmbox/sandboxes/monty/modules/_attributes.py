"""Attributes that the objects of a type have in CPython; Monty tells few of its own types, and no special one."""

from __future__ import annotations

import builtins
import csv
import itertools
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from time import struct_time
from types import FunctionType, GeneratorType
from typing import NamedTuple


class _Plain:
    """A class as a cell defines it."""


class _Named(NamedTuple):
    """A named tuple without fields."""


_VIEWED: dict[str, int] = {}
_TYPES: dict[str, type] = {
    **{name: found for name, found in vars(builtins).items() if isinstance(found, type)},
    **{
        kind.__name__: kind
        for kind in map(type, (None, print, builtins, _VIEWED.keys(), _VIEWED.values(), _VIEWED.items()))
    },
    **{name: found for name, found in vars(itertools).items() if isinstance(found, type)},
    **{f"{kind}_iterator": type(iter([])) for kind in ("list", "tuple", "str", "dict", "range", "set")},
    **{one.__name__: one for one in (Counter, defaultdict, date, datetime, time, timedelta, timezone, deque, Decimal)},
    **{f"{one.__module__}.{one.__qualname__}": one for one in (date, datetime, time, timedelta)},
    "JSONDecodeError": json.JSONDecodeError,
    "PatternError": re.error,
    "re.PatternError": re.error,
    "collections.defaultdict": defaultdict,
    "collections.deque": deque,
    "decimal.Decimal": Decimal,
    "function": FunctionType,
    "generator": GeneratorType,
    "iterator": type(iter([])),
    "namedtuple": _Named,
    "reader": type(csv.reader([])),
    "time.struct_time": struct_time,
    "re.Match": re.Match,
    "re.Pattern": re.Pattern,
    "_rlm_LargeText": str,
}
"""Types by their names in Monty."""
_OF_ERRORS: dict[type, Collection[str]] = {
    type(one): vars(one) for one in (json.JSONDecodeError("", "", 0), re.error(""))
}
"""Attributes that exceptions have only once they are made."""


def has_attribute(kind: str, name: str) -> bool:
    """Return whether the objects of a type have an attribute, as `hasattr` tells; a host function.

    Args:
        kind: The type's name in Monty, after `type ` if the object is the type itself, and after `error ` if it is an
            exception; the module's name after `module `. Any other is a cell's own.
        name: The attribute's.
    """
    if kind.startswith("type "):
        return hasattr(_TYPES.get(kind.removeprefix("type "), _Plain), name)
    if kind.startswith("module "):
        from rlmbox.sandboxes.monty._refusals import is_offered  # late: it imports this package

        module = kind.removeprefix("module ")
        return is_offered(module) and hasattr(import_module(module), name)
    is_error = kind.startswith("error ")
    found = _TYPES.get(kind.removeprefix("error "), Exception if is_error else _Plain)
    return any(name in vars(base) for base in found.__mro__) or (is_error and name in _OF_ERRORS.get(found, ()))
