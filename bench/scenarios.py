"""The scenarios by which the project's first documents compared sandboxes: nine of a REPL and six of a loop.

Each figure stands beside that of the documents, for a REPL in the host's own process ("before, Python", which has no
walls) or in Monty ("before, Monty"). What a sandbox costs in a loop is the loop in it less the same loop in `local`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable

from figures import Figure, command_ms
from rlmbox import RLM, Context
from rlmbox.context.repl import repl_functions
from rlmbox.sandboxes.auto import AutoSandbox
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellLimits

Make = Callable[[], Sandbox]
MAKERS: dict[str, Make] = {
    "jail": JailSandbox,
    "monty": MontySandbox,
    "local": lambda: LocalSandbox(unsafe_no_isolation=True),
}
SMALL, MIDDLE, LARGE = (
    "word " * 620,
    "Some words. The key term is: Needle42. More. " * 311,
    "some words of a text " * 9_500,
)
REPL: dict[str, tuple[str, tuple[str, ...], str]] = {
    "simple, `x = 1 + 2`": (SMALL, ("x = 1 + 2",), "1, 3"),
    "text, slice and `len` of 170,000 characters": (LARGE[:170_000], ("a = len(context[100:5000])",), "2, 6"),
    "host functions, `peek` and `tail`": (SMALL, ("a = peek(100)\nb = tail(100)",), "2, 7"),
    "`extract_after` in 14,000 characters": (MIDDLE, ("a = extract_after('key term is:')",), "2, 6"),
    "three cells": (SMALL, ("a = context[:500]", "b = a.split()", "c = len(b)"), "8, 25"),
    "a list comprehension": (SMALL, ("a = [word for word in context.split() if len(word) > 3]",), "1, 4"),
    "`len` of 200,000 characters": (LARGE, ("a = len(context)",), "2, 6"),
}
LOOPS: dict[str, tuple[int, int, str]] = {
    f"{kind} ({documents} documents)": (turns, documents, before)
    for kind, turns, befores in (
        ("phase 0", 1, ("0.14, 0.20", "0.14, 0.21", "0.15, 0.22")),
        ("several steps", 3, ("0.18, 0.30", "0.19, 0.31", "0.19, 0.32")),
    )
    for documents, before in zip((5, 30, 120), befores, strict=True)
}
ASK = """
import asyncio
from rlmbox import RLM
from rlmbox.testing import ScriptedModel
RLM(ScriptedModel(["```repl\\nprint(len(context))\\n```", "FINAL(ok)"])).ask("How long?", "a small text")
"""
OPEN = """
import asyncio
from rlmbox import RLM, Context
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellLimits
RLM(ScriptedModel(["FINAL(ok)"]))
async def main():
    sandbox = JailSandbox()
    await sandbox.start(CellLimits(), Context.from_text("a small text"), {})
    await sandbox.execute(Cell("print(len(context))"))
    await sandbox.close()
asyncio.run(main())
"""


async def opened(make: Make, text: str, limits: CellLimits | None = None) -> Sandbox:
    context = Context.from_text(text)
    sandbox = make()
    await sandbox.start(
        limits or CellLimits(), context, {function.name: function for function in repl_functions(context)}
    )
    return sandbox


async def start_ms(make: Make, runs: int = 5, rounds: int = 7) -> float:
    """Return the lowest of the medians of several rounds, as in `sandboxes.py`; each start has a text of its own."""
    medians = []
    for _ in range(rounds):
        times = []
        for _ in range(runs):
            context = Context.from_text(SMALL)
            functions = {function.name: function for function in repl_functions(context)}
            sandbox = make()
            began = time.perf_counter()
            await sandbox.start(CellLimits(), context, functions)
            times.append((time.perf_counter() - began) * 1e3)
            await sandbox.close()
            await asyncio.sleep(0.05)  # a spare worker is made meanwhile
        medians.append(statistics.median(times))
    return min(medians)


async def cells_ms(make: Make, text: str, cells: tuple[str, ...], runs: int = 30) -> float:
    sandbox = await opened(make, text)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        for cell in cells:
            assert (await sandbox.execute(Cell(cell))).outcome == "ok"
        times.append((time.perf_counter() - began) * 1e3)
    await sandbox.close()
    return statistics.median(times)


async def loop_ms(make: Make, turns: int, documents: int, runs: int = 7) -> float:
    """Gives the time of a loop over a model that answers at once, without that of the sandbox's start and end."""
    text = "\n\n".join(f"Document {number}: some words about a thing." for number in range(documents))
    cells = ["```repl\na = peek(200)\n```", "```repl\nb = len(a)\n```"][: turns - 1]
    times = []
    for _ in range(runs):
        async with RLM(ScriptedModel([*cells, "FINAL(ok)"]), sandbox=make).session(text) as session:
            began = time.perf_counter()
            assert (await session.ask("What is it?")).text == "ok"
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


async def repl_figures() -> list[Figure]:
    found = []
    for name, make in MAKERS.items():
        bound = {"jail": 1.0, "monty": 1.0}.get(name)
        found.append(Figure(f"REPL in `{name}`: a warm start (before: 2, 8)", await start_ms(make), bound))
        for title, (text, cells, before) in REPL.items():
            took = await cells_ms(make, text, cells)
            found.append(Figure(f"REPL in `{name}`: {title} (before: {before})", took, None))
        sandbox = await opened(make, SMALL, CellLimits(cell_timeout_s=0.5))
        began = time.perf_counter()
        assert (await sandbox.execute(Cell("while True: pass"))).outcome == "timeout"
        took = (time.perf_counter() - began) * 1e3 - 500
        await sandbox.close()
        found.append(Figure(f"REPL in `{name}`: an endless loop, beyond its limit (before: hangs, 0)", took, 1_000))
    found.append(Figure("a warm start of what `auto` chooses", await start_ms(AutoSandbox), 2.0))
    return found


async def loop_figures() -> list[Figure]:
    found = []
    for title, (turns, documents, before) in LOOPS.items():
        took = {name: await loop_ms(make, turns, documents) for name, make in MAKERS.items()}
        found += [Figure(f"loop in `{name}`: {title} (before: {before})", ms, None) for name, ms in took.items()]
        for name in ("jail", "monty"):
            cost = (took[name] - took["local"]) / turns
            found.append(Figure(f"walls' cost a turn, `{name}` beyond `local`: {title}", cost, 0.1))
    return found


def cold_figures() -> list[Figure]:
    command_ms(sys.executable, "-c", ASK, runs=1)  # the self-check of this boot
    rounds = [(command_ms(sys.executable, "-c", ASK, runs=1), command_ms(sys.executable, "-c", OPEN, runs=1))]
    rounds += [
        (command_ms(sys.executable, "-c", ASK, runs=1), command_ms(sys.executable, "-c", OPEN, runs=1))
        for _ in range(2)
    ]
    ask, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
    imported = command_ms(sys.executable, "-c", "from rlmbox import RLM") - command_ms(sys.executable, "-c", "pass")
    return [
        Figure("`from rlmbox import RLM`, beyond a bare interpreter", imported, 120),
        Figure("a first answer over a small text in the default, whole process", ask, None),
        Figure("a process that only makes an `RLM`, and opens the jail for a cell", bare, None),
        Figure("the first by the second", ask / bare, 1.5, "times"),
    ]


def figures() -> list[Figure]:
    return [*asyncio.run(repl_figures()), *asyncio.run(loop_figures()), *cold_figures()]


if __name__ == "__main__":
    for figure in figures():
        print(figure.row, flush=True)
