"""The rest of an account's rate limits, as providers send it in the headers of every reply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rlmbox.models.waits import limits_in_headers, number_of, until_s

_DAILY = re.compile(r"\b(?:day|daily|month|monthly)\b")
_OF_TOKENS = re.compile(r"token|size")  # Mistral's `ratelimitbysize`


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
    found = limits_in_headers((name, value) for name, value in headers if not _DAILY.search(name.lower()))
    requests = _tightest(fields for name, fields in found.items() if not _OF_TOKENS.search(name))
    tokens = _tightest(fields for name, fields in found.items() if _OF_TOKENS.search(name))
    return Allowances(requests, tokens) if requests or tokens else None


def _tightest(all_fields: Iterable[dict[str, str]]) -> Allowance | None:
    """Return the limit of one kind of which the least is left; Anthropic sends several for tokens."""
    read = [allowance for allowance in map(_allowance, all_fields) if allowance is not None]
    return min(read, key=lambda allowance: allowance.left / (allowance.limit or 1), default=None)


def _allowance(fields: dict[str, str]) -> Allowance | None:
    left, limit = number_of(fields.get("remaining", "")), number_of(fields.get("limit", ""))
    if left is None:
        return None
    return Allowance(int(left), until_s(fields["reset"]) if "reset" in fields else None, int(limit) if limit else None)
