"""The schema of JSON and of JSON lines, broken and hostile JSON too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.schemas import schema
from rlmbox.context.schema import json_shape as schema_json
from rlmbox.context.schema.json_shape import JsonShape, NotJson, parsed


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
        ('{"a": 1', "EOF while parsing an object at line 1"),
        ('{"a" 1}', "expected `:` at line 1 column 6"),
        ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ("[1,]", "trailing comma at line 1 column 4"),
        ("[tru]", "expected ident at line 1 column 5"),
        ('["a', "EOF while parsing a string"),
        ('["' + "x" * 2_000_000, "EOF while parsing a string"),
        ("[\\]", "expected value at line 1 column 2"),
    ],
)
def test_broken_or_hostile_json_says_what_is_wrong(text: str, note: str):
    found = schema(text, "x.json")
    assert found["kind"] == "json"
    assert found["note"].startswith("it does not parse as JSON: ")
    assert note in found["note"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 3]))
def test_json_has_the_same_shape_however_it_is_written(value: object, ascii_only: bool, indent: int | None):
    written, given_as_it_is = JsonShape(timeout_s=60), JsonShape(timeout_s=60)
    written.add(parsed(json.dumps(value, ensure_ascii=ascii_only, indent=indent)))
    given_as_it_is.add(value)
    assert written.complete
    assert written.shape.described() == given_as_it_is.shape.described()


@given(VALUES.map(lambda value: [value]), st.integers(1, 200))
def test_the_beginning_of_json_has_nothing_that_the_whole_has_not(value: object, size: int):
    text = json.dumps(value)
    whole, beginning = JsonShape(timeout_s=60), JsonShape(timeout_s=60)
    whole.add(value)
    beginning.add(parsed(text[:size], is_cut=True))
    assert _paths(beginning.shape.described()) <= _paths(whole.shape.described())


def _paths(described: object, path: str = "") -> set[str]:
    if not isinstance(described, dict):
        return {path}
    inner = {**described.get("keys", {}), "[]": described.get("items")}
    return {path}.union(*(_paths(value, f"{path}/{key}") for key, value in inner.items()))


@given(st.text('{}[]:,"\\x1 -e.tn', max_size=12))
def test_what_is_json_is_what_json_says(text: str):
    try:
        json.loads(text, parse_constant=_refuse)
        valid = True
    except ValueError:
        valid = False
    try:
        parsed(text)
        ours = True
    except NotJson:
        ours = False
    assert ours == valid


def _refuse(word: str) -> object:
    raise ValueError(word)


def test_long_json_is_read_for_some_time_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema.schema._TIMEOUT_S", 0)
    found = schema(json.dumps([{"id": i} for i in range(20_000)]))
    assert (found["value"]["type"], found["value"]["items"]["type"]) == ("array", "object")
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
    assert found["note"].startswith("line 3 does not parse as JSON")
    assert found["row"]["keys"] == {"a": "number"}
    assert (found["rows"], found["broken_rows"], found["sampled_rows"]) == (3, 1, 2)


def test_the_rows_after_a_broken_one_are_read():
    found = schema('{"a": 1}\n{"a": \n\n{"a": 2}\n{"late": true}\n[1\n', "x.jsonl")
    assert set(found["row"]["keys"]) == {"a", "late"}
    assert (found["rows"], found["broken_rows"], found["sampled_rows"]) == (5, 2, 3)
    assert "and 1 more lines do not" in found["note"]


def test_blank_lines_are_no_rows():
    found = schema('{"a": 1}\n\n' * 5, "x.jsonl")
    assert (found["rows"], found["rows_exact"]) == (5, True)


def test_the_beginning_of_long_json_is_told_as_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema.schema._JSON_CHARS", 1_000)
    found = schema(json.dumps({"rows": [{"id": i, "name": "x"} for i in range(1_000)], "last": 1}))
    assert found["value"]["keys"]["rows"]["items"]["keys"] == {"id": "number", "name": "string"}
    assert "only the beginning was read" in found["note"]


def test_many_rows_are_sampled():
    found = schema('{"a": 1}\n' * 20_000, "x.jsonl")
    assert (found["rows"], found["rows_exact"], found["sampled_rows"]) == (20_000, True, 5_000)
