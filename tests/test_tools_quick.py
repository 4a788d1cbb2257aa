"""Calls of quick tools, which the event loop makes without leaving its place, are as safe as those of slow ones."""

import asyncio
import inspect
import threading
from typing import Any

import anyio
import pytest

from rlmbox import RLM, Limits, Tool
from rlmbox.errors import LimitExceeded
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, said_to

BOXES = ("monty", "jail")


@pytest.mark.parametrize("sandbox", BOXES)
async def test_a_tool_that_was_quick_and_then_hangs_is_ended_at_its_time_and_the_cell_goes_on(sandbox: str) -> None:
    released = threading.Event()

    def sometimes(x: int) -> int:
        """Double; hang at 20."""
        if x == 20:
            released.wait(60)
        return 2 * x

    code = """
got = []
for i in range(30):
    try:
        got.append(sometimes(i))
    except TimeoutError as error:
        got.append(str(error))
FINAL(got)
"""
    asked = RLM(ScriptedModel([repl(code)]), tools=[Tool(sometimes, timeout_s=0.5)], sandbox=sandbox)
    found: Any = (await asked.aask("?", TEXT)).value
    released.set()
    assert "longer than 0.5 s" in found[20]
    assert [each for place, each in enumerate(found) if place != 20] == [2 * i for i in range(30) if i != 20]


@pytest.mark.parametrize("sandbox", BOXES)
async def test_each_call_is_recorded_once_and_none_is_made_again_on_resume(sandbox: str) -> None:
    called: list[int] = []

    def note(x: int) -> int:
        """Note a number."""
        called.append(x)
        if x == 7:
            raise ValueError("seven is refused")
        return x + 1

    code = """
got = []
for i in range(9):
    try:
        got.append(note(i))
    except ValueError as error:
        got.append(str(error))
print(got)
"""
    store = MemoryStore()
    options: dict[str, Any] = {"tools": [note], "sandbox": sandbox, "store": store}
    failing = ScriptedModel([repl(code), ValueError("the line is down")])
    with pytest.raises(Exception, match="the line is down"):
        await RLM(failing, **options).aask("?", TEXT, run_id="noted")
    assert called == list(range(9))
    answer = await RLM(ScriptedModel(["FINAL_VAR(got)"]), **options).aresume("noted")
    assert answer.value == [1, 2, 3, 4, 5, 6, 7, "seven is refused", 9]
    assert called == list(range(9))
    ends = [event for event in await store.read("noted") if event.kind == "host_call_finished"]
    assert [event.ended for event in ends if event.function == "note"].count("failed") == 1  # type: ignore[attr-defined]


async def test_a_call_that_is_under_way_when_the_time_of_a_run_is_over_ends_with_it() -> None:
    released = threading.Event()
    model = ScriptedModel([repl("for i in range(9):\n    stops(i)")])

    def stops(x: int) -> int:
        """Stop at 5."""
        if x == 5:
            released.wait(60)
        return x

    limits = Limits(max_seconds=3, last_answer=False)
    with pytest.raises(LimitExceeded, match="seconds"):
        await RLM(model, tools=[stops], sandbox="jail", limits=limits).aask("?", TEXT)
    assert not released.is_set()
    released.set()


async def test_threads_of_a_cell_may_call_a_quick_tool_at_once() -> None:
    def double(x: int) -> int:
        """Double."""
        return 2 * x

    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    FINAL(list(pool.map(double, range(100))))
"""
    model = ScriptedModel([repl(code)])
    answer = await RLM(model, tools=[double], sandbox="jail").aask("?", TEXT)
    assert answer.value == [2 * i for i in range(100)]


@pytest.mark.parametrize("sandbox", BOXES)
async def test_arguments_of_quick_tools_pass_the_guard(sandbox: str) -> None:
    given: list[str] = []

    def send(text: str) -> str:
        """Send a text."""
        given.append(text)
        return "sent"

    text = "Write to ada.lovelace@example.com about it.\n" + "A penalty applies. " * 500
    model = ScriptedModel([repl("for i in range(5):\n    print(send(context[:43]))"), "FINAL(ok)"])
    await RLM(model, tools=[send], sandbox=sandbox, guard="strict").aask("?", text)
    assert len(given) == 5
    assert not any("ada.lovelace" in each for each in given)
    assert "ada.lovelace" not in said_to(model)


@pytest.mark.parametrize("call", ["joined(1, 'b')", "joined(1, right='b')", "joined(left=1, right='b')"])
async def test_a_function_that_says_another_signature_than_its_own_gets_its_arguments_by_name(call: str) -> None:
    class Joined:
        __name__ = "joined"

        def __call__(self, **given: Any) -> str:
            """Join two values."""
            return f"{given['left']}{given['right']}"

    tool = Joined()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    tool.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("left", kind), inspect.Parameter("right", kind)]
    )
    asked = RLM(ScriptedModel([repl(f"FINAL({call})")]), tools=[tool], sandbox="monty")
    assert (await asked.aask("?", TEXT)).text == "1b"


@pytest.mark.parametrize("sandbox", BOXES)
async def test_an_async_tool_may_enter_a_timeout_before_its_first_wait(sandbox: str) -> None:
    async def of_anyio(x: int) -> int:
        with anyio.fail_after(60):
            await anyio.sleep(0.001)
        return x

    async def of_asyncio(x: int) -> int:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            waited = group.create_task(asyncio.sleep(0.001, x))
        return waited.result()

    code = (
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    at_once = list(pool.map(of_anyio, range(5)))
"""
        if sandbox == "jail"
        else "at_once = [0, 1, 2, 3, 4]"
    )
    code += "\nFINAL([of_anyio(1), of_asyncio(2), of_anyio(3), at_once])"
    asked = RLM(ScriptedModel([repl(code)]), tools=[of_anyio, of_asyncio], sandbox=sandbox)
    assert (await asked.aask("?", TEXT)).value == [1, 2, 3, [0, 1, 2, 3, 4]]
