"""Rewrites of imports: `import re`, and names that Monty's modules lack, import our versions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rlmbox.sandboxes.monty._nodes import (
    load,
    own_name,
    placed,
)
from rlmbox.sandboxes.monty._refusals import ADDED_NAMES

OWN_MODULES = frozenset({"re"})
"""Modules of Monty that ours replace."""
OWN_NAMES = {module: names for module, names in ADDED_NAMES.items() if module not in OWN_MODULES}


def imports_of(node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
    """Rewrite an import to bind our modules and names; leave others as they are."""
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__":
            return [placed(ast.Pass(), node)]
        return [placed(one, node) for one in _from_own(node)]
    done: list[ast.stmt] = []
    for alias in node.names:
        if alias.name in OWN_MODULES:
            target = ast.Name(alias.asname or alias.name, ast.Store())
            done.append(placed(ast.Assign([target], load(own_name(f"module_{alias.name}"))), node))
        else:
            done.append(placed(ast.Import([alias]), node))
    return done


def _from_own(node: ast.ImportFrom) -> Iterator[ast.stmt]:
    if node.module not in OWN_MODULES:
        ours = [alias for alias in node.names if alias.name in OWN_NAMES.get(node.module or "", ())]
        node.names = [alias for alias in node.names if alias not in ours]
        if node.names:
            yield node
        for alias in ours:
            target = ast.Name(alias.asname or alias.name, ast.Store())
            yield ast.Assign([target], load(own_name(alias.name)))
        return
    for alias in node.names:
        value = ast.Attribute(load(own_name(f"module_{node.module}")), alias.name, ast.Load())
        yield ast.Assign([ast.Name(alias.asname or alias.name, ast.Store())], value)
