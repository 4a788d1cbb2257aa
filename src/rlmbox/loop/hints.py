"""One line of advice for each way that a cell fails, chosen from the error's type and message."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module

from rlmbox.types import CellError, CellOutcome, NamespaceState

_MAX_CANDIDATES = 1_000
_MAX_NAME_CHARS = 60

_NO_FILES = "There are no files here; the text is in `context`."
_ANSWERING = ("FINAL", "FINAL_VAR", "SUBMIT")  # which code does not have under `strict`
_ANSWERING_ELSEWHERE = ("final_answer", "finalanswer", "submit_answer", "finish", "final", "submit")
_NOT_IN_CODE = (
    'Code cannot answer here: outside code and alone on a line, write FINAL_VAR(name), or FINAL("the answer").'
)
_NO_NUMBER = "Print repr(...) of the text. Take away commas, signs and words first, or skip what is no number."
_IS_NONE = "A value is None: a search that finds nothing gives None. Test for it first."
_NO_PACKAGE = (
    "That package cannot be imported here, and no code can allow it. Write it with Python's own modules, such as csv, "
    "collections, statistics, datetime and re."
)
_PACKAGE_NAMES = ("pd", "np", "plt")
_OF_CTX = "ctx has functions, and the system prompt lists them. The text is `context`."
_WRONG_PATTERN = "The pattern is wrong at that position. Text to be found as it is goes through re.escape(text)."
_NO_NAME = "That module has no such name here. Check its spelling, or do without it."
_NEEDS_DICT = "The value is a string, not a dictionary. Read it with json.loads(...) first, where it is JSON."
_OF_DATA = "A text has no keys. The object of which context is the text is data: data['key'], data[0]."
_OWN_WAY = "The last line names a way that works here; take that."
_CONVERT = "Print type(...) of the values and convert them, as with str(x), int(x) or json.loads(x)."

_LIMITS: dict[str, str] = {
    "timeout": "The cell ran longer than it may. Work on a slice of the text, or use ctx.search in place of a loop.",
    "memory": "The cell needed more memory than it may. Work on slices, and keep results, not copies of the text.",
    "stack": "The calls were nested too deeply. Use a loop in place of recursion.",
    "output": "The cell printed far too much and was ended. Print counts, or a slice.",
    "crashed": "The REPL stopped while the cell ran. Do it in smaller steps.",
}

_LIMIT_OF_TYPE: dict[str, str] = {
    "ExecutionTimeout": "timeout",
    "MemoryExceeded": "memory",
    "StackOverflow": "stack",
    "OutputExceeded": "output",
    "SandboxCrashed": "crashed",
}

_NAMESPACE: dict[NamespaceState, str] = {
    "kept": "Variables set before are kept.",
    "rebuilt": "The variables were rebuilt by running the earlier cells again.",
    "lost": "All variables are lost; set those you need again.",
}

_TYPES: dict[str, str] = {
    "IndexError": "The position is past the end. Check len(...) first; a search may have found fewer than you think.",
    "UnicodeError": 'Some bytes are not text. Use decode("utf-8", errors="replace").',
    "RecursionError": "Use a loop in place of recursion.",
    "FileNotFoundError": _NO_FILES,
    "PermissionError": f"That is not allowed here. {_NO_FILES}",
    "OSError": _NO_FILES,
    "ConnectionError": "There is no network here; the text is in `context`.",
    "NotImplementedError": "The Python of this REPL does not have that. Write it another way.",
    "MemoryError": "Work on slices of the text, and keep results, not copies.",
    "TimeoutError": "Work on less at a time: a slice of the text, or fewer prompts in one call.",
    "JSONDecodeError": "The text is not JSON. Print its first 200 characters; take away words and fences around it.",
    "ZeroDivisionError": "Something counted is empty. Print its len(...) first.",
    "ModuleNotFoundError": _NO_PACKAGE,
    "ImportError": _NO_NAME,
    "SystemExit": "The cell has ended, the session has not: leave exit() out and go on.",
    "EOFError": "Nobody can type here. Set the value in the code; the question is in `query`.",
    "BdbQuit": "There is no debugger here. Print the values that you want to see.",
    "AssertionError": "Print the values that the assertion is about.",
    "StopIteration": "There was no further item. Give next(...) a default, as in next(items, None).",
}

_ALIASES: dict[str, str] = {
    "error": "PatternError",  # as `re` calls it before Python 3.13, and zlib its own
    "UnicodeDecodeError": "UnicodeError",
    "UnicodeEncodeError": "UnicodeError",
    "ConnectionRefusedError": "ConnectionError",
    "gaierror": "ConnectionError",
    "socket.gaierror": "ConnectionError",
    "IsADirectoryError": "FileNotFoundError",
    "IndentationError": "SyntaxError",
    "TabError": "SyntaxError",
    "UnboundLocalError": "NameError",
    "json.decoder.JSONDecodeError": "JSONDecodeError",
    "json.JSONDecodeError": "JSONDecodeError",
}

# As worded by CPython and by Monty.
_SYNTAX: tuple[tuple[str, str], ...] = (
    ("unterminated triple-quoted", "A string is not closed. End it with the same three quotes, \"\"\" or '''."),
    ("unterminated", 'A string has no end on its line. Use triple quotes, """...""", for text with line breaks.'),
    ("missing closing quote", 'A string is not closed. Use triple quotes, """...""", for text with line breaks.'),
    ("was never closed", "A bracket is not closed. Close it and send the whole cell again."),
    ("unmatched", "A closing bracket has no opening one. Correct it and send the whole cell again."),
    ("unexpected EOF", "The cell ends too early. Close every bracket and string and send the whole cell again."),
    ("invalid character", "The cell has a character that is not Python, such as a curly quote. Use plain quotes."),
    ("unexpected token “", "The cell has a curly quote. Use plain quotes."),
    ("invalid non-printable", "The cell has an invisible character. Type the line again."),
    ("indent", "Indent each block by four spaces and begin the cell at the margin."),
    ("f-string", "Compute the value before, in a variable, and put only its name in the f-string."),
    ("outside function", "A cell is not a function: leave out return and print the value."),
)

# Errors of rlmbox's own that end with what to write instead.
_NAMES_A_WAY = re.compile(
    r"not (?:available )?in this REPL(?:'s Python)?: |context\[a:b\]|\bctx\.\w{1,30}\(|`for line in |"
    r": rewrite it, or |would not fit in memory"
)
_VALUES: tuple[tuple[str, str], ...] = (
    ("invalid literal for int", _NO_NUMBER),
    ("could not convert string to float", _NO_NUMBER),
    ("values to unpack", "Print one of the values and its len(...): some have more or fewer parts than you unpack."),
    ("does not match format", "Print the text and fit the format to it; where there are other formats, try each."),
)
_TYPE_ERRORS: tuple[tuple[str, str], ...] = (
    ("NoneType", _IS_NONE),
    ("await", "Call the function without await; it gives its result at once."),
    ("coroutine", "An async function gives its result only with await. Define it without async."),
    (
        "not callable",
        "A variable may have the name of a function, such as list or str. Give the variable another name.",
    ),
    ("string indices must", _NEEDS_DICT),
    ("list indices must", "The value is a list. Take an item by its position first, such as value[0]."),
    ("'HostObject'", _OF_CTX),
    ("unhashable", "Lists and dictionaries cannot be keys. Use tuple(x) or json.dumps(x) as the key."),
    ("not JSON serializable", "Write json.dumps(value, default=str), or make a list of a set before."),
    ("keys must be str", "Make the keys strings first, as with {str(k): v for k, v in d.items()}."),
)
_IMPORTED_FROM = (
    "collections", "datetime", "functools", "itertools", "io", "dataclasses", "typing", "statistics", "decimal",
    "operator", "textwrap", "difflib", "math", "random",
)  # fmt: skip
"""Modules from which models import single names."""
_ATTRIBUTE = re.compile(r"'HostObject' object has no attribute '(\w{1,60})'")
_OF_DICT = re.compile(r"'dict' object has no attribute '(\w{1,60})'")
_NAME = re.compile(r"name '(\w{1,60})'|variable '(\w{1,60})'")  # bounded: a message may contain anything
_CALL = re.compile(r"(?:\w+\.)?([\w.]{1,60})\(\) (?:got|missing|takes)")


def hint(error: CellError, outcome: CellOutcome, namespace: NamespaceState, names: Sequence[str]) -> str:
    """Return one line of advice about an error, and the state of the variables if that matters.

    Args:
        error: The error.
        outcome: How the cell ended; a limit is explained as such whatever the error's type.
        namespace: State of the namespace after the cell.
        names: Names in the REPL, for "did you mean".
    """
    limit = outcome if outcome in _LIMITS else _LIMIT_OF_TYPE.get(error.type)
    if limit is not None:
        return f"{_LIMITS[limit]} {_NAMESPACE[namespace]}"
    kind = _ALIASES.get(error.type, error.type)
    find = _FINDERS.get(kind)
    if _NAMES_A_WAY.search(error.message):
        advice: str | None = _OWN_WAY
    else:
        advice = find(error.message, names) if find else _TYPES.get(kind)
    advice = advice or "Read the last line of the traceback, correct the cell and send it again."
    return advice if namespace == "kept" else f"{advice} {_NAMESPACE[namespace]}"


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three similar names, the most similar first (difflib's ratio, at least 0.6)."""
    candidates = [
        other for other, _ in zip(names, range(_MAX_CANDIDATES), strict=False) if len(other) <= _MAX_NAME_CHARS
    ]
    by_fold = {other.casefold(): other for other in reversed(candidates)}
    matches = difflib.get_close_matches(name[:_MAX_NAME_CHARS].casefold(), by_fold, n=3, cutoff=0.6)
    return [by_fold[match] for match in matches]


