"""The contract of a retriever: it passes what keeps it, and fails what does not."""

import dataclasses
from typing import Any

import pytest

from rlmbox.retrieval.base import SearchHit
from rlmbox.testing import DictRetriever, HashEmbedder, check_retriever
from rlmbox.testing.check_retriever import DOCUMENTS


@pytest.mark.parametrize("embedder", [None, HashEmbedder()])
async def test_the_fake_keeps_the_contract(embedder: HashEmbedder | None) -> None:
    async def made() -> DictRetriever:
        return DictRetriever(DOCUMENTS, embedder=embedder)

    await check_retriever(made)


class Unordered(DictRetriever):
    async def search(self, query: str, **options: Any) -> list[SearchHit]:
        return list(reversed(await super().search(query, **options)))


class Greedy(DictRetriever):
    async def search(self, query: str, *, k: int, **options: Any) -> list[SearchHit]:
        return list(await super().search(query, k=k + 1, **options))


class Misplaced(DictRetriever):
    async def search(self, query: str, **options: Any) -> list[SearchHit]:
        return [dataclasses.replace(hit, end=hit.end + 5) for hit in await super().search(query, **options)]


class Credulous(DictRetriever):
    async def search(self, query: str, **options: Any) -> list[SearchHit]:
        if "DROP" in query:
            self._texts.popitem()
        return list(await super().search(query, **options))


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Unordered, "first"), (Greedy, "asked for"), (Misplaced, "positions"), (Credulous, "changes anything")],
)
async def test_what_breaks_the_contract_is_named(kind: type[DictRetriever], words: str) -> None:
    async def made() -> DictRetriever:
        return kind(DOCUMENTS)

    with pytest.raises(AssertionError, match=words):
        await check_retriever(made)
