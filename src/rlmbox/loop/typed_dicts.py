"""`typing.TypedDict` for pydantic, which before Python 3.12 accepts only that of `typing_extensions`."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, is_typeddict


def checkable(kind: Any) -> Any:
    """Return a type in which TypedDicts, including nested ones, are replaced by ones that pydantic accepts.

    Args:
        kind: The type.

    Raises:
        NameError: An annotation refers to a name that is not defined in its module.
    """
    return kind if sys.version_info >= (3, 12) else _checkable(kind, {})


def _checkable(kind: Any, known: dict[Any, Any]) -> Any:
    if is_typeddict(kind):
        return _taken(kind, known) if type(kind).__module__ == "typing" else kind
    origin, given = get_origin(kind), get_args(kind)
    made = tuple(_checkable(each, known) for each in given)
    if all(new is old for new, old in zip(made, given, strict=True)):
        return kind
    if origin is Annotated:
        return Annotated[(made[0], *kind.__metadata__)]
    of: Any = Union if origin is types.UnionType else origin
    return of[made]


def with_checkable_annotations(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, wrapped if a TypedDict in its annotations has to be replaced for pydantic.

    Args:
        function: The function.
    """
    if sys.version_info >= (3, 12):
        return function
    try:
        hints = typing.get_type_hints(inspect.unwrap(getattr(function, "func", function)), include_extras=True)
        made = {name: checkable(hint) for name, hint in hints.items()}
    except Exception:  # noqa: BLE001 - reported where the annotations are checked
        return function
    if all(made[name] is hint for name, hint in hints.items()):
        return function

    @functools.wraps(function)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    signature = inspect.signature(function)
    parameters = [each.replace(annotation=made.get(name, Any)) for name, each in signature.parameters.items()]
    wrapped.__annotations__ = made
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


def _taken(kind: Any, known: dict[Any, Any]) -> Any:
    if kind in known:  # a recursive type
        return known[kind]
    import typing_extensions

    hints = typing.get_type_hints(kind, include_extras=True)
    make: Any = typing_extensions.TypedDict
    made = known[kind] = make(
        kind.__name__,
        {name: Any if _is_required(kind, name, hint) else NotRequired[Any] for name, hint in hints.items()},
    )
    made.__module__, made.__doc__ = kind.__module__, kind.__doc__
    for name, hint in hints.items():
        inner = get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
        made.__annotations__[name] = _checkable(inner, known)
    return made


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    """Return True if a field is required.

    `__required_keys__` ignores qualifiers in a module with postponed annotations; the resolved hints have them.
    """
    wrapper = get_origin(hint)
    return name in kind.__required_keys__ if wrapper not in (Required, NotRequired) else wrapper is Required
