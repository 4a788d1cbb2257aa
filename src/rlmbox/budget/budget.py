"""The one ledger of a run, and the limits that it keeps.

Before every request its worst case is reserved; after it the actual cost is settled. A request is sent only
when everything that was spent, everything that is reserved and its own worst case fit under the limit together,
so the limit holds however many requests are under way. A request whose outcome is not known stays charged with
its worst case, and is told apart as uncertain.

Requests are reserved and settled on one event loop; the sums may be read from any thread.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from decimal import Decimal

import anyio

from rlmbox.budget.ledger import NOTHING, Account, Hold, Ledger, Left, Pool, Reservation
from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD as DEFAULT_COST_LIMIT_USD
from rlmbox.budget.limits import Limits as Limits
from rlmbox.errors import (
    PriceUnknown,
    RecursionDepthExceeded,
    SubcallLimitExceeded,
    TimeLimitExceeded,
)
from rlmbox.models.base import Model, Price
from rlmbox.types import Cost, Report, Usage
from rlmbox.usage import quantity

MIN_OUTPUT_TOKENS = 256
"""Shortest reply that is worth paying for: below it a run ends instead of asking for less."""

_PROBE_TOKENS = 1_000


SMALLEST_INPUT_TOKENS = 1_000
"""Shortest prompt that is of any use: where not even that fits, a run is over."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that room is wanted for."""

    model: Model
    price: Price | None
    input_tokens: int
    max_output_tokens: int
    window_tokens: int | None
    likely_input_tokens: int | None

    def worst(self, output_tokens: int) -> Usage:
        """Return the most that it can use with a reply of that length: never more than the window holds."""
        sent = self.input_tokens
        if self.window_tokens is not None:
            # What the reply takes of the window the input cannot have, and it is the more expensive of the two.
            sent = min(sent, max(self.window_tokens - output_tokens, 1))
        return Usage(sent, 0, output_tokens, 0, 1)

    @property
    def as_likely(self) -> _Asked | None:
        """The same with what the provider will likely count; None where that is not known or no less."""
        likely = self.likely_input_tokens
        return replace(self, input_tokens=likely) if likely is not None and likely < self.input_tokens else None


