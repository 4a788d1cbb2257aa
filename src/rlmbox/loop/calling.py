"""Calls of a user's function by code: checked arguments, a time limit, serializable results, hidden secrets."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from rlmbox.errors import is_interrupt
from rlmbox.loop.stepping import Rest, stepped
from rlmbox.loop.tool_secrets import SecretValues
from rlmbox.threads import ThreadJob

_ERROR_CHARS = 500
_PLAIN = frozenset({bool, int, float})  # types that need no conversion
_MOMENT_S = 0.000_3  # how long the event loop may block; the answer of a thread takes a tenth of it
_QUICK_S = 0.000_1
_QUICK_CALLS = 3
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Pace:
    """Tracks whether a function is quick: initially assumed so, and again some quick calls after a slow one."""

    def __init__(self) -> None:
        self._quick = _QUICK_CALLS

    @property
    def is_quick(self) -> bool:
        return self._quick >= _QUICK_CALLS

    def note(self, took_s: float) -> None:
        self._quick = self._quick + 1 if took_s < _QUICK_S else 0


class ToolCalling:
    """The calls of one of the user's functions.

    Args:
        name: Its name in the REPL.
        checked: The function, which checks its arguments.
        shown: The signature that code sees, without secrets.
        secrets: Additional arguments of the function, by name, that code does not see.
        hidden: Values to hide in its results and errors.
        timeout_of: Returns the seconds that a call may take.
        is_async: True for an async function.
        is_bound_by_python: True if arguments are passed on unchanged.
    """

    def __init__(
        self,
        name: str,
        checked: Callable[..., Any],
        shown: inspect.Signature,
        secrets: Mapping[str, Any],
        hidden: SecretValues,
        *,
        timeout_of: Callable[[], float],
        is_async: bool,
        is_bound_by_python: bool,
    ) -> None:
        self._name = name
        self._checked = checked
        self._shown = shown
        self._secrets = secrets
        self._hidden = hidden
        self._timeout_of = timeout_of
        self._is_async = is_async
        self._is_bound_by_python = is_bound_by_python

    def waited_for(self) -> Callable[..., Awaitable[Any]]:
        """Return an async function that makes the call."""

        async def call(*arguments: Any, **keywords: Any) -> Any:
            bound = self._bind(arguments, keywords)
            job = bound if self._is_async else ThreadJob(functools.partial(_result, self._name, bound)).wait
            return await self._wait(bound, job)

        return call

    def at_once(self) -> Callable[..., Any]:
        """Return a function that makes the call and returns its result, or an awaitable if that takes time."""
        return self._stepped() if self._is_async else self._while_quick()

    def _while_quick(self) -> Callable[..., Any]:
        """Return the call of a plain function, made on the event loop while it is quick."""
        pace = _Pace()

        async def later(bound: functools.partial[Any], job: ThreadJob) -> Any:
            try:
                return await self._wait(bound, job.wait)
            finally:
                pace.note(job.took_s)

        def call(*arguments: Any, **keywords: Any) -> Any:
            bound = self._bind(arguments, keywords)
            job = ThreadJob(functools.partial(_result, self._name, bound))
            if not pace.is_quick or not job.has_ended_within(_MOMENT_S):
                return later(bound, job)
            try:
                result = job.result()
            except BaseException as error:  # noqa: BLE001 - the cell receives any error
                raise self._told(error, bound) from None
            return later(bound, job) if inspect.isawaitable(result) else self._hidden.hidden_in_value(result)

        return call

    def _stepped(self) -> Callable[..., Any]:
        """Return the call of an async function, whose time limit applies from its first wait on."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            bound = self._bind(arguments, keywords)
            try:
                result = stepped(bound())
                if not isinstance(result, Rest):
                    return self._hidden.hidden_in_value(_crossing(self._name, result))
            except BaseException as error:  # noqa: BLE001 - as in _wait
                raise self._told(error, bound) from None
            return self._wait(bound, result.wait)

        return call

    def _bind(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> functools.partial[Any]:
        """Bind arguments to the function, which checks them when it is called."""
        if self._is_bound_by_python:
            return functools.partial(self._checked, *arguments, **keywords)
        positional, named = self._bound(arguments, keywords)
        return functools.partial(self._checked, *positional, **named, **self._secrets)

    async def _wait(self, bound: functools.partial[Any], work: Callable[[], Awaitable[Any]]) -> Any:
        """Await a call within its time limit; neither its result nor an error reveals secrets."""
        timeout_s = self._timeout_of()
        started = asyncio.current_task()
        cancelled_before = started.cancelling() if started is not None else 0
        try:
            async with asyncio.timeout(None if timeout_s == math.inf else timeout_s) as deadline:
                result = await work()
                if inspect.isawaitable(result):  # a plain function that returns a coroutine
                    result = _crossing(self._name, await result)
                elif self._is_async:
                    result = _crossing(self._name, result)
            return self._hidden.hidden_in_value(result)
        except TimeoutError as error:
            if not deadline.expired():
                raise self._told(error, bound) from None
            raise TimeoutError(f"{self._name} took longer than {timeout_s:g} s; ask for less at once") from None
        except asyncio.CancelledError as error:
            if started is not None and started.cancelling() > cancelled_before:
                raise  # the run's own cancellation
            raise self._told(error, bound) from None
        except BaseException as error:  # noqa: BLE001 - the cell receives any error
            raise self._told(error, bound) from None

    def _bound(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments, with secrets at their places in the function's signature."""
        name, shown = self._name, self._shown
        try:
            bound = shown.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}{shown}: {error}") from None
        taken = self._secrets.keys() & keywords.keys()
        if taken:
            raise TypeError(f"{name}() takes no argument {min(taken)!r}")
        parameters = shown.parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):  # secrets are keyword-only
            return bound.args, bound.kwargs
        only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in bound.arguments]
        named = {key: value for key, value in bound.arguments.items() if key not in only}
        for rest in (p.name for p in parameters if p.kind is p.VAR_KEYWORD):
            named |= named.pop(rest, {})
        return tuple(bound.arguments[key] for key in only), named

    def _told(self, error: BaseException, bound: functools.partial[Any]) -> BaseException:
        """Return the error of a call as the cell sees it, of the same type and without secrets; Ctrl-C as it is."""
        from pydantic import ValidationError

        name, hidden = self._name, self._hidden.hidden_in
        if isinstance(error, ValidationError):
            if self._is_bound_by_python:  # otherwise the arguments were bound before
                try:
                    self._shown.bind(*bound.args, **bound.keywords)
                except TypeError as wrong:
                    return TypeError(f"{name}{self._shown}: {wrong}")
            is_of_call = self._is_bound_by_python and error.title == getattr(self._checked, "__qualname__", None)
            places = tuple(self._shown.parameters.values()) if is_of_call else ()
            return TypeError(hidden(f"{name}: {_problems(error, places)}"))
        if isinstance(error, asyncio.CancelledError):
            return RuntimeError(hidden(f"{name} was cancelled by itself: {message_of(error) or 'CancelledError'}"))
        if isinstance(error, KeyboardInterrupt) and is_interrupt(error):
            return error
        if not isinstance(error, Exception):
            return RuntimeError(hidden(f"{name} raised {type(error).__name__}: {message_of(error)}"))
        said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if hidden(said) == said:
            return error
        return _same_type(error, hidden(said))


