"""Calls of a tool that a model wrote into its text, read as the Python that they stand for.

Models that were trained to call tools do so although none was offered: as JSON, as XML, or between special tokens.
A call of something that runs Python is its code; any other is a call of the function of that name in the REPL.
"""

# ruff: noqa: RUF001 - the look-alikes are what this file is about

from __future__ import annotations

import ast
import json
import keyword
import re
import warnings
from contextlib import suppress
from typing import Any

from rlmbox.reply.code import is_code
from rlmbox.reply.tokens import CODE_NAMES

_NAME_KEYS = ("name", "tool_name", "tool", "action", "recipient_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "kwargs")
_CODE_KEYS = ("code", "python", "python_code", "source", "script", "program", "cell", "input", "command", "query")

_FUNCTION = re.compile(r"<function=[\"']?(?P<name>[\w.]{1,100})[\"']?>(?P<body>.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=[\"']?(\w{1,100})[\"']?>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)
_INVOKE = re.compile(r"<invoke name=\"(?P<name>[\w.]{1,100})\"[^>\n]*>(?P<body>.*?)(?:</invoke>|\Z)", re.DOTALL)
_NAMED = re.compile(r"<parameter name=\"(\w{1,100})\"[^>\n]*>(.*?)</parameter>", re.DOTALL)
_KEYED = re.compile(r"<arg_key>\s*(\w{1,100})\s*</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_LINE_NAME = re.compile(r"\s*(?P<name>[\w.]{1,100})\s*(?P<body><arg_key>.*)\Z", re.DOTALL)
_XML = re.compile(r"\s*<name>\s*(?P<name>[\w.]{1,100})\s*</name>(?P<body>.*)\Z", re.DOTALL)
_XML_ARGUMENTS = re.compile(r"<(arguments|parameters|input|args)>(.*?)(?:</\1>|\Z)", re.DOTALL)
_GEMMA = re.compile(r"\s*call:(?P<name>[\w.]{1,100})\{(?P<body>.*)\}\s*\Z", re.DOTALL)
_GEMMA_PAIR = re.compile(r"(\w{1,100}):(?:<escape>(.*?)<escape>|<\|\"\|>(.*?)<\|\"\|>)", re.DOTALL)
_OUTER = re.compile(
    r"\s*<(?:\w{1,20}:)?(tool_call|tool_calls|toolcall|function_call|tool_use)>(.*)</(?:\w{1,20}:)?\1>\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_MAX_PYTHON_CHARS = 100_000
_MAX_BLOCKS = 16  # in spellings of its own, per reply
_DIALECTS = ((_FUNCTION, _PARAMETER), (_INVOKE, _NAMED), (_LINE_NAME, _KEYED))

_FENCED = re.compile(r"\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)
_KIMI = re.compile(r"\s*(?:functions\.)?([\w.]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*)\Z", re.DOTALL)
_DEEPSEEK = re.compile(r"\s*(?:function<｜tool▁sep｜>)?\s*([\w.]+)\s*(?:<｜tool▁sep｜>|\n)(.*)\Z", re.DOTALL)
_MISTRAL = re.compile(r"\s*([\w.]+)\s*(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*(\{.*)\Z", re.DOTALL)
_PLAIN = re.compile(r"()(.*)\Z", re.DOTALL)
_INTERN = re.compile(r"\s*(?:<\|(?:interpreter|plugin)\|>)?()(.*)\Z", re.DOTALL)
_SPELLINGS = (
    ("<|tool_call_begin|>", "<|tool_call_end|>", _KIMI),  # Kimi K2
    ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", _DEEPSEEK),  # DeepSeek R1, V3
    ("[TOOL_CALLS]", "", _MISTRAL),  # Mistral
    ("<|tool_call_start|>", "<|tool_call_end|>", _PLAIN),  # LFM2
    ("<|python_start|>", "<|python_end|>", _PLAIN),  # Llama 4
    ("<start_function_call>", "<end_function_call>", _PLAIN),  # FunctionGemma
    ("<|tool_call>", "<tool_call|>", _PLAIN),  # Gemma 4
    ("<|action_start|>", "<|action_end|>", _INTERN),  # InternLM 2
    ("<|START_ACTION|>", "<|END_ACTION|>", _PLAIN),  # Command A, Command R7B
    ("<|python_tag|>", "", _PLAIN),  # Llama 3
    ("<|tool_call|>", "<|/tool_call|>", _PLAIN),  # Phi 4; Granite does not close it
    ("<<<TOOL_CALL>>>", "<<<END_TOOL_CALL>>>", _PLAIN),
)
_PREFIX = re.compile(r"(</?)(?:｜DSML｜|antml:)")  # DeepSeek V3.2, Claude
_CODE_LLAMA = re.compile(r"^[ \t]*\[(/?)PYTHON\][ \t]*$", re.MULTILINE)
_CELL = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(?:repl|python|py|tool_code)\b", re.MULTILINE | re.IGNORECASE)
_OTHER_BLOCKS = (
    re.compile(
        r"^[ \t]*\[(python|code)\][ \t]*\n(?P<code>.*?)\n[ \t]*\[/\1\][ \t]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
    ),
    re.compile(
        r"^[ \t]*<pre>\s*<code class=\"language-python\">\n?(?P<code>.*?)</code>\s*</pre>[ \t]*$",
        re.DOTALL | re.MULTILINE,
    ),
    re.compile(
        r"^\[\[ ## (?:code|generated_code) ## \]\][ \t]*\n(?!\s*(?:`{3}|<))(?P<code>.*?)\s*(?=^\[\[ ##|\Z)",
        re.DOTALL | re.MULTILINE,
    ),  # DSPy
)
_REACT = re.compile(
    r"^(?P<lead>)[ \t*]*Action:?\**:?[ \t]*(?P<name>[`*\w]{2,40})[ \t]*\n[ \t*]*Action Input:?\**:?[ \t]*"
    r"(?P<body>.*?)(?=^[ \t*]*(?:Observation|Thought|Final Answer|Action)\b\**:|\Z)",
    re.DOTALL | re.MULTILINE,
)
_SECTIONS = re.compile(r"<\|tool_calls_section_(?:begin|end)\|>|<｜tool▁calls▁(?:begin|end)｜>")


def with_elements(text: str) -> str:
    """Return a reply in which calls between special tokens are `<tool_call>` elements."""
    if "DSML" in text or "antml" in text:
        text = _PREFIX.sub(r"\1", text)
    for opening, closing, pattern in _SPELLINGS:
        if opening in text:
            text = _respelled(text, opening, closing, pattern)
    if "[/PYTHON]" in text:
        text = _CODE_LLAMA.sub(r"<\1python>", text)
    return text if _CELL.search(text) else _with_prose_calls(text)


def _with_prose_calls(text: str) -> str:
    """Return a reply without a block of code in which code that is written otherwise is in elements."""
    if (
        len(text) > _MAX_PYTHON_CHARS
        or max(map(text.count, ("[/", "[p", "[c", "<pre", "[[ ##", "Action"))) > _MAX_BLOCKS
    ):
        return text
    for pattern in _OTHER_BLOCKS:
        text = pattern.sub(r"\n<python>\n\g<code>\n</python>\n", text)
    return _REACT.sub(_react, text)


def _react(match: re.Match[str]) -> str:
    name, body = match["name"].strip("`*"), match["body"].strip()
    if fenced := _FENCED.match(body):
        body = fenced[1]
    if name.lower() not in CODE_NAMES:
        return match.group()
    code = _code(name, body, None) or body
    return f"{match['lead']}\n<python>\n{code}\n</python>\n"


def call_element(name: str, body: str) -> str:
    """Write a call as the `<tool_call>` element that the reader of blocks knows.

    Args:
        name: The tool's name; empty where the body names it.
        body: Its arguments, in JSON, or code.
    """
    name, body = name.removeprefix("functions."), body.strip()
    if fenced := _FENCED.match(body):
        body = fenced[1]
    arguments = _json(body)
    if not name and arguments is None and (code := code_of_call(body)) is not None:
        body = code
    if name:
        call: Any = {"name": name, "arguments": body if arguments is None else arguments}
    else:
        call = {"name": "python", "arguments": {"code": body}} if arguments is None else arguments
    return "<tool_call>\n" + json.dumps(call).replace("</", "\\u003c/") + "\n</tool_call>"


def code_of_call(body: str, *, names: frozenset[str] | None = None) -> str | None:
    """Return the Python that a call stands for; None where the text is not a call.

    Args:
        body: What is in a `<tool_call>` element, or a whole reply.
        names: The tools whose calls count; None for any.
    """
    if outer := _OUTER.match(body):
        body = outer[2]
    if xml := _XML.match(body):
        found = _XML_ARGUMENTS.search(xml["body"])
        return _code(xml["name"], found[2].strip() if found else "{}", names)
    if gemma := _GEMMA.match(body):
        pairs = {key: first or second for key, first, second in _GEMMA_PAIR.findall(gemma["body"])}
        return _code(gemma["name"], pairs, names)
    for call_pattern, parameter_pattern in _DIALECTS:
        calls = [(match["name"], _arguments(match["body"], parameter_pattern)) for match in call_pattern.finditer(body)]
        if calls:
            return _program([_code(name, arguments, names) for name, arguments in calls])
    value = _json(body)
    if value is None:
        return _pythonic(body, names)
    return _program([_code_of_json(item, names) for item in (value if isinstance(value, list) else [value])])


def _arguments(body: str, parameter: re.Pattern[str]) -> dict[str, str] | str:
    """Return the arguments of a call in XML, each in an element or all of them in JSON, as Llama 3.1 writes them."""
    found = {key: value.strip("\n") for key, value in parameter.findall(body)}
    return body.strip() if not found and body.lstrip().startswith("{") else found


def _pythonic(body: str, names: frozenset[str] | None) -> str | None:
    """Return the code of a list of calls as Python writes them, with named arguments alone: `[python(code="…")]`."""
    if not body.lstrip().startswith("[") or len(body) > _MAX_PYTHON_CHARS:
        return None
    try:
        tree = ast.parse(body.strip(), mode="eval").body
        calls = [
            (ast.unparse(call.func), {str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
            for call in getattr(tree, "elts", [])
            if isinstance(call, ast.Call) and call.keywords and not call.args
        ]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if not calls or len(calls) != len(getattr(tree, "elts", [])):
        return None
    return _program([_code(name, arguments, names) for name, arguments in calls])


def _program(cells: list[str | None]) -> str | None:
    found = [cell for cell in cells if cell is not None and cell.strip()]
    return "\n".join(found) if found and len(found) == len(cells) else None


def _code_of_json(call: Any, names: frozenset[str] | None) -> str | None:
    if not isinstance(call, dict):
        return None
    calls = call.get("tool_calls")
    if isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], dict):
        call = calls[0]
    inner = call.get("function")
    if isinstance(inner, dict):
        call = inner
    elif isinstance(inner, str):
        call = {"name": inner, **call}
    name = next((call[key] for key in _NAME_KEYS if isinstance(call.get(key), str)), None)
    arguments = next((call[key] for key in _ARGUMENT_KEYS if key in call), None)
    if name is not None and arguments is not None:
        return _code(name, arguments, names)
    # The structured output of code-writing agents: {"thought": …, "code": …}.
    code = call.get("code")
    return code if isinstance(code, str) and is_code(code) and len(call) <= 3 else None


def _code(name: str, arguments: Any, names: frozenset[str] | None) -> str | None:
    name = name.removeprefix("functions.")
    name = "FINAL" if name.lower() == "final_answer" else name  # the tool with which agents of smolagents end
    if names is not None and name not in names:
        return None
    parsed = _json(arguments) if isinstance(arguments, str) else arguments
    if name.lower() in CODE_NAMES:
        return _code_argument(arguments if parsed is None else parsed)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        return None
    if isinstance(parsed, dict):
        if not all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in parsed):
            return None
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in parsed.items())})"
    if isinstance(parsed, list):
        return f"{name}({', '.join(map(repr, parsed))})"
    return f"{name}({(arguments if parsed is None else parsed)!r})"


def _code_argument(arguments: Any) -> str | None:
    if isinstance(arguments, str):
        return arguments
    if not isinstance(arguments, dict):
        return None
    named = [arguments[key] for key in _CODE_KEYS if isinstance(arguments.get(key), str)]
    texts = [value for value in arguments.values() if isinstance(value, str)]
    return named[0] if named else texts[0] if len(texts) == 1 else None


def _json(text: str) -> Any:
    text = text.strip()
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        return json.loads(text, strict=False)  # code in JSON often has its line ends unescaped
    except (ValueError, RecursionError):
        return _loose_json(text)


def _loose_json(text: str) -> Any:
    """Read JSON with a bracket too few or too many, or with Python's quotes or commas; None where it is none."""
    for attempt in (text + "}", text + "}}", text + "]", text.removesuffix("}"), text.removesuffix("]")):
        with suppress(ValueError, RecursionError):
            return json.loads(attempt, strict=False)
    if len(text) <= _MAX_PYTHON_CHARS:
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
            return value if isinstance(value, dict | list | str) else None
    return None


def _respelled(text: str, opening: str, closing: str, pattern: re.Pattern[str]) -> str:
    parts: list[str] = []
    position = 0
    while (start := text.find(opening, position)) >= 0:
        if text[max(0, start - 1) : start] in ("'", '"', "`", "\\") and not text.endswith("```", 0, start):
            parts.append(text[position : start + len(opening)])
            position = start + len(opening)
            continue
        end = text.find(closing, start) if closing else -1
        body = text[start + len(opening) : end if end >= 0 else len(text)]
        found = pattern.match(body) or _PLAIN.match(body)
        element = call_element(found[1], found[2]) if found and found[2].strip() else ""
        before = _SECTIONS.sub("", text[position:start]).rstrip(" \t")
        parts.append(f"{before}{'' if before.endswith(chr(10)) or not (before or parts) else chr(10)}{element}\n")
        position = end + len(closing) if end >= 0 else len(text)
    return "".join([*parts, _SECTIONS.sub("", text[position:])])
