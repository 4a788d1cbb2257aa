"""Methods of values: what Python's do, once it is known how much they would make.

An implementation takes the meter, the value, and the arguments of the call. Arguments that are gone through are turned
into lists first, so that nothing is computed unseen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rlmbox.context.search.code_ranges import SPACES
from rlmbox.sandboxes.subset.formatting import braces
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.regex import Engine, Match, Pattern
from rlmbox.sandboxes.subset.values import (
    SCALARS,
    CellFrozenSet,
    CellIterator,
    CellSet,
    check_hashable,
    collect,
    same_kind,
    weigh,
)

Method = Callable[..., Any]

_ENTRY_BYTES = 104
_SPLIT_BYTES = 64
_EXACT_CHARS = 50_000
_SPACES = "".join(chr(code) for low, high in SPACES for code in range(low, high + 1))
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_WIDTHS = frozenset({"center", "ljust", "rjust", "zfill"})
_LARGER = frozenset({"capitalize", "casefold", "lower", "swapcase", "title", "upper"})
_ENCODE_GROWTH = 12


def implementation(kind: type, name: str) -> Method:
    """Return a method.

    Args:
        kind: The type of the value.
        name: The method's name; one that the table has.
    """
    own = _OWN.get((kind, name))
    if own is not None:
        return own
    if kind in (str, bytes):
        return _of_text(kind, name)
    if kind in (CellSet, CellFrozenSet):
        return _of_set(name)
    if kind is Match:
        return _of_match(name)
    if kind is Pattern:
        return _of_pattern(name)
    return _of_collection(kind, name)


def _check_args(name: str, args: Sequence[Any]) -> None:
    """Refuse values of ours where Python's own functions would look into them."""
    for arg in args:
        if arg.__class__ is LongText:
            raise needs_whole(name, arg)


# ---- texts ----------------------------------------------------------------------------------------------------


