"""One request until it is answered: its slot, its reservation, its attempts, and the charge for each.

Read `Attempts.answer` first, then `_attempt`. A slot and a reservation are held only while a request is in flight;
between attempts both are released.
"""

from __future__ import annotations

import time
from dataclasses import replace

import anyio

from rlmbox.budget.budget import MIN_OUTPUT_TOKENS, Budget
from rlmbox.budget.ledger import Reservation
from rlmbox.budget.tokens import Conversation, Conversations, measure_ahead
from rlmbox.errors import ConfigError, ModelError, RLMError, is_interrupt
from rlmbox.events import AttemptStarted, ReplyDelta
from rlmbox.models.base import Exchange, Model, OnText, current_exchange
from rlmbox.requests.again import SendAgain
from rlmbox.requests.charging import charge
from rlmbox.requests.fitting import fit_request, unread_tokens, was_read
from rlmbox.requests.lengths import FIRST_SHARE, ReplyLengths
from rlmbox.requests.request import Answered, CircuitOpen, Request, RequestState
from rlmbox.requests.request import Tell as Tell
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import ModelState, model_state_of
from rlmbox.types import Completion, Usage

_GRACE_S = 0.1
_DOUBT_MARGIN = 1.1  # added to the likely token count of a prompt
_BYTES_PER_TOKEN = 3  # with which a model estimates the size of an uncounted reply


