"""What is run, what counts as an answer and what is told to the model, for each way a model writes its reply."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlmbox.parse import MAX_REPLY_CHARS, MAX_REPLY_LINES, Final, Reply, mentions_answer_dict, parse_reply

Q = '"""'


def text(words: str, value: object = None) -> Final:
    return Final("text", words if value is None else value, words)


def variable(name: str) -> Final:
    return Final("variable", name=name)


def cases(table: dict[str, tuple]) -> list:
    return [pytest.param(*row, id=name.replace(" ", "_")) for name, row in table.items()]


CELLS = {
    "a repl fence is a cell": ("```repl\nprint(1)\n```", ["print(1)"]),
    "a python fence is a cell": ("```python\nprint(1)\n```", ["print(1)"]),
    "py, python3 and ipython fences are cells": (
        "```py\na=1\n```\n```python3\nb=1\n```\n```ipython\nc=1\n```",
        ["a=1", "b=1", "c=1"],
    ),
    "the language is read in any case": ("```Python\na = 1\n```\n```REPL\nb = 1\n```", ["a = 1", "b = 1"]),
    "attributes after the language are ignored": ("```python title='x' {.line}\na = 1\n```", ["a = 1"]),
    "a language in braces is read": ("```{python}\na = 1\n```", ["a = 1"]),
    "tilde fences count": ("~~~repl\na = 1\n~~~", ["a = 1"]),
    "a longer fence holds shorter ones": ("````repl\na = 1\n# ```\n````", ["a = 1\n# ```"]),
    "a fence may be indented by three spaces": ("   ```repl\n   a = 1\n   ```", ["a = 1"]),
    "a closing fence may be longer": ("```repl\na = 1\n`````", ["a = 1"]),
    "blocks run in the order of the reply": (
        "One\n```repl\na = 1\n```\nTwo\n~~~py\nb = 2\n~~~\n<repl>\nc = 3\n</repl>",
        ["a = 1", "b = 2", "c = 3"],
    ),
    "prose right before a fence does not hide it": ("Look:\n```repl\na = 1\n```\nDone.", ["a = 1"]),
    "a fence in a list item is dedented": ("1. First\n   ```repl\n   if x:\n       y()\n   ```", ["if x:\n    y()"]),
    "a fence in a bullet is a cell": ("- ```repl\n  a = 1\n  ```", ["a = 1"]),
    "a fence in a nested list is a cell": ("- a\n  - b\n    ```repl\n    a = 1\n    ```", ["a = 1"]),
    "a fence in a list may be closed at the margin": ("1. Do\n   ```repl\n   a = 1\n```\nThen", ["a = 1"]),
    "code of a fence in a list may be at the margin": ("1. Do\n   ```repl\na = 1\n   ```\n", ["a = 1"]),
    "code that is indented as a whole is dedented": ("```repl\n    a = 1\n    b = 2\n```", ["a = 1\nb = 2"]),
    "indentation within code is kept": ("```repl\nfor x in y:\n\n    z()\n```", ["for x in y:\n\n    z()"]),
    "carriage returns end lines": ("```repl\r\na = 1\r\nb = 2\r\n```\r\n", ["a = 1\nb = 2"]),
    "a quoted fence is no cell": ("> ```repl\n> a = 1\n> ```", []),
    "a fence in a list in a quote is no cell": ("> - ```repl\n>   a = 1\n>   ```", []),
    "a fence right after a quote is a cell": ("> Run this:\n```repl\na = 1\n```", ["a = 1"]),
    "json, text and bash are no cells": ("```json\n{}\n```\n```text\nprint(1)\n```\n```bash\nls\n```", []),
    "a language that only begins like python is no cell": ("```pyramid\na = 1\n```", []),
    "an untagged fence with Python is a cell": ("```\nx = len(context)\nprint(x)\n```", ["x = len(context)\nprint(x)"]),
    "an untagged call is a cell": ("```\nprint(1)\n```", ["print(1)"]),
    "an untagged slice is a cell": ("```\ncontext[:100]\n```", ["context[:100]"]),
    "an untagged word is no cell": ("```\nhello\n```", []),
    "an untagged sentence is no cell": ("```\nhello world\n```", []),
    "an untagged string is no cell": ('```\n"hello world"\n```', []),
    "untagged words that happen to be Python are no cell": ("```\nyes or no\n```", []),
    "an untagged note is no cell": ("```\nName: Ada\n```", []),
    "an untagged number is no cell": ("```\n42\n```", []),
    "an untagged list of numbers is no cell": ("```\n1, 2, 3\n```", []),
    "untagged JSON is no cell": ('```\n{"a": [1, 2]}\n```', []),
    "untagged text with NUL is no cell": ("```\nprint(1)\0\n```", []),
    "untagged code too deep to parse is no cell": ("```\nx = " + "-" * 50_000 + "1\n```", []),
    "a huge untagged block is data, not a cell": ("```\n" + "x = f(1)\n" * 30_000 + "```", []),
    "a tagged block runs even if it is not Python": ("```repl\nthis is not python\n```", ["this is not python"]),
    "an empty block is no cell": ("```repl\n\n```", []),
    "a repl element is a cell": ("Run:\n<repl>\na = 1\n</repl>\nDone", ["a = 1"]),
    "a repl element may be on one line": ("<repl>print(1)</repl>", ["print(1)"]),
    "a python element is a cell": ("<python>\na = 1\n</python>", ["a = 1"]),
    "an element may have attributes and capitals": ('<REPL lang="py">\na = 1\n</Repl>', ["a = 1"]),
    "a code element with Python is a cell": ("<code>\nprint(1)\n</code>", ["print(1)"]),
    "a code element with words is no cell": ("<code>some words</code>", []),
    "an element mentioned in a sentence is no cell": ("<python>x</python> is a tag.\nUse <repl>y</repl> too.", []),
    "a fence inside a repl element is taken off": ("<repl>\n```python\na = 1\n```\n</repl>", ["a = 1"]),
    "an element inside a fence is part of the fence": ("```repl\nx = '''\n<repl>\n'''\n```", ["x = '''\n<repl>\n'''"]),
    "a quoted element is no cell": ("> <repl>\n> a = 1\n> </repl>", []),
    "an element in a comment is no cell": ("<!--\n<repl>\na = 1\n</repl>\n-->", []),
    "indented code is no cell": ("Look:\n\n    print(1)\n", []),
    "inline code is no cell": ("Use `print(1)` or ``repl``.", []),
    "a transcript is read without prompts and output": (
        "```pycon\n>>> for x in y:\n...     z(x)\n...\n7\n>>> w\n```",
        ["for x in y:\n    z(x)\n\nw"],
    ),
    "a fence in a triple-quoted string is part of the cell": (
        f"Go\n```repl\np = f{Q}Read:\n```\n{{chunk}}\n```\nAnswer.{Q}\nprint(llm_query(p))\n```\nThen",
        [f"p = f{Q}Read:\n```\n{{chunk}}\n```\nAnswer.{Q}\nprint(llm_query(p))"],
    ),
    "a tagged fence in a triple-quoted string is part of the cell": (
        f"```python\np = {Q}\n```json\n{{}}\n```\n{Q}\n```\n\n```repl\nb = 1\n```",
        [f"p = {Q}\n```json\n{{}}\n```\n{Q}", "b = 1"],
    ),
    "a fence in a single-quoted triple string is part of the cell": (
        "```repl\np = '''\n```\nx\n```\n'''\n```",
        ["p = '''\n```\nx\n```\n'''"],
    ),
    "two strings with fences are part of one cell": (
        f"```repl\na = {Q}\n```\n{Q}\nb = {Q}\n```\n{Q}\n```",
        [f"a = {Q}\n```\n{Q}\nb = {Q}\n```\n{Q}"],
    ),
    "a fence in a string in a list item is part of the cell": (
        f"- ```repl\n  p = {Q}\n  ```\n  x\n  ```\n  {Q}\n  ```",
        [f"p = {Q}\n```\nx\n```\n{Q}"],
    ),
    "a string that is never closed does not swallow the next cell": (
        f"```repl\np = {Q}oops\n```\nAnd\n```repl\nq = {Q}fine{Q}\n```",
        [f"p = {Q}oops", f"q = {Q}fine{Q}"],
    ),
    "an unclosed block leaves those before it": ("```repl\na = 1\n```\n```repl\nb = ", ["a = 1"]),
    "an unclosed element leaves the cells before it": ("```repl\na = 1\n```\n<repl>\nb = 2", ["a = 1"]),
}