def _of_text(kind: type, name: str) -> Method:
    do = getattr(kind, name)
    if name in _WIDTHS:

        def widen(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
            if args and args[0].__class__ is int:
                size = max(len(value), args[0])
                meter.check_room(size)
                meter.make_text(size, _is_wide(value, *args))
            return do(value, *args, **kwargs)

        return widen

    growth = 3 if name in _LARGER else 1

    def read(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        size = len(value)
        if size >= 1_000:
            wide = _is_wide(value)
            meter.make_text(size * growth if wide else size, wide)
        _check_args(name, args)
        return do(value, *args, **kwargs)

    return read


def _is_wide(*texts: Any) -> bool:
    return any(text.__class__ is str and not text.isascii() for text in texts)


def _scanning(kind: type, name: str) -> Method:
    """Return a method that looks through a text and makes nothing."""
    do = getattr(kind, name)

    def look(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        meter.scan(len(value))
        if args and args[0].__class__ is tuple:
            meter.go_through(len(args[0]))
        _check_args(name, args)
        return do(value, *args, **kwargs)

    return look


def _splitting(kind: type, name: str) -> Method:
    do = getattr(kind, name)

    def split(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        _check_args(name, args)
        size = len(value)
        meter.scan(size)
        if size > 100:
            sep = args[0] if args else kwargs.get("sep")
            parts = _parts_of(value, sep, lines=name == "splitlines")
            most = args[1] if len(args) > 1 else kwargs.get("maxsplit", -1)
            if most.__class__ is int and most >= 0:
                parts = min(parts, most + 1)
            meter.make_items(parts, _SPLIT_BYTES)
            meter.take(size * (2 if _is_wide(value) else 1))
        return do(value, *args, **kwargs)

    return split


def _parts_of(value: Any, sep: Any, *, lines: bool) -> int:
    """Return into how many parts a text is split, at most."""
    if not lines and sep.__class__ is value.__class__ and sep:
        return int(value.count(sep)) + 1
    if len(value) < _EXACT_CHARS:
        return len(value) // (1 if lines else 2) + 1
    if value.__class__ is bytes:
        return sum(value.count(each.encode("latin-1")) for each in " \n\t\r\x0b\x0c") + 1
    ends = _LINE_ENDS if lines else _SPACES
    if value.isascii():
        ends = "".join(end for end in ends if end.isascii())
    return int(sum(map(value.count, ends))) + 1


def _replace(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
    size = len(value)
    meter.scan(size)
    _check_args("replace", args)
    if len(args) >= 2 and args[0].__class__ is args[1].__class__ is value.__class__:
        old, new = args[0], args[1]
        most = args[2] if len(args) > 2 else kwargs.get("count", -1)
        growth = max(0, len(new) - len(old))
        times = value.count(old) if growth and (size > 1_000 or growth > 1_000) else size // max(1, len(old)) + 1
        if most.__class__ is int and most >= 0:
            times = min(times, most)
        meter.make_text(size + growth * times, _is_wide(value, new))
    return value.replace(*args, **kwargs)


def _join(meter: Meter, value: Any, /, *args: Any) -> Any:
    if len(args) != 1:
        return value.join(*args)
    _check_args("join", args)
    parts = args[0] if args[0].__class__ is list or args[0].__class__ is tuple else collect(meter, args[0])
    meter.go_through(len(parts))
    meter.check_room(len(value) * (len(parts) - 1))
    kind = value.__class__
    if not set(map(type, parts)) <= {kind}:
        raise _no_part(kind, parts)
    size = len(value) * max(0, len(parts) - 1) + sum(map(len, parts))
    wide = _is_wide(value) or (kind is str and not all(map(str.isascii, parts)))
    meter.held.append(parts)
    meter.make_text(size, wide)
    meter.held.pop()
    return value.join(parts)


def _no_part(kind: type, parts: Sequence[Any]) -> TypeError:
    """Return the error for the first part that cannot be joined."""
    place, part = next((place, part) for place, part in enumerate(parts) if part.__class__ is not kind)
    if part.__class__ is LongText:
        return needs_whole("join", part)
    expected = "str instance" if kind is str else "a bytes-like object"
    return TypeError(f"sequence item {place}: expected {expected}, {same_kind(part)} found")


def _expandtabs(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
    size = args[0] if args else kwargs.get("tabsize", 8)
    if size.__class__ is int and size > 0:
        tabs = value.count("\t" if value.__class__ is str else b"\t")
        meter.check_room(len(value) + tabs * size)
        meter.make_text(len(value) + tabs * size, _is_wide(value))
    return value.expandtabs(*args, **kwargs)


def _encode(meter: Meter, value: str, /, encoding: Any = "utf-8", errors: Any = "strict") -> bytes:
    _known_codec(encoding, errors)
    meter.make_text(len(value) * (1 if value.isascii() else 4 if errors in _SAME_SIZE else _ENCODE_GROWTH))
    return value.encode(encoding, errors)


def _decode(meter: Meter, value: bytes, /, encoding: Any = "utf-8", errors: Any = "strict") -> str:
    _known_codec(encoding, errors)
    meter.make_text(len(value) * (1 if value.isascii() or errors in _SAME_SIZE else 4), not value.isascii())
    return value.decode(encoding, errors)


_SAME_SIZE = frozenset({"strict", "ignore", "replace"})
_ERRORS = _SAME_SIZE | {"backslashreplace", "xmlcharrefreplace", "surrogateescape", "surrogatepass"}
_CODECS = re.compile(
    r"(?:utf|u)[-_]?(?:8|16|32)(?:[-_](?:sig|le|be))?|ascii|us[-_]ascii|latin[-_]?1|iso[-_]?8859[-_]\d{1,2}"
    r"|cp\d{3,4}|windows[-_]125\d|gbk|gb2312|gb18030|big5|shift[-_]jis|euc[-_](?:jp|kr)|koi8[-_][ru]|mac[-_]roman",
    re.IGNORECASE,
)


def _known_codec(encoding: Any, errors: Any) -> None:
    for value, name in ((encoding, "encoding"), (errors, "errors")):
        if value.__class__ is not str:
            raise TypeError(f"argument '{name}' must be str, not {same_kind(value)}")
    if not _CODECS.fullmatch(encoding):
        raise LookupError(f"unknown encoding: {encoding[:40]}")
    if errors not in _ERRORS:
        raise LookupError(f"unknown error handler name '{errors[:40]}'")


def _format(meter: Meter, value: str, /, *args: Any, **kwargs: Any) -> str:
    return braces(meter, value, args, kwargs)


def _translate(meter: Meter, value: Any, /, table: Any, **kwargs: Any) -> Any:
    if value.__class__ is bytes:
        meter.make_text(len(value))
        return value.translate(table, **kwargs)
    if kwargs:
        raise TypeError("str.translate() takes no keyword arguments")
    if not value:
        return value
    if not isinstance(table, (dict, list, tuple, str, bytes, range)):
        raise TypeError(f"'{same_kind(table)}' object is not subscriptable")
    texts = list(table.values() if isinstance(table, dict) else table)
    meter.go_through(len(texts))
    longest = max((len(to) for to in texts if to.__class__ is str), default=1)
    meter.check_room(len(value) * max(1, longest))
    meter.make_text(len(value) * max(1, longest), _is_wide(value) or any(_is_wide(to) for to in texts))
    return value.translate(table)


def _maketrans(meter: Meter, value: Any, /, *args: Any) -> Any:
    for arg in args:
        if isinstance(arg, dict | str | bytes):
            meter.make_items(len(arg), _ENTRY_BYTES)
    return value.maketrans(*args)


def _hex(meter: Meter, value: bytes, /, *args: Any, **kwargs: Any) -> str:
    meter.make_text(len(value) * 3)
    return value.hex(*args, **kwargs)


def _fromhex(meter: Meter, value: bytes, /, *args: Any) -> bytes:
    meter.make_text(len(args[0]) if args and args[0].__class__ is str else 0)
    return bytes.fromhex(*args)


# ---- collections ----------------------------------------------------------------------------------------------


def _of_collection(kind: type, name: str) -> Method:
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
    """Return a method that goes through all items once."""

    def run(meter: Meter, value: Any, /, *args: Any) -> Any:
        meter.go_through(len(value))
        return getattr(value, name)(*args)

    return run


def _sort(meter: Meter, value: list[Any], /, *, key: Any = None, reverse: Any = False) -> None:
    value[:] = ordered(meter, value, key, reverse)


def ordered(meter: Meter, items: list[Any], key: Any, reverse: Any) -> list[Any]:
    """Return items in order.

    Args:
        meter: What counts the work.
        items: The items.
        key: What is called for what to order each by, or None.
        reverse: Whether the greatest comes first.
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
    """Return what a dictionary is made of, with nothing left to be computed.

    Raises:
        TypeError: An item is no pair.
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
    """Return what a `Counter` counts."""
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
    # In the order of counts, those first found first, as heapq orders them.
    found = sorted(value.items(), key=lambda pair: pair[1], reverse=True)
    return found if n is None else found[: max(0, n)]


def _elements(meter: Meter, value: Counter[Any], /) -> Any:
    return CellIterator("itertools.chain", value.elements(), (value,))


# ---- sets -----------------------------------------------------------------------------------------------------


def _of_set(name: str) -> Method:
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
    """Return what is looked for in a set: a set stands for the frozen one that it is equal to."""
    item = CellFrozenSet(item) if item.__class__ is CellSet else item
    check_hashable(meter, item)
    return item


def _set_discard(meter: Meter, value: CellSet, item: Any) -> None:
    item = _looked_up(meter, item)
    if item in value.items:  # and not `pop(item, None)`, which hashes nothing where there are no items
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


# ---- matches, patterns, the long context ------------------------------------------------------------------------


def _of_match(name: str) -> Method:
    do = getattr(Match, name)

    def run(meter: Meter, value: Match, /, *args: Any, **kwargs: Any) -> Any:
        if name in ("group", "groups", "groupdict"):
            meter.make_text(value.spans[0][1] - value.spans[0][0])
        return do(value, *args, **kwargs)

    return run


_MOST_ARGUMENTS = {"split": 2, "sub": 3}


def _of_pattern(name: str) -> Method:
    def run(meter: Meter, value: Pattern, /, *args: Any, **kwargs: Any) -> Any:
        engine = Engine(meter)
        if name in _MOST_ARGUMENTS:
            if len(args) > _MOST_ARGUMENTS[name] or "flags" in kwargs:
                raise TypeError(f"{name}() takes at most {_MOST_ARGUMENTS[name]} arguments ({len(args)} given)")
            return getattr(engine, name)(value, *args, **kwargs)
        string, *places = _positional(name, args, kwargs)
        found = getattr(engine, name)(value, string, 0, *places)
        return CellIterator("callable_iterator", found, (string,)) if name == "finditer" else found

    return run


def _positional(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    names = ("string", "pos", "endpos")
    found = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(kwargs) - set(names) or set(found) & set(kwargs):
        raise TypeError(f"{name}() takes string, pos and endpos")
    found.update(kwargs)
    if "string" not in found:
        raise TypeError(f"{name}() missing required argument 'string' (pos 1)")
    return [found.get(each) for each in names]


_LONG_READS = frozenset({"count", "endswith", "find", "index", "rfind", "rindex", "startswith"})


def of_long_text(name: str) -> Method:
    """Return a method of a context that is too long to be a `str`."""

    def run(meter: Meter, value: LongText, /, *args: Any, **kwargs: Any) -> Any:
        if name == "splitlines":
            return _long_lines(meter, value, *args, **kwargs)
        if name not in _LONG_READS:
            raise needs_whole(name, value)
        meter.spend(1 + len(value) // 100_000)
        return getattr(value, name)(*args, **kwargs)

    return run


def _long_lines(meter: Meter, value: LongText, keepends: Any = False) -> list[str]:
    found: list[str] = []
    meter.held.append(found)
    for line in value.lines(keepends=bool(keepends)):
        meter.spend(1)
        meter.take(64 + len(line))
        found.append(line)
    meter.held.pop()
    return found


def _own() -> dict[tuple[type, str], Method]:
    from collections import defaultdict

    found: dict[tuple[type, str], Method] = {}
    for kind in (str, bytes):
        for name in ("count", "endswith", "find", "index", "rfind", "rindex", "startswith"):
            found[kind, name] = _scanning(kind, name)
        for name in ("split", "rsplit", "splitlines"):
            found[kind, name] = _splitting(kind, name)
        found |= {(kind, "replace"): _replace, (kind, "join"): _join, (kind, "expandtabs"): _expandtabs}
        found |= {(kind, "translate"): _translate, (kind, "maketrans"): _maketrans}
    for name in dir(str):
        if name.startswith("is"):
            found[str, name] = _scanning(str, name)
    found |= {(str, "encode"): _encode, (bytes, "decode"): _decode, (str, "format"): _format}
    found |= {(bytes, "hex"): _hex, (bytes, "fromhex"): _fromhex}
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


_OWN = MappingProxyType(_own())
__all__ = ["counted_items", "implementation", "of_long_text", "ordered", "pairs_of"]
