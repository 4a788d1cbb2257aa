"""The one way in which a run asks a model: the cache first, then the model, then the one that stands in for it.

How one request is sent until it is answered is in `attempts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.errors import ModelError
from rlmbox.events import ModelFellBack, ReplyContinued, ReplyFromCache
from rlmbox.models.base import Model
from rlmbox.requests.attempt import Answered, Attempts, Request, Tell, tell_nobody
from rlmbox.requests.cache import Question, ReplyCache
from rlmbox.requests.retries import RetryPolicy
from rlmbox.types import Completion, Message, Usage

MOST_PARTS = 3
"""Parts that a whole reply is asked for in at most."""

CUT = "[SYSTEM WARNING: Reply cut at its longest]"
"""What stands at the end of a reply that was still not whole after `MOST_PARTS`."""

_GO_ON = "You were cut off. Go on exactly where you stopped, without repeating anything and without an introduction."
_OUT_OF_CREDIT = (402, 429)


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A model's reply and how it came.

    Attributes:
        completion: The reply.
        cost_usd: What it cost in US dollars, with every attempt that was charged for.
        model_name: The model that answered, which is another than was asked where it fell back.
        attempts: Requests that were sent for it; 0 for one from the cache.
        from_cache: Whether it came from the cache.
    """

    completion: Completion
    cost_usd: Decimal
    model_name: str
    attempts: int = 1
    from_cache: bool = False


class Calls:
    """The requests of one run.

    Args:
        budget: The run's ledger.
        retries: When a request is sent again; by default four attempts.
        cache: Where replies are kept from run to run; None for nowhere.
        fallback: The model that is asked where another is not available; None for none.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        retries: RetryPolicy | None = None,
        cache: ReplyCache | None = None,
        fallback: Model | None = None,
    ) -> None:
        self._budget = budget
        self._cache = cache
        self._fallback = fallback
        self._attempts = Attempts(budget, retries or RetryPolicy())

    async def complete(
        self,
        model: Model,
        messages: Sequence[Message],
        *,
        account: Account,
        max_output_tokens: int | None = None,
        timeout_s: float | None = None,
        tell: Tell = tell_nobody,
        whole: bool = False,
        reuse: bool = True,
    ) -> ModelReply:
        """Asks a model.

        Args:
            model: The model to ask.
            messages: The conversation.
            account: Who asks.
            max_output_tokens: Longest reply, reasoning included; None for the run's.
            timeout_s: Seconds from the first turn to the reply, waits and further attempts included; waiting for the
                first turn and for the budget does not count. A fallback model gets as many of its own.
            tell: Is called with the class of each event on the way to the reply, and its fields.
            whole: Whether a reply that is cut at the run's longest is continued, up to `MOST_PARTS`, and marked where
                it is cut even then. One that is cut at `max_output_tokens` is as long as was asked for.
            reuse: Whether a reply from the cache will do, and this one may be kept there.

        Raises:
            BudgetExceeded: Not even a reply of `MIN_OUTPUT_TOKENS` can be paid for.
            TokenLimitExceeded: The same for tokens.
            ContextLimitExceeded: The request is longer than the model's window, and `truncate_input` is off.
            ModelError: The provider failed or refused.
        """
        wanted = min(max_output_tokens or self._budget.limits.max_output_tokens, self._budget.limits.max_output_tokens)
        request = Request(model, tuple(messages), account, wanted, timeout_s, tell)
        whole = whole and max_output_tokens is None
        if self._cache is None or not reuse:
            return await self._ask(request, whole=whole)
        question = Question.of(model, messages, wanted, whole=whole)
        kept = await self._cache.get(question)
        if kept is not None:
            tell(ReplyFromCache, saved_usd=kept.cost_usd)
            return ModelReply(kept.completion(model.name), Decimal(0), model.name, attempts=0, from_cache=True)
        reply = await self._ask(request, whole=whole)
        if reply.completion.stop_reason == "stop" and reply.model_name == model.name:
            await self._cache.put(question, reply.completion, reply.cost_usd)
        return reply

    async def _ask(self, request: Request, *, whole: bool) -> ModelReply:
        """Asks the model, and where it is not available the one that stands in for it."""
        fallback = self._fallback
        if fallback is None or fallback is request.model:
            return await self._parts(request, whole=whole)
        try:
            return await self._parts(replace(request, patient=False), whole=whole)
        except ModelError as error:
            if not _unavailable(error):
                raise
            request.tell(ModelFellBack, from_model=request.model.name, to_model=fallback.name, reason=str(error))
        return await self._parts(replace(request, model=fallback), whole=whole)

    async def _parts(self, request: Request, *, whole: bool) -> ModelReply:
        """Asks for a reply, in several parts where it is too long for one."""
        answered = [await self._attempts.answer(request)]
        while whole and _goes_on(answered) and len(answered) < MOST_PARTS:
            request.tell(ReplyContinued, part=len(answered) + 1)
            so_far = "".join(part.completion.text for part in answered)
            messages = (*request.messages[:], Message("assistant", so_far), Message("user", _GO_ON))
            answered.append(await self._attempts.answer(replace(request, messages=messages)))
        last = answered[-1].completion
        text = "".join(part.completion.text for part in answered)
        if whole and last.stop_reason == "length":
            text = f"{text}\n\n{CUT}"
        usage = sum((part.completion.usage for part in answered), Usage())
        return ModelReply(
            replace(last, text=text, usage=usage, counted=all(part.completion.counted for part in answered)),
            sum((part.cost_usd for part in answered), Decimal(0)),
            request.model.name,
            sum(part.attempts for part in answered),
        )


def _goes_on(answered: Sequence[Answered]) -> bool:
    """Whether a reply was cut and there is something to go on from: reasoning alone may have taken all its length."""
    last = answered[-1].completion
    return last.stop_reason == "length" and bool(last.text.strip())


def _unavailable(error: ModelError) -> bool:
    """Whether another model may do better: this one was not there or its credit is used up; it did not refuse."""
    return error.retryable or error.status in _OUT_OF_CREDIT
