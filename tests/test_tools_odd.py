"""Tools of types and with results that are seldom met."""

from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from rlmbox import RLM, Tool
from rlmbox.testing import ScriptedModel

TEXT = "a text"


class Row(TypedDict, total=False):
    number: int
    inner: "Row"


def of_a_row(row: Row) -> Row:
    """Return it."""
    return row


async def of_rows(rows: list[Row], *, last: Row | None = None) -> list[Row]:
    """Return them all."""
    return [*rows, last or {"number": 9}]


class Ledger:
    def of_a_row(self, row: Row) -> Row:
        """Return it."""
        return row


def with_a_secret(row: Row, api_key: str) -> Row:
    """Return it."""
    return row if api_key else {}


async def told(call: str, tool: Callable[..., Any] | Tool, sandbox: str = "monty") -> tuple[Any, str]:
    """Return the value of a call, and what the model was told where it failed."""
    model = ScriptedModel([f"```repl\nFINAL({call})\n```", "FINAL(failed)"])
    answer = await RLM(model, tools=[tool], sandbox=sandbox).aask("?", TEXT)
    return answer.value, model.requests[1][-1].content if len(model.requests) > 1 else ""


@pytest.mark.parametrize(
    ("call", "tool", "value"),
    [
        ("of_a_row({'inner': {'number': '3'}})", of_a_row, {"inner": {"number": 3}}),
        ("of_rows([{'number': '1'}])", of_rows, [{"number": 1}, {"number": 9}]),
        ("of_rows([], last={'number': '1'})", of_rows, [{"number": 1}]),
        ("of_a_row({'number': '3'})", Ledger().of_a_row, {"number": 3}),
        ("with_a_secret({'number': '3'})", Tool(with_a_secret, secrets={"api_key": "k-123456"}), {"number": 3}),
    ],
)
async def test_a_typed_dict_of_the_standard_library_is_checked_as_any_type(
    call: str, tool: Callable[..., Any] | Tool, value: object
) -> None:
    assert await told(call, tool) == (value, "")


async def test_what_is_wrong_in_a_typed_dict_is_named() -> None:
    assert "row.number: Input should be a valid integer" in (await told("of_a_row({'number': 'x'})", of_a_row))[1]


HALF = "name\udcff"


def names() -> list[str]:
    """Return names of files as a system has them whose encoding is another one."""
    return [HALF, "whole"]


def name() -> str:
    """Return one."""
    return HALF


def not_found() -> None:
    """Fail over one."""
    raise FileNotFoundError(HALF)


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
@pytest.mark.parametrize(("call", "tool", "value"), [("names()", names, ["name?", "whole"]), ("name()", name, "name?")])
async def test_halves_of_characters_in_a_result_cross_as_whole_ones(
    call: str, tool: Callable[..., Any], value: object, sandbox: str
) -> None:
    assert await told(call, tool, sandbox) == (value, "")


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_halves_of_characters_in_an_error_lose_no_session(sandbox: str) -> None:
    value, said = await told("not_found()", not_found, sandbox)
    assert value == "failed"
    assert "FileNotFoundError" in said


async def test_halves_of_characters_in_a_question_or_an_input_are_no_matter() -> None:
    model = ScriptedModel(["```repl\nFINAL(len(query) + len(path))\n```"])
    answer = await RLM(model, sandbox="monty").aask("what\ud800?", TEXT, inputs={"path": HALF})
    assert answer.value == 11