class Attempts:
    """The attempts of one run.

    Args:
        budget: The run's ledger.
        policy: The retry policy.
    """

    def __init__(self, budget: Budget, policy: RetryPolicy) -> None:
        self._budget = budget
        self._policy = policy
        self._known: dict[int, tuple[Model, ModelState]] = {}
        self._conversations = Conversations()
        self._lengths = ReplyLengths()
        self._counted_share: float | None = None  # the highest among the run's models

    async def answer(self, request: Request) -> Answered:
        """Send a request until it is answered or a retry is pointless.

        Raises:
            ModelError: The provider failed.
            ContextLimitExceeded: The request exceeds the model's window and may not be truncated.
            LimitExceeded: The run's limits cannot pay for it.
        """
        shared = self._shared(request.model)
        with anyio.CancelScope() as scope:
            state = RequestState(scope)
            await Conversation.of(request.messages).measure_ahead()
            fit_request(request, shared, state, truncate=self._budget.limits.truncate_input)
            rules = SendAgain(self._policy, self._budget, request, shared, state)
            while True:
                try:
                    return await self._attempt(request, shared, state)
                except (ModelError, CircuitOpen) as error:
                    if not rules.should_send_again(error):
                        raise
                    wait_s = rules.wait_s(error)
                await anyio.sleep(wait_s)
        raise _too_slow(request.model, request.timeout_s or 0.0, billed=state.charged_usd > 0)

    async def _attempt(self, request: Request, shared: ModelState, state: RequestState) -> Answered:
        """Wait for a slot and for room in the budget, and send the request once."""
        expected = state.likely_tokens + min(state.max_output_tokens, MIN_OUTPUT_TOKENS)
        at_most = self._budget.limits.concurrency
        again = state.attempts + state.cuts > 0
        async with shared.rate_limiter.slot(self, at_most=at_most, tokens=expected, first=again) as ticket:
            longest = self._longest(request, state)
            reservation = await self._budget.reserve(
                request.model,
                self._conversations.most(shared.tokens, request.model.name, state.messages),
                longest,
                account=request.account,
                window_tokens=shared.bound_tokens(request.model),
                likely_input_tokens=shared.tokens.calibrated(state.messages, others_share=self._counted_share),
            )
            try:
                state.begin(request.timeout_s)
                open_s = shared.provider.circuit_breaker.wait_s()
                if open_s > 0:
                    raise CircuitOpen(open_s)
                completion = await self._send(request, shared, state, reservation)
                shared.rate_limiter.correct(expected, completion.usage.total_tokens)
                if state.allowances is not None:
                    shared.rate_limiter.heed(ticket, state.allowances)
            finally:
                self._budget.release(reservation)
        if completion.stop_reason in ("content_filter", "refusal"):
            who = "the provider's content filter stopped the reply"
            who = who if completion.stop_reason == "content_filter" else "the model refused"
            raise ModelError(f"{request.model.name}: {who}{_quoted(completion.text)}; ask in other words")
        short = self._note_length(request, state, completion, reservation, longest)
        unread = unread_tokens(request, state, completion)
        return Answered(completion, state.charged_usd, state.attempts, unread, short)

    def _longest(self, request: Request, state: RequestState) -> int:
        """Return the reply length to request now: others may have been noted while the request waited for its slot."""
        if not request.as_usual:
            return state.max_output_tokens
        affordable = self._budget.affordable_output_tokens(request.model, FIRST_SHARE, account=request.account)
        key = (request.model.name, request.account.depth)
        return self._lengths.cap_tokens(key, state.max_output_tokens, affordable)

    def _note_length(
        self, request: Request, state: RequestState, completion: Completion, reservation: Reservation, longest: int
    ) -> int | None:
        """Record the length of a reply; return the requested length if that was too short."""
        key = (request.model.name, request.account.depth)
        if completion.stop_reason != "length":
            self._lengths.note(key, completion.usage.output_tokens)
            return None
        if longest >= state.max_output_tokens or reservation.max_output_tokens < longest:
            return None  # it is as long as wanted, or as the budget allows
        self._lengths.note_cut(key, longest)
        return longest

    async def _send(
        self, request: Request, shared: ModelState, state: RequestState, reservation: Reservation
    ) -> Completion:
        """Make one attempt, charge it, and report its outcome to the provider's circuit breaker."""
        provider, began_s = shared.provider, time.monotonic()
        state.attempts += 1
        provider.retry_budget.note_request(self._policy)
        request.tell(
            AttemptStarted,
            attempt=state.attempts,
            reserved_usd=reservation.worst_usd,
            reserved_tokens=reservation.worst.total_tokens,
            max_output_tokens=reservation.max_output_tokens,
            sent=None if state.messages == tuple(request.messages) else state.messages,
        )
        exchange = Exchange(_reader(request, state) if request.streams else None)
        token = current_exchange.set(exchange)
        try:
            completion = await self._ask(request, shared, state, reservation, exchange)
        except ConfigError as error:
            provider.circuit_breaker.forget()
            self._enter(request, state, reservation, None, error)
            raise
        except ModelError as error:
            self._note_failure(shared, error)
            self._enter(request, state, reservation, self._broken(shared, state, reservation, error), error)
            raise
        except BaseException as error:
            # Cancelled: the provider may charge for it if the request had been sent.
            broken = self._in_doubt(shared, state, reservation) if exchange.may_be_billed else None
            self._enter(request, state, reservation, broken, error)
            provider.circuit_breaker.forget()
            raise
        finally:
            current_exchange.reset(token)
        provider.circuit_breaker.succeed()
        provider.has_answered = True
        state.allowances = exchange.allowances
        shared.note_duration(time.monotonic() - began_s)
        self._learn(shared, state, reservation, completion)
        usage, certain = completion.usage, completion.counted
        if not certain:
            usage = self._uncounted(shared, state, reservation, completion)
        self._enter(request, state, reservation, usage, None, certain=certain)
        return completion

    async def _ask(
        self,
        request: Request,
        shared: ModelState,
        state: RequestState,
        reservation: Reservation,
        exchange: Exchange,
    ) -> Completion:
        """Ask the model, and abort an attempt that hangs.

        Raises:
            ModelError: The attempt failed; replaces whatever a user's own model raises, so that it is never an answer.
        """
        left_s = state.left_s
        hung_s = shared.attempt_timeout_s(self._policy, state.timeouts)
        timeout_s = min(hung_s, left_s)
        try:
            # The deadline of the whole request is enforced by `answer`.
            with anyio.CancelScope() as scope:
                # A model that sees the bytes of its replies enforces this itself, once it is connected.
                if timeout_s != left_s and not shared.keeps_time:
                    scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S
                asked = request.model.complete(
                    state.messages, max_output_tokens=reservation.max_output_tokens, timeout_s=timeout_s
                )
                completion = _checked(request.model, await asked)
                with anyio.CancelScope(shield=True):  # a reply that is there is kept
                    await measure_ahead(completion.text)
                return completion
        except RLMError:
            state.timeouts += exchange.timed_out
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise _raised(request.model, error) from error
        state.timeouts += 1
        raise _too_slow(request.model, timeout_s, billed=exchange.may_be_billed)

    def _note_failure(self, shared: ModelState, error: ModelError) -> None:
        """Report a failure to the circuit breaker and the rate limiter."""
        if error.retryable and error.status != 429:
            shared.provider.circuit_breaker.fail(self._policy)
        else:
            shared.provider.circuit_breaker.succeed()
        if error.status == 429 and error.retry_after_s is not None:
            shared.rate_limiter.pause(min(error.retry_after_s, self._policy.max_retry_after_s))

    def _broken(
        self, shared: ModelState, state: RequestState, reservation: Reservation, error: ModelError
    ) -> Usage | None:
        return self._in_doubt(shared, state, reservation) if error.possibly_billed else None

    def _in_doubt(self, shared: ModelState, state: RequestState, reservation: Reservation) -> Usage:
        """Return an upper bound of a request's usage when its outcome is unknown.

        For the reply that is the worst case. The prompt can be bounded more closely if the provider has counted others.
        """
        calibrated = shared.tokens.calibrated(state.messages, _DOUBT_MARGIN)
        worst = reservation.worst
        return worst if calibrated is None else replace(worst, input_tokens=min(worst.input_tokens, calibrated))

    def _uncounted(
        self, shared: ModelState, state: RequestState, reservation: Reservation, completion: Completion
    ) -> Usage:
        """Return an upper bound of the usage of a received reply whose tokens the provider did not count."""
        doubt, said = self._in_doubt(shared, state, reservation), completion.usage
        if not completion.text.strip() or completion.stop_reason == "tool_calls":
            return doubt  # the generated text is not known
        size_bytes = len(completion.text.encode("utf-8", "replace"))
        most_output = shared.tokens.reply_tokens(
            completion.text, max(_BYTES_PER_TOKEN * said.output_tokens - size_bytes, 0)
        )
        return replace(
            doubt,
            input_tokens=min(max(doubt.input_tokens, said.input_tokens), reservation.worst.input_tokens),
            output_tokens=min(most_output, doubt.output_tokens),
        )

    def _enter(
        self,
        request: Request,
        state: RequestState,
        reservation: Reservation,
        usage: Usage | None,
        error: BaseException | None,
        *,
        certain: bool = False,
    ) -> None:
        """Charge an attempt in the ledger and record it; None if it used nothing."""
        state.charged_usd += charge(
            self._budget, reservation, usage, request.tell, state.attempts, certain=certain, error=error
        )

    def _learn(self, shared: ModelState, state: RequestState, reservation: Reservation, completion: Completion) -> None:
        """Update the token estimates of this model and of this conversation from the provider's count."""
        counted = completion.usage.input_tokens
        if not completion.counted or not was_read(state, counted):
            return
        shared.tokens.learn(state.messages, counted)
        share = shared.tokens.counted_share
        if share is not None:
            self._counted_share = max(self._counted_share or 0.0, share)
        shared.tokens.learn_reply(completion.text, completion.usage.output_tokens)
        self._conversations.learn(reservation.model.name, state.messages, counted)

    def _shared(self, model: Model) -> ModelState:
        found = self._known.get(id(model))
        if found is None:
            found = self._known[id(model)] = (model, model_state_of(model))
        return found[1]


