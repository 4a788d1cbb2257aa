"""One request until it is answered: its turn, its reservation, its attempts, and what each of them is charged.

Read `Attempts.answer` first, then `_attempt`. A slot and a reservation are held only while a request is under way;
between attempts both are given back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from rlmbox.budget.budget import MIN_OUTPUT_TOKENS, Budget
from rlmbox.budget.ledger import Account, Reservation
from rlmbox.budget.tokens import Conversations, least_tokens
from rlmbox.errors import ConfigError, ContextLimitExceeded, ModelError, RLMError
from rlmbox.events import AttemptFinished, AttemptStarted, CallRetried, InputTruncated
from rlmbox.models.base import Exchange, Model, current_exchange
from rlmbox.models.complaints import named_window_tokens
from rlmbox.requests.lengths import FIRST_SHARE, ReplyLengths
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import ModelState, model_state_of
from rlmbox.requests.window import fit
from rlmbox.types import Completion, Message, Usage

_MOST_CUTS = 3  # times that a request is cut further because the provider still finds it too long
_GRACE_S = 0.1
_NOTICEABLE_TOKENS = 400  # a shorter input may be counted in any way
_READ_SHARE = 0.3  # of the least that an input will have: a count below it means that the server left something out
_DOUBT_MARGIN = 1.1  # on what a prompt is likely to have been counted as
_BYTES_PER_TOKEN = 3  # by which a model estimates a reply that nobody counted

Outcome = Literal["settled", "uncertain", "released"]

Tell = Callable[..., None]
"""Called with the class of an event of a request, such as `CallRetried`, and its own fields by name."""


def tell_nobody(_event: object, **_fields: object) -> None:
    """Take an event and do nothing with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        model: The model to ask.
        messages: The conversation.
        account: Who asks.
        max_output_tokens: Longest reply wanted.
        timeout_s: Seconds from the first turn to the reply, waits and further attempts included; None for no limit.
        tell: Called with the class of each event on the way to the reply, and its fields.
        patient: Whether to wait for a provider that is left alone, rather than fail at once.
        as_usual: Whether to ask for a reply as long as the run's replies have been, rather than for the longest.
    """

    model: Model
    messages: Sequence[Message]
    account: Account
    max_output_tokens: int
    timeout_s: float | None
    tell: Tell
    patient: bool = True
    as_usual: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and what it took.

    Attributes:
        completion: The reply.
        cost_usd: Its cost in US dollars, with every attempt that was charged for.
        attempts: Requests that were sent.
        unread_tokens: Tokens of the input that the server left out without a word, by its own count; 0 for none.
        short_tokens: Where the reply was cut because it was asked for as long as replies have been: that length.
    """

    completion: Completion
    cost_usd: Decimal
    attempts: int
    unread_tokens: int = 0
    short_tokens: int | None = None


@dataclass(slots=True)
class _RequestState:
    """How far a request has come.

    Attributes:
        scope: Ends the whole request when its time is over.
        messages: What is sent, cut to the window.
        max_output_tokens: Longest reply asked for.
        likely_tokens: Tokens of the messages, estimated on the high side.
        ends_s: When its time is over, on the monotonic clock; set with the first turn.
        attempts: Requests that were sent.
        timeouts: Those of them that were taken for hung.
        cuts: Times that the provider found it too long.
        waited_s: Seconds spent waiting for a provider that is left alone.
        charged_usd: What its attempts are charged.
        gave_up: Why it is not sent again, to be appended to the error.
    """

    scope: anyio.CancelScope
    messages: tuple[Message, ...] = ()
    max_output_tokens: int = 0
    likely_tokens: int = 0
    ends_s: float = math.inf
    attempts: int = 0
    timeouts: int = 0
    cuts: int = 0
    waited_s: float = 0.0
    charged_usd: Decimal = field(default_factory=Decimal)
    gave_up: str = ""

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

    def begin(self, timeout_s: float | None) -> None:
        """Start the clock, with the first turn."""
        if timeout_s is not None and self.ends_s == math.inf:
            self.ends_s = time.monotonic() + timeout_s
            # A model that is given a timeout keeps it by itself; this is for one that does not.
            self.scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S


