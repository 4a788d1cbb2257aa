"""What code may ask of other models: order, failures, concurrency, children and their spend."""

import json
from decimal import Decimal

import pytest

from rlmbox import RLM, Context, Limits, Session
from rlmbox.arguments import read_text
from rlmbox.budget import Budget
from rlmbox.errors import BudgetExceeded, ModelError, RecursionDepthExceeded, SubcallLimitExceeded
from rlmbox.events import Event
from rlmbox.models.prices import FlatPrice
from rlmbox.run import Run
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel

PENNY = FlatPrice(Decimal(10_000), Decimal(10_000), origin="test")


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


async def value_of(code: str, sub: ScriptedModel, **limits: object) -> object:
    """Runs one cell and gives the value that it finishes with."""
    root = ScriptedModel([repl(code), "FINAL(the cell did not finish)"], name="root")
    return (await RLM(root, sub_model=sub, limits=Limits(**limits)).aask("q?", "some text")).value  # type: ignore[arg-type]


def echo(**options: object) -> ScriptedModel:
    return ScriptedModel([lambda messages: messages[-1].content.upper()] * 500, name="sub", **options)  # type: ignore[arg-type]


async def test_llm_query_sees_the_prompt_and_the_chunk_and_nothing_else() -> None:
    sub = echo()
    assert await value_of("FINAL(llm_query('what?', 'chunk'))", sub) == "WHAT?\n\nCHUNK"
    assert [message.content for message in sub.requests[0]] == ["what?\n\nchunk"]


async def test_llm_query_can_shorten_its_reply() -> None:
    sub = echo()
    await value_of("FINAL(llm_query('a', max_tokens=50))", sub)
    assert sub.max_output_tokens == [50]


async def test_an_awaited_llm_query_works_as_well() -> None:
    assert await value_of("FINAL(await llm_query('a'))", echo()) == "A"


async def test_gathered_queries_run_at_once() -> None:
    sub = echo(delay_s=0.05)
    code = "import asyncio\nr = await asyncio.gather(llm_query('a'), llm_query('b'), llm_query('c'))\nFINAL(r)"
    assert await value_of(code, sub) == ["A", "B", "C"]
    assert sub.max_concurrency == 3


@pytest.mark.parametrize("name", ["llm_query_batched", "llm_query_batch", "llm_batch"])
async def test_a_batch_keeps_its_order_under_every_name(name: str) -> None:
    assert await value_of(f"FINAL({name}(['c', 'a', 'b']))", echo()) == ["C", "A", "B"]


async def test_a_batch_pairs_prompts_with_chunks() -> None:
    assert await value_of("FINAL(llm_query_batched(['a', 'b'], ['1', '2']))", echo()) == ["A\n\n1", "B\n\n2"]


async def test_a_batch_takes_pairs_and_dictionaries_as_prompts() -> None:
    code = "FINAL(llm_query_batched([('a', '1'), {'prompt': 'b', 'context_chunk': '2'}]))"
    assert await value_of(code, echo()) == ["A\n\n1", "B\n\n2"]


async def test_one_failed_item_of_a_batch_does_not_lose_the_others() -> None:
    sub = ScriptedModel({"a": "1", "b": ModelError("400: broken"), "c": "3"}, name="sub")
    values = await value_of("FINAL(llm_query_batched(['a', 'b', 'c']))", sub)
    assert values == ["1", "Error: ModelError: 400: broken", "3"]


async def test_a_limit_that_a_part_of_a_batch_meets_loses_nothing_that_was_paid_for() -> None:
    code = "r = llm_query_batched(['a', 'b', 'c', 'd'])\nprint(r)"
    root = ScriptedModel([repl(code), "FINAL_VAR(r)"], name="root")
    answer = await RLM(root, sub_model=echo(), limits=Limits(max_subcalls=3)).aask("q?", "some text")
    assert answer.value[:3] == ["A", "B", "C"]  # type: ignore[index]
    assert answer.value[3].startswith("Error: SubcallLimitExceeded")  # type: ignore[index]
    assert "1 of the 4 calls of a batch were not made: the run made 3 sub-calls" in root.requests[1][-1].content


async def test_a_limit_that_a_whole_batch_meets_ends_the_run() -> None:
    code = "while True:\n    try:\n        llm_query_batched(['a', 'b'])\n    except BaseException:\n        pass"
    root = ScriptedModel([repl(code)], name="root")
    sub = echo()
    with pytest.raises(SubcallLimitExceeded):
        await RLM(root, sub_model=sub, limits=Limits(max_subcalls=5)).aask("q?", "some text")
    assert len(sub.requests) == 5


