"""The loop: what a model's replies lead to, and what ends it, seen from outside."""

from decimal import Decimal
from itertools import pairwise

import anyio
import pytest

from rlmbox import RLM, CellLimits, Limits
from rlmbox.errors import (
    BudgetExceeded,
    ConfigError,
    MaxTurnsExceeded,
    ModelError,
    PriceUnknown,
    SandboxCrashed,
    SubcallLimitExceeded,
    TimeLimitExceeded,
    TokenLimitExceeded,
)
from rlmbox.models.prices import FlatPrice
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, Completion, Execution, Usage
from runs import TEXT, repl, rlm, said_to


async def test_code_runs_and_its_output_reaches_the_model() -> None:
    asked = rlm(repl("print(len(context))"), "FINAL(done)")
    answer = await asked.aask("How long?", TEXT)
    assert answer.text == "done"
    assert answer.turns == 2
    assert str(len(TEXT)) in said_to(asked.model)


async def test_the_context_is_never_in_the_prompt() -> None:
    text = "x" * 5_000 + "SECRET-IN-THE-MIDDLE" + "y" * 5_000
    asked = rlm("FINAL(ok)")
    await asked.aask("What is in it?", text)
    prompt = "".join(message.content for message in asked.model.requests[0])  # type: ignore[attr-defined]
    assert "SECRET" not in prompt
    assert "10020" in prompt


async def test_variables_stay_from_turn_to_turn() -> None:
    answer = await rlm(repl("a = 20"), repl("a = a + 1"), "FINAL_VAR(a)").aask("?", TEXT)
    assert (answer.text, answer.value) == ("21", 21)


async def test_several_blocks_run_in_order() -> None:
    answer = await rlm(f"{repl('a = 1')}\nthen\n{repl('a = a + 1')}\nFINAL_VAR(a)").aask("?", TEXT)
    assert (answer.value, answer.turns) == (2, 1)


async def test_an_exception_is_shown_and_costs_no_variable() -> None:
    asked = rlm(repl("a = 1\nraise ValueError('no')\nb = 2"), "FINAL_VAR(a)")
    answer = await asked.aask("?", TEXT)
    shown = said_to(asked.model)
    assert "[SYSTEM EXECUTION ERROR]" in shown
    assert 'File "<rlm_session>", line 2' in shown
    assert "Hint:" in shown
    assert answer.value == 1


async def test_cells_after_a_failed_one_do_not_run() -> None:
    asked = rlm(f"{repl('1/0')}\n{repl('never = 1')}", repl("print(SHOW_VARS())"), "FINAL(ok)")
    await asked.aask("?", TEXT)
    assert "never" not in said_to(asked.model)


async def test_a_timeout_is_shown_and_earlier_variables_survive() -> None:
    limits = Limits(cell=CellLimits(cell_timeout_s=0.3))
    asked = rlm(repl("a = 7"), repl("while True: pass"), "FINAL_VAR(a)", limits=limits)
    answer = await asked.aask("?", TEXT)
    assert "ExecutionTimeout" in said_to(asked.model)
    assert answer.value == 7


async def test_a_reply_without_code_is_kept_and_asked_about() -> None:
    asked = rlm("Let me think.", "", "FINAL(ok)")
    await asked.aask("?", TEXT)
    roles = [message.role for message in asked.model.requests[-1]]  # type: ignore[attr-defined]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert asked.model.requests[-1][2].content == "Let me think."  # type: ignore[attr-defined]


async def test_an_unclosed_block_is_not_run_but_corrected() -> None:
    asked = rlm("```repl\nx = 1", "FINAL(ok)")
    await asked.aask("?", TEXT)
    assert "not closed" in said_to(asked.model)


async def test_a_reply_cut_at_its_limit_is_named_as_such() -> None:
    cut = Completion("```repl\nx = 'abc", Usage(1, 0, 1, 0, 1), "root", "length")
    asked = rlm(cut, "FINAL(ok)")
    await asked.aask("?", TEXT)
    assert "cut" in said_to(asked.model)


async def test_a_reply_of_five_megabytes_costs_a_turn_and_nothing_else() -> None:
    asked = rlm("word " * 1_000_000, "FINAL(ok)")
    answer = await asked.aask("?", TEXT)
    assert answer.text == "ok"
    assert len(asked.model.requests[-1][2].content) < 200_000  # type: ignore[attr-defined]


async def test_history_only_grows_at_its_end() -> None:
    asked = rlm(repl("1"), repl("1/0"), "thinking", "FINAL(ok)")
    await asked.aask("?", TEXT)
    requests = asked.model.requests  # type: ignore[attr-defined]
    for before, after in pairwise(requests):
        assert after[: len(before)] == before


async def test_the_same_failure_twice_is_pointed_out() -> None:
    asked = rlm(repl("1/0"), repl("1/0"), "FINAL(ok)")
    await asked.aask("?", TEXT)
    first, second = said_to(asked.model, 1), said_to(asked.model, 2)
    assert "same" in second.lower()
    assert len(second) > len(first)


def test_asking_without_a_loop_blocks_until_the_answer() -> None:
    assert rlm("FINAL(ok)").ask("?", TEXT).text == "ok"


async def test_asking_from_within_a_loop_works_too() -> None:
    assert rlm("FINAL(ok)").ask("?", TEXT).text == "ok"


