"""What the subset accepts does what CPython does, character for character."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.sandboxes.subset.grammar import GrammarRow
from subset.cpython import cells, in_cpython, in_subset, run
from subset.programs import CALLED, CONSTRUCTS, START, blocks, calls, expressions

CELLS = cells()


def test_there_are_three_hundred_cells() -> None:
    assert len(CELLS) >= 300


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_prints_what_cpython_prints_and_fails_as_it_fails(name: str) -> None:
    expected = in_cpython(CELLS[name])
    assert in_subset(CELLS[name]) == expected
    assert expected.output or expected.error or expected.value or name == "conditional import"


# ---- programs from the grammar -----------------------------------------------------------------------------------


@given(blocks())
@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_program_from_the_grammar_does_what_cpython_does(code: str) -> None:
    found = in_subset(START + code)
    if found.error in ("ResourceLimitExceeded", "ForbiddenSyntax", "ForbiddenName"):
        return  # CPython might take for ever
    assert found == in_cpython(START + code)


@given(expressions)
@settings(max_examples=examples(600), deadline=None, suppress_health_check=list(HealthCheck))
def test_an_expression_from_the_grammar_has_cpythons_value(code: str) -> None:
    found = in_subset(START + code)
    if found.error not in ("ResourceLimitExceeded", "ForbiddenSyntax", "ForbiddenName"):
        assert found == in_cpython(START + code)


@pytest.mark.parametrize("row", CONSTRUCTS, ids=lambda row: row.name)
def test_a_construct_of_the_table_does_what_it_does_in_cpython(row: GrammarRow) -> None:
    assert in_subset(f"x = 1\n{row.example}") == in_cpython(f"x = 1\n{row.example}")


@given(st.data())
@settings(max_examples=examples(1_500), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_call_of_anything_in_the_table_does_what_it_does_in_cpython(data: st.DataObject) -> None:
    code = data.draw(calls(data.draw(st.sampled_from(CALLED))))
    found = in_subset(code)
    if found.error not in ("ResourceLimitExceeded", "ForbiddenSyntax", "ForbiddenName"):
        python = in_cpython(code)
        assert found == replace(python, output=re.sub(" at 0x[0-9a-f]+", "", python.output)), code


def test_sets_go_through_their_items_in_the_order_they_were_put_in() -> None:
    code = (
        "s = {'c', 'a', 'b'}\ns.add('0')\ns.discard('a')\nprint(s, list(s), s | {'z', 'a'}, frozenset('xyx'))\ns.pop()"
    )
    found = in_subset(code)
    assert found.output == "{'c', 'b', '0'} ['c', 'b', '0'] {'c', 'b', '0', 'z', 'a'} frozenset({'x', 'y'})\n"
    assert found.value == "'c'"


def test_a_set_is_asked_for_nothing_that_cannot_be_hashed_not_even_an_empty_one() -> None:
    for call in ("discard", "remove", "add", "__contains__", "isdisjoint", "difference", "union"):
        for kept in ("set()", "{1}"):
            for item in ("[]", "{}", "[[]]", "({},)", "{1: []}"):
                code = f"s = {kept}\nprint(s.{call}({item}))\nprint(s)"
                found = in_subset(code)
                assert found.error == "ForbiddenName" or found == in_cpython(code), code


def test_no_address_is_shown() -> None:
    code = "print(print, len, (lambda: 1), [].append, str.lower, (x for x in []), map(str, []), re, iter([]))"
    assert "0x" not in in_subset(code).output


def test_texts_and_numbers_that_are_equal_are_the_same() -> None:
    code = "a, b = 'ab', 'a' + 'b'\n[a is b, 1000 + 1 is 1001, 1 is 1.0, True is 1, [] is [], None is None]"
    assert in_subset(code).value == "[True, True, False, False, False, True]"


def test_steps_are_one_for_each_node_and_each_thousand_characters() -> None:
    assert run("1 + 2")[1] == 3
    assert run("x = 'a'\nx.upper()")[1] - run("x = 'a'")[1] == 3
    assert run("context.count('q')", "x" * 1_000_000)[1] == 1_000 + 4
