"""What code may ask of other models: order, failures, concurrency, children and their spend."""

import json
from decimal import Decimal

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import ModelError
from rlmbox.events import Event
from rlmbox.models.prices import FlatPrice
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
    sub = ScriptedModel({"a": "1", "b": ModelError("500: broken", retryable=True), "c": "3"}, name="sub")
    values = await value_of("FINAL(llm_query_batched(['a', 'b', 'c']))", sub)
    assert values == ["1", "Error: ModelError: 500: broken", "3"]


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
    sub = ScriptedModel([ModelError("429: slow down", retryable=True)], name="sub")
    code = "try:\n    llm_query('a')\nexcept RuntimeError as error:\n    FINAL(str(error))"
    assert await value_of(code, sub) == "ModelError: 429: slow down"


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
    assert "longer than 0.1 s" in str(await value_of(code, sub, subcall_timeout_s=0.1, cost_limit_usd="1000000"))


def child_script(*replies: str) -> ScriptedModel:
    return ScriptedModel(list(replies), name="sub")


async def test_a_child_session_has_a_repl_of_its_own() -> None:
    sub = child_script(repl("mine = len(context)"), "FINAL_VAR(mine)")
    code = "mine = 'the parent'\nn = rlm_query('how long?', 'four')\nFINAL([n, mine])"
    assert await value_of(code, sub) == ["4", "the parent"]


async def test_a_child_without_a_text_works_on_its_parents() -> None:
    assert await value_of("FINAL(rlm_query('first word?'))", child_script(repl("FINAL(context[:4])"))) == "some"


async def test_children_of_a_batch_keep_their_order() -> None:
    sub = ScriptedModel([repl("FINAL(context + '!')")] * 3, name="sub")
    code = "FINAL(rlm_query_batched(['a', 'b', 'c'], ['1', '2', '3']))"
    assert await value_of(code, sub) == ["1!", "2!", "3!"]


async def test_children_nest_up_to_the_depth_limit() -> None:
    nested = repl("try:\n    FINAL(rlm_query('deeper'))\nexcept RuntimeError as error:\n    FINAL(str(error))")
    value = await value_of("FINAL(rlm_query('deep'))", child_script(nested, nested, nested), max_depth=2)
    assert "RecursionDepthExceeded" in str(value)
    assert "max_depth=2" in str(value)


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
