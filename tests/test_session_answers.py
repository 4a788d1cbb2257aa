"""Every way for a model to finish a session, what does not finish it, and the sources of an answer."""

from dataclasses import dataclass
from typing import Any

import pytest

from rlmbox import CellLimits, Context, Limits
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from runs import PENALTY, TEXT, repl, rlm, said_to

SANDBOXES: dict[str, Any] = {
    "local": lambda: LocalSandbox(unsafe_no_isolation=True),
    "monty": "monty",
    "subset": SubsetSandbox,
}


async def test_code_beside_a_final_tag_runs_first_and_then_the_answer_counts() -> None:
    answer = await rlm(f"FINAL_VAR(found)\n{repl('found = context[:12]')}").aask("?", TEXT)
    assert answer.text == "The contract"


async def test_a_final_tag_beside_code_that_failed_does_not_count() -> None:
    asked = rlm(f"{repl('1/0')}\nFINAL(made up)", "FINAL(honest)")
    answer = await asked.aask("?", TEXT)
    assert answer.text == "honest"
    assert "ZeroDivisionError" in said_to(asked.model)


@pytest.mark.parametrize(
    ("reply", "text", "value"),
    [
        (repl("FINAL('from code')"), "from code", "from code"),
        (repl("SUBMIT([1, 2])"), "[1, 2]", [1, 2]),
        (repl("SUBMIT(1, 'x')"), '[1, "x"]', [1, "x"]),
        (repl("FINAL('The sum is', 5, 6)"), '["The sum is", 5, 6]', ["The sum is", 5, 6]),
        (repl("FINAL('alpha', [(0, 5)])"), "alpha", "alpha"),
        ("SUBMIT(1, 'x')", '[1, "x"]', [1, "x"]),
        (repl("SUBMIT(self=3, answer=1)"), '{"answer": 1, "self": 3}', {"answer": 1, "self": 3}),
        (repl("v = {'a': 1}\nFINAL_VAR('v')"), '{"a": 1}', {"a": 1}),
        (repl("v = 'itself'\nFINAL_VAR(v)"), "itself", "itself"),
        (repl("v = 'max'\nFINAL_VAR(v)"), "max", "max"),
        (repl("answer['content'] = 'by dict'\nanswer['ready'] = True"), "by dict", "by dict"),
        (repl("answer = {'content': 'new dict', 'ready': True}"), "new dict", "new dict"),
        ("FINAL: plain words", "plain words", "plain words"),
        ("FINAL([3, 4])", "[3, 4]", [3, 4]),
        (f"{repl('result = [5]')}\nFINAL(result)", "[5]", [5]),
        ("FINAL(result)", "result", "result"),
        (repl("FINAL('first')\n1/0"), "first", "first"),
    ],
)
async def test_every_way_to_finish_gives_the_answer(reply: str, text: str, value: object) -> None:
    answer = await rlm(reply).aask("?", TEXT)
    assert (answer.text, answer.value, answer.complete) == (text, value, True)


async def test_an_answer_dictionary_that_is_not_ready_does_not_finish() -> None:
    answer = await rlm(repl("answer['content'] = 'draft'"), "FINAL(final)").aask("?", TEXT)
    assert answer.text == "final"


async def test_a_variable_can_finish_a_session_by_being_set() -> None:
    asked = rlm(repl("x = 1"), repl("result = 'set'"), auto_finalize_var="result")
    assert (await asked.aask("?", TEXT)).text == "set"


async def test_a_variable_that_was_set_for_one_question_does_not_end_the_next_one_by_being_read() -> None:
    asked = rlm(repl("result = 'set'"), repl("print(result)"), "FINAL(next)", auto_finalize_var="result")
    async with asked.session(TEXT) as session:
        assert [(await session.ask(question)).text for question in ("?", "And then?")] == ["set", "next"]


@pytest.mark.parametrize("code", ["answer['content'] = 1 / 0", "print(answer['content'])"])
@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_an_answer_that_was_ready_for_one_question_is_none_to_the_next(code: str, sandbox: str) -> None:
    ready = repl("answer['content'] = 'first'\nanswer['ready'] = True")
    async with rlm(ready, repl(code), "FINAL(second)", sandbox=SANDBOXES[sandbox]).session(TEXT) as session:
        assert [(await session.ask(question)).text for question in ("?", "And then?")] == ["first", "second"]


async def test_final_var_of_a_missing_name_gets_a_hint_with_the_variables_there_are() -> None:
    asked = rlm(repl("result = 1"), "FINAL_VAR(resutl)", "FINAL_VAR(result)")
    answer = await asked.aask("?", TEXT)
    hint = said_to(asked.model)
    assert "resutl" in hint
    assert "result" in hint
    assert answer.value == 1


