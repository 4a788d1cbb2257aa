"""What code may ask of other models: order, failures, concurrency, and what is told of it."""

import json
from decimal import Decimal

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import ConfigError, ModelError, SubcallLimitExceeded
from rlmbox.events import Event
from rlmbox.testing import ScriptedModel
from runs import PENNY, echo, repl, value_of


async def test_llm_query_sees_the_prompt_and_the_chunk_and_nothing_else() -> None:
    sub = echo()
    assert await value_of("FINAL(llm_query('what?', 'chunk'))", sub) == "WHAT?\n\nCHUNK"
    assert [message.content for message in sub.requests[0]] == ["what?\n\nchunk"]


async def test_llm_query_can_shorten_its_reply() -> None:
    sub = echo()
    await value_of("FINAL(llm_query('a', max_tokens=50))", sub)
    assert sub.max_output_tokens == [50]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("llm_query()", "llm_query() missing a required argument: 'prompt'"),
        ("llm_query('a', b=1)", "llm_query() got an unexpected keyword argument 'b'"),
        ("budget(1)", "budget() takes fewer positional arguments"),
        ("ctx.find()", "ctx.find() missing a required argument: 'pattern'"),
        ("llm_query('a', temperature='hot')", "temperature is a number from 0, such as 0.7, not 'hot'"),
        ("llm_query('a', temperature=-1)", "temperature is a number from 0, such as 0.7, not -1"),
    ],
)
async def test_a_call_that_does_not_fit_is_an_error_that_names_the_function_as_the_code_does(
    call: str, said: str
) -> None:
    sub = echo()
    code = f"try:\n    {call}\nexcept Exception as error:\n    FINAL(str(error))"
    assert await value_of(code, sub) == said
    assert sub.requests == []


async def test_an_awaited_llm_query_works_as_well() -> None:
    assert await value_of("FINAL(await llm_query('a'))", echo()) == "A"


async def test_gathered_queries_run_at_once() -> None:
    sub = echo(delay_s=0.05)
    code = "import asyncio\nr = await asyncio.gather(llm_query('a'), llm_query('b'), llm_query('c'))\nFINAL(r)"
    root = ScriptedModel([repl(code)], name="root")
    assert (await RLM(root, sub_model=sub, sandbox="monty").aask("q?", "some text")).value == ["A", "B", "C"]
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
    code = (
        "r = llm_query_batched(['a' * 200 + str(n) for n in range(100)])\n"
        "FINAL(len([x for x in r if not x.startswith('Error')]))"
    )
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
        ("ask('who?', None)", "TypeError: a text is a str, not NoneType"),
        ("ask('who?', ['a'])", "TypeError: a text is a str, not list; give ask_chunks a list of them"),
        ("ask('who?', ' ')", "ValueError: the text is empty"),
        ("ask(None, 'a')", "TypeError: a question is a str, not NoneType"),
        ("ask_chunks_first('who?', [None, 5])", "TypeError: a text is a str, not NoneType"),
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


async def test_a_reply_that_is_not_json_is_sent_back() -> None:
    sub = ScriptedModel(["of course!", "[1]"], name="sub")
    assert await value_of("FINAL(llm_query_json('a', schema={'type': 'array'}))", sub) == [1]
    assert '"type": "array"' in sub.requests[0][0].content
    assert "not JSON" in sub.requests[1][-1].content


async def test_a_schema_that_is_not_named_as_such_is_an_error_with_the_remedy() -> None:
    code = "try:\n    llm_query_json('a', {'type': 'array'})\nexcept TypeError as error:\n    FINAL(str(error))"
    assert "schema=" in str(await value_of(code, ScriptedModel([], name="sub")))


async def test_a_model_that_never_gives_json_is_an_error_of_the_cell() -> None:
    sub = ScriptedModel(["no", "never", "no", "at no time"], name="sub")
    code = "try:\n    llm_query_json('a')\nexcept ValueError as error:\n    FINAL(str(error))"
    assert "did not answer in JSON" in str(await value_of(code, sub))


