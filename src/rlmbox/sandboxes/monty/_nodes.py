"""Helpers of the rewrites: constructors of AST nodes, and predicates."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import TypeVar

OWN_PREFIX = "_rlm_"
"""Prefix of the REPL's own names; a cell may not use it."""

_CHANGES = frozenset(
    {"append", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "sort"}
)
_QUICK_CALLS = ("len", "str", "int", "float", "abs", "repr", "ord", "tuple", "bool")
_QUICK_METHODS = ("lower", "upper", "get", "strip", "count", "find")


def own_name(name: str) -> str:
    """Return the name of one of our functions in the REPL."""
    return OWN_PREFIX + name


def load(name: str) -> ast.Name:
    """Return a node that reads a name."""
    return ast.Name(name, ast.Load())


def call(name: str, *arguments: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    """Return a node that calls one of our functions."""
    return ast.Call(load(own_name(name)), list(arguments), keywords or [])


def parameters(names: list[str]) -> ast.arguments:
    """Return the parameter list of a function with positional parameters."""
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def all_of(conditions: list[ast.expr]) -> ast.expr:
    """Return the conjunction of conditions."""
    return conditions[0] if len(conditions) == 1 else ast.BoolOp(ast.And(), conditions)


_Node = TypeVar("_Node", bound=ast.AST)


def placed(node: _Node, place: ast.AST) -> _Node:
    """Copy the location of a node to another and to its descendants that have none."""
    for inner in ast.walk(node):
        has_place = isinstance(inner, ast.expr | ast.stmt | ast.arg | ast.keyword | ast.excepthandler)
        if has_place and not hasattr(inner, "lineno"):
            ast.copy_location(inner, place)
    return node


def targets(node: ast.expr) -> set[str]:
    """Return the names that an assignment target binds."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def is_async(node: ast.GeneratorExp) -> bool:
    """Return whether a generator expression contains an `await`."""
    return any(isinstance(inner, ast.Await) for inner in ast.walk(node))


def has_calls(node: ast.AST) -> bool:
    """Return whether a node contains a call."""
    return any(isinstance(inner, ast.Call) for inner in ast.walk(node))


def is_text(node: ast.expr) -> bool:
    """Return whether an expression is a string literal or an f-string."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_number_or_list(node: ast.expr) -> bool:
    """Return whether an expression is, judged by its form, a number or a list."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("len", "int", "float", "sum", "abs", "round", "list", "sorted", "ord", "bool")
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        parts = [one for one in ast.walk(node) if isinstance(one, ast.expr)]
        return not any(is_text(one) or (isinstance(one, ast.Call) and not is_number_or_list(one)) for one in parts)
    return isinstance(node, ast.List | ast.ListComp | ast.UnaryOp | ast.Compare)


def is_number(node: ast.expr) -> bool:
    """Return whether an expression is, judged by its form, a number or an ASCII string."""
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, bytes) and (not isinstance(node.value, str) or node.value.isascii())
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div | ast.FloorDiv | ast.Sub | ast.Pow)
    return isinstance(node, ast.Compare | ast.Call) and not (
        isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in ("len", "round", "abs"))
    )


def is_empty(node: ast.expr) -> bool:
    """Return whether an expression is an empty literal of `str` or `bytes`."""
    return isinstance(node, ast.Constant) and node.value in ("", b"")


def is_quick_key(key: ast.expr, bound: Collection[str]) -> bool:
    """Return whether a key function cannot call the host, so that Monty's own sorting may use it."""
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
    """Return whether the body of a loop may modify the list that it iterates over by `enumerate` or the like."""
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
