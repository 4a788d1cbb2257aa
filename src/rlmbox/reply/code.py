"""Telling Python from other text, without running it, and cleaning what a model wrote around it."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

_MAX_PROBE_CHARS = 200_000  # longest text that is parsed to decide what it is
_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")

# Python that does something, as against a word, a number or a literal that happens to be valid Python.
_ACTIVE = (ast.Call, ast.Subscript, ast.Await, ast.NamedExpr, ast.comprehension)
_PASSIVE_STATEMENTS = (ast.Expr, ast.Pass)


def program(code: str) -> ast.Module | None:
    """Parses code; None where it is not valid Python or too long to try."""
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
    """Tells whether code ends within a triple-quoted string."""
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
    """Tells whether a block without a language is Python that does something."""
    tree = program(tidy(code))
    if tree is None:
        return False
    for statement in tree.body:
        is_note = isinstance(statement, ast.AnnAssign) and statement.value is None
        if not is_note and not isinstance(statement, _PASSIVE_STATEMENTS):
            return True
    return any(isinstance(node, _ACTIVE) for node in ast.walk(tree))


def tidy(code: str) -> str:
    """Takes away what is not code: blank ends, common indentation, and the prompts and output of a transcript."""
    code = code.strip("\n")
    if code[:1] in (" ", "\t"):
        code = textwrap.dedent(code)
    if code.startswith(">>> "):
        lines = [line[4:] for line in code.split("\n") if _PROMPT.match(line)]
        code = "\n".join(lines)
    return code.rstrip()


def without_fence(code: str) -> str:
    """Takes away a fence that a model put inside a `<repl>` block."""
    lines = code.strip().split("\n")
    mark = lines[0][:3]
    is_fenced = len(lines) > 1 and mark in ("```", "~~~") and lines[-1].strip() == mark
    return "\n".join(lines[1:-1]) if is_fenced else code
