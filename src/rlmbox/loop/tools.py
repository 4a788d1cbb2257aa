"""A user's own functions in the REPL: checked arguments, a time limit, results that can cross, secrets that cannot."""

from __future__ import annotations

import asyncio
import builtins
import functools
import inspect
import keyword
import math
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rlmbox.budget.limits import DEFAULT_TOOL_TIMEOUT_S
from rlmbox.errors import ConfigError
from rlmbox.loop.stepping import Rest, stepped
from rlmbox.loop.tool_secrets import SecretValues
from rlmbox.loop.tool_shapes import Written, resolved, shapes_of, written_type
from rlmbox.threads import ThreadJob
from rlmbox.types import HostFunction

_ERROR_CHARS = 500
_SUMMARY_CHARS = 1_200
_BUILTINS = frozenset(vars(builtins))

TimeoutOf = Callable[[], float]
"""Returns the seconds that a call may take now, where the tool does not say."""


_Bind = Callable[[Sequence[Any], Mapping[str, Any]], "functools.partial[Any]"]
_Wait = Callable[["functools.partial[Any]", Callable[[], Awaitable[Any]]], Awaitable[Any]]
_PLAIN = frozenset({bool, int, float})  # types that cross as they are
_MOMENT_S = 0.000_3  # for which the event loop waits where it is; a thread's answer takes a tenth of it
_QUICK_S = 0.000_1
_QUICK_CALLS = 3
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Pace:
    """The pace of a function: quick from the first call on, and after a slow one from a few quick ones on."""

    def __init__(self) -> None:
        self._quick = _QUICK_CALLS

    @property
    def is_quick(self) -> bool:
        return self._quick >= _QUICK_CALLS

    def note(self, took_s: float) -> None:
        self._quick = self._quick + 1 if took_s < _QUICK_S else 0


def usual_timeout_s() -> float:
    """Return the seconds that a call may take by default."""
    return DEFAULT_TOOL_TIMEOUT_S


