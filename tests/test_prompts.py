"""What the model is told: it must not change by accident, it must be true, and a model must be able to act on it."""

import os
import re
from pathlib import Path

import pytest

from rlmbox import RLM, Context
from rlmbox.budget.budget import Budget, Limits
from rlmbox.context.repl import repl_functions
from rlmbox.errors import ConfigError
from rlmbox.loop.children import Children
from rlmbox.loop.function_table import FIRST
from rlmbox.loop.peer_names import PEER_NAMES
from rlmbox.loop.prompts import PARTS, question_prompt, system_prompt
from rlmbox.loop.repl_table import BUDGET
from rlmbox.loop.scope import RunContext, Scope
from rlmbox.loop.session import Session
from rlmbox.loop.subcalls import Subcalls
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import HostFunction
from runs import TEXT, repl, rlm, said_to

MOST_TOKENS = 1_800
CHARS_PER_TOKEN = 3.5
"""Fewer than the 3.7 characters for each token that OpenAI's o200k has of these prompts, so on the high side."""

CONTRACT = "\n".join(
    f"§ {n}. {'A penalty of 5 % of the price applies to late delivery.' if n == 30 else 'No penalty applies.'}"
    for n in range(0, 60, 5)
)


async def _nobody(*_: object) -> object:
    raise AssertionError


def functions() -> tuple[HostFunction, ...]:
    context = Context.from_text("text")
    model = ScriptedModel([])
    run = RunContext(model, model, Budget(Limits()), MontySandbox)
    budget = HostFunction("budget", Session(run, context)._budget, BUDGET)
    scope = Scope.root(run)
    subcalls = Subcalls(scope)
    children = Children(scope, subcalls, context, {}, _nobody)  # type: ignore[arg-type]
    return (*repl_functions(context), *subcalls.functions(), *children.functions(), budget)


def test_the_system_prompt_is_the_one_that_was_reviewed() -> None:
    prompt = system_prompt(functions(), notes=("No `yield`.", "No inheritance."))
    snapshot = Path(__file__).parent / "snapshots" / "system_prompt.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(prompt + "\n")
    assert prompt + "\n" == snapshot.read_text(), "if this is meant: UPDATE_SNAPSHOTS=1 make test"


@pytest.mark.parametrize("notes", [JailSandbox.notes, MontySandbox.notes], ids=["jail", "monty"])
@pytest.mark.parametrize("strict", [False, True])
def test_the_default_prompt_is_short(notes: tuple[str, ...], strict: bool) -> None:
    assert len(system_prompt(functions(), notes=notes, strict=strict)) / CHARS_PER_TOKEN <= MOST_TOKENS


def test_the_prompt_names_every_function_and_no_other_name_of_one() -> None:
    prompt = system_prompt(functions())
    for function in functions():
        is_told = f"`{function.name}(" in prompt
        assert is_told != (function.is_alias or function.name == "lenP"), function.name
    assert not [name for name in (*PEER_NAMES, "FINAL_VAR", "SUBMIT", "llm_batch(") if name in prompt]


def test_ten_functions_come_first() -> None:
    prompt = system_prompt(functions())
    assert len(FIRST) == 10
    for name in FIRST:
        assert re.search(rf"^- `{re.escape(name)}\(.*\)`: .+", prompt, re.MULTILINE), name


