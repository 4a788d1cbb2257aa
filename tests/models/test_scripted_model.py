"""The public fake of a model."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ModelError
from rlmbox.testing import ScriptedModel, ScriptMiss
from rlmbox.types import Completion, Message, Usage


async def ask(model: ScriptedModel, *prompts: str) -> list[str]:
    return [(await model.complete((Message("user", p),), max_output_tokens=10)).text for p in prompts]


async def test_a_sequence_is_played_in_order_and_recorded() -> None:
    given_completion = Completion("second", Usage(5, 0, 6, 0, 1), "another", "length")
    model = ScriptedModel(["first", given_completion, lambda messages: messages[-1].content.upper()])
    assert model.remaining == 3
    assert await ask(model, "a", "b", "c") == ["first", "second", "C"]
    assert model.requests == [(Message("user", p),) for p in "abc"]
    assert model.max_output_tokens == [10, 10, 10]
    assert model.remaining == 0
    assert model.misses == []


async def test_a_completion_of_the_script_is_given_as_it_is() -> None:
    completion = Completion("cut", Usage(5, 1, 6, 2, 1), "m", "length")
    assert await ScriptedModel([completion]).complete((), max_output_tokens=1) is completion


async def test_an_exception_of_the_script_is_raised_and_the_script_goes_on() -> None:
    model = ScriptedModel([ModelError("down", retryable=True), "up"])
    with pytest.raises(ModelError, match="down"):
        await ask(model, "a")
    assert await ask(model, "a") == ["up"]


async def test_a_script_that_is_over_is_a_miss_that_shows_the_request() -> None:
    model = ScriptedModel(["only"])
    await ask(model, "a")
    with pytest.raises(ScriptMiss, match="request 2 came, but the script has 1 replies") as caught:
        await ask(model, "what now?")
    assert "what now?" in str(caught.value)
    assert not caught.value.retryable
    assert isinstance(caught.value, AssertionError)
    assert model.misses == [(Message("user", "what now?"),)]


BOOK = {
    "Summarise the first chapter, please.": "one",
    "Summarise the second chapter, please.": "two",
    "List every person who is named in the letter of the third of May.": "three",
}


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("Summarise the first chapter, please.", "one"),
        ("  SUMMARISE the\n second chapter -- please!", "two"),
        ("List every person who is named in the letters of the third of May.", "three"),
    ],
)
async def test_a_mapping_finds_the_prompt_that_is_meant(prompt: str, reply: str) -> None:
    assert await ask(ScriptedModel(BOOK), prompt) == [reply]


async def test_a_mapping_answers_the_last_user_message() -> None:
    talk = (Message("user", "no"), Message("assistant", "no"), Message("user", "yes"), Message("assistant", "no"))
    model = ScriptedModel({"yes": "found", "no": "lost"})
    assert (await model.complete(talk, max_output_tokens=1)).text == "found"


@pytest.mark.parametrize("prompt", ["Summarise the chapter, please.", "Something else altogether", ""])
async def test_a_prompt_below_the_similarity_is_a_miss_with_a_diff(prompt: str) -> None:
    model = ScriptedModel(BOOK)
    with pytest.raises(ScriptMiss) as caught:
        await ask(model, prompt)
    assert "--- the script" in str(caught.value)
    assert "+++ the request" in str(caught.value)
    assert "-Summarise the" in str(caught.value) or "-List every" in str(caught.value)


async def test_an_empty_mapping_is_a_miss() -> None:
    with pytest.raises(ScriptMiss):
        await ask(ScriptedModel({}), "anything")


async def test_long_texts_are_matched_without_taking_long() -> None:
    long = "".join(f"line {number} of the text\n" for number in range(20_000))
    script = {long + str(number): str(number) for number in range(20)}
    model = ScriptedModel(script)
    assert await ask(model, long + "7") == ["7"]
    # Equal at the beginning, different in the end: the nearest is not near enough.
    with pytest.raises(ScriptMiss):
        await ask(model, long + "nothing like it")


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=10), min_size=1, max_size=5), st.data())
def test_an_exact_prompt_always_gets_its_own_reply(script: dict[str, str], data: st.DataObject) -> None:
    prompt = data.draw(st.sampled_from(sorted(script)))
    assert asyncio.run(ask(ScriptedModel(script), prompt)) == [script[prompt]]


@given(st.text(max_size=200), st.text(max_size=200))
def test_usage_is_the_same_for_the_same_text_and_never_zero(prompt: str, reply: str) -> None:
    async def usage() -> Usage:
        model = ScriptedModel([reply])
        return (await model.complete((Message("user", prompt),), max_output_tokens=1)).usage

    first = asyncio.run(usage())
    assert first == asyncio.run(usage())
    assert min(first.input_tokens, first.output_tokens) >= 1
    assert first.requests == 1


async def test_requests_at_once_each_get_a_reply_of_their_own() -> None:
    model = ScriptedModel([str(number) for number in range(50)], delay_s=0.01)
    texts = await asyncio.gather(*(ask(model, "x") for _ in range(50)))
    assert sorted(int(text) for (text,) in texts) == list(range(50))
    assert model.max_concurrency == 50


async def test_a_reply_slower_than_the_timeout_is_given_up() -> None:
    model = ScriptedModel(["late"], delay_s=30)
    with pytest.raises(ModelError, match=r"within 0.01 s"):
        await model.complete((), max_output_tokens=1, timeout_s=0.01)


def test_one_text_as_a_script_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="list of replies"):
        ScriptedModel("FINAL(1)")


def test_it_costs_nothing_unless_told_otherwise() -> None:
    price = ScriptedModel([]).price
    assert price is not None
    assert price.cost_usd(Usage(10**9, 0, 10**9)) == 0
    assert ScriptedModel([], price=None).price is None


async def test_it_can_be_asked_at_a_temperature_and_says_at_which() -> None:
    model = ScriptedModel(["a", "b", "c"])
    await model.complete([Message("user", "?")], max_output_tokens=5)
    assert (await model.with_temperature(0.5).complete([Message("user", "?")], max_output_tokens=5)).text == "b"
    await model.complete([Message("user", "?")], max_output_tokens=5)
    assert model.temperatures == [None, 0.5, None]
