"""Code is found in a reply however a model, or the agent it was trained in, writes it."""

# ruff: noqa: RUF001 - some tokens are spelled with look-alikes

import json

import pytest

from parse_cases import Q, cases, text
from rlmbox.reply.parse import ParsedReply, parse_reply

CODE = "n = context.count('needle')\nFINAL(n)"
CALL = json.dumps({"name": "python", "arguments": {"code": CODE}})

# name: (the reply, where that was reported or specified, its cells)
FENCES = {
    "ChatML's stop token after the fence": (f"```repl\n{CODE}\n```<|im_end|>", "ollama/ollama #2673", [CODE]),
    "Gemma's stop token after the fence": (f"```repl\n{CODE}\n```<end_of_turn>", "moltis-org/moltis #306", [CODE]),
    "smolagents' stop sequence after it": (f"Code:\n```py\n{CODE}\n```<end_code>", "its prompts", [CODE]),
    "Llama's stop token after the fence": (f"```repl\n{CODE}\n``` <|eot_id|>\n", "own", [CODE]),
    "Mistral's stop token after the fence": (f"```repl\n{CODE}\n```</s>", "own", [CODE]),
    "a stop token between two cells": ("```repl\na = 1\n```<end_code>\n```repl\nb = 2\n```", "own", ["a = 1", "b = 2"]),
    "a stop token at the end of the code": (f"```repl\n{CODE}<|im_end|>\n```", "own", [CODE]),
    "a stop token after an element": (f"<code>\n{CODE}\n</code><|im_end|>", "own", [CODE]),
    "words after the fence": ("```repl\na = 1\n``` That counts.\n\n```repl\nb = 2\n```", "own", ["a = 1", "b = 2"]),
    "a full stop after the fence": ("```repl\na = 1\n```.", "own", ["a = 1"]),
    "a doubled fence": (f"```\n```repl\n{CODE}\n```\n```", "huggingface/smolagents PR883", [CODE]),
    "a doubled fence that names the language twice": (f"```python\n```python\n{CODE}\n```\n```", "own", [CODE]),
    "a bare fence around words and code": (f"```\nI count.\n```python\n{CODE}\n```\n```", "own", [CODE]),
    "a fence of Markdown around the reply": (f"```markdown\nI count.\n\n```repl\n{CODE}\n```\n```", "own", [CODE]),
    "a longer fence around another": (f"````\n```python\n{CODE}\n```\n````", "own", [CODE]),
    "a block that the next one ends": ("```repl\na = 1\n```repl\nb = 2\n```", "own", ["a = 1", "b = 2"]),
    "tildes": (f"~~~python\n{CODE}\n~~~", "own", [CODE]),
    "tildes around backticks": (f"~~~\n```python\n{CODE}\n```\n~~~", "own", [CODE]),
    "an indented fence": (f"  ```python\n  {CODE.replace(chr(10), chr(10) + '  ')}\n  ```", "own", [CODE]),
    "a fence of one line": ("I count.\n```python print(1)```", "own", ["print(1)"]),
    "a fence of one line with words": ("```python is a language```", "own", []),
    "three apostrophes": (f"Action:\n'''python\n{CODE}\n'''", "huggingface/agents-course #576", [CODE]),
    "three apostrophes that are not closed": (f"'''python\n{CODE}", "own", []),
    "CodeLlama": (f"I count.\n[PYTHON]\n{CODE}\n[/PYTHON]", "its model card", [CODE]),
    "Gemini's tool code": (f"```tool_code\n{CODE}\n```", "google's prompting guide of Gemma 3", [CODE]),
    "a fence of code that is Python": (f"```code\n{CODE}\n```", "own", [CODE]),
    "a fence of code that is not Python": ("```code\nls -l | wc\n```", "own", []),
    "smolagents' element": (f"Thought: count.\n<code>\n{CODE}\n</code>", "huggingface/smolagents #1851", [CODE]),
    "an element that ends with the reply": (f"<code>\n{CODE}\n</code", "huggingface/smolagents #1851", [CODE]),
    "CodeAct's element": (f"I count.\n<execute>\n{CODE}\n</execute>", "xingyaoww/code-act", [CODE]),
    "OpenHands' element": (f"<execute_ipython>\n{CODE}\n</execute_ipython>", "OpenHands' prompts", [CODE]),
    "an element with words after it": (f"<execute>\n{CODE}\n</execute> Done.", "own", [CODE]),
    "a fence in an element": (f"<execute>\n```python\n{CODE}\n```\n</execute>", "own", [CODE]),
    "an element right after a sentence": (f"I count.<execute>\n{CODE}\n</execute>", "own", [CODE]),
    "an element that is not closed": (f"<code>\n{CODE}", "own", []),
    "fences in a string": (f"```repl\np = {Q}\n```python\nx\n```\n{Q}\n```", "", [f"p = {Q}\n```python\nx\n```\n{Q}"]),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "source", "cells"), cases(FENCES))
