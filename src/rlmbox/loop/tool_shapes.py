"""A tool's signature as shown to a model: types by their own names, and the shapes of user-defined types.

A module path is meaningless to a model, and so is the name of a class that it has never seen: it has to pass a
dictionary, whose members are listed.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_MOST_SHAPES = 8


class Written:
    """An annotation that is shown as given.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def resolved(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return a function's annotations, with those that are strings resolved if possible.

    Args:
        function: The function.
    """
    inner = inspect.unwrap(getattr(function, "func", function))
    inner = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner).__call__
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except Exception:  # noqa: BLE001 - a name that is not defined yet; the string is shown instead
        return getattr(inner, "__annotations__", {})


def written_type(annotation: Any) -> str:
    """Return an annotation as a model would write it, such as `list[str] | None`.

    Args:
        annotation: The annotation.
    """
    if isinstance(annotation, str):
        return annotation
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return written_type(arguments[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(each) for each in arguments)}]"
    if origin in (Union, types.UnionType):
        return " | ".join(written_type(each) for each in arguments)
    if isinstance(annotation, list):  # the arguments of a Callable
        return f"[{', '.join(written_type(each) for each in annotation)}]"
    name = getattr(origin or annotation, "__name__", None) or str(annotation)
    return f"{name}[{', '.join(written_type(each) for each in arguments)}]" if arguments else str(name)


def shapes_of(annotations: Iterator[Any] | list[Any]) -> str:
    """Return the JSON shapes of the classes in annotations; empty if there are none to describe.

    Args:
        annotations: The annotations.
    """
    told: dict[str, str] = {}
    waiting = list(annotations)
    while waiting and len(told) < _MOST_SHAPES:
        annotation = waiting.pop(0)
        members = _members(annotation) if isinstance(annotation, type) else None
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            told[annotation.__name__] = " | ".join(repr(each.value) for each in annotation)
        elif members is not None and isinstance(annotation, type) and annotation.__name__ not in told:
            fields = ", ".join(f"{name!r}: {written_type(kind)}" for name, kind in members.items())
            told[annotation.__name__] = f"{{{fields}}}"
            waiting += members.values()
        else:
            waiting += [each for each in get_args(annotation) if not isinstance(each, str)]
    return "; ".join(f"{name} is {shape}" for name, shape in told.items())


def _members(kind: type) -> Mapping[str, Any] | None:
    fields = getattr(kind, "model_fields", None)
    if isinstance(fields, Mapping):  # a pydantic model
        return {field.alias or name: field.annotation for name, field in fields.items()}
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "__required_keys__"):
        try:
            hints = typing.get_type_hints(kind)
        except Exception:  # noqa: BLE001 - as in `resolved`
            hints = dict(getattr(kind, "__annotations__", {}))
        return hints
    return None
