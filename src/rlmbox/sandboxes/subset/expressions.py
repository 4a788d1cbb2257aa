"""Compilation of expressions to functions that evaluate them.

Each node becomes a Python function that takes the variables of the enclosing function. Steps are counted for a whole
statement at once; parts that may be skipped or repeated count their own.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from rlmbox.sandboxes.subset.attributes import attribute, method
from rlmbox.sandboxes.subset.errors import Frame, forbidden_name, note_place
from rlmbox.sandboxes.subset.formatting import convert, formatted
from rlmbox.sandboxes.subset.grammar import SubsetProfile, hint_of, is_refused_name
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.operators import BINARY, COMPARISONS, UNARY, item_of
from rlmbox.sandboxes.subset.scopes import NameScope
from rlmbox.sandboxes.subset.values import CellSet, Function, check_hashable, collect, weigh

Compiled = Callable[[Any], Any]
"""Evaluates a node, given the local variables; key 0 holds those of the enclosing function."""

_ENTRY_BYTES = 104
_SIMPLE = (ast.Name, ast.Constant)
_CONVERSIONS = {115: "s", 114: "r", 97: "a"}


class Expressions:
    """Compiles expressions.

    Args:
        meter: Counts the steps.
        variables: The session's variables.
        builtins: The predefined functions and modules.
        profile: The profile.
        source: Number of the cell.
    """

    def __init__(
        self, meter: Meter, variables: dict[str, Any], builtins: dict[str, Any], profile: SubsetProfile, source: int
    ) -> None:
        self.meter, self.variables, self.builtins = meter, variables, builtins
        self.profile, self.source = profile, source
        self.scope = NameScope()
        self.cost = 0

    # ---- common parts -----------------------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Compiled:
        """Compile an expression; its steps are added to `cost`."""
        self.cost += 1
        found: Compiled = getattr(self, f"_node_{type(node).__name__.lower()}")(node)
        return found

    def charged(self, compile_it: Callable[[], Compiled]) -> Compiled:
        """Compile code that may be skipped or repeated, to count its own steps."""
        before, self.cost = self.cost, 0
        run = compile_it()
        cost, self.cost = self.cost, before
        meter = self.meter

        def counting(frame: Any) -> Any:
            meter.steps = steps = meter.steps + cost
            if steps > meter.stop_at:
                meter.overdrawn()
            return run(frame)

        return counting

    def lazily(self, node: ast.expr) -> Compiled:
        """Compile an expression that may be skipped."""
        return self.charged(lambda: self.expression(node))

    def noting(self, node: ast.expr | ast.stmt | ast.ExceptHandler) -> Callable[[BaseException], None]:
        """Return a function that records the node's frame in an exception."""
        place = Frame(self.source, node.lineno, node.col_offset + 1, self.scope.function)
        meter = self.meter

        def note(error: BaseException) -> None:
            note_place(error, meter.depth, place)

        return note

    def placed(self, run: Compiled, node: ast.expr | ast.stmt) -> Compiled:
        """Wrap a compiled node to record its frame in an exception."""
        note = self.noting(node)

        def placed(frame: Any) -> Any:
            try:
                return run(frame)
            except BaseException as error:
                note(error)
                raise

        return placed

    # ---- names and constants ----------------------------------------------------------------------------------

    def _node_constant(self, node: ast.Constant) -> Compiled:
        value = node.value
        return lambda frame: value

    def _node_name(self, node: ast.Name) -> Compiled:
        name, depth, note = node.id, self.scope.depth_of(node.id), self.noting(node)
        if depth is None:
            return self._global(name, note)
        if depth == 0 and self.scope.is_comprehension:
            return lambda frame: frame[name]
        is_own = depth == 0

        def local(frame: Any) -> Any:
            try:
                for _ in range(depth):
                    frame = frame[0]
                return frame[name]
            except KeyError:
                error = _unbound(name, is_own)
                note(error)
                raise error from None

        def own(frame: Any) -> Any:
            try:
                return frame[name]
            except KeyError:
                error = _unbound(name, True)
                note(error)
                raise error from None

        return own if is_own else local

    def _global(self, name: str, note: Callable[[BaseException], None]) -> Compiled:
        variables, builtins = self.variables, self.builtins

        def load(frame: Any) -> Any:
            try:
                return variables[name]
            except KeyError:
                pass
            if name in builtins:
                return builtins[name]
            error: BaseException = NameError(f"name '{name}' is not defined")
            if is_refused_name(name):
                error = forbidden_name(name, hint_of(name))
            note(error)
            raise error

        return load

    # ---- operators --------------------------------------------------------------------------------------------

    def _node_binop(self, node: ast.BinOp) -> Compiled:
        left, right = self.expression(node.left), self.expression(node.right)
        do, note, meter, held = BINARY[type(node.op).__name__], self.noting(node), self.meter, self.meter.held
        if isinstance(node.right, _SIMPLE):

            def plain(frame: Any) -> Any:
                a, b = left(frame), right(frame)
                try:
                    return do(meter, a, b)
                except BaseException as error:
                    note(error)
                    raise

            return plain

        def holding(frame: Any) -> Any:
            a = left(frame)
            held.append(a)
            b = right(frame)
            held.pop()
            try:
                return do(meter, a, b)
            except BaseException as error:
                note(error)
                raise

        return holding

    def _node_unaryop(self, node: ast.UnaryOp) -> Compiled:
        operand = self.expression(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda frame: not operand(frame)
        if isinstance(node.operand, ast.Constant) and isinstance(node.op, ast.USub):
            value = node.operand.value
            if value.__class__ in (int, float):
                return lambda frame: -value
        do, note = UNARY[type(node.op).__name__], self.noting(node)

        def run(frame: Any) -> Any:
            value = operand(frame)
            try:
                return do(value)
            except BaseException as error:
                note(error)
                raise

        return run

    def _node_boolop(self, node: ast.BoolOp) -> Compiled:
        first = self.expression(node.values[0])
        others = [self.lazily(value) for value in node.values[1:]]
        wanted = isinstance(node.op, ast.Or)

        def run(frame: Any) -> Any:
            value = first(frame)
            for other in others:
                if bool(value) is wanted:
                    return value
                value = other(frame)
            return value

        return run

    def _node_ifexp(self, node: ast.IfExp) -> Compiled:
        test, body, orelse = self.expression(node.test), self.lazily(node.body), self.lazily(node.orelse)
        return lambda frame: body(frame) if test(frame) else orelse(frame)

    def _node_compare(self, node: ast.Compare) -> Compiled:
        left, note, meter, held = self.expression(node.left), self.noting(node), self.meter, self.meter.held
        if len(node.ops) > 1:
            return self._chain(node, left)
        right, do = self.expression(node.comparators[0]), COMPARISONS[type(node.ops[0]).__name__]
        simple = isinstance(node.comparators[0], _SIMPLE)

        def run(frame: Any) -> Any:
            a = left(frame)
            if simple:
                b = right(frame)
            else:
                held.append(a)
                b = right(frame)
                held.pop()
            try:
                return do(meter, a, b)
            except BaseException as error:
                note(error)
                raise

        return run

    def _chain(self, node: ast.Compare, left: Compiled) -> Compiled:
        note, meter, held = self.noting(node), self.meter, self.meter.held
        pairs = [
            (COMPARISONS[type(op).__name__], self.lazily(other))
            for op, other in zip(node.ops, node.comparators, strict=True)
        ]

        def run(frame: Any) -> Any:
            a = left(frame)
            found: Any = True
            for do, other in pairs:
                held.append(a)
                b = other(frame)
                held.pop()
                try:
                    found = do(meter, a, b)
                except BaseException as error:
                    note(error)
                    raise
                if not found:
                    return found
                a = b
            return found

        return run

    # ---- items and attributes ---------------------------------------------------------------------------------

    def _node_subscript(self, node: ast.Subscript) -> Compiled:
        value, key = self.expression(node.value), self.expression(node.slice)
        note, meter, held = self.noting(node), self.meter, self.meter.held
        simple = isinstance(node.slice, _SIMPLE)

        def run(frame: Any) -> Any:
            container = value(frame)
            if simple:
                place = key(frame)
            else:
                held.append(container)
                place = key(frame)
                held.pop()
            try:
                return item_of(meter, container, place)
            except BaseException as error:
                note(error)
                raise

        return run

    def _node_slice(self, node: ast.Slice) -> Compiled:
        parts = [self.expression(part) if part else None for part in (node.lower, node.upper, node.step)]
        lower, upper, step = (part or (lambda frame: None) for part in parts)
        return lambda frame: slice(lower(frame), upper(frame), step(frame))

    def _node_attribute(self, node: ast.Attribute) -> Compiled:
        value, name, note = self.expression(node.value), node.attr, self.noting(node)
        meter, profile = self.meter, self.profile

        def run(frame: Any) -> Any:
            found = value(frame)
            try:
                return attribute(meter, profile, found, name)
            except BaseException as error:
                note(error)
                raise

        return run

    # ---- displays ---------------------------------------------------------------------------------------------

    def _items(self, nodes: list[ast.expr]) -> Callable[[Any], list[Any]]:
        """Compile the items of a display or the arguments of a call."""
        meter, held = self.meter, self.meter.held
        runs = [
            (self.expression(node.value if isinstance(node, ast.Starred) else node), isinstance(node, ast.Starred))
            for node in nodes
        ]
        simple = [run for run, _ in runs]
        if all(isinstance(node, _SIMPLE) for node in nodes):
            return lambda frame: [run(frame) for run in simple]
        if len(nodes) == 1 and not runs[0][1]:
            only = simple[0]
            return lambda frame: [only(frame)]
        note = self.noting(nodes[0])

        def run_all(frame: Any) -> list[Any]:
            found: list[Any] = []
            held.append(found)
            for run, starred in runs:
                if not starred:
                    found.append(run(frame))
                    continue
                several = run(frame)
                try:
                    found.extend(collect(meter, several))
                except BaseException as error:
                    note(error)
                    raise
            held.pop()
            return found

        return run_all

    def _node_list(self, node: ast.List) -> Compiled:
        items, take = self._items(node.elts), self.meter.take
        size = 72 + 8 * len(node.elts)

        def run(frame: Any) -> Any:
            take(size)
            return items(frame)

        return run

    def _node_tuple(self, node: ast.Tuple) -> Compiled:
        items, take = self._items(node.elts), self.meter.take
        size = 56 + 8 * len(node.elts)

        def run(frame: Any) -> Any:
            take(size)
            return tuple(items(frame))

        return run

    def _node_set(self, node: ast.Set) -> Compiled:
        items, meter, note = self._items(node.elts), self.meter, self.noting(node)

        def run(frame: Any) -> Any:
            found = items(frame)
            try:
                meter.make_items(len(found), _ENTRY_BYTES)
                for item in found:
                    check_hashable(meter, item)
                return CellSet(found)
            except BaseException as error:
                note(error)
                raise

        return run

    def _node_dict(self, node: ast.Dict) -> Compiled:
        pairs = [
            (self.expression(key) if key else None, self.expression(value))
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        meter, held, note = self.meter, self.meter.held, self.noting(node)

        def run(frame: Any) -> Any:
            found: dict[Any, Any] = {}
            held.append(found)
            meter.take(72 + _ENTRY_BYTES * len(pairs))
            for key, value in pairs:
                name = key(frame) if key else None
                item = value(frame)
                try:
                    if key is None:
                        found.update(_mapping(meter, item))
                    else:
                        check_hashable(meter, name)
                        found[name] = item
                except BaseException as error:
                    note(error)
                    raise
            held.pop()
            return found

        return run

    # ---- texts ------------------------------------------------------------------------------------------------

    def _node_joinedstr(self, node: ast.JoinedStr) -> Compiled:
        parts = [self.expression(value) for value in node.values]
        meter, held = self.meter, self.meter.held

        def run(frame: Any) -> Any:
            found: list[str] = []
            held.append(found)
            for part in parts:
                found.append(part(frame))  # noqa: PERF401 - the parts so far have to be counted meanwhile
            held.pop()
            size = sum(map(len, found))
            meter.make_text(size, size > 1_000 and not all(part.isascii() for part in found))
            return "".join(found)

        return run

    def _node_formattedvalue(self, node: ast.FormattedValue) -> Compiled:
        value, note, meter = self.expression(node.value), self.noting(node), self.meter
        conversion = _CONVERSIONS.get(node.conversion)
        spec = self.expression(node.format_spec) if node.format_spec else None

        def run(frame: Any) -> Any:
            found = value(frame)
            how = spec(frame) if spec else ""
            try:
                if found.__class__ is str and not how and conversion is None:
                    return found
                return formatted(meter, convert(meter, found, conversion), how)
            except BaseException as error:
                note(error)
                raise

        return run

    # ---- calls ------------------------------------------------------------------------------------------------

    def _node_call(self, node: ast.Call) -> Compiled:
        arguments = self._items(node.args)
        keywords = self._keywords(node.keywords)
        if isinstance(node.func, ast.Attribute):
            self.cost += 1
            return self._method_call(node, node.func, arguments, keywords)
        function, note = self.expression(node.func), self.noting(node)
        held = self.meter.held

        def run(frame: Any) -> Any:
            callee = function(frame)
            args = arguments(frame)
            kwargs = keywords(frame) if keywords else {}
            try:
                if callee.__class__ is Function:
                    return callee.call(args, kwargs)
                held.append(args)
                found = call(callee, args, kwargs)
            except BaseException as error:
                note(error)
                raise
            held.pop()
            return found

        return run

    def _method_call(
        self, node: ast.Call, func: ast.Attribute, arguments: Callable[[Any], list[Any]], keywords: Any
    ) -> Compiled:
        owner, name, note = self.expression(func.value), func.attr, self.noting(node)
        meter, profile, held = self.meter, self.profile, self.meter.held
        simple = all(isinstance(argument, _SIMPLE) for argument in node.args) and not node.keywords

        nothing: dict[str, Any] = {}

        def attribute_of(value: Any) -> Any:
            try:
                return attribute(meter, profile, value, name)
            except BaseException as error:
                note(error)
                raise

        def run(frame: Any) -> Any:
            value = owner(frame)
            do = method(meter, profile, value, name)
            callee = attribute_of(value) if do is None else None
            if simple:
                args, kwargs = arguments(frame), nothing
            else:
                held.append(value)
                args = arguments(frame)
                kwargs = keywords(frame) if keywords else {}
                held.pop()
            try:
                held.append((value, args))
                found = call(callee, args, kwargs) if do is None else do(meter, value, *args, **kwargs)
            except BaseException as error:
                note(error)
                raise
            held.pop()
            return found

        return run

    def _keywords(self, nodes: list[ast.keyword]) -> Callable[[Any], dict[str, Any]] | None:
        if not nodes:
            return None
        meter = self.meter
        pairs = [(node.arg, self.expression(node.value)) for node in nodes]

        def run(frame: Any) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, value in pairs:
                given = {name: value(frame)} if name is not None else _mapping(meter, value(frame))
                for key, item in given.items():
                    if key.__class__ is not str:
                        raise TypeError("keywords must be strings")
                    if key in found:
                        raise TypeError(f"got multiple values for keyword argument '{key}'")
                    found[key] = item
            return found

        return run


def call(callee: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a value.

    Raises:
        TypeError: It cannot be called.
    """
    if callee.__class__ is Function:
        return callee.call(args, kwargs)
    run = getattr(callee, "run", None)
    if run is None:
        raise TypeError(f"'{callee.__class__.__name__}' object is not callable")
    return run(*args, **kwargs)


def _mapping(meter: Meter, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"'{value.__class__.__name__}' object is not a mapping")
    meter.make_items(len(value), _ENTRY_BYTES)
    return value


def _unbound(name: str, own: bool) -> NameError:
    if own:
        return UnboundLocalError(f"cannot access local variable '{name}' where it is not associated with a value")
    return NameError(f"cannot access free variable '{name}' where it is not associated with a value in enclosing scope")


__all__ = ["Compiled", "Expressions", "call", "weigh"]