@pytest.mark.parametrize(("reply", "cells"), cases(CELLS))
def test_cells_are_found(reply: str, cells: list[str]) -> None:
    assert list(parse_reply(reply).cells) == cells


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
    "a set is text": ("FINAL({1, 2})", text("{1, 2}")),
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
    "a tag in inline code does not count": ("`FINAL(42)`", None),
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
    assert found == final
    assert type(found and found.value) is type(final and final.value)


RUNS = {
    "a call of FINAL in a repl fence runs": ('```repl\nFINAL("x")\n```', 'FINAL("x")'),
    "a call of FINAL_VAR in a python fence runs": ("```python\nFINAL_VAR(x)\n```", "FINAL_VAR(x)"),
    "a call of FINAL in an untagged fence runs": ('```\nFINAL_VAR("x")\n```', 'FINAL_VAR("x")'),
}


@pytest.mark.parametrize(("reply", "cell"), cases(RUNS))
def test_a_final_call_that_is_python_is_a_cell(reply: str, cell: str) -> None:
    assert parse_reply(reply) == Reply(cells=(cell,))


def test_text_alone_in_a_fence_is_not_also_a_cell() -> None:
    for reply in ("```repl\nFINAL: 42\n```", "```\nFINAL_VAR: x\n```", "```python\nFINAL(plain words)\n```"):
        assert parse_reply(reply).cells == ()


