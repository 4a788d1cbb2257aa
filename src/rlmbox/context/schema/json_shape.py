"""The shape of JSON of any length: read piece by piece, keeping keys and kinds, and no value."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable

MAX_SHAPES = 300
MAX_DEPTH = 5

_MAX_KEY_CHARS = 100
_MAX_NESTING = 10_000
_LONG_TOKEN_CHARS = 1_000_000
_CHECK_EVERY = 5_000
# Possessive, so that a string without an end fails at once.
_TOKEN = re.compile(
    r'[ \t\r\n]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")|([{}\[\],:])|([^\s"{}\[\],:\\]++))', re.DOTALL | re.ASCII
)
_SPACE = re.compile(r"[ \t\r\n]*+\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_REST_OF_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_WORDS = {"true": "boolean", "false": "boolean", "null": "null"}


class NotJson(Exception):
    """The text is not JSON."""


class Shape:
    """What was found at one place: kinds, the keys of objects, the items of arrays."""

    __slots__ = ("arrays", "items", "keys", "kinds", "longest", "more_keys")

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.keys: dict[str, Shape] = {}
        self.items: Shape | None = None
        self.arrays = 0
        self.longest = 0
        self.more_keys = False

    def described(self, depth: int = 0) -> object:
        """Gives it as JSON: a word for plain values, a dictionary for objects and arrays."""
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
    """Reads JSON, or several values one after the other as in JSON Lines.

    Attributes:
        shape: What all the values have in common.
        values: How many values have ended.
        complete: Whether all was read; otherwise time or `max_values` ran out.
    """

    def __init__(self, *, timeout_s: float, max_values: int | None = None) -> None:
        """Begins.

        Args:
            timeout_s: Seconds after which reading stops, with what was found until then.
            max_values: Values after which it stops.
        """
        self.shape = Shape()
        self.values = 0
        self.complete = False
        self._deadline = time.monotonic() + timeout_s
        self._max_values = max_values
        self._shapes = 0
        # For each open object or array: its bracket, its shape (None deeper than what is told), items so far.
        self._stack: list[list[object]] = []
        self._expected = "value"
        self._key = ""
        self._tokens = 0

    def read(self, pieces: Iterable[str]) -> None:
        """Reads the text.

        Raises:
            NotJson: It is not JSON.
        """
        held, in_string = "", False
        for piece in pieces:
            held += piece
            if in_string:
                found = _REST_OF_STRING.match(held)
                if not found:
                    held = held[-1:] if _ends_in_escape(held) else ""
                    continue
                held, in_string = '""' + held[found.end() :], False
            position = self._consume(held, last=False)
            if position < 0:
                return
            held = held[position:]
            if len(held) > _LONG_TOKEN_CHARS:
                if not held.lstrip().startswith('"'):
                    raise NotJson("a word that is too long")
                held, in_string = "\\" if _ends_in_escape(held) else "", True
        if in_string:
            raise NotJson("a string does not end")
        if self._consume(held, last=True) < 0:
            return
        if self._stack or self._expected != "value" or not self.values:
            raise NotJson("it ends too early")
        self.complete = True

    def _consume(self, text: str, *, last: bool) -> int:
        """Takes the tokens that are whole and gives where they end; -1 when it has seen enough."""
        position, end = 0, len(text)
        while found := _TOKEN.match(text, position):
            if found.end() == end and not last and found[2] is None and found[1] is None:
                break  # a number may go on in the next piece
            position = found.end()
            self._token(found[1], found[2], found[3])
            self._tokens += 1
            if self._tokens % _CHECK_EVERY == 0 and time.monotonic() > self._deadline:
                return -1
            if self._max_values is not None and self.values >= self._max_values:
                return -1
        if last and not _SPACE.match(text, position):
            raise NotJson("something that is no JSON")
        if not last and text[position:].lstrip()[:1] not in ("", '"') and found is None:
            raise NotJson("something that is no JSON")
        return position

    def _token(self, string: str | None, mark: str | None, word: str | None) -> None:
        if mark is not None:
            self._mark(mark)
        elif string is not None and self._expected in ("key", "key or }"):
            self._key = string
            self._expected = ":"
        elif self._expected in ("value", "value or ]"):
            self._place("string" if string is not None else _kind_of(word or ""))
            self._ended()
        else:
            raise NotJson(f"a value where {self._expected} belongs")

    def _mark(self, mark: str) -> None:
        if mark in "{[" and self._expected in ("value", "value or ]"):
            if len(self._stack) >= _MAX_NESTING:
                raise NotJson("it is nested too deeply")
            shape = self._place("object" if mark == "{" else "array")
            if shape is not None and mark == "[":
                shape.arrays += 1
            self._stack.append([mark, shape, 0])
            self._expected = "key or }" if mark == "{" else "value or ]"
        elif mark == ":" and self._expected == ":":
            self._expected = "value"
        elif mark == "," and self._expected == ", or end":
            self._expected = "key" if self._stack[-1][0] == "{" else "value"
        elif (mark == "}" and self._closes("{", "key or }")) or (mark == "]" and self._closes("[", "value or ]")):
            self._stack.pop()
            self._ended()
        else:
            raise NotJson(f"{mark} where {self._expected} belongs")

    def _closes(self, opening: str, empty: str) -> bool:
        return bool(self._stack) and self._stack[-1][0] == opening and self._expected in (empty, ", or end")

    def _ended(self) -> None:
        if self._stack:
            self._expected = ", or end"
        else:
            self._expected = "value"
            self.values += 1

    def _place(self, kind: str) -> Shape | None:
        """Notes a kind where the reading is; None where that is deeper than what is told."""
        shape = self._here()
        if shape is not None:
            shape.kinds.add(kind)
        return shape

    def _here(self) -> Shape | None:
        if not self._stack:
            return self.shape
        frame = self._stack[-1]
        parent, count = frame[1], frame[2]
        if not isinstance(parent, Shape) or not isinstance(count, int):
            return None
        if frame[0] == "[":
            frame[2] = count + 1
            parent.longest = max(parent.longest, count + 1)
            if parent.items is None and len(self._stack) <= MAX_DEPTH:
                parent.items = Shape()
            return parent.items
        return self._of_key(parent)

    def _of_key(self, parent: Shape) -> Shape | None:
        key = _text_of(self._key)
        if key not in parent.keys:
            if len(self._stack) > MAX_DEPTH or self._shapes >= MAX_SHAPES:
                parent.more_keys = True
                return None
            self._shapes += 1
            parent.keys[key] = Shape()
        return parent.keys[key]


def _ends_in_escape(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _kind_of(word: str) -> str:
    kind = _WORDS.get(word) or ("number" if _NUMBER.fullmatch(word) else None)
    if kind is None:
        raise NotJson("a word that is no value")
    return kind


def _text_of(string: str) -> str:
    if "\\" not in string:
        return string[1 : _MAX_KEY_CHARS + 1] if len(string) > _MAX_KEY_CHARS + 2 else string[1:-1]
    try:
        return str(json.loads(string, strict=False))[:_MAX_KEY_CHARS]
    except ValueError:
        raise NotJson("a key with an unknown escape") from None
