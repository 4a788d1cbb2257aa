"""The documents of a text for an index, read in order and in large pieces, however small they are."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from rlmbox.context import Context
from rlmbox.context.rank.passages import Sliceable, passages

PIECE_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a text.

    Attributes:
        name: Its name.
        start: Position of its first character in the text.
        end: Position after its last.
        text: The text.
    """

    name: str
    start: int
    end: int
    text: Sliceable

    @property
    def length(self) -> int:
        """Length in characters."""
        return self.end - self.start

    def digest(self) -> str:
        """Return a digest of its text."""
        digest = blake2b(digest_size=16)
        for begin in range(self.start, self.end, PIECE_CHARS):
            digest.update(self.slice(begin, begin + PIECE_CHARS).encode("utf-8", "replace"))
        return digest.hexdigest()

    def passages(self) -> Iterator[tuple[int, str]]:
        """Yield its passages, each with the position of its first character in the document."""
        bounds: array[int] = array("Q")
        for text in passages(self, [(self.start, self.end)], bounds):
            yield bounds[-2] - self.start, text

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Return a part of the document, by positions in the text."""
        first = self.start if start is None else max(start, self.start)
        return self.text.slice(first, self.end if end is None else min(end, self.end))


def documents(context: Context) -> Iterator[Document]:
    """Yield the non-empty documents of a text, in order.

    Args:
        context: The text.
    """
    ahead = _ReadAhead(context)
    for number, name in enumerate(context.document_names):
        start, end = context.document_span(number)
        if start < end:
            yield Document(name, start, end, ahead)


class _ReadAhead:
    """A text with a read-ahead buffer, since reading a few characters costs as much as reading many."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held, self._origin = "", 0

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Return the text between two positions."""
        first, last = start or 0, self._context.length if end is None else end
        if not self._origin <= first <= last <= self._origin + len(self._held):
            self._origin, self._held = first, self._context.slice(first, max(last, first + PIECE_CHARS))
        return self._held[first - self._origin : last - self._origin]
