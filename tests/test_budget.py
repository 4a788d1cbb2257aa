"""The ledger: what a run may spend is never exceeded, and what it spent is never lost."""

import re
from collections.abc import Sequence
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import worst_input_tokens
from examples import examples
from rlmbox.budget.budget import DEFAULT_COST_LIMIT_USD, MIN_OUTPUT_TOKENS, Budget, Limits
from rlmbox.budget.ledger import Account
from rlmbox.errors import (
    BudgetExceeded,
    ConfigError,
    ModelError,
    PriceUnknown,
    RecursionDepthExceeded,
    SubcallLimitExceeded,
    TokenLimitExceeded,
)
from rlmbox.models.base import Model
from rlmbox.models.prices import FlatPrice
from rlmbox.requests.client import Calls
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Message, Usage

DOLLAR_A_TOKEN = FlatPrice(Decimal(1_000_000), Decimal(1_000_000), origin="test")
ASK = [Message("user", "hello")]


class Charging:
    """A model that uses what it is told to, and counts what it really charged."""

    name = "charging"
    window_tokens = 1_000_000
    price = DOLLAR_A_TOKEN

    def __init__(self, output_tokens: int | None = None, failures: Sequence[Exception | None] = ()) -> None:
        self.output_tokens = output_tokens
        self.failures = list(failures)
        self.charged = 0
        self.asked: list[int] = []

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        self.asked.append(max_output_tokens)
        await anyio.lowlevel.checkpoint()
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        used = max_output_tokens if self.output_tokens is None else self.output_tokens
        self.charged += 5 + used
        return Completion("ok", Usage(5, 0, used, 0, 1), self.name)


async def ask(budget: Budget, model: Model, account: Account | None = None) -> Decimal:
    """Makes one request, without a second attempt; gives its cost."""
    once = Calls(budget, retries=RetryPolicy(attempts=1, failures_to_open=0))
    return (await once.complete(model, ASK, account=account or budget.root)).cost_usd


def limits(**fields: object) -> Limits:
    return Limits(**{"cost_limit_usd": "100000", "max_output_tokens": 1_000, **fields})  # type: ignore[arg-type]


async def test_a_settled_request_is_charged_what_it_used() -> None:
    budget = Budget(limits())
    assert await ask(budget, Charging(10)) == 15
    assert budget.cost.total_usd == budget.cost.root_usd == 15
    assert budget.usage == Usage(5, 0, 10, 0, 1)


async def test_cost_is_told_apart_by_account_and_model() -> None:
    budget = Budget(limits())
    await ask(budget, Charging(10))
    await ask(budget, Charging(20), budget.root.below())
    cost = budget.cost
    assert (cost.total_usd, cost.root_usd, cost.recursive_usd) == (Decimal(40), Decimal(15), Decimal(25))
    assert dict(cost.by_model) == {"charging": 40}


async def test_a_request_that_cannot_be_paid_for_is_not_sent() -> None:
    model, budget = Charging(10), Budget(limits(cost_limit_usd="100"))
    with pytest.raises(BudgetExceeded, match="cost_limit_usd=100") as raised:
        await ask(budget, model)
    assert model.asked == []
    assert raised.value.limit == 100
    assert raised.value.used > 100


async def test_the_reply_is_shortened_to_what_is_left() -> None:
    model, budget = Charging(10), Budget(limits(cost_limit_usd="500"))
    await ask(budget, model)
    assert model.asked == [500 - worst_input_tokens(ASK)]


async def test_a_reply_is_not_shortened_below_what_is_of_use() -> None:
    model = Charging(10)
    least = worst_input_tokens(ASK) + MIN_OUTPUT_TOKENS
    await ask(Budget(limits(cost_limit_usd=least)), model)
    assert model.asked == [MIN_OUTPUT_TOKENS]
    with pytest.raises(BudgetExceeded):
        await ask(Budget(limits(cost_limit_usd=least - 1)), model)


