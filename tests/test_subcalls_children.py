"""Sessions that code starts: their text, their depth, their share of the limits and their spend."""

import json
from decimal import Decimal

import pytest

from rlmbox import RLM, Context, Limits, Session
from rlmbox.budget.budget import Budget
from rlmbox.errors import BudgetExceeded, RecursionDepthExceeded
from rlmbox.events import Event
from rlmbox.loop.arguments import read_text
from rlmbox.loop.scope import RunContext
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from runs import PENNY, echo, repl, value_of


def child_script(*replies: str) -> ScriptedModel:
    return ScriptedModel(list(replies), name="sub")


async def test_a_child_session_has_a_repl_of_its_own() -> None:
    sub = child_script(repl("mine = len(context)"), "FINAL_VAR(mine)")
    code = "mine = 'the parent'\nn = rlm_query('how long?', 'four')\nFINAL([n, mine])"
    assert await value_of(code, sub) == ["4", "the parent"]


async def test_a_child_without_a_text_works_on_its_parents() -> None:
    assert await value_of("FINAL(rlm_query('first word?'))", child_script(repl("FINAL(context[:4])"))) == "some"


async def test_a_child_gets_a_part_of_its_parents_text() -> None:
    sub = ScriptedModel([repl("FINAL(context + '|' + str(len(context)))")] * 3, name="sub")
    code = (
        "part = ctx.slice_view(1, 3)\n"
        "FINAL([rlm_query('a', part), *rlm_query_batched(['b', 'c'], [ctx.slice_view(-2), ctx.slice_view(0, 1)])])"
    )
    assert await value_of(code, sub) == ["om|2", "xt|2", "s|1"]


def test_a_part_of_a_text_is_not_copied() -> None:
    whole = Context.from_text("x" * 1_000)
    part = read_text({"context_slice": [10, 500]}, whole)
    assert part.length == 490
    assert part.buffer().obj is whole.buffer().obj


@pytest.mark.parametrize("value", [5, 1.5, True])
def test_what_is_no_text_is_refused_in_the_words_of_a_cell(value: object) -> None:
    with pytest.raises(TypeError, match=r"context is a str, a list, a dict or a part.*; not (int|float|bool)"):
        read_text(value, Context.from_text("text"))


@pytest.mark.parametrize("value", ["", [], {}])
def test_a_text_without_a_character_is_refused_as_a_value(value: object) -> None:
    with pytest.raises(ValueError, match=r"no text|empty|at least"):
        read_text(value, Context.from_text("text"))


@pytest.mark.parametrize(
    "call",
    [
        "ctx.slice_view(5, 5)",
        "ctx.slice_view(10**30)",
        "ctx.slice_view('a')",
        "rlm_query('q', {'context_slice': [0]})",
        "rlm_query('q', {'context_slice': [0, True]})",
        "rlm_query('q', {'context_slice': [9, 2]})",
        "llm_query('q', ctx.slice_view(0, 2))",
    ],
)
async def test_a_part_that_is_none_is_an_error_of_the_cell(call: str) -> None:
    code = f"try:\n    {call}\nexcept Exception as error:\n    FINAL(str(error))"
    sub = child_script("unused")
    assert await value_of(code, sub)
    assert not sub.requests


async def test_children_of_a_batch_keep_their_order() -> None:
    sub = ScriptedModel([repl("FINAL(context + '!')")] * 3, name="sub")
    code = "FINAL(rlm_query_batched(['a', 'b', 'c'], ['1', '2', '3']))"
    assert await value_of(code, sub) == ["1!", "2!", "3!"]