class _CircuitOpen(Exception):
    """The provider is left alone for so many seconds more."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


class Attempts:
    """The attempts of one run.

    Args:
        budget: The run's ledger.
        policy: When a request is sent again.
    """

    def __init__(self, budget: Budget, policy: RetryPolicy) -> None:
        self._budget = budget
        self._policy = policy
        self._truncate = budget.limits.truncate_input
        self._known: dict[int, tuple[Model, ModelState]] = {}
        self._conversations = Conversations()
        self._lengths = ReplyLengths()

    async def answer(self, request: Request) -> Answered:
        """Send a request until it is answered or there is no use in sending it again.

        Raises:
            ModelError: The provider failed.
            ContextLimitExceeded: The request is longer than the model's window and nothing is cut.
            LimitExceeded: The run's limits cannot pay for it.
        """
        shared = self._shared(request.model)
        with anyio.CancelScope() as scope:
            state = _RequestState(scope)
            self._fit(request, shared, state)
            rules = _Rules(self, self._policy, self._budget, request, shared, state)
            retrying = AsyncRetrying(
                retry=retry_if_exception(rules.should_send_again),
                wait=rules.wait_s,
                stop=rules.should_give_up,
                before_sleep=rules.tell_of_retry,
                retry_error_callback=rules.give_up,
                sleep=anyio.sleep,
            )
            answered: Answered = await retrying(self._attempt, request, shared, state)
            return answered
        raise _too_slow(request.model, request.timeout_s or 0.0, billed=state.charged_usd > 0)

    async def _attempt(self, request: Request, shared: ModelState, state: _RequestState) -> Answered:
        """Wait for a turn and for room in the budget, and send the request once."""
        expected = state.likely_tokens + min(state.max_output_tokens, MIN_OUTPUT_TOKENS)
        at_most = self._budget.limits.concurrency
        again = state.attempts + state.cuts > 0
        async with shared.rate_limiter.slot(self, at_most=at_most, tokens=expected, first=again):
            longest = self._longest(request, state)
            reservation = await self._budget.reserve(
                request.model,
                self._conversations.most(shared.tokens, request.model.name, state.messages),
                longest,
                account=request.account,
                window_tokens=shared.bound_tokens(request.model),
                likely_input_tokens=shared.tokens.calibrated(state.messages),
            )
            try:
                state.begin(request.timeout_s)
                open_s = shared.provider.circuit_breaker.wait_s()
                if open_s > 0:
                    raise _CircuitOpen(open_s)
                completion = await self._send(request, shared, state, reservation)
                shared.rate_limiter.correct(expected, completion.usage.total_tokens)
            finally:
                self._budget.release(reservation)
        if completion.stop_reason in ("content_filter", "refusal"):
            who = "the provider's content filter stopped the reply"
            who = who if completion.stop_reason == "content_filter" else "the model refused"
            raise ModelError(f"{request.model.name}: {who}{_quoted(completion.text)}; ask in other words")
        short = self._note_length(request, state, completion, reservation, longest)
        unread = self._unread(request, state, completion)
        return Answered(completion, state.charged_usd, state.attempts, unread, short)

    def _longest(self, request: Request, state: _RequestState) -> int:
        """Return the longest reply to ask for now: others may have come while the request waited for its turn."""
        if not request.as_usual:
            return state.max_output_tokens
        affordable = self._budget.affordable_output_tokens(request.model, FIRST_SHARE, account=request.account)
        key = (request.model.name, request.account.depth)
        return self._lengths.cap_tokens(key, state.max_output_tokens, affordable)

    def _note_length(
        self, request: Request, state: _RequestState, completion: Completion, reservation: Reservation, longest: int
    ) -> int | None:
        """Take note of how long a reply was; returns what it was asked for where that was too short."""
        key = (request.model.name, request.account.depth)
        if completion.stop_reason != "length":
            self._lengths.note(key, completion.usage.output_tokens)
            return None
        if longest >= state.max_output_tokens or reservation.max_output_tokens < longest:
            return None  # it is as long as was wanted, or as could be paid for
        self._lengths.note_cut(key, longest)
        return longest

    async def _send(
        self, request: Request, shared: ModelState, state: _RequestState, reservation: Reservation
    ) -> Completion:
        """Make one attempt, enter it in the ledger, and tell the provider's circuit breaker how it ended."""
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
        exchange = Exchange()
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
            # Cancelled halfway: the provider may have charged for it, where the request had left.
            broken = self._in_doubt(shared, state, reservation) if exchange.may_be_billed else None
            self._enter(request, state, reservation, broken, error)
            provider.circuit_breaker.forget()
            raise
        finally:
            current_exchange.reset(token)
        provider.circuit_breaker.succeed()
        provider.has_answered = True
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
        state: _RequestState,
        reservation: Reservation,
        exchange: Exchange,
    ) -> Completion:
        """Ask the model, and give it up where it takes longer than any reply should.

        Raises:
            ModelError: Also in place of whatever a user's own model raises, which is never taken for an answer.
        """
        left_s = state.left_s
        hung_s = shared.attempt_timeout_s(self._policy, state.timeouts)
        timeout_s = min(hung_s, left_s)
        asked = request.model.complete(
            state.messages, max_output_tokens=reservation.max_output_tokens, timeout_s=timeout_s
        )
        try:
            # The whole request's own time is kept by `answer`.
            with anyio.CancelScope() as scope:
                # A model that knows the bytes of its replies keeps the time itself, once it has a connection.
                if timeout_s != left_s and not shared.keeps_time:
                    scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S
                return _checked(request.model, await asked)
        except RLMError:
            state.timeouts += exchange.timed_out
            raise
        except Exception as error:
            text = f"{request.model.name}: the model raised {type(error).__name__}: {error}"
            raise ModelError(text, possibly_billed=True) from error
        state.timeouts += 1
        raise _too_slow(request.model, timeout_s, billed=exchange.may_be_billed)

    def _note_failure(self, shared: ModelState, error: ModelError) -> None:
        """Tell the circuit breaker and the rate limiter what went wrong."""
        if error.retryable and error.status != 429:
            shared.provider.circuit_breaker.fail(self._policy)
        else:
            shared.provider.circuit_breaker.succeed()
        if error.status == 429 and error.retry_after_s is not None:
            shared.rate_limiter.pause(min(error.retry_after_s, self._policy.max_retry_after_s))

    def _broken(
        self, shared: ModelState, state: _RequestState, reservation: Reservation, error: ModelError
    ) -> Usage | None:
        return self._in_doubt(shared, state, reservation) if error.possibly_billed else None

    def _in_doubt(self, shared: ModelState, state: _RequestState, reservation: Reservation) -> Usage:
        """Return the most that a request can have used whose end nobody knows.

        Of the reply that is its worst case. The prompt is known better, where the provider has counted others.
        """
        calibrated = shared.tokens.calibrated(state.messages, _DOUBT_MARGIN)
        worst = reservation.worst
        return worst if calibrated is None else replace(worst, input_tokens=min(worst.input_tokens, calibrated))

    def _uncounted(
        self, shared: ModelState, state: _RequestState, reservation: Reservation, completion: Completion
    ) -> Usage:
        """Return the most that a reply can have used that is here, and whose tokens the provider did not count."""
        doubt, said = self._in_doubt(shared, state, reservation), completion.usage
        if not completion.text.strip():
            return doubt  # whatever was made is not here to be measured
        most_output = max(len(completion.text.encode("utf-8", "replace")), _BYTES_PER_TOKEN * said.output_tokens)
        return replace(
            doubt,
            input_tokens=min(max(doubt.input_tokens, said.input_tokens), reservation.worst.input_tokens),
            output_tokens=min(most_output, doubt.output_tokens),
        )

    def _enter(
        self,
        request: Request,
        state: _RequestState,
        reservation: Reservation,
        usage: Usage | None,
        error: BaseException | None,
        *,
        certain: bool = False,
    ) -> None:
        """Enter in the ledger what an attempt came to, and tell of it; None where it came to nothing."""
        outcome: Outcome = "released"
        cost = Decimal(0)
        if usage is None:
            self._budget.release(reservation)
        elif certain:
            outcome, cost = "settled", self._budget.settle(reservation, usage)
        else:
            outcome, cost = "uncertain", self._budget.abandon(reservation, usage)
        state.charged_usd += cost
        request.tell(
            AttemptFinished,
            attempt=state.attempts,
            outcome=outcome,
            usage=usage or Usage(),
            cost_usd=cost,
            account_depth=request.account.depth,
            error=f"{type(error).__name__}: {error}" if error is not None else None,
        )

    def _learn(
        self, shared: ModelState, state: _RequestState, reservation: Reservation, completion: Completion
    ) -> None:
        """Learn from the provider's count how long the tokens of this model and of this conversation are."""
        counted = completion.usage.input_tokens
        if not completion.counted or counted < _READ_SHARE * least_tokens(state.messages):
            return
        shared.tokens.learn(state.messages, counted)
        self._conversations.learn(reservation.model.name, state.messages, counted)

    def _unread(self, request: Request, state: _RequestState, completion: Completion) -> int:
        """Return how many tokens of the input the server left out, and tell of it.

        Some servers cut what is longer than their window without a word; their count gives them away.
        """
        counted = completion.usage.input_tokens
        least = least_tokens(state.messages)
        if not completion.counted or least < _NOTICEABLE_TOKENS or counted >= _READ_SHARE * least:
            return 0
        request.tell(InputTruncated, before_tokens=state.likely_tokens, after_tokens=counted)
        return state.likely_tokens - counted

    def cut_further(
        self, request: Request, shared: ModelState, state: _RequestState, error: ContextLimitExceeded
    ) -> bool:
        """Cut a request that the provider found too long: to the window that is known or named, else to half.

        Returns:
            Whether it is shorter now, so that it is worth sending again.
        """
        state.cuts += 1
        if not self._truncate or state.cuts > _MOST_CUTS:
            return False
        named = error.window_tokens or named_window_tokens(str(error))
        narrower = named is not None and named < shared.window_tokens(request.model)
        if narrower:
            shared.learned_window_tokens = named
        elif named is not None and state.cuts > 1 and error.status in (413, 429):
            return False  # it fits what the account may use in a minute, and is refused all the same
        else:
            shared.refused_tokens = min(shared.refused_tokens or state.likely_tokens, state.likely_tokens)
        before, before_output = state.likely_tokens, state.max_output_tokens
        if narrower or state.cuts == 1:
            self._fit(request, shared, state)
        shorter_reply = narrower and state.max_output_tokens < before_output
        if state.likely_tokens >= before and not shorter_reply:
            output = max(state.max_output_tokens // 2, MIN_OUTPUT_TOKENS)
            self._cut(request, shared, state, before // 2)
            state.max_output_tokens = output
        return True

    def _fit(self, request: Request, shared: ModelState, state: _RequestState) -> None:
        """Make a request one that the model's window has room for.

        The reply is shortened first, down to a quarter of the window. The messages are cut where they are too long
        for sure, or where as many were refused before: a refusal costs nothing, and what is cut for nothing is lost.
        """
        window = shared.window_tokens(request.model)
        wanted = min(request.max_output_tokens, shared.output_cap_tokens(request.model) or request.max_output_tokens)
        state.messages = tuple(request.messages)
        state.likely_tokens = likely = shared.tokens.likely(state.messages)
        state.max_output_tokens = min(wanted, max(window - likely, window // 4, 1))
        room = window - state.max_output_tokens
        refused = shared.refused_tokens is not None and likely >= shared.refused_tokens
        if likely <= room or not (refused or least_tokens(state.messages) > room):
            return
        if not self._truncate:
            raise ContextLimitExceeded(
                f"{request.model.name}: the request has some {likely:,} tokens and its window {window:,}; "
                "send less text, or name a model with a larger window"
            )
        self._cut(request, shared, state, room)

    def _cut(self, request: Request, shared: ModelState, state: _RequestState, room: int) -> None:
        """Cut what is sent to `room` tokens, and tell of it."""
        before = state.likely_tokens
        state.messages = fit(state.messages, room, shared.tokens.likely_text)
        state.likely_tokens = shared.tokens.likely(state.messages)
        request.tell(InputTruncated, before_tokens=before, after_tokens=state.likely_tokens)

    def _shared(self, model: Model) -> ModelState:
        found = self._known.get(id(model))
        if found is None:
            found = self._known[id(model)] = (model, model_state_of(model))
        return found[1]


@dataclass(frozen=True, slots=True)
class _Rules:
    """When one request is sent again, after how long, and with what error it is given up; for tenacity."""

    attempts: Attempts
    policy: RetryPolicy
    budget: Budget
    request: Request
    shared: ModelState
    state: _RequestState

    def should_send_again(self, error: BaseException) -> bool:
        """Return True if sending the request once more may help."""
        if isinstance(error, ContextLimitExceeded):
            return self.attempts.cut_further(self.request, self.shared, self.state, error)
        return isinstance(error, _CircuitOpen) or (isinstance(error, ModelError) and error.retryable)

    def wait_s(self, call: RetryCallState) -> float:
        """Return the seconds before it is sent again."""
        error = _raised(call)
        if isinstance(error, _CircuitOpen):
            return error.wait_s
        if not isinstance(error, ModelError) or isinstance(error, ContextLimitExceeded):
            return 0.0
        asked_s = error.retry_after_s
        if asked_s is not None and self._outlasts and asked_s > self.policy.max_retry_after_s:
            return asked_s
        return self.policy.wait_s(self.state.attempts, asked_s)

    def should_give_up(self, call: RetryCallState) -> bool:
        """Return True if there is no attempt left, no time, or no retry of the provider's budget."""
        error, wait_s = _raised(call), call.upcoming_sleep
        if isinstance(error, ContextLimitExceeded):
            return False
        if wait_s >= self.state.left_s or (self._outlasts and time.monotonic() + wait_s >= self.budget.deadline_s):
            return True
        if isinstance(error, _CircuitOpen):
            self.state.waited_s += wait_s
            too_long = self.state.waited_s > self.policy.max_retry_after_s and not self._outlasts
            return too_long or not self.request.patient
        if self.state.attempts >= self.policy.attempts and not self._is_outage(error):
            return True
        if self.shared.provider.retry_budget.take(self.policy):
            return False
        share = f"{self.policy.extra_share:.0%}"
        self.state.gave_up = f"; not tried again, since {share} of the requests were retries"
        return True

    def tell_of_retry(self, call: RetryCallState) -> None:
        """Tell that the request is sent again."""
        error = _raised(call)
        if isinstance(error, ModelError) and not isinstance(error, ContextLimitExceeded):
            fields = {"attempt": self.state.attempts + 1, "wait_s": call.upcoming_sleep, "reason": str(error)}
            self.request.tell(CallRetried, **fields)

    def give_up(self, call: RetryCallState) -> Answered:
        """Raise what the request came to."""
        error, state = _raised(call), self.state
        if isinstance(error, _CircuitOpen):
            failures = self.shared.provider.circuit_breaker.failures
            raise ModelError(
                f"{self.request.model.name}: the provider failed {failures} times in a row and is "
                f"left alone; it is tried again in {error.wait_s:.0f} s",
                retryable=True,
                retry_after_s=error.wait_s,
            )
        if not isinstance(error, ModelError):
            raise error
        raise _after(error, state.attempts, state.gave_up) from None

    @property
    def _outlasts(self) -> bool:
        """True if the request outlasts an outage: a turn of the root, in a run that says how long it may take."""
        return self.request.account.depth == 0 and self.budget.limits.max_seconds is not None and self.request.patient

    def _is_outage(self, error: BaseException) -> bool:
        """Return True if the provider is away for a while, and asking again costs nothing."""
        if not self._outlasts or not isinstance(error, ModelError) or error.possibly_billed:
            return False
        # An address where nobody has ever answered is more likely wrong.
        return error.status is not None or self.shared.provider.has_answered


def _raised(call: RetryCallState) -> BaseException:
    error = call.outcome.exception() if call.outcome is not None else None
    assert error is not None  # noqa: S101 - the rules are only asked after an exception
    return error


def _checked(model: Model, completion: object) -> Completion:
    """Return a completion that is one: a user's own model returns anything."""
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


def _too_slow(model: Model, timeout_s: float, *, billed: bool) -> ModelError:
    return ModelError(
        f"{model.name}: no reply within {timeout_s:g} s; try again or allow a longer timeout",
        retryable=True,
        possibly_billed=billed,
    )


def _after(error: ModelError, attempts: int, why: str = "") -> ModelError:
    """Return the error with the number of attempts that were made."""
    if attempts == 1 and not why:
        return error
    tried = f" (after {attempts} attempts)" if attempts > 1 else ""
    return ModelError(
        f"{error}{tried}{why}",
        retryable=error.retryable,
        status=error.status,
        possibly_billed=error.possibly_billed,
        retry_after_s=error.retry_after_s,
    )


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f' ("{line[:200]}")' if line else ""
