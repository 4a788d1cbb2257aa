"""The state of a rewrite, and the predicates that all of its parts share; see `_rewrite.py`."""

from __future__ import annotations

import ast
import builtins
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from rlmbox.sandboxes.monty._caught import Words
from rlmbox.sandboxes.monty._nodes import (
    call,
    load,
)
from rlmbox.sandboxes.monty._own_imports import OWN_NAMES

UNBOUND = frozenset({"str", "bytes", "list", "dict", "set", "tuple", "int", "float", "frozenset"})
BUILTIN_METHODS = frozenset(
    name for kind in (str, bytes, list, dict, set, tuple, int, float) for name in dir(kind) if not name.startswith("_")
) - {"real", "imag", "numerator", "denominator"}
OF_UNIONS = ("Optional", "Union")
"""Types of `typing` that Monty has."""
PARTS_OF_NUMBERS = frozenset({"real", "imag", "numerator", "denominator"})


class Rewriting(ABC):
    """Rewrites statements and expressions; see `rewrite`.

    Args:
        bound: Names that are not builtins.
        host_names: Names of the host functions and of the objects that have such methods.
        has_dates: Whether an operand may be a `timedelta`.
        sets: Names that the cell binds to sets; None if it uses no sets.
        words: How the cell may display error messages.
    """

    def __init__(
        self,
        bound: Collection[str],
        host_names: Collection[str],
        *,
        has_dates: bool = False,
        sets: Collection[str] | None = None,
        words: Words | None = None,
    ) -> None:
        self._has_dates, self._sets = has_dates, sets
        self._words = words or Words(False, False, False, {})
        self.divides_unnoted = False
        self.classes: Collection[str] = ()
        self.modules: Mapping[str, str] = {}
        self.methods: Mapping[str, str] = {}
        self.functions: frozenset[str] = frozenset()
        self.is_large = False
        self.reads_annotations = False
        self.properties: Collection[str] = ()
        self._loops = 0  # depth of enclosing loops
        self._bound = frozenset(bound)
        self._host_names = frozenset(host_names) - self._bound
        self._count = 0
        self._names_around: list[frozenset[str]] = []  # local names of the enclosing functions
        self._is_gone_through = False  # whether the next expression is only iterated over
        self._hoisted: list[ast.stmt] = []
        self._inner_names: list[frozenset[str]] = []  # of the comprehensions and lambdas around an expression
        self._scopes: list[str] = ["module"]
        self._around: list[str] = []  # names of the enclosing functions and classes, as in a qualified name
        self._needs: list[list[str]] = []  # names that a walrus in a hoisted function binds in the enclosing function

    def as_shown(self, node: ast.expr) -> ast.expr:
        """Return a node for the displayed form of an expression that may be a method such as `text.upper`.

        The value itself is a function of ours, or Monty's, with a different `repr`.
        """
        if self.is_large and isinstance(node, ast.Call) and self._is_builtin(node, {"type"}) and len(node.args) == 1:
            return ast.copy_location(call("shown_type", node), node)
        if not isinstance(node, ast.Attribute) or self._is_own(node) or node.attr in PARTS_OF_NUMBERS:
            return node
        owner, name = node.value, node.attr
        if name in self.properties:
            return node
        is_of_class = isinstance(owner, ast.Name) and owner.id in {*(UNBOUND - self._bound), *self.classes}
        if is_of_class or (name not in BUILTIN_METHODS and name not in self.methods):
            return node
        qualified = [ast.Constant(self.methods[name])] if name in self.methods else []
        return ast.copy_location(call("shown", owner, ast.Constant(name), *qualified), node)

    def _children(self, node: ast.expr) -> ast.expr:
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, field, self.expression(value))
            elif isinstance(value, list):
                setattr(node, field, [self.expression(one) if isinstance(one, ast.expr) else one for one in value])
            elif isinstance(value, ast.keyword):
                value.value = self.expression(value.value)
        return node

    def _is_own(self, node: ast.Attribute) -> bool:
        """Return whether an attribute is a name that we add to a module, such as `dataclasses.asdict`."""
        module = self.modules.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return node.attr in OWN_NAMES.get(module or "", ())

    def _is_of_typing(self, node: ast.expr) -> bool:
        """Return whether a node is a type of `typing` that Monty lacks, such as `Dict` or `typing.Callable`."""
        if isinstance(node, ast.Attribute):
            is_module = isinstance(node.value, ast.Name) and self.modules.get(node.value.id) == "typing"
            return is_module and node.attr not in OF_UNIONS
        name = self.modules.get(node.id, "") if isinstance(node, ast.Name) else ""
        return name.startswith("typing.") and name.partition(".")[2] not in OF_UNIONS

    def _asks(self, node: ast.Call) -> bool:
        """Return whether an argument of a call contains a call of a host function."""
        return any(
            isinstance(inner, ast.Name) and inner.id in self._host_names for one in node.args for inner in ast.walk(one)
        )

    def _has_own_calls(self, node: ast.Call) -> bool:
        """Return whether an argument of a call contains a call of a function of the host or of a cell."""
        arguments = [*node.args, *(one.value for one in node.keywords)]
        calls = [inner.func for one in arguments for inner in ast.walk(one) if isinstance(inner, ast.Call)]
        return any(
            (isinstance(one, ast.Name) and one.id in self.functions | self._host_names)
            or (isinstance(one, ast.Attribute) and one.attr in self.methods)
            for one in calls
        )

    def _owner(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        """Return the rewritten owner of a method that is called; Monty looks the method up after the arguments."""
        read, name = function.value, function.attr
        owner = self.expression(function.value)
        if not self._has_own_calls(node):
            return owner
        checked = call("having", owner, ast.Constant(name), keywords=self._of_classes())
        if self.is_large or not isinstance(read, ast.Name):
            return checked
        # A function of ours would make `found.append(clean(x))` in a loop several times slower.
        if name in self.methods:
            return ast.IfExp(ast.Compare(load(read.id), [ast.IsNot()], [ast.Constant(None)]), owner, checked)
        kind = next((one for one in ("list", "set", "dict", "str") if hasattr(getattr(builtins, one), name)), None)
        if kind is None or self._bound & {"isinstance", kind}:
            return checked
        return ast.IfExp(ast.Call(load("isinstance"), [load(read.id), load(kind)], []), owner, checked)

    def _is_builtin(self, node: ast.Call, names: Collection[str]) -> bool:
        return isinstance(node.func, ast.Name) and node.func.id in names and node.func.id not in self._bound

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.expression(one) for one in arguments.defaults]
        arguments.kw_defaults = [self.expression(one) if one else None for one in arguments.kw_defaults]

    def _of_classes(self) -> list[ast.keyword]:
        names = ast.Tuple([ast.Constant(one) for one in sorted(self.classes)], ast.Load())
        return [ast.keyword("classes", names)] if self.classes else []

    @abstractmethod
    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Rewrite a block of statements, with hoisted functions before the statement that uses them."""

    @abstractmethod
    def expression(self, node: ast.expr) -> ast.expr:
        """Return the rewritten form of an expression."""
