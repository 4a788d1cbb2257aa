"""Compilation of statements to functions that run them.

Each statement becomes a Python function that takes the local variables and returns None, or a signal that leaves the
enclosing statement: `BREAK`, `CONTINUE`, or a `Returned`.
"""

from __future__ import annotations

import ast
import builtins as python_builtins
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from rlmbox.sandboxes.subset.comprehensions import iterator
from rlmbox.sandboxes.subset.errors import (
    CELL_EXCEPTIONS,
    Uncatchable,
    forbidden_name,
    forget_place,
    release,
)
from rlmbox.sandboxes.subset.expressions import Compiled
from rlmbox.sandboxes.subset.functions import Body, Functions
from rlmbox.sandboxes.subset.operators import BINARY, augmented, delete_item, item_of, set_item
from rlmbox.sandboxes.subset.values import CellSet, Module, TypeValue, text

_IN_PLACE = frozenset({list, dict, CellSet, Counter, defaultdict})
BREAK, CONTINUE = object(), object()


class Returned:
    """The signal of a `return` statement.

    Attributes:
        value: The returned value.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Statements(Functions):
    """Compiles statements."""

    def block(self, nodes: Sequence[ast.stmt]) -> Compiled:
        """Compile a block of statements."""
        runs = [self.statement(node) for node in nodes]
        if len(runs) == 1:
            return runs[0]

        def run_all(frame: Any) -> Any:
            for run in runs:
                signal = run(frame)
                if signal is not None:
                    return signal
            return None

        return run_all

    def statement(self, node: ast.stmt) -> Compiled:
        """Compile a statement, which counts its own steps."""

        def compile_it() -> Compiled:
            self.cost += 1
            found: Compiled = getattr(self, f"_node_{type(node).__name__.lower()}")(node)
            return found

        return self.placed(self.charged(compile_it), node)

    # ---- simple statements ------------------------------------------------------------------------------------

    def _node_expr(self, node: ast.Expr) -> Compiled:
        value = self.expression(node.value)

        def run(frame: Any) -> None:
            value(frame)

        return run

    def _node_pass(self, node: ast.Pass) -> Compiled:
        return lambda frame: None

    def _node_break(self, node: ast.Break) -> Compiled:
        return lambda frame: BREAK

    def _node_continue(self, node: ast.Continue) -> Compiled:
        return lambda frame: CONTINUE

    def _node_global(self, node: ast.Global) -> Compiled:
        return lambda frame: None

    def _node_assign(self, node: ast.Assign) -> Compiled:
        value = self.expression(node.value)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            return self._assign_name(node.targets[0].id, value)
        targets = [self.target(target) for target in node.targets]
        held = self.meter.held

        def run(frame: Any) -> None:
            found = value(frame)
            held.append(found)
            for target in targets:
                target(frame)(found)
            held.pop()

        return run

    def _assign_name(self, name: str, value: Compiled) -> Compiled:
        self.cost += 1
        depth, variables = self.scope.depth_of(name), self.variables
        if depth is None:

            def globally(frame: Any) -> None:
                variables[name] = value(frame)

            return globally

        def locally(frame: Any) -> None:
            frame[name] = value(frame)

        return locally

    def _node_annassign(self, node: ast.AnnAssign) -> Compiled:
        if node.value is None:
            return lambda frame: None
        value, target = self.expression(node.value), self.target(node.target)
        return lambda frame: target(frame)(value(frame))

    def _node_augassign(self, node: ast.AugAssign) -> Compiled:
        value, note, meter, held = self.expression(node.value), self.noting(node), self.meter, self.meter.held
        operator = type(node.op).__name__
        if isinstance(node.target, ast.Subscript):
            return self._augment_item(node.target, value, operator, note)
        name = node.target
        if not isinstance(name, ast.Name):
            raise TypeError("an augmented assignment to something else")  # refused before
        load = self.expression(ast.copy_location(ast.Name(name.id, ast.Load()), name))
        target, depth, variables = name.id, self.scope.depth_of(name.id), self.variables
        do, in_place = BINARY[operator], _IN_PLACE

        def run(frame: Any) -> None:
            before = load(frame)
            held.append(before)
            by = value(frame)
            held.pop()
            try:
                found = (
                    augmented(meter, operator, before, by) if before.__class__ in in_place else do(meter, before, by)
                )
                (variables if depth is None else frame)[target] = found
            except BaseException as error:
                note(_of_assignment(error))
                raise

        return run

    def _augment_item(self, node: ast.Subscript, value: Compiled, operator: str, note: Callable[..., None]) -> Compiled:
        container, key = self.expression(node.value), self.expression(node.slice)
        meter, held = self.meter, self.meter.held

        def run(frame: Any) -> None:
            owner = container(frame)
            held.append(owner)
            place = key(frame)
            try:
                before = item_of(meter, owner, place)
                held.append(before)
                by = value(frame)
                set_item(meter, owner, place, augmented(meter, operator, before, by))
                del held[-2:]
            except BaseException as error:
                note(_of_assignment(error))
                raise

        return run

    def _node_delete(self, node: ast.Delete) -> Compiled:
        deletes = [self._deletion(target) for target in node.targets]

        def run(frame: Any) -> None:
            for delete in deletes:
                delete(frame)

        return run

    def _deletion(self, node: ast.expr) -> Compiled:
        if isinstance(node, ast.Name):
            return self._name_deletion(node)
        if isinstance(node, ast.Tuple | ast.List):
            inner = [self._deletion(element) for element in node.elts]

            def run_all(frame: Any) -> None:
                for delete in inner:
                    delete(frame)

            return run_all
        if not isinstance(node, ast.Subscript):
            raise TypeError("a deletion of something else")  # refused before
        container, key, meter = self.expression(node.value), self.expression(node.slice), self.meter
        return lambda frame: delete_item(meter, container(frame), key(frame))

    def _name_deletion(self, node: ast.Name) -> Compiled:
        name, depth, variables, builtins = node.id, self.scope.depth_of(node.id), self.variables, self.builtins

        def run(frame: Any) -> None:
            names = variables if depth is None else frame
            if name not in names:
                if depth is None and name in builtins and not hasattr(python_builtins, name):
                    raise NameError(f"name '{name}' is the REPL's own and cannot be deleted")
                if depth is None:
                    raise NameError(f"name '{name}' is not defined")
                raise UnboundLocalError(
                    f"cannot access local variable '{name}' where it is not associated with a value"
                )
            del names[name]

        return run

    def _node_assert(self, node: ast.Assert) -> Compiled:
        test = self.expression(node.test)
        message = self.lazily(node.msg) if node.msg else None

        def run(frame: Any) -> None:
            if not test(frame):
                raise AssertionError(message(frame)) if message else AssertionError

        return run

    # ---- imports ----------------------------------------------------------------------------------------------

    def _node_import(self, node: ast.Import) -> Compiled:
        stores = [(alias.name, self.store(alias.asname or alias.name)) for alias in node.names]

        def run(frame: Any) -> None:
            for name, store in stores:
                store(frame, self._module_named(name))

        return run

    def _module_named(self, name: str) -> Any:
        found = self.builtins.get(name)
        if found.__class__ is Module and found.kind == "module":
            return found
        raise ModuleNotFoundError(f"No module named {name!r}")

    def _node_importfrom(self, node: ast.ImportFrom) -> Compiled:
        stores = [(alias.name, self.store(alias.asname or alias.name)) for alias in node.names]
        module = node.module or ""

        def run(frame: Any) -> None:
            found = self._module_named(module)
            for name, store in stores:
                if name not in found.members:
                    if hasattr(import_module(module), name):  # one of our eight modules
                        there = ", ".join(sorted(found.members))
                        raise forbidden_name(f"{module}.{name}", f"there are {there}")
                    raise ImportError(f"cannot import name {name!r} from {module!r}")
                store(frame, found.members[name])

        return run

    # ---- compound statements ----------------------------------------------------------------------------------

    def _node_if(self, node: ast.If) -> Compiled:
        # An elif is an If in the else of another; a chain of them is flattened here and does not nest.
        first, ways = self.expression(node.test), []
        body, orelse = self.block(node.body), node.orelse
        while len(orelse) == 1 and isinstance(orelse[0], ast.If):
            ways.append((self.lazily(orelse[0].test), self.block(orelse[0].body)))
            orelse = orelse[0].orelse
        last = self.block(orelse) if orelse else None
        if not ways and last is None:
            return lambda frame: body(frame) if first(frame) else None

        def run(frame: Any) -> Any:
            if first(frame):
                return body(frame)
            for test, way in ways:
                if test(frame):
                    return way(frame)
            return last(frame) if last else None

        return run

    def _node_for(self, node: ast.For) -> Compiled:
        source, note, meter, held = self.expression(node.iter), self.noting(node.iter), self.meter, self.meter.held
        assign = self.charged(lambda: self.target(node.target))
        body = self.block(node.body)
        orelse = self.block(node.orelse) if node.orelse else None
        name, depth, variables = getattr(node.target, "id", None), None, self.variables
        if name is not None:
            depth = self.scope.depth_of(name)

        def run(frame: Any) -> Any:
            value = source(frame)
            try:
                items = iterator(meter, value)
            except BaseException as error:
                note(error)
                raise
            held.append(value)
            names = variables if depth is None else frame
            for item in items:
                if name is None:
                    assign(frame)(item)
                else:
                    names[name] = item
                    meter.steps += 1
                signal = body(frame)
                if signal is None or signal is CONTINUE:
                    continue
                held.pop()
                return None if signal is BREAK else signal
            held.pop()
            return orelse(frame) if orelse else None

        return run

    def _node_functiondef(self, node: ast.FunctionDef) -> Compiled:
        make, store = self.function(node), self.store(node.name)
        return lambda frame: store(frame, make(frame))

    def body_of(self, node: ast.FunctionDef | ast.Lambda) -> Body:
        """Compile the statements or the expression of a function."""
        if isinstance(node, ast.Lambda):
            return self.lazily(node.body)
        run = self.block(node.body)

        def body(frame: Any) -> Any:
            signal = run(frame)
            return signal.value if signal.__class__ is Returned else None

        return body

    def _node_return(self, node: ast.Return) -> Compiled:
        if node.value is None:
            return lambda frame: Returned(None)
        value = self.expression(node.value)
        return lambda frame: Returned(value(frame))

    # ---- exceptions -------------------------------------------------------------------------------------------

    def _node_raise(self, node: ast.Raise) -> Compiled:
        if node.exc is None:
            return self._raise_again
        value = self.expression(node.exc)
        cause = self.expression(node.cause) if node.cause else None

        def run(frame: Any) -> None:
            error = _as_exception(value(frame))
            if cause is not None:
                from_what = cause(frame)
                if from_what is not None:
                    _as_exception(from_what)
            forget_place(error)
            raise error

        return run

    def _raise_again(self, frame: Any) -> None:
        if not self.caught:
            raise RuntimeError("No active exception to reraise")
        raise self.caught[-1]

    @property
    def caught(self) -> list[BaseException]:
        """The exceptions that are being handled, innermost last."""
        return self.handling

    handling: list[BaseException]

    def _node_try(self, node: ast.Try) -> Compiled:
        body = self.block(node.body)
        handlers = [self._handler(handler) for handler in node.handlers]
        orelse = self.block(node.orelse) if node.orelse else None
        guarded = self._guarded(body, handlers, orelse) if handlers else body
        if not node.finalbody:
            return guarded
        last, held = self.block(node.finalbody), self.meter.held

        def run(frame: Any) -> Any:
            mark = len(held)
            try:
                signal = guarded(frame)
            except Uncatchable:
                raise
            except BaseException as error:
                if error.__class__ not in CELL_EXCEPTIONS:
                    raise
                del held[mark:]
                overriding = last(frame)
                if overriding is not None:
                    return overriding
                raise
            overriding = last(frame)
            return signal if overriding is None else overriding

        return run

    def _guarded(self, body: Compiled, handlers: list[Callable[..., Any]], orelse: Compiled | None) -> Compiled:
        held, handling = self.meter.held, self.handling

        def run(frame: Any) -> Any:
            mark = len(held)
            try:
                signal = body(frame)
            except Uncatchable:
                raise
            except BaseException as error:
                if error.__class__ not in CELL_EXCEPTIONS:
                    raise
                del held[mark:]
                release(error)
                found = error
            else:
                return orelse(frame) if signal is None and orelse else signal
            for handler in handlers:
                takes = handler(frame, found)
                if takes is not None:
                    handling.append(found)
                    try:
                        return takes()
                    finally:
                        handling.pop()
            raise found

        return run

    def _handler(self, node: ast.ExceptHandler) -> Callable[[Any, BaseException], Callable[[], Any] | None]:
        kinds = self.lazily(node.type) if node.type else None
        body, name = self.block(node.body), node.name
        store = self.store(name) if name else None
        depth, variables, note = self.scope.depth_of(name) if name else None, self.variables, self.noting(node)

        def handle(frame: Any, error: BaseException) -> Callable[[], Any] | None:
            try:
                if kinds is not None and not isinstance(error, _exception_types(kinds(frame))):
                    return None
            except BaseException as raised:
                note(raised)
                raise
            if store is None or name is None:
                return lambda: body(frame)
            store(frame, error)

            def run() -> Any:
                try:
                    return body(frame)
                finally:
                    (variables if depth is None else frame).pop(name, None)

            return run

        return handle

    def text_of(self, value: Any) -> str:
        """Return the `str` of a value."""
        return text(self.meter, value)


def _of_assignment(error: BaseException) -> BaseException:
    """Name the operator of a TypeError with its equals sign, as Python does."""
    if error.__class__ is TypeError and error.args and error.args[0].__class__ is str:
        error.args = (_OPERANDS.sub(r"\1\2=: ", error.args[0]), *error.args[1:])
    return error


_OPERANDS = re.compile(r"^(unsupported operand type\(s\) for )(\S+?)(?: or pow\(\))?: ")


def _as_exception(value: Any) -> BaseException:
    if value.__class__ is TypeValue and value.types and issubclass(value.types[0], BaseException):
        value = value.run()
    if value.__class__ not in CELL_EXCEPTIONS:
        raise TypeError("exceptions must derive from BaseException")
    error: Any = value
    return error  # type: ignore[no-any-return]


def _exception_types(value: Any) -> tuple[type[BaseException], ...]:
    if value.__class__ is tuple:
        return tuple(kind for each in value for kind in _exception_types(each))
    if value.__class__ is not TypeValue or not value.types or not issubclass(value.types[0], BaseException):
        raise TypeError("catching classes that do not inherit from BaseException is not allowed")
    return value.types
