"""What a call of a user's tool costs beside a call of the context; both leave the process that runs the cell.

The bound is of a run as `RLM(…)` makes it by default. One that is stored and has a hook makes two events of each call
of a tool, and none of a call of the context; it is measured beside it.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from figures import Figure
from rlmbox import RLM
from rlmbox.events import Event
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel

CALLS = 300
ROUNDS = 7
TEXT = "A penalty of 5 % applies to late delivery.\n" * 100


def plain(x: int) -> int:
    """Double."""
    return 2 * x


async def in_the_loop(x: int) -> int:
    """Double."""
    return 2 * x


async def ratios(sandbox: str, *, is_told: bool = False) -> dict[str, float]:
    """Time the same number of calls of each kind in turn, in one session, and return the medians in ms per call.

    Args:
        sandbox: The sandbox's name.
        is_told: Whether the run is kept in memory and has a hook.
    """
    kinds = {"ctx": "ctx.find('penalty', max_matches=1)", "plain": "plain({})", "async": "in_the_loop({})"}
    cells = []
    for round_ in range(ROUNDS + 1):
        for call in kinds.values():
            number = f"i + {round_ * CALLS}"
            cells.append(f"for i in range({CALLS}):\n    {call.format(number)}")
    replies = [f"```repl\n{cell}\n```" for cell in cells] + ["FINAL(done)"]
    took: list[float] = []
    heard: list[Event] = []
    told: dict[str, Any] = {"store": MemoryStore(), "hooks": [heard.append]} if is_told else {}
    rlm = RLM(ScriptedModel(replies), tools=[plain, in_the_loop], sandbox=sandbox, **told)
    async with rlm.session(TEXT, question="?", limits=None) as session:
        session.max_turns = len(replies) + 1
        task = session.task
        assert task is not None
        task.max_turns = len(replies) + 1
        for _ in cells:
            step = await session.step()
            took.append(task.turns[-1].executions[0].duration_s * 1_000 / CALLS)
            assert step.status == "continue", step
    by_kind = {kind: took[place::3][1:] for place, kind in enumerate(kinds)}
    return {kind: statistics.median(times) for kind, times in by_kind.items()}


def figures() -> list[Figure]:
    found = []
    for sandbox in ("monty", "jail"):
        for is_told in (False, True):
            ms = asyncio.run(ratios(sandbox, is_told=is_told))
            for kind in ("plain", "async"):
                article = "an" if kind == "async" else "a"
                name = f"a call of {article} {kind} tool in `{sandbox}`, beside one of `ctx.find`"
                if is_told:
                    name += ", in a run that is kept and has a hook"
                found.append(Figure(name, ms[kind] / ms["ctx"], None if is_told else 1.3, unit="times"))
    return found


if __name__ == "__main__":
    for figure in figures():
        print(figure.row)
