"""The protocols that ranking builds on: a text with documents, and an engine that ranks passages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rlmbox.context.rank.passages import Sliceable
from rlmbox.types import Source


class RankedText(Sliceable, Protocol):
    """A text that can be ranked: the part of `Context` that ranking uses."""

    @property
    def length(self) -> int:
        """Length in characters."""

    @property
    def size_bytes(self) -> int:
        """Length in bytes as UTF-8."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes."""

    @property
    def num_documents(self) -> int:
        """The number of documents."""

    def document_span(self, index: int) -> tuple[int, int]:
        """Return the span of a document."""

    def locate(self, start: int, end: int) -> Source:
        """Return the document of a span, and the span within it."""


class RankIndex(Protocol):
    """An engine that ranks numbered passages by the words in them."""

    name: str
    """Version of the index format; a change invalidates existing indexes."""

    def build(self, folder: Path | None, passages: Iterable[str]) -> None:
        """Build the index.

        Args:
            folder: An empty folder to write it to; None keeps it in memory, open.
            passages: The texts, numbered from 0. An exception of the iterator ends the build and is passed on.
        """

    def open(self, folder: Path) -> None:
        """Open an existing index; any exception means that it cannot be read."""

    def query(self, words: Sequence[str], k: int, passages: int) -> list[tuple[int, float]]:
        """Return the numbers and scores of the best passages, best first; may be called from any thread.

        Args:
            words: The words to rank by; none is treated as an operator.
            k: Maximum number of passages to return.
            passages: Total number of passages.
        """
