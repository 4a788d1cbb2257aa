"""A user's own functions in the REPL: checked arguments, a time limit, results that can cross, secrets that cannot."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import anyio
import anyio.to_thread

from rlmbox.errors import ConfigError
from rlmbox.types import HostFunction

DEFAULT_TIMEOUT_S = 60.0
"""Seconds that a call of a tool may take, unless the tool says otherwise."""

_ERROR_CHARS = 500


@dataclass(frozen=True)
class Tool:
    """A function of yours that code in the REPL may call.

    Its name, signature and the first line of its docstring go into the prompt. Arguments are checked against the
    annotations, as pydantic reads them; what is wrong with them is an error of the cell. A plain function runs in a
    thread of its own.

    Attributes:
        function: The function, plain or async.
        name: Its name in the REPL; None for the function's own.
        timeout_s: Seconds that a call may take.
        depths: Depths of the sessions that have it, 0 for the root; None for all.
        pure: True if it does nothing but compute, so that it may be called again instead of being read from a record.
        secrets: Arguments that the function gets by name and that neither the model nor a record sees.
    """

    function: Callable[..., Any]
    name: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    depths: Collection[int] | None = None
    pure: bool = False
    secrets: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def host_function(self) -> HostFunction:
        """Return the function as a sandbox may call it.

        Raises:
            ConfigError: It has no name or no signature, or its annotations cannot be checked.
        """
        name = str(self.name or getattr(self.function, "__name__", ""))
        if not name.isidentifier():
            raise ConfigError(
                f"a tool needs a name that code can call, not {name!r}; give one: Tool(fn, name='lookup')"
            )
        try:
            shown = self._shown_signature()
            checked = self._checked()
        except (TypeError, ValueError, NameError) as error:
            raise ConfigError(f"the tool {name} cannot be given to a model: {_line(error)}") from None

        @functools.wraps(self.function)
        async def call(*arguments: Any, **keywords: Any) -> Any:
            return _crossing(name, await self._call(name, checked, arguments, keywords))

        del call.__wrapped__  # the signature that is shown leaves out the secrets
        call.__signature__ = shown  # type: ignore[attr-defined]
        summary = (inspect.getdoc(self.function) or "a function of the user's").partition("\n")[0]
        return HostFunction(name, call, summary, is_tool=True)

    async def _call(
        self, name: str, checked: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        from pydantic import ValidationError

        bound = functools.partial(checked, *arguments, **keywords, **self.secrets)
        try:
            with anyio.fail_after(self.timeout_s):
                if inspect.iscoroutinefunction(inspect.unwrap(self.function)):
                    return await bound()
                return await anyio.to_thread.run_sync(bound, abandon_on_cancel=True)
        except ValidationError as error:
            raise TypeError(f"{name}: {_problems(error)}") from None
        except TimeoutError:
            raise TimeoutError(f"{name} took longer than {self.timeout_s:g} s; ask for less at once") from None

    def _shown_signature(self) -> inspect.Signature:
        signature = inspect.signature(self.function)
        unknown = self.secrets.keys() - signature.parameters.keys()
        if unknown:
            raise ValueError(f"it has no parameter {min(unknown)!r} for that secret")
        kept = [parameter for key, parameter in signature.parameters.items() if key not in self.secrets]
        return signature.replace(parameters=kept)

    def _checked(self) -> Callable[..., Any]:
        from pydantic import ConfigDict, validate_call
        from pydantic.errors import PydanticUserError

        try:
            checked: Callable[..., Any] = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(self.function)
        except PydanticUserError as error:
            raise ValueError(error.message) from None
        return checked


def host_functions(tools: Iterable[Tool | Callable[..., Any]], depth: int | None) -> tuple[HostFunction, ...]:
    """Return the tools that a session at some depth has.

    Args:
        tools: Tools, or bare functions.
        depth: The session's depth, 0 for the root; None for the tools of all sessions.

    Raises:
        ConfigError: One cannot be given to a model.
    """
    named = [tool if isinstance(tool, Tool) else Tool(tool) for tool in tools]
    return tuple(tool.host_function() for tool in named if depth is None or tool.depths is None or depth in tool.depths)


def unrepeatable(tools: Iterable[Tool | Callable[..., Any]]) -> frozenset[str]:
    """Return the names of the tools that must not be called again when nobody knows how a call of them ended.

    Args:
        tools: Tools, or bare functions.
    """
    named = [tool if isinstance(tool, Tool) else Tool(tool) for tool in tools]
    return frozenset(str(tool.name or getattr(tool.function, "__name__", "")) for tool in named if not tool.pure)


def _crossing(name: str, value: Any) -> Any:
    """Return a result as the JSON value that crosses into the sandbox."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        kind = type(value).__name__
        raise TypeError(f"{name} returned a {kind}, which cannot cross into the REPL: {_line(error)}") from None


def _problems(error: Any) -> str:
    found = [
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors(include_url=False)
    ]
    return "; ".join(found)[:_ERROR_CHARS]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_ERROR_CHARS]
