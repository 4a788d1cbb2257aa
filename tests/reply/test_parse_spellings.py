"""Code is found in the spellings of blocks, fences and calls that no Markdown and no protocol has."""

# ruff: noqa: RUF001 - some fences and tokens are spelled with look-alikes

import json

import pytest

from parse_cases import cases
from rlmbox.reply.parse import parse_reply

CODE = "n = context.count('needle')\nFINAL(n)"
CALL = json.dumps({"name": "python", "arguments": {"code": CODE}})
ARGUMENTS = json.dumps({"code": CODE})

FENCES = {
    "ended by an element": (f"```python\n{CODE}\n</code>", "huggingface/smolagents PR1870"),
    "an element ended by a fence": (f"<code>\n{CODE}\n```", "huggingface/smolagents PR1870"),
    "two backticks": (f"``repl\n{CODE}\n``", "own"),
    "accents": (f"´´´repl\n{CODE}\n´´´", "own"),
    "full-width backticks": (f"｀｀｀repl\n{CODE}\n｀｀｀", "own"),
    "an end on the last line of the code": (f"```repl\n{CODE}```", "EleutherAI/lm-evaluation-harness PR3769"),
    "such an end with words after it": (f"```repl\n{CODE}```\nThat is it.", "own"),
    "the language on the next line": (f"```\npython\n{CODE}\n```", "own"),
    "code on the line of the fence": (f"```python {CODE}\n```", "EleutherAI/lm-evaluation-harness PR4091"),
    "right after a sentence": (f"I count. ```python\n{CODE}\n```", "simonw/llm #1200"),
    "indented by a tabulator": (f"\t```repl\n\t{CODE.replace(chr(10), chr(10) + chr(9))}\n\t```", "own"),
    "a string of JSON": (f"```repl\\n{CODE.replace(chr(10), chr(92) + 'n')}\\n```", "SEMOSS/Semoss PR1145"),
    "BBCode": (f"[code]\n{CODE}\n[/code]", "own"),
    "HTML": (f'<pre><code class="language-python">\n{CODE}\n</code></pre>', "own"),
    "DSPy": (f"[[ ## code ## ]]\n{CODE}\n\n[[ ## completed ## ]]", "its adapters"),
    "an end with words after it on its line": (f"```repl\n{CODE}``` and that is it", "own"),
    "after a symbol": (f"\u2192 ```repl\n{CODE}\n```", "own"),
    "after an invisible character": (f"\ufeff```repl\n{CODE}\n```", "own"),
    "with its backticks escaped": (f"\\`\\`\\`repl\n{CODE}\n\\`\\`\\`", "own"),
    "all of it in a string of JSON": (json.dumps(f"```repl\n{CODE}\n```"), "own"),
    "CDATA in an element": (f"<code><![CDATA[\n{CODE}\n]]></code>", "own"),
    "CDATA": (f"<![CDATA[\n{CODE}\n]]>", "own"),
    "an element in an element on one line": (f"<response><code>{CODE}</code></response>", "own"),
    "an element of another name": (f"<python_code>\n{CODE}\n</python_code>", "own"),
    "an element that names its tool": (f'<tool_call name="python">\n{CODE}\n</tool_call>', "own"),
    "below a sentence, in no block": (f"I count.\n{CODE}", "huggingface/smolagents #201"),
    "between sentences, in no block": (f"I count.\n{CODE}\nThat is it.", "own"),
    "in the environment of another markup": (f"\\begin{{verbatim}}\n{CODE}\n\\end{{verbatim}}", "own"),
    "a thought that was escaped": (f"&lt;think&gt;\n```repl\nx = 1\n```\n&lt;/think&gt;\n```repl\n{CODE}\n```", "own"),
    "a thought in Hindsight's tags": (f"<|startthink|>FINAL(9)<|endthink|>\n```repl\n{CODE}\n```", "hindsight PR2195"),
}  # fmt: skip

ONE_LINE = "n = context.count('needle'); FINAL(n)"

