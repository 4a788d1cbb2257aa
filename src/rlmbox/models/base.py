"""The seam between the loop and a language model."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, runtime_checkable

from rlmbox.models.pace import Pace
from rlmbox.types import Completion, Message, Usage


class Price(Protocol):
    """What a model's tokens cost."""

    @property
    def origin(self) -> str:
        """Where the price comes from and of which day it is, such as `genai-prices 0.2.3`."""

    def cost_usd(self, usage: Usage) -> Decimal:
        """Gives the cost of some usage in US dollars."""


class Model(Protocol):
    """A language model.

    Implementations make one attempt and say with `ModelError` what went wrong and whether it may have been billed;
    `rlmbox.requests.client` decides what is tried again.
    """

    @property
    def name(self) -> str:
        """The full name, such as `openai:gpt-5`."""

    @property
    def window_tokens(self) -> int:
        """Most tokens that a request and its reply may have together."""

    @property
    def price(self) -> Price | None:
        """What it costs; None where that is not known."""

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answers a conversation.

        Args:
            messages: The conversation; the system message, if any, comes first.
            max_output_tokens: Longest reply, reasoning included.
            timeout_s: Seconds after which the request is given up; None leaves it to the implementation.

        Raises:
            ModelError: The provider refused or failed.
        """


@runtime_checkable
class Hosted(Protocol):
    """What a `Model` may have besides, where it stands for something outside the process."""

    @property
    def endpoint(self) -> str:
        """The provider's address; models there share retries, and those of one name also their turns."""

    @property
    def pace(self) -> Pace:
        """What it may be asked at once and in a minute, by all runs of the process together."""

    @property
    def settings(self) -> str:
        """Whatever decides a reply besides the messages, such as the temperature, as JSON."""
