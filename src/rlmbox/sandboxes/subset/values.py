"""The values of a cell besides Python's own `str`, `int`, `list` and the like.

No value gives access to the host: the members that a cell can use are listed in `grammar`, by exact type.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rlmbox.sandboxes.subset.errors import CELL_EXCEPTIONS, LimitReached
from rlmbox.sandboxes.subset.meter import ITEMS_PER_STEP, TEXT_PER_STEP, Meter

AnyCallable = Callable[..., Any]
Method = Callable[..., Any]
"""A method of a value; takes the meter, the value, and the arguments of the call."""

DictView: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_MAX_DEPTH = 200


class CellSet:
    """A set in insertion order, so that results do not depend on hashes.

    Attributes:
        items: The items, as the keys of a dictionary.
    """

    __slots__ = ("items",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.items: dict[Any, None] = dict.fromkeys(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, item: object) -> bool:
        return item in self.items

    def __eq__(self, other: object) -> bool:
        return self.items.keys() == other.items.keys() if isinstance(other, CellSet) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self.items.keys() <= other.items.keys() if isinstance(other, CellSet) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.items.keys() < other.items.keys() if isinstance(other, CellSet) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self.items.keys() >= other.items.keys() if isinstance(other, CellSet) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self.items.keys() > other.items.keys() if isinstance(other, CellSet) else NotImplemented

    def __or__(self, other: object) -> CellSet:
        return type(self)([*self.items, *other.items]) if isinstance(other, CellSet) else NotImplemented

    def __and__(self, other: object) -> CellSet:
        if not isinstance(other, CellSet):
            return NotImplemented
        return type(self)(item for item in self.items if item in other.items)

    def __sub__(self, other: object) -> CellSet:
        if not isinstance(other, CellSet):
            return NotImplemented
        return type(self)(item for item in self.items if item not in other.items)

    def __xor__(self, other: object) -> CellSet:
        if not isinstance(other, CellSet):
            return NotImplemented
        mine = [item for item in self.items if item not in other.items]
        return type(self)([*mine, *(item for item in other.items if item not in self.items)])

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self.items)) + "}" if self.items else "set()"

    def parts(self) -> Iterable[Any]:
        """Return the values that this one refers to."""
        return [self.items]


class CellFrozenSet(CellSet):
    """An immutable set, which can be a key."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items))

    def __repr__(self) -> str:
        return f"frozenset({super().__repr__()})" if self.items else "frozenset()"


class CellIterator:
    """An iterator, such as a generator expression or the result of `map`.

    Args:
        kind: Python's name of its type.
        source: The host's own iterator.
        sources: The values that it refers to.
    """

    __slots__ = ("kind", "source", "sources")

    def __init__(self, kind: str, source: Iterator[Any], sources: tuple[Any, ...] = ()) -> None:
        self.kind, self.source, self.sources = kind, source, sources

    def __iter__(self) -> Iterator[Any]:
        return self.source

    def __next__(self) -> Any:
        return next(self.source)

    def __repr__(self) -> str:
        return f"<generator object <genexpr>>" if self.kind == "generator" else f"<{self.kind} object>"  # noqa: F541

    def parts(self) -> Iterable[Any]:
        """Return the values that this one refers to."""
        return self.sources


class Function:
    """A function that a cell has defined.

    Attributes:
        name: Its name; `<lambda>` for a lambda.
        call: Runs it, given positional and keyword arguments.
        closure: Variables of the enclosing functions.
        defaults: Default values of parameters.
        place: Where it was defined, for a snapshot: number of the cell, first and last line, column.
    """

    __slots__ = ("call", "closure", "defaults", "name", "place")

    def __init__(self, name: str, call: AnyCallable, closure: Any, defaults: Mapping[str, Any], place: Any) -> None:
        self.name, self.call, self.closure, self.defaults, self.place = name, call, closure, defaults, place

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - what Python calls
        return self.call(args, kwargs)

    def __repr__(self) -> str:
        return f"<function {self.name}>"

    def parts(self) -> Iterable[Any]:
        """Return the values that this one refers to."""
        return (self.closure, self.defaults)


