"""What a call of a user's tool costs beside a call of the context."""

from __future__ import annotations

import asyncio
import statistics

from figures import Figure
from rlmbox import RLM
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


async def ratios(sandbox: str) -> dict[str, float]:
    """Time the same number of calls of each kind in turn, in one session, and return the medians in ms per call."""
    kinds = {"ctx": "ctx.find('penalty', max_matches=1)", "plain": "plain({})", "async": "in_the_loop({})"}
    cells = []
    for round_ in range(ROUNDS + 1):
        for call in kinds.values():
            number = f"i + {round_ * CALLS}"
            cells.append(f"for i in range({CALLS}):\n    {call.format(number)}")
    replies = [f"```repl\n{cell}\n```" for cell in cells] + ["FINAL(done)"]
    took: list[float] = []
    rlm = RLM(ScriptedModel(replies), tools=[plain, in_the_loop], sandbox=sandbox)
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
        ms = asyncio.run(ratios(sandbox))
        for kind in ("plain", "async"):
            article = "an" if kind == "async" else "a"
            name = f"a call of {article} {kind} tool in `{sandbox}`, beside one of `ctx.find`"
            found.append(Figure(name, ms[kind] / ms["ctx"], 1.3, unit="times"))
    return found


if __name__ == "__main__":
    for figure in figures():
        print(figure.row)