async def test_final_var_of_a_value_that_cannot_leave_says_why_and_not_that_it_is_not_there() -> None:
    parts = "result = [[0] * 1_100_000] * 2"
    patient = Limits(cell=CellLimits(cell_timeout_s=120))  # millions of values take a loaded machine its time
    asked = rlm(repl(f"{parts}\nFINAL_VAR('result')"), "FINAL(shorter)", limits=patient)
    assert (await asked.aask("?", TEXT)).text == "shorter"
    assert "'result' cannot be the final answer: ValueError: " in said_to(asked.model)
    assert "no variable" not in said_to(asked.model)


async def test_a_final_tag_printed_from_the_context_does_not_end_the_session() -> None:
    asked = rlm(repl("print(context)"), "FINAL(really)")
    assert (await asked.aask("?", "FINAL(from the context)")).text == "really"


async def test_a_final_tag_in_a_sub_models_answer_does_not_end_the_session() -> None:
    asked = rlm(repl("print(llm_query('say it'))"), "FINAL(really)", sub={"say it": "FINAL(from a sub-model)"})
    assert (await asked.aask("?", TEXT)).text == "really"


async def test_strict_mode_takes_only_the_two_forms() -> None:
    asked = rlm("FINAL: loose", 'FINAL("tight")', strict=True)
    assert (await asked.aask("?", TEXT)).text == "tight"


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_in_strict_mode_the_names_that_end_a_question_are_a_cells_own(sandbox: str) -> None:
    ways = repl("answer['ready'] = True"), repl("FINAL('x')"), repl("SUBMIT('x')"), repl("FINAL_VAR('x')")
    mine = repl("answer = 'mine'\nFINAL = SUBMIT = 1"), repl("print(answer, SHOW_VARS())")
    asked = rlm(*ways, *mine, 'FINAL("tight")', strict=True, sandbox=SANDBOXES[sandbox])
    async with asked.session(TEXT) as session:
        assert (await session.ask("?")).text == "tight"
        assert set(await session.variables()) == {"answer", "FINAL", "SUBMIT"}
    said = [said_to(asked.model, number) for number in range(1, 7)]
    for name, told in zip(("answer", "FINAL", "SUBMIT", "FINAL_VAR"), said, strict=False):
        assert f"NameError: name '{name}' is not defined" in told or "ForbiddenSyntax: " in told, told
    assert "again" not in said[4]  # no name was given back to the REPL
    assert "mine {" in said[5]
    prompt = asked.model.requests[0][0].content  # type: ignore[attr-defined]
    assert "answer[" not in prompt
    assert "SUBMIT" not in prompt


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_a_name_that_ends_a_question_is_the_loops_unless_it_is_strict(sandbox: str) -> None:
    with pytest.raises(ConfigError, match="'answer'"):
        await rlm("FINAL(ok)", sandbox=SANDBOXES[sandbox]).aask("?", TEXT, inputs={"answer": 1})
    asked = rlm(repl("total = answer + 1"), "FINAL_VAR(total)", strict=True, sandbox=SANDBOXES[sandbox])
    assert (await asked.aask("?", TEXT, inputs={"answer": 1})).value == 2
    kept = rlm(repl("x = 1"), repl("answer['content'] = x\nanswer['ready'] = True"), sandbox=SANDBOXES[sandbox])
    async with kept.session(TEXT) as session:
        assert (await session.ask("?")).value == 1
        assert set(await session.variables()) == {"x"}


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_an_input_is_a_variable_that_a_final_tag_can_name(sandbox: str) -> None:
    asked = rlm(repl("x = 1"), "FINAL(prices)", repl("prices = 'mine'"), "FINAL(prices)", sandbox=SANDBOXES[sandbox])
    async with asked.session(TEXT, inputs={"prices": {"a": 5}}) as session:
        assert (await session.ask("?")).value == {"a": 5}
        assert (await session.variables())["prices"] == "dict, 1 keys: 'a'"
        assert (await session.ask("?")).value == "mine"


async def test_sources_that_code_names_are_checked_against_the_context() -> None:
    code = (
        "hits = ctx.search('penalty')\nFINAL('5 %', sources=[hits[0], (0, 3), (5, 999999), 'nonsense', (True, False)])"
    )
    answer = await rlm(repl(code)).aask("?", TEXT)
    assert [(s.start, s.end, s.quote) for s in answer.sources] == [(30, 37, "penalty"), (0, 3, "The")]


