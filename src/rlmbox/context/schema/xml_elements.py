"""The elements of XML of any length: paths, attributes and counts, without text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from xml.parsers import expat

MAX_PATHS = 150
MAX_DEPTH = 6

_MAX_NESTING = 1_000
_MAX_NAME_CHARS = 100
_MAX_ATTRIBUTES = 30
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,1000}\?>")


class _Stop(Exception):
    pass


class XmlElements:
    """Parses XML with expat, which never fetches anything; entity declarations are refused because they could expand.

    Attributes:
        note: Why the parsing ended early; empty if it did not.
    """

    def __init__(self, *, timeout_s: float) -> None:
        """Create a parser.

        Args:
            timeout_s: Seconds after which parsing stops; elements found until then are kept.
        """
        self.note = ""
        self._deadline = time.monotonic() + timeout_s
        self._path: list[str] = []
        self._found: dict[tuple[str, ...], _Element] = {}
        self._more = False

    def read(self, pieces: Iterable[str]) -> None:
        """Parse the text."""
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        first = True
        try:
            for piece in pieces:
                # The declared encoding was that of the file, not of this text.
                parser.Parse(_DECLARATION.sub("", piece, count=1) if first else piece, False)
                first = False
                if time.monotonic() > self._deadline:
                    self.note = "only the beginning was read: it is long"
                    return
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            self.note = f"it does not parse as XML after line {error.lineno}: {expat.ErrorString(error.code)}"
        except _Stop as stop:
            self.note = str(stop)

    def described(self) -> dict[str, object]:
        """Return the elements in the order of their first occurrence."""
        told: dict[str, object] = {"elements": [element.described(path) for path, element in self._found.items()]}
        if self._more:
            told["more_elements"] = True
        if self.note:
            told["note"] = self.note
        return told

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name[:_MAX_NAME_CHARS])
        if len(self._path) > _MAX_NESTING:
            raise _Stop("it is nested too deeply to be read further")
        element = self._here()
        if element is not None:
            element.count += 1
            for attribute in attributes:
                if len(element.attributes) < _MAX_ATTRIBUTES:
                    element.attributes.setdefault(attribute[:_MAX_NAME_CHARS])

    def _here(self) -> _Element | None:
        path = tuple(self._path[: MAX_DEPTH + 1])
        if len(path) <= MAX_DEPTH and (path in self._found or len(self._found) < MAX_PATHS):
            return self._found.setdefault(path, _Element())
        self._more = True
        return None

    def _end(self, name: str) -> None:
        self._path.pop()

    def _text(self, text: str) -> None:
        if len(self._path) <= MAX_DEPTH and not text.isspace():
            element = self._found.get(tuple(self._path))
            if element is not None:
                element.text = True

    def _entity(self, *declaration: object) -> None:
        raise _Stop("it declares entities, which are not read")


class _Element:
    __slots__ = ("attributes", "count", "text")

    def __init__(self) -> None:
        self.count = 0
        self.attributes: dict[str, None] = {}
        self.text = False

    def described(self, path: tuple[str, ...]) -> dict[str, object]:
        told: dict[str, object] = {"path": "/".join(path), "count": self.count}
        if self.attributes:
            told["attributes"] = list(self.attributes)
        if self.text:
            told["text"] = True
        return told
