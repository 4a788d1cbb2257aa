"""Reading takes work in proportion to the text, whatever stands in it.

What is compared is the processor's time for a text with that for one eight times as long, so that it does not matter
how fast the machine is or what else it does. In quadratic time the long one would take 64 times as much.
"""

# ruff: noqa: RUF001 - some tokens are spelled with look-alikes

import contextlib
import time

import pytest

from rlmbox.reply.json_value import read_json
from rlmbox.reply.parse import parse_reply
from rlmbox.reply.thoughts import split_thought

UNITS = [
    "`", "```\n", "```repl\n", "```repl\n\n", "```repl\nx=1\n", '```repl\n"""\n```\n', "```repl\n```repl\nx\n",
    "~~~\n```\n",
    "````\n```\n", "```\nwords\n```python\n", "```json\n", "```json\n{}\n```\n", "<think>", "<think>\n", "</think>",
    "</think>\n", "<think>\nx\n</think>\n", "```repl\n</think>\n", "'<think>' ", "a. <think> b ", "a </think> b ",
    "[THINK]", "◁think▷", "<|im_end|>x", "x<|im_end|> y", "```<|im_end|> y\n", "</s>x", "<|channel|>final<|message|>",
    "<|channel|>analysis<|message|>x<|end|>", "<|start|>assistant", "assistantfinal", "analysisA", "FINAL(", "FINAL(\n",
    "FINAL(x)\n", "FINAL(x);", "FINAL: x\n", "SUBMIT(a=\n", "FINAL_VAR(a, b=(", 'FINAL("\\"', "FINAL(“a” + str(n))\n",
    "<tool_call>\n", "<tool_call>{}</tool_call>\n", "x.<tool_call>", "<function=a>\n", '<invoke name="a">\n',
    "[TOOL_CALLS]",
    "<|tool_call_begin|>x", "<|python_tag|>x", "<code>\n", "<execute>\n", "<repl>\n</repl> x\n", "Output:\n",
    "```repl\nx=1\n```\nOutput:\n", "“", "“a", "‘a ", "x = “a”\n", "f (x);", "f(", "x=[", "{", "[", "[x", "[1,",
    '{"a":',
    '{"', "{'", "{}", "[1] ", "[1 x", '["a" x] ', "'", '"', '"""', '\\"', "x,  ", " ", "\n", "<", "<|", "<answer>",
    "```python x```\n", "'''python\n", "'''python\nx\n'''\n", "[PYTHON]\n[/PYTHON]\n",
    "Here is my thought process:", "\u00a0",
    "x\u200b", "{/*", "{//\n", "{a: ", '{\\"',
]  # fmt: skip


SHORT_CHARS = 2_000
TIMES = 8
FLOOR_S = 0.002  # below that a measurement is noise


def read_everything(text: str) -> None:
    parse_reply(text)
    parse_reply(f"```repl\nx = 1\n```\n{text}", strict=True)
    split_thought(text)
    with contextlib.suppress(ValueError):
        read_json(text)


def processor_s(text: str) -> float:
    start = time.process_time()
    read_everything(text)
    return time.process_time() - start


def is_in_proportion(unit: str) -> bool:
    short, long = unit * (SHORT_CHARS // len(unit)), unit * (TIMES * SHORT_CHARS // len(unit))
    return processor_s(long) < 3 * TIMES * max(processor_s(short), FLOOR_S)


@pytest.mark.parametrize("unit", UNITS)
def test_eight_times_the_text_takes_about_eight_times_the_work(unit: str) -> None:
    assert any(is_in_proportion(unit) for _ in range(3))


@pytest.mark.parametrize("unit", ["`", "<think>", "FINAL(", "{"])
def test_a_megabyte_is_read(unit: str) -> None:
    parse_reply(unit * (1_000_000 // len(unit)))
