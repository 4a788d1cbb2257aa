"""Answers that are, or hold, a text too long for one value: they leave whole, or the model is told, by every way."""

import pytest

from rlmbox import CellLimits, Limits
from runs import repl, rlm, said_to
from test_session_answers import SANDBOXES

TEXT = "".join(f"line {number}\n" for number in range(300))
LINES = TEXT.splitlines()
WAYS = (
    "FINAL({})",
    "v = {}\nFINAL_VAR('v')",
    "answer['content'] = {}\nanswer['ready'] = True",
    "v = {}|FINAL(v)",
    "v = {}|FINAL_VAR(v)",
    "v = {}|FINAL_VAR([v][0])",
)
LIMITS = Limits(max_turns=2, last_answer=False, cell=CellLimits(inline_limit_chars=1_000))


def _reply(way: str, code: str) -> str:
    cell, _, tag = way.format(code).partition("|")
    return f"{repl(cell)}\n\n{tag}"


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_a_text_too_long_for_one_value_is_never_answered_with_a_word_on_it(sandbox: str) -> None:
    codes = ("context", "doc", "[context]", "{'a': doc}")
    asked = [_reply(way, code) for code in codes for way in WAYS]
    replies = [each for reply in asked for each in (reply, "FINAL(corrected)")]
    run = rlm(*replies, sandbox=SANDBOXES[sandbox], limits=LIMITS)
    answers: dict[str, object] = {}
    async with run.session(TEXT, inputs={"doc": TEXT}) as session:
        for reply in asked:
            answers[reply] = (await session.ask("What is it?")).value
            if not any(way in said_to(run.model) for way in ("[:500]", "[a:b]")):
                answers[reply] = said_to(run.model)
    assert answers == dict.fromkeys(asked, "corrected")


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_the_lines_of_a_text_too_long_for_one_value_are_a_list_by_every_way(sandbox: str) -> None:
    asked = [_reply(way, "context.splitlines()") for way in WAYS[:-1]]
    async with rlm(*asked, sandbox=SANDBOXES[sandbox], limits=LIMITS).session(TEXT) as session:
        answers = [(await session.ask("Which lines?")).value for _ in asked]
    assert answers == [LINES] * len(asked)
