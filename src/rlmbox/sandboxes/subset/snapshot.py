"""The variables of a session as JSON, and back.

Objects that several variables share stay shared, including cycles. A function is stored as the cell that defines it and
its position there, with its closure. What cannot be stored, such as a generator, is left out and named.
"""

from __future__ import annotations

import ast
import base64
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from rlmbox.sandboxes.subset.errors import CELL_EXCEPTIONS, NAMED_EXCEPTIONS, Uncatchable
from rlmbox.sandboxes.subset.evaluate import Compiler, SubsetSession
from rlmbox.sandboxes.subset.long_text import LongText
from rlmbox.sandboxes.subset.regex import Match, Pattern
from rlmbox.sandboxes.subset.scopes import NameScope, of_comprehension, of_function
from rlmbox.sandboxes.subset.values import Builtin, CellFrozenSet, CellSet, Function, Module, TypeValue

VERSION = 1
_MAX_EXACT = 2**53
_LONG_CHARS = 100  # a text of at least this length that is also injected is not stored again
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Json = Any


class NotKept(Exception):
    """A value that cannot be stored."""


def snapshot(session: SubsetSession) -> dict[str, object]:
    """Return a session's variables as JSON.

    Args:
        session: The session; none of its cells may be running.

    Returns:
        The argument of `restore`. `lost` maps the names of variables that could not be stored to the reason.
    """
    writer = _SnapshotWriter(session)
    names: dict[str, _Json] = {}
    lost: dict[str, str] = {}
    for name, value in session.variables.items():
        before = len(writer.heap)
        try:
            names[name] = writer.write(value)
        except NotKept as reason:
            writer.forget(before)
            lost[name] = str(reason)
    sources = {str(number): session.sources[number] for number in sorted(writer.sources)}
    found: dict[str, object] = {"version": VERSION, "names": names, "heap": writer.heap, "sources": sources}
    if lost:
        found["lost"] = lost
    return found


def restore(session: SubsetSession, state: Mapping[str, Any]) -> None:
    """Restore the variables of a snapshot in a session.

    Args:
        session: A session with the same injected names as the original one.
        state: What `snapshot` returned.

    Raises:
        ValueError: It is not a valid snapshot.
    """
    if not state:
        return
    if state.get("version") != VERSION:
        raise ValueError(f"the state is not of version {VERSION}: give back what the last answer had as `state`")
    try:
        found = _SnapshotReader(session, state).read_all()
    except (LookupError, TypeError, ValueError, AttributeError, SyntaxError, RecursionError, Uncatchable) as error:
        raise ValueError(f"the state is damaged ({type(error).__name__}): give back what the last answer had") from None
    session.variables.update(found)


