"""Whatever a provider does, the ledger is right about its bill, and the limit holds by the provider's own account."""

import pytest

from adversary import many_sub_calls, random_run


@pytest.mark.parametrize("seed", range(20))
async def test_the_bill_lies_between_what_is_certain_and_the_total_and_under_the_limit(seed: int) -> None:
    outcome = await random_run(seed)
    assert outcome.keeps_the_law, outcome


async def test_many_sub_calls_with_a_quarter_of_faults_are_answered_and_charged_near_their_bill() -> None:
    outcome = await many_sub_calls(300, limit_usd="1.20")
    assert outcome.keeps_the_law
    assert outcome.answered >= 285  # 95 %
    assert outcome.total_usd <= outcome.billed_usd * 3 / 2
