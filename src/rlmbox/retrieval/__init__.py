"""Texts in a search engine: the protocol of a retriever, an index in a folder, and PostgreSQL."""

from typing import TYPE_CHECKING

from rlmbox import late_names
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

if TYPE_CHECKING:
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

_HOMES = {
    "Columns": "rlmbox.retrieval.postgres",
    "PostgresRetriever": "rlmbox.retrieval.postgres",
    "load": "rlmbox.retrieval.postgres_schema",
    "migrate": "rlmbox.retrieval.postgres_schema",
}

__getattr__ = late_names(globals(), _HOMES)  # every run needs the protocol, and few a database
