"""What the model is told: it must not change by accident, and it must be true."""

import os
import re
from pathlib import Path

from rlmbox import Context
from rlmbox.budget.budget import Budget, Limits
from rlmbox.context.repl import repl_functions
from rlmbox.loop.prompts import question_prompt, system_prompt
from rlmbox.loop.scope import RunContext, Scope
from rlmbox.loop.session import BUDGET, Session
from rlmbox.loop.subcalls import Subcalls
from rlmbox.testing import ScriptedModel
from rlmbox.types import HostFunction


async def _nobody(*_: object) -> object:
    raise AssertionError


def functions() -> tuple[object, ...]:
    context = Context.from_text("text")
    model = ScriptedModel([])
    run = RunContext(model, model, Budget(Limits()), lambda: None)  # type: ignore[arg-type,return-value]
    budget = HostFunction("budget", Session(run, context)._budget, BUDGET)
    return (*repl_functions(context), *Subcalls(Scope.root(run), context, _nobody).functions(), budget)  # type: ignore[arg-type]


def test_the_system_prompt_is_the_one_that_was_reviewed() -> None:
    prompt = system_prompt(functions(), notes=("No `yield`.", "No inheritance."))  # type: ignore[arg-type]
    snapshot = Path(__file__).parent / "snapshots" / "system_prompt.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(prompt + "\n")
    assert prompt + "\n" == snapshot.read_text(), "if this is meant: UPDATE_SNAPSHOTS=1 make test"


def test_the_system_prompt_lists_every_function_with_its_signature() -> None:
    prompt = system_prompt(functions())  # type: ignore[arg-type]
    for name in (
        "ctx.search",
        "ctx.find",
        "peek",
        "llm_query",
        "llm_query_batched",
        "ask_chunks",
        "rlm_query",
        "budget",
    ):
        assert re.search(rf"^- `{re.escape(name)}\(.*\) -> .+`: .+", prompt, re.MULTILINE), name


def test_the_question_prompt_shows_facts_about_the_text_and_not_the_text() -> None:
    context = Context.from_text("a" * 1_000 + "hidden" + "b" * 1_000)
    prompt = question_prompt("How long?", context.metadata())
    assert "How long?" in prompt
    assert "2006" in prompt
    assert "hidden" not in prompt


def test_the_question_prompt_says_what_there_is_to_spend() -> None:
    assert "Left to spend: 30 of 30 turns." in question_prompt("?", {}, left="30 of 30 turns")
    assert "Left to spend" not in question_prompt("?", {})