def _reader(request: Request, state: RequestState) -> OnText:
    """Return a function that reports each piece of a reply's text."""
    attempt = state.attempts

    def read(text: str, *, is_reasoning: bool) -> None:
        request.tell(ReplyDelta, attempt=attempt, text=text, is_reasoning=is_reasoning)

    return read


def _checked(model: Model, completion: object) -> Completion:
    """Check that a user's own model returned a completion."""
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise ModelError(
            f"{model.name}: complete() returned {type(completion).__name__}, not a Completion with a text",
            possibly_billed=True,
        )
    usage = completion.usage
    if min(usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) < 0:
        usage = Usage(max(usage.input_tokens, 0), 0, max(usage.output_tokens, 0), 0, 1)
        return replace(completion, usage=usage, counted=False)
    return completion


def _raised(model: Model, error: BaseException) -> ModelError:
    """Return the error of an attempt in which a user's own model raised another."""
    try:
        words = str(error)
    except Exception as failed:  # noqa: BLE001 - the exception's class is the user's
        words = f"its message cannot be read: {type(failed).__name__}"
    return ModelError(f"{model.name}: the model raised {type(error).__name__}: {words}", possibly_billed=True)


def _too_slow(model: Model, timeout_s: float, *, billed: bool) -> ModelError:
    return ModelError(
        f"{model.name}: no reply within {timeout_s:g} s; try again or allow a longer timeout",
        retryable=True,
        possibly_billed=billed,
    )


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f' ("{line[:200]}")' if line else ""
