"""The ledger against everything that can happen to 64 callers at once: what was really charged breaks no limit."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from examples import examples
from rlmbox.budget.budget import Budget, Limits
from rlmbox.budget.ledger import Account, Pool, Reservation
from rlmbox.errors import LimitExceeded
from rlmbox.models.prices import FlatPrice
from rlmbox.testing import ScriptedModel
from rlmbox.types import Usage

CALLERS = 64
SHARES = st.sampled_from([0.0, 0.3, 0.9, 1.0])
MODELS = (
    ScriptedModel([], name="cheap", price=FlatPrice(Decimal(1), Decimal(3), origin="test")),
    ScriptedModel([], name="dear", price=FlatPrice(Decimal(7), Decimal("41.3"), origin="test")),
)


@dataclass(eq=False)
class Caller:
    """One request on its way, as whoever asks a provider would make it."""

    model: ScriptedModel
    account: Account
    input_tokens: int
    wanted: int
    task: asyncio.Task[Reservation] | None = None
    sent: Usage | None = None

    @property
    def reservation(self) -> Reservation | None:
        task = self.task
        done = task is not None and task.done() and not task.cancelled() and task.exception() is None
        return task.result() if task is not None and done else None


@dataclass
class Provider:
    """Charges for what it is sent, and keeps its own count, apart from the ledger's."""

    charged: list[tuple[Account, Decimal, int]] = field(default_factory=list)

    def answer(self, caller: Caller, usage: Usage) -> None:
        caller.sent = usage
        price = caller.model.price
        assert price is not None
        self.charged.append((caller.account, price.cost_usd(usage), usage.total_tokens))

    def within(self, pool: Pool) -> tuple[Decimal, int]:
        entries = [(usd, tokens) for account, usd, tokens in self.charged if pool in account.pools]
        return sum((usd for usd, _ in entries), Decimal(0)), sum(tokens for _, tokens in entries)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.provider = Provider()
        self.callers: list[Caller] = []
        self.settled_usd = Decimal(0)

    @initialize(
        usd=st.one_of(st.none(), st.integers(10_000, 200_000)), tokens=st.one_of(st.none(), st.integers(2_000, 60_000))
    )
    def open(self, usd: int | None, tokens: int | None) -> None:
        limit = None if usd is None else Decimal(usd) / 1_000_000
        self.budget = Budget(Limits(cost_limit_usd=limit, max_tokens=tokens))
        self.accounts = [self.budget.root]
        self.held: list[tuple[ScriptedModel, int, Account]] = []

    @rule(
        count=st.integers(1, CALLERS),
        which=st.integers(0, 10**6),
        model=st.sampled_from(MODELS),
        input_tokens=st.integers(1, 500),
        wanted=st.integers(1, 600),
    )
    def reserve(self, count: int, which: int, model: ScriptedModel, input_tokens: int, wanted: int) -> None:
        for number in range(min(count, CALLERS - len(self.callers))):
            account = self.accounts[(which + number) % len(self.accounts)]
            self._begin(Caller(model, account, input_tokens, wanted))
        self._turn()

    @rule(data=st.data(), input_share=SHARES, output_share=SHARES)
    def send(self, data: st.DataObject, input_share: float, output_share: float) -> None:
        for caller in self._some(data, [c for c in self.callers if c.reservation and not c.sent]):
            assert caller.reservation is not None
            used = Usage(
                input_tokens=int(caller.reservation.worst.input_tokens * input_share),
                output_tokens=int(caller.reservation.max_output_tokens * output_share),
                requests=1,
            )
            self.provider.answer(caller, used)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        for caller in self._some(data, [c for c in self.callers if c.sent]):
            self._settle(caller)
        self._turn()

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The connection breaks: nobody knows whether the provider charged, which it has or has not."""
        for caller in self._some(data, [c for c in self.callers if c.reservation]):
            assert caller.reservation is not None
            self.budget.abandon(caller.reservation)
            self.callers.remove(caller)
        self._turn()

    @rule(data=st.data(), billed=st.booleans())
    def retry(self, data: st.DataObject, billed: bool) -> None:
        """An attempt fails, and the next one reserves anew."""
        ready = [c for c in self.callers if c.reservation and (billed or not c.sent)]
        for caller in self._some(data, ready):
            assert caller.reservation is not None
            (self.budget.abandon if billed else self.budget.release)(caller.reservation)
            self.callers.remove(caller)
            self._begin(Caller(caller.model, caller.account, caller.input_tokens, caller.wanted))
        self._turn()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        for caller in self._some(data, list(self.callers)):
            if caller not in self.callers:
                continue  # refused when an earlier one of these made way for it
            assert caller.task is not None
            caller.task.cancel()
            self._turn()
            if caller.reservation is not None:
                self.budget.abandon(caller.reservation)
                self.budget.release(caller.reservation)  # as a `finally` does; it must change nothing
            if caller in self.callers:
                self.callers.remove(caller)
        self._turn()

    @precondition(lambda self: len(self.accounts) < 20)
    @rule(
        which=st.integers(0, 10**6),
        usd=st.one_of(st.none(), st.integers(5_000, 60_000)),
        tokens=st.one_of(st.none(), st.integers(1_000, 10_000)),
    )
    def child(self, which: int, usd: int | None, tokens: int | None) -> None:
        parent = self.accounts[which % len(self.accounts)]
        share = None if usd is None else Decimal(usd) / 1_000_000
        self.accounts.append(parent.below(cost_limit_usd=share, max_tokens=tokens))

    @precondition(lambda self: len(self.held) < 4)
    @rule(which=st.integers(0, 10**6), model=st.sampled_from(MODELS), tokens=st.integers(10, 300))
    def set_aside(self, which: int, model: ScriptedModel, tokens: int) -> None:
        account = self.accounts[which % len(self.accounts)]
        held = self.budget.hold(model, tokens, tokens, account=account, most_share=0.5)
        if held is not None:
            assert self.budget.fits(model, tokens, tokens, account=held)
            self.held.append((model, tokens, held))

    @precondition(lambda self: self.held and len(self.callers) < CALLERS)
    @rule()
    def take_what_was_set_aside(self) -> None:
        model, tokens, held = self.held.pop(0)
        caller = Caller(model, held, tokens, tokens)
        self._begin(caller)
        self._turn()
        assert caller.reservation is not None
        assert caller.reservation.max_output_tokens == tokens

    @precondition(lambda self: self.held)
    @rule()
    def give_back(self) -> None:
        self.budget.give_back(self.held.pop()[2])
        self._turn()

    @invariant()
    def what_was_charged_breaks_no_limit(self) -> None:
        for pool in self._pools():
            usd, tokens = self.provider.within(pool)
            assert pool.cost_limit_usd is None or usd <= pool.cost_limit_usd
            assert pool.max_tokens is None or tokens <= pool.max_tokens

    @invariant()
    def the_books_cover_everything_that_is_charged_reserved_or_set_aside(self) -> None:
        for pool in self._pools():
            promised = pool.spent_usd + pool.reserved_usd + pool.held_usd
            assert pool.cost_limit_usd is None or promised <= pool.cost_limit_usd
            assert min(pool.spent_usd, pool.reserved_usd, pool.held_usd) >= 0
            assert min(pool.reserved_tokens, pool.requests) >= 0
            assert self.provider.within(pool)[0] <= promised
            assert not pool.overshot

    @invariant()
    def known_and_uncertain_spend_are_told_apart(self) -> None:
        if hasattr(self, "budget"):
            cost = self.budget.cost
            assert cost.total_usd - cost.uncertain_usd == self.settled_usd
            assert cost.total_usd == cost.root_usd + cost.recursive_usd == self.budget.spent_usd
            assert sum(cost.by_depth.values()) == sum(cost.by_model.values()) == cost.total_usd

    def teardown(self) -> None:
        """Whoever waits gets an answer once the others are done: room, or an error."""
        for _ in range(2 * CALLERS):
            self._turn()
            for caller in [c for c in self.callers if c.reservation]:
                if caller.sent:
                    self._settle(caller)
                else:
                    assert caller.reservation is not None
                    self.budget.release(caller.reservation)
                    self.callers.remove(caller)
        waiting = [c for c in self.callers if c.task is not None and not c.task.done()]
        for caller in waiting:
            assert caller.task is not None
            caller.task.cancel()
        self._turn()
        self.loop.close()
        assert not waiting

    def _begin(self, caller: Caller) -> None:
        async def take() -> Reservation:
            return await self.budget.reserve(caller.model, caller.input_tokens, caller.wanted, account=caller.account)

        caller.task = self.loop.create_task(take())
        self.callers.append(caller)

    def _settle(self, caller: Caller) -> None:
        assert caller.reservation is not None
        assert caller.sent is not None
        self.settled_usd += self.budget.settle(caller.reservation, caller.sent)
        self.callers.remove(caller)

    def _turn(self) -> None:
        """Lets every task go as far as it can; those that were refused are done."""
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))
        for caller in list(self.callers):
            task = caller.task
            if task is not None and task.done() and not task.cancelled() and (error := task.exception()) is not None:
                assert isinstance(error, LimitExceeded)
                self.callers.remove(caller)

    def _some(self, data: st.DataObject, callers: list[Caller]) -> list[Caller]:
        if not callers:
            return []
        first, last = data.draw(st.integers(0, len(callers) - 1)), data.draw(st.integers(1, len(callers)))
        return callers[first : first + last]

    def _pools(self) -> set[Pool]:
        return {pool for account in getattr(self, "accounts", []) for pool in account.pools}


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=examples(60), stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
