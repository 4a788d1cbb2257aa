"""The rest of an account's rate limits, as providers send it in the headers of every reply.

Each provider has names of its own for them. They are read by the words that all of them use: `ratelimit`, then
`requests` or `tokens`, then `limit`, `remaining` or `reset`.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rlmbox.models.complaints import duration_s

_DAILY = re.compile(r"\b(?:day|daily|month|monthly)\b")
_EPOCH_S, _EPOCH_MS = 1e8, 1e11  # a reset beyond it is a moment, and no number of seconds


@dataclass(frozen=True, slots=True)
class Allowance:
    """The rest of one limit.

    Attributes:
        left: Requests, or tokens, that may still be used.
        reset_s: Seconds until the limit is whole again; None where the provider does not say.
        limit: The whole limit; None where the provider does not say.
    """

    left: int
    reset_s: float | None = None
    limit: int | None = None

    def wait_s(self, wanted: float) -> float | None:
        """Return the seconds until so much may be used; None where that cannot be told.

        A limit comes back evenly, as providers describe it, where they say how large it is.

        Args:
            wanted: Requests or tokens.
        """
        if wanted <= self.left:
            return 0.0
        if self.reset_s is None:
            return None
        if self.limit is None or self.limit <= self.left:
            return self.reset_s
        # What is larger than the whole limit goes when that is whole.
        return self.reset_s * (min(wanted, self.limit) - self.left) / (self.limit - self.left)


@dataclass(frozen=True, slots=True)
class Allowances:
    """The rest of an account's limits, by the headers of a reply.

    Attributes:
        requests: Of requests; None where the provider does not say.
        tokens: Of tokens; None where the provider does not say.
    """

    requests: Allowance | None = None
    tokens: Allowance | None = None


def allowances_of(headers: Iterable[tuple[str, str]]) -> Allowances | None:
    """Return what the headers of a reply say is left; None where they say nothing.

    Args:
        headers: Their names and values.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in headers:
        words = name.lower().replace("_", "-")
        if "ratelimit" not in words or _DAILY.search(words):
            continue
        field = next((field for field in ("remaining", "reset", "limit") if field in words.split("-")), None)
        if field is not None:
            rest = "-".join(word for word in words.split("-") if word != field)
            found.setdefault(rest, {})[field] = value
    requests = _tightest(fields for name, fields in found.items() if "token" not in name)
    tokens = _tightest(fields for name, fields in found.items() if "token" in name)
    return Allowances(requests, tokens) if requests or tokens else None


def until_s(value: str) -> float | None:
    """Read when a limit is reset: seconds, a duration, a date, or a moment in seconds or milliseconds since the epoch.

    Args:
        value: The header's value.

    Returns:
        Seconds from now, or None where it is none of these.
    """
    number = number_of(value)
    if number is not None:
        if number > _EPOCH_MS:
            return max(number / 1000 - time.time(), 0.0)
        return max(number - time.time(), 0.0) if number > _EPOCH_S else number
    try:
        return max(datetime.fromisoformat(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return duration_s(value)


def _tightest(all_fields: Iterable[dict[str, str]]) -> Allowance | None:
    """Return the limit of one kind of which the least is left; Anthropic sends several for tokens."""
    read = [allowance for allowance in map(_allowance, all_fields) if allowance is not None]
    return min(read, key=lambda allowance: allowance.left / (allowance.limit or 1), default=None)


def _allowance(fields: dict[str, str]) -> Allowance | None:
    left, limit = number_of(fields.get("remaining", "")), number_of(fields.get("limit", ""))
    if left is None:
        return None
    return Allowance(int(left), until_s(fields["reset"]) if "reset" in fields else None, int(limit) if limit else None)


def number_of(text: str) -> float | None:
    """Return the number that a header has, or None where it has none that counts: 0 or more, and finite.

    Args:
        text: The header's value.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
