"""Name mangling: `self.__total` in class `Account` becomes `self._Account__total`, as in CPython."""

from __future__ import annotations

import ast


def rewrite(tree: ast.Module) -> None:
    """Mangle the private names in the classes of a cell.

    Args:
        tree: The cell, modified in place.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.strip("_"):
            mangler = _Mangler(node.name)
            node.body = [mangler.visit(one) for one in node.body]


class _Mangler(ast.NodeTransformer):
    """Mangles the names in the body of one class, leaving nested classes to their own.

    Args:
        name: The class.
    """

    def __init__(self, name: str) -> None:
        self._prefix = f"_{name.lstrip('_')}"

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._mangled(node.name)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._mangled(node.name)
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.name = self._mangled(node.name)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._mangled(node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._mangled(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._mangled(node.arg)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        node.arg = self._mangled(node.arg) if node.arg else None
        return self.generic_visit(node)

    def _mangled(self, name: str) -> str:
        is_private = name.startswith("__") and not name.endswith("__") and "." not in name
        return self._prefix + name if is_private else name
