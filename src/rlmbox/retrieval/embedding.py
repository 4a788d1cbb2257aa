"""Embedding within a budget: each request is reserved, sent, settled, and retried if that may help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

import anyio

from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.errors import ModelError
from rlmbox.events import AttemptStarted
from rlmbox.models.base import Price
from rlmbox.requests.charging import charge
from rlmbox.requests.request import Tell, tell_nobody
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.base import Embedder

TIMEOUT_S = 60.0
MAX_BATCH_BYTES = 200_000
"""Most bytes of the texts of one request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An embedder as a model without replies, for the ledger."""

    embedder: Embedder
    window_tokens: int = 1 << 40

    @property
    def name(self) -> str:
        """The embedder's name."""
        return self.embedder.name

    @property
    def price(self) -> Price | None:
        """The embedder's price."""
        return self.embedder.price

    async def complete(self, *_: object, **__: object) -> NoReturn:
        """Refuse: it has no replies."""
        raise ModelError(f"{self.name} makes vectors and no replies")


class EmbeddingCalls:
    """Requests for vectors.

    Args:
        embedder: Computes the vectors.
        budget: The ledger.
        retries: The retry policy; None for the default.
    """

    def __init__(self, embedder: Embedder, budget: Budget, retries: RetryPolicy | None = None) -> None:
        self._embedder, self._budget = embedder, budget
        self._retries = retries or RetryPolicy()
        self._model = Asked(embedder)
        budget.admit(self._model)

    async def embed(
        self,
        texts: Sequence[str],
        *,
        role: Literal["query", "passage"],
        account: Account,
        tell: Tell = tell_nobody,
    ) -> list[Sequence[float]]:
        """Compute the vectors of texts in one request.

        Args:
            texts: The texts; see `batches`.
            role: Their role.
            account: The account to charge.
            tell: Records the events of the request.

        Raises:
            LimitExceeded: The limits do not allow the request.
            ModelError: The provider failed.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(texts, role, account, tell, attempt)
            except ModelError as error:
                if not error.retryable or attempt >= self._retries.attempts:
                    raise
                await anyio.sleep(self._retries.wait_s(attempt, error.retry_after_s))

    async def _attempt(
        self,
        texts: Sequence[str],
        role: Literal["query", "passage"],
        account: Account,
        tell: Tell,
        attempt: int,
    ) -> list[Sequence[float]]:
        most_tokens = sum(len(text.encode("utf-8", "replace")) + 8 for text in texts)  # a token has at least one byte
        reservation = await self._budget.reserve(self._model, most_tokens, 0, account=account)
        tell(
            AttemptStarted,
            attempt=attempt,
            reserved_usd=reservation.worst_usd,
            reserved_tokens=reservation.worst.total_tokens,
        )
        try:
            made = await self._embedder.embed(texts, role=role, timeout_s=TIMEOUT_S)
            vectors = checked_vectors(self._embedder.name, made.vectors, len(texts))
        except BaseException as error:
            billed = not isinstance(error, ModelError) or error.possibly_billed
            charge(self._budget, reservation, reservation.worst if billed else None, tell, attempt, error=error)
            raise
        usage = replace(made.usage, requests=1)
        used = usage if made.counted else reservation.worst
        charge(self._budget, reservation, used, tell, attempt, certain=made.counted)
        self._budget.check(account)
        return vectors


def checked_vectors(name: str, vectors: Sequence[Sequence[float]], count: int) -> list[Sequence[float]]:
    """Check that an embedder returned one vector for each text, all of one length, and return them.

    Args:
        name: The embedder's name.
        vectors: The vectors.
        count: Number of texts.

    Raises:
        ModelError: It returned something else, for which it may have charged.
    """
    found = list(vectors)
    if len(found) != count or not all(len(each) == len(found[0]) > 0 for each in found):
        raise ModelError(f"{name}: gave {len(found)} vectors for {count} texts", possibly_billed=True)
    return found


def batches(texts: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Split texts into batches for one request each.

    Args:
        texts: The texts.
        most: Maximum number of texts in a batch.
    """
    begin, size_bytes = 0, 0
    for place, text in enumerate(texts):
        length = len(text.encode("utf-8", "replace"))
        if place > begin and (place - begin >= most or size_bytes + length > MAX_BATCH_BYTES):
            yield texts[begin:place]
            begin, size_bytes = place, 0
        size_bytes += length
    if begin < len(texts):
        yield texts[begin:]
