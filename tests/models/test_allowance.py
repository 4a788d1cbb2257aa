"""Rate limits that come with good replies are kept to before a request is refused."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.models.allowance import Allowance, Allowances, allowances_of
from rlmbox.models.pace import UNPACED, Pace
from rlmbox.models.providers import provider_model
from rlmbox.requests.client import Calls
from rlmbox.requests.rate import RateLimiter, Ticket
from rlmbox.testing import ProviderRequest, ProviderServer, RawReply
from rlmbox.types import Message


@pytest.mark.parametrize(
    ("headers", "requests", "tokens"),
    [
        # OpenAI
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            Allowance(59, 1.0, 60),
            Allowance(149_984, 360.0, 150_000),
        ),
        # Azure says no time
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-remaining-tokens": "900"}, Allowance(7), Allowance(900)),
        # the draft of the IETF, and others
        ({"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "5"}, Allowance(0, 5.0, 10), None),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "12.5"}, Allowance(3, 12.5), None),
        # a day's are no pace
        ({"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "3600"}, None, None),
        ({"content-type": "application/json"}, None, None),
        ({"x-ratelimit-remaining-requests": "many"}, None, None),
    ],
)
def test_headers_of_every_kind_are_read(
    headers: dict[str, str], requests: Allowance | None, tokens: Allowance | None
) -> None:
    found = allowances_of(headers.items())
    assert (found.requests, found.tokens) == (requests, tokens) if found else (requests, tokens) == (None, None)


def test_of_several_limits_of_tokens_the_tightest_counts() -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    found = allowances_of(
        {
            "anthropic-ratelimit-input-tokens-limit": "50000",
            "anthropic-ratelimit-input-tokens-remaining": "49000",
            "anthropic-ratelimit-output-tokens-limit": "10000",
            "anthropic-ratelimit-output-tokens-remaining": "100",
            "anthropic-ratelimit-output-tokens-reset": soon,
        }.items()
    )
    assert found is not None
    assert found.tokens is not None
    assert found.tokens.left == 100
    assert 25 < (found.tokens.reset_s or 0) <= 30


@pytest.mark.parametrize(
    ("allowance", "wanted", "wait_s"),
    [
        (Allowance(5), 5, 0.0),
        (Allowance(0), 1, None),  # nobody says when
        (Allowance(0, 8.0), 1, 8.0),
        (Allowance(0, 60.0, 60), 1, 1.0),  # one comes back each second
        (Allowance(0, 60.0, 60), 999, 60.0),  # never more than the whole limit
        (Allowance(100, 6.0, 700), 400, 3.0),
    ],
)
def test_a_limit_comes_back_evenly_where_its_size_is_known(
    allowance: Allowance, wanted: int, wait_s: float | None
) -> None:
    assert allowance.wait_s(wanted) == wait_s


async def took_turns(limiter: RateLimiter, count: int, tokens: int = 0) -> list[Ticket]:
    got: list[Ticket] = []

    async def turn() -> None:
        async with limiter.slot("run", at_most=100, tokens=tokens) as ticket:
            got.append(ticket)

    tasks = [asyncio.create_task(turn()) for _ in range(count)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


async def test_no_more_requests_begin_than_the_account_may_make() -> None:
    now = 0.0
    limiter = RateLimiter(UNPACED, clock=lambda: now)
    [first] = await took_turns(limiter, 1)
    limiter.heed(first, Allowances(requests=Allowance(3, 30.0)))
    assert len(await took_turns(limiter, 10)) == 3
    assert await took_turns(limiter, 5) == []
    now = 30.0
    assert len(await took_turns(limiter, 5)) == 5  # the limit is whole again


async def test_requests_that_were_under_way_count_as_not_yet_counted() -> None:
    limiter = RateLimiter(UNPACED, clock=lambda: 0.0)
    tickets = await took_turns(limiter, 3)
    limiter.heed(tickets[0], Allowances(requests=Allowance(3, 30.0)))
    assert len(await took_turns(limiter, 10)) == 1


async def test_a_reply_that_comes_late_tells_nothing_new() -> None:
    limiter = RateLimiter(UNPACED, clock=lambda: 0.0)
    tickets = await took_turns(limiter, 2)
    limiter.heed(tickets[1], Allowances(requests=Allowance(1, 30.0)))
    limiter.heed(tickets[0], Allowances(requests=Allowance(2, 30.0)))
    assert len(await took_turns(limiter, 10)) == 1


async def test_tokens_are_kept_to_as_well() -> None:
    limiter = RateLimiter(UNPACED, clock=lambda: 0.0)
    [first] = await took_turns(limiter, 1, tokens=100)
    limiter.heed(first, Allowances(tokens=Allowance(250, 30.0, 1_000)))
    assert len(await took_turns(limiter, 10, tokens=100)) == 2


async def test_a_limit_of_the_day_holds_nobody_up() -> None:
    limiter = RateLimiter(Pace(max_concurrency=50), clock=lambda: 0.0)
    [first] = await took_turns(limiter, 1)
    limiter.heed(first, Allowances(requests=Allowance(0, 40_000.0)))
    assert len(await took_turns(limiter, 5)) == 5


async def test_a_run_waits_for_what_its_provider_says_and_is_never_refused() -> None:
    window: list[float] = []

    def answer(request: ProviderRequest) -> RawReply:
        del request
        now_s = time.monotonic()
        window[:] = [at_s for at_s in window if now_s - at_s < 0.5]
        window.append(now_s)
        if len(window) > 4:
            return RawReply({"error": {"message": "Rate limit exceeded"}}, 429)
        body = {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}  # fmt: skip
        left, reset_s = 4 - len(window), 0.5 - (now_s - window[0])
        return RawReply(body, headers={"x-ratelimit-remaining-requests": str(left),
                                       "x-ratelimit-reset-requests": f"{reset_s * 1000:.0f}ms"})  # fmt: skip

    async with ProviderServer(answer) as server:
        model = provider_model("openai:m", base_url=server.openai_url, api_key="k")
        budget = Budget(Limits(cost_limit_usd=None, concurrency=1))
        calls = Calls(budget)
        replies = [await calls.complete(model, [Message("user", "a question")], account=budget.root) for _ in range(10)]
        await model.aclose()
    assert [reply.attempts for reply in replies] == [1] * 10
