"""Rewrites that keep sets of numbers in CPython's iteration order; see `modules/sets.monty`."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterator

from rlmbox.sandboxes.monty._nodes import call, has_calls, own_name

FEW = 4
"""Up to this size a set of numbers has the same order however it was built."""

_OPERATORS: dict[type[ast.operator], str] = {ast.BitOr: "or", ast.BitAnd: "and", ast.BitXor: "xor", ast.Sub: "less"}
_CHANGING = {"add": "m_add", "discard": "m_discard"}
_SHARED = {"remove": "m_remove", "copy": "m_copy", "clear": "m_clear", "update": "set_update"}  # with lists and dicts
_COMBINING = frozenset({"union", "intersection", "difference", "symmetric_difference"})
_CHANGES = frozenset(map(own_name, ("m_add", "set_update", "in_or", "in_xor", "in_and", "in_less")))
_NO_ARGUMENTS = frozenset({"pop", "copy", "clear"})


def names_in(tree: ast.AST, before: Collection[str] = ()) -> frozenset[str] | None:
    """Return the names that a cell binds to sets, judged by the form of the expressions; None if it uses no sets.

    Args:
        tree: The cell.
        before: Names that earlier cells bound to sets.
    """
    names: set[str] = {*before}
    has_one = False
    for node in ast.walk(tree):
        has_one = has_one or is_set(node, names) or (isinstance(node, ast.Attribute) and node.attr in _CHANGING)
        for target, value in _assigned(node):
            if is_set(value, names):
                names.add(target)
    return frozenset(names) if has_one else None


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((one.id, node.value) for one in node.targets if isinstance(one, ast.Name))
        for one in node.targets:
            if (
                isinstance(one, ast.Tuple)
                and isinstance(node.value, ast.Tuple)
                and len(one.elts) == len(node.value.elts)
            ):
                pairs = zip(one.elts, node.value.elts, strict=True)
                yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def is_set(node: ast.AST, names: Collection[str]) -> bool:
    """Return whether the value of an expression is a set, judged by its form."""
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return is_set(node.left, names) or is_set(node.right, names)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in ("set", "frozenset")
        return isinstance(node.func, ast.Attribute) and node.func.attr in _COMBINING
    return isinstance(node, ast.Set | ast.SetComp)


def operator(node: ast.BinOp, names: Collection[str] | None) -> str | None:
    """Return our replacement of an operator on operands that may be sets; None if it needs none."""
    name = _OPERATORS.get(type(node.op))
    if name is None or any(isinstance(side, ast.Constant | ast.Dict) for side in (node.left, node.right)):
        return None
    if name == "less":
        is_one = names is not None and (is_set(node.left, names) or is_set(node.right, names))
        return "less" if is_one or _is_keys(node.left) else None
    return f"bit_{name}"


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def in_place(node: ast.AugAssign, names: Collection[str] | None) -> ast.Assign | None:
    """Return `s = in_or(s, other)` for `s |= other`; None if the operator is not one of sets."""
    name = _OPERATORS.get(type(node.op))
    if name is None or has_calls(node.target) or isinstance(node.value, ast.Constant):
        return None
    if name == "less" and (names is None or not (is_set(node.target, names) or is_set(node.value, names))):
        return None
    read = copy.deepcopy(node.target)
    read.ctx = ast.Load()
    return ast.copy_location(ast.Assign([node.target], call(f"in_{name}", read, node.value)), node)


def method(node: ast.Call, name: str, names: Collection[str] | None) -> str | None:
    """Return our replacement of a method that may be one of a set; None if Monty handles it."""
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        return None
    if len(node.args) != (0 if name in _NO_ARGUMENTS else 1):
        return None
    if name == "pop":  # lists have it too, often in loops that must be fast
        return "m_pop" if isinstance(node.func, ast.Attribute) and is_set(node.func.value, names or ()) else None
    if name in _CHANGING:
        return None if _is_text(node.args[0]) else _CHANGING[name]
    if names is None:
        return None
    return f"set_{name}" if name in _COMBINING else _SHARED.get(name)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def changes_one(statements: Collection[ast.stmt]) -> bool:
    """Return whether statements may change a set whose reordering is deferred; see `settle`."""
    return any(
        isinstance(node, ast.Name) and node.id in _CHANGES for statement in statements for node in ast.walk(statement)
    )
