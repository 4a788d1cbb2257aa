"""When a failed request is sent again, and how that is kept from making an outage worse.

A model makes one attempt and reports the error; the decision is made here. Three things limit retries: each request has
few attempts, a provider as a whole gets few extra requests (a retry budget), and a provider that fails repeatedly gets
no requests for a while (a circuit breaker).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from rlmbox.budget.limits import check_count, check_positive, is_finite_number
from rlmbox.errors import ConfigError

_MOST_SAVED = 100.0  # retries that can accumulate while none are needed
_LONGEST_OPEN_S = 60.0
_PROBE_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again.

    Failures that may be temporary are retried: a refusal with status 429, 5xx, 408 or 409, a failed or broken
    connection, an unreadable reply, and an attempt that hangs. What may have been billed stays charged. The wait is the
    one that the provider requests, otherwise exponential with full jitter (Brooker, "Exponential Backoff And Jitter",
    AWS 2015).

    The turns of a run with `max_seconds` outlast an outage of their provider: a request that is refused or cannot
    connect, and so costs nothing, is retried until the time is over.

    Attributes:
        attempts: Maximum number of times that a request is sent, from 1.
        base_delay_s: Maximum wait before the second attempt, in seconds; doubled before each further one.
        max_delay_s: Maximum of these waits, in seconds.
        max_retry_after_s: Longest wait that a provider can request, in seconds.
        extra_share: Retries that each request to a provider adds to its retry budget: 0.5 allows 50 % more requests.
        spare: Additional retries of a provider, so that a single request can be retried.
        failures_to_open: Consecutive failures after which a provider's circuit opens; 0 for never.
        open_s: Seconds for which it stays open, doubled up to 60 while the provider keeps failing.
        attempt_timeout_s: Seconds without a byte after which an attempt is considered hung; None for 120 at first,
            later five times the slowest of the model's recent replies, and at least 20.

    Raises:
        ConfigError: There is no attempt, or a number is negative.
    """

    attempts: int = 4
    base_delay_s: float = 0.5
    max_delay_s: float = 8.0
    max_retry_after_s: float = 30.0
    extra_share: float = 0.5
    spare: int = 10
    failures_to_open: int = 10
    open_s: float = 5.0
    attempt_timeout_s: float | None = None

    def __post_init__(self) -> None:
        others = (each.name for each in fields(self) if each.name not in ("attempts", "attempt_timeout_s"))
        check_count("attempts", self.attempts, 1)
        for name in others:
            value = getattr(self, name)
            if not is_finite_number(value) or value < 0:
                raise ConfigError(f"{name} must be a number of 0 or more, not {value!r}")
        if self.attempt_timeout_s is not None:
            check_positive("attempt_timeout_s", self.attempt_timeout_s)

    def wait_s(self, attempt: int, asked_s: float | None, draw: Callable[[], float] = random.random) -> float:
        """Return the wait after a failed attempt, in seconds.

        Args:
            attempt: Its number, from 1.
            asked_s: Seconds that the provider requests; None if it does not.
            draw: Returns a number from 0 to 1.
        """
        if asked_s is not None and math.isfinite(asked_s):
            # Up to a tenth more, so that clients given the same delay do not return at the same moment.
            return min(max(asked_s, 0.0), self.max_retry_after_s) * (1 + draw() / 10)
        return draw() * min(self.max_delay_s, self.base_delay_s * 2.0 ** (attempt - 1))


class RetryBudget:
    """A retry budget: a token bucket for a provider's extra requests, which each request fills a little."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved = 0.0
        self._spared = 0.0
        self._spared_at_s = time.monotonic()

    def note_request(self, policy: RetryPolicy) -> None:
        """Count a request, whether first attempt or retry."""
        with self._lock:
            self._saved = min(self._saved + policy.extra_share, _MOST_SAVED)

    def take(self, policy: RetryPolicy) -> bool:
        """Take one retry; return False if none is left."""
        with self._lock:
            if self._saved >= 1:
                self._saved -= 1
                return True
            # The spare ones are restored, one a second, or a single request after an outage could never be retried.
            now_s = time.monotonic()
            self._spared = max(0.0, self._spared - (now_s - self._spared_at_s))
            self._spared_at_s = now_s
            if self._spared + 1 > policy.spare:
                return False
            self._spared += 1
            return True


class CircuitBreaker:
    """Stops requests to a provider that fails repeatedly, and probes it with one request after a while.

    The pattern is Nygard's ("Release It!", 2007): closed, open, and half-open while one request probes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._openings = 0
        self._until_s: float | None = None
        self._probing = False

    @property
    def failures(self) -> int:
        """Number of consecutive failures."""
        return self._failures

    def wait_s(self) -> float:
        """Return the seconds until a request may be sent; after 0 the caller sends one, and must report its outcome."""
        with self._lock:
            if self._until_s is None:
                return 0.0
            if self._probing:
                return _PROBE_POLL_S
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                self._probing = True
                return 0.0
            return left_s

    def succeed(self) -> None:
        """Record that the provider answered, even if it refused the request."""
        with self._lock:
            self._failures = self._openings = 0
            self._until_s, self._probing = None, False

    def fail(self, policy: RetryPolicy) -> None:
        """Record that the provider was unavailable or failed."""
        with self._lock:
            self._failures += 1
            probed, self._probing = self._probing, False
            enough = 0 < policy.failures_to_open <= self._failures
            # Requests in flight when it opened fail too, which is no new information.
            if probed or (enough and self._until_s is None):
                self._until_s = time.monotonic() + min(policy.open_s * 2.0**self._openings, _LONGEST_OPEN_S)
                self._openings += 1

    def forget(self) -> None:
        """Record that a request ended inconclusively, so that another may probe."""
        with self._lock:
            self._probing = False