CALLS = {
    "Python's quotes": "<tool_call>\n{'name': 'python', 'arguments': {'code': 'x = 1'}}\n</tool_call>",
    "a comma too many": '<tool_call>\n{"name": "python", "arguments": {"code": "x = 1",}}\n</tool_call>',
    "a bracket too few": '<tool_call>\n{"name": "python", "arguments": {"code": "x = 1"}\n</tool_call>',
    "a bracket too many": '<tool_call>\n{"name": "python", "arguments": {"code": "x = 1"}}}\n</tool_call>',
    "in a fence of XML": f"```xml\n<tool_call>\n{CALL}\n</tool_call>\n```",
    "Nemotron": f"<TOOLCALL>[{CALL}]</TOOLCALL>",
    "Firefunction": f"functools[{CALL}]",
    "names in elements": f"<tool_use>\n<name>python</name>\n<arguments>{ARGUMENTS}</arguments>\n</tool_use>",
    "Llama 4": f"<|python_start|>[python(code={CODE!r})]<|python_end|>",
    "LFM2": f"<|tool_call_start|>[python(code={CODE!r})]<|tool_call_end|>",
    "a list of calls": f"[python(code={CODE!r})]",
    "FunctionGemma": f"<start_function_call>call:python{{code:<escape>{CODE}<escape>}}<end_function_call>",
    "Gemma 4": f'<|tool_call>call:python{{code:<|"|>{CODE}<|"|>}}<tool_call|>',
    "Phi 4": f"<|tool_call|>{CALL}<|/tool_call|>",
    "InternLM": f"<|action_start|><|interpreter|>\n{CODE}<|action_end|>",
    "DeepSeek V3.2": (
        f'<｜DSML｜function_calls>\n<｜DSML｜invoke name="python">\n<｜DSML｜parameter name="code" string="true">{CODE}'
        "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    ),
    "an open parameter": f"<tool_call>\n<function=python>\n<parameter=code>\n{CODE}\n</function>\n</tool_call>",
    "a message's list of calls": json.dumps({"tool_calls": [{"function": {"name": "python", "arguments": ARGUMENTS}}]}),
    "a gateway's own marks": f"<<<TOOL_CALL>>>\n{CALL}\n<<<END_TOOL_CALL>>>",
}  # fmt: skip


@pytest.mark.parametrize(("reply", "source"), cases(FENCES))
def test_code_is_found_between_marks_of_a_models_own(reply: str, source: str) -> None:
    found = parse_reply(reply)
    assert (found.cells, found.final, found.problems) == ((CODE,), None, ())


@pytest.mark.parametrize("reply", CALLS.values(), ids=CALLS)
def test_code_is_found_in_a_call_however_it_is_written(reply: str) -> None:
    found = parse_reply(reply)
    assert found.cells in ((CODE,), ("x = 1",))
    assert (found.final, found.problems) == (None, ())


def test_an_action_is_run_and_what_was_made_up_after_it_is_no_answer() -> None:
    for body in (CODE, f"\n```python\n{CODE}\n```"):
        found = parse_reply(f"Thought: count\nAction: python\nAction Input: {body}\nObservation: 7\nFinal Answer: 7")
        assert (found.cells, found.final) == ((CODE,), None)


REPAIRED = {
    "entities of HTML": ("if n &lt; 3:\n    print(n &amp; 1)", "if n < 3:\n    print(n & 1)"),
    "entities in a string": ("print('&lt;')", "print('&lt;')"),
    "a notebook's prompts": ("In [1]: n = 1\nIn [2]: print(n)", "n = 1\nprint(n)"),
    "a notebook's magic": ("%%time\n!pip install x\nn = 1", "n = 1"),
    "a remainder": ("n = (5\n%two)", "n = (5\n%two)"),
}


@pytest.mark.parametrize(("written", "cell"), cases(REPAIRED))
def test_what_is_no_python_goes_only_where_that_makes_it_valid(written: str, cell: str) -> None:
    assert parse_reply(f"```repl\n{written}\n```").cells == (cell,)


ORDINARY = [
    "Use ``repl`` there.",
    "Action: stop\nAction Input: none",
    "[1] and [code]",
    "See <name>Ada</name>.",
    "functools",
]


@pytest.mark.parametrize("reply", ORDINARY)
def test_words_are_left_alone(reply: str) -> None:
    assert parse_reply(reply).cells == ()


@pytest.mark.parametrize("reply", [f"```python {ONE_LINE}```", f"```{ONE_LINE}```", f"I count. ```py {ONE_LINE}```"])
def test_a_fence_may_be_of_one_line(reply: str) -> None:
    assert parse_reply(reply).cells == (ONE_LINE,)


@pytest.mark.parametrize("words", ["Use ```python print(1)``` to print.", "I used ```x```.", "It is ```3```"])
def test_a_fence_of_one_line_within_words_is_a_mention(words: str) -> None:
    assert parse_reply(words).cells == ()
