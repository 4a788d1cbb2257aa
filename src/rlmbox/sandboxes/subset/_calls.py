"""Calls of host functions from a cell, which runs in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from rlmbox.context.repl import OF_KEY, SLICE_KEY
from rlmbox.sandboxes.subset.errors import CELL_EXCEPTIONS, NAMED_EXCEPTIONS, Stopped
from rlmbox.sandboxes.subset.json_form import MAX_LEVELS, argument_form
from rlmbox.sandboxes.subset.long_text import LongText
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import Builtin, Module, same_kind, weigh
from rlmbox.types import HostFunction

_MESSAGE_CHARS = 10_000
_VALUE_BYTES = 8
_RAISED = {kind.__name__: kind for kind in (*CELL_EXCEPTIONS, *NAMED_EXCEPTIONS.values())}


class HostRequest:
    """A call for the event loop to make.

    Attributes:
        function: The function.
        args: Positional arguments.
        kwargs: Keyword arguments.
        answer: Receives a pair of whether the call succeeded, and the result or the exception.
    """

    __slots__ = ("answer", "args", "function", "kwargs")

    def __init__(self, function: HostFunction, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.answer: SimpleQueue[tuple[bool, Any]] = SimpleQueue()


class HostBridge:
    """Passes calls from the thread of a cell to the event loop.

    Args:
        loop: The event loop of the sandbox.
        most_calls: Largest number of calls in the session.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most_calls: int) -> None:
        self._loop, self._left, self._most = loop, most_calls, most_calls
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.waiting: HostRequest | None = None
        self.meter: Meter | None = None

    def renewed(self) -> HostBridge:
        """Return a bridge that replaces this one, whose thread may still send events."""
        new = HostBridge(self._loop, self._most)
        new._left = self._left
        return new

    def send(self, event: object) -> None:
        """Put an event into the event loop's queue, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:  # the loop is closed, so nothing waits for this cell any more
            raise Stopped("the session was ended", limit="wall clock") from None

    def call(self, function: HostFunction, *args: Any, **kwargs: Any) -> Any:
        """Call a host function from a cell; an exception becomes the cell's."""
        meter = self.meter
        if meter is None:
            raise Stopped("the session was ended", limit="wall clock")
        if function.takes_texts:
            args, kwargs = tuple(map(_referred, args)), {name: _referred(value) for name, value in kwargs.items()}
        of = f"of {function.name}"
        given = [argument_form(meter, value, f"argument {place} {of}") for place, value in enumerate(args, 1)]
        named = {name: argument_form(meter, value, f"argument {name} {of}") for name, value in kwargs.items()}
        if not self._left:
            raise RuntimeError(f"this session has made its {self._most:,} calls to host functions")
        self._left -= 1
        try:
            if function.is_async:
                found = self._awaited(HostRequest(function, given, named))
            else:
                found = function.call(*given, **named)
        except Exception as error:  # noqa: BLE001 - any exception is raised in the cell
            raise _raised(error) from None
        found = _json(meter, found, f"the result of {function.name}")
        meter.take(weigh(meter, found, as_text=True) * 2)
        return found

    def _awaited(self, request: HostRequest) -> Any:
        self.waiting = request
        self.send(request)
        worked, found = request.answer.get()
        self.waiting = None
        if not worked:
            raise found
        return found


def _referred(value: Any) -> Any:
    """Return an argument with the handle of a long text replaced by a reference."""
    if value.__class__ is LongText:
        return {SLICE_KEY: [0, len(value)], OF_KEY: value.name}
    return [_referred(item) for item in value] if value.__class__ in (list, tuple) else value


def _raised(error: Exception) -> BaseException:
    """Convert a host function's exception to one that a cell can catch."""
    kind = _RAISED.get(type(error).__name__)
    if kind is None or kind is not type(error) or issubclass(kind, UnicodeError):
        return RuntimeError(f"{type(error).__name__}: {error}"[:_MESSAGE_CHARS])
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return kind(str(message)[:_MESSAGE_CHARS])


def _json(meter: Meter, value: Any, what: str, depth: int = 0) -> Any:
    """Return a copy of a host function's result, with tuples as lists.

    Raises:
        TypeError: It is not a JSON value.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > MAX_LEVELS:
        raise TypeError(f"{what} is nested deeper than {MAX_LEVELS} levels")
    if isinstance(value, list | tuple):
        meter.make_items(len(value), _VALUE_BYTES)
        return [_json(meter, item, what, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        meter.make_items(len(value), _VALUE_BYTES)
        return {key: _json(meter, item, what, depth + 1) for key, item in value.items()}
    raise TypeError(f"{what} must be made of str, int, float, bool, None, list and dict, not {same_kind(value)}")


def injected(bridge: HostBridge, host: Mapping[str, HostFunction]) -> dict[str, Any]:
    """Return host functions as values of a cell; those with a dot in the name become methods of an object.

    Args:
        bridge: Makes the calls.
        host: The functions by name.
    """
    found: dict[str, Any] = {}
    objects: dict[str, dict[str, Any]] = {}
    for name, function in host.items():
        owner, dot, member = name.partition(".")
        value = Builtin(member or name, _caller(bridge, function))
        if dot:
            objects.setdefault(owner, {})[member] = value
        else:
            found[name] = value
    return found | {name: Module(name, members, "object") for name, members in objects.items()}


def _caller(bridge: HostBridge, function: HostFunction) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return bridge.call(function, *args, **kwargs)

    return call
