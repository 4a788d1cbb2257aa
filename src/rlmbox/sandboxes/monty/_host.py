"""The host's side of a Monty cell: answers to what a suspended cell asks for."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from pydantic_monty import ClassInstance, MontyClassProxy, MontyStdTypeProxy

from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.worker._values import to_json
from rlmbox.types import HostFunction

_OWN = "_rlm_"  # prefix of the functions behind our modules; these take and return bytes
LARGE_TEXT = "_rlm_LargeText"
"""The class of the handle of a long context; see `modules/large_text.monty`."""
_MAX_DEPTH = 50
_MAX_PROXY_DEPTH = 60
_NO_FILES = "there are no files here; the text is in `context`, and `ctx` searches it"
_RAISABLE = frozenset(
    {
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "FileNotFoundError",
        "IndexError",
        "KeyError",
        "LookupError",
        "MemoryError",
        "NameError",
        "NotImplementedError",
        "OverflowError",
        "PermissionError",
        "RuntimeError",
        "RecursionError",
        "StopIteration",
        "SyntaxError",
        "TimeoutError",
        "TypeError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "ValueError",
        "ZeroDivisionError",
    }
)


class MontyObject:
    """An object in the REPL whose methods are host functions, such as `ctx`.

    Args:
        name: Its name; its methods are the functions named `<name>.<method>`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._methods: list[str] = []

    def __repr__(self) -> str:
        return f"<object with the functions {', '.join(sorted(self._methods))}>"

    def exposed(self, host: Host) -> ClassInstance:
        """Wrap the object for Monty; method calls come back by name and never reach the object itself."""
        prefix = f"{self.name}."
        self._methods = [name.removeprefix(prefix) for name in host if name.startswith(prefix)]
        return ClassInstance(self, allowed_methods=self._methods)


MontyObject.__name__ = "HostObject"  # as cells see it in the other sandboxes


def function_name(snapshot: Any, objects: Mapping[UUID, str]) -> str:
    """Return the name in the host table of the function that a suspended cell calls."""
    name = str(snapshot.function_name)
    if snapshot.object_id is not None:
        return f"{objects.get(snapshot.object_id, '?')}.{name}"
    return name


def name_answer(snapshot: Any, objects: Mapping[UUID, str], host: Host) -> Any:
    """Resume a cell that reads a name it has not defined."""
    name = snapshot.variable_name
    if snapshot.object_id is not None:
        name = f"{objects.get(snapshot.object_id, '?')}.{name}"
    if name not in host:
        return snapshot.resume()

    def reference() -> None:
        """Only the name crosses to Monty; a call suspends under that name."""

    reference.__name__ = name
    return snapshot.resume(value=reference)


def missing(name: str) -> dict[str, Any]:
    """Return the answer to a call of a function that is not in the host table."""
    owner, _, method = name.rpartition(".")
    if owner:
        return {"exc_type": "AttributeError", "message": f"'HostObject' object has no attribute {method!r}"}
    return {"exc_type": "NameError", "message": f"name {name!r} is not defined"}


def no_files(name: str) -> dict[str, Any]:
    """Return the answer to a call of the operating system."""
    return {"exc_type": "PermissionError", "message": f"{name}: {_NO_FILES}"}


def raised(error: Exception) -> dict[str, Any]:
    """Return the answer that raises a host function's exception in the cell."""
    name = type(error).__name__
    if name in _RAISABLE:
        text = str(error.args[0]) if name == "KeyError" and error.args else str(error)
        return {"exc_type": name, "message": whole_characters(text)}
    return {"exc_type": "RuntimeError", "message": whole_characters(f"{name}: {error}")}


def whole_characters(value: Any) -> Any:
    """Replace lone surrogates, which file names may contain and Monty cannot hold, in the strings of a value.

    Args:
        value: A string, or a container of strings.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if type(value) in (list, tuple):
        return type(value)(whole_characters(item) for item in value)
    if type(value) is dict:
        return {whole_characters(key): whole_characters(item) for key, item in value.items()}
    return value


def without_proxies(value: Any, depth: int = 0, *, whole: Callable[[str], Any] | None = None) -> Any:
    """Convert objects of the REPL: a dataclass to a dict of its fields, all others to their `repr`.

    Args:
        value: The value that left the worker.
        depth: How many containers it is nested in.
        whole: Returns the value to send in place of a handle, given the name of its variable.
    """
    if isinstance(value, MontyClassProxy):
        if whole is not None and value.name == LARGE_TEXT:
            return whole(str(value.attributes.get("_name")))
        if value.is_dataclass:
            return {name: without_proxies(item, depth + 1, whole=whole) for name, item in value.attributes.items()}
        return f"<{value.name} object>"
    if isinstance(value, MontyStdTypeProxy):
        return f"<built-in function {value.name}>" if value.kind == "function" else f"<class {value.name!r}>"
    if depth > _MAX_PROXY_DEPTH:
        return value
    if type(value) in (list, tuple):
        return type(value)(without_proxies(item, depth + 1, whole=whole) for item in value)
    if type(value) is dict:
        return {key: without_proxies(item, depth + 1, whole=whole) for key, item in value.items()}
    return value


def call(function: HostFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Call a synchronous host function; an exception becomes the cell's."""
    try:
        return {"return_value": _result(function, function.call(*_arguments(function, args, kwargs), **kwargs))}
    except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
        return raised(error)


async def call_async(function: HostFunction, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Call and await a host function with arguments in JSON form; any exception but a cancellation is the cell's."""
    try:
        return await awaited(function, (function.at_once or function.call)(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
        return raised(error)


async def awaited(function: HostFunction, result: Any) -> dict[str, Any]:
    """Return the answer of a call, awaiting its result if needed; any exception but a cancellation is the cell's."""
    try:
        return {"return_value": _result(function, await result if inspect.isawaitable(result) else result)}
    except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
        return raised(error)


def call_off_loop(function: HostFunction, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any] | Awaitable[Any]:
    """Call a host function off the event loop; return the answer, or an awaitable of it for the loop."""
    assert function.off_loop is not None  # noqa: S101 - for the type checker
    try:
        result: Any = function.off_loop(*args, **kwargs)
        return awaited(function, result) if inspect.isawaitable(result) else {"return_value": _result(function, result)}
    except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
        return raised(error)


def _arguments(function: HostFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Return positional arguments in their JSON form; keyword arguments are converted in place."""
    if function.name.startswith(_OWN):
        return list(args)
    for name, value in kwargs.items():
        kwargs[name] = to_json(value)
    return [to_json(value) for value in args]


def _result(function: HostFunction, value: Any) -> Any:
    return value if function.name.startswith(_OWN) else _json(value, f"the result of {function.name}")


def _json(value: Any, what: str, depth: int = 0) -> Any:
    """Convert the tuples in a value to lists.

    Raises:
        TypeError: It is not a JSON value.
    """
    if isinstance(value, str):
        return whole_characters(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > _MAX_DEPTH:
        raise TypeError(f"{what} is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        return [_json(item, what, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {whole_characters(key): _json(item, what, depth + 1) for key, item in value.items()}
    raise TypeError(f"{what} must be made of str, int, float, bool, None, list and dict, not {type(value).__name__}")