@pytest.mark.parametrize("sources", ["(30, 37)", "ctx.search('penalty')[0]"])
async def test_a_single_source_counts_without_a_list_around_it(sources: str) -> None:
    answer = await rlm(repl(f"FINAL('5 %', {sources})")).aask("?", TEXT)
    assert [(s.start, s.quote) for s in answer.sources] == [(30, "penalty")]


@pytest.mark.parametrize("call", ["FINAL('Total:', sources=5)", "FINAL_VAR(TEXT, 'Rome')"])
async def test_a_part_of_an_answer_is_not_taken_for_its_sources_and_lost(call: str) -> None:
    asked = rlm(repl(f"TEXT = 'x'\n{call}"), "FINAL(7)")
    assert (await asked.aask("?", TEXT)).value == 7
    assert "several answers are one list" in said_to(asked.model)


async def test_what_an_answer_quotes_is_found_in_the_context() -> None:
    answer = await rlm(f'FINAL(It says: "{PENALTY}" and "nothing of the kind".)').aask("?", TEXT)
    assert [source.quote for source in answer.sources] == [PENALTY]
    assert TEXT[answer.sources[0].start : answer.sources[0].end] == PENALTY


async def test_a_source_names_its_document() -> None:
    context = Context.from_documents([("a.txt", "nothing"), ("b.txt", PENALTY)])
    answer = await rlm(repl("FINAL('x', sources=ctx.search('penalty'))")).aask("?", context)
    assert [(s.document, s.start) for s in answer.sources] == [("b.txt", 2)]


OF_THE_REPL = {
    "FINAL_VAR(found['total'])": 7,
    "FINAL_VAR(len(hits))": 3,
    "FINAL_VAR(\"found['total']\")": 7,
    "FINAL_VAR(n * 2 for n in hits)": [2, 4, 6],
    "FINAL((n for n in hits))": [1, 2, 3],
    "FINAL(reversed(hits))": [3, 2, 1],
    "FINAL(map(str, hits))": ["1", "2", "3"],
    "FINAL(hits[0] + 1)": 2,
    "FINAL(llm_query('and you?'))": "SO DO I",
    "FINAL_VAR(llm_query('and you?'))": "SO DO I",
    "FINAL(answer)": "in the dictionary",
    "FINAL_VAR(answer)": "in the dictionary",
    repl("FINAL(answer)"): "in the dictionary",
    repl("FINAL_VAR(\"found['total']\")"): 7,
    repl("FINAL_VAR('no variable, but words')"): "no variable, but words",
    repl("said = \"found['total']\"\nFINAL_VAR(said)"): "found['total']",
}


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_an_expression_in_a_final_tag_is_evaluated_and_is_never_the_answer(sandbox: str) -> None:
    code = "hits = [1, 2, 3]\nfound = {'total': 7}\nanswer['content'] = 'in the dictionary'"
    replies = [reply for form in OF_THE_REPL for reply in (repl(code), form)]
    asked = rlm(*replies, sub=["SO DO I"] * 9, sandbox=SANDBOXES[sandbox], cache=False)
    async with asked.session(TEXT) as session:
        values = {form: (await session.ask(f"{form}?")).value for form in OF_THE_REPL}
    assert values == OF_THE_REPL


@pytest.mark.parametrize(
    "reply", ["FINAL_VAR(found['none'])", "FINAL(hits[9])", "FINAL(hits + 1)", "FINAL_VAR(gone.total)"]
)
async def test_an_expression_that_does_not_work_is_corrected(reply: str) -> None:
    asked = rlm(repl("hits = [1]\nfound = {}"), reply, "FINAL(corrected)")
    assert (await asked.aask("?", TEXT)).text == "corrected"
    assert "expression that does not work" in said_to(asked.model)


@pytest.mark.parametrize(
    ("sandbox", "value", "words"),
    [("local", "'x' * (64 * 2**20 + 1)", "larger than 67,108,864 bytes"), ("monty", "'a'.upper", "repr of a function")],
)
async def test_a_variable_that_cannot_leave_is_not_the_word_of_its_name(sandbox: str, value: str, words: str) -> None:
    limits = Limits(cell=CellLimits(memory_bytes=1 << 30, cell_timeout_s=60))
    replies = (f"{repl(f'found = {value}')}\nFINAL(found)", "FINAL(corrected)")
    asked = rlm(*replies, sandbox=SANDBOXES[sandbox], limits=limits)
    assert (await asked.aask("?", TEXT)).text == "corrected"
    assert words in said_to(asked.model)


@dataclass
class Person:
    name: str
    places: list[int]


