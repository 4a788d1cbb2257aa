"""Compilation of comprehensions and generator expressions to functions that evaluate them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from rlmbox.sandboxes.subset.expressions import Compiled, Expressions
from rlmbox.sandboxes.subset.scopes import of_comprehension
from rlmbox.sandboxes.subset.targets import Targets
from rlmbox.sandboxes.subset.values import CellIterator, CellSet, check_hashable, same_kind

_ENTRY_BYTES = 104


class Comprehensions(Targets, Expressions):
    """Compiles comprehensions."""

    def _node_listcomp(self, node: ast.ListComp) -> Compiled:
        first, rows = self._rows(node, [node.elt])
        meter, held = self.meter, self.meter.held

        def run(frame: Any) -> Any:
            inner = {0: frame}
            source = first(frame)
            found: list[Any] = []
            held.append((inner, found))
            meter.take(72)
            with _OwnStop():
                found.extend(rows(inner, source))
            held.pop()
            return found

        return run

    def _node_setcomp(self, node: ast.SetComp) -> Compiled:
        first, rows = self._rows(node, [node.elt])
        meter, held, note = self.meter, self.meter.held, self.noting(node)

        def run(frame: Any) -> Any:
            inner = {0: frame}
            source = first(frame)
            found = CellSet()
            held.append((inner, found))
            try:
                with _OwnStop():
                    for item in rows(inner, source):
                        check_hashable(meter, item)
                        meter.take(_ENTRY_BYTES)
                        found.items[item] = None
            except BaseException as error:
                note(error)
                raise
            held.pop()
            return found

        return run

    def _node_dictcomp(self, node: ast.DictComp) -> Compiled:
        first, rows = self._rows(node, [node.key, node.value])
        meter, held, note = self.meter, self.meter.held, self.noting(node)

        def run(frame: Any) -> Any:
            inner = {0: frame}
            source = first(frame)
            found: dict[Any, Any] = {}
            held.append((inner, found))
            try:
                with _OwnStop():
                    for key, value in rows(inner, source):
                        check_hashable(meter, key)
                        meter.take(_ENTRY_BYTES)
                        found[key] = value
            except BaseException as error:
                note(error)
                raise
            held.pop()
            return found

        return run

    def _node_generatorexp(self, node: ast.GeneratorExp) -> Compiled:
        first, rows = self._rows(node, [node.elt])

        def run(frame: Any) -> Any:
            inner = {0: frame}
            source = first(frame)
            return CellIterator("generator", rows(inner, source), (inner, source[0]))

        return run

    def _rows(self, node: Any, results: list[ast.expr]) -> tuple[Compiled, Callable[[Any, Any], Iterator[Any]]]:
        """Compile the loops.

        Returns:
            A function that evaluates the first iterable in the enclosing scope, and one that runs the loops over it.
        """
        generators = node.generators
        first = self._source(generators[0].iter)
        outer, self.scope = self.scope, of_comprehension(generators, self.scope)
        try:
            rows = self._loop(generators, results, 0)
        finally:
            self.scope = outer
        return first, rows

    def _source(self, node: ast.expr) -> Compiled:
        """Compile an iterable; it evaluates to the value and an iterator over it."""
        value, note, meter = self.expression(node), self.noting(node), self.meter

        def run(frame: Any) -> Any:
            found = value(frame)
            try:
                return found, iterator(meter, found)
            except BaseException as error:
                note(error)
                raise

        return run

    def _loop(
        self, generators: list[ast.comprehension], results: list[ast.expr], at: int
    ) -> Callable[[Any, Any], Iterator[Any]]:
        generator = generators[at]
        assign = self.charged(lambda: self.target(generator.target))
        tests = [self.lazily(test) for test in generator.ifs]
        name = generator.target.id if isinstance(generator.target, ast.Name) else None
        if at + 1 < len(generators):
            return self._nested(generators, results, at, assign, tests)
        only = self.lazily(results[0]) if len(results) == 1 else None
        several = [self.lazily(result) for result in results]
        meter = self.meter

        def rows(frame: Any, source: Any) -> Iterator[Any]:
            for item in source[1]:
                if name is None:
                    assign(frame)(item)
                else:
                    meter.steps += 1
                    frame[name] = item
                for test in tests:
                    if not test(frame):
                        break
                else:
                    yield only(frame) if only else [run(frame) for run in several]

        def plain(frame: Any, source: Any) -> Iterator[Any]:
            for item in source[1]:
                meter.steps += 1
                frame[name] = item
                yield only(frame)  # type: ignore[misc]

        return plain if name is not None and not tests and only else rows

    def _nested(
        self,
        generators: list[ast.comprehension],
        results: list[ast.expr],
        at: int,
        assign: Compiled,
        tests: list[Compiled],
    ) -> Callable[[Any, Any], Iterator[Any]]:
        inner = self.charged(lambda: self._source(generators[at + 1].iter))
        rows = self._loop(generators, results, at + 1)
        held = self.meter.held

        def outer(frame: Any, source: Any) -> Iterator[Any]:
            for item in source[1]:
                assign(frame)(item)
                for test in tests:
                    if not test(frame):
                        break
                else:
                    frame[at + 1] = inner(frame)
                    yield from rows(frame, frame[at + 1])

        del held
        return outer


class _OwnStop:
    """Lets a `StopIteration` leave a comprehension unchanged; our loops are generators, Python's are not."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
            raise error.__cause__ from None


def iterator(meter: Any, value: Any) -> Iterator[Any]:
    """Return an iterator for a loop that counts its own steps.

    Raises:
        TypeError: The value is not iterable.
    """
    kind = value.__class__
    if kind is CellIterator:
        return value.source  # type: ignore[no-any-return]
    if not hasattr(kind, "__iter__"):
        raise TypeError(f"'{same_kind(value)}' object is not iterable")
    return iter(value)
