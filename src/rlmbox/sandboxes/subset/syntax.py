"""Syntax errors that Python finds while compiling, not while parsing, such as `return` outside a function."""

from __future__ import annotations

import ast
import symtable

_STARRED_IN = (ast.Call, ast.List, ast.Tuple, ast.Set)
_LOOPS = (ast.For, ast.While)


def check_syntax(code: str, tree: ast.Module) -> None:
    """Refuse code that parses but does not compile.

    Args:
        code: The cell.
        tree: Its syntax tree, which is not nested too deeply.

    Raises:
        SyntaxError: It is not valid Python.
    """
    stack: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while stack:
        node, in_function, in_loop = stack.pop()
        message = _misplaced(node, in_function, in_loop) or _misused_star(node)
        if message:
            raise _at(node, message)
        for child in reversed([*ast.iter_child_nodes(node)]):
            if isinstance(child, ast.Starred) and not isinstance(node, _STARRED_IN):
                assigned = isinstance(child.ctx, ast.Store)
                what = "starred assignment target must be in a list or tuple" if assigned else None
                raise _at(child, what or "can't use starred expression here")
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            loop = in_loop and not is_function
            if isinstance(node, _LOOPS):
                loop = child in node.body or (in_loop and child in node.orelse)
            stack.append((child, in_function or is_function, loop))
    symtable.symtable(code, "<rlm_session>", "exec")  # finds conflicting declarations, without generating code


def _misplaced(node: ast.AST, in_function: bool, in_loop: bool) -> str:
    if isinstance(node, ast.Return) and not in_function:
        return "'return' outside function"
    if isinstance(node, ast.Break) and not in_loop:
        return "'break' outside loop"
    if isinstance(node, ast.Continue) and not in_loop:
        return "'continue' not properly in loop"
    if isinstance(node, ast.Try) and any(handler.type is None for handler in node.handlers[:-1]):
        return "default 'except:' must be last"
    return ""


def _misused_star(node: ast.AST) -> str:
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Store):
        starred = [element for element in node.elts if isinstance(element, ast.Starred)]
        if len(starred) > 1:
            return "multiple starred expressions in assignment"
    return ""


def _at(node: ast.AST, message: str) -> SyntaxError:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    return SyntaxError(message, ("<rlm_session>", line, column + 1, None))