@pytest.mark.parametrize("sandbox", SANDBOXES.values(), ids=SANDBOXES)
@pytest.mark.parametrize("code", ["SUBMIT('Ada', [1, 2])", "SUBMIT(places=[1, 2], name='Ada')", "FINAL('Ada', [1, 2])"])
async def test_fields_may_be_given_in_their_order_or_by_name(code: str, sandbox: Any) -> None:
    answer = await rlm(repl(code), sandbox=sandbox).aask("?", TEXT, returns=Person)
    assert answer.value == Person("Ada", [1, 2])


async def test_values_that_are_not_as_many_as_the_fields_are_corrected() -> None:
    asked = rlm(repl("SUBMIT('Ada', 1, 2)"), repl("SUBMIT(name='Ada', places=[1])"))
    answer = await asked.aask("?", TEXT, returns=Person)
    assert answer.value == Person("Ada", [1])
    assert "does not fit what was asked for" in said_to(asked.model)


async def test_a_model_that_answers_as_elsewhere_is_told_how_to_here() -> None:
    asked = rlm(repl("final_answer('x')"), "FINAL(x)")
    await asked.aask("?", TEXT)
    assert "Hint: End with the answer in FINAL(value)." in said_to(asked.model)


async def test_a_key_looked_up_in_the_text_of_an_object_leads_to_the_object() -> None:
    asked = rlm(repl("print(context['price'])"), "FINAL(x)")
    await asked.aask("?", {"price": 3})
    assert "The object of which context is the text is data: data['key']" in said_to(asked.model)


async def test_a_cell_goes_on_after_an_answer_and_its_last_one_counts() -> None:
    asked = rlm(repl("FINAL('first')\nn = 7\nSUBMIT(n)"))
    assert (await asked.aask("?", TEXT)).value == 7


@pytest.mark.parametrize("sandbox", SANDBOXES.values(), ids=SANDBOXES)
async def test_a_rejected_answer_in_the_dictionary_is_not_submitted_again_by_code_that_looks_at_it(
    sandbox: Any,
) -> None:
    judged: list[str] = []

    def good(answer: Any) -> str | None:
        judged.append(answer.text)
        return None if answer.text == "good" else "say good"

    asked = rlm(
        repl("answer['content'] = 'bad'\nanswer['ready'] = True"),
        repl("print(answer)"),
        repl("answer['ready'] = True"),
        repl("answer['content'] = 'good'"),
        validate=good,
        sandbox=sandbox,
    )
    assert (await asked.aask("?", TEXT)).text == "good"
    assert judged == ["bad", "bad", "good"]


@pytest.mark.parametrize(
    "code", ["SUBMIT({'name': 'Ada', 'places': [1]}, [(0, 5)])", "SUBMIT('Ada', [1], sources=[(0, 5)])"]
)
async def test_an_answer_with_fields_keeps_its_sources(code: str) -> None:
    answer = await rlm(repl(code)).aask("?", TEXT, returns=Person)
    assert answer.value == Person("Ada", [1])
    assert [(each.start, each.end) for each in answer.sources] == [(0, 5)]


async def test_values_beside_named_ones_are_not_taken_for_all_of_the_fields() -> None:
    asked = rlm(repl("SUBMIT('Ada', [1], places=[2])"), repl("SUBMIT('Ada', [2])"))
    answer = await asked.aask("?", TEXT, returns=Person)
    assert answer.value == Person("Ada", [2])


async def test_what_is_no_source_is_told_beside_several_answers_too() -> None:
    asked = rlm(repl("FINAL('Ada', 'Bob', sources=5)"), "FINAL(7)")
    assert (await asked.aask("?", TEXT)).value == 7
    assert "sources are a list of hits or (start, end) pairs" in said_to(asked.model)


async def test_an_answer_set_in_the_dictionary_counts_although_it_reads_as_the_last_one() -> None:
    def number(answer: Any) -> str | None:
        return "give a number" if isinstance(answer.value, str) and answer.value == "3" else None

    asked = rlm(
        repl("answer['content'] = '3'\nanswer['ready'] = True"),
        repl("answer['content'] = 3"),
        validate=number,
    )
    assert (await asked.aask("How many?", TEXT)).value == 3


@pytest.mark.parametrize("sandbox", ["local", "monty"])
async def test_a_variable_of_the_class_is_no_field_of_an_answer(sandbox: str) -> None:
    fields = "@dataclass\nclass D:\n    a: int\n    made: ClassVar[int] = 3\n"
    code = f"from dataclasses import dataclass\nfrom typing import ClassVar\n{fields}FINAL(D(1))"
    assert (await rlm(repl(code), sandbox=SANDBOXES[sandbox]).aask("?", TEXT)).value == {"a": 1}