def _of_name(message: str, names: Sequence[str]) -> str | None:
    match = _NAME.search(message)
    if match is None:
        return None
    name = match[1] or match[2]
    if match[2]:
        return f"{name} is set later in the function. Give it a value first, or pass it as an argument."
    if name == "open":
        return _NO_FILES
    if name in _ANSWERING:
        return _NOT_IN_CODE
    if name.casefold() in _ANSWERING_ELSEWHERE:
        return "End with the answer in FINAL(value)." if "FINAL" in names else _NOT_IN_CODE
    if name in ("true", "false", "null"):
        return "Python writes True, False and None; read JSON with json.loads(...)."
    return _NO_PACKAGE if name in _PACKAGE_NAMES else _of_missing(name, names)


def _of_missing(name: str, names: Sequence[str]) -> str:
    """Return advice on a name that is not set: an import, a similar name, or a variable."""
    home = _home_of(name)
    # A variable `counter` is not what `Counter` stands for.
    if home and name[0].isupper():
        return f"Write from {home} import {name} first."
    meant = close_names(name, names)
    if variables := [other for other in meant if "." not in other]:
        return f"Did you mean {' or '.join(variables)}?"
    if name in sys.stdlib_module_names:
        return f"Write import {name}{f', or from {name} import {name},' if home == name else ''} first."
    if home:
        return f"Write from {home} import {name} first, or set {name} if it is a variable of yours."
    # A variable `lines` is more often missing than `ctx.` before it.
    perhaps = f" Or did you mean {' or '.join(meant)}?" if meant else ""
    return f"Set {name} before you use it; variables from earlier cells that failed may be missing.{perhaps}"


