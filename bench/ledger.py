"""What the ledger costs: time of pairs of reserve and settle from 8 tasks, and memory."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from decimal import Decimal

import anyio

from figures import Figure
from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.models.prices import FlatPrice
from rlmbox.testing import ScriptedModel
from rlmbox.types import Usage

TASKS = 8
PAIRS = 100_000
PRICE = FlatPrice(Decimal("1.25"), Decimal("10.00"), origin="bench")
MODEL = ScriptedModel([], name="bench", price=PRICE)
USED = Usage(900, 0, 200, 0, 1)


async def pairs(budget: Budget, count: int) -> None:
    account = budget.root.below()
    for _ in range(count):
        reservation = await budget.reserve(MODEL, 1_000, 500, account=account)
        await asyncio.sleep(0)  # the others get their turn while the request is under way
        budget.settle(reservation, USED)


async def run(budget: Budget, count: int) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(TASKS):
            tasks.start_soon(pairs, budget, count // TASKS)


async def time_figures(runs: int = 5) -> list[Figure]:
    """The best of several runs, by processor time: the machine's other work can only slow one down."""
    times = []
    for _ in range(runs):
        budget = Budget(Limits(cost_limit_usd="1000000"))
        began = time.process_time()
        await run(budget, PAIRS)
        times.append(time.process_time() - began)
        assert budget.report.calls == PAIRS
    return [Figure("100,000 pairs of reserve and settle from 8 tasks", min(times) * 1_000, 1_000)]


async def memory_figures() -> list[Figure]:
    """What the ledger holds after 100,000 requests beyond what it held after 1,000."""
    budget = Budget(Limits(cost_limit_usd="1000000"))
    tracemalloc.start()
    try:
        await run(budget, 1_000)
        before, _ = tracemalloc.get_traced_memory()
        await run(budget, PAIRS)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return [Figure("memory that 100,000 entries leave in the ledger", (after - before) / 1e6, 0.1, "MB")]


async def measure() -> list[Figure]:
    return [*await time_figures(), *await memory_figures()]


def figures() -> list[Figure]:
    """Measures all."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
