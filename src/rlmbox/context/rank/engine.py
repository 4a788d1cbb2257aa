"""The protocols that ranking builds on: a text in documents, and an engine that ranks passages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rlmbox.context.rank.passages import Sliceable
from rlmbox.types import Source


class RankedText(Sliceable, Protocol):
    """A text that can be ranked: what it uses of a `Context`."""

    @property
    def length(self) -> int:
        """Characters."""

    @property
    def size_bytes(self) -> int:
        """Bytes in UTF-8."""

    @property
    def sha256(self) -> str:
        """Of the bytes."""

    @property
    def num_documents(self) -> int:
        """The number of documents."""

    def document_span(self, index: int) -> tuple[int, int]:
        """Return the span of a document."""

    def locate(self, start: int, end: int) -> Source:
        """Return the document of a place, and the place in it."""


class RankIndex(Protocol):
    """An engine that ranks numbered passages by the words in them."""

    name: str
    """Changes when an index that was built before cannot be opened any more."""

    def build(self, folder: Path | None, passages: Iterable[str]) -> None:
        """Make the index.

        Args:
            folder: Where it is written, an empty folder; None keeps it in memory, open.
            passages: The texts, numbered from 0. What it raises ends the building and is passed on.
        """

    def open(self, folder: Path) -> None:
        """Open an index that was built; raise any exception if it cannot be read."""

    def query(self, words: Sequence[str], k: int, passages: int) -> list[tuple[int, float]]:
        """Return the numbers and scores of the best passages, best first; may be called from any thread.

        Args:
            words: What they are about; nothing in them is an operator.
            k: Most that are wanted.
            passages: How many there are.
        """
