"""Small things that rewriting a cell's tree needs: nodes to make, and questions about nodes."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import TypeVar

OWN_PREFIX = "_rlm_"
"""Names of the REPL's own begin with it; a cell may not."""

_CHANGES = frozenset(
    {"append", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "sort"}
)
_QUICK_CALLS = ("len", "str", "int", "float", "abs", "repr", "ord", "tuple", "bool")
_QUICK_METHODS = ("lower", "upper", "get", "strip", "count", "find")


def own_name(name: str) -> str:
    """Return the name of one of our functions in the REPL."""
    return OWN_PREFIX + name


def load(name: str) -> ast.Name:
    """Return the node that reads a name."""
    return ast.Name(name, ast.Load())


def call(name: str, *arguments: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    """Return the node that calls one of our functions."""
    return ast.Call(load(own_name(name)), list(arguments), keywords or [])


def parameters(names: list[str]) -> ast.arguments:
    """Return the parameters of a function, by position."""
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def all_of(conditions: list[ast.expr]) -> ast.expr:
    """Return the condition that all of some hold."""
    return conditions[0] if len(conditions) == 1 else ast.BoolOp(ast.And(), conditions)


_Node = TypeVar("_Node", bound=ast.AST)


def placed(node: _Node, place: ast.AST) -> _Node:
    """Copy the position of another node to a node, and to what in it has none."""
    for inner in ast.walk(node):
        has_place = isinstance(inner, ast.expr | ast.stmt | ast.arg | ast.keyword | ast.excepthandler)
        if has_place and not hasattr(inner, "lineno"):
            ast.copy_location(inner, place)
    return node


def targets(node: ast.expr) -> set[str]:
    """Return the names that a target binds."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def is_async(node: ast.GeneratorExp) -> bool:
    """Return whether something is awaited in it."""
    return any(isinstance(inner, ast.Await) for inner in ast.walk(node))


def has_calls(node: ast.AST) -> bool:
    """Return whether something is called in it."""
    return any(isinstance(inner, ast.Call) for inner in ast.walk(node))


def is_text(node: ast.expr) -> bool:
    """Return whether its value is a text, as its form shows."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_number_or_list(node: ast.expr) -> bool:
    """Return whether its form shows that it is a number, a text or a list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("len", "int", "float", "sum", "abs", "round", "str", "list", "sorted", "ord", "bool")
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str)
    return isinstance(node, ast.List | ast.ListComp | ast.BinOp | ast.UnaryOp | ast.Compare)


def is_number(node: ast.expr) -> bool:
    """Return whether its form shows that it is a number, or a text of ASCII."""
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, bytes) and (not isinstance(node.value, str) or node.value.isascii())
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div | ast.FloorDiv | ast.Sub | ast.Pow)
    return isinstance(node, ast.Compare | ast.Call) and not (
        isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in ("len", "round", "abs"))
    )


def is_empty(node: ast.expr) -> bool:
    """Return whether it is an empty text."""
    return isinstance(node, ast.Constant) and node.value in ("", b"")


def is_quick_key(key: ast.expr, bound: Collection[str]) -> bool:
    """Return whether a key function calls nothing that may be the host's: then Monty's own sorting may call it."""
    if isinstance(key, ast.Name):
        return key.id in ("len", "str", "int", "float", "abs", "repr", "ord") and key.id not in bound
    if isinstance(key, ast.Constant):
        return True
    if not isinstance(key, ast.Lambda):
        return False
    return all(_is_quick(inner, bound) for inner in ast.walk(key.body) if isinstance(inner, ast.Call))


def _is_quick(node: ast.Call, bound: Collection[str]) -> bool:
    if isinstance(node.func, ast.Name):
        return node.func.id in _QUICK_CALLS and node.func.id not in bound
    return isinstance(node.func, ast.Attribute) and node.func.attr in _QUICK_METHODS


def changes_what_it_reads(node: ast.For) -> bool:
    """Return whether the body of a loop may change the list that the loop goes through by `enumerate` or its like."""
    read = _names_in(node.iter)
    return any(_changes(inner, read) for statement in node.body for inner in ast.walk(statement))


def _names_in(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _changes(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _CHANGES and bool(names & _names_in(node.func.value))
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return bool(names & _names_in(node.value))
    if isinstance(node, ast.AugAssign):
        return isinstance(node.target, ast.Name) and node.target.id in names
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next"
