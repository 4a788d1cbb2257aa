"""Named tuples defined as a class: `class Point(NamedTuple): x: int` becomes `namedtuple('Point', 'x')`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from rlmbox.sandboxes.monty._nodes import call, placed


def is_one(node: ast.AST, modules: Mapping[str, str]) -> TypeGuard[ast.ClassDef]:
    """Return whether a statement is a class of fields only, with the base `typing.NamedTuple`.

    Args:
        node: The statement.
        modules: Targets of imported names.
    """
    if not isinstance(node, ast.ClassDef) or len(node.bases) != 1 or node.keywords or node.decorator_list:
        return False
    return _is_base(node.bases[0], modules) and all(_is_field(one) or _is_nothing(one) for one in node.body)


def as_assignment(node: ast.ClassDef) -> ast.stmt:
    """Return the assignment of the named tuple type to the name of the class."""
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    names: list[ast.expr] = [ast.Constant(one.target.id) for one in fields if isinstance(one.target, ast.Name)]
    defaults = [one.value for one in fields if one.value is not None]
    made = call("named_tuple", ast.Constant(node.name), ast.List(names, ast.Load()), ast.List(defaults, ast.Load()))
    return placed(ast.Assign([ast.Name(node.name, ast.Store())], made), node)


def names_in(tree: ast.AST) -> Iterator[str]:
    """Iterate over the names that a cell binds to named tuple types, judged by the form of the statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(one).endswith("NamedTuple") for one in node.bases):
            yield node.name
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("namedtuple", "NamedTuple"):
                yield str(node.args[0].value)


def _is_base(node: ast.expr, modules: Mapping[str, str]) -> bool:
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and f"{modules.get(node.value.id)}.{node.attr}" == "typing.NamedTuple"
    return isinstance(node, ast.Name) and modules.get(node.id) == "typing.NamedTuple"


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")


def _is_nothing(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring, an ellipsis or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
