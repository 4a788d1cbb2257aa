"""The model of a replay, which is never asked: all its answers are in the record."""

from __future__ import annotations

from collections.abc import Sequence

from rlmbox.errors import StoreError
from rlmbox.models.base import Price
from rlmbox.types import Completion, Message

_WINDOW_TOKENS = 10_000_000


class RecordedModel:
    """A stand-in with a model's name.

    Args:
        name: The full name of the model whose answers are in the record.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """The full name."""
        return self._name

    @property
    def window_tokens(self) -> int:
        """A window larger than any request; none is sent."""
        return _WINDOW_TOKENS

    @property
    def price(self) -> Price | None:
        """None: nothing is paid for."""
        return None

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Refuse to answer.

        Args:
            messages: The conversation.
            max_output_tokens: Longest reply.
            timeout_s: Seconds to wait.

        Raises:
            StoreError: Always.
        """
        raise StoreError(f"the record has no reply of {self._name} to this request")
