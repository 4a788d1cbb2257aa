"""The protocol of a language model, and optional ones.

A model has one method, `complete`, along with its name, window and price. The other protocols in this module are
optional: models that implement them share retries at the same provider, accept a temperature, or can be closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol, Self, runtime_checkable

from rlmbox.models.allowance import Allowances
from rlmbox.models.pace import Pace
from rlmbox.types import Completion, Message, Usage


class Price(Protocol):
    """The price of a model's tokens."""

    @property
    def origin(self) -> str:
        """The source of the price and its date, such as `genai-prices 0.2.3`."""

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the cost of some usage in US dollars."""


PriceSource = Callable[[str], "Price | None"]
"""A function that returns the price of a model by its full name, such as `openai:gpt-5`, or None."""


class Model(Protocol):
    """A language model.

    Implementations make one attempt and raise `ModelError` to say what went wrong and whether it may have been billed;
    `rlmbox.requests` decides what to retry. Any other exception is treated as a `ModelError` that is not retried.
    """

    @property
    def name(self) -> str:
        """The full name, such as `openai:gpt-5`."""

    @property
    def window_tokens(self) -> int:
        """Maximum number of tokens in a request and its reply together."""

    @property
    def price(self) -> Price | None:
        """The price, or None if unknown."""

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answer a conversation.

        Args:
            messages: The conversation; the system message, if any, comes first.
            max_output_tokens: Maximum length of the reply, including reasoning.
            timeout_s: Timeout of the request in seconds; None leaves it to the implementation.

        Raises:
            ModelError: The provider refused or failed.
        """


@runtime_checkable
class Hosted(Protocol):
    """A `Model` that is hosted outside of the process."""

    @property
    def endpoint(self) -> str:
        """The provider's address. Models there share retries, and those with the same name also their rate limits."""

    @property
    def pace(self) -> Pace:
        """The limits on concurrent requests and on requests per minute, for all runs of the process together."""

    @property
    def settings(self) -> str:
        """Everything that affects a reply besides the messages, such as the temperature, as JSON."""


@runtime_checkable
class Tunable(Protocol):
    """A `Model` with an adjustable temperature."""

    def with_temperature(self, temperature: float) -> Model:
        """Return the same model at another sampling temperature.

        Args:
            temperature: From 0, the most predictable.
        """


@runtime_checkable
class Bounded(Protocol):
    """A `Model` that may know less, or more, about its limits than `window_tokens`."""

    @property
    def window_is_known(self) -> bool:
        """True if `window_tokens` is the model's own, and not an assumption."""

    @property
    def output_cap_tokens(self) -> int | None:
        """Highest output limit that the provider accepts; None if unknown."""


@runtime_checkable
class Reporting(Protocol):
    """A `Model` that reports on `current_exchange`, and treats `timeout_s` as the wait for the next bytes."""

    @property
    def reports_exchange(self) -> bool:
        """True if it does."""


class OnText(Protocol):
    """A reader of a reply's text as it arrives."""

    def __call__(self, text: str, *, is_reasoning: bool) -> None:
        """Handle the next piece.

        Args:
            text: The piece.
            is_reasoning: Whether it belongs to the model's reasoning and not to the reply.
        """


@dataclass(slots=True)
class Exchange:
    """The progress of one request on its way to the provider.

    Whoever asks a model may set one as `current_exchange` and read the progress afterwards, also if the request was
    cancelled.

    Attributes:
        on_text: Called with the reply's text as it arrives; None if nobody reads it. A model that can stream does so if
            it is set.
        tracked: Whether the model reports here at all.
        sent: Whether the provider may have received the whole request.
        refused: Whether the provider answered with an error, which is not billed.
        timed_out: Whether the request was aborted because nothing arrived.
        received_bytes: Number of bytes of the reply's body that arrived.
        allowances: The account's remaining rate limits, if reported with the reply.
    """

    on_text: OnText | None = None
    tracked: bool = False
    sent: bool = False
    refused: bool = False
    timed_out: bool = False
    received_bytes: int = 0
    allowances: Allowances | None = None

    @property
    def may_be_billed(self) -> bool:
        """True if the provider may bill the request, or if that is unknown."""
        return not self.tracked or (self.sent and not self.refused)

    def begin(self) -> Self:
        """Start reporting, with nothing sent."""
        self.tracked, self.sent, self.refused, self.timed_out, self.received_bytes = True, False, False, False, 0
        return self


current_request_key: ContextVar[str | None] = ContextVar("current_request_key", default=None)
"""What names the request that the running task makes in every process that makes it, or None where nothing does.

A provider that takes idempotency keys is told it, so that a request that was under way when a process ended, and is
sent again, is charged once.
"""

trace_headers: ContextVar[Mapping[str, str]] = ContextVar("trace_headers", default=MappingProxyType({}))
"""HTTP headers that say which trace the request that the running task makes belongs to, such as `traceparent`."""

current_exchange: ContextVar[Exchange | None] = ContextVar("current_exchange", default=None)
"""The exchange of the request that the running task makes, or None."""
