"""Compilation of assignment targets to functions that assign."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from rlmbox.sandboxes.subset.expressions import Compiled, Expressions
from rlmbox.sandboxes.subset.operators import set_item
from rlmbox.sandboxes.subset.values import CellIterator, collect, same_kind

Assign = Callable[[Any], Callable[[Any], None]]
"""Given the local variables, returns a function that assigns a value."""


class Targets(Expressions):
    """Compiles assignment targets."""

    def target(self, node: ast.expr) -> Assign:
        """Compile an assignment target."""
        self.cost += 1
        if isinstance(node, ast.Name):
            return self._to_name(node.id, self.scope.depth_of(node.id))
        if isinstance(node, ast.Subscript):
            return self._to_item(node)
        if isinstance(node, ast.Starred):
            return self.target(node.value)
        return self._to_several(node)

    def store(self, name: str) -> Callable[[Any, Any], None]:
        """Return a function that assigns a name, given the local variables and the value."""
        assign = self._to_name(name, self.scope.depth_of(name))
        return lambda frame, value: assign(frame)(value)

    def _to_name(self, name: str, depth: int | None) -> Assign:
        variables = self.variables
        if depth is None:
            return lambda frame: lambda value: variables.__setitem__(name, value)

        def assign(frame: Any) -> Callable[[Any], None]:
            for _ in range(depth):
                frame = frame[0]
            return lambda value: frame.__setitem__(name, value)

        return assign

    def _node_namedexpr(self, node: ast.NamedExpr) -> Compiled:
        value = self.expression(node.value)
        assign = self._to_name(node.target.id, self.scope.binding_depth(node.target.id))

        def run(frame: Any) -> Any:
            found = value(frame)
            assign(frame)(found)
            return found

        return run

    def _to_item(self, node: ast.Subscript) -> Assign:
        container, key = self.expression(node.value), self.expression(node.slice)
        note, meter, held = self.noting(node), self.meter, self.meter.held

        def assign(frame: Any) -> Callable[[Any], None]:
            owner = container(frame)
            held.append(owner)
            place = key(frame)
            held.pop()

            def put(value: Any) -> None:
                try:
                    set_item(meter, owner, place, value)
                except BaseException as error:
                    note(error)
                    raise

            return put

        return assign

    def _to_several(self, node: ast.expr) -> Assign:
        elements = node.elts if isinstance(node, ast.Tuple | ast.List) else []
        targets = [self.target(element) for element in elements]
        starred = next((place for place, each in enumerate(elements) if isinstance(each, ast.Starred)), None)
        note = self.noting(node)

        def assign(frame: Any) -> Callable[[Any], None]:
            def put(value: Any) -> None:
                try:
                    values = self._unpacked(value, len(targets), starred)
                except BaseException as error:
                    note(error)
                    raise
                for target, each in zip(targets, values, strict=True):
                    target(frame)(each)

            return put

        return assign

    def _unpacked(self, value: Any, count: int, starred: int | None) -> list[Any]:
        """Return as many values as there are targets.

        Raises:
            TypeError: The value is not iterable.
            ValueError: There are too many or too few values.
        """
        if not hasattr(value.__class__, "__iter__"):
            raise TypeError(f"cannot unpack non-iterable {same_kind(value)} object")
        if starred is None and value.__class__ is CellIterator:
            items = self._first_of(value, count + 1)
        elif starred is None and hasattr(value, "__len__") and len(value) != count:
            items = list(range(min(len(value), count + 1)))  # only their number matters
        else:
            items = collect(self.meter, value)
        if starred is None:
            if len(items) > count:
                raise ValueError(f"too many values to unpack (expected {count})")
            if len(items) < count:
                raise ValueError(f"not enough values to unpack (expected {count}, got {len(items)})")
            return items
        after = count - starred - 1
        if len(items) < count - 1:
            raise ValueError(f"not enough values to unpack (expected at least {count - 1}, got {len(items)})")
        end = len(items) - after
        return [*items[:starred], items[starred:end], *items[end:]]

    def _first_of(self, value: CellIterator, most: int) -> list[Any]:
        found: list[Any] = []
        for item in value.source:
            self.meter.spend(1)
            found.append(item)
            if len(found) == most:
                break
        return found