async def test_a_json_batch_keeps_its_order_and_its_failures_apart() -> None:
    sub = ScriptedModel(
        [lambda messages: {"a": "1", "b": "no"}.get(messages[0].content[0], "3") for _ in range(6)], name="sub"
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


async def test_a_chunk_that_is_no_text_is_not_paid_for() -> None:
    sub = echo()
    code = "may, none = ask_chunks('when?', ['in May', None])\nFINAL([may[-6:], none])"
    assert await value_of(code, sub) == ["IN MAY", "Error: TypeError: a text is a str, not NoneType"]
    assert len(sub.requests) == 1


async def test_ask_chunks_first_does_not_take_failed_calls_for_texts_that_do_not_say() -> None:
    code = "try:\n    ask_chunks_first('when?', ['a', 'b'])\nexcept RuntimeError as error:\n    FINAL(str(error))"
    broken = ModelError("402: no credit")
    assert await value_of(code, ScriptedModel([broken, broken], name="sub")) == "ModelError: 402: no credit"

    root = ScriptedModel([repl("print(ask_chunks_first('when?', ['a', 'b']))"), "FINAL(unknown)"], name="root")
    await RLM(root, sub_model=ScriptedModel([broken, "NOT FOUND"], name="sub")).aask("q?", "some text")
    said = root.requests[1][-1].content
    assert "None" in said
    assert "1 of the 2 calls of ask_chunks_first failed: 402: no credit." in said


async def test_an_answer_that_begins_with_error_is_an_answer() -> None:
    sub = ScriptedModel(["Error: 404 is what the log says"], name="sub")
    code = "FINAL(ask_chunks_first('what does the log say?', ['Error: 404']))"
    assert await value_of(code, sub) == "Error: 404 is what the log says"


async def test_ask_chunks_first_asks_equal_chunks_once_in_all_its_waves() -> None:
    sub = ScriptedModel([lambda _: "NOT FOUND"] * 50, name="sub")
    code = "FINAL(ask_chunks_first('when?', [str(n % 7) for n in range(60)]) is None)"
    assert await value_of(code, sub) is True
    assert len(sub.requests) == 7


async def test_equal_prompts_over_equal_texts_are_one_child_session() -> None:
    sub = ScriptedModel(["FINAL(it)"] * 9, name="sub")
    code = "FINAL(rlm_query_batched(['a', 'a', 'b', 'a', None], ['x', 'x', 'x', 'y', 'x']))"
    assert await value_of(code, sub) == ["it"] * 4 + ["Error: TypeError: a prompt is a str, not NoneType"]
    assert len(sub.requests) == 3


async def test_equal_prompts_to_different_models_are_asked_of_each() -> None:
    root = ScriptedModel(
        [repl("FINAL([llm_batch(['a', 'a'], model=name) for name in ('root', 'sub')])"), "of root"], name="root"
    )
    sub = ScriptedModel(["of sub"], name="sub")
    answer = await RLM(root, sub_model=sub).aask("q?", "some text")
    assert answer.value == [["of root"] * 2, ["of sub"] * 2]


@pytest.mark.parametrize("model", ["'gpt-9'", "['sub']", "5"])
@pytest.mark.parametrize(
    "call", ["llm_query('a', model={})", "rlm_query('a', model={})", "llm_batch(['a'], model={})[0]"]
)
async def test_a_model_that_is_not_at_hand_is_an_error_that_names_those_that_are(call: str, model: str) -> None:
    sub = echo()
    code = f"try:\n    said = {call.format(model)}\nexcept Exception as error:\n    said = str(error)\nFINAL(said)"
    said = await value_of(code, sub)
    assert "is not available; there are root, sub" in str(said)
    assert sub.requests == []


async def test_a_slow_sub_call_is_given_up_and_the_run_goes_on() -> None:
    class Deaf(ScriptedModel):
        """Waits longer than it is told."""

        async def complete(self, messages, *, max_output_tokens, timeout_s=None):
            return await super().complete(messages, max_output_tokens=max_output_tokens, timeout_s=None)

    code = "try:\n    llm_query('a')\nexcept RuntimeError as error:\n    FINAL(str(error))"
    sub = Deaf(["late"], name="sub", delay_s=30, price=PENNY)
    assert "no reply within 0.1 s" in str(await value_of(code, sub, subcall_timeout_s=0.1, cost_limit_usd="1000000"))


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


def test_an_object_that_lacks_what_a_model_has_is_refused_by_name() -> None:
    class Half:
        """Has no window and no price."""

        name = "half"

        async def complete(self) -> None: ...

    with pytest.raises(ConfigError, match="Half is no Model: it has no window_tokens and no price"):
        RLM(echo(), sub_model=Half())  # type: ignore[arg-type]
