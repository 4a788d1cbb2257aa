"""Text that lives in a search engine: the seam, an index in a folder, and PostgreSQL."""

from rlmbox.retrieval.base import (
    DocumentPart,
    Embedder,
    Embeddings,
    Filters,
    IndexInfo,
    Retriever,
    SearchHit,
    VectorRetriever,
    has_vectors,
)

__all__ = [
    "DocumentPart",
    "Embedder",
    "Embeddings",
    "Filters",
    "IndexInfo",
    "Retriever",
    "SearchHit",
    "VectorRetriever",
    "has_vectors",
]