class Builtin:
    """A function of the interpreter.

    Attributes:
        name: Its name, for messages.
        run: Runs it, given positional and keyword arguments.
        owner: The value whose method it is, or None.
    """

    __slots__ = ("name", "owner", "run")

    def __init__(self, name: str, run: AnyCallable, owner: Any = None) -> None:
        self.name, self.run, self.owner = name, run, owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - what Python calls
        return self.run(*args, **kwargs)

    def __repr__(self) -> str:
        if self.owner is not None:
            return f"<built-in method {self.name} of {self.owner.__class__.__name__} object>"
        return f"<built-in function {self.name}>"

    def parts(self) -> Iterable[Any]:
        """Return the values that this one refers to."""
        return (self.owner,)


class TypeValue:
    """A type as a value, for calls and `isinstance`.

    Attributes:
        name: Its name.
        types: The exact host types of its instances.
        run: Runs a call.
        shown: Its `repr`.
    """

    __slots__ = ("name", "run", "shown", "types")

    def __init__(self, name: str, types: tuple[type, ...], run: AnyCallable, module: str = "") -> None:
        self.name, self.types, self.run = name, types, run
        self.shown = f"<class '{module}{name}'>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - what Python calls
        return self.run(*args, **kwargs)

    def __repr__(self) -> str:
        return self.shown


class Module:
    """A module, or an object of the host such as `ctx`.

    Attributes:
        name: Its name.
        members: Its members by name.
        kind: `module` or `object`.
    """

    __slots__ = ("kind", "members", "name")

    def __init__(self, name: str, members: Mapping[str, Any], kind: str = "module") -> None:
        self.name, self.members, self.kind = name, members, kind

    def __repr__(self) -> str:
        return f"<{self.kind} '{self.name}'>"


for _class, _name in (
    (CellSet, "set"),
    (CellFrozenSet, "frozenset"),
    (CellIterator, "iterator"),
    (Function, "function"),
    (Builtin, "builtin_function_or_method"),
    (TypeValue, "type"),
    (Module, "module"),
):
    _class.__name__ = _class.__qualname__ = _name  # messages of Python's own operators have the name

CONTAINERS = frozenset({list, tuple, dict, CellSet, CellFrozenSet, Counter, defaultdict, *DictView, *CELL_EXCEPTIONS})
_MAPPINGS = frozenset({dict, Counter, defaultdict})


def children(value: Any) -> Iterable[Any]:
    """Return the values that a container refers to."""
    kind = value.__class__
    if kind in _MAPPINGS:
        return [*value, *value.values()]
    if kind in CELL_EXCEPTIONS:
        return value.args  # type: ignore[no-any-return]
    return value  # type: ignore[no-any-return]


def weigh(meter: Meter, value: Any, *, as_text: bool = False) -> int:
    """Count the work of traversing a value, shared containers counted each time.

    Lists that contain the same list several times are small in memory, but comparing or printing one takes time in
    proportion to the nodes of the tree. This counts them first.

    Args:
        meter: Counts the steps.
        value: The value.
        as_text: Whether to estimate the length of its `repr`.

    Returns:
        An upper bound of the characters of the `repr`, or 0.
    """
    kind = value.__class__
    if kind not in CONTAINERS:
        return _text_of(value) if as_text else 0
    return _weigh_tree(meter, value, as_text)


class _Weight:
    """A container that is being traversed."""

    __slots__ = ("chars", "items", "key", "source", "work")

    def __init__(self, value: Any) -> None:
        self.key, self.source = id(value), iter(children(value))
        self.items = self.chars = self.work = 0

    def add(self, items: int, chars: int, work: int) -> None:
        self.items += items
        self.chars += chars
        self.work += work


