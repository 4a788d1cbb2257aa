"""A figure beside what was asked for, and how it is taken."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

REST_S = 0.03


@dataclass(frozen=True)
class Figure:
    name: str
    measured: float
    bound: float | None
    unit: str = "ms"

    @property
    def row(self) -> str:
        bound = "" if self.bound is None else f"{self.bound:g} {self.unit}"
        met = "" if self.bound is None else ("yes" if self.measured <= self.bound else "**no**")
        return f"| {self.name} | {bound} | {self.measured:.3g} {self.unit} | {met} |"


async def median_ms(work: Callable[[], Awaitable[object]], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)


async def settled_ms(work: Callable[[], Awaitable[object]], runs: int, rounds: int = 7) -> float:
    """Gives the lowest of the medians of several rounds: what the work takes while nobody else wants the machine."""
    medians = []
    for _ in range(rounds):
        medians.append(await median_ms(work, runs))
        await asyncio.sleep(REST_S)
    return min(medians)


def command_ms(*arguments: str, runs: int = 9) -> float:
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times[1:])
