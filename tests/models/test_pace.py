"""Requests to one model wait for their turn: never too many at once, every run in turn, over any number of loops."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.errors import ConfigError
from rlmbox.models.pace import Pace
from rlmbox.requests.rate import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@settings(max_examples=examples(60))
@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=4),
)
def test_however_runs_and_cancellations_fall_the_limits_hold_and_nothing_is_left(
    most: int, runs: list[tuple[int, int, int]]
) -> None:
    limiter = RateLimiter(Pace(max_concurrency=most))
    active: dict[int, int] = dict.fromkeys(range(len(runs)), 0)
    served = 0

    async def one(run: int, at_most: int, steps: int) -> None:
        nonlocal served
        async with limiter.slot(run, at_most=at_most):
            active[run] += 1
            assert active[run] <= at_most
            assert sum(active.values()) <= most
            try:
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
            finally:
                active[run] -= 1
        served += 1

    async def main() -> None:
        tasks = [
            asyncio.create_task(one(run, at_most, steps))
            for run, (at_most, count, steps) in enumerate(runs)
            for _ in range(count)
        ]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(isinstance(result, AssertionError) for result in results)
        cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert served + cancelled == len(tasks)

    asyncio.run(main())
    assert limiter.active == 0
    assert limiter._queues == {}
    assert not limiter._turns


def test_several_event_loops_share_one_limit() -> None:
    limiter, lock = RateLimiter(Pace(max_concurrency=3)), threading.Lock()
    active = most = served = 0

    async def one(run: int) -> None:
        nonlocal active, most, served
        async with limiter.slot(run, at_most=10):
            with lock:
                active += 1
                most = max(most, active)
            await asyncio.sleep(0.001)
            with lock:
                active -= 1
                served += 1

    async def many(run: int) -> None:
        async with asyncio.timeout(240):
            await asyncio.gather(*(one(run) for _ in range(50)))

    threads = [threading.Thread(target=lambda run=run: asyncio.run(many(run))) for run in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (served, most, limiter.active) == (200, 3, 0)


def test_a_loop_that_ended_with_requests_waiting_does_not_hold_up_the_others() -> None:
    limiter = RateLimiter(Pace(max_concurrency=1))
    loop = asyncio.new_event_loop()

    async def wait_for_ever() -> None:
        async with limiter.slot("abandoned", at_most=1):
            pass

    async def main() -> None:
        async with limiter.slot("here", at_most=1):
            task = loop.create_task(wait_for_ever())
            await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0))
            assert not task.done()
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()
        async with asyncio.timeout(240), limiter.slot("here", at_most=1):
            pass

    asyncio.run(main())


async def test_runs_take_turns() -> None:
    limiter, order = RateLimiter(Pace(max_concurrency=1)), []

    async def one(run: str) -> None:
        async with limiter.slot(run, at_most=5):
            order.append(run)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for run in ("a",) * 6 + ("b",) * 2 + ("c",):
            tasks.start_soon(one, run)
    # The first goes at once; then each run in turn, for as long as it has somebody waiting.
    assert "".join(order) == "aabcabaaa"


async def test_what_is_tried_again_goes_before_the_rest_of_its_run() -> None:
    limiter, order, all_wait = RateLimiter(Pace(max_concurrency=1)), [], anyio.Event()

    async def one(name: str, *, first: bool) -> None:
        async with limiter.slot("run", at_most=5, first=first):
            order.append(name)
            await all_wait.wait()

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(partial(one, name, first=False))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(partial(one, "again", first=True))
        await anyio.wait_all_tasks_blocked()
        all_wait.set()
    assert order == ["a", "again", "b", "c"]


@given(st.integers(1, 5_000), st.lists(st.floats(0, 5), max_size=300))
def test_no_minute_has_more_requests_than_are_allowed(per_minute: int, gaps_s: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(Pace(requests_per_minute=per_minute), clock)
    sent: list[float] = []
    for gap_s in gaps_s:
        clock.now_s += gap_s
        while limiter._wait_s(0) <= 0:
            limiter._charge(0)
            sent.append(clock.now_s)
    for start in sent[:: max(len(sent) // 50, 1)]:
        within = sum(start <= moment < start + 60 for moment in sent)
        assert within <= per_minute + 1


async def test_a_request_larger_than_a_minutes_tokens_goes_when_nothing_else_was_sent() -> None:
    limiter = RateLimiter(Pace(tokens_per_minute=100))
    with anyio.fail_after(60):
        async with limiter.slot("run", at_most=1, tokens=1_000_000):
            pass
    assert limiter._wait_s(1) > 60


@pytest.mark.parametrize("make", [lambda: Pace(max_concurrency=0), lambda: Pace(tokens_per_minute=-1)])
def test_a_pace_that_lets_nothing_through_is_refused(make: Callable[[], Pace]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        make()