def test_code_is_found_between_fences_and_elements(reply: str, source: str, cells: list[str]) -> None:
    found = parse_reply(reply)
    assert list(found.cells) == cells
    assert found.final is None


TYPOGRAPHY = {
    "curly quotes": (
        "FINAL(“There are ” + str(context.count(“needle”)))",
        'FINAL("There are " + str(context.count("needle")))',
    ),
    "curly quotes around an apostrophe": ("print(‘it’s’)", "print('it’s')"),
    "curly quotes around straight ones": ('print(“say "hi"”)', 'print("say \\"hi\\"")'),
    "curly quotes beside a string that has them": ("a = 'x “y” z'; b = “c”", "a = 'x “y” z'; b = \"c\""),
    "a long dash": ("x = n – 1", "x = n - 1"),
    "no-break spaces": ("for x in y:\n\u00a0\u00a0\u00a0\u00a0print(x)", "for x in y:\n    print(x)"),
    "a zero-width space": ("x\u200b = 1", "x = 1"),
    "full-width punctuation": ("x = f(1，2)；y = 3", "x = f(1,2);y = 3"),
    "typography in a string alone": ("x = 'it’s – “so”'", "x = 'it’s – “so”'"),
    "code that stays wrong": ("x = = “a”", "x = = “a”"),
}


@pytest.mark.parametrize(("written", "cell"), cases(TYPOGRAPHY))
def test_typography_becomes_python_only_where_that_makes_it_valid(written: str, cell: str) -> None:
    assert parse_reply(f"```repl\n{written}\n```").cells == (cell,)


