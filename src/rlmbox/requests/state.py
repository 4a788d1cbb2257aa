"""State shared by all runs of a process about a model and its provider: retries, circuit, rate, learned sizes."""

from __future__ import annotations

import threading
from collections import deque
from functools import lru_cache
from typing import cast
from weakref import WeakKeyDictionary

from rlmbox.budget.tokens import TokenScale
from rlmbox.models.base import Bounded, Hosted, Model, Reporting
from rlmbox.models.pace import UNPACED, Pace
from rlmbox.requests.rate import RateLimiter
from rlmbox.requests.retries import CircuitBreaker, RetryBudget, RetryPolicy

FIRST_TIMEOUT_S = 120.0
"""Seconds after which an attempt is taken for hung while little is known of how long replies take."""

_REMEMBERED_REPLIES = 100
_ENOUGH_REPLIES = 20
_HUNG_FACTOR = 5.0
_HUNG_AT_LEAST_S = 20.0


class ProviderState:
    """State of one address.

    Attributes:
        retry_budget: Its retry budget.
        circuit_breaker: Its circuit breaker.
        has_answered: Whether it has replied in this process.
    """

    def __init__(self) -> None:
        self.retry_budget = RetryBudget()
        self.circuit_breaker = CircuitBreaker()
        self.has_answered = False


class ModelState:
    """State of one model at one address.

    Args:
        model: The model.
        provider: State of the address.
        pace: The model's rate limits.

    Attributes:
        provider: State of the address.
        keeps_time: Whether the model enforces the timeout itself, as the wait for the next bytes.
        rate_limiter: The queue in which its requests wait for a slot.
        tokens: Estimates of its token lengths.
        learned_window_tokens: The window that the provider stated in a refusal, or None.
        refused_tokens: The estimated length of the shortest request that it found too long, or None.
    """

    def __init__(self, model: Model, provider: ProviderState, pace: Pace = UNPACED) -> None:
        # Checked once, since a check against a protocol takes longer than the rest of a request's bookkeeping.
        self._is_bounded = isinstance(model, Bounded)
        self.keeps_time = isinstance(model, Reporting) and model.reports_exchange
        self.provider = provider
        self.rate_limiter = RateLimiter(pace)
        self.tokens = TokenScale(model.name)
        self.learned_window_tokens: int | None = None
        self.refused_tokens: int | None = None
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED_REPLIES)

    def window_tokens(self, model: Model) -> int:
        """Return the window that requests have to fit: the model's own, or the narrower one stated in a refusal."""
        learned = self.learned_window_tokens
        return model.window_tokens if learned is None else min(learned, model.window_tokens)

    def bound_tokens(self, model: Model) -> int | None:
        """Return a strict limit on the tokens of a request with its reply; None if the window is only assumed."""
        known = not self._is_bounded or cast("Bounded", model).window_is_known
        return self.window_tokens(model) if known or self.learned_window_tokens is not None else None

    def output_cap_tokens(self, model: Model) -> int | None:
        """Return the highest output limit that the provider accepts; None if unknown."""
        return cast("Bounded", model).output_cap_tokens if self._is_bounded else None

    def note_duration(self, duration_s: float) -> None:
        """Record the duration of a reply in seconds."""
        self._durations_s.append(duration_s)

    def attempt_timeout_s(self, policy: RetryPolicy, timeouts: int = 0) -> float:
        """Return the seconds after which an attempt is considered hung.

        Args:
            policy: The run's retry policy.
            timeouts: Number of aborted attempts of the same request, each of which doubles the time, so that a provider
                that is merely slow is not paid again and again for replies that nobody waits for.
        """
        if policy.attempt_timeout_s is not None:
            return policy.attempt_timeout_s
        first_s = FIRST_TIMEOUT_S
        if len(self._durations_s) >= _ENOUGH_REPLIES:
            first_s = max(_HUNG_AT_LEAST_S, _HUNG_FACTOR * max(tuple(self._durations_s)))
        return float(first_s * 2**timeouts)


_lock = threading.Lock()
_providers: dict[str, ProviderState] = {}
_hosted: dict[tuple[str, str, Pace], ModelState] = {}
_alone: WeakKeyDictionary[Model, ModelState] = WeakKeyDictionary()


def model_state_of(model: Model) -> ModelState:
    """Return the shared state of a model, by address and name if it has an address, otherwise by identity.

    Args:
        model: The model.
    """
    hosted = _hosted_of(model)
    with _lock:
        if hosted is not None:
            provider = _providers.setdefault(hosted.endpoint, ProviderState())
            key = (hosted.endpoint, model.name, hosted.pace)
            if key not in _hosted:
                _hosted[key] = ModelState(model, provider, hosted.pace)
            return _hosted[key]
        try:
            if model not in _alone:
                _alone[model] = ModelState(model, ProviderState())
            return _alone[model]
        except TypeError:  # not hashable or not weakly referenceable, so it shares nothing
            return ModelState(model, ProviderState())


def _hosted_of(model: Model) -> Hosted | None:
    if _has_place(type(model)):
        return cast("Hosted", model)
    return model if isinstance(model, Hosted) else None


@lru_cache(maxsize=256)
def _has_place(kind: type) -> bool:
    """Return whether objects of a class are `Hosted`; checking each against the protocol takes longer."""
    return all(hasattr(kind, name) for name in ("endpoint", "pace", "settings"))
