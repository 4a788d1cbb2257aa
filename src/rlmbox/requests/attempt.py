"""One request until it is answered: its turn, its reservation, its attempts, and what each of them is charged.

Read `Attempts.answer` first. A slot and a reservation are held only while a request is under way; between attempts
both are given back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import anyio

from rlmbox.budget.budget import MIN_OUTPUT_TOKENS, Budget
from rlmbox.budget.ledger import Account, Reservation
from rlmbox.budget.tokens import Conversations, least_tokens
from rlmbox.errors import ConfigError, ContextLimitExceeded, ModelError
from rlmbox.events import AttemptFinished, AttemptStarted, CallRetried, InputTruncated
from rlmbox.models.base import Model
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import RequestState, request_state_of
from rlmbox.requests.window import fit, named_window_tokens
from rlmbox.types import Completion, Message, Usage

_MOST_CUTS = 3  # times that a request is cut further because the provider still finds it too long
_GRACE_S = 0.1

Outcome = Literal["settled", "uncertain", "released"]


Tell = Callable[..., None]
"""Called with the class of an event of a request, such as `CallRetried`, and its own fields by name."""


def tell_nobody(_event: object, **_fields: object) -> None:
    """Take an event and do nothing with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        model: The model to ask.
        messages: The conversation.
        account: Who asks.
        max_output_tokens: Longest reply wanted.
        timeout_s: Seconds from the first turn to the reply, waits and further attempts included; None for no limit.
        tell: Is called with the class of each event on the way to the reply, and its fields.
        patient: Whether to wait for a provider that is left alone, rather than fail at once.
    """

    model: Model
    messages: Sequence[Message]
    account: Account
    max_output_tokens: int
    timeout_s: float | None
    tell: Tell
    patient: bool = True


@dataclass(slots=True)
class _Way:
    """How far a request has come.

    Attributes:
        messages: What is sent, cut to the window.
        max_output_tokens: Longest reply asked for.
        likely_tokens: Tokens of the messages, estimated on the high side.
        ends_s: When its time is over, on the monotonic clock; set with the first turn.
        attempts: Requests that were sent.
        cuts: Times that the provider found it too long.
        waited_s: Seconds spent waiting for a provider that is left alone.
        charged_usd: What its failed attempts are charged.
    """

    scope: anyio.CancelScope
    messages: tuple[Message, ...] = ()
    max_output_tokens: int = 0
    likely_tokens: int = 0
    ends_s: float = math.inf
    attempts: int = 0
    cuts: int = 0
    waited_s: float = 0.0
    charged_usd: Decimal = field(default_factory=Decimal)

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

    def begin(self, timeout_s: float | None) -> None:
        """Starts the clock, with the first turn."""
        if timeout_s is not None and self.ends_s == math.inf:
            self.ends_s = time.monotonic() + timeout_s
            # A model that is given a timeout keeps it by itself; this is for one that does not.
            self.scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and what it took.

    Attributes:
        completion: The reply.
        cost_usd: Its cost in US dollars, with every attempt that was charged for.
        attempts: Requests that were sent.
    """

    completion: Completion
    cost_usd: Decimal
    attempts: int


