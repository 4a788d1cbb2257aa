"""What is long is read, written and checked in threads, so that a server's event loop goes on meanwhile."""

import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from rlmbox import RLM, Context
from rlmbox.context.json_parts import LONG
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellLimits, HostFunction
from runs import repl

WHERE: list[threading.Thread] = []


@pytest.fixture(autouse=True)
def _nowhere() -> None:
    WHERE.clear()


class Told(dict[str, Any]):
    """A dict that knows where it is read."""

    def items(self) -> Any:
        WHERE.append(threading.current_thread())
        return super().items()

    def get(self, key: str, default: Any = None) -> Any:
        WHERE.append(threading.current_thread())
        return super().get(key, default)


def rlm(*replies: str, **options: Any) -> RLM:
    return RLM(ScriptedModel(replies), sandbox="monty", **options)


def is_beside_the_loop() -> bool:
    return bool(WHERE) and threading.main_thread() not in WHERE


async def test_documents_are_read_beside_the_loop() -> None:
    answer = await rlm(repl("FINAL(ctx.num_documents())")).aask("?", [Told(text="one"), Told(text="two")])

    assert answer.value == 2
    assert is_beside_the_loop()


async def test_inputs_are_read_beside_the_loop() -> None:
    answer = await rlm(repl("FINAL(len(rows))")).aask("?", "a text", inputs={"rows": [Told(a=1)] * 3})

    assert answer.value == 3
    assert is_beside_the_loop()


async def test_a_stream_reads_its_documents_beside_the_loop() -> None:
    events = [event async for event in rlm("FINAL(done)").stream("?", [Told(text="one"), Told(text="two")])]

    assert events
    assert is_beside_the_loop()


async def test_a_long_result_is_written_beside_the_loop_and_a_short_one_on_it() -> None:
    def rows(count: int) -> Told:
        """Return rows."""
        return Told({str(number): number for number in range(count)})

    sandbox = LocalSandbox(unsafe_no_isolation=True)
    await sandbox.start(CellLimits(), Context.from_text("a text"), {"rows": HostFunction("rows", rows, "")})
    long = await sandbox.execute(Cell("[len(rows(50_000)) for _ in range(5)]"))

    assert long.value == [50_000] * 5
    assert is_beside_the_loop()
    short = await sandbox.execute(Cell("len(rows(3))"))
    await sandbox.close()
    assert short.value == 3
    assert WHERE[-1] is threading.main_thread()


async def test_a_long_answer_is_checked_beside_the_loop() -> None:
    def checked(found: list[str]) -> list[str]:
        WHERE.append(threading.current_thread())
        return found

    code = repl(f"FINAL(['word'] * {LONG})")
    answer = await rlm(code).aask("?", "a text", returns=Annotated[list[str], AfterValidator(checked)])

    assert answer.value == ["word"] * LONG
    assert is_beside_the_loop()
