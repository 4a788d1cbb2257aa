"""Frozen values for the tokens and money of a run, and how they divide.

Token counts are whole tokens, money is `Decimal` US dollars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, TypeVar

_CENTS = Decimal("0.0001")
_PERCENT_DIGITS = 1
_Key = TypeVar("_Key", int, str)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used by one or more requests.

    Attributes:
        input_tokens: Tokens sent, including those that the provider had cached.
        cached_input_tokens: The part of `input_tokens` that was read from the provider's cache.
        output_tokens: Tokens received, including reasoning.
        reasoning_tokens: The part of `output_tokens` that was reasoning.
        requests: How many requests were answered.
        cache_write_tokens: The part of `input_tokens` that the provider wrote to its cache, where it charges for that.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0
    cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens sent and received."""
        return self.input_tokens + self.output_tokens

    @property
    def cached_share(self) -> float:
        """The part of the tokens sent that was read from the provider's cache, from 0 to 1."""
        return self.cached_input_tokens / self.input_tokens if self.input_tokens else 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.requests + other.requests,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class Spend:
    """The requests to one model at one depth, added up.

    Attributes:
        depth: 0 for the root's turns, 1 for its sub-calls and its children's turns, and so on.
        model: The model's name.
        usage: Tokens; those of a request whose outcome is not known at their worst case.
        cost_usd: Money, of uncertain requests the worst case.
        uncertain_usd: The part of `cost_usd` of requests whose outcome is not known.
        calls: Requests that were charged for.
    """

    depth: int
    model: str
    usage: Usage
    cost_usd: Decimal
    uncertain_usd: Decimal
    calls: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Money spent by a run, in US dollars.

    Attributes:
        lines: One for each model and depth; everything else is a sum of them.
        unknown: True if a model without a known price was used, so that the true cost is higher.
    """

    DERIVED: ClassVar = ("total_usd", "root_usd", "recursive_usd", "by_model", "uncertain_usd", "by_depth")

    lines: tuple[Spend, ...] = ()
    unknown: bool = False

    @classmethod
    def of(cls, spends: Iterable[Spend], *, unknown: bool = False) -> Cost:
        """Return the cost of what a run's ledger has.

        Args:
            spends: One for each model and depth.
            unknown: True if a model without a known price was used.
        """
        return cls(tuple(spends), unknown)

    @property
    def total_usd(self) -> Decimal:
        """Everything, including what was reserved for requests whose outcome is not known."""
        return sum((line.cost_usd for line in self.lines), Decimal(0))

    @property
    def root_usd(self) -> Decimal:
        """The part of the root session's own turns."""
        return self.by_depth.get(0, Decimal(0))

    @property
    def recursive_usd(self) -> Decimal:
        """The part of sub-calls and child sessions."""
        return self.total_usd - self.root_usd

    @property
    def by_model(self) -> Mapping[str, Decimal]:
        """The cost per model name."""
        return _sums(self.lines, lambda line: line.model)

    @property
    def by_depth(self) -> Mapping[int, Decimal]:
        """The cost per depth: 0 for the root's turns, 1 for its sub-calls and its children's turns, and so on."""
        return _sums(self.lines, lambda line: line.depth)

    @property
    def uncertain_usd(self) -> Decimal:
        """The part of the total that may not have been charged.

        It is the worst case of requests that were cancelled or broke off.
        """
        return sum((line.uncertain_usd for line in self.lines), Decimal(0))

    def __str__(self) -> str:
        shown = f"{'at least ' if self.unknown else ''}{_dollars(self.total_usd)}"
        return f"{shown}, of it {_dollars(self.uncertain_usd)} uncertain" if self.uncertain_usd else shown


@dataclass(frozen=True, slots=True)
class SpendShare:
    """One line of a report.

    Attributes:
        name: The part: `root`, `recursive`, a model's name, or a depth.
        calls: Requests that were charged for.
        input_tokens: Tokens sent.
        output_tokens: Tokens received, reasoning included.
        cost_usd: Money.
        percent: Of the run's money; of its tokens where it cost nothing. To one decimal.
        models: Names of the models that were asked, in alphabetical order.
    """

    DERIVED: ClassVar = ("tokens",)

    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    percent: float
    models: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        calls = quantity(self.calls, "call")
        money = f"{_dollars(self.cost_usd)} ({self.percent:g} %), " if self.cost_usd else ""
        share = f" ({self.percent:g} %)" if self.percent and not self.cost_usd else ""
        return f"{self.name}: {money}{calls}, {self.tokens:,} tokens{share}"