async def test_money_that_runs_out_within_a_batch_leaves_what_it_has_paid_for() -> None:
    sub = ScriptedModel(["x" * 400] * 200, name="sub", price=PENNY)
    code = "r = llm_query_batched(['a' * 200] * 100)\nFINAL(len([x for x in r if not x.startswith('Error')]))"
    root = ScriptedModel([repl(code)], name="root")
    answer = await RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="60")).aask("q?", "some text")
    assert 0 < answer.value == len(sub.requests) < 100  # type: ignore[operator]
    assert answer.cost.total_usd <= 60
    assert answer.cost.uncertain_usd == 0


async def test_a_batch_stays_within_its_concurrency_and_uses_it() -> None:
    sub = echo(delay_s=0.02)
    await value_of("FINAL(llm_query_batched([str(i) for i in range(30)]))", sub, concurrency=7)
    assert sub.max_concurrency == 7


async def test_a_batch_of_unequal_lists_is_refused() -> None:
    code = "try:\n    llm_query_batched(['a', 'b'], ['1'])\nexcept ValueError as error:\n    FINAL(str(error))"
    assert "2 prompts but 1 texts" in str(await value_of(code, echo()))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("llm_query(5)", "TypeError"),
        ("llm_query('  ')", "ValueError"),
        ("llm_query('a', 5)", "TypeError"),
        ("llm_query('a', max_tokens=0)", "ValueError"),
        ("llm_query('a', model='openai:gpt-99')", "ValueError"),
        ("llm_query_batched('a')", "TypeError"),
        ("llm_query_batched(['a'] * 10001)", "ValueError"),
        ("llm_query()", "TypeError"),
        ("ask_chunks('a', 'b')", "TypeError"),
    ],
)
async def test_a_wrong_argument_is_an_error_of_the_cell_and_asks_nobody(call: str, error: str) -> None:
    sub = echo()
    code = f"try:\n    {call}\nexcept Exception as error:\n    FINAL(type(error).__name__ + ': ' + str(error))"
    assert str(await value_of(code, sub)).startswith(error)
    assert sub.requests == []


async def test_code_can_name_the_models_of_the_run_only() -> None:
    assert await value_of("FINAL(llm_query('a', model='sub'))", echo()) == "A"


async def test_a_failed_query_can_be_caught_by_code() -> None:
    sub = ScriptedModel([ModelError("402: no credit")], name="sub")
    code = "try:\n    llm_query('a')\nexcept RuntimeError as error:\n    FINAL(str(error))"
    assert await value_of(code, sub) == "ModelError: 402: no credit"


async def test_json_is_parsed_also_within_a_fence() -> None:
    sub = ScriptedModel(['```json\n{"a": [1, 2]}\n```'], name="sub")
    assert await value_of("FINAL(llm_query_json('a'))", sub) == {"a": [1, 2]}


async def test_a_reply_that_is_not_json_is_sent_back_once() -> None:
    sub = ScriptedModel(["of course!", "[1]"], name="sub")
    assert await value_of("FINAL(llm_query_json('a', schema={'type': 'array'}))", sub) == [1]
    assert '"type": "array"' in sub.requests[0][0].content
    assert "not JSON" in sub.requests[1][-1].content


async def test_a_model_that_never_gives_json_is_an_error_of_the_cell() -> None:
    sub = ScriptedModel(["no", "never"], name="sub")
    code = "try:\n    llm_query_json('a')\nexcept ValueError as error:\n    FINAL(str(error))"
    assert "did not answer in JSON" in str(await value_of(code, sub))


async def test_a_json_batch_keeps_its_order_and_its_failures_apart() -> None:
    sub = ScriptedModel(
        [lambda messages: {"a": "1", "b": "no"}.get(messages[0].content[0], "3") for _ in range(4)], name="sub"
    )
    values = await value_of("FINAL(llm_batch_json(['a', 'b', 'c']))", sub)
    assert isinstance(values, list)
    assert (values[0], values[2]) == (1, 3)
    assert "JSON" in values[1]["error"]


async def test_ask_says_that_the_text_must_answer() -> None:
    sub = echo()
    await value_of("FINAL(ask('who?', 'a text'))", sub)
    prompt = sub.requests[0][0].content
    assert "who?" in prompt
    assert prompt.endswith("a text")
    assert "NOT FOUND" in prompt


