"""What all runs of a process share about a model and its provider: retries, breaker, pace, and what was learned."""

from __future__ import annotations

import threading
from collections import deque
from weakref import WeakKeyDictionary

from rlmbox.budget.tokens import TokenScale
from rlmbox.models.base import Hosted, Model
from rlmbox.models.pace import UNPACED, Pace, RateLimiter
from rlmbox.requests.retries import CircuitBreaker, RetryBudget, RetryPolicy

_REMEMBERED_REPLIES = 100
_ENOUGH_REPLIES = 20
_HUNG_FACTOR = 5.0
_HUNG_AT_LEAST_S = 20.0


class ProviderState:
    """What is known of one address.

    Attributes:
        allowance: Its extra requests.
        breaker: Whether it is left alone.
    """

    def __init__(self) -> None:
        self.allowance = RetryBudget()
        self.breaker = CircuitBreaker()


class RequestState:
    """What is known of one model at one address.

    Args:
        name: The model's full name.
        provider: What is known of the address.
        pace: What the model may be asked.

    Attributes:
        provider: What is known of the address.
        gate: Where its requests wait for their turn.
        tokens: How long its tokens are.
        window_tokens: The window that the provider named in a refusal, or None.
        refused_tokens: The likely length of the shortest request that it found too long, or None.
    """

    def __init__(self, name: str, provider: ProviderState, pace: Pace = UNPACED) -> None:
        self.provider = provider
        self.gate = RateLimiter(pace)
        self.tokens = TokenScale(name)
        self.window_tokens: int | None = None
        self.refused_tokens: int | None = None
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED_REPLIES)

    def note_duration(self, duration_s: float) -> None:
        """Takes note of how long a reply took, in seconds."""
        self._durations_s.append(duration_s)

    def attempt_timeout_s(self, policy: RetryPolicy) -> float | None:
        """Gives the seconds after which an attempt is taken for hung; None where too little is known to say."""
        if policy.attempt_timeout_s is not None:
            return policy.attempt_timeout_s
        if len(self._durations_s) < _ENOUGH_REPLIES:
            return None
        return max(_HUNG_AT_LEAST_S, _HUNG_FACTOR * max(tuple(self._durations_s)))


_lock = threading.Lock()
_providers: dict[str, ProviderState] = {}
_hosted: dict[tuple[str, str, Pace], RequestState] = {}
_alone: WeakKeyDictionary[Model, RequestState] = WeakKeyDictionary()


def request_state_of(model: Model) -> RequestState:
    """Gives what is shared about a model: by address and name where it has an address, else by the object itself.

    Args:
        model: The model.
    """
    with _lock:
        if isinstance(model, Hosted):
            provider = _providers.setdefault(model.endpoint, ProviderState())
            key = (model.endpoint, model.name, model.pace)
            if key not in _hosted:
                _hosted[key] = RequestState(model.name, provider, model.pace)
            return _hosted[key]
        try:
            if model not in _alone:
                _alone[model] = RequestState(model.name, ProviderState())
            return _alone[model]
        except TypeError:  # it cannot be hashed or referred to, so it shares nothing
            return RequestState(model.name, ProviderState())
