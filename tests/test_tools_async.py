"""Calls that need no wait are made where the event loop is; calls that do wait, and all other tasks, notice nothing."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from rlmbox import RLM, CellLimits, Limits, Tool
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl

BOXES = ("monty", "jail")
_user: ContextVar[str] = ContextVar("user", default="nobody")


async def value(code: str, sandbox: str, *tools: Any, **options: Any) -> Any:
    return (await RLM(ScriptedModel([repl(code)]), tools=tools, sandbox=sandbox, **options).aask("?", TEXT)).value


async def half(x: int) -> int:
    """Wait at even numbers only, within a time of its own and beside another task."""
    task = asyncio.current_task()
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        if x % 2 == 0:
            await asyncio.sleep(0)
            await group.create_task(asyncio.sleep(0.001))
    assert asyncio.current_task() is task
    return x


@pytest.mark.parametrize("sandbox", BOXES)
async def test_an_async_tool_may_wait_in_some_calls_and_not_in_others(sandbox: str) -> None:
    assert await value("FINAL([half(i) for i in range(20)])", sandbox, half) == list(range(20))


@pytest.mark.parametrize("sandbox", BOXES)
async def test_what_an_async_tool_sets_is_not_seen_by_the_next_call(sandbox: str) -> None:
    async def visit(name: str) -> str:
        """Say who was here before."""
        before = _user.get()
        _user.set(name)
        if name == "b":
            await asyncio.sleep(0)
        return f"{before}, {_user.get()}"

    found = await value("FINAL([visit(name) for name in 'abc'])", sandbox, visit)
    assert found == ["nobody, a", "nobody, b", "nobody, c"]


@pytest.mark.parametrize("sandbox", BOXES)
async def test_an_async_tool_that_hangs_after_quick_calls_is_ended_at_its_time(sandbox: str) -> None:
    ended: list[int] = []

    async def sometimes(x: int) -> int:
        """Hang at 5."""
        try:
            if x == 5:
                await asyncio.sleep(600)
        finally:
            ended.append(x)
        return x

    code = """
got = []
for i in range(8):
    try:
        got.append(sometimes(i))
    except TimeoutError as error:
        got.append(str(error))
FINAL(got)
"""
    found = await value(code, sandbox, Tool(sometimes, timeout_s=0.3))
    assert "longer than 0.3 s" in found[5]
    assert [each for each in found if isinstance(each, int)] == [0, 1, 2, 3, 4, 6, 7]
    assert ended == list(range(8))


async def test_async_calls_of_a_cells_threads_wait_for_each_other() -> None:
    both = asyncio.Barrier(4)

    async def meet(x: int) -> int:
        """Wait until four are there."""
        await both.wait()
        return x

    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    FINAL(list(pool.map(meet, range(8))))
"""
    assert await value(code, "jail", meet) == list(range(8))


@pytest.mark.parametrize("sandbox", BOXES)
async def test_other_tasks_have_their_turn_while_a_cell_calls_quick_tools(sandbox: str) -> None:
    called: list[int] = []

    def double(x: int) -> int:
        """Double."""
        called.append(x)
        return 2 * x

    async def turns() -> int:
        count = 0
        while len(called) < 600:
            await asyncio.sleep(0.001)
            count += bool(called)
        return count

    watching = asyncio.create_task(turns())
    code = "for i in range(600):\n    last = double(i)\nFINAL(last)"
    assert await value(code, sandbox, double, limits=Limits(cell=CellLimits(cell_timeout_s=120.0))) == 1198
    assert await watching > 5


async def test_an_endless_loop_of_quick_calls_ends_at_the_time_of_the_cell() -> None:
    def double(x: int) -> int:
        """Double."""
        return 2 * x

    model = ScriptedModel([repl("while True:\n    double(1)"), "FINAL(it was stopped)"])
    limits = Limits(cell=CellLimits(cell_timeout_s=0.5))
    answer = await RLM(model, tools=[double], sandbox="monty", limits=limits).aask("?", TEXT)
    assert answer.text == "it was stopped"
    assert "ExecutionTimeout" in model.requests[1][-1].content


@pytest.mark.parametrize("sandbox", BOXES)
async def test_a_question_is_cancelled_while_its_cell_calls_quick_tools_without_end(sandbox: str) -> None:
    called = asyncio.Event()
    loop = asyncio.get_running_loop()
    count = 0

    def double(x: int) -> int:
        """Double."""
        nonlocal count
        count += 1
        if count == 300:
            loop.call_soon_threadsafe(called.set)
        return 2 * x

    model = ScriptedModel([repl("while True:\n    double(1)")])
    asked = RLM(model, tools=[double], sandbox=sandbox)
    question = asyncio.create_task(asked.aask("?", TEXT))
    await called.wait()
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    assert count < 100_000
