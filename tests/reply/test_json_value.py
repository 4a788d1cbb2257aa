"""One JSON value is read out of a reply, however a model dressed it up; what could be two things is refused."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse_cases import cases
from rlmbox.reply.json_value import read_json

VALUE = {"a": 1, "b": [1, 2]}

READ = {
    "plain": ('{"a": 1, "b": [1, 2]}', "own", VALUE),
    "comments": ('{"a": 1, // one\n"b": /* two */ [1, 2]}', "own, after JSON5", VALUE),
    "keys without quotes": ("{a: 1, b: [1, 2]}", "own, after JSON5", VALUE),
    "an address is no comment": ('{"a": "http://x.y"}', "own", {"a": "http://x.y"}),
    "escaped, without the quotes around it": ('{\\"a\\": 1, \\"b\\": [1, 2]}', "own", VALUE),
    "JSON in a string of JSON": ('"{\\"a\\": 1, \\"b\\": [1, 2]}"', "own", VALUE),
    "a set among words": ("Of {x: nothing} take [1, 2]", "own", [1, 2]),
    "a scalar": (" 42\n", "own", 42),
    "a text": ('"Paris"', "own", "Paris"),
    "null": ("null", "own", None),
    "CDATA": ('<json><![CDATA[{"a": 1, "b": [1, 2]}]]></json>', "own", VALUE),
    "a fence": ('```json\n{"a": 1, "b": [1, 2]}\n```', "own", VALUE),
    "a fence in words": (
        'Here is the JSON:\n```json\n{"a": 1, "b": [1, 2]}\n```\nHope it helps!',
        "Alcova-AI/adk-anthropic-go PR8; elizaOS/eliza #28539",
        VALUE,
    ),
    "a fence that names nothing": ('```\n{"a": 1, "b": [1, 2]}\n```', "own", VALUE),
    "a fence with a scalar": ("```json\n42\n```", "own", 42),
    "a fence that is closed on the line of the value": ('```json\n{"a": 1, "b": [1, 2]}```', "own", VALUE),
    "a fence that is not closed": ('```json\n{"a": 1, "b": [1, 2]}', "own", VALUE),
    "another fence beside it": ('```bash\nls\n```\n```json\n{"a": 1, "b": [1, 2]}\n```', "own", VALUE),
    "the same value twice": ('{"a": 1}\n\nAgain:\n```json\n{"a": 1}\n```', "own", {"a": 1}),
    "words after it": ('{"a": 1, "b": [1, 2]}\n\nThis object has two keys.', "langgenius/dify #41958", VALUE),
    "words before it": ('Sure! {"a": 1, "b": [1, 2]}', "langgenius/dify #42451", VALUE),
    "words around it on one line": ('The value is {"a": 1, "b": [1, 2]}, as asked.', "own", VALUE),
    "a citation beside it": ('As [1] says:\n{"a": 1, "b": [1, 2]}\nSee also [2, 3].', "own", VALUE),
    "words in brackets beside it": ('[Note] {name} is {"a": 1, "b": [1, 2]} [1 of 3]', "own", VALUE),
    "only an aside": ("The pages are [1, 2].", "own", [1, 2]),
    "an empty list": ("There are none: []", "own", []),
    "a thought before it": ('<think>{"x": 1}</think>\n{"a": 1}', "vllm-project/vllm #17144", {"a": 1}),
    "a thought without its beginning": ('maybe {"x": 1}\n</think>\n\n{"a": 1}', "nbramia/LifeOS PR568", {"a": 1}),
    "channels": (
        '<|channel|>analysis<|message|>{"x": 1}<|end|><|start|>assistant<|channel|>final<|message|>{"a": 1}',
        "scouzi1966/maclocal-api #121",
        {"a": 1},
    ),
    "a stop token": ('{"a": 1}<|im_end|>', "ollama/ollama #2673", {"a": 1}),
    "an element": ('<answer>\n{"a": 1}\n</answer>', "own", {"a": 1}),
    "a comma too many": ('{"a": 1, "b": [1, 2,],}', "own", VALUE),
    "a comma too many in words": ('Here: {"a": 1,} ok', "own", {"a": 1}),
    "a comma in a string": ('{"a": "1,]", }', "own", {"a": "1,]"}),
    "a Python literal": ("{'a': True, 'b': None, 'c': 'it''s'}", "own", {"a": True, "b": None, "c": "its"}),
    "a Python literal in words": ("I'd say {'a': 'b'} here", "own", {"a": "b"}),
    "curly quotes": ("{“a”: “x”, “b”: null}", "own", {"a": "x", "b": None}),
    "line ends in a string": ('{"a": "x\ny"}', "own", {"a": "x\ny"}),
    "a string that speaks of tokens": (
        '{"a": "</think> ends <|im_end|> it", "b": "```json\\n{}\\n```"}',
        "own",
        {"a": "</think> ends <|im_end|> it", "b": "```json\n{}\n```"},
    ),
    "brackets in a string": ('So: {"a": "} ] { ["} there', "own", {"a": "} ] { ["}),
    "a byte order mark": ('\ufeff{"a": 1}', "own", {"a": 1}),
}


@pytest.mark.parametrize(("reply", "source", "value"), cases(READ))
def test_the_value_is_read(reply: str, source: str, value: object) -> None:
    found = read_json(reply)
    assert found == value
    assert type(found) is type(value)


REFUSED = {
    "nothing": ("", "empty"),
    "only a thought": ("<think>\n{}", "not only reasoning"),
    "only words": ("The answer is 42.", "holds none: 'The answer is 42.'"),
    "two values": ('{"a": 1} or {"a": 2}', "2 JSON values"),
    "lines of JSON": ('{"a": 1}\n{"a": 2}', "2 JSON values"),
    "two fences": ("```json\n[1]\n```\n```json\n[2]\n```", "2 JSON values"),
    "one and true": ('{"a": 1} or {"a": true}', "2 JSON values"),
    "a value that is cut off": ('{"a": [1, 2], "b":', "cut off"),
    "a value that is cut off in a string": ('{"a": "x, [1, 2]', "cut off"),
    "a value that is cut off in a fence": ('```json\n{"a": [1, 2],\n```', "cut off"),
    "a wrong value": ('{"a": 1 "b": 2}', "not valid"),
    "NaN": ('{"a": NaN}', "NaN is not JSON"),
    "infinity": ("Here: [Infinity]", "Infinity is not JSON"),
    "minus infinity in a fence": ("```json\n-Infinity\n```", "-Infinity is not JSON"),
    "a number beyond a float": ("[1e999]", "1e999 is too large"),
    "a Python set": ("{1, 2}", "holds none"),
    "keys that are not text": ("{1: 2}", "holds none"),
    "a Python tuple": ("{'a': (1, 2)}", "not valid"),
    "Python and JSON mixed": ("{'a': true}", "not valid"),
    "nesting without end": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("reply", "problem"), cases(REFUSED))
def test_what_is_not_one_value_is_refused_in_a_line(reply: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as raised:
        read_json(reply)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
containers = st.lists(values, min_size=1, max_size=4) | st.dictionaries(
    st.text("abc", min_size=1, max_size=3), values, min_size=1, max_size=4
)


@given(values, st.sampled_from([None, 2]), st.booleans())
def test_any_value_comes_back_as_it_was_written(value: object, indent: int | None, ascii_only: bool) -> None:
    assert read_json(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(containers)
def test_any_value_comes_back_from_within_words_and_fences(value: object) -> None:
    written = json.dumps(value)
    assert read_json(f"Here it is:\n\n```json\n{written}\n```\nDone.") == value
    assert read_json(f"<think>hm</think>\nHere it is:\n{written}\nDone.") == value


PIECES = [
    "{", "}", "[", "]", '"', "'", ",", ":", "a", "1", " ", "\n", "```json\n", "```\n", "<think>", "</think>", "NaN",
    "True", "\\", "\ud800", "1e999", "“", "”",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_mixture_raises_anything_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        json.dumps(read_json(text), allow_nan=False)
