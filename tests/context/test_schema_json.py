"""The schema of JSON and of JSON lines, broken and hostile JSON too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.schemas import schema
from rlmbox.context.schema import json_shape as schema_json
from rlmbox.context.schema.json_shape import JsonShape, NotJson


def test_json_has_its_keys_and_types():
    value = {
        "users": [{"id": 1, "tags": ["secret"], "profile": {"age": 3}}, {"id": 2, "mail": None}],
        "n": 1.5,
        "ok": True,
    }
    found = schema(json.dumps(value))
    assert found["kind"] == "json"
    keys = found["value"]["keys"]
    assert (keys["n"], keys["ok"]) == ("number", "boolean")
    assert keys["users"]["length"] == 2
    assert keys["users"]["items"] == {
        "type": "object",
        "keys": {
            "id": "number",
            "tags": {"type": "array", "length": 1, "items": "string"},
            "profile": {"type": "object", "keys": {"age": "number"}},
            "mail": "null",
        },
    }
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", {"type": "array", "length": 0, "items": "nothing"}),
        ("[1, null]", {"type": "array", "length": 2, "items": "null or number"}),
        ("{}", {"type": "object", "keys": {}}),
        ("[[1], [2, 3]]", {"type": "array", "length": 2, "items": {"type": "array", "longest": 2, "items": "number"}}),
        (
            '[{"a": 1}, "x"]',
            {"type": "array", "length": 2, "items": {"type": "object or string", "keys": {"a": "number"}}},
        ),
        ('{"a": ' + "9" * 10_000 + "}", {"type": "object", "keys": {"a": "number"}}),
        ('{"q\\"\\u00e9": 1}', {"type": "object", "keys": {'q"é': "number"}}),
    ],
)
def test_small_json_is_json(text: str, value: object):
    assert schema(text, "x.json")["value"] == value


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": ' * 50_000, "it is nested too deeply"),
        ('{"a": 1', "it ends too early"),
        ('{"a" 1}', "a value where : belongs"),
        ("[1 2]", "a value where , or end belongs"),
        ("[1,]", "] where value belongs"),
        ("[tru]", "a word that is no value"),
        ('["a', "something that is no JSON"),
        ('["' + "x" * 2_000_000, "a string does not end"),
        ("[" + "1" * 2_000_000, "a word that is too long"),
        ("[\\]", "something that is no JSON"),
    ],
)
def test_broken_or_hostile_json_says_what_is_wrong(text: str, note: str):
    found = schema(text, "x.json")
    assert found["kind"] == "json"
    assert found["note"].startswith("it does not parse as JSON: ")
    assert note in found["note"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.booleans(),
    st.integers(1, 9),
)
def test_json_has_the_same_shape_however_it_is_read(value: object, ascii_only: bool, size: int):
    text = json.dumps(value, ensure_ascii=ascii_only)
    whole, piecewise = JsonShape(timeout_s=60), JsonShape(timeout_s=60)
    whole.read([text])
    piecewise.read(text[at : at + size] for at in range(0, len(text), size))
    assert whole.complete
    assert whole.values == piecewise.values == 1
    assert whole.shape.described() == piecewise.shape.described() == _shape(value)


def _shape(value: object) -> object:
    shape = JsonShape(timeout_s=60)
    shape.read([json.dumps(value, indent=3)])
    return shape.shape.described()


@given(st.text('{}[]:,"\\x1 -e.tn', max_size=12), st.integers(1, 3))
def test_what_is_json_is_what_json_says(text: str, size: int):
    try:
        json.loads(text, parse_constant=_refuse)
        valid = True
    except ValueError:
        valid = False
    shape = JsonShape(timeout_s=60)
    try:
        shape.read(text[at : at + size] for at in range(0, len(text), size))
        ours = shape.complete and shape.values == 1
    except NotJson:
        ours = False
    # Strings are taken as they are: an unknown escape in one is let pass.
    assert ours == valid or (ours and "\\" in text)


def _refuse(word: str) -> object:
    raise ValueError(word)


def test_long_json_is_read_for_some_time_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema.schema._TIMEOUT_S", 0)
    found = schema(json.dumps([{"id": i} for i in range(20_000)]))
    assert found["value"]["items"] == {"type": "object", "keys": {"id": "number"}}
    assert "only the beginning was read" in found["note"]


def test_a_string_of_megabytes_is_passed_over():
    text = json.dumps({"before": 1, "long": 'x\\"' * 1_000_000, "after": True})
    assert schema(text)["value"]["keys"] == {"before": "number", "long": "string", "after": "boolean"}


def test_keys_that_are_data_are_cut_and_it_says_so():
    found = schema(json.dumps({f"user {i}": {"n": i} for i in range(5_000)}))
    assert found["value"]["more_keys"] is True
    assert len(found["value"]["keys"]) <= schema_json.MAX_SHAPES
    assert len(json.dumps(found)) < 20_000


def test_several_values_in_a_json_file_are_counted():
    found = schema('{"a": 1} {"b": 2}', "x.json")
    assert (found["values"], set(found["value"]["keys"])) == (2, {"a", "b"})


def test_json_lines_have_the_keys_of_all_their_rows():
    found = schema('{"a": 1}\n{"b": "x", "a": null}\n{"c": []}\n')
    assert (found["kind"], found["rows"], found["sampled_rows"]) == ("jsonl", 3, 3)
    assert found["row"]["keys"] == {
        "a": "null or number",
        "b": "string",
        "c": {"type": "array", "length": 0, "items": "nothing"},
    }


def test_a_broken_row_of_json_lines_is_named():
    found = schema('{"a": 1}\n{"a": 2}\n{"a": }\n', "x.jsonl")
    assert found["note"].startswith("row 3 does not parse as JSON")
    assert found["row"]["keys"] == {"a": "number"}


def test_many_rows_are_sampled():
    found = schema('{"a": 1}\n' * 20_000, "x.jsonl")
    assert (found["rows"], found["sampled_rows"]) == (20_000, 5_000)
