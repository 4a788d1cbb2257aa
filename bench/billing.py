"""How near the ledger is to what a provider bills by its own account, over faults of every kind."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from figures import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from adversary import Outcome, long_sub_call_run, many_sub_calls, random_run

RUNS = 200


async def measure() -> list[Figure]:
    outcomes = [await random_run(seed) for seed in range(RUNS)]
    lawless = sum(not outcome.keeps_the_law for outcome in outcomes)
    overshoots = sum(outcome.billed_usd > outcome.limit_usd for outcome in outcomes)
    # At $1.25 and $10 for a million tokens: once with prompts and replies so long that 2,000 with their faults bill
    # more than the limit, which cannot be answered all, and once so that the limit just pays for what is charged.
    free = await many_sub_calls(2_000, limit_usd="50")
    short = await many_sub_calls(2_000)
    fits = await many_sub_calls(2_000, prompt_bytes=3_000, reply_tokens=(30, 150))
    long = await asyncio.to_thread(long_sub_call_run)
    payable = int(free.answered * short.limit_usd / free.billed_usd)
    return [
        Figure(f"{RUNS} random trees: runs over their limit by the provider's account", overshoots, 0, "runs"),
        Figure(f"{RUNS} random trees: runs whose bill is not between certain and total", lawless, 0, "runs"),
        Figure("2,000 sub-calls, 25 % faults: charged for each dollar billed", ratio(free), 1.5, "$"),
        Figure("of them not answered", 2_000 - free.answered, 100, ""),
        Figure(
            f"2,000 that bill ${fits.billed_usd:.2f}, 25 % faults, under $5: not answered",
            2_000 - fits.answered,
            100,
            "",
        ),
        Figure("charged for each dollar billed", ratio(fits), 1.5, "$"),
        Figure(
            "a run of $0.10 with one sub-call of 100,000 characters: left of the limit where it ends",
            float(100 - 100 * long.billed_usd / long.limit_usd),
            40,
            "%",
        ),
        Figure(
            f"2,000 that bill ${free.billed_usd:.2f}, under $5: answered of the {payable:,} that $5 pays for, without "
            "a cent for doubt",
            100 * short.answered / payable,
            None,
            "%",
        ),
    ]


def ratio(outcome: Outcome) -> float:
    return float(outcome.total_usd / outcome.billed_usd)


def figures() -> list[Figure]:
    """Measures all."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
