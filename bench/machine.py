"""Runs the machines of `tests/cell_machine.py` for so many minutes, each round with a seed of its own.

    python bench/machine.py --minutes 30 --seed 1 --backend jail --backend monty

Prints what broke, with what is needed to see it again, and at the end how often each kind of cell ended how.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from cell_machine import Broken, RunMachine, SandboxMachine
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import BACKENDS, backend

CELLS, QUESTIONS = 25, 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10**9)
    parser.add_argument("--backend", action="append", choices=[row.name for row in BACKENDS])
    given = parser.parse_args()
    names = given.backend or ["jail", "monty", "local"]
    until, seed, broken = time.monotonic() + given.minutes * 60, given.seed, 0
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
    while time.monotonic() < until and seed < given.seed + given.rounds:
        for name in names:
            # The subset has neither loops nor functions, so that it refuses most cells of the first machine.
            machines = [] if name == "subset" else [SandboxMachine(maker(name), seed)]
            for one in (*machines, RunMachine(maker(name), seed)):
                try:
                    asyncio.run(one.run(CELLS if isinstance(one, SandboxMachine) else QUESTIONS))
                except Broken as error:
                    broken += 1
                    print(f"{name}, {type(one).__name__}: {error}\n", flush=True)
                outcomes[name] += one.outcomes
        seed += 1
    for name, counted in outcomes.items():
        print(name, *(f"  {count:6,} {how}" for how, count in counted.most_common()), sep="\n")
    print(f"{seed - given.seed} rounds, {sum(map(Counter.total, outcomes.values())):,} steps, {broken} broken")
    return 1 if broken else 0


def maker(name: str) -> Callable[[], Sandbox]:
    made = backend(name).load()
    return (lambda: made(unsafe_no_isolation=True)) if name == "local" else made


if __name__ == "__main__":
    sys.exit(main())
