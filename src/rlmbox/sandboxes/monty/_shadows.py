"""Variables of comprehensions that have the name of a builtin, such as `[id for id in ids]`.

At the top of a cell Monty reads the builtin there, not the variable; so the variable is given a name of ours.
"""

from __future__ import annotations

import ast
import builtins

from rlmbox.sandboxes.monty._nodes import own_name, targets

_BUILTINS = frozenset(dir(builtins))
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def rewrite(tree: ast.Module) -> None:
    """Rename such variables.

    Args:
        tree: The cell, modified in place.
    """
    for node in ast.walk(tree):
        if isinstance(node, _Comprehension):
            names = {name for one in node.generators for name in targets(one.target)} & _BUILTINS
            if names:
                _rename(node, names)


def _rename(node: _Comprehension, names: set[str]) -> None:
    """Rename variables wherever a comprehension may read them, which is all but its first iterable."""
    first, *rest = node.generators
    for part in (*_elements(node), first.target, *first.ifs, *rest):
        for inner in ast.walk(part):
            if isinstance(inner, ast.Name) and inner.id in names:
                inner.id = own_name(f"each_{inner.id}")
            elif isinstance(inner, ast.arg) and inner.arg in names:
                inner.arg = own_name(f"each_{inner.arg}")


def _elements(node: _Comprehension) -> list[ast.expr]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
