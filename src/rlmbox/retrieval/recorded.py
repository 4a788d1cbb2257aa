"""A stand-in for the retriever of a recorded run, whose results are in the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlmbox.errors import StoreError
from rlmbox.models.prices import FREE, FlatPrice
from rlmbox.retrieval.base import DocumentPart, Embedder, Embeddings, Filters, IndexInfo, SearchHit


@dataclass(frozen=True, slots=True)
class RecordedEmbedder:
    """The embedder of a recorded run."""

    name: str = "recorded"
    price: FlatPrice = FREE
    is_local: bool = True
    batch_size: int = 1

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Refuse; see `Embedder`."""
        raise StoreError(f"the record has no vectors of {len(texts)} texts")


@dataclass(frozen=True, slots=True)
class RecordedRetriever:
    """The retriever of a recorded run.

    Attributes:
        name: Its name.
        embedder: A stand-in for its embedder; None if it had none.
    """

    name: str
    embedder: Embedder | None = None

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Refuse; see `Retriever`."""
        raise StoreError(f"the record has no answer to {query!r:.100}")

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Refuse; see `VectorRetriever`."""
        raise StoreError("the record has no answer to this vector")

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Refuse; see `Retriever`."""
        raise StoreError(f"the record does not have the document {document_id!r:.100}")

    async def info(self) -> IndexInfo:
        """Refuse; see `Retriever`."""
        raise StoreError("the record has nothing of the index")