@dataclass(frozen=True)
class Tool:
    """A function of yours that code in the REPL may call.

    Its name, signature and docstring go into the prompt. Arguments are checked against the annotations, as pydantic
    reads them; what is wrong with them is an error of the cell, as is what the function raises. A plain function runs
    in a thread, an async one on the run's event loop.

    Attributes:
        function: The function, plain or async.
        name: Its name in the REPL; None for the function's own.
        timeout_s: Seconds that a call may take; None for `Limits.tool_timeout_s`.
        depths: Depths of the sessions that have it, 0 for the root; None for all.
        pure: True if it does nothing but compute, so that a run that goes on calls it again instead of reading its
            answer from the record.
        idempotent: True if it may be called again when nobody knows whether a call did its work, because the process
            ended meanwhile.
        secrets: Arguments that the function gets by name and that neither a model nor a record nor a trace sees. What
            the function says of them, in a result or an error, is hidden.
    """

    function: Callable[..., Any]
    name: str | None = None
    timeout_s: float | None = None
    depths: Collection[int] | None = None
    pure: bool = False
    idempotent: bool = False
    secrets: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def repl_name(self) -> str:
        """Its name in the REPL."""
        return str(self.name or getattr(self.function, "__name__", ""))

    def host_function(self, timeout_of: TimeoutOf = usual_timeout_s) -> HostFunction:
        """Return the function as a sandbox may call it.

        Args:
            timeout_of: Returns the seconds that a call may take where the tool does not say.

        Raises:
            ConfigError: It has no name or no signature, its annotations cannot be checked, or an option is wrong.
        """
        if not callable(self.function):
            raise ConfigError(f"a tool is a function, not {type(self.function).__name__}: {self.function!r:.100}")
        name = checked_name(self.repl_name)
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigError(f"the tool {name} has timeout_s={self.timeout_s!r}; give seconds above 0")
        bind = self._binding(name)
        wait = functools.partial(self._wait, name, timeout_of)

        async def call(*arguments: Any, **keywords: Any) -> Any:
            bound = bind(arguments, keywords)
            return await wait(
                bound, bound if self._is_async else ThreadJob(functools.partial(_result, name, bound)).wait
            )

        call.__name__, call.__doc__ = name, inspect.getdoc(self.function)
        call.__signature__ = self._shown  # type: ignore[attr-defined]
        at_once = self._stepped(name, bind, wait) if self._is_async else self._at_once(name, bind, wait)
        off_loop = None if self._is_async else at_once
        return HostFunction(name, call, self._summary, is_tool=True, at_once=at_once, off_loop=off_loop)

    def _at_once(self, name: str, bind: _Bind, wait: _Wait) -> Callable[..., Any]:
        """Return the call of a plain function that the event loop waits for where it is, while it is quick."""
        pace = _Pace()

        async def later(bound: functools.partial[Any], job: ThreadJob) -> Any:
            try:
                return await wait(bound, job.wait)
            finally:
                pace.note(job.took_s)

        def call(*arguments: Any, **keywords: Any) -> Any:
            bound = bind(arguments, keywords)
            job = ThreadJob(functools.partial(_result, name, bound))
            if not pace.is_quick or not job.has_ended_within(_MOMENT_S):
                return later(bound, job)
            try:
                result = job.result()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the cell is told
                raise self._told(name, error, bound) from None
            return later(bound, job) if inspect.isawaitable(result) else self._hidden.hidden_in_value(result)

        return call

    def _stepped(self, name: str, bind: _Bind, wait: _Wait) -> Callable[..., Any]:
        """Return the call of an async function that has its time from its first wait on, where it comes to one."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            bound = bind(arguments, keywords)
            try:
                result = stepped(bound())
                if not isinstance(result, Rest):
                    return self._hidden.hidden_in_value(_crossing(name, result))
            except (Exception, SystemExit, GeneratorExit, asyncio.CancelledError) as error:  # noqa: BLE001 - as in _wait
                raise self._told(name, error, bound) from None
            return wait(bound, result.wait)

        return call

    def _binding(self, name: str) -> _Bind:
        """Return what makes a call of a function and arguments, which are checked when it is called."""
        checked, shown = self._checked, self._shown

        def bind(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> functools.partial[Any]:
            if self._is_bound_by_python:
                return functools.partial(checked, *arguments, **keywords)
            positional, named = self._bound(name, shown, arguments, keywords)
            return functools.partial(checked, *positional, **named, **self.secrets)

        return bind

    async def _wait(
        self, name: str, timeout_of: TimeoutOf, bound: functools.partial[Any], work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Wait for a call within its time; nothing of its secrets leaves, neither in the result nor in an error."""
        timeout_s = self.timeout_s if self.timeout_s is not None else timeout_of()
        started = asyncio.current_task()
        cancelled_before = started.cancelling() if started is not None else 0
        try:
            async with asyncio.timeout(None if timeout_s == math.inf else timeout_s) as deadline:
                result = await work()
                if inspect.isawaitable(result):  # of a plain function that makes a coroutine
                    result = _crossing(name, await result)
                elif self._is_async:
                    result = _crossing(name, result)
            return self._hidden.hidden_in_value(result)
        except TimeoutError as error:
            if not deadline.expired():
                raise self._told(name, error, bound) from None
            raise TimeoutError(f"{name} took longer than {timeout_s:g} s; ask for less at once") from None
        except asyncio.CancelledError as error:
            if started is not None and started.cancelling() > cancelled_before:
                raise  # the run's own
            raise self._told(name, error, bound) from None
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - whatever it is, the cell is told
            raise self._told(name, error, bound) from None

    def _bound(
        self, name: str, shown: inspect.Signature, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments by position and by name, between which secrets may stand in the function's signature."""
        try:
            bound = shown.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}{shown}: {error}") from None
        taken = self.secrets.keys() & keywords.keys()
        if taken:
            raise TypeError(f"{name}() takes no argument {min(taken)!r}")
        parameters = shown.parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):  # where secrets are keyword-only
            return bound.args, bound.kwargs
        only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in bound.arguments]
        named = {key: value for key, value in bound.arguments.items() if key not in only}
        for rest in (p.name for p in parameters if p.kind is p.VAR_KEYWORD):
            named |= named.pop(rest, {})
        return tuple(bound.arguments[key] for key in only), named

    def _told(self, name: str, error: BaseException, bound: functools.partial[Any]) -> Exception:
        """Return an error of a call as the cell is told of it: of its own type, without secrets."""
        from pydantic import ValidationError

        hidden = self._hidden.hidden_in
        if isinstance(error, ValidationError):
            if self._is_bound_by_python:  # others were bound before
                try:
                    self._shown.bind(*bound.args, **bound.keywords)
                except TypeError as wrong:
                    return TypeError(f"{name}{self._shown}: {wrong}")
            is_of_call = self._is_bound_by_python and error.title == getattr(self._checked, "__qualname__", None)
            places = tuple(self._shown.parameters.values()) if is_of_call else ()
            return TypeError(hidden(f"{name}: {_problems(error, places)}"))
        if isinstance(error, asyncio.CancelledError):
            return RuntimeError(hidden(f"{name} was cancelled by itself: {_line(error) or 'CancelledError'}"))
        if isinstance(error, SystemExit | GeneratorExit):
            return RuntimeError(hidden(f"{name} raised {type(error).__name__}: {_line(error)}"))
        said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if isinstance(error, Exception) and hidden(said) == said:
            return error
        return _same_type(error, hidden(said))

    @functools.cached_property
    def _hidden(self) -> SecretValues:
        return SecretValues(self.secrets.values())

    @functools.cached_property
    def _is_bound_by_python(self) -> bool:
        """True if arguments are passed on as they come: nothing is added, and the signature is the function's own."""
        given: Any = self.function
        is_own = not (hasattr(given, "__signature__") or hasattr(given, "__wrapped__"))
        return not self.secrets and inspect.isroutine(given) and is_own

    @functools.cached_property
    def _is_async(self) -> bool:
        function: Any = self.function
        while isinstance(function, functools.partial):
            function = function.func
        function = inspect.unwrap(function)
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

    @functools.cached_property
    def _summary(self) -> str:
        """Return the summary of the function, and the shapes of the classes in its signature."""
        said = " ".join((inspect.getdoc(self.function) or "").split())
        if isinstance(self.function, functools.partial) or not said:
            said = " ".join((inspect.getdoc(getattr(self.function, "func", None)) or "").split())
        if len(said) > _SUMMARY_CHARS:
            said = said[:_SUMMARY_CHARS].rstrip() + " …"
        kinds = [kind for key, kind in resolved(self.function).items() if key not in self.secrets]
        shapes = shapes_of(kinds)
        return (said or "a function of the user's") + (f" ({shapes})" if shapes else "")

    @functools.cached_property
    def _shown(self) -> inspect.Signature:
        name = self.repl_name
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the tool {name} cannot be given to a model: {_line(error)}") from None
        self._check_secrets(name, signature)
        hints = resolved(self.function)
        kept = [
            parameter.replace(annotation=_written(hints.get(key, parameter.annotation)))
            for key, parameter in signature.parameters.items()
            if key not in self.secrets
        ]
        returned = _written(hints.get("return", signature.return_annotation))
        return inspect.Signature(kept, return_annotation=returned)

    def _check_secrets(self, name: str, signature: inspect.Signature) -> None:
        parameters = signature.parameters
        unknown = self.secrets.keys() - parameters.keys()
        if unknown:
            raise ConfigError(
                f"the tool {name} cannot be given to a model: it has no parameter {min(unknown)!r} for that secret"
            )
        takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        for key in self.secrets:
            kind = parameters[key].kind
            if kind is inspect.Parameter.KEYWORD_ONLY or (
                kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and not takes_any
            ):
                continue
            raise ConfigError(f"the tool {name} takes its secret {key!r} by position only; make it keyword-only")

    @functools.cached_property
    def _checked(self) -> Callable[..., Any]:
        from pydantic import ConfigDict, validate_call
        from pydantic.errors import PydanticUserError

        function: Any = self.function
        if not (inspect.isroutine(function) or isinstance(function, functools.partial) or inspect.isclass(function)):
            function = function.__call__  # an object that can be called
        try:
            checked: Callable[..., Any] = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)
        except PydanticUserError as error:
            raise ConfigError(f"the tool {self.repl_name} cannot be given to a model: {error.message}") from None
        except (TypeError, ValueError, NameError) as error:
            raise ConfigError(f"the tool {self.repl_name} cannot be given to a model: {_line(error)}") from None
        return checked


