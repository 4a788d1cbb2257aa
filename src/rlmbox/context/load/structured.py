"""Python objects -> JSON-able ones, and the documents that they are."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time

MAX_DEPTH = 200

_MAX_DIGITS = 4_300
_REPR_CHARS = 1_000


def jsonable(value: object, depth: int = 0) -> object:
    """Return a copy of a value that JSON can hold, made of `dict`, `list`, `str`, numbers, `bool` and `None`.

    Tuples become lists, sets sorted lists, dates their ISO form, bytes their text or `base64:…`, numbers that JSON
    lacks their text, keys the strings that `json.dumps` makes of them, and anything else its `str`. A dictionary of
    which two keys become the same is a list of pairs. What is nested deeper than 200 levels, or in itself, is cut.
    """
    if depth > MAX_DEPTH:
        return f"<deeper than {MAX_DEPTH} levels>"
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if isinstance(value, AbstractSet):
        return [jsonable(item, depth + 1) for item in _ordered(value)]
    if isinstance(value, Sequence):
        return [jsonable(item, depth + 1) for item in value]
    return value.isoformat() if isinstance(value, date | time) else str(value)[:_REPR_CHARS]


def instead_of(value: object, name: str) -> str:
    """Return what to give in place of a table or an array, as the end of a sentence; empty for anything else.

    Args:
        value: What was given.
        name: Its name, as a user writes it.
    """
    for method, remedy in (("to_pandas", "to_pandas()"), ("tolist", "tolist()"), ("to_dict", "to_dict('records')")):
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return f"; give {name}.{remedy}"
    return ""


def _number(value: int | float) -> object:  # noqa: PYI041 - the two differ here
    if isinstance(value, int):
        return int(value) if abs(value) < 10**_MAX_DIGITS else hex(value)
    return float(value) if math.isfinite(value) else str(float(value))


def _object(value: Mapping[object, object], depth: int) -> object:
    pairs = [(_key(key), jsonable(inner, depth + 1)) for key, inner in value.items()]
    made = dict(pairs)
    return made if len(made) == len(pairs) else [list(pair) for pair in pairs]


def _key(key: object) -> str:
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool | int | float):
        return str(next(iter(json.loads(json.dumps({key: 0})))))
    return str(key)


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    printable = all(char.isprintable() or char in "\t\r\n" for char in text)
    return text if printable else f"base64:{base64.b64encode(value).decode()}"


def _ordered(items: Iterable[object]) -> list[object]:
    found = list(items)
    try:
        return sorted(found)  # type: ignore[type-var]
    except TypeError:
        return sorted(found, key=repr)


def is_document(item: object) -> bool:
    """Return whether an item of a list is a document: a text, a pair of name and text, or a mapping with a text."""
    if isinstance(item, Mapping):
        return isinstance(item.get("text", item.get("content")), str)
    if isinstance(item, tuple) and len(item) == 2:
        return isinstance(item[1], str)
    return isinstance(item, str)


def json_lines(items: Iterable[object]) -> str:
    """Return items as JSON Lines: each on a line of its own."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
