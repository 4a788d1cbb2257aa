"""What of a model's reply counts as its answer, for each way a model gives it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse_cases import Q, cases, code, text, variable
from rlmbox.reply.parse import Final, ParsedReply, mentions_answer_dict, parse_reply

FINALS = {
    "FINAL takes words": ("FINAL(The answer is 42)", text("The answer is 42")),
    "FINAL takes words with parentheses": (
        "FINAL(The answer is (roughly (more or less)) 42)",
        text("The answer is (roughly (more or less)) 42"),
    ),
    "an apostrophe is not a string": ("FINAL(It's Bob's (or Al's) car)", text("It's Bob's (or Al's) car")),
    "one apostrophe does no harm": ("FINAL(It's (roughly) 42)", text("It's (roughly) 42")),
    "an enumeration closes at the end of the line": ("FINAL(a) one b) two c) three)", text("a) one b) two c) three")),
    "a string is read without quotes": ('FINAL("Paris")', text("Paris")),
    "a string may hold parentheses": ('FINAL("a) b (c")', text("a) b (c")),
    "a string may hold escapes": (r'FINAL("a\n\"b\")")', text('a\n"b")')),
    "a single-quoted string is read": ("FINAL('Paris')", text("Paris")),
    "an empty string is an answer": ('FINAL("")', Final("text", "", "")),
    "a string with an unknown escape gives no warning": (r"FINAL('\d')", text(r"\d")),
    "a number is a value": ("FINAL(42)", text("42", 42)),
    "a negative number is a value": ("FINAL(-1.5)", text("-1.5", -1.5)),
    "a list is a value": ("FINAL([1, 2])", text("[1, 2]", [1, 2])),
    "a dictionary is a value": ('FINAL({"a": 1})', text('{"a": 1}', {"a": 1})),
    "a tuple becomes a list": ("FINAL((1, 2))", text("(1, 2)", [1, 2])),
    "JSON is a value": ('FINAL({"a": true, "b": null})', text('{"a": true, "b": null}', {"a": True, "b": None})),
    "True is a value": ("FINAL(True)", text("True", True)),
    "a value may span lines": ('FINAL({\n  "a": [\n    1\n  ]\n})', text('{\n  "a": [\n    1\n  ]\n}', {"a": [1]})),
    "a number with a thousands comma is text": ("FINAL(1,234)", text("1,234")),
    "a date is text": ("FINAL(2024-01-02)", text("2024-01-02")),
    "a sum is text": ("FINAL(10-5)", text("10-5")),
    "infinity is text": ("FINAL(1e999)", text("1e999")),
    "a list with NaN is text": ("FINAL([NaN])", text("[NaN]")),
    "a name in FINAL is text": ("FINAL(result)", text("result")),
    "nesting too deep for Python is text": ("FINAL(" + "-" * 30_000 + "1)", text("-" * 30_000 + "1")),
    "words may span paragraphs": ("FINAL(First.\n\n- a\n- b (c)\n\nLast.)", text("First.\n\n- a\n- b (c)\n\nLast.")),
    "a fence in the argument belongs to the answer": (
        f"FINAL({Q}Use:\n```python\nprint(1)\n```\nDone.{Q})",
        text("Use:\n```python\nprint(1)\n```\nDone."),
    ),
    "a fence in an argument in words belongs to the answer": (
        "FINAL(Use:\n```python\nprint(1)\n```\n)",
        text("Use:\n```python\nprint(1)\n```"),
    ),
    "FINAL_VAR takes a name": ("FINAL_VAR(result)", variable("result")),
    "FINAL_VAR takes a quoted name": ('FINAL_VAR("result")', variable("result")),
    "FINAL_VAR takes a name in backticks": ("FINAL_VAR(`my_result`)", variable("my_result")),
    "FINAL_VAR takes a name with spaces around": ("FINAL_VAR( result )", variable("result")),
    "FINAL_VAR takes an expression": ("FINAL_VAR(d['x'])", code("d['x']")),
    "FINAL_VAR takes a call": ("FINAL_VAR(len(x))", code("len(x)")),
    "FINAL_VAR takes an attribute": ("FINAL_VAR(o.total)", code("o.total")),
    "FINAL_VAR takes a generator": ("FINAL_VAR(n for n in ns)", code("(n for n in ns)")),
    "FINAL_VAR takes a quoted expression": ("FINAL_VAR(\"d['x']\")", code("d['x']")),
    "FINAL_VAR with a colon takes an expression": ("FINAL_VAR: x[0]", code("x[0]")),
    "FINAL_VAR takes a literal": ("FINAL_VAR([1, 2])", text("[1, 2]", [1, 2])),
    "FINAL_VAR takes a name by keyword": ('FINAL_VAR(variable_name="x")', variable("x")),
    "FINAL_VAR takes a name in typographic quotes": ("FINAL_VAR(\u201cx\u201d)", variable("x")),
    "FINAL_VAR takes a bold name": ("FINAL_VAR: **x**", variable("x")),
    "FINAL_VAR takes a name as in a template": ("FINAL_VAR(${x})", variable("x")),
    "a tag in a box is read": ("So:\n$$\\boxed{FINAL_VAR(x)}$$", variable("x")),
    "a tag as text in a box is read": ("\\boxed{\\text{FINAL(42)}}.", text("42", 42)),
    "a box within a tag stays text": ("FINAL(\\boxed{42})", text("\\boxed{42}")),
    "a tag with a bold name is read": ("**FINAL_VAR**(x)", variable("x")),
    "a tag in an element on its line is read": ("<answer>FINAL(42)</answer>", text("42", 42)),
    "a comment as in C is allowed": ("FINAL(42) // done", text("42", 42)),
    "a sign after is allowed": ("FINAL(42) \u2705", text("42", 42)),
    "an escaped underscore is an underscore": (r"FINAL\_VAR(my\_result)", variable("my_result")),
    "FINAL with a colon takes the rest": ("FINAL: 42 apples\n\nand pears\n", text("42 apples\n\nand pears")),
    "FINAL with a colon stays text": ("FINAL: 42", text("42")),
    "FINAL with a colon ends at a fence": ("FINAL: 42\n```json\n{}\n```", text("42")),
    "FINAL with a colon ends at the next tag": ("FINAL: 1\nFINAL: 2", text("2")),
    "the text may begin on the next line": ("FINAL:\n42", text("42")),
    "FINAL_VAR with a colon takes a name": ("FINAL_VAR: result\nThat is all.", variable("result")),
    "FINAL_VAR with a colon takes a quoted name": ("FINAL_VAR: `result`", variable("result")),
    "SUBMIT is like FINAL": ('SUBMIT({"a": 1})', text('{"a": 1}', {"a": 1})),
    "SUBMIT takes words": ("SUBMIT(forty two)", text("forty two")),
    "prose may come before": ("I found it.\nFINAL(42)", text("42", 42)),
    "prose may come after": ("FINAL(42)\n\nThat was easy.", text("42", 42)),
    "leading spaces are allowed": ("  FINAL(42)", text("42", 42)),
    "deep leading spaces are allowed": ("Here:\n\n      FINAL(42)", text("42", 42)),
    "deep leading spaces within a paragraph are allowed": ("Here:\n        FINAL(42)\nDone.", text("42", 42)),
    "bold is allowed": ("**FINAL(42)**", text("42", 42)),
    "bold with a colon is allowed": ("**FINAL: 42**", text("42")),
    "a bold label is allowed": ("**FINAL:** 42", text("42")),
    "a bold name is allowed": ("**FINAL**: 42", text("42")),
    "a bullet is allowed": ("- FINAL(42)", text("42", 42)),
    "a numbered step is allowed": ("1. Think\n2. FINAL(42)", text("42", 42)),
    "a later number within a paragraph is allowed": ("So:\n2. FINAL(42)", text("42", 42)),
    "a heading is allowed": ("## FINAL(42)", text("42", 42)),
    "a bold heading is allowed": ("### **FINAL(42)**", text("42", 42)),
    "a full stop after is allowed": ("FINAL(42).", text("42", 42)),
    "a comment after is allowed": ("FINAL(42)  # done", text("42", 42)),
    "a tag right after a quote counts": ("> quoted\nFINAL(42)", text("42", 42)),
    "a tag inside other elements counts": ("<answer>\nFINAL(42)\n</answer>", text("42", 42)),
    "carriage returns end the text": ("FINAL: 42\r\n\r\n```json\r\n{}\r\n```", text("42")),
    "the last tag counts": ("FINAL(draft)\n\nNo, better:\n\nFINAL(42)", text("42", 42)),
    "a mention after the tag does not undo it": ("FINAL(42)\n\nFINAL(...) is the end.", text("42", 42)),
    "a tag after a wrong one counts": ("FINAL()\n\nFINAL(42)", text("42", 42)),
    "a wrong tag after a tag leaves none": ("FINAL(draft)\n\nFINAL(42", None),
    "a mention in a sentence does not count": ("I will call FINAL(answer) when done.", None),
    "a mention at the start of a sentence does not count": ("FINAL(answer) is what I call when done.", None),
    "a mention after a line break does not count": ("I will call\nFINAL(answer) when done.", None),
    "a mention of FINAL_VAR in a sentence does not count": ("Then FINAL_VAR(x).", None),
    "a longer word does not count": ("FINALLY(42)\nFINALS: 42\nMY_FINAL(42)", None),
    "lower case does not count": ("final(42)\nFinal: 42", None),
    "a quoted tag does not count": ("> FINAL(42)", None),
    "a quoted list does not count": ("> - FINAL(42)\n> FINAL: 42", None),
    "a tag in inline code within words does not count": ("I write `FINAL(42)` then.", None),
    "a tag in inline code that is announced does not count": ("When done I write:\n\n`FINAL(answer)`", None),
    "a reply that is nothing but a tag in inline code counts": ("`FINAL(42)`", text("42", 42)),
    "such a tag at the end counts": ("I have counted them.\n\n**`FINAL_VAR(n)`**", variable("n")),
    "a tag after the words for an answer counts": ("**Final answer:** FINAL(42)", text("42", 42)),
    "a tag in such a sentence counts": ("The answer is `FINAL(42)`.", text("42", 42)),
    "a tag that is returned counts": ("return FINAL(42)", text("42", 42)),
    "ReAct's last line counts": ("I have counted.\nFinal Answer: 42", text("42")),
    "a blank before the parenthesis is read": ("FINAL (42)", text("42", 42)),
    "a title in a list does not count": ("The versions are:\n- DRAFT (v1)\n- FINAL (v2)", None),
    "wide parentheses are read": ("FINAL\uff08Paris\uff09", text("Paris")),
    "an answer in inline code is read": ("FINAL(`42`)", text("42", 42)),
    "an answer in a fence is read": ("FINAL(```python\nn\n```)", text("n")),
    "a tag in inline code over lines does not count": ("Say ``x\nFINAL(42)\ny`` then.", None),
    "a stray backtick hides nothing": ("It's a ` mark\nFINAL(42)", text("42", 42)),
    "inline code before does not hide a tag": ("See `x`, `y`:\nFINAL(42)", text("42", 42)),
    "a tag in a comment does not count": ("<!-- FINAL(42) -->\n<!--\n\nFINAL(1)\n\n-->", None),
    "a tag in a comment within a paragraph does not count": ("Note <!-- so\nFINAL(42)\n--> that.", None),
    "a tag in the text of a link does not count": ("[FINAL(42)](http://x)\nand [see\nFINAL(1)\nhere](http://x)", None),
    "a tag in a link with inline code does not count": ("See [`a`\nFINAL(42)\nb](http://x).", None),
    "a tag in inline code in a link does not count": ("See [``a\nFINAL(42)\nb`` c](http://x).", None),
    "a tag in a cell does not count": ('```repl\nFINAL("x")\n```', None),
    "a tag in a string in a cell does not count": (f"```repl\nx = {Q}\nFINAL(42)\n{Q}\n```", None),
    "a tag in a comment of a cell does not count": ("```repl\n# FINAL(42)\nx = 1\n```", None),
    "a tag in other code does not count": ("```json\nFINAL(42)\n```\n```bash\nFINAL: 42\n```", None),
    "a tag among other text in a text fence does not count": ("```text\nThe page says:\nFINAL(42)\n```", None),
    "a tag among indented code does not count": ("Look:\n\n    x = 1\n    FINAL(x)\n", None),
    "a tag in a repl element does not count": ("<repl>\nFINAL(x)\n</repl>", None),
    "a tag in an unclosed block does not count": ("```repl\nx = 1\nFINAL(x)", None),
    "text alone in a fence is the answer": ("```\nFINAL: 42\n```", text("42")),
    "text alone in a text fence is the answer": ('```text\nFINAL("Paris")\n```', text("Paris")),
    "text alone in a repl fence is the answer": ("```repl\nFINAL: 42\n```", text("42")),
    "words alone in a python fence are the answer": ("```python\nFINAL(It is forty two)\n```", text("It is forty two")),
    "words alone in an untagged fence are the answer": ("```\nFINAL(some plain words)\n```", text("some plain words")),
    "a name alone in a fence is the answer": ("```repl\nFINAL_VAR: result\n```", variable("result")),
    "lines alone in a fence are the answer": ("```\nFINAL: one\n- two\n```", text("one\n- two")),
    "code after a note is code": ("```repl\nFINAL: 42\nprint(1)\n```", None),
    "a call alone in a fence is code": ("```repl\nFINAL_VAR(result)\n```", None),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "final"), cases(FINALS))
def test_the_final_answer_is_found(reply: str, final: Final | None) -> None:
    found = parse_reply(reply).final
    assert (found and replace(found, names=())) == final
    assert type(found and found.value) is type(final and final.value)


RUNS = {
    "a call of FINAL in a repl fence runs": ('```repl\nFINAL("x")\n```', 'FINAL("x")'),
    "a call of FINAL_VAR in a python fence runs": ("```python\nFINAL_VAR(x)\n```", "FINAL_VAR(x)"),
    "a call of FINAL in an untagged fence runs": ('```\nFINAL_VAR("x")\n```', 'FINAL_VAR("x")'),
}


@pytest.mark.parametrize(("reply", "cell"), cases(RUNS))
def test_a_final_call_that_is_python_is_a_cell(reply: str, cell: str) -> None:
    assert parse_reply(reply) == ParsedReply(cells=(cell,))


def test_text_alone_in_a_fence_is_not_also_a_cell() -> None:
    for reply in ("```repl\nFINAL: 42\n```", "```\nFINAL_VAR: x\n```", "```python\nFINAL(plain words)\n```"):
        assert parse_reply(reply).cells == ()


def test_a_fence_in_an_answer_is_not_a_cell() -> None:
    assert parse_reply(f"FINAL({Q}Use:\n```python\nprint(1)\n```{Q})").cells == ()


STRICT_FINALS = {
    "a string literal counts": ('FINAL("Paris")', text("Paris")),
    "any kind of string literal counts": ("FINAL('Paris')", text("Paris")),
    "a string over lines counts": (f"FINAL({Q}a\nb{Q})", text("a\nb")),
    "a name counts": ("So:\nFINAL_VAR(result)\n", variable("result")),
    "spaces around do not matter": ('  FINAL("Paris")  ', text("Paris")),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "final"), cases(STRICT_FINALS))
def test_strict_mode_takes_the_two_exact_forms(reply: str, final: Final) -> None:
    found = parse_reply(reply, strict=True)
    assert found.final == final
    assert found.problems == ()


@pytest.mark.parametrize(
    "reply",
    [
        "FINAL(Paris)",
        "FINAL(42)",
        "FINAL([1])",
        "FINAL: Paris",
        "FINAL_VAR: result",
        'FINAL_VAR("result")',
        'SUBMIT("Paris")',
        'FINAL("Paris").',
        '**FINAL("Paris")**',
        '- FINAL("Paris")',
        '## FINAL("Paris")',
        'FINAL("Paris") is it',
        'FINAL("Paris"',
        "FINAL()",
        '```text\nFINAL("Paris")\n```',
        "```repl\nFINAL: Paris\n```",
        'Look:\n\n    FINAL("Paris")',
    ],
)
def test_strict_mode_answers_any_other_form_with_the_two_that_count(reply: str) -> None:
    found = parse_reply(reply, strict=True)
    assert found.final is None
    assert len(found.problems) == 1
    assert 'FINAL("your answer")' in found.problems[0]
    assert "FINAL_VAR(name)" in found.problems[0]


def test_strict_mode_runs_cells_as_ever() -> None:
    assert parse_reply("```repl\nFINAL(x)\n```", strict=True) == ParsedReply(cells=("FINAL(x)",))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_comes_back_from_a_literal(words: str) -> None:
    found = parse_reply(f"Done.\n\nFINAL({words!r})")
    assert found.final == Final("text", words, words)


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ('answer["content"] = 1', True),
        ("answer = {}", True),
        ("x = [answer]", True),
        ("print('the answer')", True),
        ("answers = 1", False),
        ("my_answer = 1", False),
        ("x.answer", False),
        ("print(1)", False),
    ],
)
def test_the_use_of_the_answer_dictionary_is_seen(code: str, uses: bool) -> None:
    assert mentions_answer_dict(code) is uses