async def test_a_request_waits_for_others_to_settle_when_that_may_make_room() -> None:
    model, budget = Charging(10), Budget(limits(cost_limit_usd="1100"))
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lambda: ask(budget, model, budget.root.below()))
    assert len(model.asked) == 20
    assert budget.cost.total_usd == model.charged == 300


async def test_a_token_limit_is_kept_like_money() -> None:
    model, budget = Charging(10), Budget(limits(max_tokens=200))
    with pytest.raises(TokenLimitExceeded, match="max_tokens=200"):
        await ask(budget, model)
    assert model.asked == []


async def test_a_failure_that_was_not_billed_costs_nothing() -> None:
    budget = Budget(limits())
    with pytest.raises(ModelError):
        await ask(budget, Charging(10, [ModelError("401", status=401)]))
    assert budget.cost.total_usd == 0


async def test_a_failure_that_may_have_been_billed_stays_charged_with_its_worst_case() -> None:
    budget = Budget(limits())
    with pytest.raises(ModelError):
        await Calls(budget).complete(
            Charging(10, [ModelError("reset", possibly_billed=True)]), ASK, account=budget.root
        )
    assert budget.cost.total_usd == worst_input_tokens(ASK) + 1_000


async def test_a_cancelled_request_stays_charged_with_its_worst_case() -> None:
    budget = Budget(limits())
    model = ScriptedModel(["late"], price=DOLLAR_A_TOKEN, delay_s=5)
    with anyio.move_on_after(0.05):
        await ask(budget, model)
    assert budget.cost.total_usd == worst_input_tokens(ASK) + 1_000


async def test_usage_beyond_the_reservation_is_charged_in_full_and_stops_the_run() -> None:
    model, budget = Charging(5_000), Budget(limits(cost_limit_usd="2000"))
    await ask(budget, model)
    assert budget.cost.total_usd == 5_005
    with pytest.raises(BudgetExceeded):
        await ask(budget, model)


def test_an_unknown_price_is_refused_where_a_limit_was_set() -> None:
    model = ScriptedModel([], name="openai:llama3", price=None)
    with pytest.raises(PriceUnknown, match=r"price of openai:llama3 is not known.*--prices"):
        Budget(Limits(cost_limit_usd="2.00")).admit(model)


def test_an_unknown_price_is_admitted_under_the_default_limit_and_reported() -> None:
    budget = Budget(Limits())
    assert budget.keeps_cost_limit
    budget.admit(ScriptedModel([], price=None))
    assert not budget.keeps_cost_limit
    assert budget.cost.unknown
    assert str(budget.cost) == "at least $0.0000"


def test_the_default_limit_is_five_dollars() -> None:
    assert Limits().cost_limit_usd == DEFAULT_COST_LIMIT_USD == Decimal("5.00")
    assert Limits().cost_limit_is_default
    assert not Limits(cost_limit_usd="5.00").cost_limit_is_default


def test_subcalls_are_counted_up_to_their_limit() -> None:
    budget = Budget(limits(max_subcalls=2))
    assert [budget.count_subcall(budget.root), budget.count_subcall(budget.root)] == [1, 2]
    with pytest.raises(SubcallLimitExceeded, match="max_subcalls") as raised:
        budget.count_subcall(budget.root)
    assert (raised.value.limit, raised.value.used) == (2, 3)
    assert budget.subcalls == 2


def test_depth_is_refused_beyond_its_limit() -> None:
    budget = Budget(limits(max_depth=1))
    budget.check_depth(1)
    with pytest.raises(RecursionDepthExceeded, match="max_depth=1"):
        budget.check_depth(2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cost_limit_usd", "two dollars"),
        ("cost_limit_usd", "-1"),
        ("cost_limit_usd", "NaN"),
        ("max_turns", 0),
        ("max_turns", 2.5),
        ("max_turns", True),
        ("max_depth", -1),
        ("max_subcalls", -1),
        ("max_tokens", 0),
        ("max_seconds", -3),
        ("max_seconds", float("inf")),
        ("concurrency", 0),
        ("subcall_timeout_s", 0),
    ],
)
def test_a_limit_out_of_its_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_input_tokens_are_never_estimated_too_low() -> None:
    assert worst_input_tokens([Message("user", "é😀")]) >= 6


