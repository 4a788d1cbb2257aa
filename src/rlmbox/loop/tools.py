"""A user's own functions: their names and signatures in the REPL, and the checks made before anything runs."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
)
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from rlmbox.budget.limits import DEFAULT_TOOL_TIMEOUT_S
from rlmbox.errors import ConfigError
from rlmbox.loop.calling import ToolCalling, message_of
from rlmbox.loop.tool_secrets import SecretValues
from rlmbox.loop.tool_shapes import Written, resolved, shapes_of, written_type
from rlmbox.loop.typed_dicts import with_checkable_annotations
from rlmbox.sandboxes.base import BUILTINS
from rlmbox.types import HostFunction

_SUMMARY_CHARS = 1_200


TimeoutOf = Callable[[], float]
"""Returns the seconds that a call may take now, where the tool does not say."""


def usual_timeout_s() -> float:
    """Return the default timeout of a call in seconds."""
    return DEFAULT_TOOL_TIMEOUT_S


@dataclass(frozen=True)
class Tool:
    """A function of yours that code in the REPL may call.

    Its name, signature and docstring go into the prompt. Arguments are validated against the annotations by
    pydantic; invalid arguments, and exceptions that the function raises, are errors of the cell. A sync function runs
    in a thread, an async one on the run's event loop.

    Attributes:
        function: The function, sync or async.
        name: Its name in the REPL; None for the function's own.
        timeout_s: Seconds that a call may take; None for `Limits.tool_timeout_s`.
        depths: Depths of the sessions that have it, 0 for the root; None for all.
        pure: True if it only computes, so that a resumed run calls it again instead of reading its
            result from the record.
        idempotent: True if it may be called again when the outcome of a call is unknown, because the process
            ended during it.
        secrets: Arguments that are passed to the function by name and reach neither a model nor a record nor a trace.
            If the function leaks them, in a result or an error, they are hidden.
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
            timeout_of: Returns the timeout of a call, in seconds, if the tool does not set one.

        Raises:
            ConfigError: It has no name or no signature, its annotations cannot be checked, or an option is wrong.
        """
        if not callable(self.function):
            raise ConfigError(f"a tool is a function, not {type(self.function).__name__}: {self.function!r:.100}")
        name = checked_name(self.repl_name)
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigError(f"the tool {name} has timeout_s={self.timeout_s!r}; give seconds above 0")
        calling = ToolCalling(
            name,
            self._checked,
            self._shown,
            self.secrets,
            self._hidden,
            timeout_of=timeout_of if self.timeout_s is None else partial(float, self.timeout_s),
            is_async=self._is_async,
            is_bound_by_python=self._is_bound_by_python,
        )
        call = calling.waited_for()
        call.__name__, call.__doc__ = name, inspect.getdoc(self.function)
        call.__signature__ = self._shown  # type: ignore[attr-defined]
        at_once = calling.at_once()
        off_loop = None if self._is_async else at_once
        return HostFunction(name, call, self._summary, is_tool=True, at_once=at_once, off_loop=off_loop)

    @cached_property
    def _hidden(self) -> SecretValues:
        return SecretValues(self.secrets.values())

    @cached_property
    def _is_bound_by_python(self) -> bool:
        """True if arguments are passed on unchanged: nothing is added, and the signature is the function's own."""
        given: Any = self.function
        is_own = not (hasattr(given, "__signature__") or hasattr(given, "__wrapped__"))
        return not self.secrets and inspect.isroutine(given) and is_own

    @cached_property
    def _is_async(self) -> bool:
        function: Any = self.function
        while isinstance(function, partial):
            function = function.func
        function = inspect.unwrap(function)
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

    @cached_property
    def _summary(self) -> str:
        """Return the summary of the function, and the shapes of the classes in its signature."""
        said = " ".join((inspect.getdoc(self.function) or "").split())
        if isinstance(self.function, partial) or not said:
            said = " ".join((inspect.getdoc(getattr(self.function, "func", None)) or "").split())
        if len(said) > _SUMMARY_CHARS:
            said = said[:_SUMMARY_CHARS].rstrip() + " …"
        kinds = [kind for key, kind in resolved(self.function).items() if key not in self.secrets]
        shapes = shapes_of(kinds)
        return (said or "a function of the user's") + (f" ({shapes})" if shapes else "")

    @cached_property
    def _shown(self) -> inspect.Signature:
        name = self.repl_name
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the tool {name} cannot be given to a model: {message_of(error)}") from None
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

    @cached_property
    def _checked(self) -> Callable[..., Any]:
        from pydantic import ConfigDict, validate_call
        from pydantic.errors import PydanticUserError

        function: Any = self.function
        if not (inspect.isroutine(function) or isinstance(function, partial) or inspect.isclass(function)):
            function = function.__call__  # a callable object
        try:
            checked: Callable[..., Any] = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(
                with_checkable_annotations(function)
            )
        except PydanticUserError as error:
            way = "; wrap it in a function of yours" if error.code == "validate-call-type" else ""
            raise ConfigError(f"the tool {self.repl_name} cannot be given to a model: {error.message}{way}") from None
        except (TypeError, ValueError, NameError) as error:
            raise ConfigError(f"the tool {self.repl_name} cannot be given to a model: {message_of(error)}") from None
        return checked


def checked_name(name: str) -> str:
    """Check that code can call a tool by its name, and return the name.

    Args:
        name: The name.

    Raises:
        ConfigError: It cannot.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigError(f"a tool needs a name that code can call, not {name!r}; give one: Tool(fn, name='lookup')")
    if name in BUILTINS or name.startswith("__"):
        raise ConfigError(f"{name!r} means something else in Python; give the tool a name: Tool(fn, name='lookup')")
    return name


def as_tool(tool: Tool | Callable[..., Any]) -> Tool:
    """Return a tool, wrapping a bare function.

    Args:
        tool: The tool or function.
    """
    return tool if isinstance(tool, Tool) else Tool(tool)


def host_functions(
    tools: Iterable[Tool | Callable[..., Any]], depth: int | None, timeout_of: TimeoutOf = usual_timeout_s
) -> tuple[HostFunction, ...]:
    """Return the tools of a session at some depth.

    Args:
        tools: Tools, or bare functions.
        depth: The session's depth, 0 for the root; None for the tools of all sessions.
        timeout_of: Returns the timeout of a call, in seconds, if a tool does not set one.

    Raises:
        ConfigError: One cannot be given to a model.
    """
    named = [as_tool(tool) for tool in tools]
    return tuple(
        tool.host_function(timeout_of) for tool in named if depth is None or tool.depths is None or depth in tool.depths
    )


def _written(annotation: Any) -> Any:
    return annotation if annotation is inspect.Parameter.empty else Written(written_type(annotation))
