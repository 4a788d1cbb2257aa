"""`typing.TypedDict` for pydantic, which before Python 3.12 takes only that of `typing_extensions`."""

from __future__ import annotations

import sys
import types
import typing
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, is_typeddict


def checkable(kind: Any) -> Any:
    """Return a type with its TypedDicts, also those inside of `list[…]` and the like, as ones that pydantic takes.

    Args:
        kind: The type.

    Raises:
        NameError: A name in the annotations of one means nothing where it is defined.
    """
    if sys.version_info >= (3, 12):
        return kind
    if is_typeddict(kind):
        return _taken(kind) if type(kind).__module__ == "typing" else kind
    origin, given = get_origin(kind), get_args(kind)
    made = tuple(checkable(each) for each in given)
    if all(new is old for new, old in zip(made, given, strict=True)):
        return kind
    if origin is Annotated:
        return Annotated[(made[0], *kind.__metadata__)]
    of: Any = Union if origin is types.UnionType else origin
    return of[made]


def _taken(kind: Any) -> Any:
    import typing_extensions

    fields: dict[str, Any] = {}
    # `__required_keys__` does not know of what is written in a module whose annotations are texts; the hints do.
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        wrapper = get_origin(hint)
        is_required = name in kind.__required_keys__ if wrapper not in (Required, NotRequired) else wrapper is Required
        inner = checkable(get_args(hint)[0] if wrapper in (Required, NotRequired) else hint)
        fields[name] = inner if is_required else NotRequired[inner]
    make: Any = typing_extensions.TypedDict
    made = make(kind.__name__, fields)
    made.__module__, made.__doc__ = kind.__module__, kind.__doc__
    return made
