"""Rules for answers and for turns: validators that ask a model, figures that nobody printed, circles."""

from typing import Any

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import BudgetExceeded, ConfigError, Stalled
from rlmbox.events import SubcallFinished, SubcallStarted
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import PENNY, TEXT, repl, rlm, said_to


async def is_supported(answer: Any, ask: Any) -> str | None:
    return None if await ask(f"Is this right? {answer.text}") == "yes" else "a reader does not agree"


def is_supported_in_a_thread(answer: Any, ask: Any) -> str | None:
    return None if ask(f"Is this right? {answer.text}") == "yes" else "a reader does not agree"


class Reader:
    async def __call__(self, answer: Any, ask: Any) -> str | None:
        return await is_supported(answer, ask)


class ThreadReader:
    def check(self, answer: Any, ask: Any = None) -> str | None:
        return is_supported_in_a_thread(answer, ask)


@pytest.mark.parametrize("check", [is_supported, is_supported_in_a_thread, Reader(), ThreadReader().check])
async def test_a_validator_asks_a_model_on_the_ledger_and_on_record(check: Any) -> None:
    store = MemoryStore()
    model = ScriptedModel(["FINAL(April)", "FINAL(May)"], name="root", price=PENNY)
    sub = ScriptedModel(["no", "yes"], name="sub", price=PENNY)
    limits = Limits(cost_limit_usd="100000")
    asked = RLM(model, sub_model=sub, validate=check, store=store, limits=limits)
    answer = await asked.aask("?", TEXT)
    assert answer.text == "May"
    assert "a reader does not agree" in said_to(model)
    events = await store.read(answer.run_id)
    assert [e.function for e in events if isinstance(e, SubcallStarted)] == ["validate", "validate"]
    paid = sum(e.cost_usd for e in events if isinstance(e, SubcallFinished))
    assert answer.cost_usd > paid > 0
    assert answer.subcalls == 2
    assert (await asked.areplay(answer.run_id)).text == "May"
    assert len(sub.requests) == 2


async def test_a_validator_s_reply_is_read_back_when_a_run_goes_on() -> None:
    whole, cut = MemoryStore(), MemoryStore()
    done = await rlm("FINAL(May)", sub=["yes"], validate=is_supported, store=whole).aask("?", TEXT)
    for event in await whole.read(done.run_id):
        cut.write(event)
        if isinstance(event, SubcallFinished):
            break
    again = rlm(sub=[], validate=is_supported, store=cut)
    assert (await again.aresume(done.run_id)).text == "May"
    assert not again.sub_model.requests  # type: ignore[attr-defined]


async def test_a_validator_may_ask_for_a_value() -> None:
    async def check(answer: Any, ask: Any) -> str | None:
        return None if await ask("Is it?", schema={"type": "boolean"}) else "it is not"

    asked = rlm("FINAL(x)", "FINAL(y)", sub=["well", "false", "true"], validate=check)
    assert (await asked.aask("?", TEXT)).text == "y"


async def test_the_same_question_twice_is_asked_twice() -> None:
    async def check(answer: Any, ask: Any) -> str | None:
        return None if [await ask("Is it?"), await ask("Is it?")] == ["a", "b"] else "no"

    assert (await rlm("FINAL(x)", sub=["a", "b"], validate=check).aask("?", TEXT)).text == "x"


async def test_a_validator_cannot_spend_more_than_the_run_may() -> None:
    model = ScriptedModel(["FINAL(May)"], name="root")
    sub = ScriptedModel(["yes"], name="sub", price=PENNY)
    asked = RLM(model, sub_model=sub, validate=is_supported, limits=Limits(cost_limit_usd="0.5", last_answer=False))
    with pytest.raises(BudgetExceeded):
        await asked.aask("?", TEXT)
    assert not sub.requests


async def test_what_a_validator_asks_is_not_what_the_code_has_asked() -> None:
    asked = rlm("FINAL(x)", "FINAL(y)", *["FINAL(z)"] * 9, sub=["yes"], validate=is_supported)
    assert (await asked.aask("?", TEXT)).text == "x"
    strict = rlm(
        repl("n = 1"),
        "FINAL_VAR(n)",
        repl("FINAL(llm_query('y'))"),
        sub=["read", "yes"],
        validate=is_supported,
        require_subcall_before_final=True,
    )
    assert (await strict.aask("?", TEXT)).text == "read"


async def test_a_validator_with_an_option_of_its_own_is_given_the_answer_only() -> None:
    def check(answer: Any, month: str = "May") -> str | None:
        return None if month in answer.text else "no"

    assert (await rlm("FINAL(in May)", validate=check).aask("?", TEXT)).text == "in May"


