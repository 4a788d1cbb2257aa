"""Runs the machines of `tests/cell_machine.py` for so many minutes, each round with a seed of its own.

    python bench/machine.py --minutes 30 --seed 1 --backend jail --backend monty

Takes every backend that can be started here unless some are named. Prints what broke, with what is needed to see it
again, and at the end, or when it is interrupted, how often each kind of cell ended how.
"""

import argparse
import asyncio
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from cell_machine import Broken, RunMachine, SandboxMachine
from rlmbox.context import Context
from rlmbox.errors import RLMError
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import BACKENDS, backend
from rlmbox.types import CellLimits

CELLS, QUESTIONS = 25, 4


@dataclass
class Tried:
    """What was tried in one backend."""

    outcomes: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    seconds: float = 0.0
    broken: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10**9)
    parser.add_argument("--backend", action="append", choices=[row.name for row in BACKENDS])
    given = parser.parse_args()
    tried = {name: Tried() for name in given.backend or startable()}
    until, seed = time.monotonic() + given.minutes * 60, given.seed
    try:
        while time.monotonic() < until and seed < given.seed + given.rounds:
            for name, so_far in tried.items():
                one_round(name, seed, so_far)
            seed += 1
    except KeyboardInterrupt:
        print("interrupted")
    return told(tried, seed - given.seed)


def one_round(name: str, seed: int, so_far: Tried) -> None:
    began = time.monotonic()
    for one in (SandboxMachine(maker(name), seed), RunMachine(maker(name), seed)):
        try:
            asyncio.run(one.run(CELLS if isinstance(one, SandboxMachine) else QUESTIONS))
        except Broken as error:
            so_far.broken += 1
            print(f"{name}, {type(one).__name__}: {error}\n", flush=True)
        except Exception:  # noqa: BLE001 - the other backends go on
            so_far.broken += 1
            print(f"{name}, {type(one).__name__}, seed {seed}: {traceback.format_exc()}", flush=True)
        finally:
            so_far.outcomes += one.outcomes
            so_far.sessions += one.sessions
    so_far.seconds += time.monotonic() - began


def told(tried: dict[str, Tried], rounds: int) -> int:
    """Print what was tried; return 1 if anything broke."""
    for name, so_far in tried.items():
        print(
            f"{name}: {so_far.outcomes.total():,} steps in {so_far.sessions:,} sessions, "
            f"{so_far.seconds / 60:.1f} minutes, {so_far.broken} broken",
            *(f"  {count:6,} {how}" for how, count in so_far.outcomes.most_common()),
            sep="\n",
        )
    broken = sum(each.broken for each in tried.values())
    steps = sum(each.outcomes.total() for each in tried.values())
    print(f"{rounds} rounds, {steps:,} steps, {broken} broken")
    return 1 if broken else 0


def startable() -> Sequence[str]:
    """Return the names of the backends that can be started here; print why another cannot."""
    names = []
    for row in BACKENDS:
        try:
            asyncio.run(started(maker(row.name)()))
            names.append(row.name)
        except RLMError as error:
            print(f"{row.name} is left out: {error}", flush=True)
    return names


async def started(sandbox: Sandbox) -> None:
    try:
        await sandbox.start(CellLimits(), Context.from_text("text"), {})
    finally:
        await sandbox.close()


def maker(name: str) -> Callable[[], Sandbox]:
    made = backend(name).load()
    return (lambda: made(unsafe_no_isolation=True)) if name == "local" else made


if __name__ == "__main__":
    sys.exit(main())
