"""What a session costs besides its models and its cells, and what it takes to begin."""

from __future__ import annotations

import asyncio
import statistics
import sys

from figures import Figure, command_ms, median_ms
from rlmbox import RLM, Context, Limits
from rlmbox.context.repl import repl_functions
from rlmbox.sandboxes.auto import AutoSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellLimits, HostFunction

CELLS = (
    "print(len(context))\nprint(context[:200])",
    "hits = [line for line in re.findall(r'(?m)^.*ERROR.*$', context)]\nprint(len(hits), hits[0])",
    "code = re.search(r'code is (\\d+)', hits[0]).group(1)\nFINAL(code)",
)
CHEAP = ("x = 1", "x = x + 1", "print(x)")


def log_of(size_bytes: int) -> str:
    lines = [
        f"{i:08d} INFO request id={i * 7919 % 1_000_003:07d} handled in {i % 997:03d} ms\n"
        for i in range(size_bytes // 52)
    ]
    lines[len(lines) // 2] = f"{len(lines) // 2:08d} ERROR the launch code is 7431\n"
    return "".join(lines)


async def session_figures() -> list[Figure]:
    context = Context.from_text(log_of(10_000_000))
    replies = [f"```repl\n{cell}\n```" for cell in CELLS]

    async def whole() -> None:
        answer = await RLM(ScriptedModel(replies)).aask("What is the launch code?", context)
        assert answer.text == "7431", answer
        assert answer.turns == 3

    def final(answer: object, sources: object = None) -> None:
        pass

    host = {function.name: function for function in (*repl_functions(context), HostFunction("FINAL", final, ""))}

    async def cells_alone() -> None:
        sandbox = AutoSandbox()  # as above: the default
        await sandbox.start(CellLimits(), context, host, query="What is the launch code?")
        for cell in CELLS:
            assert (await sandbox.execute(Cell(cell))).outcome == "ok"
        await sandbox.close()

    await whole()
    wholes, alones = [], []
    for _ in range(15):  # in turn, so that a drift of the machine's speed meets both
        wholes.append(await median_ms(whole, 1))
        alones.append(await median_ms(cells_alone, 1))
    outside = statistics.median(whole - alone for whole, alone in zip(wholes, alones, strict=True))
    return [
        Figure("3-turn session over 10 MB in the default, warm", statistics.median(wholes), 90),
        Figure("of it outside the sandbox", outside, 10),
        Figure("the same cells fed to the sandbox alone", statistics.median(alones), None),
    ]


async def turn_figures() -> list[Figure]:
    """What a turn costs beside its cell: 100 turns with a cell each, less the same cells in the sandbox alone."""
    context = Context.from_text("a small text")
    turns = 100
    replies = [f"Thinking about it.\n```repl\n{CHEAP[i % 3]}\n```" for i in range(turns)] + ["FINAL(done)"]

    async def whole() -> None:
        await RLM(ScriptedModel(replies), limits=Limits(max_turns=turns + 1)).aask("?", context)

    async def cells_alone() -> None:
        sandbox = AutoSandbox()  # as above: the default
        await sandbox.start(CellLimits(), context, {}, query="?")
        for i in range(turns):
            await sandbox.execute(Cell(CHEAP[i % 3]))
            if i % 3 != 2:
                await sandbox.variables()  # a quiet cell is answered with the variables there are
        await sandbox.close()

    await whole()
    differences = [await median_ms(whole, 1) - await median_ms(cells_alone, 1) for _ in range(9)]
    return [Figure("the engine's own cost per turn", statistics.median(differences) / turns, 1)]


async def batch_figures() -> list[Figure]:
    context = Context.from_text("a small text")
    code = "FINAL(len(llm_query_batched([str(i) for i in range(100)])))"

    async def whole() -> None:
        sub = ScriptedModel(["ok"] * 100, name="sub", delay_s=0.05)
        root = ScriptedModel([f"```repl\n{code}\n```"], name="root")
        answer = await RLM(root, sub_model=sub, limits=Limits(concurrency=100)).aask("?", context)
        assert answer.value == 100

    await whole()
    return [Figure("`llm_query_batched` of 100 sub-calls of 50 ms at concurrency 100", await median_ms(whole, 9), 100)]


def start_figures() -> list[Figure]:
    bare = command_ms(sys.executable, "-c", "pass")
    return [
        Figure(
            "`import rlmbox`, beyond a bare interpreter", command_ms(sys.executable, "-c", "import rlmbox") - bare, 150
        ),
        Figure(
            "`from rlmbox import RLM`, the same",
            command_ms(sys.executable, "-c", "from rlmbox import RLM") - bare,
            None,
        ),
        Figure("`rlmbox --help`, whole process", command_ms(sys.executable, "-m", "rlmbox", "--help"), 300),
    ]


def figures() -> list[Figure]:
    """Measures all."""
    return [*asyncio.run(_async_figures()), *start_figures()]


async def _async_figures() -> list[Figure]:
    return [*await session_figures(), *await turn_figures(), *await batch_figures()]


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