def test_a_fence_in_an_answer_is_not_a_cell() -> None:
    assert parse_reply(f"FINAL({Q}Use:\n```python\nprint(1)\n```{Q})").cells == ()


def test_a_cell_and_an_answer_in_one_reply_are_both_found() -> None:
    reply = parse_reply("Let me count.\n```repl\nn = 3\n```\nFINAL_VAR(n)")
    assert reply == Reply(("n = 3",), variable("n"), (), "Let me count.")


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
    "a FINAL_VAR of an expression": ("FINAL_VAR(x[0])", "the name of one variable"),
    "a FINAL_VAR of words": ("FINAL_VAR: the result", "the name of one variable"),
    "a FINAL_VAR of a keyword": ("FINAL_VAR(class)", "the name of one variable"),
    "a FINAL of an f-string": ('FINAL(f"The total is {total}")', "f-string is not run"),
    "a FINAL with words after it": ("FINAL(42) because I say so", "nothing after it on its line"),
}


@pytest.mark.parametrize(("reply", "problem"), cases(PROBLEMS))
def test_a_wrong_form_gets_one_correcting_message_and_no_answer(reply: str, problem: str) -> None:
    found = parse_reply(reply)
    assert found.final is None
    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_cut_off_code_is_never_run() -> None:
    assert parse_reply("```repl\nimport os\n").cells == ()
    assert parse_reply("<python>\nimport os\n").cells == ()


def test_a_stray_fence_at_the_end_is_no_problem() -> None:
    assert parse_reply("```repl\nx = 1\n```\nDone.\n```\n").problems == ()


def test_a_mention_beside_code_is_no_problem() -> None:
    assert parse_reply("FINAL(x) comes later.\n```repl\nx = 1\n```").problems == ()


def test_plain_prose_gives_a_thought_and_nothing_else() -> None:
    assert parse_reply("  I think so.\n\nYes. ") == Reply(thought="I think so.\n\nYes.")


def test_an_empty_reply_gives_nothing() -> None:
    assert parse_reply("") == parse_reply(" \n\t\n") == Reply()


def test_the_thought_is_the_prose_around_the_cells() -> None:
    reply = parse_reply("First.\n```repl\na = 1\n```\nSecond,\nthird.\n\n- ```py\n  b = 2\n  ```\n\n```json\n{}\n```\n")
    assert reply.thought == "First.\n\nSecond,\nthird.\n\n```json\n{}\n```"


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
    assert parse_reply("```repl\nFINAL(x)\n```", strict=True) == Reply(cells=("FINAL(x)",))


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


@settings(max_examples=400)
@given(st.one_of(mixtures, st.text(st.characters(), max_size=300)), st.booleans())
def test_no_text_makes_it_raise(reply: str, strict: bool) -> None:
    found = parse_reply(reply, strict=strict)
    assert all(cell.strip() for cell in found.cells)
    assert all(found.problems)


@given(mixtures)
def test_a_reply_that_is_quoted_as_a_whole_does_nothing(reply: str) -> None:
    lines = reply.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = parse_reply("\n".join(f"> {line}" for line in lines))
    assert (found.cells, found.final, found.problems) == ((), None, ())


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "", "    ", "# note", "FINAL(x)", "y = '(' "]), min_size=1))
def test_a_fenced_cell_comes_back_as_it_was_written(lines: list[str]) -> None:
    code = "\n".join(["a = 0", *lines, "b = 0"])
    assert parse_reply(f"Some words.\n\n```repl\n{code}\n```\nMore words.").cells == (code,)


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
