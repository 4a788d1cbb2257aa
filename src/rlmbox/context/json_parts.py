"""JSON of values that may be long, written in parts: while one call writes, Python's other threads wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

LONG = 100_000
"""What is above this, in characters and values, is worked on in a thread, and in parts."""

_VALUE = 8  # a value takes as long as so many characters
_PIECE_CHARS = 1 << 20
_FEW = 16
DEEP = 20
"""What is deeper in another value, as in a container that contains itself, is not divided."""
_SHORT = frozenset({int, float, bool, type(None)})


class Encoder(Protocol):
    """Writes values as JSON, without indentation; a `json.JSONEncoder` is one."""

    item_separator: str
    key_separator: str
    sort_keys: bool

    def encode(self, o: Any) -> str:
        """Return a value as JSON."""


def is_long(*values: object) -> bool:
    """Return whether JSON values are long together, without their keys; of very long ones only a part is looked at.

    Args:
        values: The values.
    """
    room, todo = LONG, list(values)
    while todo and room >= 0:
        each = todo.pop()
        if isinstance(each, str):
            room -= len(each)
        elif isinstance(each, dict | list | tuple):
            room -= _VALUE * len(each)
            if room >= 0:
                inner = each.values() if isinstance(each, dict) else each
                todo += [value for value in inner if type(value) not in _SHORT]
    return room < 0


class Groups:
    """The members of a long list or dict, as lists or dicts: some at once, and one that is long alone.

    Args:
        value: The list or dict.

    Attributes:
        chars: Length of the last group as JSON; set by who reads them, since the next group is chosen by it.
    """

    def __init__(self, value: Sequence[Any] | dict[str, Any]) -> None:
        self._value = value
        self.chars = 0

    def __iter__(self) -> Iterator[Any]:
        kind = dict if isinstance(self._value, dict) else list
        members, size = iter(self._value.items() if isinstance(self._value, dict) else self._value), 1
        while group := kind(islice(members, size)):
            if size <= _FEW and is_long(group):
                yield from ([each] for each in group) if kind is list else ({key: group[key]} for key in group)
                size = 1
            else:
                yield group
                size = max(1, min(2 * size, size * LONG // max(1, self.chars)))


def json_parts(value: object, encoder: Encoder, depth: int = 0) -> Iterator[str]:
    """Yield the JSON of a value in parts that take a few milliseconds each.

    Args:
        value: The value.
        encoder: Writes each part, and raises its errors.
        depth: How deep the value is in another.
    """
    if depth > DEEP or not is_long(value):
        yield encoder.encode(value)
    elif isinstance(value, str):
        yield '"'
        for start in range(0, len(value), _PIECE_CHARS):
            yield encoder.encode(value[start : start + _PIECE_CHARS])[1:-1]
        yield '"'
    elif isinstance(value, list | tuple):
        yield from _members(value, encoder, depth + 1)
    elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
        yield from _members(dict(sorted(value.items())) if encoder.sort_keys else value, encoder, depth + 1)
    else:
        yield encoder.encode(value)


def _members(value: Sequence[Any] | dict[str, Any], encoder: Encoder, depth: int) -> Iterator[str]:
    before, after = "{}" if isinstance(value, dict) else "[]"
    groups = Groups(value)
    for group in groups:
        if len(group) == 1 and is_long(group):
            ((key, member),) = group.items() if isinstance(group, dict) else enumerate(group)
            yield f"{before}{encoder.encode(key)}{encoder.key_separator}" if isinstance(group, dict) else before
            yield from json_parts(member, encoder, depth)
        else:
            written = encoder.encode(group)[1:-1]
            groups.chars = len(written)
            yield before + written
        before = encoder.item_separator
    yield after
