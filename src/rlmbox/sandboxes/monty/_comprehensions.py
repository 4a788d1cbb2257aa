"""Scopes of comprehensions.

At the top of a cell Monty reads a builtin for a variable that has its name, as in `[id for id in ids]`; so the variable
is given a name of ours. In the body of a class a comprehension sees the names of the class in Monty, and in CPython
only its first iterable does; so what reads them is refused.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from rlmbox.sandboxes.monty._nodes import own_name, targets
from rlmbox.sandboxes.monty._own_imports import OWN_MODULES
from rlmbox.sandboxes.monty._refusals import lacking

EACH = own_name("each_")
"""What the name of ours for a variable begins with."""
_BUILTINS = frozenset(dir(builtins)) | OWN_MODULES
"""Names that have a value without an assignment."""
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def check(tree: ast.Module) -> None:
    """Refuse comprehensions that read names of the class around them.

    Args:
        tree: The cell.

    Raises:
        CellRefused: It has one.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _check_class(node)


def _check_class(node: ast.ClassDef) -> None:
    own = [inner for statement in node.body for inner in _of_scope(statement)]
    names = {one.id for one in own if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    for comprehension in own:
        if isinstance(comprehension, _Comprehension):
            inner = [one for part in _inner_parts(comprehension) for one in ast.walk(part)]
            bound = {one.arg for one in inner if isinstance(one, ast.arg)}
            bound |= {one.id for one in inner if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
            for one in inner:
                if isinstance(one, ast.Name) and one.id in names - bound:
                    what = f"a comprehension in a class that reads {one.id} of the class"
                    raise lacking(what, "a comprehension before the class", one)


def _of_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over what is evaluated in the body of a class itself, comprehensions included and not what is in them."""
    yield node
    if isinstance(node, _Comprehension):
        yield from _of_scope(node.generators[0].iter)
    elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        for inner in ast.iter_child_nodes(node):
            yield from _of_scope(inner)


def rewrite(tree: ast.Module) -> None:
    """Rename the variables of comprehensions that have the name of a builtin.

    Args:
        tree: The cell, modified in place.
    """
    for node in ast.walk(tree):
        if isinstance(node, _Comprehension):
            names = {name for one in node.generators for name in targets(one.target)} & _BUILTINS
            if names:
                _rename(node, names)


def _rename(node: _Comprehension, names: set[str]) -> None:
    """Rename variables wherever a comprehension may read them."""
    for part in _inner_parts(node):
        for inner in ast.walk(part):
            if isinstance(inner, ast.Name) and inner.id in names:
                inner.id = EACH + inner.id
            elif isinstance(inner, ast.arg) and inner.arg in names:
                inner.arg = EACH + inner.arg


def _inner_parts(node: _Comprehension) -> list[ast.AST]:
    """Return what is evaluated in the scope of a comprehension, which is all but its first iterable."""
    first, *rest = node.generators
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    return [*elements, first.target, *first.ifs, *rest]
