"""Telling Python from other text, without running it, and cleaning what a model wrote around it and into it."""

# ruff: noqa: RUF001, RUF003 - the look-alikes are what this file is about

from __future__ import annotations

import ast
import html
import re
import textwrap
import warnings
from collections.abc import Iterator

_MAX_PROBE_CHARS = 200_000  # longest text that is parsed to decide what it is
_MAX_CURLY_CHARS = 10_000  # longest string in curly quotes that is put right
_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")
_NOTEBOOK_PROMPT = re.compile(r"(?:In \[\d{1,4}\]:|[ \t]{1,6}\.\.\.:) ?(?P<code>[^\n]*)")
_MAGIC = re.compile(r"^[ \t]*(?:%%?[a-z]\w*|![a-z])[^\n]*\n?", re.MULTILINE)  # of a notebook

# Python that does something, as against a word, a number or a literal that happens to be valid Python.
_ACTIVE = (ast.Call, ast.Subscript, ast.Await, ast.NamedExpr, ast.comprehension)
_PASSIVE_STATEMENTS = (ast.Expr, ast.Pass)

# What word processors, and models that have read their output, write in the place of the ASCII that Python wants.
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_NOTHINGS = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_PUNCTUATION = {"–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "…": "..."} | dict(
    zip("（）［］｛｝，：；＝＋＜＞．％", "()[]{},:;=+<>.%", strict=True)
)
_CLOSING = {"“": "”", "”": "”", "„": "“”", "‟": "”", "‘": "’", "’": "’", "‚": "‘’", "＂": "＂", "＇": "＇", "«": "»"}
_STRAIGHT = {"‘": "'", "’": "'", "‚": "'", "＇": "'"}
_ODD = re.compile("[" + _SPACES + _NOTHINGS + "".join(_PUNCTUATION) + "".join(_CLOSING) + "]")
_PIECE = re.compile(
    r"#[^\n]*|(?P<triple>\"{3}|'{3})|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|" + _ODD.pattern, re.DOTALL
)
_AFTER_TRIPLE = {quote: re.compile(r"(?:[^\\]|\\.)*?" + quote, re.DOTALL) for quote in ('"""', "'''")}


def program(code: str) -> ast.Module | None:
    """Parse code; None where it is not valid Python or too long to try."""
    try:
        return _parsed(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _parsed(code: str) -> ast.Module:
    if len(code) > _MAX_PROBE_CHARS:
        raise ValueError("too long to try")
    with warnings.catch_warnings():  # an unknown escape such as "\d" is not our user's business
        warnings.simplefilter("ignore")
        return ast.parse(code)


def is_unterminated(code: str) -> bool:
    """Return whether code ends within a triple-quoted string."""
    if '"""' not in code and "'''" not in code:
        return False
    try:
        _parsed(code)
    except SyntaxError as error:
        return "unterminated triple-quoted" in str(error.msg)
    except (ValueError, MemoryError, RecursionError):
        pass
    return False


def is_code(code: str) -> bool:
    """Return whether a block without a language is Python that does something."""
    tree = program(tidy(code))
    if tree is None:
        return False
    for statement in tree.body:
        is_note = isinstance(statement, ast.AnnAssign) and statement.value is None
        if not is_note and not isinstance(statement, _PASSIVE_STATEMENTS):
            return True
    return any(isinstance(node, _ACTIVE) for node in ast.walk(tree))


def is_whole_program(text: str) -> bool:
    """Return whether text outside any block is a program: valid Python that calls or assigns something.

    Words that happen to be Python are not one: in `Apple (AAPL)` a blank stands before the parenthesis.
    """
    tree = program(text)
    if tree is None:
        return False
    lines = text.encode().split(b"\n")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.NamedExpr | ast.Import | ast.ImportFrom):
            return True
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return True
        if isinstance(node, ast.Call) and _is_close_call(node, lines):
            return True
    return False


def _is_close_call(call: ast.Call, lines: list[bytes]) -> bool:
    line, column = call.func.end_lineno, call.func.end_col_offset
    return line is not None and column is not None and lines[line - 1][column : column + 1] == b"("


