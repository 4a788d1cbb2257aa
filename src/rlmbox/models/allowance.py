"""The remaining rate limits of an account, as providers report them in the headers of every reply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rlmbox.models.waits import limits_in_headers, number_of, until_s

_DAILY = re.compile(r"\b(?:day|daily|month|monthly)\b")
_OF_TOKENS = re.compile(r"token|size")  # Mistral's `ratelimitbysize`


@dataclass(frozen=True, slots=True)
class Allowance:
    """The remainder of one rate limit.

    Attributes:
        left: Remaining requests, or tokens.
        reset_s: Seconds until the limit is fully restored; None if the provider does not report it.
        limit: The whole limit; None if the provider does not report it.
    """

    left: int
    reset_s: float | None = None
    limit: int | None = None

    def wait_s(self, wanted: float) -> float | None:
        """Return the seconds until that much is available; None if unknown.

        A limit of known size is restored evenly, as providers describe it.

        Args:
            wanted: Number of requests or tokens.
        """
        if wanted <= self.left:
            return 0.0
        if self.reset_s is None:
            return None
        if self.limit is None or self.limit <= self.left:
            return self.reset_s
        # More than the whole limit is admitted when the limit is fully restored.
        return self.reset_s * (min(wanted, self.limit) - self.left) / (self.limit - self.left)


@dataclass(frozen=True, slots=True)
class Allowances:
    """The remaining rate limits of an account.

    Attributes:
        requests: The limit on requests; None if the provider does not report it.
        tokens: The limit on tokens; None if the provider does not report it.
    """

    requests: Allowance | None = None
    tokens: Allowance | None = None


def allowances_of(headers: Iterable[tuple[str, str]]) -> Allowances | None:
    """Return the remaining limits in the headers of a reply; None if they contain none.

    Args:
        headers: Their names and values.
    """
    found = limits_in_headers((name, value) for name, value in headers if not _DAILY.search(name.lower()))
    requests = _tightest(fields for name, fields in found.items() if not _OF_TOKENS.search(name))
    tokens = _tightest(fields for name, fields in found.items() if _OF_TOKENS.search(name))
    return Allowances(requests, tokens) if requests or tokens else None


def _tightest(all_fields: Iterable[dict[str, str]]) -> Allowance | None:
    """Return the limit of one kind with the least left; Anthropic reports several for tokens."""
    read = [allowance for allowance in map(_allowance, all_fields) if allowance is not None]
    return min(read, key=lambda allowance: allowance.left / (allowance.limit or 1), default=None)


def _allowance(fields: dict[str, str]) -> Allowance | None:
    left, limit = number_of(fields.get("remaining", "")), number_of(fields.get("limit", ""))
    if left is None:
        return None
    return Allowance(int(left), until_s(fields["reset"]) if "reset" in fields else None, int(limit) if limit else None)
