"""A reply as it was read is the same again from the form that a record keeps of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.reply.parse import parse_reply
from rlmbox.reply.reading_form import form_of, reply_of

PIECES = [
    "```repl\n", "```\n", "\n", "x = 1", "print(x)\n", "words here", "<think>", "</think>", "FINAL(", "FINAL_VAR(", ")",
    "SUBMIT(", "total=3, name='x'", "[1, 2]", "(1, 2)", "'a', sources=[(0, 5)]", "len(hits)", "{1: 2}", "é", "\0",
]  # fmt: skip
WHOLE = [
    "FINAL([1, [2, 3]])", 'FINAL("a", sources=[(0, 5), [6, 9]])', "SUBMIT(total=3, name='x')", "FINAL(f'{n} of them')",
    "FINAL(result)", "FINAL_VAR(n)", "<think>so</think>\n```repl\nx = 1\n```\nFINAL(42)", "```repl\nx = 1", "print(1)",
]  # fmt: skip


def assert_same(text: str) -> None:
    for strict in (False, True):
        read = parse_reply(text, strict=strict)
        form = form_of(read)
        assert form == json.loads(json.dumps(form))
        assert reply_of(json.loads(json.dumps(form))) == read


@pytest.mark.parametrize("text", WHOLE)
def test_a_reply_is_the_same_after_json(text: str) -> None:
    assert_same(text)


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
def test_any_reply_is_the_same_after_json(text: str) -> None:
    assert_same(text)


def test_the_form_has_what_there_is_and_no_more() -> None:
    form = form_of(parse_reply("I count.\n```repl\nn = 3\n```\nFINAL_VAR(n)"))
    assert form == {"cells": ["n = 3"], "final": {"kind": "variable", "name": "n"}, "thought": "I count."}
