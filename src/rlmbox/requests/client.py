"""The client through which a run asks models: first the cache, then the model, then its fallback.

A request can be followed to the socket through four files: this one, `attempt` (its slot, its reservation and its
attempts), `models/providers` (one attempt) and `models/wire` (what is written, sent and read).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.budget.tokens import Conversation
from rlmbox.errors import ConfigError, LimitExceeded, ModelError
from rlmbox.events import CallRetried, ModelFellBack, ReplyContinued, ReplyFromCache
from rlmbox.models.base import Model, Tunable
from rlmbox.requests.attempt import Attempts
from rlmbox.requests.cache import CachedQuestion, ReplyCache
from rlmbox.requests.request import Answered, Request, Tell, tell_nobody
from rlmbox.requests.retries import RetryPolicy
from rlmbox.types import Completion, Message, Usage

MOST_PARTS = 3
"""Parts that a whole reply is asked for in at most."""

CUT = "[SYSTEM WARNING: Reply cut at its longest]"
"""Text at the end of a reply that was still not whole after `MOST_PARTS`."""

UNREAD = "[SYSTEM WARNING: the server read only a part of the input, some {read:,} of {sent:,} tokens]"
"""Text at the end of a reply whose server cut the input without a word."""

_WARNINGS = re.compile(r"(?:\s*\[SYSTEM WARNING: [^\]\n]*\])+\s*\Z")
_GO_ON = "You were cut off. Go on exactly where you stopped, without repeating anything and without an introduction."
_OUT_OF_CREDIT = (402, 429)

FallbackWhen = Callable[[Completion], bool]
"""A function that returns True for a reply for which another model should be asked."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A model's reply and its origin.

    Attributes:
        completion: The reply.
        cost_usd: Its cost in US dollars, including every attempt that was charged.
        model_name: The model that answered, which may be the fallback.
        attempts: Number of requests sent for it; 0 for one from the cache.
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
        retries: The retry policy; by default four attempts.
        cache: The cache of replies; None for none.
        fallback: The model to ask if another is not available; None for none.
        fallback_when: Called with each reply; if it returns True, the reply is not good enough and the fallback model
            is asked as well; None for never.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        retries: RetryPolicy | None = None,
        cache: ReplyCache | None = None,
        fallback: Model | None = None,
        fallback_when: FallbackWhen | None = None,
    ) -> None:
        self._budget = budget
        self._cache = cache
        self._fallback = fallback
        self._fallback_when = fallback_when
        self._attempts = Attempts(budget, retries or RetryPolicy())
        self._tuned: dict[tuple[int, float], tuple[Model, Model]] = {}

    async def complete(
        self,
        model: Model,
        messages: Sequence[Message],
        *,
        account: Account,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        timeout_s: float | None = None,
        tell: Tell = tell_nobody,
        whole: bool = False,
        reuse: bool = True,
        streams: bool = False,
    ) -> ModelReply:
        """Ask a model.

        Args:
            model: The model to ask.
            messages: The conversation.
            account: The account to charge.
            max_output_tokens: Maximum length of the reply, including reasoning; None for the run's.
            temperature: The sampling temperature; None for the model's default. The fallback model is not sent it if it
                does not support one.
            timeout_s: Seconds from the first slot to the reply, including waits and further attempts; waiting for the
                first slot and for the budget does not count. A fallback model gets as many again.
            tell: Called with the class of each event on the way to the reply, and its fields.
            whole: Whether the reply must be a complete answer. If so, one without text is an error, and one truncated
                at the run's maximum is continued, up to `MOST_PARTS`, and marked if it is still truncated. One
                truncated at `max_output_tokens` has the requested length.
            reuse: Whether a reply may come from the cache, and this one may be stored there.
            streams: Whether `tell` is called with each piece of the reply's text as it arrives, as `ReplyDelta`.

        Raises:
            BudgetExceeded: The budget does not allow even a reply of `MIN_OUTPUT_TOKENS`.
            TokenLimitExceeded: The same for tokens.
            ContextLimitExceeded: The request exceeds the model's window, and `truncate_input` is off.
            ConfigError: The model does not support a temperature.
            ModelError: The provider failed or refused, or its reply contains no answer.
        """
        model = self._at_temperature(model, temperature)
        longest = self._budget.limits.max_output_tokens
        most = min(max_output_tokens or longest, longest)
        request = Request(model, Conversation.of(messages), account, most, timeout_s, tell, streams=streams)
        may_go_on = whole and max_output_tokens is None
        if self._cache is None or not reuse:
            return await self._ask(request, temperature, whole=whole, may_go_on=may_go_on)
        question = CachedQuestion.of(model, messages, request.max_output_tokens, whole=may_go_on)
        kept = await self._cache.get(question)
        if kept is not None:
            tell(ReplyFromCache, saved_usd=kept.cost_usd)
            return ModelReply(kept.completion(model.name), Decimal(0), model.name, attempts=0, from_cache=True)
        reply = await self._ask(request, temperature, whole=whole, may_go_on=may_go_on)
        if _may_be_kept(reply, model):
            await self._cache.put(question, reply.completion, reply.cost_usd)
        return reply

    def _at_temperature(self, model: Model, temperature: float | None) -> Model:
        """Return the model at a temperature; the same object each time, since learned state is kept by identity."""
        if temperature is None:
            return model
        if not isinstance(model, Tunable):
            raise ConfigError(f"{model.name} takes no temperature; leave it out, or give the model with_temperature()")
        key = (id(model), temperature)
        if key not in self._tuned:
            self._tuned[key] = (model, model.with_temperature(temperature))
        return self._tuned[key][1]

    async def _ask(self, request: Request, temperature: float | None, *, whole: bool, may_go_on: bool) -> ModelReply:
        """Ask the model and, if it is unavailable or its reply not good enough, the fallback."""
        fallback = self._fallback
        if fallback is None or fallback is request.model:
            return _with_text(await self._parts(request, whole=whole, may_go_on=may_go_on), request, whole=whole)
        spent = Decimal(0)
        try:
            reply = await self._parts(replace(request, patient=False), whole=whole, may_go_on=may_go_on)
            spent, reason = reply.cost_usd, self._complaint(reply, request, whole=whole)
            if not reason:
                return reply
        except ModelError as error:
            if not _unavailable(error):
                raise
            reason = str(error)
        request.tell(ModelFellBack, from_model=request.model.name, to_model=fallback.name, reason=reason)
        if temperature is not None and isinstance(fallback, Tunable):
            fallback = self._at_temperature(fallback, temperature)
        request = replace(request, model=fallback)
        reply = _with_text(await self._parts(request, whole=whole, may_go_on=may_go_on), request, whole=whole)
        return replace(reply, cost_usd=reply.cost_usd + spent)

    def _complaint(self, reply: ModelReply, request: Request, *, whole: bool) -> str:
        """Return why a reply is not good enough; an empty text if it is."""
        if whole and not _is_answer(reply.completion):
            return _why_empty(reply.completion, request.max_output_tokens)
        return "fallback_when asked for another model" if self._wants_another(reply) else ""

    def _wants_another(self, reply: ModelReply) -> bool:
        """Return the verdict of `fallback_when`.

        Raises:
            ConfigError: The check raised an exception; it is a part of the program and not of the run.
        """
        if self._fallback_when is None:
            return False
        try:
            return bool(self._fallback_when(reply.completion))
        except Exception as error:
            raise ConfigError(f"fallback_when raised {type(error).__name__}: {error}") from error

    async def _parts(self, request: Request, *, whole: bool, may_go_on: bool) -> ModelReply:
        """Ask for a reply, continuing it if it is too long for one request."""
        first, spent, attempts = await self._first(request, may_go_on=may_go_on)
        answered = [first]
        while may_go_on and _goes_on(answered) and len(answered) < MOST_PARTS:
            request.tell(ReplyContinued, part=len(answered) + 1)
            so_far = "".join(part.completion.text for part in answered)
            messages = (*request.messages[:], Message("assistant", so_far), Message("user", _GO_ON))
            try:
                answered.append(await self._attempts.answer(replace(request, messages=messages)))
            except (LimitExceeded, ModelError):
                break  # what was paid for is returned as it is, marked as truncated
        last = answered[-1].completion
        text = "".join(part.completion.text for part in answered)
        if may_go_on and last.stop_reason == "length" and text.strip():
            text = f"{text}\n\n{CUT}"
        if whole and first.unread_tokens and text.strip():
            read = first.completion.usage.input_tokens
            text = f"{text}\n\n{UNREAD.format(read=read, sent=read + first.unread_tokens)}"
        usage = sum((part.completion.usage for part in answered), Usage())
        return ModelReply(
            replace(last, text=text, usage=usage, counted=all(part.completion.counted for part in answered)),
            sum((part.cost_usd for part in answered), spent),
            request.model.name,
            sum((part.attempts for part in answered), attempts),
        )

    async def _first(self, request: Request, *, may_go_on: bool) -> tuple[Answered, Decimal, int]:
        """Ask for the first part, with the usual length of replies, and again at full length if that was too short.

        Returns:
            The part, and the cost and the number of attempts of one that was too short.
        """
        answered = await self._attempts.answer(replace(request, as_usual=may_go_on))
        if answered.short_tokens is None:
            return answered, Decimal(0), 0
        reason = (
            f"the reply was cut at {answered.short_tokens:,} tokens and is asked for at up to "
            f"{request.max_output_tokens:,}"
        )
        request.tell(CallRetried, attempt=answered.attempts + 1, wait_s=0.0, reason=reason)
        return await self._attempts.answer(request), answered.cost_usd, answered.attempts