async def test_at_the_deepest_level_rlm_query_becomes_llm_query_and_says_so() -> None:
    seen: list[Event] = []
    deep = repl("a = rlm_query('how many?', 'one two')\nb = rlm_query('again?', 'three')\nprint(a, b)")
    sub = ScriptedModel([deep, "two", "one", "FINAL_VAR(a)"], name="sub")
    root = ScriptedModel([repl("FINAL(rlm_query('deep'))")], name="root")
    rlm = RLM(root, sub_model=sub, limits=Limits(max_depth=1), hooks=[seen.append])
    assert (await rlm.aask("q", "text")).text == "two"
    assert [message.content for message in sub.requests[1]] == ["how many?\n\none two"]
    told = sub.requests[-1][-1].content
    assert told.count("rlm_query was answered as llm_query") == 1
    assert "at depth 1, the deepest" in told
    assert "at depth 1, the deepest" in sub.requests[0][0].content
    assert max(event.depth for event in seen) == 1
    functions = [event.function for event in seen if event.kind == "subcall_started"]  # type: ignore[attr-defined]
    assert functions == ["rlm_query", "rlm_query as llm_query", "rlm_query as llm_query"]


async def test_at_the_deepest_level_a_batch_of_children_becomes_a_batch_of_queries() -> None:
    code = "FINAL(rlm_query_batched(['a', 'b'], ['1', '2']))"
    assert await value_of(code, echo(), max_depth=0) == ["A\n\n1", "B\n\n2"]


async def test_at_the_deepest_level_a_text_that_no_model_can_read_is_refused() -> None:
    code = "try:\n    rlm_query('a', 'x' * 301)\nexcept ValueError as error:\n    FINAL(str(error))"
    sub = ScriptedModel([], name="sub", window_tokens=100)
    assert "at most 300 characters, and the text has 301" in str(await value_of(code, sub, max_depth=0))


async def test_the_host_refuses_a_session_below_the_deepest_whatever_asks_for_it() -> None:
    run = RunContext(echo(), echo(), Budget(Limits(max_depth=1)), MontySandbox)
    context = Context.from_text("text")
    root = Session(run, context)
    child = Session(run, context, parent=root)
    with pytest.raises(RecursionDepthExceeded, match="max_depth=1"):
        Session(run, context, parent=child)


async def test_a_child_can_be_given_fewer_turns_and_says_what_it_found_within_them() -> None:
    sub = child_script(repl("x = 1"), "FINAL(probably May)")
    value = await value_of("FINAL(rlm_query('when?', max_turns=1))", sub)
    assert value == "[INCOMPLETE: no final answer after 1 turn (max_turns)] probably May"


async def test_a_child_without_an_answer_at_its_limit_is_an_error_of_the_cell_and_not_of_the_run() -> None:
    code = "try:\n    rlm_query('when?', max_turns=1)\nexcept RuntimeError as error:\n    FINAL(str(error))"
    value = await value_of(code, child_script(repl("x = 1")), last_answer=False)
    assert value == "MaxTurnsExceeded: no final answer after 1 turn (max_turns)"


async def test_a_child_cannot_be_given_more_turns_than_its_parent_has() -> None:
    sub = ScriptedModel([repl("x = 1")] * 10, name="sub")
    code = "try:\n    rlm_query('q', max_turns=9)\nexcept RuntimeError as error:\n    FINAL(str(error))"
    assert "after 2 turns" in str(await value_of(code, sub, max_turns=2, last_answer=False))


async def test_a_childs_share_of_money_ends_the_child_and_not_the_run() -> None:
    sub = ScriptedModel([repl("x = 1")] * 30, name="sub", price=PENNY)
    code = "try:\n    rlm_query('q', cost_limit_usd=200)\nexcept RuntimeError as error:\n    FINAL(str(error))"
    root = ScriptedModel([repl(code), "FINAL(the run went on)"], name="root", price=PENNY)
    limits = Limits(cost_limit_usd="100000", last_answer=False)
    answer = await RLM(root, sub_model=sub, limits=limits).aask("q", "text")
    assert "BudgetExceeded" in answer.text
    assert "cost_limit_usd=200 of this session" in answer.text
    assert 0 < answer.cost.recursive_usd <= 200