CALLS = {
    "Hermes and Qwen": (f"<tool_call>\n{CALL}\n</tool_call>", "NousResearch/Hermes-Function-Calling", [CODE]),
    "Hermes cut at its stop token": (f"I count.\n<tool_call>\n{CALL}", "own", [CODE]),
    "Hermes right after a sentence": (f"I count.<tool_call>\n{CALL}\n</tool_call>", "own", [CODE]),
    "Qwen2.5-Coder as plain JSON": (CALL, "ollama/ollama-vscode PR20; jundot/omlx #2565", [CODE]),
    "JSON in a fence": (f"```json\n{CALL}\n```", "own", [CODE]),
    "JSON in a fence of its own name": (f"```tool_call\n{CALL}\n```", "own", [CODE]),
    "OpenAI's wire format": (
        json.dumps([{"type": "function", "function": {"name": "python", "arguments": json.dumps({"code": CODE})}}]),
        "irreg/native_tool_call_adapter #3",
        [CODE],
    ),
    "LangChain": (json.dumps({"action": "python_repl", "action_input": CODE}), "its JSON agent", [CODE]),
    "smolagents' structured output": (json.dumps({"thought": "I count.", "code": CODE}), "its prompts", [CODE]),
    "line ends left as they are in JSON": (f'{{"name": "python", "arguments": {{"code": "{CODE}"}}}}', "own", [CODE]),
    "Qwen3-Coder": (
        f"<tool_call>\n<function=python>\n<parameter=code>\n{CODE}\n</parameter>\n</function>\n</tool_call>",
        "its tool parser; antoinezambelli/forge PR56",
        [CODE],
    ),
    "Qwen3-Coder without the outer element": (
        f"<function=python>\n<parameter=code>\n{CODE}\n</parameter>\n</function>",
        "antoinezambelli/forge PR56",
        [CODE],
    ),
    "Llama 3.1's own functions": (
        f"<function=python>{json.dumps({'code': CODE})}</function>",
        "its prompt format",
        [CODE],
    ),
    "GLM 4.5": (
        f"<tool_call>python\n<arg_key>code</arg_key>\n<arg_value>{CODE}</arg_value>\n</tool_call>",
        "its chat template",
        [CODE],
    ),
    "MiniMax M2": (
        (f'<minimax:tool_call>\n<invoke name="python">\n<parameter name="code">{CODE}</parameter>\n</invoke>\n'
        "</minimax:tool_call>"),
        "its chat template",
        [CODE],
    ),
    "Kimi K2": (
        ('<|tool_calls_section_begin|><|tool_call_begin|>python:0<|tool_call_argument_begin|>{"code": "x = 1"}'
        "<|tool_call_end|><|tool_calls_section_end|>"),
        "vLLM's tests of it",
        ["x = 1"],
    ),
    "DeepSeek R1": (
        ('<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>python\n```json\n{"code": "x = 1"}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
        "its chat template",
        ["x = 1"],
    ),
    "DeepSeek V3.1": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>python<｜tool▁sep｜>{"code": "x = 1"}<｜tool▁call▁end｜>',
        "its chat template",
        ["x = 1"],
    ),
    "Mistral": (f"[TOOL_CALLS][{CALL}]</s>", "mistral-common", [CODE]),
    "Mistral, newer": ('[TOOL_CALLS]python[ARGS]{"code": "x = 1"}', "llama.cpp's parser of it", ["x = 1"]),
    "Llama 3's code interpreter": ("<|python_tag|>x = 1<|eom_id|>", "its model card", ["x = 1"]),
    "Llama 3": (f"<|python_tag|>{CALL.replace('arguments', 'parameters')}", "sgl-project/sglang", [CODE]),
    "Command A": (
        (f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "python", "parameters": {json.dumps({"code": CODE})}}}]'
        "<|END_ACTION|>"),
        "its chat template",
        [CODE],
    ),
    "gpt-oss with its own tool": (
        "<|channel|>analysis to=python code<|message|>x = 1<|call|>",
        "openai/harmony's format",
        ["x = 1"],
    ),
    "gpt-oss": (
        '<|channel|>commentary to=functions.python <|constrain|>json<|message|>{"code": "x = 1"}<|call|>',
        "openai/harmony's format",
        ["x = 1"],
    ),
    "gpt-oss with the recipient first": (
        '<|start|>assistant to=functions.python<|channel|>commentary json<|message|>{"code": "x = 1"}<|call|>',
        "openai/harmony's format",
        ["x = 1"],
    ),
    "a function of the REPL": (
        '<tool_call>\n{"name": "llm_query", "arguments": {"prompt": "Say \'hi\'"}}\n</tool_call>',
        "own",
        ['llm_query(prompt="Say \'hi\'")'],
    ),
    "a function of the REPL that ends": (
        '{"name": "FINAL", "arguments": {"answer": "3"}}',
        "Mushoz in irreg/native_tool_call_adapter #3",
        ["FINAL(answer='3')"],
    ),
    "the tool that ends an agent of smolagents": (
        '{"name": "final_answer", "arguments": {"answer": "3"}}',
        "huggingface/smolagents' default tool",
        ["FINAL(answer='3')"],
    ),
    "a method of the REPL": (
        '<tool_call>\n{"name": "ctx.find", "arguments": {"pattern": "a"}}\n</tool_call>',
        "own",
        ["ctx.find(pattern='a')"],
    ),
    "two calls": (f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{CALL}\n</tool_call>", "own", [CODE, CODE]),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "source", "cells"), cases(CALLS))
def test_the_code_in_the_call_of_a_tool_is_run_and_said_to_be(reply: str, source: str, cells: list[str]) -> None:
    found = parse_reply(reply)
    assert (list(found.cells), found.final, found.problems) == (cells, None, ())
    assert len(found.notes) == 1
    assert "called a tool" in found.notes[0]


NO_CALLS = {
    "data in a fence": '```json\n{"name": "Ada", "arguments": ["x"]}\n```',
    "data in the reply": '{"a": 1, "b": [1, 2]}',
    "a name that is not Python": '<tool_call>\n{"name": "a-b; import os", "arguments": {}}\n</tool_call>',
    "an argument that is not Python": '<tool_call>\n{"name": "f", "arguments": {"a=1, **b": 1}}\n</tool_call>',
    "a call that is cut off": '<tool_call>\n{"name": "python", "arguments": {"code": "x = ',
    "a call in a sentence": "Write <tool_call>x</tool_call> to call one.",
    "a call in a quote": f"> <tool_call>\n> {CALL}\n> </tool_call>",
    "a call in a string": f"```text\n<tool_call>\n{CALL}\n</tool_call>\n```",
}


@pytest.mark.parametrize("reply", NO_CALLS.values(), ids=NO_CALLS)
def test_what_is_no_call_is_not_run(reply: str) -> None:
    assert parse_reply(reply).cells == ()


def test_a_call_that_cannot_be_read_is_answered_with_how_to_write_code() -> None:
    found = parse_reply('<tool_call>\n{"name": "python", "arguments": {"co\n</tool_call>')
    assert found.cells == ()
    assert len(found.problems) == 1
    assert "no tools to call" in found.problems[0]


BARE = {
    "an assignment and a call": CODE,
    "a call": "print(len(context))",
    "an import": "import re",
    "a loop": "for line in context.splitlines():\n    if 'x' in line:\n        print(line)",
    "a comment first": "# count them\nn = context.count('x')",
    "an augmented assignment": "n += 1",
    "a fence in a string": f"p = {Q}\n```\nx\n```\n{Q}",
    "curly quotes": "print(“x”)",
    "all of it indented": "    n = 1\n    print(n)",
}


@pytest.mark.parametrize("reply", BARE.values(), ids=BARE)
def test_a_reply_that_is_nothing_but_python_is_run_and_said_to_be(reply: str) -> None:
    found = parse_reply(reply)
    assert len(found.cells) == 1
    assert (found.final, found.problems) == (None, ())
    assert "Python without a block" in found.notes[0]


@pytest.mark.parametrize("reply", [*BARE.values(), CALL, f"<tool_call>\n{CALL}\n</tool_call>"])
def test_strict_mode_runs_only_what_is_in_a_block(reply: str) -> None:
    assert parse_reply(reply, strict=True).cells == ()


WORDS = [
    "Paris",
    "Paris, France",
    "Apple (AAPL)",
    "yes or no",
    "Answer: 42",
    "42",
    '"Paris"',
    "[1, 2]",
    "I count:\nn = 1",
    "n = 1\nThat is it.",
]


@pytest.mark.parametrize("reply", WORDS)
def test_words_that_happen_to_be_python_are_not_run(reply: str) -> None:
    assert parse_reply(reply) == ParsedReply(thought=reply)


def test_a_final_tag_alone_is_an_answer_and_not_bare_code() -> None:
    assert parse_reply('FINAL("Paris")').final == text("Paris")
    assert parse_reply("FINAL(1)\nFINAL(2)").final == text("2", 2)
