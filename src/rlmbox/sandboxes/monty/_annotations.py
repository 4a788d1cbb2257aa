"""Annotations: CPython reads their names where a function, a class or a variable is defined, Monty never.

`def f(x: List[int])` without an import of `List` is a NameError in CPython up to 3.13. So the names are read before the
statement that they annotate; what is built of them, such as `List[int]`, is not evaluated. A line such as
`Result: FINAL("Paris")`, which is an annotation by its grammar alone, is.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Collection, Iterator
from typing import Any

from rlmbox.sandboxes.monty._nodes import load, parameters, placed

_ARE_LATE = sys.version_info >= (3, 14)
"""Whether CPython evaluates annotations only where they are asked for."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def are_read(tree: ast.Module) -> bool:
    """Return whether CPython reads the annotations of a cell when it runs."""
    return not _ARE_LATE and not any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(one.name == "annotations" for one in node.names)
        for node in tree.body
    )


class Called(ast.NodeTransformer):
    """Replaces variables that have an annotation with a call, and no value, by an evaluation of the annotation."""

    def visit(self, node: ast.AST) -> Any:
        """Visit what is not in a scope of its own."""
        return node if isinstance(node, _Function | ast.ClassDef | ast.Lambda) else super().visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Replace the variable."""
        if node.value is not None or not any(isinstance(inner, ast.Call) for inner in ast.walk(node.annotation)):
            return node
        # As a test its value is not shown, which that of an expression would be at the end of a cell.
        return ast.fix_missing_locations(placed(ast.If(node.annotation, [ast.Pass()], []), node))


def nodes_in(tree: ast.AST) -> Iterator[ast.AST]:
    """Iterate over the nodes of the annotations in a tree; Monty evaluates none of them."""
    for node in ast.walk(tree):
        annotation = node.returns if isinstance(node, _Function) else getattr(node, "annotation", None)
        yield from ast.walk(annotation) if annotation is not None else ()


def reads(node: ast.stmt, *, in_function: bool, bound: Collection[str]) -> list[ast.stmt]:
    """Return statements that read the names in the annotations of a statement.

    Args:
        node: The statement.
        in_function: Whether it is in a function, whose variables have annotations that are not evaluated.
        bound: Names that are not builtins.
    """
    names = dict.fromkeys(_names(node, in_function=in_function))
    read = [load(name) for name in names if name in bound or not hasattr(builtins, name)]
    if in_function and isinstance(node, ast.ClassDef):  # whose body has a scope of its own
        return [placed(ast.Expr(ast.Call(ast.Lambda(parameters([]), one), [], [])), node) for one in read]
    return [placed(ast.Expr(one), node) for one in read]


def _names(node: ast.stmt, *, in_function: bool) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        own = {one.id for inner in node.body for one in ast.walk(inner) if isinstance(one, ast.Name) and _is_set(one)}
        own |= {one.name for one in node.body if isinstance(one, _Function | ast.ClassDef)}
        own |= {one.name for one in getattr(node, "type_params", ())}
        yield from (name for inner in node.body for name in _names(inner, in_function=False) if name not in own)
    elif isinstance(node, _Function):
        parameters = {one.name for one in getattr(node, "type_params", ())}
        arguments = [one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg)]
        for annotation in (*arguments, node.returns):
            yield from (name for name in _read_in(annotation) if name not in parameters)
    elif isinstance(node, ast.AnnAssign) and not in_function:
        yield from _read_in(node.annotation)


def _read_in(annotation: ast.expr | None) -> Iterator[str]:
    for inner in ast.walk(annotation) if annotation is not None else ():
        if isinstance(inner, ast.Name):
            yield inner.id


def _is_set(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)