def without_warnings(text: str) -> tuple[str, str]:
    """Return a reply's own text, and the warnings appended to it, on one line.

    Args:
        text: The text of a reply from `Calls.complete`.
    """
    found = _WARNINGS.search(text)
    if found is None:
        return text, ""
    return text[: found.start()], "; ".join(re.findall(r"\[SYSTEM WARNING: ([^\]\n]*)\]", found[0]))


def _goes_on(answered: Sequence[Answered]) -> bool:
    """Return True if a reply was truncated and has text to continue; reasoning alone may have used up its length."""
    last = answered[-1].completion
    return last.stop_reason == "length" and bool(last.text.strip())


def _with_text(reply: ModelReply, request: Request, *, whole: bool) -> ModelReply:
    """Check that a reply has a text, if one is required.

    Raises:
        ModelError: It has none.
    """
    if whole and not _is_answer(reply.completion):
        raise ModelError(f"{request.model.name}: {_why_empty(reply.completion, request.max_output_tokens)}")
    return reply


def _is_answer(completion: Completion) -> bool:
    """Return True if a reply has text of its own; a tool call has none."""
    return bool(completion.text.strip()) and completion.stop_reason != "tool_calls"


def _why_empty(completion: Completion, longest_tokens: int) -> str:
    """Describe a reply without text, for an error."""
    if completion.stop_reason == "tool_calls":
        return "the reply is a call of a tool and no text; ask for an answer in words"
    if completion.stop_reason == "length":
        return (
            f"the reply has no text: its {longest_tokens:,} tokens went into reasoning; "
            "ask for something simpler, or allow a longer reply"
        )
    return "the reply is empty; ask again or in other words"


def _may_be_kept(reply: ModelReply, model: Model) -> bool:
    """Return True if a reply may be reused for the same question in a later run."""
    completion = reply.completion
    marked = completion.text.endswith(CUT) or "[SYSTEM WARNING: the server read only" in completion.text[-120:]
    whole = completion.stop_reason == "stop" and bool(completion.text.strip()) and not marked
    return whole and reply.model_name == model.name


def _unavailable(error: ModelError) -> bool:
    """Return True if another model may succeed: this one was unavailable or out of credit, rather than refusing."""
    return error.retryable or error.status in _OUT_OF_CREDIT