def _weigh_tree(meter: Meter, value: Any, as_text: bool) -> int:
    """Return the length of a value's `repr`; each container is traversed once, and counted wherever it occurs."""
    known: dict[int, tuple[int, int, int]] = {}
    stack = [_Weight(value)]
    path = {id(value)}
    visited = 0
    while True:
        top = stack[-1]
        inner = _next_container(meter, top, as_text)
        if inner is not None:
            key = id(inner)
            if key in path:
                top.add(1, 8, 0)
            elif key in known:
                top.add(*known[key])
            elif len(stack) >= _MAX_DEPTH:
                raise RecursionError("maximum recursion depth exceeded: the value is nested too deeply")
            else:
                visited += 1
                if not visited % ITEMS_PER_STEP:
                    meter.spend(ITEMS_PER_STEP // 4)
                stack.append(_Weight(inner))
                path.add(key)
            continue
        stack.pop()
        path.discard(top.key)
        if not stack:
            break
        known[top.key] = (top.items + 1, top.chars + 30, top.work)
        stack[-1].add(*known[top.key])
    if as_text:
        meter.check_room(top.chars)
    meter.spend(top.items // ITEMS_PER_STEP + top.work // TEXT_PER_STEP)
    return top.chars + 30


def _next_container(meter: Meter, top: _Weight, as_text: bool) -> Any:
    """Advance to the next container within a container; None at the end."""
    items = chars = work = 0
    found = None
    for item in top.source:
        kind = item.__class__
        if kind in CONTAINERS:
            found = item
            break
        items += 1
        if as_text:
            if kind is str and len(item) >= TEXT_PER_STEP:
                meter.scan(len(item) * 4)  # it is scanned here and again when it is displayed
                meter.check_room(chars)
            chars += _text_of(item) + 2
        elif kind is str or kind is bytes:
            work += len(item)
    top.add(items, chars, work)
    return found


def _text_of(value: Any) -> int:
    """Return an upper bound of the length of the `repr` of a scalar."""
    kind = value.__class__
    if kind is str:
        if len(value) < 100 or not value.isprintable():
            return len(value) * (4 if value.isascii() else 10) + 2
        return len(value) + int(value.count("'")) + int(value.count("\\")) + 2
    if kind is bytes:
        return len(value) * 4 + 3
    if kind is int:
        return int(value.bit_length()) // 3 + 2
    return 200


def show(meter: Meter, value: Any) -> str:
    """Return the `repr` of a value."""
    if value.__class__ in SCALARS and value.__class__ is not str:
        return repr(value)
    meter.make_text(weigh(meter, value, as_text=True))
    return _rendered(value, repr)


def text(meter: Meter, value: Any) -> str:
    """Return the `str` of a value."""
    kind = value.__class__
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind in SCALARS:
        return str(value)
    meter.make_text(weigh(meter, value, as_text=True))
    return _rendered(value, str)


def _rendered(value: Any, render: Callable[[Any], str]) -> str:
    return str(render(value))


def same_kind(value: Any) -> str:
    """Return Python's name of a value's type."""
    if value.__class__ is CellIterator:
        return str(value.kind)
    return value.__class__.__name__  # type: ignore[no-any-return]


def counted(meter: Meter, value: Any) -> Iterator[Any]:
    """Return an iterator over a value that counts its own work."""
    if value.__class__ is CellIterator:
        return _counted(meter, value.source)
    found: Iterator[Any] = iter(value)
    if hasattr(value, "__len__"):
        meter.go_through(length(value))
        return found
    return _counted(meter, found)


def _counted(meter: Meter, source: Iterator[Any]) -> Iterator[Any]:
    for item in source:
        meter.spend(1)
        yield item


def length(value: Any) -> int:
    """Return the number of items, also of a range longer than `sys.maxsize`."""
    if value.__class__ is range:
        return max(0, (value.stop - value.start + value.step - (1 if value.step > 0 else -1)) // value.step)
    return len(value)


def collect(meter: Meter, value: Any) -> list[Any]:
    """Return the items of a value as a new list.

    Raises:
        TypeError: It is not iterable.
    """
    if value.__class__ is CellIterator:
        found: list[Any] = []
        meter.held.append(value)
        meter.held.append(found)
        for item in value.source:
            meter.spend(1)
            found.append(item)
        del meter.held[-2:]
        return found
    if hasattr(value, "__len__"):
        each = 40 if value.__class__ is range else 84 if value.__class__ is str else 8
        meter.make_items(length(value), each)
    return list(value)


def check_hashable(meter: Meter, value: Any) -> None:
    """Count the work of hashing a key that has parts."""
    kind = value.__class__
    if kind is tuple or kind is CellFrozenSet:
        weigh(meter, value)


def limit(name: str, message: str, hint: str = "") -> LimitReached:
    """Return the error for a limit other than steps or memory."""
    return LimitReached(message, hint=hint, limit=name)
