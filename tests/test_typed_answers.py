"""Answers of a type: of every kind of type, and of the sub-calls and children of code in a sandbox."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Required
from typing import TypedDict as PlainTypedDict

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from rlmbox import RLM, Limits
from rlmbox.errors import AnswerRejected, ConfigError
from rlmbox.events import QuestionAsked
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

NUMBER = {"type": "integer", "minimum": 3}
AGAIN = "The answer does not fit what was asked for: "


@dataclasses.dataclass
class Party:
    name: str
    born: dt.date | None = None


@dataclasses.dataclass
class Contract:
    parties: list[Party]
    fee: float | str
    kind: Literal["sale", "rent"] = "sale"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]


class Row(TypedDict):
    name: str
    note: NotRequired[str]


class Plain(PlainTypedDict, total=False):
    """A row of a table."""

    name: "Required[str]"
    note: "NotRequired[str]"
    inner: list["Row"]


class Wide(Plain):
    size: int | None


Animal = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("returns", "wrong", "right", "value"),
    [
        (int | str, "[1]", "'five'", "five"),
        (int | None, "'x'", "3", 3),
        (int | None, "'x'", "None", None),
        (str, "[]", "5", "5"),
        (Decimal, "'x'", "'1.10'", Decimal("1.10")),
        (Cat | None, "{'kind': 'cat'}", "None", None),
        (set[int], "['x']", "[1, 2, 2]", {1, 2}),
        (Plain, "{'note': 'no name'}", "{'name': 'a'}", {"name": "a"}),
        (list[Wide] | None, "[{'name': 'a'}]", "[{'name': 'a', 'size': 3}]", [{"name": "a", "size": 3}]),
        (
            Annotated[dict[str, Plain], "by name"],
            "{'a': {'inner': [{}]}}",
            "{'a': {'name': 'b'}}",
            {"a": {"name": "b"}},
        ),
        (list[Cat], "[{'kind': 'cat', 'lives': 10}]", "[{'kind': 'cat', 'lives': 9}]", [Cat(kind="cat", lives=9)]),
        (list[Animal], "[{'kind': 'cow'}]", "[{'kind': 'dog'}]", [Dog(kind="dog")]),
        (list[Row], "[{'note': 'no name'}]", "[{'name': 'a'}]", [{"name": "a"}]),
        (Literal["yes", "no"], "'maybe'", "'yes'", "yes"),
        (
            Contract,
            "{'parties': [{'name': 3}], 'fee': 1}",
            "{'parties': [{'name': 'a', 'born': '2001-02-03'}], 'fee': 'none', 'kind': 'rent'}",
            Contract([Party("a", dt.date(2001, 2, 3))], "none", "rent"),
        ),
        (tuple[int, str], "[1]", "[1, 'a']", (1, "a")),
        (dict[str, Cat | None], "{'a': 1}", "{'a': None}", {"a": None}),
    ],
)
async def test_an_answer_of_another_type_goes_back_until_it_fits(
    returns: Any, wrong: str, right: str, value: object
) -> None:
    store = MemoryStore()
    asked = rlm(repl(f"FINAL({wrong})"), repl(f"FINAL({right})"), store=store)
    answer = await asked.aask("?", TEXT, returns=returns, run_id="typed")
    assert answer.value == value
    assert type(answer.value) is type(value)
    assert AGAIN in said_to(asked.model)
    assert (await asked.areplay("typed")).text == answer.text


@pytest.mark.parametrize(
    ("returns", "reply", "value"),
    [
        (str, "FINAL(5)", "5"),
        (list[str] | str, "FINAL(True)", "True"),
        (Decimal, "FINAL(12345678901234567.89)", Decimal("12345678901234567.89")),
        (int | None, 'FINAL("null")', None),
    ],
)
async def test_an_answer_in_words_is_taken_as_it_is_written_where_the_type_wants_that(
    returns: object, reply: str, value: object
) -> None:
    answer = await rlm(reply).aask("?", TEXT, returns=returns)
    assert answer.value == value
    assert answer.turns == 1


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_a_child_answers_with_a_value_that_fits_its_schema(sandbox: str) -> None:
    root = ScriptedModel([repl(f"FINAL(rlm_query('how many?', returns={NUMBER!r}) + 1)")], name="root")
    sub = ScriptedModel([repl("FINAL('many')"), "FINAL(2)", "FINAL(4)"], name="sub")
    store = MemoryStore()
    asked = RLM(root, sub_model=sub, store=store, sandbox=sandbox)
    answer = await asked.aask("?", TEXT)
    assert answer.value == 5
    assert "JSON Schema" in sub.requests[0][-1].content
    assert AGAIN in sub.requests[1][-1].content
    assert "less than the minimum of 3" in sub.requests[2][-1].content
    assert (await asked.areplay(answer.run_id)).value == 5
    assert len([e for e in await store.read(answer.run_id) if isinstance(e, QuestionAsked)]) == 2


async def test_a_value_of_a_child_is_read_back_when_a_run_goes_on() -> None:
    whole, cut = MemoryStore(), MemoryStore()
    root = ScriptedModel([repl(f"n = rlm_query('how many?', returns={NUMBER!r})"), "FINAL_VAR(n)"], name="root")
    done = await RLM(root, sub_model=ScriptedModel(["FINAL(4)"], name="sub"), store=whole).aask("?", TEXT)
    for event in await whole.read(done.run_id):
        if event.kind == "cell_executed" and event.depth == 0:
            break
        cut.write(event)
    sub = ScriptedModel([], name="sub")
    answer = await RLM(ScriptedModel(["FINAL_VAR(n)"], name="root"), sub_model=sub, store=cut).aresume(done.run_id)
    assert answer.value == 4
    assert not sub.requests


async def test_children_of_a_batch_keep_their_values_and_their_failures_apart() -> None:
    code = f"FINAL(rlm_query_batched(['a', 'b'], returns={NUMBER!r}))"
    sub = ScriptedModel([lambda m: "FINAL(4)" if "\na" in m[1].content else "FINAL(no)"] * 5, name="sub")
    answer = await RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub).aask("?", TEXT)
    assert isinstance(answer.value, list)
    assert answer.value[0] == 4
    assert "4 answers were sent back" in answer.value[1]["error"]


async def test_a_child_that_never_fits_is_an_error_that_code_can_catch() -> None:
    code = f"try:\n    rlm_query('a', returns={NUMBER!r})\nexcept Exception as error:\n    FINAL(str(error))"
    sub = ScriptedModel(["FINAL(no)"] * 4, name="sub")
    answer = await RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub).aask("?", TEXT)
    assert AGAIN in str(answer.value)


async def test_a_child_at_its_limit_has_no_value_and_says_so() -> None:
    code = (
        f"try:\n    FINAL(rlm_query('a', max_turns=1, returns={NUMBER!r}))\nexcept Exception as e:\n    FINAL(str(e))"
    )
    sub = ScriptedModel([repl("x = 1"), "FINAL(4)"], name="sub")
    answer = await RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub).aask("?", TEXT)
    assert "max_turns" in str(answer.value)


async def test_at_the_deepest_level_a_typed_child_is_a_typed_query() -> None:
    root = ScriptedModel([repl(f"FINAL(rlm_query('how many?', returns={NUMBER!r}))")], name="root")
    sub = ScriptedModel(["2", "4"], name="sub")
    answer = await RLM(root, sub_model=sub, limits=Limits(max_depth=0)).aask("?", TEXT)
    assert answer.value == 4
    assert sub.requests[1][-1].content.startswith(AGAIN)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("rlm_query('a', returns='int')", "returns is a JSON Schema, such as {'type': 'integer'}, not str"),
        ("rlm_query('a', returns={'type': 'nothing'})", "that is not a JSON Schema"),
        ("rlm_query_batched(['a'], returns={'patternProperties': {}})", "patternProperties"),
        ("llm_query_json('a', schema=['integer'])", "schema is a JSON Schema"),
        ("llm_batch_json(['a'], schema={'type': 3})", "that is not a JSON Schema"),
    ],
)
async def test_a_schema_that_is_none_is_an_error_before_anything_is_asked(call: str, says: str) -> None:
    asked = rlm(repl(call), "FINAL(ok)", sub=[])
    await asked.aask("?", TEXT)
    assert says in said_to(asked.model)
    assert not asked.sub_model.requests  # type: ignore[attr-defined]


async def test_the_typed_query_uses_the_words_and_the_bound_of_typed_answers() -> None:
    code = f"try:\n    llm_query_json('a', schema={NUMBER!r})\nexcept ValueError as error:\n    FINAL(str(error))"
    asked = rlm(repl(code), sub=["1"] * 9)
    assert "did not answer in JSON as asked" in str((await asked.aask("?", TEXT)).value)
    requests = asked.sub_model.requests  # type: ignore[attr-defined]
    assert len(requests) == 4
    assert "Reply with one JSON value that fits this JSON Schema, and nothing else" in requests[0][0].content
    assert requests[1][-1].content.startswith(AGAIN)
    with pytest.raises(AnswerRejected, match="4 answers"):
        await rlm(*["FINAL(1)"] * 9).aask("?", TEXT, returns=NUMBER)


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        ({"type": "string"}, "late May", "late May"),
        ({"enum": ["red", "blue"]}, "red", "red"),
        ({"type": "string"}, '"late May"', "late May"),
        ({"type": ["integer", "null"]}, "null", None),
    ],
)
async def test_a_plain_word_is_a_value_where_the_schema_takes_a_text(schema: Any, reply: str, value: object) -> None:
    asked = rlm(repl(f"FINAL([llm_query_json('a', schema={schema!r})])"), sub=[reply])
    assert (await asked.aask("?", TEXT)).value == [value]


@pytest.mark.parametrize("schema", [{"$ref": "#/none"}, {"$ref": "#"}, {"type": "string", "pattern": "(?=a)"}])
async def test_a_schema_that_nothing_can_fit_is_not_asked_for_again(schema: dict[str, Any]) -> None:
    asked = rlm(repl(f"llm_query_json('x', schema={schema!r})"), "FINAL(ok)", sub=['"a"', '"b"'])
    await asked.aask("?", TEXT)
    assert "ValueError" in said_to(asked.model)
    assert len(asked.sub_model.requests) <= 1  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="returns"):
        await rlm("FINAL(a)").aask("?", TEXT, returns=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "other.json"},
        {"$ref": "https://example.com/answer.json"},
        {"type": "object", "properties": {"a": {"items": {"$ref": "#/$defs/b"}}}, "$defs": {"c": {}}},
    ],
)
async def test_a_reference_out_of_the_schema_is_said_before_anything_is_asked(schema: dict[str, Any]) -> None:
    asked = rlm("FINAL(a)")
    with pytest.raises(ConfigError, match="refers to what is not in it"):
        await asked.aask("?", TEXT, returns=schema)
    assert not asked.model.requests  # type: ignore[attr-defined]


async def test_references_within_a_schema_and_data_that_look_like_one_are_no_mistake() -> None:
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "$ref": {"const": 1}}}},
        "$ref": "#/$defs/node",
        "examples": [{"$ref": "nowhere"}],
    }
    asked = rlm(repl("FINAL({'next': {'next': 5}})"), repl("FINAL({'next': {'next': {}}})"))
    assert (await asked.aask("?", TEXT, returns=tree)).value == {"next": {"next": {}}}


NESTED = "schema = {}\nfor _ in range(150): schema = {'type': 'object', 'properties': {'a': schema}}"
DOUBLED = """schema = {'$ref': '#/d/a40', 'd': {'a0': {}}}
for n in range(40): schema['d'][f'a{n + 1}'] = {'allOf': [{'$ref': f'#/d/a{n}'}, {'$ref': f'#/d/a{n}'}]}"""
HOSTILE_SCHEMAS = {
    NESTED: "nested too deeply",
    DOUBLED: "takes more than 50,000 steps",
    "schema = {'anyOf': [{}] * 100_000}": "more than 2,000 parts",
    "schema = {'$schema': 5}": "is not a text",
    "schema = {'multipleOf': 1e-300}": "a number that cannot be checked",
    "schema = {'uniqueItems': True, 'type': 'integer'}": "",
}


async def test_a_schema_that_would_hold_up_the_host_is_a_value_error_of_the_cell() -> None:
    ask = (
        "try: said.append(str(llm_query_json('q', schema=schema)))\nexcept ValueError as error: said.append(str(error))"
    )
    cells = [repl("said = []"), *(repl(f"{code}\n{ask}") for code in HOSTILE_SCHEMAS), repl("FINAL(said)")]
    sub = ScriptedModel(["1" + "0" * 400] * 20, name="sub")
    answer = await RLM(ScriptedModel(cells), sub_model=sub).aask("q?", "some text")
    assert isinstance(answer.value, list)
    for said, words in zip(answer.value, HOSTILE_SCHEMAS.values(), strict=True):
        assert words in said


async def test_items_are_unique_as_json_has_it() -> None:
    replies = ["[1, 1.0]", "[1, true, [1], [true], {}, []]", '[{"a": [1]}, {"a": [1.0]}]', "[2]"]
    sub = ScriptedModel(replies, name="sub")
    cell = "FINAL([llm_query_json('q', schema={'uniqueItems': True}) for _ in range(2)])"
    answer = await RLM(ScriptedModel([repl(cell)]), sub_model=sub).aask("q?", "some text")
    assert answer.value == [[1, True, [1], [True], {}, []], [2]]
