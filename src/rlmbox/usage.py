"""What a run used and what it cost, and how that divides: frozen values without any work but sums.

Token counts are whole tokens, money is `Decimal` US dollars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

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
    """What one model was asked at one depth.

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
        total_usd: Everything, including what was reserved for requests whose outcome is not known.
        root_usd: The part of the root session's own turns.
        recursive_usd: The part of sub-calls and child sessions.
        by_model: Per model name.
        unknown: Whether a model without a known price was used, so that the true cost is higher.
        uncertain_usd: The part of `total_usd` that may not have been charged: the worst case of requests that were
            cancelled or broke off.
        by_depth: Per depth: 0 for the root's turns, 1 for its sub-calls and its children's turns, and so on.
    """

    total_usd: Decimal = Decimal(0)
    root_usd: Decimal = Decimal(0)
    recursive_usd: Decimal = Decimal(0)
    by_model: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unknown: bool = False
    uncertain_usd: Decimal = Decimal(0)
    by_depth: Mapping[int, Decimal] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, spends: Iterable[Spend], *, unknown: bool = False) -> Cost:
        """Adds up what a run's ledger has.

        Args:
            spends: One for each model and depth.
            unknown: Whether a model without a known price was used.
        """
        by_model: dict[str, Decimal] = {}
        by_depth: dict[int, Decimal] = {}
        uncertain = Decimal(0)
        for spend in spends:
            by_model[spend.model] = by_model.get(spend.model, Decimal(0)) + spend.cost_usd
            by_depth[spend.depth] = by_depth.get(spend.depth, Decimal(0)) + spend.cost_usd
            uncertain += spend.uncertain_usd
        total = sum(by_depth.values(), Decimal(0))
        root = by_depth.get(0, Decimal(0))
        models, depths = MappingProxyType(by_model), MappingProxyType(by_depth)
        return cls(total, root, total - root, models, unknown, uncertain, depths)

    def __str__(self) -> str:
        shown = f"{'at least ' if self.unknown else ''}{_dollars(self.total_usd)}"
        return f"{shown}, of it {_dollars(self.uncertain_usd)} uncertain" if self.uncertain_usd else shown


@dataclass(frozen=True, slots=True)
class SpendShare:
    """One line of a report.

    Attributes:
        name: The part: `root`, `recursive`, a model's name, or a depth.
        calls: Requests that were charged for.
        tokens: Sent and received.
        cost_usd: Money.
        percent: Of the run's money; of its tokens where it cost nothing. To one decimal.
    """

    name: str
    calls: int
    tokens: int
    cost_usd: Decimal
    percent: float

    def __str__(self) -> str:
        calls = f"{self.calls:,} call{'' if self.calls == 1 else 's'}"
        money = f"{_dollars(self.cost_usd)} ({self.percent:g} %), " if self.cost_usd else ""
        share = f" ({self.percent:g} %)" if self.percent and not self.cost_usd else ""
        return f"{self.name}: {money}{calls}, {self.tokens:,} tokens{share}"


@dataclass(frozen=True, slots=True)
class Report:
    """How a run's spend divides.

    Attributes:
        total_usd: Everything.
        uncertain_usd: The part of it that may not have been charged.
        calls: Requests that were charged for.
        usage: Tokens.
        by_account: The root's turns, and everything else.
        by_model: A part for each model, the dearest first.
        by_depth: A part for each depth, from 0.
    """

    total_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    calls: int = 0
    usage: Usage = Usage()
    by_account: tuple[SpendShare, ...] = ()
    by_model: tuple[SpendShare, ...] = ()
    by_depth: tuple[SpendShare, ...] = ()

    @classmethod
    def of(cls, spends: Iterable[Spend]) -> Report:
        """Divides what a run's ledger has.

        Args:
            spends: One for each model and depth.
        """
        lines = tuple(spends)
        by_model = _shares(lines, lambda line: line.model, str)
        return cls(
            total_usd=sum((line.cost_usd for line in lines), Decimal(0)),
            uncertain_usd=sum((line.uncertain_usd for line in lines), Decimal(0)),
            calls=sum(line.calls for line in lines),
            usage=sum((line.usage for line in lines), Usage()),
            by_account=_shares(lines, lambda line: min(line.depth, 1), lambda below: ("root", "recursive")[below]),
            by_model=tuple(sorted(by_model, key=lambda part: (-part.cost_usd, -part.tokens, part.name))),
            by_depth=_shares(lines, lambda line: line.depth, lambda depth: f"depth {depth}"),
        )

    def __str__(self) -> str:
        """Gives the report as lines, without divisions that would say nothing more."""
        depths = self.by_depth if len(self.by_depth) > 2 else ()  # two of them are root and recursive
        groups = (self.by_account, self.by_model, depths)
        shown = [str(part) for group in groups if len(group) > 1 for part in group]
        if self.uncertain_usd:
            shown.append(f"uncertain: {_dollars(self.uncertain_usd)} of requests that broke off, at their worst case")
        if self.usage.cached_input_tokens:
            shown.append(f"read from the provider's cache: {self.usage.cached_share:.1%} of the input")
        return "\n".join(shown)


def _shares(
    lines: tuple[Spend, ...], key: Callable[[Spend], _Key], name: Callable[[_Key], str]
) -> tuple[SpendShare, ...]:
    """Adds lines up by a key, in the order of the keys."""
    total_usd = sum((line.cost_usd for line in lines), Decimal(0))
    total_tokens = sum(line.usage.total_tokens for line in lines)
    parts = []
    for value in sorted({key(line) for line in lines}):
        same = [line for line in lines if key(line) == value]
        cost = sum((line.cost_usd for line in same), Decimal(0))
        tokens = sum(line.usage.total_tokens for line in same)
        share = float(cost / total_usd) if total_usd else tokens / total_tokens if total_tokens else 0.0
        calls = sum(line.calls for line in same)
        parts.append(SpendShare(name(value), calls, tokens, cost, round(100 * share, _PERCENT_DIGITS)))
    return tuple(parts)


def _dollars(amount: Decimal) -> str:
    return f"${amount.quantize(_CENTS)}"