def test_what_is_left_to_spend_is_one_line() -> None:
    lines = [line for line in system_prompt(functions(), depth=1, max_turns=7).splitlines() if "Budget" in line]
    assert lines == ["Budget: 7 turns, 5 s and 128 MiB for each block, depth 1 of 3; `budget()` says what is left."]


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_the_example_of_the_prompt_works_as_it_is_told(sandbox: str) -> None:
    blocks = re.findall(r"^```repl\n.*?^```$", system_prompt(functions()), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3

    def reads(messages: object) -> str:
        return "5 % of the price" if "5 %" in str(messages) else "NONE"

    asked = rlm(*blocks, sub=ScriptedModel([reads] * 50, name="sub"), sandbox=sandbox)
    answer = await asked.aask("Which penalty applies to late delivery?", CONTRACT)
    assert answer.text == "5 % of the price for each week of delay"
    assert [turn.failed for turn in answer.trajectory] == [False] * 3
    assert len(answer.sources) == 1
    assert "5 % of the price" in said_to(asked.model)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("FINAL(sub_llm('one', 'two'))", "ONE\n\nTWO"),
        ("FINAL(sub_llm(task='one', context='two'))", "ONE\n\nTWO"),
        ("FINAL(sub_llm_batch(['one', 'two']))", ["ONE", "TWO"]),
        ("FINAL(llm_batch(['one']))", ["ONE"]),
        ("FINAL(llm_query_batch(['one']))", ["ONE"]),
        ("x = 3\nSUBMIT(x)", 3),
        ("x = 3\nFINAL_VAR('x')", 3),
        ("answer['content'] = 3\nanswer['ready'] = True", 3),
        ("FINAL(lenP())", len(TEXT)),
        ("FINAL(len(P))", len(TEXT)),
    ],
)
@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_names_of_other_systems_work(code: str, value: object, sandbox: str) -> None:
    sub = ScriptedModel([lambda messages: messages[-1].content.upper()] * 5, name="sub")
    assert (await rlm(repl(code), sub=sub, sandbox=sandbox).aask("?", TEXT)).value == value


@pytest.mark.parametrize("name", ["recursive_llm", "sub_rlm"])
async def test_names_of_other_systems_open_a_session(name: str) -> None:
    sub = ScriptedModel(["FINAL(child)"], name="sub")
    assert (await rlm(repl(f"FINAL({name}('one', 'a text'))"), sub=sub).aask("?", TEXT)).value == "child"
    assert "one" in sub.requests[0][1].content


async def test_a_users_own_function_has_its_name() -> None:
    def sub_llm(word: str) -> str:
        """Turn a word round."""
        return word[::-1]

    asked = rlm(repl("FINAL(sub_llm('abc'))"), tools=[sub_llm])
    assert (await asked.aask("?", TEXT)).value == "cba"
    assert "`sub_llm(word: str) -> str`: Turn a word round" in asked.model.requests[0][0].content  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("system", "direct")])
def test_every_part_can_be_replaced_alone(part: str) -> None:
    notes = ("No `yield`.",)
    usual, own = (
        system_prompt(functions(), notes=notes),
        system_prompt(functions(), notes=notes, prompts={part: "MINE"}),
    )
    assert "MINE" in own
    assert "MINE" not in usual
    kept = sum(block in own for block in usual.split("\n\n"))
    assert kept >= len(usual.split("\n\n")) - 2


def test_a_prompt_of_the_users_own_may_take_parts_over() -> None:
    prompt = system_prompt(functions(), prompts={"system": "Count words.\n{functions}\n{finish}", "finish": "End."})
    assert prompt.startswith("Count words.\nIn the REPL")
    assert prompt.endswith("End.")


def test_a_file_has_parts_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompts.toml"
    path.write_text('finish = "Say FINAL(answer)."\nexample = ""\n', encoding="utf-8")
    asked = RLM(ScriptedModel(["FINAL(ok)"]), prompts=path, sandbox="monty")
    assert asked.ask("?", TEXT).text == "ok"
    prompt = asked.model.requests[0][0].content  # type: ignore[attr-defined]
    assert "Say FINAL(answer)." in prompt
    assert "Example" not in prompt


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('sistem = "x"', r"no part 'sistem' of the prompt; there are system, task"),
        ("finish = 3", r"the part 'finish' of the prompt is a text, not int"),
        ("finish = ", r"prompts\.toml is not TOML"),
    ],
)
def test_a_file_that_has_no_parts_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        RLM(ScriptedModel([]), prompts=path)
    with pytest.raises(ConfigError, match=r"nothing\.toml cannot be read"):
        RLM(ScriptedModel([]), prompts=str(tmp_path / "nothing.toml"))


def test_the_question_prompt_shows_facts_about_the_text_and_not_the_text() -> None:
    context = Context.from_text("a" * 1_000 + "hidden" + "b" * 1_000)
    prompt = question_prompt("How long?", context.metadata())
    assert "How long?" in prompt
    assert "2006" in prompt
    assert "hidden" not in prompt


def test_the_question_prompt_says_what_there_is_to_spend() -> None:
    assert "Left to spend: 30 of 30 turns." in question_prompt("?", {}, left="30 of 30 turns")
    assert "Left to spend" not in question_prompt("?", {})
