"""The seam between the loop and a search engine.

A retriever is three verbs, `search`, `get` and `info`. One that can compare vectors as well has a fourth, `vector`, and
says which embedder its vectors are made by; the loop embeds a question, so that what that costs is in the ledger, and
fuses both rankings, so that a hybrid search means the same over every engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeGuard, runtime_checkable

from rlmbox.models.base import Price
from rlmbox.types import Usage

Filters = Mapping[str, object]
"""What hits must have, by field: a value, a list of which any fits, or bounds such as `{"gte": 2020, "lt": 2024}`."""

BOUNDS = ("gt", "gte", "lt", "lte")
"""The bounds that a filter can have."""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage that was found.

    Attributes:
        id: The document that it is in, as `get` takes it.
        score: How well it fits; larger is better. Scores of different queries do not compare.
        title: A name for people.
        snippet: The part of the passage that fits best.
        start: Position of the passage's first character in the document.
        end: Position after its last.
        metadata: Further fields, as JSON values.
    """

    id: str
    score: float
    title: str
    snippet: str
    start: int
    end: int
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """A part of a document.

    Attributes:
        id: The document.
        title: A name for people.
        text: The part.
        start: Position of its first character in the document.
        length: Characters of the whole document.
    """

    id: str
    title: str
    text: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The contents of an index, in numbers.

    Attributes:
        documents: Number of documents.
        passages: Number of passages, which are what is ranked; None where that is not known.
        fields: Fields that filters may name, with the type of each: `text`, `number`, `boolean` or `date`.
        languages: Languages of the documents, as far as the index knows.
        date_range: The first and the last date, as ISO 8601; None where the index has none.
    """

    documents: int
    passages: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    date_range: tuple[str, str] | None = None


class Retriever(Protocol):
    """A search engine.

    What is wrong with an argument is a `ValueError`, a document that there is not a `KeyError`, and whatever else goes
    wrong a `RetrievalError`; the message reaches the code that called. Results are not to hold more than was asked for.
    """

    @property
    def name(self) -> str:
        """A name for messages, without a password."""

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Return the passages that fit some words best, the best first.

        Args:
            query: Words; no operator means anything.
            k: Most hits.
            filters: What hits must have; empty for anything.
        """

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Return a part of a document.

        Args:
            document_id: The document.
            start: Position of the first character, from 0; beyond the end, the part is empty.
            size: Most characters.
        """

    async def info(self) -> IndexInfo:
        """Return what there is in the index."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of some texts.

    Attributes:
        vectors: One for each text, in order.
        usage: What the provider says it used.
        counted: Whether `usage` is the provider's own count; False where it gave none.
    """

    vectors: Sequence[Sequence[float]]
    usage: Usage = Usage()
    counted: bool = True


class Embedder(Protocol):
    """A model that makes vectors of texts. It makes one attempt, as a `Model` does."""

    @property
    def name(self) -> str:
        """The full name, such as `openai:text-embedding-3-small`."""

    @property
    def price(self) -> Price | None:
        """The price; None where it is not known."""

    @property
    def is_local(self) -> bool:
        """True if no text leaves this machine."""

    @property
    def batch_size(self) -> int:
        """Most texts that one request may have."""

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Return the vectors of some texts.

        Args:
            texts: The texts.
            role: What they are; some models tell the two apart.
            timeout_s: Seconds after which the request is given up.

        Raises:
            ModelError: The provider refused or failed.
        """


@runtime_checkable
class VectorRetriever(Protocol):
    """A `Retriever` that can compare vectors."""

    @property
    def embedder(self) -> Embedder | None:
        """The model that its vectors were made by; None where it has no vectors."""

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Return the passages whose vectors are closest to one, the closest first.

        Args:
            embedding: The vector.
            k: Most hits.
            filters: What hits must have; empty for anything.
        """


def has_vectors(retriever: object) -> TypeGuard[VectorRetriever]:
    """Return True if a retriever can be searched by vectors.

    Args:
        retriever: The retriever.
    """
    return isinstance(retriever, VectorRetriever) and retriever.embedder is not None


@runtime_checkable
class ClosableRetriever(Protocol):
    """A `Retriever` that holds files or connections."""

    async def aclose(self) -> None:
        """Close them; a later call opens new ones."""


def check_filters(filters: Filters, fields: Mapping[str, str]) -> None:
    """Check that filters name fields that there are, and compare them with values that can be compared.

    Args:
        filters: The filters.
        fields: The fields that there are.

    Raises:
        ValueError: They do not; the message names what there is.
    """
    for name, wanted in filters.items():
        if name not in fields:
            there = ", ".join(fields) or "none"
            raise ValueError(f"there is no field {str(name)[:100]!r} to filter by; there are {there}")
        if isinstance(wanted, Mapping):
            unknown = [bound for bound in wanted if bound not in BOUNDS]
            if unknown or not wanted:
                raise ValueError(f"bounds of {name!r} are {', '.join(BOUNDS)}, such as {{'gte': 1}}, not {unknown}")
            values = list(wanted.values())
        else:
            values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        if len(values) > MAX_VALUES:
            raise ValueError(f"a filter has at most {MAX_VALUES} values, not {len(values)}")
        for value in values:
            if not isinstance(value, str | int | float | bool):
                raise ValueError(  # noqa: TRY004 - it is the value of an argument that is wrong
                    f"{name!r} is compared with a text, a number or True or False, not with {type(value).__name__}"
                )


MAX_VALUES = 1_000
"""Most values that one filter may have."""