class Budget:
    """The ledger of a run.

    Args:
        limits: What the run may use.

    Attributes:
        root: The account of the root session's turns; every other account is below it.
        began_s: When the run began, on the monotonic clock.
        end_s: When `max_seconds` are over, on the monotonic clock.
        deadline_s: When work has to end so that there is time for a last answer.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.began_s = time.monotonic()
        self.end_s = self.began_s + limits.max_seconds if limits.max_seconds else math.inf
        self.deadline_s = self.end_s - limits.last_answer_s
        self.root = Account(0, (Pool(0, limits.money, limits.max_tokens, max_subcalls=limits.max_subcalls),))
        self._lock = threading.Lock()
        self._books = Ledger()
        self._unknown = False
        self._dearer_written: dict[str, bool] = {}
        self._dearer_output: dict[str, bool] = {}
        self._waiting: anyio.Event | None = None

    @property
    def usage(self) -> Usage:
        """Tokens of the whole tree, those of abandoned requests at their worst case."""
        return self.report.usage

    @property
    def subcalls(self) -> int:
        """Calls to other models in the whole tree."""
        return self.root.pools[0].subcalls

    @property
    def spent_usd(self) -> Decimal:
        """Money of the whole tree, abandoned requests at their worst case."""
        return self.root.pools[0].spent_usd

    @property
    def cost(self) -> Cost:
        """Money of the whole tree and how it divides."""
        with self._lock:
            spends = list(self._books.spends())
        return Cost.of(spends, unknown=self._unknown)

    @property
    def report(self) -> Report:
        """The money and tokens, divided by model and by depth."""
        with self._lock:
            spends = list(self._books.spends())
        return Report.of(spends)

    @property
    def keeps_cost_limit(self) -> bool:
        """True if the cost limit is being kept: False where the default meets a model without a known price."""
        return self.limits.cost_limit_usd is not None and not self._unknown

    def admit(self, model: Model) -> None:
        """Check before anything is spent that the limits can be kept with a model.

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
        self._unknown = True

    def count_subcall(self, account: Account) -> int:
        """Count one more call to another model, and return its number among those of the whole run.

        Args:
            account: Who makes it.

        Raises:
            SubcallLimitExceeded: There were `max_subcalls` already, of the run or of what asks.
        """
        with self._lock:
            for pool in account.pools:
                if pool.max_subcalls is not None and pool.subcalls >= pool.max_subcalls:
                    whose = "the run" if pool is self.root.pools[0] else "this question"
                    raise SubcallLimitExceeded(
                        f"{whose} made {quantity(pool.subcalls, 'sub-call')}, which is its limit (max_subcalls)",
                        limit=pool.max_subcalls,
                        used=pool.subcalls + 1,
                        depth=pool.depth,
                    )
            for pool in account.pools:
                pool.subcalls += 1
            return self.root.pools[0].subcalls

    def enter_past(self, depth: int, model: str, usage: Usage, cost_usd: Decimal, *, uncertain: bool) -> None:
        """Enter an attempt that the record of this run has, made before this ledger was.

        Args:
            depth: Its account's depth.
            model: The model's name.
            usage: What it used.
            cost_usd: What it cost.
            uncertain: Whether that is its worst case, because nobody knows.
        """
        with self._lock:
            pool = self.root.pools[0]
            pool.spent_tokens += usage.total_tokens
            pool.spent_usd += cost_usd
            self._books.enter(depth, model, usage, cost_usd, uncertain=uncertain)

    def enter_in_pool(self, pool: Pool, usd: Decimal, tokens: int, subcalls: int) -> None:
        """Enter what the record has of a share that is given anew; the run's own pool has it already.

        Args:
            pool: The share.
            usd: Money that was charged against it.
            tokens: Tokens that were charged against it.
            subcalls: Calls to other models that were made against it.
        """
        with self._lock:
            pool.spent_usd += usd
            pool.spent_tokens += tokens
            pool.subcalls += subcalls

    def go_on_from(self, subcalls: int, used_s: float) -> None:
        """Count the calls and the time of the run before this ledger was made.

        Args:
            subcalls: Calls to other models.
            used_s: Seconds of wall time.
        """
        with self._lock:
            self.root.pools[0].subcalls += subcalls
            self.began_s -= used_s
            self.end_s -= used_s
            self.deadline_s -= used_s

    def check_depth(self, depth: int) -> None:
        """Check that a session at `depth` may open.

        Raises:
            RecursionDepthExceeded: It is deeper than `max_depth`.
        """
        if depth > self.limits.max_depth:
            raise RecursionDepthExceeded(
                f"a session at depth {depth} would exceed max_depth={self.limits.max_depth}; use llm_query instead",
                limit=self.limits.max_depth,
                used=depth,
                depth=depth,
            )

    def left(self, account: Account) -> tuple[Left, ...]:
        """Return what is left of each limit that an account has, the run's first; requests under way are not counted.

        Args:
            account: Whose.
        """
        kept = self.keeps_cost_limit
        with self._lock:
            found = [left for pool in account.pools for left in pool.left() if kept or left.name != "usd"]
        if self.limits.max_seconds is not None:
            seconds = max(self.deadline_s - time.monotonic(), 0.0)
            found.append(Left("seconds", self.limits.max_seconds - self.limits.last_answer_s, seconds))
        return tuple(found)

    async def reserve(
        self,
        model: Model,
        input_tokens: int,
        max_output_tokens: int,
        *,
        account: Account,
        window_tokens: int | None = None,
        likely_input_tokens: int | None = None,
    ) -> Reservation:
        """Take room for the worst case of a request, waiting for others to settle where that may help.

        The reply that is reserved for is shortened, down to `MIN_OUTPUT_TOKENS`, when what is left cannot pay for a
        full one. Where not even that fits, and the provider has counted the tokens of other requests, the worst case of
        the input is what it is likely to count for this one.

        Args:
            model: The model to ask.
            input_tokens: Most tokens that the request can have.
            max_output_tokens: Longest reply wanted.
            account: Who asks. Room that was set aside on it is given back for this request to take.
            window_tokens: Most tokens that the request and its reply can have together; None where that is not known.
            likely_input_tokens: Tokens that the provider will likely count, on the high side; None where that is not
                known.

        Raises:
            BudgetExceeded: Not even the shortest reply can be paid for. `is_final` says whether a smaller request can.
            TokenLimitExceeded: The same for tokens.
        """
        price = model.price
        if window_tokens is not None and not self._is_output_dearer(model, price):
            window_tokens = None
        asked = _Asked(model, price, input_tokens, max_output_tokens, window_tokens, likely_input_tokens)
        while True:
            with self._lock:
                if account.hold is not None:
                    self._give_back(account)
                reservation = self._take(asked, account)
                if reservation is not None:
                    return reservation
                if self._waiting is None:
                    self._waiting = anyio.Event()
                changed = self._waiting
            await changed.wait()

    def settle(self, reservation: Reservation, usage: Usage) -> Decimal:
        """Replace a reservation by what was really used, in full even where that is more, and return its cost."""
        cost = reservation.price.cost_usd(usage) if reservation.price else NOTHING
        self._charge(reservation, usage, cost, uncertain=False)
        return cost

    def abandon(self, reservation: Reservation, usage: Usage | None = None) -> Decimal:
        """Charge a request that may have been billed, and nobody knows how much; return what it is charged.

        Args:
            reservation: The request's.
            usage: The most that it can have used; None for the reservation's worst case.
        """
        usage = usage or reservation.worst
        usd = min(self._worst_usd(reservation.model, reservation.price, usage), reservation.worst_usd)
        self._charge(reservation, usage, usd, uncertain=True)
        return usd

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back; does nothing when it was settled or abandoned."""
        with self._lock:
            self._close(reservation)

    def check(self, account: Account) -> None:
        """Check after a reply that no limit is overshot: a provider may use more than it was asked for.

        Args:
            account: Whose limits.

        Raises:
            BudgetExceeded: More is spent than `cost_limit_usd`.
            TokenLimitExceeded: The same for tokens.
        """
        with self._lock:
            for pool in account.pools:
                if pool.overshot:
                    raise pool.refusal()

    def time_is_up(self) -> TimeLimitExceeded:
        """Return the error of a run whose time is used up."""
        limit = self.limits.max_seconds or 0.0
        return TimeLimitExceeded(
            f"the run's time is used up (max_seconds={limit:g})", limit=limit, used=time.monotonic() - self.began_s
        )

    def fits(self, model: Model, input_tokens: int, max_output_tokens: int, *, account: Account) -> bool:
        """Return True if a request could be reserved now, without waiting or shortening; takes nothing.

        Args:
            model: The model.
            input_tokens: Most tokens that the request can have.
            max_output_tokens: Longest reply wanted.
            account: Who asks; what is set aside on it counts as free.
        """
        usd = self.worst_usd(model, input_tokens, max_output_tokens)
        tokens = input_tokens + max_output_tokens
        hold = account.hold
        if hold is not None and hold.open:
            tokens, usd = tokens - hold.tokens, usd - hold.usd
        with self._lock:
            return all(pool.fits(tokens, usd) for pool in account.pools)

    def worst_usd(self, model: Model, input_tokens: int, max_output_tokens: int) -> Decimal:
        """Return the most that a request can cost, in US dollars; 0 where the model's price is not known.

        Args:
            model: The model.
            input_tokens: Most tokens that the request can have.
            max_output_tokens: Longest reply.
        """
        return self._worst_usd(model, model.price, Usage(input_tokens, 0, max_output_tokens, 0, 1))

    def affordable_output_tokens(self, model: Model, share: float, *, account: Account) -> float:
        """Return the length of a reply that costs a share of what is left, in tokens; infinity where nothing limits it.

        Args:
            model: The model.
            share: From 0 to 1.
            account: Who asks.
        """
        price = model.price
        usd = price.cost_usd(Usage(0, 0, _PROBE_TOKENS, 0, 1)) / _PROBE_TOKENS if price else NOTHING
        found = math.inf
        with self._lock:
            for pool in account.pools:
                if pool.max_tokens is not None:
                    found = min(found, share * (pool.max_tokens - pool.spent_tokens - pool.held_tokens))
                if pool.cost_limit_usd is not None and usd:
                    left = pool.cost_limit_usd - pool.spent_usd - pool.held_usd
                    found = min(found, share * float(left / usd))
        return found

    def hold(
        self, model: Model, input_tokens: int, max_output_tokens: int, *, account: Account, most_share: float
    ) -> Account | None:
        """Set room aside for one request to come.

        Args:
            model: The model that will be asked.
            input_tokens: Most tokens that the request can have.
            max_output_tokens: Longest reply wanted.
            account: Who will ask.
            most_share: Most of what is left of any limit that may be set aside, from 0 to 1.

        Returns:
            The account with which to ask, or None where it would be more than that share.
        """
        usd = self.worst_usd(model, input_tokens, max_output_tokens)
        tokens = input_tokens + max_output_tokens
        share = Decimal(str(most_share))
        with self._lock:
            for pool in account.pools:
                if not pool.fits(math.ceil(tokens / most_share), usd / share):
                    return None
            for pool in account.pools:
                pool.held_tokens += tokens
                pool.held_usd += usd
        return replace(account, hold=Hold(tokens, usd))

    def give_back(self, account: Account) -> None:
        """Free what was set aside on an account, where it was not used."""
        with self._lock:
            self._give_back(account)

    def _give_back(self, account: Account) -> None:
        hold = account.hold
        if hold is not None and hold.open:
            hold.open = False
            for pool in account.pools:
                pool.held_tokens -= hold.tokens
                pool.held_usd -= hold.usd
            self._wake()

    def _charge(self, reservation: Reservation, usage: Usage, cost: Decimal, *, uncertain: bool) -> None:
        tokens = usage.input_tokens + usage.output_tokens
        account = reservation.account
        with self._lock:
            if not reservation.open:
                return
            self._close(reservation)
            for pool in account.pools:
                pool.spent_tokens += tokens
                pool.spent_usd += cost
            self._books.enter(account.depth, reservation.model.name, usage, cost, uncertain=uncertain)

    def _take(self, asked: _Asked, account: Account) -> Reservation | None:
        """Take room, of a shorter reply where nothing else would help; None where waiting may.

        Raises:
            LimitExceeded: Not even the shortest reply will ever fit.
        """
        worst = asked.worst(asked.max_output_tokens)
        worst_usd = self._cost(asked, worst)
        tokens = worst.input_tokens + worst.output_tokens
        if not all([pool.fits(tokens, worst_usd) for pool in account.pools]):  # noqa: C419 - a list is quicker
            shorter = self._shorter(asked, account)
            if shorter is None:
                return None
            worst, tokens = shorter, shorter.total_tokens
            worst_usd = self._cost(asked, worst)
        for pool in account.pools:
            pool.reserved_tokens += tokens
            pool.reserved_usd += worst_usd
            pool.requests += 1
        return Reservation(asked.model, account, worst.output_tokens, worst, worst_usd, asked.price)

    def _shorter(self, asked: _Asked, account: Account) -> Usage | None:
        """Return the worst case of a request with a shorter reply that fits; None where waiting may help instead.

        Raises:
            LimitExceeded: Not even the shortest reply will ever fit.
        """
        for each in (asked, asked.as_likely):
            if each is None:
                break
            least = each.worst(min(MIN_OUTPUT_TOKENS, each.max_output_tokens))
            least_usd = self._cost(each, least)
            if not all(pool.could_fit(least.total_tokens, least_usd) for pool in account.pools):
                continue
            # A full reply is waited for; one to a prompt of likely length takes what there is.
            wanted = each.worst(each.max_output_tokens) if each is asked else least
            usd = self._cost(each, wanted)
            if any(pool.requests for pool in account.pools if not pool.fits(wanted.total_tokens, usd)):
                return None
            return self._affordable(each, account)
        self._refuse(asked, account)
        return None

    def _refuse(self, asked: _Asked, account: Account) -> None:
        """Raise why a request will never fit, and say what would.

        Raises:
            LimitExceeded: Always.
        """
        cheapest = asked.as_likely or asked
        least = cheapest.worst(min(MIN_OUTPUT_TOKENS, asked.max_output_tokens))
        least_usd = self._cost(asked, least)
        pool = next(pool for pool in account.pools if not pool.could_fit(least.total_tokens, least_usd))
        room = self._largest_input(asked, account)
        is_final = room < SMALLEST_INPUT_TOKENS
        advice = ""
        if not is_final:
            chars = int(room * asked.input_tokens / max(least.input_tokens, 1))
            advice = f"; a prompt of up to some {chars:,} characters fits"
        raise pool.refusal(least.total_tokens, least_usd, asked.model.name, is_final=is_final, advice=advice)

    def _largest_input(self, asked: _Asked, account: Account) -> int:
        """Return by bisection the longest input that could fit with the shortest reply, in tokens; 0 for none."""
        low, high = 0, asked.input_tokens
        while low < high:
            middle = (low + high + 1) // 2
            usage = Usage(middle, 0, min(MIN_OUTPUT_TOKENS, asked.max_output_tokens), 0, 1)
            usd = self._cost(asked, usage)
            if all(pool.could_fit(usage.total_tokens, usd) for pool in account.pools):
                low = middle
            else:
                high = middle - 1
        return low

    def _affordable(self, asked: _Asked, account: Account) -> Usage:
        """Return by bisection the longest reply that fits what is left, given that the shortest one does."""
        low, high = min(MIN_OUTPUT_TOKENS, asked.max_output_tokens), asked.max_output_tokens
        while low < high:
            middle = (low + high + 1) // 2
            usage = asked.worst(middle)
            usd = self._cost(asked, usage)
            if all(pool.fits(usage.total_tokens, usd) for pool in account.pools):
                low = middle
            else:
                high = middle - 1
        return asked.worst(low)

    def _cost(self, asked: _Asked, usage: Usage) -> Decimal:
        return self._worst_usd(asked.model, asked.price, usage)

    def _close(self, reservation: Reservation) -> None:
        if reservation.open:
            reservation.open = False
            worst, usd = reservation.worst, reservation.worst_usd
            tokens = worst.input_tokens + worst.output_tokens
            for pool in reservation.account.pools:
                pool.reserved_tokens -= tokens
                pool.reserved_usd -= usd
                pool.requests -= 1
            if self._waiting is not None:
                self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    def _worst_usd(self, model: Model, price: Price | None, worst: Usage) -> Decimal:
        """Return the most that a request can cost: all of its input is new, or all is written to the cache."""
        if price is None:
            return NOTHING
        dearer = self._dearer_written.get(model.name)
        if dearer is None:
            dearer = self._dearer_written[model.name] = _is_dearer_written(price)
        return price.cost_usd(replace(worst, cache_write_tokens=worst.input_tokens) if dearer else worst)

    def _is_output_dearer(self, model: Model, price: Price | None) -> bool:
        dearer = self._dearer_output.get(model.name)
        if dearer is None:
            sent, received = Usage(_PROBE_TOKENS, 0, 0, 0, 1), Usage(0, 0, _PROBE_TOKENS, 0, 1)
            dearer = price is None or price.cost_usd(received) >= self._worst_usd(model, price, sent)
            self._dearer_output[model.name] = dearer
        return dearer


def _is_dearer_written(price: Price) -> bool:
    plain = Usage(_PROBE_TOKENS, 0, 0, 0, 1)
    return price.cost_usd(replace(plain, cache_write_tokens=_PROBE_TOKENS)) > price.cost_usd(plain)
