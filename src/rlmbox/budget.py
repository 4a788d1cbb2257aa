"""Limits of a run and the one ledger that keeps them.

Before every request its worst case is reserved; after it the actual cost is settled. A request is sent only
when everything that was spent, everything that is reserved and its own worst case fit under the limit together,
so the limit holds however many requests are under way. A request whose outcome is not known stays charged with
its worst case.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Literal

import anyio

from rlmbox.errors import (
    BudgetExceeded,
    ConfigError,
    LimitExceeded,
    ModelError,
    PriceUnknown,
    RecursionDepthExceeded,
    SubcallLimitExceeded,
    TokenLimitExceeded,
)
from rlmbox.models.base import Model
from rlmbox.types import CellLimits, Completion, Cost, Message, Usage

DEFAULT_COST_LIMIT_USD = Decimal("5.00")
"""The limit of a run for which none is set. It is kept where prices are known; a limit that is set is always kept."""

MIN_OUTPUT_TOKENS = 256
"""Shortest reply that is worth paying for: below it a run ends instead of asking for less."""

_TOKENS_PER_MESSAGE = 16  # role and separators, in every provider's format

Account = Literal["root", "recursive"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use; children share their root's.

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
        observation_chars: Longest message to the model about what its cells gave.
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
    observation_chars: int = 20_000
    cell: CellLimits = CellLimits()

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ConfigError: A limit is not a number or out of its range.
        """
        if self.cost_limit_usd is not None and self.cost_limit_usd is not DEFAULT_COST_LIMIT_USD:
            try:
                amount = Decimal(str(self.cost_limit_usd))
            except InvalidOperation:
                raise ConfigError(f"cost_limit_usd is an amount such as '2.00', not {self.cost_limit_usd!r}") from None
            if not amount.is_finite() or amount < 0:
                raise ConfigError(f"cost_limit_usd is 0 or more, not {self.cost_limit_usd!r}")
            object.__setattr__(self, "cost_limit_usd", amount)
        least = {"max_turns": 1, "max_depth": 0, "max_subcalls": 0, "max_output_tokens": 1, "concurrency": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(f"{name} is a whole number of at least {smallest}, not {value!r}")
        for name in ("max_tokens", "max_seconds", "subcall_timeout_s", "observation_chars"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name} is a number above 0, not {value!r}")

    @property
    def cost_limit_is_default(self) -> bool:
        """Whether nobody set the cost limit."""
        return self.cost_limit_usd is DEFAULT_COST_LIMIT_USD


@dataclass(slots=True)
class Reservation:
    """Room in the ledger for one request, until it is settled or abandoned.

    Attributes:
        model: The model that will be asked.
        account: Who asks.
        max_output_tokens: Longest reply that was reserved for.
        worst: The most that the request can use.
        worst_usd: The most that it can cost.
    """

    model: Model
    account: Account
    max_output_tokens: int
    worst: Usage
    worst_usd: Decimal
    open: bool = True


@dataclass(slots=True)
class _Ledger:
    """Sums of a whole tree of sessions; used under the budget's lock."""

    usage: Usage = Usage()
    spent_usd: dict[tuple[Account, str], Decimal] = field(default_factory=dict)
    reserved_tokens: int = 0
    reserved_usd: Decimal = Decimal(0)
    reservations: int = 0
    subcalls: int = 0
    unknown: bool = False

    @property
    def total_usd(self) -> Decimal:
        return sum(self.spent_usd.values(), Decimal(0))


class Budget:
    """The ledger of a run.

    Args:
        limits: What the run may use.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.deadline_s = time.monotonic() + limits.max_seconds if limits.max_seconds else math.inf
        self._lock = threading.Lock()
        self._ledger = _Ledger()
        self._changed = anyio.Event()

    @property
    def usage(self) -> Usage:
        """Tokens of the whole tree, those of abandoned requests at their worst case."""
        return self._ledger.usage

    @property
    def subcalls(self) -> int:
        """Calls to other models in the whole tree."""
        return self._ledger.subcalls

    @property
    def cost(self) -> Cost:
        """Money of the whole tree, abandoned requests at their worst case."""
        with self._lock:
            spent = dict(self._ledger.spent_usd)
            unknown = self._ledger.unknown
        by_model: dict[str, Decimal] = {}
        for (_, model), amount in spent.items():
            by_model[model] = by_model.get(model, Decimal(0)) + amount
        root = sum((amount for (account, _), amount in spent.items() if account == "root"), Decimal(0))
        total = sum(spent.values(), Decimal(0))
        return Cost(total, root, total - root, MappingProxyType(by_model), unknown)

    @property
    def keeps_cost_limit(self) -> bool:
        """Whether the cost limit is being kept: False where the default meets a model without a known price."""
        return self.limits.cost_limit_usd is not None and not self._ledger.unknown

    def admit(self, model: Model) -> None:
        """Checks before anything is spent that the limits can be kept with a model.

        Raises:
            PriceUnknown: A cost limit was set and the model's price is not known.
        """
        if model.price is not None:
            return
        if self.limits.cost_limit_usd is not None and not self.limits.cost_limit_is_default:
            raise PriceUnknown(
                f"the price of {model.name} is not known, so the limit of ${self.limits.cost_limit_usd} "
                "cannot be kept; give its price (--prices FILE, or prices=…) or set no cost limit"
            )
        self._ledger.unknown = True

    def count_subcall(self) -> int:
        """Counts one more call to another model, and gives its number.

        Raises:
            SubcallLimitExceeded: There were `max_subcalls` already.
        """
        with self._lock:
            limit, used = self.limits.max_subcalls, self._ledger.subcalls
            if used >= limit:
                raise SubcallLimitExceeded(
                    f"the run made {used} sub-calls, which is its limit (max_subcalls)", limit=limit, used=used + 1
                )
            self._ledger.subcalls += 1
            return self._ledger.subcalls

    def check_depth(self, depth: int) -> None:
        """Checks that a session at `depth` may open.

        Raises:
            RecursionDepthExceeded: It is deeper than `max_depth`.
        """
        if depth > self.limits.max_depth:
            raise RecursionDepthExceeded(
                f"a session at depth {depth} would exceed max_depth={self.limits.max_depth}; use llm_query instead",
                limit=self.limits.max_depth,
                used=depth,
            )

    async def complete(
        self,
        model: Model,
        messages: Sequence[Message],
        *,
        account: Account,
        max_output_tokens: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[Completion, Decimal]:
        """Reserves, asks the model and settles: the only way in which a run spends.

        Args:
            model: The model to ask.
            messages: The conversation.
            account: Who asks.
            max_output_tokens: Longest reply; None for the run's.
            timeout_s: Seconds after which the request is given up.

        Returns:
            The reply and what it cost in US dollars.

        Raises:
            BudgetExceeded: Not even a reply of `MIN_OUTPUT_TOKENS` can be paid for.
            TokenLimitExceeded: The same for tokens.
            ModelError: The provider failed.
        """
        wanted = min(max_output_tokens or self.limits.max_output_tokens, self.limits.max_output_tokens)
        reservation = await self.reserve(model, worst_input_tokens(messages), wanted, account=account)
        try:
            completion = await model.complete(
                messages, max_output_tokens=reservation.max_output_tokens, timeout_s=timeout_s
            )
        except ModelError as error:
            if error.possibly_billed:
                self.abandon(reservation)
            raise
        except BaseException:
            # Cancelled or broken halfway: the provider may have charged for it.
            self.abandon(reservation)
            raise
        else:
            return completion, self.settle(reservation, completion.usage)
        finally:
            self.release(reservation)

    async def reserve(
        self, model: Model, input_tokens: int, max_output_tokens: int, *, account: Account
    ) -> Reservation:
        """Takes room for the worst case of a request, waiting for others to settle where that may help.

        The reply that is reserved for is shortened, down to `MIN_OUTPUT_TOKENS`, when what is left cannot pay for a
        full one.

        Args:
            model: The model to ask.
            input_tokens: Most tokens that the request can have.
            max_output_tokens: Longest reply wanted.
            account: Who asks.

        Raises:
            BudgetExceeded: Not even the shortest reply can be paid for.
            TokenLimitExceeded: The same for tokens.
        """
        while True:
            with self._lock:
                refusal = self._refusal(model, input_tokens, max_output_tokens)
                alone = self._ledger.reservations == 0
                if refusal is not None and alone:
                    max_output_tokens = self._affordable(model, input_tokens, max_output_tokens)
                    if max_output_tokens == 0:
                        raise refusal
                if refusal is None or alone:
                    return self._take(model, input_tokens, max_output_tokens, account)
                changed = self._changed
            await changed.wait()

    def settle(self, reservation: Reservation, usage: Usage) -> Decimal:
        """Replaces a reservation by what was really used, in full even where that is more; gives its cost."""
        price = reservation.model.price
        cost = price.cost_usd(usage) if price else Decimal(0)
        self._charge(reservation, usage, cost)
        return cost

    def abandon(self, reservation: Reservation) -> None:
        """Charges a reservation's worst case: its request may have been billed and nobody knows how much."""
        self._charge(reservation, reservation.worst, reservation.worst_usd)

    def release(self, reservation: Reservation) -> None:
        """Gives a reservation back; does nothing when it was settled or abandoned."""
        with self._lock:
            self._close(reservation)

    def _charge(self, reservation: Reservation, usage: Usage, cost: Decimal) -> None:
        with self._lock:
            if not reservation.open:
                return
            self._close(reservation)
            key = (reservation.account, reservation.model.name)
            self._ledger.usage += usage
            self._ledger.spent_usd[key] = self._ledger.spent_usd.get(key, Decimal(0)) + cost

    def _take(self, model: Model, input_tokens: int, max_output_tokens: int, account: Account) -> Reservation:
        worst, worst_usd = self._worst(model, input_tokens, max_output_tokens)
        self._ledger.reserved_tokens += worst.total_tokens
        self._ledger.reserved_usd += worst_usd
        self._ledger.reservations += 1
        return Reservation(model, account, max_output_tokens, worst, worst_usd)

    def _close(self, reservation: Reservation) -> None:
        if reservation.open:
            reservation.open = False
            self._ledger.reserved_tokens -= reservation.worst.total_tokens
            self._ledger.reserved_usd -= reservation.worst_usd
            self._ledger.reservations -= 1
            self._changed.set()
            self._changed = anyio.Event()

    def _worst(self, model: Model, input_tokens: int, max_output_tokens: int) -> tuple[Usage, Decimal]:
        worst = Usage(input_tokens=input_tokens, output_tokens=max_output_tokens, requests=1)
        return worst, model.price.cost_usd(worst) if model.price else Decimal(0)

    def _refusal(self, model: Model, input_tokens: int, max_output_tokens: int) -> LimitExceeded | None:
        """Says why a request does not fit, or None where it does."""
        worst, worst_usd = self._worst(model, input_tokens, max_output_tokens)
        ledger, limit = self._ledger, self.limits.max_tokens
        tokens = ledger.usage.total_tokens + ledger.reserved_tokens + worst.total_tokens
        if limit is not None and tokens > limit:
            used = ledger.usage.total_tokens
            return TokenLimitExceeded(
                f"{used:,} tokens are used and the next request may need {worst.total_tokens:,}, "
                f"more than max_tokens={limit:,} allows",
                limit=limit,
                used=tokens,
            )
        money = self.limits.cost_limit_usd
        spent = ledger.total_usd
        usd = spent + ledger.reserved_usd + worst_usd
        if isinstance(money, Decimal) and usd > money:
            return BudgetExceeded(
                f"${spent:.4f} is spent and the next request to {model.name} may cost ${worst_usd:.4f}, "
                f"more than cost_limit_usd={money} allows",
                limit=money,
                used=usd,
            )
        return None

    def _affordable(self, model: Model, input_tokens: int, wanted: int) -> int:
        """Longest reply, by bisection, that fits what is left; 0 where none of a useful length does."""
        low, high = min(MIN_OUTPUT_TOKENS, wanted), wanted
        if self._refusal(model, input_tokens, low) is not None:
            return 0
        while low < high:
            middle = (low + high + 1) // 2
            if self._refusal(model, input_tokens, middle) is None:
                low = middle
            else:
                high = middle - 1
        return low


def worst_input_tokens(messages: Sequence[Message]) -> int:
    """Gives a number of tokens that a request cannot exceed: one per byte of UTF-8, plus the messages' frames.

    Byte-level vocabularies, which all large providers use, have no token shorter than a byte.
    """
    return sum(len(message.content.encode("utf-8", "replace")) + _TOKENS_PER_MESSAGE for message in messages)
