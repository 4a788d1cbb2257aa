"""Compilation of `def` and `lambda`, and binding of the arguments of calls."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rlmbox.sandboxes.subset.comprehensions import Comprehensions
from rlmbox.sandboxes.subset.expressions import Compiled
from rlmbox.sandboxes.subset.scopes import of_function
from rlmbox.sandboxes.subset.values import Function

Body = Callable[[Any], Any]
"""Runs the body of a function and returns its result."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a function.

    Attributes:
        name: Name of the function.
        positional: Names of parameters that can be passed by position.
        positional_only: Number of those that cannot be passed by name.
        keyword_only: Names of parameters that can only be passed by name.
        rest: Name of `*args`, or None.
        named_rest: Name of `**kwargs`, or None.
    """

    name: str
    positional: tuple[str, ...]
    positional_only: int
    keyword_only: tuple[str, ...]
    rest: str | None
    named_rest: str | None

    @property
    def is_plain(self) -> bool:
        """True if all parameters can be passed by position."""
        return not self.keyword_only and self.rest is None and self.named_rest is None

    def bound(
        self, args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> dict[Any, Any]:
        """Bind arguments to the parameters and return the local variables.

        Raises:
            TypeError: The arguments do not match the parameters.
        """
        found: dict[Any, Any] = dict(zip(self.positional, args, strict=False))
        if self.rest is not None:
            found[self.rest] = tuple(args[len(self.positional) :])
        elif len(args) > len(self.positional):
            raise TypeError(self._too_many(len(args), defaults))
        extra: dict[str, Any] = {}
        for name, value in kwargs.items():
            self._named(found, extra, name, value)
        if self.named_rest is not None:
            found[self.named_rest] = extra
        for names, kind in ((self.positional, "positional"), (self.keyword_only, "keyword-only")):
            self._fill(found, names, kind, defaults)
        return found

    def _named(self, found: dict[Any, Any], extra: dict[str, Any], name: str, value: Any) -> None:
        if name in self.keyword_only or name in self.positional[self.positional_only :]:
            if name in found:
                raise TypeError(f"{self.name}() got multiple values for argument '{name}'")
            found[name] = value
        elif self.named_rest is not None:
            extra[name] = value
        elif name in self.positional:
            raise TypeError(f"{self.name}() got some positional-only arguments passed as keyword arguments: '{name}'")
        else:
            raise TypeError(f"{self.name}() got an unexpected keyword argument '{name}'")

    def _fill(self, found: dict[Any, Any], names: tuple[str, ...], kind: str, defaults: Mapping[str, Any]) -> None:
        missing = []
        for name in names:
            if name not in found:
                if name in defaults:
                    found[name] = defaults[name]
                else:
                    missing.append(name)
        if missing:
            several = "argument" if len(missing) == 1 else "arguments"
            raise TypeError(f"{self.name}() missing {len(missing)} required {kind} {several}: {_listed(missing)}")

    def _too_many(self, given: int, defaults: Mapping[str, Any]) -> str:
        most = len(self.positional)
        least = sum(name not in defaults for name in self.positional)
        takes = f"from {least} to {most}" if least < most else f"{most}"
        several = "argument" if most == 1 else "arguments"
        return f"{self.name}() takes {takes} positional {several} but {given} {'was' if given == 1 else 'were'} given"


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def parameters_of(name: str, arguments: ast.arguments) -> Parameters:
    """Return the parameters of a function."""
    return Parameters(
        name,
        tuple(arg.arg for arg in (*arguments.posonlyargs, *arguments.args)),
        len(arguments.posonlyargs),
        tuple(arg.arg for arg in arguments.kwonlyargs),
        arguments.vararg.arg if arguments.vararg else None,
        arguments.kwarg.arg if arguments.kwarg else None,
    )


class Functions(Comprehensions):
    """Compiles functions."""

    def _node_lambda(self, node: ast.Lambda) -> Compiled:
        return self.function(node)

    def function(self, node: ast.FunctionDef | ast.Lambda) -> Compiled:
        """Compile a function definition; the result creates the function when the definition is executed."""
        defaults = self._defaults(node.args)
        module_level, meter = self.scope.outer is None, self.meter
        name, maker = self.maker_of(node)
        place = (self.source, node.lineno, node.end_lineno or node.lineno, node.col_offset)

        def make(frame: Any) -> Function:
            meter.take(300)
            closure = None if module_level else frame
            given = defaults(frame)
            return Function(name, maker(closure, given), closure, given, place)

        return make

    def maker_of(self, node: ast.FunctionDef | ast.Lambda) -> tuple[str, Callable[..., Callable[..., Any]]]:
        """Compile the body of a function.

        Returns:
            Its name, and a function that creates it from the enclosing variables and the defaults.
        """
        name = node.name if isinstance(node, ast.FunctionDef) else "<lambda>"
        before, outer = self.cost, self.scope
        self.scope = of_function(node, outer)
        try:
            body = self.body_of(node)
        finally:
            self.scope, self.cost = outer, before
        return name, _maker(self.meter, parameters_of(name, node.args), body)

    def body_of(self, node: ast.FunctionDef | ast.Lambda) -> Body:
        """Compile the statements or the expression of a function."""
        raise NotImplementedError

    def _defaults(self, arguments: ast.arguments) -> Callable[[Any], dict[str, Any]]:
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = [
            (arg.arg, self.expression(value))
            for arg, value in zip(
                positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True
            )
        ]
        pairs += [
            (arg.arg, self.expression(value))
            for arg, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if value is not None
        ]
        return lambda frame: {name: value(frame) for name, value in pairs}


def _maker(meter: Any, parameters: Parameters, body: Body) -> Callable[[Any, dict[str, Any]], Callable[..., Any]]:
    names, count, plain = parameters.positional, len(parameters.positional), parameters.is_plain
    frames, most = meter.frames, meter.limits.call_depth

    def make(closure: Any, defaults: dict[str, Any]) -> Callable[..., Any]:
        def run(args: Any, kwargs: Any) -> Any:
            if plain and not kwargs and len(args) == count:
                frame: dict[Any, Any] = dict(zip(names, args))  # noqa: B905 - strict takes twice as long
            else:
                frame = parameters.bound(args, kwargs, defaults)
            frame[0] = closure
            if meter.depth >= most:
                raise RecursionError("maximum recursion depth exceeded")
            meter.depth += 1
            frames.append(frame)
            try:
                return body(frame)
            finally:
                meter.depth -= 1
                frames.pop()

        return run

    return make