async def test_sessions_at_once_do_not_share_variables() -> None:
    answers: dict[int, object] = {}

    async def one(number: int) -> None:
        answers[number] = (await rlm(repl(f"x = {number}"), repl("x = x * 2"), "FINAL_VAR(x)").aask("?", TEXT)).value

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert answers == {number: number * 2 for number in range(20)}


# Limits: each has its own error, which carries what there was until then.
async def test_too_many_turns_end_the_run_with_what_there_was() -> None:
    with pytest.raises(MaxTurnsExceeded, match="max_turns") as raised:
        await rlm(repl("a = 1"), "almost there", limits=Limits(max_turns=2)).aask("?", TEXT)
    partial = raised.value.partial
    assert partial is not None
    assert (partial.text, partial.turns, partial.complete) == ("almost there", 2, False)
    assert partial.usage.requests == 2
    assert (raised.value.limit, raised.value.used) == (2, 3)


async def test_money_that_runs_out_ends_the_run_with_what_there_was() -> None:
    model = ScriptedModel(
        [repl(f"print('x' * {3_000 + n})") for n in range(50)],
        name="paid",
        price=FlatPrice(Decimal(100), Decimal(100), origin="t"),
    )
    with pytest.raises(BudgetExceeded) as raised:
        await RLM(model, limits=Limits(cost_limit_usd="2.00")).aask("?", TEXT)
    partial = raised.value.partial
    assert partial is not None
    assert partial.turns >= 1
    assert 0 < partial.cost_usd <= 2
    assert sum(turn.cost_usd for turn in partial.trajectory) == partial.cost_usd


async def test_tokens_that_run_out_end_the_run() -> None:
    with pytest.raises(TokenLimitExceeded) as raised:
        await rlm(*[repl(f"{n}") for n in range(30)], limits=Limits(max_tokens=12_000)).aask("?", TEXT)
    assert raised.value.partial is not None
    assert raised.value.partial.usage.total_tokens <= 12_000


async def test_too_many_sub_calls_end_the_run_even_where_code_swallows_the_error() -> None:
    code = "while True:\n    try:\n        llm_query('a')\n    except BaseException:\n        pass"
    with anyio.fail_after(60), pytest.raises(SubcallLimitExceeded, match="max_subcalls") as raised:
        await rlm(repl(code), sub=["b"] * 10, limits=Limits(max_subcalls=3)).aask("?", TEXT)
    partial = raised.value.partial
    assert partial is not None
    assert partial.subcalls == 3
    assert partial.trajectory[0].cells[0].code == code


BRIEF = CellLimits(cell_timeout_s=1)  # a replay has no limit of time, and runs an endless cell as long as a cell may


@pytest.mark.parametrize("code", ["while True: pass", "llm_query('slow')", "x = 1"])
async def test_wall_time_ends_the_run_wherever_it_is(code: str) -> None:
    model = ScriptedModel([repl(code)] * 1_000, delay_s=0.05)
    slow = ScriptedModel({"slow": "late"}, delay_s=3600)
    with anyio.fail_after(60):
        with pytest.raises(TimeLimitExceeded, match="max_seconds") as raised:
            await RLM(model, sub_model=slow, limits=Limits(max_seconds=0.4, cell=BRIEF)).aask("?", TEXT)
    assert raised.value.partial is not None
    assert raised.value.used >= 0.8 * 0.4  # a fifth of the time is for the last answer


async def test_a_provider_that_fails_for_good_ends_the_run_with_what_there_was() -> None:
    with pytest.raises(ModelError, match="401") as raised:
        await rlm(repl("a = 1"), ModelError("401: the key is wrong", status=401)).aask("?", TEXT)
    assert raised.value.partial is not None
    assert raised.value.partial.turns == 1


async def test_a_reply_that_was_paid_for_is_in_the_partial_answer_even_when_the_sandbox_is_lost() -> None:
    class Lost(MontySandbox):
        async def execute(self, cell: Cell) -> Execution:
            raise SandboxCrashed("the machine is out of memory")

    with pytest.raises(SandboxCrashed) as raised:
        await rlm(repl("x = 'said'"), sandbox=Lost).aask("?", TEXT)
    partial = raised.value.partial
    assert partial is not None
    assert "x = 'said'" in partial.trajectory[0].reply
    assert partial.usage.requests == 1


async def test_an_unknown_price_is_an_error_before_anything_is_asked() -> None:
    model = ScriptedModel(["FINAL(x)"], price=None)
    with pytest.raises(PriceUnknown):
        RLM(model, limits=Limits(cost_limit_usd="1"))
    assert model.requests == []
    assert (await RLM(model).aask("?", TEXT)).cost.unknown


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(ConfigError, match="question is empty"):
        rlm("FINAL(x)").ask("  ", TEXT)


def test_an_address_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the name of the model"):
        RLM(base_url="http://localhost:11434/v1")


@pytest.mark.parametrize(("name", "remedy"), [("monti", "did you mean monty"), ("local", "unsafe_no_isolation")])
def test_a_sandbox_that_no_name_chooses_is_an_error_with_the_remedy(name: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        RLM(ScriptedModel([]), sandbox=name)


async def test_a_cancelled_run_leaves_no_worker_behind() -> None:
    asked = rlm(repl("while True: pass"), limits=Limits(cell=CellLimits(cell_timeout_s=60)))
    with anyio.fail_after(60):
        with anyio.move_on_after(0.3) as scope:
            await asked.aask("?", TEXT)
    assert scope.cancelled_caught