def checked_name(name: str) -> str:
    """Return a tool's name, having checked that code can call it by that.

    Args:
        name: The name.

    Raises:
        ConfigError: It cannot.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigError(f"a tool needs a name that code can call, not {name!r}; give one: Tool(fn, name='lookup')")
    if name in _BUILTINS or name.startswith("__"):
        raise ConfigError(f"{name!r} means something else in Python; give the tool a name: Tool(fn, name='lookup')")
    return name


def as_tool(tool: Tool | Callable[..., Any]) -> Tool:
    """Return a tool of a tool or a bare function.

    Args:
        tool: The tool or function.
    """
    return tool if isinstance(tool, Tool) else Tool(tool)


def host_functions(
    tools: Iterable[Tool | Callable[..., Any]], depth: int | None, timeout_of: TimeoutOf = usual_timeout_s
) -> tuple[HostFunction, ...]:
    """Return the tools that a session at some depth has.

    Args:
        tools: Tools, or bare functions.
        depth: The session's depth, 0 for the root; None for the tools of all sessions.
        timeout_of: Returns the seconds that a call may take where a tool does not say.

    Raises:
        ConfigError: One cannot be given to a model.
    """
    named = [as_tool(tool) for tool in tools]
    return tuple(
        tool.host_function(timeout_of) for tool in named if depth is None or tool.depths is None or depth in tool.depths
    )


def _result(name: str, bound: Callable[[], Any]) -> Any:
    """Call a plain function, and make its result JSON in the same thread: both may take long."""
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
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{name} returned {kind}, which cannot cross into the REPL: {_line(error)}; return text, numbers, lists "
            "and dicts"
        ) from None


def _with_article(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _written(annotation: Any) -> Any:
    return annotation if annotation is inspect.Parameter.empty else Written(written_type(annotation))


def _same_type(error: BaseException, message: str) -> Exception:
    """Return an error of the same class with another message, as far as its class allows."""
    kind = type(error) if isinstance(error, Exception) else RuntimeError
    made: Exception = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(message)
    return made


def _problems(error: Any, parameters: Sequence[inspect.Parameter] = ()) -> str:
    """Return what is wrong with arguments; those by position go by the names of their parameters."""
    found = []
    for each in error.errors(include_url=False):
        first, *inner = each["loc"] or ("",)
        if isinstance(first, int) and first < len(parameters) and parameters[first].kind in _BY_POSITION:
            first = parameters[first].name
        found.append(f"{'.'.join(str(part) for part in (first, *inner))}: {each['msg']}")
    return "; ".join(found)[:_ERROR_CHARS]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_ERROR_CHARS]
