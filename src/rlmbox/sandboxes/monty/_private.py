"""Private names of a class: `self.__total` is `self._Account__total`, as in CPython, and not outside the class."""

from __future__ import annotations

import ast


def rewrite(tree: ast.Module) -> None:
    """Give private names the form that Python gives them.

    Args:
        tree: The cell; it is changed in place.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.strip("_"):
            of_class = _OfClass(node.name)
            node.body = [of_class.visit(one) for one in node.body]


class _OfClass(ast.NodeTransformer):
    """Changes the names in the body of a class, and not in a class within it.

    Args:
        name: The class.
    """

    def __init__(self, name: str) -> None:
        self._prefix = f"_{name.lstrip('_')}"

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Leave the body of a class within it to that class."""
        node.name = self._of(node.name)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A method."""
        node.name = self._of(node.name)
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """A method."""
        node.name = self._of(node.name)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`self.__total`."""
        node.attr = self._of(node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """`__total` in the class itself."""
        node.id = self._of(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """A parameter."""
        node.arg = self._of(node.arg)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """An argument by name."""
        node.arg = self._of(node.arg) if node.arg else None
        return self.generic_visit(node)

    def _of(self, name: str) -> str:
        is_private = name.startswith("__") and not name.endswith("__") and "." not in name
        return self._prefix + name if is_private else name