class _SnapshotWriter:
    def __init__(self, session: SubsetSession) -> None:
        self.heap: list[_Json] = []
        self.sources: set[int] = set()
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []
        self._names = {id(value): name for name, value in session.builtins.items()}
        self._modules = [value for value in session.builtins.values() if value.__class__ is Module]

    def forget(self, size: int) -> None:
        """Drop what was written last, down to a heap of this size."""
        del self.heap[size:]
        self._places = {key: place for key, place in self._places.items() if place < size}

    def write(self, value: Any) -> _Json:
        kind = value.__class__
        if value is None or kind is bool:
            return value
        if id(value) in self._names and kind is not str:
            return {"t": "name", "v": self._names[id(value)]}
        if kind is str and id(value) in self._names and len(value) > _LONG_CHARS:
            return {"t": "name", "v": self._names[id(value)]}
        if kind is str:
            return value
        if kind is int:
            return value if -_MAX_EXACT < value < _MAX_EXACT else {"t": "int", "v": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
        if kind is bytes:
            return {"t": "bytes", "v": base64.b64encode(value).decode()}
        if kind is LongText:
            raise NotKept("it is a text too long to be a str, under a name of its own")
        return self._on_heap(value)

    def _on_heap(self, value: Any) -> _Json:
        key = id(value)
        if key not in self._places:
            self._places[key] = len(self.heap)
            self._kept.append(value)
            self.heap.append(None)
            place = self._places[key]
            try:
                self.heap[place] = self._written(value)
            except RecursionError:
                raise NotKept("it is nested too deeply") from None
        return {"t": "at", "v": self._places[key]}

    def _written(self, value: Any) -> _Json:
        kind = value.__class__
        if kind in (list, tuple):
            return {"t": kind.__name__, "v": [self.write(item) for item in value]}
        if kind in (CellSet, CellFrozenSet):
            return {"t": kind.__name__, "v": [self.write(item) for item in value]}
        if kind in (dict, Counter):
            return {"t": kind.__name__, "v": self._pairs(value)}
        if kind is defaultdict:
            return {"t": "defaultdict", "v": self._pairs(value), "f": self.write(value.default_factory)}
        if kind is range:
            return {"t": "range", "v": [self.write(part) for part in (value.start, value.stop, value.step)]}
        if kind is Function:
            return self._function(value)
        return self._rarely_written(value)

    def _pairs(self, value: Mapping[Any, Any]) -> list[_Json]:
        return [[self.write(key), self.write(item)] for key, item in value.items()]

    def _function(self, value: Function) -> _Json:
        source, line, _, column = value.place
        self.sources.add(source)
        defaults = [[name, self.write(item)] for name, item in value.defaults.items()]
        closure = None if value.closure is None else self._on_heap(value.closure)
        return {"t": "function", "v": [source, line, column], "d": defaults, "c": closure}

    def _rarely_written(self, value: Any) -> _Json:
        kind = value.__class__
        if kind is Pattern:
            return {"t": "pattern", "v": self.write(value.pattern), "f": int(value.flags)}
        if kind is Match:
            return {"t": "match", "v": self.write(value.text), "s": value.spans, "n": value.names}
        if kind in CELL_EXCEPTIONS and kind in NAMED_EXCEPTIONS.values():
            return {"t": "exception", "v": kind.__name__, "a": [self.write(arg) for arg in value.args]}
        if kind is Builtin and value.owner is not None:
            return {"t": "method", "v": self.write(value.owner), "n": value.name}
        if isinstance(value, int):
            return {"t": "flag", "v": int(value)}
        if kind in (Builtin, TypeValue):
            return self._member(value)
        raise NotKept(f"a value of type {kind.__name__} cannot be kept")

    def _member(self, value: Any) -> _Json:
        for owner in self._modules:
            for name in owner.members:
                if owner.members[name] is value:
                    return {"t": "member", "v": [owner.name, name]}
        raise NotKept(f"{value!r} cannot be kept")


class _SnapshotReader:
    def __init__(self, session: SubsetSession, state: Mapping[str, Any]) -> None:
        self._session, self._state = session, state
        self._heap: list[_Json] = state["heap"]
        self._made: dict[int, Any] = {}
        self._compilers: dict[int, tuple[Compiler, ast.Module]] = {}

    def read_all(self) -> dict[str, Any]:
        return {str(name): self._read(value) for name, value in self._state["names"].items()}

    def _read(self, value: _Json) -> Any:
        if not isinstance(value, dict):
            if value is None or isinstance(value, bool | int | float | str):
                return value
            raise TypeError("a list where there is none")
        kind, inner = value["t"], value["v"]
        if kind == "at":
            return self._at(inner)
        simple: dict[str, Callable[[Any], Any]] = {
            "int": lambda text: int(text, 16),
            "float": float,
            "bytes": lambda text: base64.b64decode(text, validate=True),
            "name": lambda name: self._session.builtins[name],
        }
        return simple[kind](inner)

    def _at(self, place: int) -> Any:
        if place not in self._made:
            self._make(place, self._heap[place])
        return self._made[place]

    def _make(self, place: int, entry: _Json) -> None:
        kind, inner = entry["t"], entry["v"]
        if kind == "list":
            items: list[Any] = []
            self._made[place] = items
            items.extend(self._read(item) for item in inner)
        elif kind in ("dict", "Counter", "defaultdict", "frame"):
            self._mapping(place, entry)
        elif kind == "function":
            self._function(place, entry)
        elif kind == "set":
            self._made[place] = CellSet(self._read(item) for item in inner)
        else:
            self._made[place] = self._immutable(kind, entry)

    def _mapping(self, place: int, entry: _Json) -> None:
        made: dict[Any, Any] = {}
        if entry["t"] == "Counter":
            made = Counter()
        elif entry["t"] == "defaultdict":
            made = defaultdict(self._read(entry["f"]))
        self._made[place] = made
        for key, item in entry["v"]:
            made[self._read(key)] = self._read(item)

    def _immutable(self, kind: str, entry: _Json) -> Any:
        inner = entry["v"]
        if kind == "tuple":
            return tuple(self._read(item) for item in inner)
        if kind == "frozenset":
            return CellFrozenSet(self._read(item) for item in inner)
        if kind == "range":
            return range(*(self._read(part) for part in inner))
        if kind == "pattern":
            return Pattern(self._read(inner), entry["f"])
        if kind == "match":
            return Match(self._read(inner), [(a, b) for a, b in entry["s"]], dict(entry["n"]))
        if kind == "exception":
            return NAMED_EXCEPTIONS[inner](*(self._read(arg) for arg in entry["a"]))
        return self._reference(kind, entry)

    def _reference(self, kind: str, entry: _Json) -> Any:
        from re import RegexFlag

        from rlmbox.sandboxes.subset.attributes import attribute

        session, inner = self._session, entry["v"]
        if kind == "method":
            return attribute(session.meter, session.profile, self._read(inner), entry["n"])
        if kind == "member":
            return session.builtins[inner[0]].members[inner[1]]
        if kind == "flag":
            return RegexFlag(inner)
        raise KeyError(kind)

    # ---- functions --------------------------------------------------------------------------------------------

    def _function(self, place: int, entry: _Json) -> None:
        source, line, column = entry["v"]
        compiler, tree = self._compiler(source)
        name, maker = function_at(compiler, tree, line, column)
        defaults: dict[str, Any] = {}
        number = compiler.source

        # The function may be among its own variables, so it is there before they are read.
        made = Function(name, lambda args, kwargs: None, None, defaults, (number, line, line, column))
        self._made[place] = made
        made.closure = None if entry["c"] is None else self._read(entry["c"])
        made.call = maker(made.closure, defaults)
        defaults.update((each, self._read(item)) for each, item in entry["d"])

    def _compiler(self, source: int) -> tuple[Compiler, ast.Module]:
        if source not in self._compilers:
            session = self._session
            compiler, tree = session.compiler_for(str(self._state["sources"][str(source)]))
            self._compilers[source] = compiler, tree
        return self._compilers[source]


def function_at(compiler: Compiler, tree: ast.Module, line: int, column: int) -> tuple[str, Callable[..., Any]]:
    """Compile one function of a cell.

    Args:
        compiler: A compiler of the cell.
        tree: The cell.
        line: Line of the function.
        column: Column in that line.

    Returns:
        Its name, and a function that creates it from the enclosing variables and the defaults.

    Raises:
        KeyError: There is no function at that position.
    """
    outer = compiler.scope
    nodes: list[tuple[ast.AST, NameScope]] = [(tree, outer)]
    while nodes:
        node, scope = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            if (node.lineno, node.col_offset) == (line, column):
                compiler.scope = scope
                try:
                    return compiler.maker_of(node)
                finally:
                    compiler.scope = outer
            scope = of_function(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            scope = of_comprehension(node.generators, scope)
        nodes.extend((child, scope) for child in ast.iter_child_nodes(node))
    raise KeyError((line, column))
