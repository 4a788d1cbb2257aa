"""How long the event loop is held by texts of 30 MB on each way through a run: what other runs of a program wait."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from figures import Figure
from rlmbox import RLM, Limits
from rlmbox.testing import ScriptedModel

SIZE_MB = 30
LINE = "The quick brown fox no. 4711 jumps over the lazy dog; coffee costs 12.50 and so on.\n"
TEXT = LINE * (SIZE_MB * 1_000_000 // len(LINE))
MADE = f"'abc 123 ' * {SIZE_MB * 125_000}"  # the same in a cell
LIMITS = Limits(max_turns=6, cost_limit_usd=None)
DONE = "FINAL(done)"


def much() -> str:
    """Return much."""
    return TEXT


def length(text: str) -> int:
    """Return the length of a text."""
    return len(text)


def rows() -> list[dict[str, object]]:
    return [{"id": number, "name": f"row {number}", "note": LINE[:40]} for number in range(SIZE_MB * 10_000)]


def complaints() -> Callable[[object], str | None]:
    left = [TEXT]
    return lambda _answer: left.pop() if left else None


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


WAYS: dict[str, Callable[[], tuple[Sequence[str], dict[str, Any]]]] = {
    "a question": lambda: ([repl("print(1)"), DONE], {"question": TEXT}),
    "a system prompt": lambda: ([repl("print(1)"), DONE], {"instructions": TEXT}),
    "a reply": lambda: ([TEXT, DONE], {}),
    "the thought in a reply": lambda: ([f"<think>{TEXT}</think>{repl('print(1)')}", DONE], {}),
    "a validator's complaint": lambda: (["FINAL(x)", DONE], {"validate": complaints()}),
    "a tool's result": lambda: ([repl("print(len(much()))"), DONE], {"tools": [much]}),
    "a tool's argument": lambda: ([repl(f"print(length({MADE}))"), DONE], {"tools": [length]}),
    "a sub-call's prompt": lambda: ([repl(f"print(llm_query({MADE}))"), DONE], {}),
    "a sub-call's reply": lambda: ([repl("print(len(llm_query('much')))"), DONE], {"sub": TEXT}),
    "an answer": lambda: ([repl(f"FINAL({MADE})")], {}),
    "documents": lambda: ([repl("print(1)"), DONE], {"context": [TEXT[:1_000_000]] * SIZE_MB}),
    "many documents": lambda: (
        [repl("print(1)"), DONE],
        {"context": list(map(str, range(200_000)))},
    ),
    "an input that is a list of rows": lambda: ([repl("print(1)"), DONE], {"inputs": {"rows": rows()}}),
}


async def longest_stall_ms(
    replies: Sequence[str],
    question: str = "?",
    sub: str = "ok",
    context: Any = "a small text",
    inputs: Any = None,
    **options: Any,
) -> float:
    """Returns the longest time for which a task that wants to go on each millisecond could not.

    It is processor time of this process, at most the time on the clock, so that other processes do not count.
    """
    longest_s, is_over = 0.0, False

    async def tick() -> None:
        nonlocal longest_s
        while not is_over:
            began_s, worked_s = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            waited_s = time.perf_counter() - began_s - 0.001
            longest_s = max(longest_s, min(waited_s, time.process_time() - worked_s))

    models = ScriptedModel(replies), ScriptedModel([sub], name="sub")
    rlm = RLM(models[0], sub_model=models[1], limits=LIMITS, **options)
    ticking = asyncio.create_task(tick())
    gc.freeze()  # what this program holds itself is not searched for garbage
    await rlm.aask(question, context, inputs=inputs)
    is_over = True
    await ticking
    return longest_s * 1_000


async def stalls() -> list[Figure]:
    await longest_stall_ms([repl("print(1)"), DONE])  # what is imported at the first use
    found = []
    for name, script in WAYS.items():
        replies, options = script()
        await longest_stall_ms(replies, **options)
        replies, options = script()
        stall_ms = await longest_stall_ms(replies, **options)
        found.append(Figure(f"Longest stall of the event loop, {name} of {SIZE_MB} MB", stall_ms, 100))
    return found


def figures() -> list[Figure]:
    """Measures all."""
    return asyncio.run(stalls())


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
