"""What may happen on the way to a reply that is worth telling."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Retried:
    """A request failed and is sent again.

    Attributes:
        attempt: The number of the attempt that comes, from 2.
        wait_s: Seconds before it.
        reason: What the one before it ended with, in one line.
    """

    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Truncated:
    """A request was longer than the model's window and was cut.

    Attributes:
        before_tokens: Its length as it was asked for, estimated on the high side.
        after_tokens: Its length as it is sent, estimated in the same way.
    """

    before_tokens: int
    after_tokens: int


@dataclass(frozen=True, slots=True)
class FellBack:
    """A model failed for good, and another is asked in its place.

    Attributes:
        from_model: The model that failed.
        to_model: The model that is asked.
        reason: What the first failed with, in one line.
    """

    from_model: str
    to_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class FromCache:
    """A reply came from the cache and cost nothing.

    Attributes:
        saved_usd: What it cost when it was asked for.
    """

    saved_usd: Decimal


@dataclass(frozen=True, slots=True)
class Continued:
    """A reply was cut at its longest, and the model is asked to go on.

    Attributes:
        part: The number of the part that comes, from 2.
    """

    part: int


Notice = Retried | Truncated | FellBack | FromCache | Continued
"""Something that happened on the way to a reply."""


def ignore(_notice: Notice) -> None:
    """Takes a notice and does nothing with it."""