async def test_the_runs_limit_holds_for_a_child_whose_share_is_wider() -> None:
    sub = ScriptedModel([repl("x = 1")] * 99, name="sub", price=PENNY)
    code = "try:\n    rlm_query('q', cost_limit_usd=1000000)\nexcept RuntimeError as error:\n    FINAL(str(error))"
    root = ScriptedModel([repl(code)], name="root", price=PENNY)
    asked = RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="450"))
    try:
        answer = await asked.aask("q", "text")
        said = answer.text
        cost_usd = answer.cost_usd
    except BudgetExceeded as error:  # where so little is left that the root could do nothing with it
        said, cost_usd = f"BudgetExceeded: {error}", error.partial.cost_usd if error.partial else Decimal("inf")
    assert "BudgetExceeded" in said
    assert "more than cost_limit_usd=450 allows" in said
    assert cost_usd <= 450


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("max_turns=0", "max_turns"),
        ("max_turns=True", "max_turns"),
        ("cost_limit_usd=-1", "cost_limit_usd"),
        ("cost_limit_usd='much'", "cost_limit_usd"),
        ("cost_limit_usd=float('nan')", "cost_limit_usd"),
    ],
)
async def test_a_share_that_is_no_limit_is_an_error_of_the_cell(argument: str, error: str) -> None:
    code = f"try:\n    rlm_query('q', {argument})\nexcept ValueError as error:\n    FINAL(str(error))"
    assert error in str(await value_of(code, echo()))


async def test_a_share_of_money_for_a_model_without_a_known_price_is_refused() -> None:
    code = "try:\n    rlm_query('q', cost_limit_usd=1)\nexcept ValueError as error:\n    FINAL(str(error))"
    assert "the price of sub is not known; limit the child by max_turns" in str(await value_of(code, echo(price=None)))


async def test_a_child_is_told_its_depth_and_what_its_share_has_left() -> None:
    sub = ScriptedModel([repl("FINAL(json.dumps(budget()))")], name="sub", price=PENNY)
    root = ScriptedModel([repl("FINAL(rlm_query('q', max_turns=4, cost_limit_usd=5000))")], name="root")
    limits = Limits(cost_limit_usd="1000000", last_answer=False)
    left = json.loads((await RLM(root, sub_model=sub, limits=limits).aask("q", "text")).text)
    assert (left["depth"], left["turns"]) == (1, 3)
    assert 4_000 < left["usd"] < 5_000
    assert "4 of 4 turns" in sub.requests[0][1].content
    assert "$5000.0000 of $5000.0000" in sub.requests[0][1].content


async def test_a_childs_events_name_its_parent_and_depth() -> None:
    seen: list[Event] = []
    root = ScriptedModel([repl("FINAL(rlm_query('a'))")], name="root")
    await RLM(root, sub_model=child_script("FINAL(x)"), hooks=[seen.append]).aask("q", "text")
    child = [event for event in seen if event.depth == 1]
    assert child[0].kind == "session_started"
    assert {event.parent_id for event in child} == {seen[0].run_id}
    assert len({event.session_id for event in child}) == 1


async def test_what_children_and_sub_calls_spend_is_on_the_one_ledger() -> None:
    sub = ScriptedModel([repl("x = llm_query('deep')\nFINAL(x)"), "deep answer"], name="sub", price=PENNY)
    root = ScriptedModel([repl("FINAL(rlm_query('a'))")], name="root", price=PENNY)
    answer = await RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="1000000")).aask("q", "text")
    assert answer.usage.requests == 3
    assert answer.subcalls == 2
    assert answer.cost.root_usd > 0
    assert answer.cost.recursive_usd > answer.cost.root_usd / 10
    assert answer.cost.total_usd == answer.usage.total_tokens * Decimal("0.01")
    assert set(answer.cost.by_model) == {"root", "sub"}
