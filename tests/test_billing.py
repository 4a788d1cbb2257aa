"""Whatever a provider does, the ledger is right about its bill, and the limit holds by the provider's own account."""

import pytest

from adversary import long_sub_call_run, many_sub_calls, random_run


@pytest.mark.parametrize("seed", range(20))
async def test_the_bill_lies_between_what_is_certain_and_the_total_and_under_the_limit(seed: int) -> None:
    outcome = await random_run(seed)
    assert outcome.keeps_the_law, outcome


async def test_many_sub_calls_with_a_quarter_of_faults_are_answered_and_charged_near_their_bill() -> None:
    outcome = await many_sub_calls(300, limit_usd="1.20")
    assert outcome.keeps_the_law
    assert outcome.answered >= 285  # 95 %
    assert outcome.total_usd <= outcome.billed_usd * 3 / 2


def test_a_dear_sub_call_is_paid_for_and_the_run_goes_on_until_most_of_its_limit_is_used() -> None:
    outcome = long_sub_call_run("0.10", 100_000)
    assert outcome.answered == 1
    assert outcome.keeps_the_law
    assert outcome.billed_usd >= outcome.limit_usd * 60 / 100