@settings(max_examples=examples(60), deadline=None)
@given(
    limit=st.integers(300, 5_000),
    replies=st.lists(
        st.one_of(st.integers(0, 400), st.sampled_from(["unbilled", "billed", "cancelled"])), min_size=1, max_size=40
    ),
)
async def test_no_mix_of_replies_failures_and_cancellations_overshoots(limit: int, replies: list[int | str]) -> None:
    budget = Budget(limits(cost_limit_usd=limit, max_output_tokens=400))
    really_charged = 0

    async def one(reply: int | str) -> None:
        nonlocal really_charged

        class Model(Charging):
            async def complete(
                self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
            ) -> Completion:
                nonlocal really_charged
                await anyio.lowlevel.checkpoint()
                if reply == "unbilled":
                    raise ModelError("429")
                # Whoever bills for a request that failed bills at most what was asked for.
                used = max_output_tokens if isinstance(reply, str) else min(reply, max_output_tokens)
                really_charged += 5 + used
                if reply == "billed":
                    raise ModelError("reset", possibly_billed=True)
                if reply == "cancelled":
                    await anyio.sleep_forever()
                return Completion("", Usage(5, 0, used, 0, 1), self.name)

        try:
            with anyio.move_on_after(0.001 if reply == "cancelled" else 60):
                await ask(budget, Model(), budget.root.below())
        except (ModelError, BudgetExceeded):
            pass

    async with anyio.create_task_group() as tasks:
        for reply in replies:
            tasks.start_soon(one, reply)
    assert really_charged <= budget.cost.total_usd <= limit


async def test_under_load_replies_are_shortened_to_what_is_left_and_none_below_what_is_of_use() -> None:
    model, limit = Charging(200), 16_000
    budget = Budget(limits(cost_limit_usd=limit))
    refused = 0

    async def one() -> None:
        nonlocal refused
        try:
            await ask(budget, model, budget.root.below())
        except BudgetExceeded:
            refused += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    assert len(model.asked) + refused == 100
    assert refused > 0
    assert min(model.asked) >= MIN_OUTPUT_TOKENS
    assert any(MIN_OUTPUT_TOKENS < asked < 1_000 for asked in model.asked)
    assert budget.cost.total_usd == model.charged <= limit
    assert limit - model.charged < worst_input_tokens(ASK) + MIN_OUTPUT_TOKENS


async def test_a_share_is_not_exceeded_and_counts_for_all_above_it() -> None:
    budget, model = Budget(limits(cost_limit_usd="5000")), Charging(200)
    child = budget.root.below(cost_limit_usd=Decimal(1_500))
    grandchild = child.below(cost_limit_usd=Decimal(1_000_000))
    while budget.fits(model, worst_input_tokens(ASK), MIN_OUTPUT_TOKENS, account=grandchild):
        await ask(budget, model, grandchild)
    with pytest.raises(BudgetExceeded, match="of this session") as raised:
        await ask(budget, model, grandchild)
    assert raised.value.depth == 1
    assert raised.value.limit == 1_500
    assert 1_000 < budget.spent_usd == model.charged <= 1_500
    await ask(budget, model)
    assert dict(budget.cost.by_depth) == {0: 205, 2: model.charged - 205}


async def test_a_share_of_tokens_narrows_in_the_same_way() -> None:
    budget, model = Budget(limits(max_tokens=100_000)), Charging(300)
    with pytest.raises(TokenLimitExceeded, match="max_tokens=100 of this session") as raised:
        await ask(budget, model, budget.root.below(max_tokens=100))
    assert raised.value.depth == 1
    assert model.asked == []


