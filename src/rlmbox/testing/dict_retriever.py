"""A retriever over a few texts in memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from rlmbox.models.base import Price
from rlmbox.models.prices import FREE
from rlmbox.retrieval.base import (
    DocumentPart,
    Embedder,
    Embeddings,
    Filters,
    IndexInfo,
    SearchHit,
    check_filters,
)
from rlmbox.types import Usage

_WORD = re.compile(r"\w+")
_SNIPPET_CHARS = 300
_DIMENSIONS = 64


class HashEmbedder:
    """An embedder by hashes of words: texts with the same words are close, all others are not.

    Attributes:
        requests: The texts of each request, in order.

    Args:
        name: Its name.
        price: Its price.
        is_local: Whether it declares that no text leaves this machine.
    """

    def __init__(self, *, name: str = "hash", price: Price | None = FREE, is_local: bool = True) -> None:
        self.name, self.price, self.is_local, self.batch_size = name, price, is_local, 16
        self.requests: list[tuple[str, ...]] = []

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Make vectors; see `Embedder`."""
        self.requests.append(tuple(texts))
        tokens = sum(len(_WORD.findall(text)) for text in texts)
        return Embeddings([_vector(text) for text in texts], Usage(tokens, 0, 0, 0, 1))


class DictRetriever:
    """A retriever over named texts, each a single passage; for tests.

    Args:
        texts: The texts by document id.
        metadata: More fields by document id, usable in filters.
        embedder: Creates the vectors; None for a retriever without vectors.
        name: Its name.
        error: Raised by every call, unless None.

    Attributes:
        calls: The name and first argument of each call, in order.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        metadata: Mapping[str, Mapping[str, object]] | None = None,
        embedder: Embedder | None = None,
        name: str = "memory",
        error: Exception | None = None,
    ) -> None:
        self.name, self.embedder, self.error = name, embedder, error
        self._texts, self._metadata = dict(texts), metadata or {}
        self.calls: list[tuple[str, object]] = []

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by words; see `Retriever`."""
        self._note("search", query)
        wanted = _words(query)
        scores = {name: sum((_words(text) & wanted).values()) for name, text in self._fitting(filters).items()}
        return self._best({name: float(score) for name, score in scores.items() if score}, k)

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by vectors; see `VectorRetriever`."""
        self._note("vector", len(embedding))
        assert self.embedder is not None, "a retriever without an embedder is not asked for vectors"  # noqa: S101
        fitting = self._fitting(filters)
        made = await self.embedder.embed(list(fitting.values()), role="passage", timeout_s=60.0)
        scores = {
            name: sum(a * b for a, b in zip(embedding, vector, strict=True))
            for name, vector in zip(fitting, made.vectors, strict=True)
        }
        return self._best(scores, k)

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Read; see `Retriever`."""
        self._note("get", document_id)
        text = self._texts[document_id]
        return DocumentPart(document_id, document_id, text[start : start + size], start, len(text))

    async def info(self) -> IndexInfo:
        """Describe; see `Retriever`."""
        self._note("info", None)
        fields = {name: _type(value) for entry in self._metadata.values() for name, value in entry.items()}
        return IndexInfo(len(self._texts), len(self._texts), fields, ("en",))

    def _note(self, call: str, argument: object) -> None:
        self.calls.append((call, argument))
        if self.error is not None:
            raise self.error

    def _fitting(self, filters: Filters) -> dict[str, str]:
        check_filters(filters, {name: "" for entry in self._metadata.values() for name in entry})
        return {
            name: text
            for name, text in self._texts.items()
            if all(_fits(self._metadata.get(name, {}).get(field), wanted) for field, wanted in filters.items())
        }

    def _best(self, scores: Mapping[str, float], k: int) -> list[SearchHit]:
        best = sorted(scores, key=lambda name: (-scores[name], name))[:k]
        return [
            SearchHit(
                name,
                scores[name],
                name,
                self._texts[name][:_SNIPPET_CHARS],
                0,
                len(self._texts[name]),
                dict(self._metadata.get(name, {})),
            )
            for name in best
        ]


def _fits(value: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        tests = {
            "gt": lambda a, b: a > b,
            "gte": lambda a, b: a >= b,
            "lt": lambda a, b: a < b,
            "lte": lambda a, b: a <= b,
        }
        return value is not None and all(tests[bound](value, limit) for bound, limit in wanted.items())
    return value in wanted if isinstance(wanted, list | tuple) else value == wanted


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def _words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in _WORD.findall(text))


def _vector(text: str) -> list[float]:
    found = [0.0] * _DIMENSIONS
    for word, count in _words(text).items():
        for place, letter in enumerate(word[:6]):
            found[(ord(letter) * 31 + place * 7) % _DIMENSIONS] += count
    length = sum(each * each for each in found) ** 0.5 or 1.0
    return [each / length for each in found]
