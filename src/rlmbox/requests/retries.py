"""When a request that failed is sent again, and what keeps that from making an outage worse.

A model makes one attempt and says what went wrong; whoever asks it decides here. Three things bound the retries: each
request has few attempts, a provider as a whole gets few extra requests (a retry budget), and a provider that fails
again and again is left alone for a while (a circuit breaker).
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from rlmbox.budget.limits import check_count, check_positive, is_number
from rlmbox.errors import ConfigError

_MOST_SAVED = 100.0  # retries that a long time without any can save up
_LONGEST_OPEN_S = 60.0
_PROBE_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again.

    Tried again is what may succeed later: a refusal with status 429, 5xx, 408 or 409, a connection that could not be
    made or broke, a reply that cannot be read, and an attempt that hangs. What may have been billed stays charged. The
    wait is what the provider asks for, else exponential with full jitter (Brooker, "Exponential Backoff And Jitter",
    AWS 2015).

    The turns of a run with `max_seconds` outlast an outage of their provider: what is refused or finds nobody there,
    and so costs nothing, is tried again until the time is over.

    Attributes:
        attempts: Most times that a request is sent, from 1.
        base_delay_s: Longest wait before the second attempt, in seconds; doubled before each further one.
        max_delay_s: Longest of these waits, in seconds.
        max_retry_after_s: Longest wait that a provider can ask for, in seconds.
        extra_share: Retries that each request to a provider makes room for: 0.5 allows 50 % more requests.
        spare: Retries that a provider gets besides, so that a lone request may be tried again.
        failures_to_open: Failures in a row after which a provider is left alone; 0 for never.
        open_s: Seconds for which it is, doubled up to 60 while it goes on failing.
        attempt_timeout_s: Seconds without a byte after which one attempt is taken for hung; None takes 120 at first,
            later five times the slowest of the model's last replies, and at least 20.

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
            if not is_number(value) or value < 0:
                raise ConfigError(f"{name} must be a number of 0 or more, not {value!r}")
        if self.attempt_timeout_s is not None:
            check_positive("attempt_timeout_s", self.attempt_timeout_s)

    def wait_s(self, attempt: int, asked_s: float | None, draw: Callable[[], float] = random.random) -> float:
        """Return the wait after a failed attempt, in seconds.

        Args:
            attempt: Its number, from 1.
            asked_s: Seconds that the provider asks for; None where it does not.
            draw: Returns a number from 0 to 1.
        """
        if asked_s is not None and math.isfinite(asked_s):
            # A tenth more, so that those who were told the same do not come back in the same instant.
            return min(max(asked_s, 0.0), self.max_retry_after_s) * (1 + draw() / 10)
        return draw() * min(self.max_delay_s, self.base_delay_s * 2.0 ** (attempt - 1))


class RetryBudget:
    """A retry budget: the extra requests that a provider gets, a token bucket that each request fills a little.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._saved = 0.0
        self._spared = 0.0
        self._spared_at_s = clock()

    def note_request(self, policy: RetryPolicy) -> None:
        """Count a request, the first for an answer or a further one."""
        with self._lock:
            self._saved = min(self._saved + policy.extra_share, _MOST_SAVED)

    def take(self, policy: RetryPolicy) -> bool:
        """Take one retry; False where there is none left."""
        with self._lock:
            if self._saved >= 1:
                self._saved -= 1
                return True
            # The spare ones come back, one a second, or a lone request after an outage could never be tried again.
            now_s = self._clock()
            self._spared = max(0.0, self._spared - (now_s - self._spared_at_s))
            self._spared_at_s = now_s
            if self._spared + 1 > policy.spare:
                return False
            self._spared += 1
            return True


class CircuitBreaker:
    """Leaves a provider alone that fails again and again, and tries it with one request after a while.

    The pattern is Nygard's ("Release It!", 2007): closed, open, and half-open while one request probes.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._openings = 0
        self._until_s: float | None = None
        self._probing = False

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def wait_s(self) -> float:
        """Return the seconds until a request may be sent; after 0 the caller sends one, and must tell how it ended."""
        with self._lock:
            if self._until_s is None:
                return 0.0
            if self._probing:
                return _PROBE_POLL_S
            left_s = self._until_s - self._clock()
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
            # Requests that were under way when it opened fail too, which is no news.
            if probed or (enough and self._until_s is None):
                self._until_s = self._clock() + min(policy.open_s * 2.0**self._openings, _LONGEST_OPEN_S)
                self._openings += 1

    def forget(self) -> None:
        """Record that a request ended inconclusively, so that another may probe."""
        with self._lock:
            self._probing = False
