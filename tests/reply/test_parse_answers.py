"""Code is never an answer, and an answer that was written before its own code ran does not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse_cases import Q, cases, text, variable
from rlmbox.reply.parse import Final, ParsedReply, parse_reply

CALLS = {
    "FINAL with sources": ('FINAL("alpha", sources=[(0, 5)])', Final("text", "alpha", "alpha", sources=([0, 5],))),
    "FINAL with them by position": ('FINAL("alpha", [(0, 5)])', Final("text", "alpha", "alpha", sources=([0, 5],))),
    "FINAL with a value and sources": ("FINAL(42, sources=[[0, 5]])", Final("text", 42, "42", sources=([0, 5],))),
    "FINAL over lines": ('FINAL(\n"alpha",\nsources=[(0, 5)],\n)', Final("text", "alpha", "alpha", sources=([0, 5],))),
    "FINAL by keyword": ('FINAL(answer="alpha")', text("alpha")),
    "FINAL_VAR with sources": ("FINAL_VAR(x, sources=[(0, 5)])", Final("variable", name="x", sources=([0, 5],))),
    "SUBMIT by keyword": ("SUBMIT(answer='ok')", text("ok")),
    "SUBMIT with fields": (
        'SUBMIT(total=3, name="x")',
        text('{"total": 3, "name": "x"}', {"total": 3, "name": "x"}),
    ),
    "SUBMIT with one field": ("SUBMIT(total=3)", text('{"total": 3}', {"total": 3})),
    "SUBMIT with fields and sources": (
        "SUBMIT(total=3, n=1, sources=[(0, 5)])",
        Final("text", {"total": 3, "n": 1}, '{"total": 3, "n": 1}', sources=([0, 5],)),
    ),
    "SUBMIT with an answer and a field": (
        'SUBMIT("ok", confidence=0.9)',
        text('{"answer": "ok", "confidence": 0.9}', {"answer": "ok", "confidence": 0.9}),
    ),
    "quotes around several lines": ('FINAL("It\'s one,\ntwo")', text("It's one,\ntwo")),
    "quotes around several lines and sources": (
        "FINAL('one,\ntwo', sources=[(0, 5)])",
        Final("text", "one,\ntwo", "one,\ntwo", sources=([0, 5],)),
    ),
    "several lines by keyword": ('FINAL(answer="one,\ntwo")', text("one,\ntwo")),
    "a text in two parts": ('FINAL("one, "\n      "two")', text("one, two")),
    "a word before it that Python takes for a name": ('Answer: FINAL("Paris")', text("Paris")),
    "curly quotes": ("FINAL(“Paris”)", text("Paris")),
    "words beside a name and a number": ("FINAL(Paris, km = 5)", text("Paris, km = 5")),
    "words in quotes among words": ('FINAL(He said "yes,\nno" twice)', text('He said "yes,\nno" twice')),
    "words with a comma": ("FINAL(Paris, France)", text("Paris, France")),
    "a solution": ("FINAL(x = 5)", text("x = 5")),
    "a solution in two unknowns": ("FINAL(x = 5, y = 6)", text("x = 5, y = 6")),
    "a sum": ("FINAL(10-5)", text("10-5")),
    "words with a call in them": ("FINAL(It calls main() twice)", text("It calls main() twice")),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "final"), cases(CALLS))
def test_a_tag_with_arguments_is_read_as_a_call(reply: str, final: Final) -> None:
    found = parse_reply(reply)
    assert (found.final, found.problems) == (final, ())


# name: (the reply, the source of the expression, the names it takes from the REPL)
EXPRESSIONS = {
    "a call of a builtin": ("FINAL(len(hits))", "len(hits)", ("hits",)),
    "a key": ("FINAL(d['answer'])", "d['answer']", ("d",)),
    "a slice": ("FINAL(context[:10])", "context[:10]", ("context",)),
    "an f-string": ('FINAL(f"There are {n} of {len(all_of)}")', 'f"There are {n} of {len(all_of)}"', ("n", "all_of")),
    "strings put together": ("FINAL('There are ' + str(n))", "'There are ' + str(n)", ("n",)),
    "a format": ("FINAL('%d of %d' % (a, b))", "'%d of %d' % (a, b)", ("a", "b")),
    "a method": ("FINAL(', '.join(names))", "', '.join(names)", ("names",)),
    "a comprehension": ("FINAL([h['a'] for h in hits])", "[h['a'] for h in hits]", ("hits",)),
    "a comprehension over an attribute": ("FINAL(max(x.y for x in r.z))", "max(x.y for x in r.z)", ("r",)),
    "curly quotes": ("FINAL(“There are ” + str(n))", '"There are " + str(n)', ("n",)),
    "texts put together over lines": (
        "FINAL('There are '\n + str(n))",
        "('There are '\n + str(n)\n)",
        ("n",),
    ),
    "a set": ("FINAL({2, 1})", "{2, 1}", ()),
    "bytes": ("FINAL(b'abc')", "b'abc'", ()),
    "keys that are pairs": ("FINAL({(1, 2): 3})", "{(1, 2): 3}", ()),
    "fields": ("SUBMIT(total=len(x), name=n)", "{'total': len(x), 'name': n}", ("x", "n")),
    "an answer by keyword": ("FINAL(answer=result)", "result", ("result",)),
    "fields from a dictionary": ("SUBMIT(**found)", "dict(**found)", ("found",)),
    "with a colon": ("FINAL: len(hits)", "len(hits)", ("hits",)),
    "in bold": ("**FINAL(len(hits))**", "len(hits)", ("hits",)),
    "alone in a text fence": ("```text\nFINAL(len(hits))\n```", "len(hits)", ("hits",)),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "source", "names"), cases(EXPRESSIONS))
def test_an_expression_is_told_from_words(reply: str, source: str, names: tuple[str, ...]) -> None:
    final = parse_reply(reply).final
    assert final is not None
    assert (final.kind, final.text, final.value, sorted(final.names)) == ("expression", source, None, sorted(names))


# name: (the reply, the answer if they are words, the names that would make it an expression)
AMBIGUOUS = {
    "a name": ("FINAL(result)", "result", ("result",)),
    "a name with a colon": ("FINAL: result", "result", ("result",)),
    "a difference": ("FINAL(total - spent)", "total - spent", ("total", "spent")),
    "a call of something": ("FINAL(O(n))", "O(n)", ("O", "n")),
    "a name with a symbol": ("FINAL(Apple (AAPL))", "Apple (AAPL)", ("Apple", "AAPL")),
    "a site": ("FINAL(example.com)", "example.com", ("example",)),
    "a citation": ("FINAL(Paris[1])", "Paris[1]", ("Paris",)),
    "alternatives": ("FINAL(yes or no)", "yes or no", ("yes", "no")),
    "a builtin as a word": ("FINAL(max)", "max", ()),
    "words": ("FINAL(There are 3)", "There are 3", ()),
}


@pytest.mark.parametrize(("reply", "words", "names"), cases(AMBIGUOUS))
def test_what_may_be_words_or_names_says_which_names(reply: str, words: str, names: tuple[str, ...]) -> None:
    assert parse_reply(reply).final == Final("text", words, words, names=names)


CODE = {
    "left open": "FINAL(len(hits)",
    "left open in a string": 'FINAL("There are " + str(n',
    "with words after it": "FINAL_VAR(x) and more",
    "words in FINAL_VAR": "FINAL_VAR(the longest)",
    "a broken index in FINAL_VAR": "FINAL_VAR(hits[0)",
    "two names in FINAL_VAR": "FINAL_VAR(a, b)",
    "empty": "FINAL()",
    "blank": "FINAL(  )",
    "only sources": "FINAL(sources=[(0, 5)])",
    "empty SUBMIT": "SUBMIT()",
}


@pytest.mark.parametrize("reply", CODE.values(), ids=CODE)
def test_a_tag_that_is_not_well_formed_is_a_problem_and_no_answer(reply: str) -> None:
    found = parse_reply(reply)
    assert (found.final, found.draft) == (None, None)
    assert len(found.problems) == 1


BROKEN = ["FINAL(len(hits) hits)", "FINAL(“a” + str(n) +)", "FINAL(f'{x' )", "FINAL(d['a'] d['b'])", "FINAL(x == y z)"]


@pytest.mark.parametrize("code", BROKEN)
def test_broken_code_in_a_block_is_run_into_its_error_and_is_no_answer(code: str) -> None:
    found = parse_reply(f"```repl\n{code}\n```")
    assert (found.cells, found.final) == ((code,), None)


def test_bare_code_that_ends_with_a_tag_is_code() -> None:
    found = parse_reply("n = context.count('needle')\nFINAL(n)")
    assert (found.cells, found.final) == (("n = context.count('needle')\nFINAL(n)",), None)


CELL = "```repl\nn = context.count('needle')\nprint(n)\n```"

# name: (the reply, where that was reported)
EARLY = {
    "output made up as the REPL writes it": (f"{CELL}\nREPL output:\n7\n\nFINAL(7)", "SWE-agent/mini-swe-agent #581"),
    "output made up without a word": (f"{CELL}\n\n7\n\nFINAL(7)", "alexzhang13/rlm PR127"),
    "a claim": (f"{CELL}\nThere are 7.\nFINAL(There are 7)", "alexzhang13/rlm PR127"),
    "an observation": (f"Action:\n{CELL}\nObservation: 7\n\nFINAL: 7", "huggingface/agents-course #576"),
    "a fence of output": (f"{CELL}\n```output\n7\n```\nFINAL(7)", "own"),
    "a tag before the code": (f"FINAL(7)\n{CELL}", "own"),
    "a literal": (f"{CELL}\nFINAL([7, 8])", "own"),
    "SUBMIT": (f"{CELL}\nSUBMIT(answer='7')", "own"),
    "a word that the code does not set": (f"{CELL}\nFINAL(seven)", "own"),
    "a word that is only in a string of the code": (f"{CELL}\nFINAL(needle)", "own"),
    "a cell that only answers": (f"{CELL}\nREPL output:\n7\n```repl\nFINAL(7)\n```", "own"),
    "a cell that only answers, without a word": (f"{CELL}\n```repl\nFINAL('There are 7')\n```", "own"),
    "a turn made up": (f"{CELL}<|im_end|>\n<|im_start|>user\n7<|im_end|>\n<|im_start|>assistant\nFINAL(7)", "own"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "source"), cases(EARLY))
def test_an_answer_in_words_beside_code_does_not_count(reply: str, source: str) -> None:
    found = parse_reply(reply)
    assert found.cells == ("n = context.count('needle')\nprint(n)",)
    assert found.final is None
    assert found.problems or "<|im_start|>" in reply


def test_an_answer_that_does_not_count_is_kept_as_a_draft_and_told() -> None:
    found = parse_reply(f"{CELL}\nFINAL(7)")
    assert found.draft == text("7", 7)
    assert len(found.problems) == 1
    assert "before that code had run" in found.problems[0]


READ_AFTERWARDS = {
    "a variable": ("FINAL_VAR(n)", variable("n")),
    "a name that the code sets": ("FINAL(n)", Final("text", "n", "n", names=("n",))),
    "an expression": ("FINAL(str(n))", Final("expression", text="str(n)", names=("n",))),
    "an f-string": ('FINAL(f"{n}")', Final("expression", text='f"{n}"', names=("n",))),
}


@pytest.mark.parametrize(("tag", "final"), cases(READ_AFTERWARDS))
def test_an_answer_that_is_read_after_the_code_ran_counts(tag: str, final: Final) -> None:
    for reply in (f"{CELL}\n{tag}", f"{CELL}\nREPL output:\n7\n\n{tag}", f"{tag}\n{CELL}"):
        assert parse_reply(reply).final == final


INVENTED = [
    "REPL output:",
    "**Output:**",
    "Output:\n```\n7\n```",
    "### Observation:",
    "REPL output of cell 1 of 2:",
    "Execution logs:",
    "Code output: 7",
    "[SYSTEM EXECUTION ERROR]",
    "Out[1]: 7",
    "<tool_response>\n7\n</tool_response>",
    "<observation>7</observation>",
    "<execution_result>\n7\n</execution_result>",
    "```output\n7\n```",
    "```tool_outputs\n7\n```",
]


@pytest.mark.parametrize("made_up", INVENTED)
def test_code_after_output_that_was_made_up_does_not_run(made_up: str) -> None:
    found = parse_reply(f"{CELL}\n{made_up}\n\nThere are 7, so:\n```repl\nprint(n * 2)\n```")
    assert found.cells == ("n = context.count('needle')\nprint(n)",)
    assert len(found.problems) == 1
    assert "output that no code had printed" in found.problems[0]


ORDINARY = [
    "The output of this tells how to go on. Then:",
    "Next, I look at the results: each one.",
    "I expect output: a number.",
    "```json\n{}\n```",
]


@pytest.mark.parametrize("words", ORDINARY)
def test_code_after_ordinary_words_runs(words: str) -> None:
    found = parse_reply(f"{CELL}\n{words}\n```repl\nprint(n * 2)\n```")
    assert len(found.cells) == 2
    assert found.problems == ()


def test_output_before_any_code_is_no_matter() -> None:
    assert parse_reply("Output:\n7\n\nFINAL(7)").final == text("7", 7)
    assert len(parse_reply(f"The REPL output:\n7\n\nSo:\n{CELL}").cells) == 1


def test_an_answer_without_code_counts() -> None:
    assert parse_reply("```json\n{}\n```\nFINAL(7)") == ParsedReply(final=text("7", 7), thought="```json\n{}\n```")


STRICT = [
    'FINAL("alpha", sources=[(0, 5)])', "FINAL(len(hits))", 'FINAL(f"{x}")', "FINAL(result)", "SUBMIT(answer='ok')",
    'FINAL(answer="alpha")', "FINAL(“Paris”)", "FINAL_VAR(x, sources=[(0, 5)])", f"FINAL_VAR({Q}x{Q})",
]  # fmt: skip


@pytest.mark.parametrize("reply", STRICT)
def test_strict_mode_takes_none_of_these(reply: str) -> None:
    found = parse_reply(reply, strict=True)
    assert (found.cells, found.final) == ((), None)
    assert len(found.problems) == 1
    assert 'FINAL("your answer")' in found.problems[0]


def test_strict_mode_defers_an_answer_beside_code_too() -> None:
    found = parse_reply(f'{CELL}\nFINAL("7")', strict=True)
    assert (found.final, found.draft) == (None, text("7"))


names = st.from_regex(r"[a-z]{3,8}", fullmatch=True)


@given(names, names, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_no_f_string_and_no_call_of_a_builtin_is_ever_words(one: str, other: str, words: str) -> None:
    quoted = repr(words.replace("{", "").replace("}", ""))
    for source in (f"len({one})", f"f{quoted} + str({other})", f"{one}[{quoted}]", f"{quoted} + {one}.{other}()"):
        final = parse_reply(f"FINAL({source})").final
        assert final is None or final.kind == "expression"
