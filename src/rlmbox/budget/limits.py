"""Limits: what a run may use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.types import CellLimits

DEFAULT_COST_LIMIT_USD = Decimal("5.00")
"""The limit of a run for which none is set. It is kept where prices are known; a limit that is set is always kept."""

DEFAULT_TOOL_TIMEOUT_S = 30.0
"""Seconds that a call of a user's tool may take, where neither a limit nor the tool says otherwise."""

_LEAST = {"max_turns": 1, "max_depth": 0, "max_subcalls": 0, "max_output_tokens": 1, "concurrency": 1}
_POSITIVE = ("max_tokens", "max_seconds", "subcall_timeout_s", "tool_timeout_s", "observation_chars")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run; children share their root's.

    Attributes:
        cost_limit_usd: US dollars of the whole tree; a string, number or `Decimal`. None for no limit. An unknown
            price is an error when you set a limit; the default of 5.00 then is not kept, and the run says so.
        max_turns: Turns of each session.
        max_depth: Nesting of sessions; 0 forbids children.
        max_subcalls: Calls to other models, children included, in the whole tree.
        max_tokens: Tokens sent and received by the whole tree. None for no limit.
        max_seconds: Wall time of the whole tree. None for no limit.
        max_output_tokens: Longest reply asked for, reasoning included.
        concurrency: Requests of sub-calls under way at once in the whole tree; more wait.
        subcall_timeout_s: Seconds after which a sub-call's request is given up.
        tool_timeout_s: Seconds that a call of a user's tool may take, where the tool has no time of its own.
        observation_chars: Longest message to the model about what its cells gave.
        last_answer: Whether a run that ends at a limit asks its model once more for the best answer from what it
            has. The room for that request is set aside at the start, so that it breaks no limit; where a limit is
            too tight to set any aside, nothing is asked.
        truncate_input: Whether a request that is longer than its model's window is cut, and the model told so, in
            place of `ContextLimitExceeded`.
        cell: What one cell may use.
    """

    cost_limit_usd: Decimal | str | float | None = DEFAULT_COST_LIMIT_USD
    max_turns: int = 30
    max_depth: int = 3
    max_subcalls: int = 200
    max_tokens: int | None = None
    max_seconds: float | None = None
    max_output_tokens: int = 16_384
    concurrency: int = 10
    subcall_timeout_s: float = 60.0
    tool_timeout_s: float = DEFAULT_TOOL_TIMEOUT_S
    observation_chars: int = 20_000
    last_answer: bool = True
    truncate_input: bool = True
    cell: CellLimits = CellLimits()

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A limit is not a number or out of its range.
        """
        if self.cost_limit_usd is not None and self.cost_limit_usd is not DEFAULT_COST_LIMIT_USD:
            object.__setattr__(self, "cost_limit_usd", dollars(self.cost_limit_usd, "cost_limit_usd"))
        for name, smallest in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(f"{name} is a whole number of at least {smallest}, not {value!r}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name} is a number above 0, not {value!r}")

    def narrowed(self, other: Limits) -> Limits:
        """Return these limits with what `other` sets narrower.

        What `other` leaves at its default narrows nothing, and what one cell may use stays as it is, because it is
        decided when a sandbox starts.

        Args:
            other: The limits to keep besides.
        """
        found: dict[str, Any] = {}
        for name in (*_LEAST, *_POSITIVE):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs != _DEFAULTS[name] and theirs is not None:
                found[name] = theirs if mine is None else min(mine, theirs)
        if other.money is not None and not other.cost_limit_is_default:
            found["cost_limit_usd"] = other.money if self.money is None else min(self.money, other.money)
        return replace(
            self,
            last_answer=self.last_answer and other.last_answer,
            truncate_input=self.truncate_input and other.truncate_input,
            **found,
        )

    @property
    def cost_limit_is_default(self) -> bool:
        """True if nobody set the cost limit."""
        return self.cost_limit_usd is DEFAULT_COST_LIMIT_USD

    @property
    def last_answer_s(self) -> float:
        """The seconds of `max_seconds` that are set aside for the last answer: a fifth of them, at most 30."""
        return min(0.2 * self.max_seconds, 30.0) if self.max_seconds and self.last_answer else 0.0

    @property
    def money(self) -> Decimal | None:
        """The cost limit as `Decimal`; None for no limit."""
        limit = self.cost_limit_usd
        return None if limit is None else Decimal(limit)


_DEFAULTS = {each.name: each.default for each in fields(Limits)}


def dollars(value: object, name: str) -> Decimal:
    """Read an amount of US dollars.

    Args:
        value: A string, a number or a `Decimal`.
        name: What to call it in an error.

    Raises:
        ConfigError: It is not an amount from 0 up.
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ConfigError(f"{name} is an amount such as '2.00', not {value!r}") from None
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ConfigError(f"{name} is 0 or more, not {value!r}")
    return amount
