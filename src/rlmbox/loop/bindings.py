"""The variables that a cell's code sets, read from its source."""

from __future__ import annotations

import ast


def binds(code: str, name: str) -> bool:
    """Return True if code sets a variable, by an assignment, an import, a definition or a `global` statement.

    Args:
        code: The source of a cell.
        name: The variable.
    """
    if name not in code:
        return False
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # it cannot have run either
    return any(name in _set_by(node) for node in ast.walk(tree))


def _set_by(node: ast.AST) -> tuple[str, ...] | list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return (name,)
        case ast.alias(name=name, asname=asname):
            return (asname or name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Global(names=names):
            return names
    return ()
