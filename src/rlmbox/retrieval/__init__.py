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
from rlmbox.retrieval.postgres import Columns, PostgresRetriever
from rlmbox.retrieval.postgres_schema import load, migrate

__all__ = [
    "Columns",
    "DocumentPart",
    "Embedder",
    "Embeddings",
    "Filters",
    "IndexInfo",
    "PostgresRetriever",
    "Retriever",
    "SearchHit",
    "VectorRetriever",
    "has_vectors",
    "load",
    "migrate",
]