@pytest.mark.parametrize("check", [lambda a, b, c: None, "no function", [3]])
def test_a_validator_that_cannot_be_called_is_an_error_at_once(check: Any) -> None:
    with pytest.raises(ConfigError, match="validate"):
        rlm("FINAL(x)", validate=check)


# Figures.
PRINTS = "print({!r})"


@pytest.mark.parametrize(
    ("printed", "answer"),
    [
        ("there are 41", "FINAL(There are 42.)"),
        ("1234", "FINAL(It costs 1,235 euros)"),
        ("0.5", "FINAL(about 57.25 %)"),
        ("", "FINAL(In 1999)"),
        ("142", "FINAL(42 of them)"),
        ("41", repl("FINAL({'count': 42})")),
    ],
)
async def test_a_figure_that_no_cell_printed_is_sent_back_once(printed: str, answer: str) -> None:
    asked = rlm(repl(PRINTS.format(printed)), answer, answer, require_seen_figures=True)
    found = await asked.aask("?", TEXT)
    assert found.turns == 3
    assert "No cell has printed" in said_to(asked.model)


@pytest.mark.parametrize(
    ("printed", "answer"),
    [
        ("there are 42", "FINAL(There are 42.)"),
        ("1234.5", "FINAL(It costs 1,234.50 euros)"),
        ("1234567", "FINAL(1.234.567 Euro)"),
        ("0.5725", "FINAL(about 57.25 %)"),
        ("66.6666667", "FINAL(66.67)"),
        ("3.14159", "FINAL(3.142)"),
        ("x", "FINAL(a penalty of 5 %)"),
        ("x", "FINAL(the year 1987 that you named)"),
        ("x", repl("n = 40 + 2\nFINAL(f'{n} of them')")),
        ("x", repl("print(6 * 7)\nFINAL('42')")),
    ],
)
async def test_a_figure_that_was_printed_or_computed_or_asked_about_counts(printed: str, answer: str) -> None:
    asked = rlm(repl(PRINTS.format(printed)), answer, require_seen_figures=True)
    assert (await asked.aask("What was in 1987?", TEXT)).turns == 2


async def test_figures_are_not_looked_at_unless_that_is_asked_for() -> None:
    assert (await rlm(repl("x = 1"), "FINAL(42)").aask("?", TEXT)).value == 42


async def test_an_invented_output_with_an_answer_in_one_reply_is_no_answer() -> None:
    reply = repl("n = len(context)\nprint(n)") + "\nOutput:\n```\n12345\n```\nFINAL(12345 characters)"
    asked = rlm(reply, "FINAL_VAR(n)")
    assert (await asked.aask("?", TEXT)).value == len(TEXT)
    assert "output that no code had printed" in said_to(asked.model)
    assert "did not count" in said_to(asked.model)


# Circles.
@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_the_same_cell_with_the_same_output_is_told_at_two_and_ends_at_four(sandbox: str) -> None:
    asked = rlm(*[repl("print(len(context))")] * 9, limits=Limits(last_answer=False), sandbox=sandbox)
    with pytest.raises(Stalled, match="the same code gave the same output 4 times"):
        await asked.aask("?", TEXT)
    assert len(asked.model.requests) == 4  # type: ignore[attr-defined]
    assert "The same code gave the same output" not in said_to(asked.model, 1)
    assert "The same code gave the same output" in said_to(asked.model, 2)


async def test_the_same_cell_that_gets_on_is_no_circle() -> None:
    step = repl("n = n + 1\nprint(n)")
    asked = rlm(repl("n = 0"), *[step] * 6, "FINAL_VAR(n)")
    assert (await asked.aask("?", TEXT)).value == 6
    quiet = rlm(repl("found = []"), *[repl("found.append(len(found))")] * 6, "FINAL_VAR(found)")
    assert (await quiet.aask("?", TEXT)).value == list(range(6))


async def test_code_that_prints_nothing_is_told_of_and_goes_on() -> None:
    asked = rlm(*[repl("x = 1")] * 6, "FINAL_VAR(x)")
    assert (await asked.aask("?", TEXT)).value == 1
    assert "The same code gave the same output" in said_to(asked.model, 2)


async def test_a_circle_that_is_left_is_forgotten() -> None:
    same, other = repl("print(1)"), repl("print(2)")
    asked = rlm(*[same, same, same, other] * 3, "FINAL(ok)")
    assert (await asked.aask("?", TEXT)).text == "ok"
