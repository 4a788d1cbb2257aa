"""The attributes and methods that each kind of value has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset import methods
from rlmbox.sandboxes.subset.errors import CELL_EXCEPTIONS, forbidden_name
from rlmbox.sandboxes.subset.grammar import SubsetProfile, members
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.regex import Match, Pattern
from rlmbox.sandboxes.subset.values import Builtin, CellFrozenSet, CellSet, Method, Module, TypeValue, same_kind

TYPES: Mapping[str, type] = MappingProxyType(
    {
        "str": str,
        "bytes": bytes,
        "list": list,
        "dict": dict,
        "tuple": tuple,
        "set": CellSet,
        "frozenset": CellFrozenSet,
        "Counter": Counter,
        "defaultdict": defaultdict,
        "Match": Match,
        "Pattern": Pattern,
    }
)
"""Types whose values have methods, by their name in the table."""

_STATIC = frozenset({"fromkeys", "maketrans", "fromhex"})
_DATA = frozenset({"pattern"})


@cache
def _tables(profile: SubsetProfile) -> Mapping[type, Mapping[str, Method]]:
    """Return the methods of a profile by type and name."""
    found: dict[type, Mapping[str, Method]] = {}
    for owner, names in members(profile, "method").items():
        if owner in TYPES:
            kind = TYPES[owner]
            found[kind] = {name: methods.implementation(kind, name) for name in names if name not in _DATA}
    found[LongText] = {name: methods.of_long_text(name) for name in members(profile, "method")["str"]}
    return MappingProxyType(found)


def method(meter: Meter, profile: SubsetProfile, value: Any, name: str) -> Method | None:
    """Return a method of a value, or None if the name is not that of a method."""
    table = _tables(profile).get(value.__class__)
    return table.get(name) if table is not None else None


def attribute(meter: Meter, profile: SubsetProfile, value: Any, name: str) -> Any:
    """Return an attribute of a value.

    Raises:
        AttributeError: Python does not have it either.
        Refusal: Python has it, but the language does not.
    """
    kind = value.__class__
    if kind is Module:
        return _member(value, name)
    if kind is TypeValue:
        return _of_type(meter, profile, value, name)
    if kind is Pattern and name == "pattern" and profile == "wide":
        return value.pattern
    if kind in CELL_EXCEPTIONS and name == "args":
        return value.args
    do = method(meter, profile, value, name)
    if do is not None:
        return Builtin(name, partial(do, meter, value), value)
    if kind in CELL_EXCEPTIONS and hasattr(kind, name):
        raise forbidden_name(f"the attribute {name} of an exception", "use str(error) or error.args")
    if kind is LongText and hasattr(str, name):
        raise needs_whole(name, value)
    if _python_has(kind, name):
        raise forbidden_name(f"the attribute {name} of {same_kind(value)}", _hint(profile, kind))
    raise AttributeError(f"'{same_kind(value)}' object has no attribute '{name}'")


def _python_has(kind: type, name: str) -> bool:
    """Return whether Python's own type has an attribute."""
    python: dict[type, type] = {CellSet: set, CellFrozenSet: frozenset}
    own = python.get(kind, kind)
    return own.__module__ in ("builtins", "collections") and hasattr(own, name)


def _hint(profile: SubsetProfile, kind: type) -> str:
    names = _tables(profile).get(kind)
    return f"there are {', '.join(sorted(names))}" if names else "use functions such as len, str and isinstance"


def _member(module: Module, name: str) -> Any:
    if name in module.members:
        return module.members[name]
    if module.kind == "object":
        raise AttributeError(f"'{module.name}' object has no attribute '{name}'")
    from importlib import import_module

    if hasattr(import_module(module.name), name):  # one of our eight modules
        there = ", ".join(sorted(module.members))
        raise forbidden_name(f"{module.name}.{name}", f"there are {there}")
    raise AttributeError(f"module '{module.name}' has no attribute '{name}'")


def _of_type(meter: Meter, profile: SubsetProfile, owner: TypeValue, name: str) -> Any:
    """Return a method as a function of its instance, such as `str.lower`."""
    kind = TYPES.get(owner.name)
    table = _tables(profile).get(kind) if kind else None
    if kind is None or table is None or name not in table:
        if any(_python_has(each, name) for each in owner.types):
            raise forbidden_name(f"{owner.name}.{name}", "call it on a value")
        raise AttributeError(f"type object '{owner.name}' has no attribute '{name}'")
    do = table[name]
    if name in _STATIC:
        return Builtin(name, partial(do, meter, kind()))

    def unbound(value: Any = None, *args: Any, **kwargs: Any) -> Any:
        if value.__class__ is not kind:
            own = method(meter, profile, value, name) if value.__class__ in owner.types else None
            if own is None:
                raise TypeError(
                    f"descriptor '{name}' for '{owner.name}' objects doesn't apply to a '{same_kind(value)}' object"
                )
            return own(meter, value, *args, **kwargs)
        return do(meter, value, *args, **kwargs)

    return Builtin(name, unbound)