def assigned_names(code: str) -> frozenset[str]:
    """Return the names that code gives a value to."""
    tree = program(code)
    if tree is None:
        return frozenset()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return frozenset(names)


def tidy(code: str) -> str:
    """Take away what is not code, and put right what a model's typography has broken.

    Blank ends, common indentation, and the prompts and output of a transcript go; curly quotes, long dashes and odd
    spaces become what Python reads, only where the code does not parse with them and does without.
    """
    code = code.strip("\n")
    if code[:1] in (" ", "\t"):
        code = textwrap.dedent(code)
    if code.startswith(">>> "):
        lines = [line[4:] for line in code.split("\n") if _PROMPT.match(line)]
        code = "\n".join(lines)
    elif code.startswith("In ["):
        code = "\n".join(match["code"] for line in code.split("\n") if (match := _NOTEBOOK_PROMPT.match(line)))
    return repaired(code.rstrip())


def repaired(code: str) -> str:
    """Return code with what typography, HTML or a notebook put into it taken out, where only that makes it valid.

    Code that is valid, or stays wrong, comes back as it is.
    """
    if len(code) > _MAX_PROBE_CHARS or not _is_odd(code) or program(code) is not None:
        return code
    for attempt in _repairs(code):
        if attempt != code and program(attempt) is not None:
            return attempt
    return code


def _is_odd(code: str) -> bool:
    return _ODD.search(code) is not None or "&" in code or _MAGIC.search(code) is not None


def _repairs(code: str) -> Iterator[str]:
    yield _respelled(code)
    yield _ODD.sub(lambda match: _plain(match.group()), code)
    yield html.unescape(code)
    yield _MAGIC.sub("", code)


def _plain(char: str) -> str:
    if char in _SPACES:
        return " "
    if char in _NOTHINGS:
        return ""
    return _PUNCTUATION.get(char) or _STRAIGHT.get(char, '"' if char in "“”„‟＂«»" else char)


def _respelled(code: str) -> str:
    """Spell typography out, outside of strings; a string in curly quotes keeps those within it."""
    parts: list[str] = []
    position = 0
    budget_chars = 8 * len(code) + 10_000  # for looking for the ends of strings in curly quotes
    while match := _PIECE.search(code, position):
        parts.append(code[position : match.start()])
        position = match.end()
        piece = match.group()
        if match["triple"]:
            end = _AFTER_TRIPLE[piece].match(code, position)
            position = end.end() if end else len(code)
            piece = code[match.start() : position]
        elif piece in _CLOSING and budget_chars > 0:
            end_of, cost_chars = _end_of_curly(code, position, _CLOSING[piece])
            budget_chars -= cost_chars
            quote = _plain(piece)
            if end_of > 0:
                inner = code[position : end_of - 1]
                quote += re.sub(rf"(?<!\\){quote}", rf"\\{quote}", inner) + quote
                position = end_of
            piece = quote
        elif len(piece) == 1:
            piece = _plain(piece)
        parts.append(piece)
    return "".join([*parts, code[position:]])


def _end_of_curly(code: str, start: int, closing: str) -> tuple[int, int]:
    """Return the position after the quote that ends a string in curly quotes, -1 where none does, and the cost."""
    for index in range(start, min(start + _MAX_CURLY_CHARS, len(code))):
        char = code[index]
        if char == "\n":
            return -1, index - start + 1
        # The apostrophe of a word is no end: ‘it’s’ goes on to the last.
        if char in closing and not code[index + 1 : index + 2].isalnum():
            return index + 1, index - start + 1
    return -1, _MAX_CURLY_CHARS


def without_fence(code: str) -> str:
    """Take away a fence that a model put inside a `<repl>` block."""
    lines = code.strip().split("\n")
    mark = lines[0][:3]
    is_fenced = len(lines) > 1 and mark in ("```", "~~~") and lines[-1].strip() == mark
    return "\n".join(lines[1:-1]) if is_fenced else code
