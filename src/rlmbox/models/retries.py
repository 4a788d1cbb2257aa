"""How often a request is tried, and what is known about one that is under way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from rlmbox.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again.

    Only what a provider cannot have charged for is tried again: a refusal with status 429, 500, 502, 503, 504 or
    529, and a connection that could not be made. The wait is what the provider asks for with `Retry-After`, else
    exponential with jitter.

    Attributes:
        attempts: Most times that a request is sent, from 1.
        base_delay_s: Seconds before the second attempt, doubled before each further one.
        max_delay_s: Longest of these waits, in seconds.
        max_retry_after_s: Longest wait that a provider can ask for, in seconds.

    Raises:
        ConfigError: There is no attempt, or a wait is negative.
    """

    attempts: int = 4
    base_delay_s: float = 0.5
    max_delay_s: float = 8.0
    max_retry_after_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base_delay_s, self.max_delay_s, self.max_retry_after_s) < 0:
            raise ConfigError("retries need at least 1 attempt and waits of 0 seconds or more")


@dataclass(slots=True)
class Call:
    """What the transport has seen of one request.

    Attributes:
        attempts: How often it was tried.
        sent: Whether the last attempt got as far as sending, so that it may have been charged for.
    """

    attempts: int = 0
    sent: bool = False

    async def trace(self, event: str, _info: object) -> None:
        """Takes an event of the HTTP connection."""
        if event.endswith("send_request_headers.started"):
            self.sent = True


current_call: ContextVar[Call] = ContextVar("current_call")
"""The request that the running task is making."""
