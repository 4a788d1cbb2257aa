"""Methods of lists, tuples, mappings and sets; each counts its work before doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import (
    SCALARS,
    CellFrozenSet,
    CellIterator,
    CellSet,
    Method,
    check_hashable,
    collect,
    same_kind,
    weigh,
)

_ENTRY_BYTES = 104


def of_collection(kind: type, name: str) -> Method:
    """Return a method of a list, tuple or mapping that needs no counting.

    Args:
        kind: The type of the value.
        name: Name of the method.
    """
    do = getattr(kind, name)

    def run(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        return do(value, *args, **kwargs)

    return run


def _append(meter: Meter, value: list[Any], /, item: Any) -> None:
    meter.take(16)
    value.append(item)


def _extend(meter: Meter, value: list[Any], /, items: Any) -> None:
    found = collect(meter, items)
    value.extend(found)


def _insert(meter: Meter, value: list[Any], /, *args: Any) -> None:
    meter.go_through(len(value))
    meter.take(16)
    value.insert(*args)


def _pop(meter: Meter, value: list[Any], /, *args: Any) -> Any:
    if args:
        meter.go_through(len(value))
    return value.pop(*args)


def _looking(name: str) -> Method:
    """Return a method that compares an item with those of a list or tuple."""

    def look(meter: Meter, value: Any, /, *args: Any) -> Any:
        meter.go_through(len(value))
        if args and args[0].__class__ not in SCALARS:
            weigh(meter, args[0])
            weigh(meter, value)
        return getattr(value, name)(*args)

    return look


def _copy(meter: Meter, value: Any, /) -> Any:
    meter.make_items(len(value), _ENTRY_BYTES if isinstance(value, dict) else 8)
    return value.copy()


def _through(name: str) -> Method:
    """Return a method that iterates over all items once."""

    def run(meter: Meter, value: Any, /, *args: Any) -> Any:
        meter.go_through(len(value))
        return getattr(value, name)(*args)

    return run


def _sort(meter: Meter, value: list[Any], /, *, key: Any = None, reverse: Any = False) -> None:
    value[:] = ordered(meter, value, key, reverse)


def ordered(meter: Meter, items: list[Any], key: Any, reverse: Any) -> list[Any]:
    """Return items in order.

    Args:
        meter: Counts the work.
        items: The items.
        key: The key function, or None.
        reverse: Whether to sort in descending order.
    """
    if reverse.__class__ not in (int, bool):
        raise TypeError(f"'{same_kind(reverse)}' object cannot be interpreted as an integer")
    count = len(items)
    meter.make_items(count, 16)
    meter.go_through(count * count.bit_length())
    keys = items
    if key is not None:
        keys = []
        meter.held.append(keys)
        for item in items:
            meter.spend(1)
            keys.append(key(item))
    _check_order(meter, keys)
    if key is not None:
        meter.held.pop()
        places = sorted(range(count), key=keys.__getitem__, reverse=bool(reverse))
        return [items[place] for place in places]
    return sorted(items, reverse=bool(reverse))


def _check_order(meter: Meter, keys: list[Any]) -> None:
    """Count the work of comparing values that have parts, each of which is compared several times."""
    if set(map(type, keys)) <= SCALARS:
        texts = sum(len(key) for key in keys if key.__class__ is str or key.__class__ is bytes)
        meter.scan(texts * max(1, len(keys).bit_length()) // 4)
        return
    before = meter.steps
    for key in keys:
        weigh(meter, key)
    meter.spend((meter.steps - before) * len(keys).bit_length())


def _get(meter: Meter, value: dict[Any, Any], /, *args: Any) -> Any:
    if args:
        check_hashable(meter, args[0])
    return value.get(*args)


def _setdefault(meter: Meter, value: dict[Any, Any], /, *args: Any) -> Any:
    meter.take(_ENTRY_BYTES)
    if args:
        check_hashable(meter, args[0])
    return value.setdefault(*args)


def _pop_key(meter: Meter, value: dict[Any, Any], /, *args: Any) -> Any:
    if args:
        check_hashable(meter, args[0])
    return value.pop(*args)


def pairs_of(meter: Meter, given: Any) -> Any:
    """Return the pairs to build a dictionary from, with iterators consumed.

    Raises:
        TypeError: An item is not a pair.
    """
    if isinstance(given, dict):
        meter.make_items(len(given), _ENTRY_BYTES)
        return given
    items = collect(meter, given)
    meter.make_items(len(items), _ENTRY_BYTES)
    found = []
    for place, item in enumerate(items):
        if item.__class__ in (int, float, bool, type(None)) or not hasattr(item, "__iter__"):
            raise TypeError(f"cannot convert dictionary update sequence element #{place} to a sequence")
        pair = item if item.__class__ in (tuple, list) else collect(meter, item)
        if len(pair) == 2:
            check_hashable(meter, pair[0])
        found.append(pair)
    return found


def _update(meter: Meter, value: dict[Any, Any], /, *args: Any, **kwargs: Any) -> None:
    if isinstance(value, Counter):
        value.update(*(counted_items(meter, arg) for arg in args), **kwargs)
        return
    value.update(*(pairs_of(meter, arg) for arg in args), **kwargs)


def _subtract(meter: Meter, value: Counter[Any], /, *args: Any, **kwargs: Any) -> None:
    value.subtract(*(counted_items(meter, arg) for arg in args), **kwargs)


def counted_items(meter: Meter, given: Any) -> Any:
    """Return the items that a `Counter` counts, with iterators consumed."""
    if isinstance(given, dict):
        meter.make_items(len(given), _ENTRY_BYTES)
        return given
    items = collect(meter, given)
    meter.make_items(len(set(map(id, items))), _ENTRY_BYTES)
    if not set(map(type, items)) <= SCALARS:
        for item in items:
            check_hashable(meter, item)
    return items


def _fromkeys(meter: Meter, value: dict[Any, Any], /, *args: Any) -> Any:
    if not args:
        raise TypeError("fromkeys expected at least 1 argument, got 0")
    keys = collect(meter, args[0])
    meter.make_items(len(keys), _ENTRY_BYTES)
    return dict.fromkeys(keys, *args[1:])


def _most_common(meter: Meter, value: Counter[Any], /, n: Any = None) -> Any:
    meter.make_items(len(value), 72)
    meter.go_through(len(value) * len(value).bit_length())
    if n is not None and n.__class__ not in (int, bool):
        raise TypeError(f"'{same_kind(n)}' object cannot be interpreted as an integer")
    # Ordered by count, ties by first occurrence, as heapq orders them.
    found = sorted(value.items(), key=lambda pair: pair[1], reverse=True)
    return found if n is None else found[: max(0, n)]


def _elements(meter: Meter, value: Counter[Any], /) -> Any:
    return CellIterator("itertools.chain", value.elements(), (value,))


def of_set(name: str) -> Method:
    """Return a method of a set.

    Args:
        name: Name of the method.
    """
    do: Callable[..., Any] = _SETS[name]

    def run(meter: Meter, value: Any, /, *args: Any) -> Any:
        meter.make_items(len(value), _ENTRY_BYTES if name in _MAKES_SET else 0)
        return do(meter, value, *args)

    return run


def _keys(meter: Meter, given: Any) -> dict[Any, None]:
    if given.__class__ in (CellSet, CellFrozenSet):
        meter.make_items(len(given), _ENTRY_BYTES)
        return dict(given.items)
    items = collect(meter, given)
    meter.make_items(len(items), _ENTRY_BYTES)
    for item in items:
        check_hashable(meter, item)
    return dict.fromkeys(items)


def _union(meter: Meter, value: Any, *others: Any) -> Any:
    found = dict(value.items)
    for other in others:
        found.update(_keys(meter, other))
    return value.__class__(found)


def _intersection(meter: Meter, value: Any, *others: Any) -> Any:
    found = list(value.items)
    for other in others:
        keys = _keys(meter, other)
        found = [item for item in found if item in keys]
    return value.__class__(found)


def _difference(meter: Meter, value: Any, *others: Any) -> Any:
    found = list(value.items)
    for other in others:
        keys = _keys(meter, other)
        found = [item for item in found if item not in keys]
    return value.__class__(found)


def _symmetric(meter: Meter, value: Any, other: Any) -> Any:
    return value ^ value.__class__(_keys(meter, other))


def _in_place(make: Callable[..., Any]) -> Callable[..., None]:
    def run(meter: Meter, value: Any, *others: Any) -> None:
        value.items = make(meter, value, *others).items

    return run


def _set_add(meter: Meter, value: CellSet, item: Any) -> None:
    meter.take(_ENTRY_BYTES)
    check_hashable(meter, item)
    value.items[item] = None


def _looked_up(meter: Meter, item: Any) -> Any:
    """Return the item to look up in a set: for a set the equal frozenset."""
    item = CellFrozenSet(item) if item.__class__ is CellSet else item
    check_hashable(meter, item)
    return item


def _set_discard(meter: Meter, value: CellSet, item: Any) -> None:
    item = _looked_up(meter, item)
    if item in value.items:  # `pop(item, None)` would not hash the item if the set is empty
        del value.items[item]


def _set_remove(meter: Meter, value: CellSet, item: Any) -> None:
    item = _looked_up(meter, item)
    del value.items[item]


def _set_pop(meter: Meter, value: CellSet) -> Any:
    if not value.items:
        raise KeyError("pop from an empty set")
    first = next(iter(value.items))
    del value.items[first]
    return first


def _is_subset(meter: Meter, value: Any, other: Any) -> bool:
    return value.items.keys() <= _keys(meter, other).keys()  # type: ignore[no-any-return]


def _is_superset(meter: Meter, value: Any, other: Any) -> bool:
    return value.items.keys() >= _keys(meter, other).keys()  # type: ignore[no-any-return]


def _is_disjoint(meter: Meter, value: Any, other: Any) -> bool:
    return value.items.keys().isdisjoint(_keys(meter, other))  # type: ignore[no-any-return]


_MAKES_SET = frozenset({"copy", "union", "intersection", "difference", "symmetric_difference"})

_SETS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": _set_add,
        "clear": lambda _, value: value.items.clear(),
        "copy": lambda _, value: value.__class__(value.items),
        "difference": _difference,
        "difference_update": _in_place(_difference),
        "discard": _set_discard,
        "intersection": _intersection,
        "intersection_update": _in_place(_intersection),
        "isdisjoint": _is_disjoint,
        "issubset": _is_subset,
        "issuperset": _is_superset,
        "pop": _set_pop,
        "remove": _set_remove,
        "symmetric_difference": _symmetric,
        "symmetric_difference_update": _in_place(_symmetric),
        "union": _union,
        "update": _in_place(_union),
    }
)


def collection_methods() -> dict[tuple[type, str], Method]:
    """Return the methods of lists, tuples and mappings that need more than `of_collection`."""
    from collections import defaultdict

    found: dict[tuple[type, str], Method] = {}
    found |= {(list, "append"): _append, (list, "extend"): _extend, (list, "insert"): _insert, (list, "pop"): _pop}
    found |= {(list, "remove"): _looking("remove"), (list, "sort"): _sort, (list, "reverse"): _through("reverse")}
    each: type
    for each in (list, tuple):
        found |= {(each, "count"): _looking("count"), (each, "index"): _looking("index")}
    found[list, "copy"] = _copy
    for mapping in (dict, Counter, defaultdict):
        found |= {(mapping, "get"): _get, (mapping, "setdefault"): _setdefault, (mapping, "pop"): _pop_key}
        found |= {(mapping, "update"): _update, (mapping, "fromkeys"): _fromkeys, (mapping, "copy"): _copy}
    found |= {(Counter, "most_common"): _most_common, (Counter, "elements"): _elements}
    found |= {(Counter, "subtract"): _subtract, (Counter, "total"): _through("total")}
    return found
