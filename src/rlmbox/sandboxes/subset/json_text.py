"""`json.loads` and `json.dumps` of a cell: Python's own, after the size of the result is bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import CONTAINERS, DictView, same_kind, weigh

MAX_DEPTH = 100
_VALUE_BYTES = 60
_ENTRY_BYTES = 104
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_OPENING = frozenset("[{")


def loads(
    meter: Meter,
    s: Any,
    /,
    *,
    parse_float: Any = None,
    parse_int: Any = None,
    parse_constant: Any = None,
    object_hook: Any = None,
    strict: Any = True,
) -> Any:
    """Parse a JSON text."""
    if s.__class__ is LongText:
        raise needs_whole("json.loads", s)
    if s.__class__ not in (str, bytes):
        raise TypeError(f"the JSON object must be str, bytes or bytearray, not {same_kind(s)}")
    source: str = s if isinstance(s, str) else s.decode(json.detect_encoding(s), "surrogatepass")
    meter.scan(len(source) * 10)
    values = source.count(",") + source.count(":") + source.count("[") + source.count("{") + 1
    meter.make_items(values, _VALUE_BYTES)
    meter.take(len(source) + source.count(":") * _ENTRY_BYTES)
    _check_depth(source)
    hooks = {"parse_float": parse_float, "parse_int": parse_int, "parse_constant": parse_constant}
    given = {name: hook for name, hook in hooks.items() if hook is not None}
    return json.loads(source, object_hook=object_hook, strict=bool(strict), **given)


def _check_depth(source: str) -> None:
    if source.count("[") + source.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for char in re.findall(r"[\[\]{}]", _TEXTS.sub("", source)):
        depth += 1 if char in _OPENING else -1
        if depth > MAX_DEPTH:
            raise RecursionError("maximum recursion depth exceeded while decoding a JSON array or object")


def dumps(
    meter: Meter,
    obj: Any,
    /,
    *,
    skipkeys: Any = False,
    ensure_ascii: Any = True,
    allow_nan: Any = True,
    indent: Any = None,
    separators: Any = None,
    default: Any = None,
    sort_keys: Any = False,
) -> str:
    """Serialize a value as JSON."""
    chars = weigh(meter, obj, as_text=True) * (3 if ensure_ascii else 1)
    values, deepest = _shape(meter, obj)
    if indent is not None:
        step = max(0, indent) if indent.__class__ in (int, bool) else len(indent)
        chars += values * (2 + step * (deepest + 1))
    if separators.__class__ in (tuple, list):
        chars += values * sum(len(each) for each in separators if each.__class__ is str)
    meter.check_room(chars)
    meter.make_text(chars)
    calls: dict[str, Any] = {} if default is None else {"default": _replacing(meter, default)}
    return json.dumps(
        obj,
        skipkeys=bool(skipkeys),
        ensure_ascii=bool(ensure_ascii),
        allow_nan=bool(allow_nan),
        indent=indent,
        separators=separators,
        sort_keys=bool(sort_keys),
        **calls,
    )


def _replacing(meter: Meter, default: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap a `default` function to count the values that it returns."""

    def replace(value: Any) -> Any:
        meter.spend(1)
        found = default(value)
        meter.make_text(weigh(meter, found, as_text=True) * 3)
        return found

    return replace


def _shape(meter: Meter, value: Any) -> tuple[int, int]:
    """Return the number of values in a tree, shared ones counted each time, and its depth."""
    level: list[Any] = [value]
    values, deepest = 1, 0
    while level and deepest <= MAX_DEPTH * 2:
        below: list[Any] = []
        for item in level:
            if item.__class__ in CONTAINERS and item.__class__ not in DictView and not isinstance(item, BaseException):
                inner: Any = item.values() if isinstance(item, dict) else item
                below.extend(inner)
        meter.go_through(len(below))
        values += len(below)
        meter.check_room(values)
        level, deepest = below, deepest + bool(below)
    return values, deepest