async def test_room_that_is_set_aside_is_there_when_nothing_else_is() -> None:
    budget, model = Budget(limits(cost_limit_usd="2000")), Charging(200)
    held = budget.hold(model, 100, 300, account=budget.root, most_share=0.5)
    assert held is not None
    while budget.fits(model, worst_input_tokens(ASK), MIN_OUTPUT_TOKENS, account=budget.root):
        await ask(budget, model)
    assert not budget.fits(model, 100, 300, account=budget.root)
    assert budget.fits(model, 100, 300, account=held)
    reservation = await budget.reserve(model, 100, 300, account=held)
    assert reservation.max_output_tokens == 300
    budget.abandon(reservation)
    assert budget.spent_usd <= 2_000


def test_no_more_is_set_aside_than_a_share_of_what_is_left() -> None:
    budget, model = Budget(limits(cost_limit_usd="1000")), Charging()
    assert budget.hold(model, 100, 151, account=budget.root, most_share=0.25) is None
    held = budget.hold(model, 100, 150, account=budget.root, most_share=0.25)
    assert held is not None
    assert {left.name: left.left for left in budget.left(budget.root)}["usd"] == 750
    budget.give_back(held)
    budget.give_back(held)
    assert {left.name: left.left for left in budget.left(budget.root)}["usd"] == 1_000


async def test_what_may_not_have_been_charged_is_told_apart() -> None:
    budget = Budget(limits())
    await ask(budget, Charging(10))
    with pytest.raises(ModelError):
        await ask(budget, Charging(10, [ModelError("reset", possibly_billed=True)]))
    assert budget.cost.uncertain_usd == worst_input_tokens(ASK) + 1_000
    assert budget.cost.total_usd - budget.cost.uncertain_usd == 15


async def test_input_that_is_written_to_a_cache_is_reserved_at_its_dearer_price() -> None:
    price = FlatPrice(Decimal(1_000_000), Decimal(0), origin="test", cache_write_usd_per_mtok=Decimal(2_000_000))
    model = ScriptedModel([Completion("ok", Usage(10, 0, 0, 0, 1, 10), "writes")], name="writes", price=price)
    budget = Budget(limits(cost_limit_usd="100"))
    reservation = await budget.reserve(model, 10, 100, account=budget.root)
    assert reservation.worst_usd == 20
    assert budget.settle(reservation, Usage(10, 0, 0, 0, 1, 10)) == 20
    budget.check(budget.root)


@pytest.mark.parametrize(("used", "overshot"), [(400, False), (401, True)])
async def test_a_limit_that_is_overshot_is_said_and_one_that_is_met_is_not(used: int, overshot: bool) -> None:
    budget = Budget(limits(max_tokens=500))
    reservation = await budget.reserve(Charging(), 100, 400, account=budget.root)
    budget.settle(reservation, Usage(100, 0, used, 0, 1))
    if not overshot:
        budget.check(budget.root)
        return
    with pytest.raises(TokenLimitExceeded, match="501 tokens are used, more than max_tokens=500"):
        budget.check(budget.root)


GPT_5 = FlatPrice(Decimal("1.25"), Decimal(10), origin="test")


async def test_the_worst_case_is_never_more_than_the_window_holds() -> None:
    model = ScriptedModel([], price=GPT_5, window_tokens=400_000)
    budget = Budget(Limits(cost_limit_usd="1"))
    reservation = await budget.reserve(model, 1_000_000, 16_384, account=budget.root, window_tokens=400_000)
    assert reservation.worst.total_tokens == 400_000
    assert reservation.max_output_tokens == 16_384
    assert reservation.worst_usd < Decimal("0.65")


