"""Limits: what a run may use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.types import CellLimits

DEFAULT_COST_LIMIT_USD = Decimal("5.00")
"""Default cost limit of a run. It applies only if prices are known; a limit that you set always applies."""

DEFAULT_TOOL_TIMEOUT_S = 30.0
"""Default timeout in seconds for a call of a user's tool."""

_LEAST = {"max_turns": 1, "max_depth": 0, "max_subcalls": 0, "max_output_tokens": 1, "concurrency": 1}
_LEAST_OF_CELL = {
    "memory_bytes": 1,
    "recursion_depth": 1,
    "output_chars": 0,
    "output_flood_bytes": 1,
    "code_bytes": 1,
    "host_calls": 0,
    "inline_limit_chars": 0,
}
_CAN_BE_NONE = ("max_tokens", "max_seconds")
_POSITIVE = ("max_tokens", "max_seconds", "subcall_timeout_s", "tool_timeout_s", "observation_chars")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run; children share their root's.

    Attributes:
        cost_limit_usd: US dollars for the whole tree of sessions, as a string, number or `Decimal`. None for no limit.
            If a price is unknown, a limit that you set is an error; the default of 5.00 is ignored with a note.
        max_turns: Turns of each session.
        max_depth: Nesting depth of sessions; 0 forbids child sessions.
        max_subcalls: Calls to other models in the whole tree, including child sessions.
        max_tokens: Tokens sent and received by the whole tree. None for no limit.
        max_seconds: Wall time in seconds of the whole tree. None for no limit.
        max_output_tokens: Maximum length of a reply, including reasoning.
        concurrency: Number of concurrent sub-call requests in the whole tree; further ones wait.
        subcall_timeout_s: Timeout in seconds for a sub-call's request.
        tool_timeout_s: Timeout in seconds for a call of a user's tool that sets none itself.
        observation_chars: Maximum length of the message that shows the model the output of its cells.
        last_answer: At a limit, ask the model once more for the best answer from its results so far. Room for that
            request is set aside at the start, so that it exceeds no limit; if a limit is too tight for that, the
            model is not asked.
        truncate_input: Truncate requests that are longer than the model's window, and tell the model, instead of
            raising `ContextLimitExceeded`.
        cell: Limits of a single cell.
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
            ConfigError: A limit is not a number or is out of range.
        """
        if self.cost_limit_usd is not None and self.cost_limit_usd is not DEFAULT_COST_LIMIT_USD:
            object.__setattr__(self, "cost_limit_usd", dollars(self.cost_limit_usd, "cost_limit_usd"))
        for name, smallest in _LEAST.items():
            check_count(name, getattr(self, name), smallest)
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None or name not in _CAN_BE_NONE:
                check_positive(name, value)
        if not isinstance(self.cell, CellLimits):
            raise ConfigError(f"cell is a CellLimits, such as CellLimits(cell_timeout_s=10), not {self.cell!r}")
        check_positive("cell_timeout_s", self.cell.cell_timeout_s)
        for name, smallest in _LEAST_OF_CELL.items():
            check_count(name, getattr(self.cell, name), smallest)

    def narrowed(self, other: Limits) -> Limits:
        """Return these limits, narrowed by those that `other` sets.

        Values that `other` leaves at their defaults are ignored. So is `other.cell`, because the limits of a cell are
        fixed when a sandbox starts.

        Args:
            other: The limits to apply in addition.

        Raises:
            ConfigError: They are no `Limits`.
        """
        if not isinstance(other, Limits):
            raise ConfigError(f"limits is a Limits, such as Limits(max_turns=10), not {type(other).__name__}")
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
        """True if the cost limit was not set explicitly."""
        return self.cost_limit_usd is DEFAULT_COST_LIMIT_USD

    @property
    def last_answer_s(self) -> float:
        """Seconds of `max_seconds` that are reserved for the last answer: a fifth, at most 30."""
        return min(0.2 * self.max_seconds, 30.0) if self.max_seconds and self.last_answer else 0.0

    @property
    def money(self) -> Decimal | None:
        """The cost limit as `Decimal`; None for no limit."""
        limit = self.cost_limit_usd
        return None if limit is None else Decimal(limit)


_DEFAULTS = {each.name: each.default for each in fields(Limits)}


def is_finite_number(value: object) -> bool:
    """Return True for a finite number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_count(name: str, value: object, smallest: int) -> None:
    """Check that a value is a whole number of at least `smallest`.

    Args:
        name: The name to use in the error message.
        value: The value.
        smallest: Least value that it may have.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ConfigError(f"{name} must be a whole number of at least {smallest:,}, not {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Check that a value is a number above 0.

    Args:
        name: The name to use in the error message.
        value: The value.

    Raises:
        ConfigError: It is not.
    """
    if not (is_finite_number(value) and value > 0):
        raise ConfigError(f"{name} must be a number above 0, not {value!r}")


def dollars(value: object, name: str) -> Decimal:
    """Read an amount of US dollars.

    Args:
        value: A string, a number or a `Decimal`.
        name: The name to use in the error message.

    Raises:
        ConfigError: The value is not an amount of 0 or more.
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ConfigError(f"{name} must be an amount such as '2.00', not {value!r}") from None
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ConfigError(f"{name} must be 0 or more, not {value!r}")
    return amount
