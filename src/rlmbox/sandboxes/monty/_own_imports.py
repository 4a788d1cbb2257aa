"""Rewrites of imports: `import re`, and names that Monty's modules lack, import our versions."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache

from rlmbox.sandboxes.monty._nodes import (
    load,
    own_name,
    placed,
)
from rlmbox.sandboxes.monty._refusals import ADDED_NAMES, ONLY_NAMED, lacking, native_modules
from rlmbox.sandboxes.monty.modules import MODULES, offered_names

OWN_MODULES = frozenset({"re"})
"""Modules of Monty that ours replace."""
OWN_NAMES = {module: names for module, names in ADDED_NAMES.items() if module not in OWN_MODULES}


def replace(tree: ast.Module) -> None:
    """Rewrite imports that Monty lacks to ones that it has.

    `from math import *` imports each name, if the module has all the names that it has in CPython;
    `from collections.abc import Iterable` is from `typing`.

    Args:
        tree: The cell, modified in place.

    Raises:
        CellRefused: The module lacks some; the message has the line to write.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.module != "collections.abc" or node.level:
            continue
        if all(one.name in native_modules()["typing"] | ONLY_NAMED for one in node.names):
            node.module = "typing"  # for annotations they are the same
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or node.level or [one.name for one in node.names] != ["*"]:
            continue
        module = str(node.module)
        offered = native_modules().get(module) or (offered_names(module) if module in MODULES else frozenset[str]())
        offered |= ADDED_NAMES.get(module, frozenset())
        exported = _exported(module) if offered else frozenset[str]()
        if exported and exported <= offered:
            node.names = [ast.alias(name) for name in sorted(exported)]
            continue
        used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)} & exported & offered
        if used:
            raise lacking("import *", f"from {module} import {', '.join(sorted(used))}", node)


@cache
def _exported(module: str) -> frozenset[str]:
    """Return the names that `import *` binds in CPython."""
    found = importlib.import_module(module)
    return frozenset(getattr(found, "__all__", [name for name in dir(found) if not name.startswith("_")]))


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
            yield ast.Assign([target], load(own_name("of_typing" if alias.name in ONLY_NAMED else alias.name)))
        return
    for alias in node.names:
        value = ast.Attribute(load(own_name(f"module_{node.module}")), alias.name, ast.Load())
        yield ast.Assign([ast.Name(alias.asname or alias.name, ast.Store())], value)