async def test_where_output_is_the_cheaper_the_window_bounds_nothing() -> None:
    price = FlatPrice(Decimal(10), Decimal(1), origin="test")
    budget = Budget(Limits(cost_limit_usd="100"))
    model = ScriptedModel([], price=price)
    reservation = await budget.reserve(model, 1_000_000, 100, account=budget.root, window_tokens=400_000)
    assert reservation.worst.input_tokens == 1_000_000


async def test_a_request_that_is_too_dear_says_what_would_fit_and_ends_nothing() -> None:
    budget = Budget(Limits(cost_limit_usd="0.10", last_answer=False))
    model = ScriptedModel([], price=GPT_5)
    with pytest.raises(BudgetExceeded) as caught:
        await budget.reserve(model, 200_000, 16_384, account=budget.root)
    assert not caught.value.is_final
    fits = re.search(r"a prompt of up to some ([\d,]+) characters fits", str(caught.value))
    assert fits is not None
    chars = int(fits[1].replace(",", ""))
    assert 75_000 < chars < 80_000
    budget.release(await budget.reserve(model, chars, 16_384, account=budget.root))


async def test_a_run_that_can_pay_for_nothing_useful_any_more_is_over() -> None:
    budget = Budget(Limits(cost_limit_usd="0.10", last_answer=False))
    model = ScriptedModel([], price=GPT_5)
    budget.settle(await budget.reserve(model, 70_000, 1_000, account=budget.root), Usage(70_000, 0, 1_000, 0, 1))
    with pytest.raises(BudgetExceeded) as caught:
        await budget.reserve(model, 2_000, 1_000, account=budget.root)
    assert caught.value.is_final
    tokens = Budget(Limits(max_tokens=2_000))
    with pytest.raises(TokenLimitExceeded) as caught_tokens:
        await tokens.reserve(model, 5_000, 1_000, account=tokens.root)
    assert not caught_tokens.value.is_final


async def test_what_a_provider_is_likely_to_count_is_reserved_where_its_bound_does_not_fit() -> None:
    budget = Budget(Limits(cost_limit_usd="0.10", last_answer=False))
    model = ScriptedModel([], price=GPT_5)
    with pytest.raises(BudgetExceeded):
        await budget.reserve(model, 100_000, 16_384, account=budget.root)
    reservation = await budget.reserve(model, 100_000, 16_384, account=budget.root, likely_input_tokens=28_000)
    assert reservation.worst.input_tokens == 28_000
    assert 6_000 < reservation.max_output_tokens < 6_600
    budget.release(reservation)
    # Where the bound fits, it is the bound that is reserved.
    reservation = await budget.reserve(model, 50_000, 1_000, account=budget.root, likely_input_tokens=14_000)
    assert reservation.worst.input_tokens == 50_000


async def test_a_doubtful_request_is_charged_no_more_than_was_reserved_for_it() -> None:
    budget = Budget(Limits(cost_limit_usd="1"))
    model = ScriptedModel([], price=GPT_5)
    reservation = await budget.reserve(model, 1_000, 1_000, account=budget.root)
    assert budget.abandon(reservation, Usage(500, 0, 100, 0, 1)) == GPT_5.cost_usd(Usage(500, 0, 100))
    assert budget.cost.uncertain_usd == budget.cost.total_usd == GPT_5.cost_usd(Usage(500, 0, 100))
    reservation = await budget.reserve(model, 1_000, 1_000, account=budget.root)
    assert budget.abandon(reservation, Usage(10**6, 0, 10**6, 0, 1)) == reservation.worst_usd


async def test_a_request_is_settled_at_the_price_that_it_was_reserved_at() -> None:
    class Volatile(ScriptedModel):
        price = GPT_5

    model, budget = Volatile([]), Budget(Limits(cost_limit_usd="1"))
    reservation = await budget.reserve(model, 1_000, 1_000, account=budget.root)
    Volatile.price = FlatPrice(Decimal(1_000), Decimal(1_000), origin="an hour later")
    assert budget.settle(reservation, Usage(1_000, 0, 1_000, 0, 1)) == reservation.worst_usd
