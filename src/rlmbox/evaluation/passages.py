"""The arm that sends the best passages, found in the text by ranked search or in an index by words and vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.evaluation.one_request import Excerpt, OneRequestArm
from rlmbox.evaluation.outcomes import Estimate, Trial
from rlmbox.guard import Guard
from rlmbox.models.base import Model
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.base import ClosableRetriever, Retriever, SearchHit, VectorRetriever, has_vectors
from rlmbox.retrieval.embedding import EmbeddingCalls
from rlmbox.retrieval.fusion import depth_of, fused
from rlmbox.types import Usage

_PASSAGE_CHARS = 2_200  # upper bound, including the line with its place


class RetrievalArm(OneRequestArm):
    """The best passages for the question, and the question, in one request.

    Args:
        model: The model.
        name: Its name in the table.
        k: Number of passages to send.
        retriever: An index to search instead of the text: by words, and by vectors if it has them. It is closed with
            the arm. None ranks passages of the text by `Context.rank` (BM25).
        guard: Checks what leaves; None to hide secrets and personal data.
        retries: Retry policy for failed requests; None for the default.

    Raises:
        ConfigError: `k` is not a valid number.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str = "retrieval",
        k: Any = 10,
        retriever: Retriever | None = None,
        guard: Guard | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 100:
            raise ConfigError(f"k must be a whole number from 1 to 100, not {k!r}")
        super().__init__(name, model, guard, retries)
        self._k = k
        self._retriever = retriever
        self._vectors: VectorRetriever | None = retriever if has_vectors(retriever) else None
        self._embedder = self._vectors.embedder if self._vectors is not None else None
        self._by = "ctx.rank" if retriever is None else retriever.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers."""
        found = {
            "kind": "retrieval",
            "model": self._model.name,
            "k": self._k,
            "by": self._by,
            "guard": self._guard.settings(),
        }
        return found if self._embedder is None else {**found, "embedder": self._embedder.name}

    def estimate(self, trial: Trial) -> Estimate:
        """Estimate a trial.

        Args:
            trial: The trial.
        """
        chars = self._k * _PASSAGE_CHARS
        if self._retriever is None:
            chars = min(trial.context.length, chars)
        prepared = self._prepared(trial).excerpt
        if prepared is not None and prepared.text is not None:  # the same passages were sent before
            return self._estimated(prepared.tokens, prepared.size_bytes, trial)
        return self._with_vector(self._estimated(math.ceil(chars / 3), 3 * chars + 100 * self._k, trial), trial)

    def _with_vector(self, request: Estimate, trial: Trial) -> Estimate:
        """Add the embedding of the question to the estimate of a request."""
        if self._embedder is None:
            return request
        price, size_bytes = self._embedder.price, len(trial.question.question.encode("utf-8", "replace")) + 8
        cost_usd = price.cost_usd(Usage(size_bytes, 0, 0, 0, 1)) if price else Decimal(0)
        return replace(
            request,
            requests=request.requests + 1,
            cost_usd=request.cost_usd + cost_usd,
            most_usd=request.most_usd + cost_usd,
            least_usd=request.least_usd + cost_usd,
            price_known=request.price_known and price is not None,
        )

    async def _excerpt(self, trial: Trial, most_usd: Decimal | None) -> Excerpt:
        asked, cost_usd = trial.question.question, Decimal(0)
        try:
            if self._retriever is not None:
                found, cost_usd = await self._from_index(self._retriever, asked, most_usd)
            else:
                found = await to_thread.run_sync(ranked_passages, trial.context, asked, self._k)
        except (ValueError, RLMError) as error:
            return Excerpt(None, " ".join(str(error).split()))
        text = "\n\n".join(found) or "(no passage was found)"
        tokens = self._state.tokens.likely_text(text)
        return Excerpt(text, f"{len(found)} passages", tokens, len(text.encode("utf-8", "replace")), cost_usd)

    async def _from_index(
        self, retriever: Retriever, asked: str, most_usd: Decimal | None
    ) -> tuple[Sequence[str], Decimal]:
        """Return passages from an index, and the cost of embedding the question."""
        hits: Sequence[SearchHit]
        cost_usd, embedder = Decimal(0), self._embedder
        if embedder is not None and self._vectors is not None:
            deep = depth_of(self._k)
            sent = asked
            if not embedder.is_local:
                sent = self._run_guard(None).check(asked, path="question", model=embedder.name).text
            budget = Budget(Limits(cost_limit_usd=most_usd) if most_usd is not None else Limits())
            calls = EmbeddingCalls(embedder, budget, self._retries)
            [vector] = await calls.embed([sent], role="query", account=budget.root)
            cost_usd = budget.cost.total_usd
            by_words = await retriever.search(asked, k=deep, filters={})
            hits = fused([by_words, await self._vectors.vector(vector, k=deep, filters={})], self._k)
        else:
            hits = await retriever.search(asked, k=self._k, filters={})
        found = []
        for hit in hits[: self._k]:
            part = await retriever.get(hit.id, start=hit.start, size=hit.end - hit.start)
            found.append(f"[{hit.id}, characters {hit.start:,} to {hit.end:,}]\n{part.text}")
        return found, cost_usd

    async def aclose(self) -> None:
        """Close the connections of its model, and its index."""
        await super().aclose()
        retriever: object = self._retriever
        if isinstance(retriever, ClosableRetriever):
            await retriever.aclose()


def ranked_passages(context: Context, question: str, k: int) -> list[str]:
    """Return the passages with the most and rarest words of a question, best first, each below a line with its place.

    Args:
        context: The text.
        question: The question.
        k: Largest number of passages.

    Raises:
        ValueError: The question has no words, or the text cannot be indexed.
    """
    while True:
        try:
            ranked = context.rank(question, k)
        except ValueError as error:
            if "still being made" not in str(error):
                raise
            continue  # each call waits for up to a minute
        return [
            f"[{passage['document']}, characters {passage['start']:,} to {passage['end']:,}]\n"
            + context.slice(passage["start"], passage["end"])
            for passage in ranked
        ]
