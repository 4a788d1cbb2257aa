"""The protocol between the loop and a search engine.

A retriever has three methods, `search`, `get` and `info`. One that can also compare vectors has a fourth, `vector`, and
names the embedder of its vectors. The loop embeds the question, so that its cost is in the ledger, and fuses both
rankings, so that a hybrid search means the same with every engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeGuard, runtime_checkable

from rlmbox.models.base import Price
from rlmbox.types import Usage

Filters = Mapping[str, object]
"""Conditions on hits, by field: a value, a list of alternatives, or bounds such as `{"gte": 2020, "lt": 2024}`."""

BOUNDS = ("gt", "gte", "lt", "lte")
"""The bounds that a filter can have."""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage found by a search.

    Attributes:
        id: The document that contains it, as accepted by `get`.
        score: The relevance; larger is better. Scores of different queries are not comparable.
        title: A human-readable name.
        snippet: The most relevant part of the passage.
        start: Position of the passage's first character in the document.
        end: Position after its last character.
        metadata: Additional fields, as JSON values.
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
        title: A human-readable name.
        text: The part.
        start: Position of its first character in the document.
        length: Length of the whole document in characters.
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
        passages: Number of passages, the units that are ranked, or None if unknown.
        fields: Fields that can be used in filters, with the type of each: `text`, `number`, `boolean` or `date`.
        languages: Languages of the documents, as far as the index knows.
        date_range: The first and the last date, as ISO 8601, or None.
    """

    documents: int
    passages: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    date_range: tuple[str, str] | None = None


class Retriever(Protocol):
    """A search engine.

    An invalid argument raises `ValueError`, a missing document `KeyError`, and any other failure `RetrievalError`; the
    message is passed to the calling code. Results must not contain more than was asked for.
    """

    @property
    def name(self) -> str:
        """A name for messages, without a password."""

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Return the passages that are most relevant to a query, best first.

        Args:
            query: Words; operators have no meaning.
            k: Maximum number of hits.
            filters: Conditions on hits; empty for none.
        """

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Return a part of a document.

        Args:
            document_id: The document.
            start: Position of the first character, from 0; beyond the end, the part is empty.
            size: Maximum number of characters.
        """

    async def info(self) -> IndexInfo:
        """Return a description of the index."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of some texts.

    Attributes:
        vectors: One for each text, in order.
        usage: The usage that the provider reports.
        counted: True if the provider reported `usage`.
    """

    vectors: Sequence[Sequence[float]]
    usage: Usage = Usage()
    counted: bool = True


class Embedder(Protocol):
    """A model that computes vectors of texts. Like a `Model`, it makes a single attempt."""

    @property
    def name(self) -> str:
        """The full name, such as `openai:text-embedding-3-small`."""

    @property
    def price(self) -> Price | None:
        """The price, or None if unknown."""

    @property
    def is_local(self) -> bool:
        """True if no text leaves this machine."""

    @property
    def batch_size(self) -> int:
        """Maximum number of texts in one request."""

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Return the vectors of some texts.

        Args:
            texts: The texts.
            role: Their role; some models embed queries and passages differently.
            timeout_s: Timeout of the request in seconds.

        Raises:
            ModelError: The provider refused or failed.
        """


@runtime_checkable
class VectorRetriever(Protocol):
    """A `Retriever` that can compare vectors."""

    @property
    def embedder(self) -> Embedder | None:
        """The embedder of its vectors, or None if it has no vectors."""

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Return the passages whose vectors are closest to a given one, closest first.

        Args:
            embedding: The vector.
            k: Maximum number of hits.
            filters: Conditions on hits; empty for none.
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
    """Check that filters use existing fields and comparable values.

    Args:
        filters: The filters.
        fields: The existing fields.

    Raises:
        ValueError: A filter is invalid; the message names what is allowed.
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
                raise ValueError(  # noqa: TRY004 - the value of an argument is wrong
                    f"{name!r} is compared with a text, a number or True or False, not with {type(value).__name__}"
                )


MAX_VALUES = 1_000
"""Maximum number of values in a filter."""
