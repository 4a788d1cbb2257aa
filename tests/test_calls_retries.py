"""What is asked of a model again, after how long, and when a provider is left alone."""

from decimal import Decimal

import anyio
import pytest

from asking import ASK, Asking, Stubborn, broke_off, busy, used, worst_input_tokens
from rlmbox.errors import BudgetExceeded, ConfigError, ModelError
from rlmbox.events import CallRetried
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import model_state_of
from rlmbox.testing import ScriptedModel

BRIEF = RetryPolicy(
    attempts=2, base_delay_s=0.001, max_delay_s=0.002, max_retry_after_s=0.01, failures_to_open=0, spare=10_000
)


@pytest.mark.parametrize("status", [429, 500, 503, 529, None])
async def test_a_passing_fault_is_tried_again_and_costs_nothing(status: int | None) -> None:
    fault = ModelError("away", retryable=True, status=status)
    asking = Asking(fault, fault, used("at last", 5, 10))
    reply = await asking.ask()
    assert (reply.completion.text, reply.attempts, reply.cost_usd) == ("at last", 3, Decimal(15))
    assert asking.budget.cost.uncertain_usd == 0
    assert [(told["attempt"], told["reason"]) for told in asking.of(CallRetried)] == [
        (2, "away"),
        (3, "away"),
    ]


async def test_a_fault_that_stays_ends_after_the_last_attempt_and_says_so() -> None:
    asking = Asking(*[busy()] * 9)
    error = await asking.fail()
    assert str(error) == "HTTP 500 (after 4 attempts)"
    assert (error.retryable, error.status) == (True, 500)
    assert len(asking.model.requests) == 4
    assert asking.budget.cost.total_usd == 0


async def test_what_does_not_pass_is_not_tried_again() -> None:
    asking = Asking(ModelError("the key was refused", status=401))
    assert str(await asking.fail()) == "the key was refused"
    assert len(asking.model.requests) == 1


async def test_an_attempt_that_may_have_been_billed_stays_charged_with_its_worst_case() -> None:
    asking = Asking(broke_off(), used("at last", 5, 10))
    reply = await asking.ask()
    assert reply.cost_usd == asking.worst + 15
    assert asking.budget.cost.total_usd == asking.worst + 15
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_an_attempt_that_the_budget_cannot_pay_for_again_is_not_made() -> None:
    asking = Asking(broke_off(), used("never", 5, 10), cost_limit_usd="1100")
    with pytest.raises(BudgetExceeded):
        await asking.ask()
    assert len(asking.model.requests) == 1


async def test_while_a_request_waits_for_its_next_attempt_it_holds_neither_room_nor_a_slot() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=0.2)
    limit = worst_input_tokens(ASK) + 1_000  # room for one request at a time
    asking = Asking(
        busy(503, retry_after_s=0.2), used("second", 5, 10), used("first", 5, 10),
        retries=slow, cost_limit_usd=str(limit + 100), concurrency=1,
    )  # fmt: skip
    order: list[str] = []

    async def one() -> None:
        order.append((await asking.ask()).completion.text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.sleep(0.05)
        tasks.start_soon(one)
    assert order == ["second", "first"]


async def test_what_a_provider_asks_to_wait_comes_before_backoff_and_is_clamped() -> None:
    slow = RetryPolicy(base_delay_s=3600, max_delay_s=3600, max_retry_after_s=0.01)
    asking = Asking(busy(503, retry_after_s=0.0), busy(429, retry_after_s=86_400.0), used("soon", 5, 10), retries=slow)
    assert (await asking.ask()).completion.text == "soon"
    waits = [told["wait_s"] for told in asking.of(CallRetried)]
    assert waits[0] == 0
    assert 0.01 <= waits[1] <= 0.011


def test_backoff_has_full_jitter() -> None:
    policy = RetryPolicy(base_delay_s=0.5, max_delay_s=3.0)
    assert [policy.wait_s(attempt, None, lambda: 1.0) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert [policy.wait_s(attempt, None, lambda: 0.0) for attempt in (1, 5)] == [0.0, 0.0]
    assert policy.wait_s(1, float("nan"), lambda: 1.0) == 0.5
    assert policy.wait_s(1, -5.0, lambda: 1.0) == 0.0


@pytest.mark.parametrize(
    "fields",
    [{"attempts": 0}, {"base_delay_s": -1}, {"max_retry_after_s": -1}, {"extra_share": -0.1}, {"attempt_timeout_s": 0}],
)
def test_a_retry_policy_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**fields)  # type: ignore[arg-type]


async def test_a_provider_gets_a_share_of_its_requests_again_and_a_few_besides() -> None:
    policy = RetryPolicy(base_delay_s=0, max_delay_s=0, extra_share=0.2, spare=3, failures_to_open=0)
    asking = Asking(model=ScriptedModel([busy()] * 1_000), retries=policy)
    for _ in range(20):
        error = await asking.fail()
    assert "not tried again, since 20% of the requests were retries" in str(error)
    # 20 first requests, 3 spare ones, a fifth of all, and one more that may have come back within a second.
    assert 26 <= len(asking.model.requests) <= 29


async def test_a_wait_that_is_longer_than_there_is_time_is_not_begun() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=3600)
    asking = Asking(busy(503, retry_after_s=3600.0), retries=slow)
    with anyio.fail_after(60):
        assert "HTTP 503" in str(await asking.fail(timeout_s=10))


