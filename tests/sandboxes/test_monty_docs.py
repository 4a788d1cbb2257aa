"""What `docs/monty.md` says of Monty's Python is so."""

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.sandboxes.monty._sandbox import INLINE_LIMIT_CHARS, INLINE_LIMIT_WIDE_CHARS
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

PAGE = (Path(__file__).parents[2] / "docs" / "monty.md").read_text(encoding="utf-8")


@pytest.fixture
async def sandbox() -> AsyncIterator[MontySandbox]:
    made = MontySandbox()
    host = {"llm_query": HostFunction("llm_query", lambda prompt: f"yes: {prompt}", "asks")}
    await made.start(CellLimits(), Context.from_text("one two"), host)
    yield made
    await made.close()


async def run(sandbox: MontySandbox, code: str) -> Execution:
    return await sandbox.execute(Cell(code))


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def refused() -> list[tuple[str, str]]:
    rows = [line.strip("| ").split(" | ") for line in section("What is refused").splitlines() if line.startswith("| `")]
    return [("\n".join(re.findall("`(.+?)`(?:<br>|$)", code)), way) for code, way in rows]


@pytest.mark.parametrize(("code", "way"), refused())
async def test_what_is_refused_is_refused_by_name_with_the_way_that_works(
    sandbox: MontySandbox, code: str, way: str
) -> None:
    execution = await run(sandbox, code)
    assert execution.error is not None, code
    assert execution.error.type == "NotImplementedError", execution.error
    assert way in execution.error.message


def test_the_table_of_refusals_is_read_whole() -> None:
    assert len(refused()) >= 25
    for code, _ in refused():
        ast.parse(code)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("[x for x in {'c', 'a', 'b'}]", ["c", "a", "b"]),
        ("[x for x in {3, 1, 2}]", [1, 2, 3]),
        ("d = {1: 'a'}\nd[True] = 'b'\nrepr(d)", "{True: 'b'}"),
        ("import time\ntime.sleep(1000)\ntime.timezone", 0),
        ("repr(x for x in []).partition(' at 0x')[0]", "<generator object <genexpr>"),
        ("'d' in globals(), 'nothing_so' in globals()", [False, False]),
        ("round(2.675, 2)", 2.67),
        ("repr(1224513666690406.25)", "1224513666690406.3"),
        ("sum([0.1] * 10)", 0.9999999999999999),
    ],
)
async def test_what_differs_and_what_is_equal_is_as_the_page_says(
    sandbox: MontySandbox, code: str, value: object
) -> None:
    execution = await run(sandbox, code)
    assert execution.error is None, execution.error
    assert execution.value == value


async def test_the_limits_of_a_real_str_are_as_the_page_says() -> None:
    assert f"{INLINE_LIMIT_CHARS:,} characters where it is ASCII" in PAGE
    assert f"up to {INLINE_LIMIT_WIDE_CHARS:,} where it is not" in PAGE


def test_the_message_at_the_top_is_the_one_that_comes() -> None:
    assert "yield is not in this REPL's Python: use a list that the function fills and returns" in PAGE