@dataclass(frozen=True, slots=True)
class Report:
    """A run's spend, divided by model and by depth.

    Attributes:
        lines: One for each model and depth; everything else but `guard` is derived from them.
        guard: What the guard hid in the run, by kind and path; see `rlmbox.guard.RunGuard.report`.
    """

    DERIVED: ClassVar = ("total_usd", "uncertain_usd", "calls", "usage", "by_account", "by_model", "by_depth")

    lines: tuple[Spend, ...] = ()
    guard: Mapping[str, object] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, spends: Iterable[Spend]) -> Report:
        """Return the report of what a run's ledger has.

        Args:
            spends: One for each model and depth.
        """
        return cls(tuple(spends))

    @property
    def total_usd(self) -> Decimal:
        """Everything, in US dollars."""
        return Cost(self.lines).total_usd

    @property
    def uncertain_usd(self) -> Decimal:
        """The part of the total that may not have been charged."""
        return Cost(self.lines).uncertain_usd

    @property
    def calls(self) -> int:
        """Requests that were charged for."""
        return sum(line.calls for line in self.lines)

    @property
    def usage(self) -> Usage:
        """Tokens of all lines."""
        return sum((line.usage for line in self.lines), Usage())

    @property
    def by_account(self) -> tuple[SpendShare, ...]:
        """The root's turns, and everything else."""
        return _shares(self.lines, lambda line: min(line.depth, 1), lambda below: ("root", "recursive")[below])

    @property
    def by_model(self) -> tuple[SpendShare, ...]:
        """A share for each model, the most expensive first."""
        shares = _shares(self.lines, lambda line: line.model, str)
        return tuple(sorted(shares, key=lambda share: (-share.cost_usd, -share.tokens, share.name)))

    @property
    def by_depth(self) -> tuple[SpendShare, ...]:
        """A share for each depth, from 0."""
        return _shares(self.lines, lambda line: line.depth, lambda depth: f"depth {depth}")

    def __str__(self) -> str:
        """Return the report as lines, without divisions that would say nothing more."""
        depths = self.by_depth if len(self.by_depth) > 2 else ()  # two of them are root and recursive
        groups = (self.by_account, self.by_model, depths)
        shown = [str(share) for group in groups if len(group) > 1 for share in group]
        if self.uncertain_usd:
            amount = _dollars(self.uncertain_usd)
            shown.append(f"uncertain: {amount} of requests that broke off or were not counted, on the high side")
        if self.usage.cached_input_tokens:
            shown.append(f"read from the provider's cache: {self.usage.cached_share:.1%} of the input")
        return "\n".join(shown)


def _sums(lines: Iterable[Spend], key: Callable[[Spend], _Key]) -> dict[_Key, Decimal]:
    found: dict[_Key, Decimal] = {}
    for line in lines:
        found[key(line)] = found.get(key(line), Decimal(0)) + line.cost_usd
    return found


def _shares(
    lines: tuple[Spend, ...], key: Callable[[Spend], _Key], name: Callable[[_Key], str]
) -> tuple[SpendShare, ...]:
    """Add lines up by a key, in the order of the keys."""
    total_usd = sum((line.cost_usd for line in lines), Decimal(0))
    total_tokens = sum(line.usage.total_tokens for line in lines)
    shares = []
    for value in sorted({key(line) for line in lines}):
        same = [line for line in lines if key(line) == value]
        cost = sum((line.cost_usd for line in same), Decimal(0))
        usage = sum((line.usage for line in same), Usage())
        part = float(cost / total_usd) if total_usd else usage.total_tokens / total_tokens if total_tokens else 0.0
        shares.append(
            SpendShare(
                name(value),
                sum(line.calls for line in same),
                usage.input_tokens,
                usage.output_tokens,
                cost,
                round(100 * part, _PERCENT_DIGITS),
                tuple(sorted({line.model for line in same})),
            )
        )
    return tuple(shares)


def quantity(number: int, what: str) -> str:
    """Return a number with its noun in the right form, such as `1 turn` and `2 turns`.

    Args:
        number: The number.
        what: The noun for one.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _dollars(amount: Decimal) -> str:
    return f"${amount.quantize(_CENTS)}"
