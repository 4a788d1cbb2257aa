"""Decorated methods of a cell's classes: `@property`, `@staticmethod` and `@classmethod`, which Monty lacks.

A static method or a class method becomes an attribute that can be called, which Monty does not bind. A property stays
a method, and each attribute of its name that is read asks whether the object's class has such a property.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from rlmbox.sandboxes.monty._nodes import call, load, parameters, placed
from rlmbox.sandboxes.monty._syntax import CellRefused

PROPERTIES = "_rlm_properties"
"""The attribute of a class that names its properties."""
KINDS = frozenset({"property", "staticmethod", "classmethod"})


def of_cell(tree: ast.Module, bound: Collection[str], apart: Collection[int]) -> dict[int, ast.FunctionDef]:
    """Return the decorated methods of a cell that can be rewritten, by the `id` of their decorator.

    Args:
        tree: The cell.
        bound: Names that are not builtins.
        apart: The `id` of each class that is rewritten otherwise.
    """
    return {
        id(member.decorator_list[0]): member
        for node in tree.body
        if isinstance(node, ast.ClassDef) and id(node) not in apart
        for member in node.body
        if isinstance(member, ast.FunctionDef) and _kind(member) in KINDS - {*bound}
    }


def properties_in(tree: ast.Module) -> Iterator[str]:
    """Return the names of the properties that a cell's classes have."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _properties_of(node)


def check(tree: ast.Module, properties: Collection[str]) -> None:
    """Refuse what a property would do otherwise than in CPython.

    Args:
        tree: The cell.
        properties: The names of all properties.

    Raises:
        CellRefused: There is something.
    """
    own = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and _is_self(inner.value) and inner.attr not in _properties_of(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchClass) and (named := {*node.kwd_attrs} & {*properties}):
            raise _refused(f"case {ast.unparse(node.cls)}({min(named)}=...), a property,", "if", node.cls)
        if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load) or id(node) in own:
            continue
        if node.attr in properties:
            raise _refused(f"a value for {node.attr}, a property without a setter,", f"self._{node.attr}", node)


def rewrite(tree: ast.Module, methods: dict[int, ast.FunctionDef]) -> None:
    """Rewrite the decorated methods of a cell.

    Args:
        tree: The cell, modified in place.
        methods: Those that `of_cell` returned.
    """
    decorated = {id(method): method for method in methods.values()}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        body: list[ast.stmt] = []
        named = [ast.Constant(one) for one in _properties_of(node)]
        for member in node.body:
            body.append(member)
            if id(member) in decorated:
                body.extend(placed(one, member) for one in _without_decorator(node.name, decorated[id(member)]))
        if named:
            names = ast.Assign([ast.Name(PROPERTIES, ast.Store())], ast.Tuple([*named], ast.Load()))
            body.append(placed(names, node))
        node.body = body


def _without_decorator(owner: str, member: ast.FunctionDef) -> Iterator[ast.stmt]:
    kind = _kind(member)
    member.decorator_list = []
    if kind == "property":
        return
    of_class = [ast.Lambda(parameters([]), load(owner))] if kind == "classmethod" else []
    made = call("unbound_method", ast.Constant(f"{owner}.{member.name}"), load(member.name), *of_class)
    yield ast.Assign([ast.Name(member.name, ast.Store())], made)


def _properties_of(node: ast.ClassDef) -> list[str]:
    return [one.name for one in node.body if isinstance(one, ast.FunctionDef) and _kind(one) == "property"]


def _kind(member: ast.FunctionDef) -> str:
    """Return the name of a method's only decorator; '' where it has none or several."""
    only = member.decorator_list[0] if len(member.decorator_list) == 1 else None
    return only.id if isinstance(only, ast.Name) else ""


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _refused(what: str, way: str, node: ast.expr) -> CellRefused:
    return CellRefused(f"{what} is not in this REPL's Python: use {way}", node.lineno)
