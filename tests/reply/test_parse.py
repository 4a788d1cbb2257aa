"""A model's reply as a whole: its thought, what is told to the model of a wrong form, and that no text does harm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from parse_cases import Q, cases, variable
from rlmbox.reply.parse import MAX_REPLY_CHARS, MAX_REPLY_LINES, ParsedReply, parse_reply


def test_a_cell_and_an_answer_in_one_reply_are_both_found() -> None:
    reply = parse_reply("Let me count.\n```repl\nn = 3\n```\nFINAL_VAR(n)")
    assert reply == ParsedReply(("n = 3",), variable("n"), (), "Let me count.")


PROBLEMS = {
    "an unclosed fence names its line": ("One\n\n```repl\nx = 1", "block that begins at line 3 is not closed"),
    "an unclosed fence names its end": ("~~~~python\nx = 1\n~~~", "ending with ~~~~ on a line of its own"),
    "an unclosed element names its end": ("<repl>\nx = 1", "ending with </repl> on"),
    "a reply cut after the opening of a block": ("Let me look.\n```repl", "line 2 is not closed"),
    "an unclosed fence in a list": ("- ```repl\n  x = 1\n- two\n", "line 1 is not closed"),
    "an unclosed FINAL": ("FINAL(42", "FINAL( is not closed"),
    "an unclosed string in FINAL": ('FINAL("42', "FINAL( is not closed"),
    "an unclosed SUBMIT": ("SUBMIT([1", "SUBMIT( is not closed"),
    "an unclosed FINAL before a cell": ("FINAL(the answer\n```repl\nprint(1)\n```", "FINAL( is not closed"),
    "an empty FINAL": ("FINAL()", "FINAL() has no answer"),
    "a FINAL with dots": ("FINAL(...)", "FINAL(...) has no answer"),
    "an empty FINAL with a colon": ("FINAL:\n", "FINAL: has no answer"),
    "an empty FINAL_VAR": ("FINAL_VAR()", "FINAL_VAR() has no answer"),
    "a FINAL_VAR of two names": ("FINAL_VAR(x, y)", "one variable or expression"),
    "a FINAL_VAR with a field": ("FINAL_VAR(x=1)", "one variable or expression"),
    "a FINAL_VAR of words with a colon in it": ("FINAL_VAR(a: b)", "one variable or expression"),
    "a FINAL_VAR of words": ("FINAL_VAR: the result", "one variable or expression"),
    "a FINAL_VAR of a keyword": ("FINAL_VAR(class)", "one variable or expression"),
    "a FINAL with words after it": ("FINAL(42) because I say so", "nothing after it on its line"),
}


@pytest.mark.parametrize(("reply", "problem"), cases(PROBLEMS))
def test_a_wrong_form_gets_one_correcting_message_and_no_answer(reply: str, problem: str) -> None:
    found = parse_reply(reply)
    assert found.final is None
    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_a_stray_fence_at_the_end_is_no_problem() -> None:
    assert parse_reply("```repl\nx = 1\n```\nDone.\n```\n").problems == ()


def test_a_mention_beside_code_is_no_problem() -> None:
    assert parse_reply("FINAL(x) comes later.\n```repl\nx = 1\n```").problems == ()


def test_plain_prose_gives_a_thought_and_nothing_else() -> None:
    assert parse_reply("  I think so.\n\nYes. ") == ParsedReply(thought="I think so.\n\nYes.")


@pytest.mark.parametrize("reply", ["", " \n\t\n", "<|im_end|>", "<think>\n\n</think>\n\n"])
def test_an_empty_reply_is_called_empty(reply: str) -> None:
    found = parse_reply(reply)
    assert (found.cells, found.final, found.thought) == ((), None, "")
    assert len(found.problems) == 1
    assert "Your reply was empty, or" in found.problems[0]


def test_the_thought_is_the_prose_around_the_cells() -> None:
    reply = parse_reply("First.\n```repl\na = 1\n```\nSecond,\nthird.\n\n- ```py\n  b = 2\n  ```\n\n```json\n{}\n```\n")
    assert reply.thought == "First.\n\nSecond,\nthird.\n\n```json\n{}\n```"


@pytest.mark.parametrize("code", ["```repl\nfound = re.find", "```py\nprint(1)\n``", "```python\n", "```repl\n```"])
def test_a_block_of_code_that_was_cut_or_is_empty_is_no_prose(code: str) -> None:
    assert parse_reply(f"Let me look.\n{code}").thought == "Let me look."


@pytest.mark.parametrize(
    "reply",
    [
        "```repl\nx = 1\n```\nFINAL(42)\n" + "a" * 5_000_000,
        "FINAL(42)\n" + "a" * MAX_REPLY_CHARS,
        "FINAL(42)\n" + "\n" * MAX_REPLY_LINES,
    ],
    ids=["five_megabytes", "just_over_in_characters", "just_over_in_lines"],
)
def test_a_reply_that_is_too_long_is_refused_as_a_whole(reply: str) -> None:
    found = parse_reply(reply)
    assert (found.cells, found.final) == ((), None)
    assert len(found.problems) == 1
    assert "at most" in found.problems[0]


def test_a_reply_of_the_greatest_length_is_read() -> None:
    tail = "\n```repl\nx = 1\n```"
    assert parse_reply("a" * (MAX_REPLY_CHARS - len(tail)) + tail).cells == ("x = 1",)


HOSTILE = [
    "FINAL(",
    "FINAL(\n",
    'FINAL("""\n',
    "FINAL(a) b)\n",
    "`\nFINAL(x)\n",
    "a <!-- ",
    "[",
    "](",
    "``` ",
    '```\n"""\n',
    "- ```\nfoo\n",
    "<code>\n</code> x\n",
    "> ```\n",
    "a\n        FINAL(\n",
    "- - ",
    "> > ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_repetition_of_marks_is_read_in_good_time(unit: str) -> None:
    assert parse_reply(unit * (60_000 // len(unit))).cells == ()


PIECES = [
    "```", "````", "~~~", "```repl\n", "```python\n", "```text\n", "\n", "\n\n", "    ", "> ", "- ", "1. ", "# ", "**",
    "`", "<!--", "-->", "[", "](", "FINAL(", "FINAL_VAR(", "SUBMIT(", "FINAL:", "FINAL_VAR:", ")", "(", '"', "'", Q,
    "'''", "\\", "x = 1", "print(x)", "f", "words here", "<repl>", "</repl>", "<python>", "</python>", "<code>",
    "</code>", "\r\n", "\r", "\t", "\0", "\ud800", "é", "[1, 2]", "{", "}", "...", ">>> ",
]  # fmt: skip
mixtures = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(max_examples=examples(400))
@given(st.one_of(mixtures, st.text(st.characters(), max_size=300)), st.booleans())
def test_no_text_makes_it_raise(reply: str, strict: bool) -> None:
    found = parse_reply(reply, strict=strict)
    assert all(cell.strip() for cell in found.cells)
    assert all(found.problems)


@given(mixtures)
def test_a_reply_that_is_quoted_as_a_whole_does_nothing(reply: str) -> None:
    lines = reply.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = parse_reply("\n".join(f"> {line}" for line in lines))
    assert (found.cells, found.final, found.draft) == ((), None, None)
    assert all("quoted (>)" in problem for problem in found.problems)


def test_code_in_a_quotation_is_told_to_the_model_unless_other_code_runs() -> None:
    quoted = "> ```python\n> x = 1\n> ```\n"
    assert ["quoted (>)" in problem for problem in parse_reply(quoted).problems] == [True]
    assert parse_reply(quoted + "\n```repl\nx = 2\n```").problems == ()
    assert parse_reply("> a line of the text\n\nYes.").problems == ()
