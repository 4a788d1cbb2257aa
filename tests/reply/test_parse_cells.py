"""What of a model's reply is run, for each way a model writes code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parse_cases import Q, cases
from rlmbox.reply.parse import parse_reply

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


def test_cut_off_code_is_never_run() -> None:
    assert parse_reply("```repl\nimport os\n").cells == ()
    assert parse_reply("<python>\nimport os\n").cells == ()


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "", "    ", "# note", "FINAL(x)", "y = '(' "]), min_size=1))
def test_a_fenced_cell_comes_back_as_it_was_written(lines: list[str]) -> None:
    code = "\n".join(["a = 0", *lines, "b = 0"])
    assert parse_reply(f"Some words.\n\n```repl\n{code}\n```\nMore words.").cells == (code,)
