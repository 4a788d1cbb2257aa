"""One request: what is asked, how far it has come, and what it came to."""

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
        streams: Whether somebody reads the reply's text as it comes in.
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
class RequestState:
    """The state of a request under way.

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
        allowances: The rest of the account's limits, as the last reply told it.
        gave_up: Why it is not sent again, to be appended to the error.
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
        """Seconds until its time is over; infinity where there is no limit."""
        return self.ends_s - time.monotonic()

    def begin(self, timeout_s: float | None) -> None:
        """Start the clock, with the first turn."""
        if timeout_s is not None and self.ends_s == math.inf:
            self.ends_s = time.monotonic() + timeout_s
            # A model that is given a timeout keeps it by itself; this is for one that does not.
            self.scope.deadline = anyio.current_time() + timeout_s * 1.05 + _GRACE_S


class CircuitOpen(Exception):
    """The provider is left alone for so many seconds more."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s
