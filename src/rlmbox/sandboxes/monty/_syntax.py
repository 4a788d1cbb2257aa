"""Syntax errors that CPython's compiler reports, and that neither its parser nor Monty finds."""

from __future__ import annotations
import __future__

import ast
from collections.abc import Collection

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class CellRefused(Exception):
    """Raised for a cell that is not run.

    Args:
        message: What is wrong, and what to write instead.
        line: The line of the cell, from 1.
        type_name: Name of the exception type that the model is shown.
    """

    def __init__(self, message: str, line: int | None = None, type_name: str = "NotImplementedError") -> None:
        super().__init__(message)
        self.line = line
        self.type_name = type_name


def check(tree: ast.Module, host_names: Collection[str] = ()) -> None:
    """Check a cell for the syntax errors that a compiler reports.

    Args:
        tree: The cell.
        host_names: Names of the host's functions, which a cell may await anywhere, as in the other sandboxes.

    Raises:
        CellRefused: It has one.
    """
    queue: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while queue:
        node, function = queue.pop()
        if isinstance(node, ast.Return) and isinstance(function, ast.Module):
            raise _error("'return' outside function", node)
        is_sync = isinstance(function, ast.FunctionDef | ast.Lambda)
        if isinstance(node, ast.Await) and is_sync and not _is_of_host(node, host_names):
            raise _error("'await' outside async function", node)
        _check_statement(node)
        inner = node if isinstance(node, _FUNCTIONS) else function
        queue.extend((one, inner) for one in ast.iter_child_nodes(node))


def _is_of_host(node: ast.Await, host_names: Collection[str]) -> bool:
    function = node.value.func if isinstance(node.value, ast.Call) else None
    root = function.value if isinstance(function, ast.Attribute) else function
    return isinstance(root, ast.Name) and root.id in host_names


def _check_statement(node: ast.AST) -> None:
    if isinstance(node, ast.Try) and any(one.type is None for one in node.handlers[:-1]):
        raise _error("default 'except:' must be last", node)
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        for alias in node.names:
            if alias.name not in __future__.all_feature_names:
                raise _error(f"future feature {alias.name} is not defined", node)


def _error(message: str, node: ast.stmt | ast.expr) -> CellRefused:
    return CellRefused(message, node.lineno, "SyntaxError")