def _result(name: str, bound: Callable[[], Any]) -> Any:
    """Call a plain function and convert its result to JSON in the same thread, since both may take long."""
    result = bound()
    return result if inspect.isawaitable(result) else _crossing(name, result)


def _crossing(name: str, value: Any) -> Any:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    if value is None or type(value) in _PLAIN:
        return value
    kind = _with_article(type(value).__name__)
    if isinstance(value, Iterator | AsyncIterator | Coroutine):
        raise TypeError(f"{name} returned {kind}, which cannot cross into the REPL; return a list of what it yields")
    try:
        return to_jsonable_python(_whole(value))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{name} returned {kind}, which cannot cross into the REPL: {message_of(error)}; return text, numbers, "
            "lists and dicts"
        ) from None


def _whole(value: Any) -> Any:
    """Return a value of texts, lists and dicts without lone surrogates, which file names may contain."""
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if type(value) in (list, tuple) and any(type(item) is str and not item.isascii() for item in value):
        return [_whole(item) for item in value]
    if type(value) is dict and any(type(item) is str and not item.isascii() for item in value.values()):
        return {key: _whole(item) for key, item in value.items()}
    return value


def _with_article(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _same_type(error: Exception, message: str) -> Exception:
    """Return an error with another message whose class has the same name."""
    kind = type(error)
    made: Exception = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(message)
    return made


def _problems(error: Any, parameters: Sequence[inspect.Parameter] = ()) -> str:
    """Describe what is wrong with arguments; positional ones are named after their parameters."""
    found = []
    for each in error.errors(include_url=False):
        first, *inner = each["loc"] or ("",)
        if isinstance(first, int) and first < len(parameters) and parameters[first].kind in _BY_POSITION:
            first = parameters[first].name
        found.append(f"{'.'.join(str(part) for part in (first, *inner))}: {each['msg']}")
    return "; ".join(found)[:_ERROR_CHARS]


def message_of(error: BaseException) -> str:
    """Return the message of an error on one line.

    Args:
        error: The error.
    """
    return " ".join(str(error).split())[:_ERROR_CHARS]