async def test_ask_chunks_first_skips_what_does_not_say() -> None:
    sub = ScriptedModel(
        [lambda messages: "May" if "begins" in messages[0].content else "NOT FOUND." for _ in range(4)], name="sub"
    )
    assert await value_of("FINAL(ask_chunks_first('when?', ['it ends', 'it begins in May']))", sub) == "May"
    assert await value_of("FINAL(ask_chunks_first('when?', ['it ends']) is None)", sub) is True


async def test_a_slow_sub_call_is_given_up_and_the_run_goes_on() -> None:
    class Deaf(ScriptedModel):
        """Waits longer than it is told."""

        async def complete(self, messages, *, max_output_tokens, timeout_s=None):  # type: ignore[no-untyped-def]
            return await super().complete(messages, max_output_tokens=max_output_tokens, timeout_s=None)

    code = "try:\n    llm_query('a')\nexcept RuntimeError as error:\n    FINAL(str(error))"
    sub = Deaf(["late"], name="sub", delay_s=30, price=PENNY)
    assert "no reply within 0.1 s" in str(await value_of(code, sub, subcall_timeout_s=0.1, cost_limit_usd="1000000"))


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
    run = Run(echo(), echo(), Budget(Limits(max_depth=1)), MontySandbox)
    context = Context.from_text("text")
    root = Session(run, "q", context)
    child = Session(run, "q", context, parent=root)
    with pytest.raises(RecursionDepthExceeded, match="max_depth=1"):
        Session(run, "q", context, parent=child)


async def test_a_child_can_be_given_fewer_turns_and_says_what_it_found_within_them() -> None:
    sub = child_script(repl("x = 1"), "FINAL(probably May)")
    value = await value_of("FINAL(rlm_query('when?', max_turns=1))", sub)
    assert value == "[INCOMPLETE: no final answer after 1 turns (max_turns)] probably May"


async def test_a_child_without_an_answer_at_its_limit_is_an_error_of_the_cell_and_not_of_the_run() -> None:
    code = "try:\n    rlm_query('when?', max_turns=1)\nexcept RuntimeError as error:\n    FINAL(str(error))"
    value = await value_of(code, child_script(repl("x = 1")), last_answer=False)
    assert value == "MaxTurnsExceeded: no final answer after 1 turns (max_turns)"


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
    root = ScriptedModel([repl("FINAL(rlm_query('q', cost_limit_usd=1000000))")], name="root", price=PENNY)
    with pytest.raises(BudgetExceeded) as raised:
        await RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="400")).aask("q", "text")
    assert raised.value.limit == 400
    assert raised.value.partial is not None
    assert raised.value.partial.cost_usd <= 400


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


async def test_code_can_ask_what_is_left() -> None:
    left = await value_of("llm_query('a')\nFINAL(budget())", echo(), max_turns=7, cost_limit_usd="2", max_seconds=100)
    assert isinstance(left, dict)
    assert {name: left[name] for name in ("depth", "max_depth", "turns", "subcalls", "tokens")} == {
        "depth": 0,
        "max_depth": 3,
        "turns": 6,
        "subcalls": 199,
        "tokens": None,
    }
    assert left["usd"] == 2
    assert 60 < left["seconds"] <= 80  # a fifth is for the last answer


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


async def test_a_timed_out_cell_does_not_pay_for_its_predecessors_sub_calls_again() -> None:
    from rlmbox import CellLimits

    sub = echo()
    root = ScriptedModel([repl("a = llm_query('once')"), repl("while True: pass"), "FINAL_VAR(a)"], name="root")
    limits = Limits(cell=CellLimits(cell_timeout_s=0.3))
    assert (await RLM(root, sub_model=sub, limits=limits).aask("q", "text")).text == "ONCE"
    assert len(sub.requests) == 1


async def test_events_of_sub_calls_tell_prompt_answer_and_cost() -> None:
    seen: list[Event] = []
    root = ScriptedModel([repl("FINAL(llm_query('abc'))")], name="root")
    sub = ScriptedModel(["xyz"], name="sub", price=PENNY)
    await RLM(root, sub_model=sub, hooks=[seen.append], limits=Limits(cost_limit_usd="1000000")).aask("q", "text")
    from rlmbox.events import to_json

    started, finished = (json.loads(json.dumps(to_json(e))) for e in seen if e.kind.startswith("subcall"))
    assert (started["function"], started["model"], started["prompt_chars"]) == ("llm_query", "sub", 3)
    assert (finished["text"], finished["error"]) == ("xyz", None)
    assert Decimal(finished["cost_usd"]) > 0
