"""The books of a tree of sessions: what is spent, what is reserved, and against whose limits.

A request counts against a chain of pools: the run's, and one more for every session on the way down that was given
a share of its own. A share can only narrow, because everything counts against all the pools above it as well. Sums
are kept as they change, so that no question asked of the books takes longer as a run goes on. Nothing here locks;
`Budget` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from rlmbox.errors import BudgetExceeded, LimitExceeded, TokenLimitExceeded
from rlmbox.models.base import Model, Price
from rlmbox.types import Spend, Usage

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Left:
    """The rest of one limit.

    Attributes:
        name: Its unit: `usd`, `tokens`, `subcalls`, `seconds` or `turns`.
        limit: The limit, less what is set aside for the last answer.
        left: What of it is not used.
    """

    name: str
    limit: Decimal | float
    left: Decimal | float


@dataclass(slots=True, eq=False)
class Pool:
    """The spending of one session and all below it, and its limits.

    Attributes:
        depth: The depth of the session that it was given to; 0 for the run's.
        cost_limit_usd: US dollars; None for no limit.
        max_tokens: Tokens sent and received; None for no limit.
        spent_usd: Settled and abandoned requests.
        spent_tokens: The same in tokens.
        reserved_usd: Worst cases of the requests under way.
        reserved_tokens: The same in tokens.
        requests: Requests under way.
        max_subcalls: Calls to other models; None for no limit.
        subcalls: Those that were made.
        held_usd: Set aside for a request to come.
        held_tokens: The same in tokens.
    """

    depth: int
    cost_limit_usd: Decimal | None = None
    max_tokens: int | None = None
    spent_usd: Decimal = NOTHING
    spent_tokens: int = 0
    reserved_usd: Decimal = NOTHING
    reserved_tokens: int = 0
    requests: int = 0
    max_subcalls: int | None = None
    subcalls: int = 0
    held_usd: Decimal = NOTHING
    held_tokens: int = 0

    def fits(self, tokens: int, usd: Decimal) -> bool:
        """Return True if a request fits beside everything that is spent, under way or set aside."""
        if self.max_tokens is not None and (
            self.spent_tokens + self.reserved_tokens + self.held_tokens + tokens > self.max_tokens
        ):
            return False
        limit = self.cost_limit_usd
        return limit is None or self.spent_usd + self.reserved_usd + self.held_usd + usd <= limit

    def could_fit(self, tokens: int, usd: Decimal) -> bool:
        """Return True if a request would fit if everything under way cost nothing."""
        if self.max_tokens is not None and self.spent_tokens + self.held_tokens + tokens > self.max_tokens:
            return False
        return self.cost_limit_usd is None or self.spent_usd + self.held_usd + usd <= self.cost_limit_usd

    @property
    def overshot(self) -> bool:
        """True if more is spent than was allowed: only a provider that reports more than was reserved does that."""
        if self.max_tokens is not None and self.spent_tokens > self.max_tokens:
            return True
        return self.cost_limit_usd is not None and self.spent_usd > self.cost_limit_usd

    def left(self) -> Iterator[Left]:
        """Yield what is left of its limits; requests under way are not counted."""
        if self.cost_limit_usd is not None:
            usd = self.cost_limit_usd - self.held_usd
            yield Left("usd", usd, max(usd - self.spent_usd, NOTHING))
        if self.max_tokens is not None:
            tokens = self.max_tokens - self.held_tokens
            yield Left("tokens", tokens, max(tokens - self.spent_tokens, 0))
        if self.max_subcalls is not None:
            yield Left("subcalls", self.max_subcalls, max(self.max_subcalls - self.subcalls, 0))

    def refusal(
        self,
        tokens: int = 0,
        usd: Decimal = NOTHING,
        model: str | None = None,
        *,
        is_final: bool = True,
        advice: str = "",
    ) -> LimitExceeded:
        """Return why a request does not fit, or that the pool is overshot where no model is given.

        Args:
            tokens: The request's worst case.
            usd: The most that it can cost.
            model: The model that would be asked.
            is_final: Whether a smaller request would not fit either.
            advice: What would fit, to be appended.
        """
        whose = " of this session" if self.depth else ""
        limit, money = self.max_tokens, self.cost_limit_usd or NOTHING
        if limit is not None and self.spent_tokens + self.held_tokens + tokens > limit:
            then = f" and the next request may need {tokens:,}" if model else ""
            return TokenLimitExceeded(
                f"{self.spent_tokens:,} tokens are used{then}, more than max_tokens={limit:,}{whose} allows{advice}",
                limit=limit,
                used=self.spent_tokens + tokens,
                depth=self.depth,
                is_final=is_final,
            )
        then = f" and the next request to {model} may cost ${usd:.4f}" if model else ""
        return BudgetExceeded(
            f"${self.spent_usd:.4f} is spent{then}, more than cost_limit_usd={money}{whose} allows{advice}",
            limit=money,
            used=self.spent_usd + usd,
            depth=self.depth,
            is_final=is_final,
        )


@dataclass(slots=True, eq=False)
class Hold:
    """Room that is set aside for one request to come.

    Attributes:
        tokens: Its worst case.
        usd: The most that it can cost.
        open: Whether it is still set aside.
    """

    tokens: int
    usd: Decimal
    open: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """Who asks: where a request is entered in the books.

    Attributes:
        depth: 0 for the root's turns, 1 for its sub-calls and its children's turns, and so on.
        pools: What it counts against, the run's first.
        hold: Room that was set aside for its next request; None for a request without.
    """

    depth: int
    pools: tuple[Pool, ...]
    hold: Hold | None = None

    def below(self, *, cost_limit_usd: Decimal | None = None, max_tokens: int | None = None) -> Account:
        """Return the account of what this one's session opens or asks.

        Args:
            cost_limit_usd: A share in US dollars which it may not exceed; None for none of its own.
            max_tokens: The same in tokens.
        """
        pools = self.pools
        if cost_limit_usd is not None or max_tokens is not None:
            pools = (*pools, Pool(self.depth + 1, cost_limit_usd, max_tokens))
        return Account(self.depth + 1, pools)

    def for_question(
        self, *, cost_limit_usd: Decimal | None = None, max_tokens: int | None = None, max_subcalls: int | None = None
    ) -> Account:
        """Return the account of one question, which is as deep as this one and has limits of its own.

        Args:
            cost_limit_usd: US dollars from now on; None for none of its own.
            max_tokens: The same in tokens.
            max_subcalls: The same in calls to other models.
        """
        own = Pool(self.depth, cost_limit_usd, max_tokens, max_subcalls=max_subcalls)
        return Account(self.depth, (*self.pools, own))


@dataclass(slots=True, eq=False)
class Reservation:
    """Room in the books for one request, until it is settled, abandoned or released.

    Attributes:
        model: The model that will be asked.
        account: Who asks.
        max_output_tokens: Longest reply that was reserved for.
        worst: The most that the request can use.
        worst_usd: The most that it can cost.
        price: The price when it was reserved, by which it is settled as well; None where it is not known.
        open: Whether it is still reserved.
    """

    model: Model
    account: Account
    max_output_tokens: int
    worst: Usage
    worst_usd: Decimal
    price: Price | None = None
    open: bool = True


@dataclass(slots=True, eq=False)
class Tally:
    """Sums of one model at one depth."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = NOTHING
    uncertain_usd: Decimal = NOTHING
    calls: int = 0

    @property
    def usage(self) -> Usage:
        """The tokens."""
        return Usage(
            self.input_tokens,
            self.cached_input_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.requests,
            self.cache_write_tokens,
        )


