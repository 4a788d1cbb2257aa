"""The retry decision, made after each failed attempt of a request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NoReturn

from rlmbox.budget.budget import Budget
from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.events import CallRetried
from rlmbox.requests.fitting import cut_further
from rlmbox.requests.request import CircuitOpen, Request, RequestState
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import ModelState


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Decides whether and when one request is sent again, and which error it ends with.

    Attributes:
        policy: The run's retry policy.
        budget: The run's ledger.
        request: The request.
        shared: State of its model.
        state: Its progress.
    """

    policy: RetryPolicy
    budget: Budget
    request: Request
    shared: ModelState
    state: RequestState

    def should_send_again(self, error: BaseException) -> bool:
        """Return True if sending the request again may help."""
        if isinstance(error, ContextLimitExceeded):
            return cut_further(self.request, self.shared, self.state, error, truncate=self.budget.limits.truncate_input)
        return isinstance(error, CircuitOpen) or (isinstance(error, ModelError) and error.retryable)

    def wait_s(self, error: BaseException) -> float:
        """Return the seconds to wait before the request is sent again.

        Args:
            error: The error of the last attempt.

        Raises:
            ModelError: There is no attempt left, no time, or nothing left in the provider's retry budget.
        """
        wait_s = self._next_wait_s(error)
        if self._should_give_up(error, wait_s):
            self._give_up(error)
        if isinstance(error, ModelError) and not isinstance(error, ContextLimitExceeded):
            self.request.tell(CallRetried, attempt=self.state.attempts + 1, wait_s=wait_s, reason=str(error))
        return wait_s

    def _next_wait_s(self, error: BaseException) -> float:
        if isinstance(error, CircuitOpen):
            return error.wait_s
        if not isinstance(error, ModelError) or isinstance(error, ContextLimitExceeded):
            return 0.0
        asked_s = error.retry_after_s
        if asked_s is not None and self._outlasts and asked_s > self.policy.max_retry_after_s:
            return asked_s
        return self.policy.wait_s(self.state.attempts, asked_s)

    def _should_give_up(self, error: BaseException, wait_s: float) -> bool:
        if isinstance(error, ContextLimitExceeded):
            return False
        if wait_s >= self.state.left_s or (self._outlasts and time.monotonic() + wait_s >= self.budget.deadline_s):
            return True
        if isinstance(error, CircuitOpen):
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

    def _give_up(self, error: BaseException) -> NoReturn:
        """Raise the request's final error."""
        if isinstance(error, CircuitOpen):
            failures = self.shared.provider.circuit_breaker.failures
            raise ModelError(
                f"{self.request.model.name}: the provider failed {failures} times in a row and is "
                f"left alone; it is tried again in {error.wait_s:.0f} s",
                retryable=True,
                retry_after_s=error.wait_s,
            )
        if not isinstance(error, ModelError):
            raise error
        raise _after(error, self.state.attempts, self.state.gave_up) from None

    @property
    def _outlasts(self) -> bool:
        """True if the request is to outlast an outage: a turn of the root, in a run with a time limit."""
        return self.request.account.depth == 0 and self.budget.limits.max_seconds is not None and self.request.patient

    def _is_outage(self, error: BaseException) -> bool:
        """Return True if the provider is temporarily unavailable, and asking again costs nothing."""
        if not self._outlasts or not isinstance(error, ModelError) or error.possibly_billed:
            return False
        # An address that has never answered is more likely wrong.
        return error.status is not None or self.shared.provider.has_answered


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
