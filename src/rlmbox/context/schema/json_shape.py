"""The shape of JSON: its keys and types at every level, without values."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

MAX_SHAPES = 300
MAX_DEPTH = 5

_MAX_KEY_CHARS = 100
_CHECK_EVERY = 5_000


class NotJson(Exception):
    """The text is not JSON."""


class Shape:
    """The values seen at one place: their types, the keys of objects, the items of arrays."""

    __slots__ = ("arrays", "items", "keys", "kinds", "longest", "more_keys")

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.keys: dict[str, Shape] = {}
        self.items: Shape | None = None
        self.arrays = 0
        self.longest = 0
        self.more_keys = False

    def described(self, depth: int = 0) -> object:
        """Return the shape as JSON: a word for scalars, a dictionary for objects and arrays.

        A dictionary has `type` (`object`, `array`, or several types joined by `or`); for objects `keys`, and
        `more_keys` if some were left out; for arrays `items` and `length`, or `longest` for several.
        """
        kinds = " or ".join(sorted(self.kinds)) or "nothing"
        if depth >= MAX_DEPTH or not self.kinds & {"object", "array"}:
            return kinds
        told: dict[str, object] = {"type": kinds}
        if "object" in self.kinds:
            told["keys"] = {key: shape.described(depth + 1) for key, shape in self.keys.items()}
            if self.more_keys:
                told["more_keys"] = True
        if "array" in self.kinds:
            told["length" if self.arrays == 1 else "longest"] = self.longest
            told["items"] = self.items.described(depth + 1) if self.items else "nothing"
        return told


class JsonShape:
    """The common shape of several values.

    Attributes:
        shape: The shape so far.
        complete: False if time ran out before all values had been examined.
    """

    def __init__(self, *, timeout_s: float) -> None:
        """Start without values.

        Args:
            timeout_s: Seconds after which no further values are examined.
        """
        self.shape = Shape()
        self.complete = True
        self._deadline = time.monotonic() + timeout_s
        self._shapes = 0
        self._seen = 0

    def add(self, value: object) -> None:
        """Add a value level by level, so that a timeout leaves out the deepest levels."""
        self.shape.kinds.add(json_type(value))
        level: list[tuple[object, Shape]] = [(value, self.shape)]
        for depth in range(MAX_DEPTH + 1):
            deeper: list[tuple[object, Shape]] = []
            for item, shape in level:
                self._seen += 1
                if self._seen % _CHECK_EVERY == 0 and time.monotonic() > self._deadline:
                    self.complete = False
                    return
                deeper.extend(self._inside(item, shape, is_told=depth < MAX_DEPTH))
            level = deeper

    def _inside(self, value: object, shape: Shape, *, is_told: bool) -> Iterator[tuple[object, Shape]]:
        if isinstance(value, list):
            shape.arrays += 1
            shape.longest = max(shape.longest, len(value))
            if value and is_told:
                items = shape.items = shape.items or Shape()
                items.kinds.update(map(json_type, value))
                yield from ((item, items) for item in value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                name = key[:_MAX_KEY_CHARS]
                if name not in shape.keys:
                    if not is_told or self._shapes >= MAX_SHAPES:
                        shape.more_keys = True
                        continue
                    self._shapes += 1
                    shape.keys[name] = Shape()
                shape.keys[name].kinds.add(json_type(inner))
                yield inner, shape.keys[name]


def json_type(value: object) -> str:
    """Return JSON's name for the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def parsed(text: str, *, is_cut: bool = False) -> object:
    """Parse JSON.

    Args:
        text: The text.
        is_cut: Whether it is only the beginning of a document; open brackets and strings are then closed.

    Raises:
        NotJson: It is not JSON; the message says why and where.
    """
    import pydantic_core

    try:
        return pydantic_core.from_json(text.encode("utf-8", "replace"), allow_partial=is_cut)
    except ValueError as error:
        reason = str(error)
    if is_cut or "recursion" in reason or not _may_be_json(reason):
        raise NotJson(reason.replace("recursion limit exceeded", "it is nested too deeply"))
    try:  # a number of thousands of digits, or a lone surrogate, which Python accepts
        return json.loads(text, parse_int=len, strict=False)
    except (ValueError, RecursionError):
        raise NotJson(reason) from None


def _may_be_json(reason: str) -> bool:
    return any(word in reason for word in ("out of range", "hex escape", "surrogate"))


def values(text: str) -> list[object]:
    """Parse several consecutive values.

    Raises:
        NotJson: They are not JSON.
    """
    found, decoder, position = [], json.JSONDecoder(parse_int=len), 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise NotJson(str(error)) from None
        found.append(value)
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
    return found