def _home_of(name: str) -> str:
    """Return the module of the standard library from which models import a name; empty for none."""
    if name == "Context":  # meant for `context`, not for that of decimal
        return ""
    return next((module for module in _IMPORTED_FROM if name in _exports(module)), "")


@cache
def _exports(module: str) -> frozenset[str]:
    loaded = import_module(module)
    return frozenset(getattr(loaded, "__all__", dir(loaded)))


def _of_syntax(message: str, names: Sequence[str]) -> str:
    for part, advice in _SYNTAX:
        if part in message:
            return advice
    return "Correct the line that the traceback shows and send the whole cell again, Python only."


def _of_type(message: str, names: Sequence[str]) -> str | None:
    call = _CALL.match(message)
    if call and any(name.rsplit(".", 1)[-1] == call[1].rsplit(".", 1)[-1] for name in names):
        return f"Look at the arguments of {call[1]} in the system prompt, where its signature is."
    if call:
        return f"Look at the arguments that {call[1]} takes."
    if "string indices must" in message and "data" in names:
        return _OF_DATA
    return next((advice for part, advice in _TYPE_ERRORS if part in message), _CONVERT)


def _of_value(message: str, names: Sequence[str]) -> str | None:
    return next((advice for part, advice in _VALUES if part in message), None)


def _of_key(message: str, names: Sequence[str]) -> str:
    kinds = "; 1 and '1' are two keys" if message.strip("'\"-").isdigit() else ""
    return f"There is no such key{kinds}. Print list(d)[:20] to see the keys, or use d.get(key)."


def _of_pattern(message: str, names: Sequence[str]) -> str | None:
    return _WRONG_PATTERN if "at position" in message else None


def _of_runtime(message: str, names: Sequence[str]) -> str | None:
    return "Give llm_query_batched all prompts at once." if "no threads" in message else None


def _of_attribute(message: str, names: Sequence[str]) -> str:
    if found := _ATTRIBUTE.search(message):
        meant = close_names(f"ctx.{found[1]}", [name for name in names if "." in name])
        return f"Did you mean {' or '.join(meant)}?" if meant else _OF_CTX
    if "NoneType" in message:
        return _IS_NONE
    if message.startswith("module '"):
        return _NO_NAME
    if found := _OF_DICT.search(message):
        return f"The value is a dictionary: write value['{found[1]}'], if it has that key."
    if "'str' object" in message:
        return "The value is a string, not an object. Print it, or read it with json.loads(...) where it is JSON."
    return "There is no such attribute here. Print type(...) of the value and use what that type has."


_FINDERS: dict[str, Callable[[str, Sequence[str]], str | None]] = {
    "NameError": _of_name,
    "SyntaxError": _of_syntax,
    "TypeError": _of_type,
    "AttributeError": _of_attribute,
    "ValueError": _of_value,
    "RuntimeError": _of_runtime,
    "PatternError": _of_pattern,
    "KeyError": _of_key,
}