class Ledger:
    """All the entries of a run. Memory is bounded by models times depths, however many requests there are."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[int, str], Tally] = {}

    def enter(self, depth: int, model: str, usage: Usage, cost_usd: Decimal, *, uncertain: bool) -> None:
        """Enter one request that was charged for.

        Args:
            depth: Its account's depth.
            model: The model's name.
            usage: What it used.
            cost_usd: What it cost.
            uncertain: Whether that is its worst case, because nobody knows.
        """
        tally = self._tallies.get((depth, model))
        if tally is None:
            tally = self._tallies[depth, model] = Tally()
        tally.input_tokens += usage.input_tokens
        tally.output_tokens += usage.output_tokens
        tally.requests += usage.requests
        if usage.cached_input_tokens or usage.reasoning_tokens or usage.cache_write_tokens:
            tally.cached_input_tokens += usage.cached_input_tokens
            tally.reasoning_tokens += usage.reasoning_tokens
            tally.cache_write_tokens += usage.cache_write_tokens
        tally.cost_usd += cost_usd
        if uncertain:
            tally.uncertain_usd += cost_usd
        tally.calls += 1

    def spends(self) -> Iterator[Spend]:
        """Yield what each model was asked at each depth, by depth and name."""
        for (depth, model), tally in sorted(self._tallies.items()):
            yield Spend(depth, model, tally.usage, tally.cost_usd, tally.uncertain_usd, tally.calls)
