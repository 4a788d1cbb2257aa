"""Scopes of names: a session, a function, or a comprehension."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FUNCTIONS = (ast.FunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class NameScope:
    """The names of a function or a comprehension.

    Attributes:
        outer: The enclosing scope; None for a cell, whose names are the session's.
        names: Its local names.
        declared: Names that it declares global.
        is_comprehension: Whether it is the scope of a comprehension.
        function: Name of the function, for tracebacks.
    """

    outer: NameScope | None = None
    names: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    is_comprehension: bool = False
    function: str = "<module>"

    def depth_of(self, name: str) -> int | None:
        """Return how many scopes outward a name is bound; None for a global name."""
        scope: NameScope | None = self
        depth = 0
        while scope is not None and scope.outer is not None:
            if name in scope.declared:
                return None
            if name in scope.names:
                return depth
            scope = scope.outer
            depth += 1
        return None

    def binding_depth(self, name: str) -> int | None:
        """Return how many scopes outward `:=` binds a name: in the function around the comprehensions."""
        scope, depth = self, 0
        while scope.is_comprehension and scope.outer is not None:
            scope, depth = scope.outer, depth + 1
        inner = scope.depth_of(name)
        return None if inner is None else depth + inner


def of_function(node: ast.FunctionDef | ast.Lambda, outer: NameScope) -> NameScope:
    """Return the scope of a function."""
    arguments = node.args
    names = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None}
    body: Iterable[ast.AST] = node.body if isinstance(node, ast.FunctionDef) else [node.body]
    declared = frozenset(name for part in body for name in _declared(part))
    names |= {name for part in body for name in _bound(part)}
    name = node.name if isinstance(node, ast.FunctionDef) else "<lambda>"
    return NameScope(outer, frozenset(names) - declared, declared, function=name)


def of_comprehension(generators: Iterable[ast.comprehension], outer: NameScope) -> NameScope:
    """Return the scope of a comprehension."""
    names = frozenset(
        node.id
        for generator in generators
        for node in ast.walk(generator.target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    return NameScope(outer, names, is_comprehension=True, function=outer.function)


def _declared(node: ast.AST) -> Iterator[str]:
    for inner in _own_nodes(node):
        if isinstance(inner, ast.Global):
            yield from inner.names


def _bound(node: ast.AST) -> Iterator[str]:
    for inner in _own_nodes(node):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            yield inner.id
        elif isinstance(inner, ast.FunctionDef | ast.ExceptHandler) and inner.name:
            yield inner.name
        elif isinstance(inner, ast.alias):
            yield inner.asname or inner.name.partition(".")[0]


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over the nodes of a scope, without nested functions, and of comprehensions only what `:=` binds."""
    stack = [node]
    while stack:
        inner = stack.pop()
        yield inner
        if isinstance(inner, _FUNCTIONS):
            continue
        if isinstance(inner, _COMPREHENSIONS):
            for deep in ast.walk(inner):
                if isinstance(deep, ast.NamedExpr):
                    yield deep.target
            continue
        stack.extend(ast.iter_child_nodes(inner))
