"""One request: its parameters, its progress, and its outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import anyio

from rlmbox.budget.ledger import Account
from rlmbox.budget.tokens import Conversation
from rlmbox.models.allowance import Allowances
from rlmbox.models.base import Model
from rlmbox.types import Completion, Message

_GRACE_S = 0.1


Tell = Callable[..., None]
"""Called with the class of an event of a request, such as `CallRetried`, and its own fields by name."""


def tell_nobody(_event: object, **_fields: object) -> None:
    """Ignore an event."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        model: The model to ask.
        messages: The conversation.
        account: The account to charge.
        max_output_tokens: Maximum length of the reply.
        timeout_s: Seconds from the first slot to the reply, including waits and further attempts; None for no limit.
        tell: Called with the class of each event on the way to the reply, and its fields.
        patient: Whether to wait while the provider's circuit is open, rather than fail at once.
        as_usual: Whether to request the usual length of the run's replies, rather than the maximum.
        streams: Whether the reply's text is read as it arrives.
    """

    model: Model
    messages: Sequence[Message]
    account: Account
    max_output_tokens: int
    timeout_s: float | None
    tell: Tell
    patient: bool = True
    as_usual: bool = False
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and its cost.

    Attributes:
        completion: The reply.
        cost_usd: Its cost in US dollars, including every attempt that was charged.
        attempts: Number of requests sent.
        unread_tokens: Number of input tokens that the server silently dropped, by its own count; 0 for none.
        short_tokens: The requested length, if the reply was truncated because that was the usual one; otherwise None.
    """

    completion: Completion
    cost_usd: Decimal
    attempts: int
    unread_tokens: int = 0
    short_tokens: int | None = None


@dataclass(slots=True)
class RequestState:
    """The state of a request in flight.

    Attributes:
        scope: Cancels the whole request at its deadline.
        messages: The messages sent, truncated to the window.
        max_output_tokens: The output limit sent.
        likely_tokens: Tokens of the messages, estimated on the high side.
        ends_s: Its deadline, on the monotonic clock; set with the first slot.
        attempts: Number of requests sent.
        timeouts: Number of them that were considered hung.
        cuts: How often the provider found it too long.
        waited_s: Seconds spent waiting for an open circuit.
        charged_usd: The charges of its attempts.
        allowances: The account's remaining rate limits, as reported with the last reply.
        gave_up: Why it is not sent again, appended to the error.
    """

    scope: anyio.CancelScope
    messages: Conversation = field(default_factory=Conversation)
    max_output_tokens: int = 0
    likely_tokens: int = 0
    ends_s: float = math.inf
    attempts: int = 0
    timeouts: int = 0
    cuts: int = 0
    waited_s: float = 0.0
    charged_usd: Decimal = field(default_factory=Decimal)
    allowances: Allowances | None = None
    gave_up: str = ""

    @property
    def left_s(self) -> float:
        """Seconds until its deadline; infinity if there is none."""
        return self.ends_s - time.monotonic()

    def begin(self, timeout_s: float | None) -> None:
        """Start the clock, with the first slot."""
        if timeout_s is not None and self.ends_s == math.inf:
            self.ends_s = time.monotonic() + timeout_s
            # A model that is given a timeout enforces it; this is for one that does not.
            self.scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S


class CircuitOpen(Exception):
    """The provider's circuit is open for so many more seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s