class _CircuitOpen(Exception):
    """The provider's breaker is open for so many seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


class Attempts:
    """Makes the requests of one run.

    Args:
        budget: The run's ledger.
        policy: When a request is sent again.
    """

    def __init__(self, budget: Budget, policy: RetryPolicy) -> None:
        self._budget = budget
        self._policy = policy
        self._truncate = budget.limits.truncate_input
        self._known: dict[int, tuple[Model, RequestState]] = {}
        self._conversations = Conversations()

    async def answer(self, request: Request) -> Answered:
        """Sends a request until it is answered or there is no use in sending it again.

        Raises:
            ModelError: The provider failed.
            ContextLimitExceeded: The request is longer than the model's window and nothing is cut.
            LimitExceeded: The run's limits cannot pay for it.
        """
        shared = self._shared(request.model)
        with anyio.CancelScope() as scope:
            way = _Way(scope)
            self._fit(request, shared, way)
            while True:
                try:
                    return await self._turn(request, shared, way)
                except _CircuitOpen as closed:
                    wait_s = self._wait_for_provider(request, shared, way, closed.wait_s)
                except ContextLimitExceeded as error:
                    wait_s = self._cut_further(request, shared, way, error)
                except ModelError as error:
                    wait_s = self._wait_to_retry(request, shared, way, error)
                await anyio.sleep(wait_s)
        raise _too_slow(request.model, request.timeout_s or 0.0, billed=way.charged_usd > 0)

    async def _turn(self, request: Request, shared: RequestState, way: _Way) -> Answered:
        """Waits for a turn and for room in the budget, and makes one attempt."""
        expected = way.likely_tokens + min(way.max_output_tokens, MIN_OUTPUT_TOKENS)
        at_most = self._budget.limits.concurrency
        async with shared.gate.slot(self, at_most=at_most, tokens=expected, first=way.attempts + way.cuts > 0):
            most = self._conversations.most(shared.tokens, request.model.name, way.messages)
            reservation = await self._budget.reserve(
                request.model, most, way.max_output_tokens, account=request.account
            )
            try:
                way.begin(request.timeout_s)
                closed_s = shared.provider.breaker.wait_s()
                if closed_s > 0:
                    raise _CircuitOpen(closed_s)
                completion = await self._send(request, shared, way, reservation)
                shared.gate.correct(expected, completion.usage.total_tokens)
            finally:
                self._budget.release(reservation)
        if completion.stop_reason == "content_filter":
            raise ModelError(
                f"{request.model.name}: the provider's content filter stopped the reply"
                f"{_quoted(completion.text)}; ask in other words"
            )
        return Answered(completion, way.charged_usd, way.attempts)

    async def _send(self, request: Request, shared: RequestState, way: _Way, reservation: Reservation) -> Completion:
        """Make one attempt, enter it in the ledger, and tell the provider's circuit breaker how it ended."""
        provider, began_s = shared.provider, time.monotonic()
        way.attempts += 1
        provider.allowance.note_request(self._policy)
        request.tell(
            AttemptStarted,
            attempt=way.attempts,
            reserved_usd=reservation.worst_usd,
            reserved_tokens=reservation.worst.total_tokens,
            max_output_tokens=reservation.max_output_tokens,
            sent=None if way.messages == tuple(request.messages) else way.messages,
        )
        try:
            completion = await self._ask(request, way, reservation, shared.attempt_timeout_s(self._policy))
        except ConfigError as error:
            provider.breaker.forget()
            self._enter(request, way, reservation, "released", error=error)
            raise
        except ModelError as error:
            self._enter(request, way, reservation, "uncertain" if error.possibly_billed else "released", error=error)
            if error.retryable and error.status != 429:
                provider.breaker.fail(self._policy)
            else:
                provider.breaker.succeed()
            if error.status == 429 and error.retry_after_s is not None:
                shared.gate.pause(min(error.retry_after_s, self._policy.max_retry_after_s))
            raise
        except BaseException as error:
            # Cancelled or broken halfway: the provider may have charged for it.
            self._enter(request, way, reservation, "uncertain", error=error)
            provider.breaker.forget()
            raise
        provider.breaker.succeed()
        shared.note_duration(time.monotonic() - began_s)
        self._learn(shared, way, reservation, completion)
        # What the provider did not count stays charged at its worst case.
        outcome: Outcome = "settled" if completion.counted else "uncertain"
        self._enter(request, way, reservation, outcome, usage=completion.usage)
        return completion

    def _enter(
        self,
        request: Request,
        way: _Way,
        reservation: Reservation,
        outcome: Outcome,
        *,
        usage: Usage | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Enter in the ledger what an attempt came to, and tell of it."""
        charged, cost = Usage(), Decimal(0)
        if outcome == "settled" and usage is not None:
            charged, cost = usage, self._budget.settle(reservation, usage)
        elif outcome == "uncertain":
            self._budget.abandon(reservation)
            charged, cost = reservation.worst, reservation.worst_usd
        else:
            self._budget.release(reservation)
        way.charged_usd += cost
        request.tell(
            AttemptFinished,
            attempt=way.attempts,
            outcome=outcome,
            usage=charged,
            cost_usd=cost,
            account_depth=request.account.depth,
            error=f"{type(error).__name__}: {error}" if error is not None else None,
        )

    async def _ask(self, request: Request, way: _Way, reservation: Reservation, hung_s: float | None) -> Completion:
        """Asks the model, and gives it up where it takes longer than any reply should."""
        left_s = way.left_s
        timeout_s = min(hung_s or math.inf, left_s)
        asked = request.model.complete(
            way.messages,
            max_output_tokens=reservation.max_output_tokens,
            timeout_s=None if timeout_s == math.inf else timeout_s,
        )
        if timeout_s == left_s:  # the whole request's own time is kept by `answer`
            return await asked
        with anyio.move_on_after(timeout_s * 1.05 + _GRACE_S):
            return await asked
        raise _too_slow(request.model, timeout_s, billed=True)

    def _learn(self, shared: RequestState, way: _Way, reservation: Reservation, completion: Completion) -> None:
        """Learn from the provider's count how long the tokens of this model and of this conversation are."""
        if not completion.counted:
            return
        counted = completion.usage.input_tokens
        if counted > way.likely_tokens:
            shared.tokens.learn(way.messages, counted)
        self._conversations.learn(reservation.model.name, way.messages, counted)

    def _wait_to_retry(self, request: Request, shared: RequestState, way: _Way, error: ModelError) -> float:
        """Gives the wait before the next attempt; raises what it came to where there is none."""
        if not error.retryable:
            raise error
        wait_s = self._policy.wait_s(way.attempts, error.retry_after_s)
        if way.attempts >= self._policy.attempts or wait_s >= way.left_s:
            raise _after(error, way.attempts)
        if not shared.provider.allowance.take(self._policy):
            share = self._policy.extra_share
            raise _after(error, way.attempts, f"; not tried again, since {share:.0%} of the requests were retries")
        request.tell(CallRetried, attempt=way.attempts + 1, wait_s=wait_s, reason=str(error))
        return wait_s

    def _wait_for_provider(self, request: Request, shared: RequestState, way: _Way, wait_s: float) -> float:
        """Gives the wait for a provider that is left alone; raises where that is longer than there is time."""
        way.waited_s += wait_s
        too_long = way.waited_s > self._policy.max_retry_after_s or wait_s >= way.left_s
        if too_long or not request.patient:
            raise ModelError(
                f"{request.model.name}: the provider failed {shared.provider.breaker.failures} times in a row and is "
                f"left alone; it is tried again in {wait_s:.0f} s",
                retryable=True,
                retry_after_s=wait_s,
            )
        return wait_s

    def _cut_further(self, request: Request, shared: RequestState, way: _Way, error: ContextLimitExceeded) -> float:
        """Cuts a request that the provider found too long: to the window that is known or named, else to half."""
        way.cuts += 1
        if not self._truncate or way.cuts > _MOST_CUTS:
            raise error
        named = named_window_tokens(str(error))
        narrower = named is not None and named < (shared.window_tokens or request.model.window_tokens)
        if narrower:
            shared.window_tokens = named
        else:
            shared.refused_tokens = min(shared.refused_tokens or way.likely_tokens, way.likely_tokens)
        before = way.likely_tokens
        if narrower or way.cuts == 1:
            self._fit(request, shared, way)
        if way.likely_tokens >= before:
            output = max(way.max_output_tokens // 2, MIN_OUTPUT_TOKENS)
            self._cut(request, shared, way, before // 2)
            way.max_output_tokens = output
        return 0.0

    def _fit(self, request: Request, shared: RequestState, way: _Way) -> None:
        """Makes a request one that the model's window has room for.

        The reply is shortened first, down to a quarter of the window. The messages are cut where they are too long
        for sure, or where as many were refused before: a refusal costs nothing, and what is cut for nothing is lost.
        """
        window = min(shared.window_tokens or request.model.window_tokens, request.model.window_tokens)
        way.messages = tuple(request.messages)
        way.likely_tokens = likely = shared.tokens.likely(way.messages)
        way.max_output_tokens = min(request.max_output_tokens, max(window - likely, window // 4, 1))
        room = window - way.max_output_tokens
        refused = shared.refused_tokens is not None and likely >= shared.refused_tokens
        if likely <= room or not (refused or least_tokens(way.messages) > room):
            return
        if not self._truncate:
            raise ContextLimitExceeded(
                f"{request.model.name}: the request has some {likely:,} tokens and its window {window:,}; "
                "send less text, or name a model with a larger window"
            )
        self._cut(request, shared, way, room)

    def _cut(self, request: Request, shared: RequestState, way: _Way, room: int) -> None:
        """Cuts what is sent to `room` tokens, and tells of it."""
        before = way.likely_tokens
        way.messages = fit(way.messages, room, shared.tokens.likely_text)
        way.likely_tokens = shared.tokens.likely(way.messages)
        request.tell(InputTruncated, before_tokens=before, after_tokens=way.likely_tokens)

    def _shared(self, model: Model) -> RequestState:
        found = self._known.get(id(model))
        if found is None:
            found = self._known[id(model)] = (model, request_state_of(model))
        return found[1]


def _too_slow(model: Model, timeout_s: float, *, billed: bool) -> ModelError:
    return ModelError(
        f"{model.name}: no reply within {timeout_s:g} s; try again or allow a longer timeout",
        retryable=True,
        possibly_billed=billed,
    )


def _after(error: ModelError, attempts: int, why: str = "") -> ModelError:
    """Gives the error with the number of attempts that were made."""
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