async def test_a_hanging_attempt_is_given_up_charged_and_made_again() -> None:
    model = Stubborn([3600.0, 0.0])
    asking = Asking(model=model, retries=RetryPolicy(attempt_timeout_s=0.05, base_delay_s=0))
    reply = await asking.ask()
    assert (reply.completion.text, reply.attempts) == ("ok", 2)
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_a_timeout_covers_all_attempts_also_of_a_model_that_does_not_keep_it() -> None:
    asking = Asking(model=Stubborn([3600.0]))
    with anyio.fail_after(60):
        error = await asking.fail(timeout_s=0.05)
    assert "no reply within" in str(error)
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_waiting_for_the_first_turn_does_not_count_towards_the_timeout() -> None:
    asking = Asking(model=ScriptedModel(["ok"] * 8, delay_s=0.05), concurrency=1)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(lambda: asking.ask(timeout_s=0.2))
    assert len(asking.model.requests) == 8


async def test_a_provider_that_fails_in_a_row_is_left_alone_and_tried_again_with_one_request() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=50, max_retry_after_s=1)
    asking = Asking(*[busy()] * 3, retries=policy)
    for _ in range(3):
        await asking.fail()
    error = await asking.fail()
    assert "failed 3 times in a row and is left alone; it is tried again in 50 s" in str(error)
    assert error.retryable
    assert len(asking.model.requests) == 3


async def test_requests_wait_for_a_provider_that_comes_back_soon() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=0.05)
    asking = Asking(*[busy()] * 3, *["ok"] * 20, retries=policy)
    for _ in range(3):
        await asking.fail()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(asking.ask)
    assert len(asking.model.requests) == 13


async def test_refusals_do_not_count_as_failures_of_the_provider() -> None:
    asking = Asking(*[busy(429)] * 30, retries=RetryPolicy(attempts=1, failures_to_open=3))
    for _ in range(30):
        assert str(await asking.fail()) == "HTTP 429"


async def test_a_turn_of_the_root_outlasts_an_outage_in_a_run_that_says_how_long_it_may_take() -> None:
    asking = Asking(*[busy(503)] * 9, used("back again", 5, 10), retries=BRIEF, max_seconds=60)
    reply = await asking.ask()
    assert (reply.completion.text, reply.attempts) == ("back again", 10)
    assert asking.budget.cost.uncertain_usd == 0


async def test_without_a_time_limit_an_outage_ends_with_the_last_attempt() -> None:
    asking = Asking(*[busy(503)] * 9, retries=BRIEF)
    assert "after 2 attempts" in str(await asking.fail())


async def test_an_outage_that_lasts_longer_than_the_run_may_take_ends_in_time() -> None:
    asking = Asking(*[busy(503)] * 10_000, retries=BRIEF, max_seconds=0.3)
    with anyio.fail_after(240):
        assert "HTTP 503" in str(await asking.fail())


async def test_a_sub_call_does_not_outlast_an_outage() -> None:
    asking = Asking(*[busy(503)] * 9, retries=BRIEF, max_seconds=60)
    with pytest.raises(ModelError, match="after 2 attempts"):
        await asking.calls.complete(asking.model, ASK, account=asking.budget.root.below())


async def test_an_address_where_nobody_has_ever_answered_is_given_up_soon() -> None:
    nobody = ModelError("no connection", retryable=True)
    asking = Asking(*[nobody] * 9, retries=BRIEF, max_seconds=60)
    assert "no connection (after 2 attempts)" in str(await asking.fail())
    asking = Asking(used("here", 5, 10), *[nobody] * 9, used("back", 5, 10), retries=BRIEF, max_seconds=60)
    await asking.ask()
    assert (await asking.ask()).completion.text == "back"


async def test_what_may_have_been_billed_is_not_paid_for_again_and_again() -> None:
    asking = Asking(*[broke_off()] * 9, retries=BRIEF, max_seconds=60)
    assert "after 2 attempts" in str(await asking.fail())


async def test_a_turn_of_the_root_waits_as_long_as_the_provider_asks_for() -> None:
    asking = Asking(busy(429, retry_after_s=0.3), used("now", 5, 10), retries=BRIEF, max_seconds=60)
    await asking.ask()
    assert [told["wait_s"] for told in asking.of(CallRetried)] == [0.3]


async def test_a_hung_first_request_is_noticed_and_a_slow_one_gets_more_time_the_next() -> None:
    state = model_state_of(ScriptedModel([]))
    assert [state.attempt_timeout_s(RetryPolicy(), timeouts) for timeouts in (0, 1, 2)] == [120, 240, 480]
    assert state.attempt_timeout_s(RetryPolicy(attempt_timeout_s=7), 3) == 7
    for _ in range(20):
        state.note_duration(10.0)
    assert state.attempt_timeout_s(RetryPolicy()) == 50
