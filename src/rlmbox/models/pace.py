"""Limits on concurrent requests, and on requests and tokens per minute, of a model."""

from __future__ import annotations

from dataclasses import dataclass

from rlmbox.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Pace:
    """Rate limits of a provider's account for one model, shared by all runs of the process.

    Without a pace, each run has its own `Limits.concurrency`, and runs do not wait for each other.

    Attributes:
        max_concurrency: Maximum number of requests in flight; None for no limit beyond that of each run.
        requests_per_minute: Maximum number of requests in any 60 seconds; None for no limit.
        tokens_per_minute: Maximum number of tokens sent and received in 60 seconds, estimated before a request and
            corrected after it; None for no limit.

    Raises:
        ConfigError: A limit is below 1.
    """

    max_concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")


UNPACED = Pace()
"""The pace of a model for which none was set."""
