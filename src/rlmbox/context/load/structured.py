"""Conversion of Python objects to JSON values and to documents."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from typing import Any

from rlmbox.errors import ContextError

MAX_DEPTH = 200

_TOO_LARGE = 10**4_300  # Python writes no more digits than these
_REPR_CHARS = 1_000
_SCALARS = (bool, str, int, float, date, time, bytes, bytearray, memoryview)


def jsonable(value: object, depth: int = 0, around: frozenset[int] = frozenset()) -> object:
    """Return a copy of a value as JSON: `dict`, `list`, `str`, numbers, `bool` and `None`.

    Tuples become lists, sets sorted lists, dates their ISO form, bytes their text or `base64:…`, NaN and infinities
    their text, dataclasses, pydantic models and named tuples the dict of their fields, members of an Enum their value,
    numpy arrays lists, pandas tables lists of their rows, keys the strings that `json.dumps` uses, and anything else
    its `str`. A dictionary in which two keys become equal turns into a list of pairs. What contains itself is
    `<cycle>` there, and nesting deeper than 200 levels is cut.

    Args:
        value: The value.
        depth: Number of containers around it.
        around: Their identities.
    """
    if depth > MAX_DEPTH:
        return f"<deeper than {MAX_DEPTH} levels>"
    if isinstance(value, Enum):
        return jsonable(value.value, depth + 1, around)
    if value is None or isinstance(value, _SCALARS):
        return _scalar(value)
    if id(value) in around:
        return "<cycle>"
    inside = around | {id(value)}
    if (named := _fields_of(value)) is not None:
        return _object(named, depth, inside)
    if isinstance(value, Mapping):
        return _object(value, depth, inside)
    if isinstance(value, AbstractSet):
        return [jsonable(item, depth + 1, inside) for item in _ordered(value)]
    if isinstance(value, Sequence):
        return [jsonable(item, depth + 1, inside) for item in value]
    return _of_library(value, depth, inside)


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, date | time):
        return value.isoformat()
    assert isinstance(value, bytes | bytearray | memoryview)  # noqa: S101 - the last of `_SCALARS`
    return _text(bytes(value))


def _fields_of(value: object) -> Mapping[object, object] | None:
    """Return the fields of a dataclass, a pydantic model or a named tuple; None for any other value."""
    kind = type(value)
    names: object
    if is_dataclass(kind):
        names = tuple(each.name for each in fields(kind))  # without ClassVar and InitVar
    else:
        names = getattr(kind, "_fields" if isinstance(value, tuple) else "__pydantic_fields__", None)
    if not isinstance(names, tuple | dict):
        return None
    more = getattr(value, "__pydantic_extra__", None)
    return {**{name: getattr(value, name, None) for name in names}, **(more if isinstance(more, dict) else {})}


def _of_library(value: object, depth: int, around: frozenset[int]) -> object:
    """Return the rows of a pandas table, the items of a numpy array, or the `str` of anything else."""
    if is_table(value):
        return jsonable(records_of(value), depth)
    dtype = getattr(value, "dtype", None)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist") and dtype is not None:
        plain = value if dtype.kind in "biufSUO" else value.astype(str)  # type: ignore[attr-defined]
        return jsonable(plain.tolist(), depth, around)
    return str(value)[:_REPR_CHARS]


def instead_of(value: object, name: str) -> str:
    """Return advice on what to pass instead of a value that is no JSON, as the end of a sentence.

    Args:
        value: The given value.
        name: Its name, as a user writes it.
    """
    if isinstance(value, type):
        return ""
    for method, remedy in (
        ("to_pandas", "to_pandas()"),
        ("tolist", "tolist()"),
        ("to_dict", "to_dict('records')"),
        ("model_dump", "model_dump(mode='json')"),
        ("isoformat", "isoformat()"),
        ("decode", "decode()"),
    ):
        if callable(getattr(value, method, None)):
            return f"; give {name}.{remedy}"
    if is_dataclass(value):
        return f"; give dataclasses.asdict({name})"
    if isinstance(value, Enum):
        return f"; give {name}.value"
    if isinstance(value, Mapping):
        return f"; give dict({name})"
    return f"; give list({name})" if isinstance(value, Iterable) else ""


def _number(value: int | float) -> object:  # noqa: PYI041 - the two differ here
    if isinstance(value, int):
        return int(value) if abs(value) < _TOO_LARGE else hex(value)
    return float(value) if math.isfinite(value) else str(float(value))


def _object(value: Mapping[object, object], depth: int, around: frozenset[int]) -> object:
    pairs = [(_key(key), jsonable(inner, depth + 1, around)) for key, inner in value.items()]
    made = dict(pairs)
    return made if len(made) == len(pairs) else [list(pair) for pair in pairs]


def _key(key: object) -> str:
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool | int | float):
        return str(next(iter(json.loads(json.dumps({key: 0})))))
    form = jsonable(key) if isinstance(key, date | time | bytes | Enum) else str(key)
    return form if isinstance(form, str) else _key(form)


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


class NotATable(ContextError):
    """A table has content that cannot be passed on; the message names the place and the remedy."""


def is_table(value: object) -> bool:
    """Return whether a value is a `pandas.DataFrame` or a `pandas.Series`.

    Args:
        value: Any value.
    """
    pandas = sys.modules.get("pandas")
    kinds = tuple(kind for name in ("DataFrame", "Series") if isinstance(kind := getattr(pandas, name, None), type))
    return isinstance(value, kinds)


def csv_of(value: Any) -> str:
    """Convert a table to CSV: a line of names and one for each row, with the index unless it is the default one.

    Args:
        value: A `pandas.DataFrame` or `pandas.Series`.
    """
    frame, has_index = _frame(value)
    text: str = frame.to_csv(index=has_index, lineterminator="\n")
    return text


def records_of(value: Any) -> list[object]:
    """Return the rows of a table as dicts of JSON values; missing values are None.

    Args:
        value: A `pandas.DataFrame` or `pandas.Series`.

    Raises:
        NotATable: Two columns have the same name.
    """
    frame, has_index = _frame(value)
    if has_index:
        taken = {*map(str, frame.columns)}
        names = [n if n is not None else f"level_{i}" for i, n in enumerate(frame.index.names)]
        names = ["index"] if names == ["level_0"] and "index" not in taken else names
        if taken & {*map(str, names)}:
            raise NotATable("the index has the name of a column; rename one of them")
        frame = frame.reset_index(names=names)
    if len({*map(str, frame.columns)}) < len(frame.columns):
        raise NotATable("two columns have the same name; rename one of them")
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    found = jsonable(rows)
    assert isinstance(found, list)  # noqa: S101 - lists stay lists
    return found


def _frame(value: Any) -> tuple[Any, bool]:
    """Return a table as a DataFrame, and whether its index carries information."""
    pandas = sys.modules["pandas"]
    frame = value.to_frame() if isinstance(value, pandas.Series) else value
    index = frame.index
    is_usual = isinstance(index, pandas.RangeIndex) and index.name is None and (index.start, index.step) == (0, 1)
    return frame, not is_usual


def is_document(item: object) -> bool:
    """Return whether an item of a list is a document: a text, a pair of name and text, or a mapping with a text."""
    if isinstance(item, Mapping):
        return isinstance(item.get("text", item.get("content")), str)
    if isinstance(item, tuple) and len(item) == 2:
        return isinstance(item[1], str)
    return isinstance(item, str)


def json_lines(items: Iterable[object]) -> str:
    """Return items as JSON Lines, one per line."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
