"""Code in a reply that is in no block: a reply that is nothing but code, and code below words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Sequence

from rlmbox.reply.code import assigned_names, is_whole_program, program, tidy
from rlmbox.reply.tool_calls import code_of_call

_TAG_NAME = re.compile(  # `- FINAL(42)` is a bullet, and `Answer: FINAL(42)` no annotation
    rb"(?:[-+]?[ \t]*|return[ \t]+|[Aa]nswer[ \t]*:[ \t]*)(?:FINAL|FINAL_VAR|SUBMIT)\b"
)
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*\Z", re.DOTALL)
_OF_REPL = re.compile(r"\b(?:context|ctx|llm_query\w*|rlm_query\w*)\b|\bprint\(")
_INLINE = re.compile(r"\s*(`{1,2})([^`\n]+)\1\s*\Z")
_STATEMENT = re.compile(
    r"(?:[A-Za-z_][\w.]*(?:\[[^\n\]]*\])?\s?[=(,+]|(?:import|from|for|if|while|def|with|async)\s|try:|[#@])"
)
_FENCE = re.compile(r"^[ \t]*`{3}", re.MULTILINE)
_MAX_LINES = 60
_MAX_PROBES = 64
_MAX_CHARS = 20_000


def bare_code(source: str) -> tuple[str, bool] | None:
    """Read a reply that is nothing but Python, or nothing but the call of a tool.

    Args:
        source: The reply without its reasoning.

    Returns:
        The code, and True for a call; None where the reply is more or less than that.
    """
    source = cdata[1] if (cdata := _CDATA.match(source)) else source
    source = inline[2] if (inline := _INLINE.match(source)) and _OF_REPL.search(source) else source
    call = source.strip().removeprefix("functools").lstrip()
    if call.startswith(("{", "[")):
        code = code_of_call(call)
        return (tidy(code), True) if code is not None else None
    code = tidy(source)
    if _FENCE.search(code) and '"""' not in code and "'''" not in code:
        return None  # a fence is Python only within a string; most replies have one, and need not be parsed whole
    tree = program(code)
    if tree is None or not is_whole_program(code):
        return None
    lines = code.encode().split(b"\n")
    if all(_TAG_NAME.match(lines[each.lineno - 1], each.col_offset) for each in tree.body):
        return None  # tags, and not code
    return code, False


def code_that_sets(names: Collection[str], lines: Sequence[str], first: int, last: int) -> tuple[str, int, int] | None:
    """Return the code in no block that sets the names in a final tag, with the numbers of its first line and its end.

    Args:
        names: The names.
        lines: The lines of the reply.
        first: Number of the tag's first line.
        last: Number of the line after its last, or that of its first where Python cannot run the tag.
    """
    if not names:
        return None
    wanted = frozenset(names)
    for begin, end in _spans(lines, max(0, first - _MAX_LINES), first, last):
        code = textwrap.dedent("\n".join(lines[begin:end])).rstrip()
        if wanted <= assigned_names(code):
            return code, begin, end
    return None


def code_at_end(lines: Sequence[str]) -> tuple[str, int, int] | None:
    """Return code in no block with which a reply ends, after words, and which uses the REPL.

    Args:
        lines: The lines of the reply.
    """
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    for begin, _ in _spans(lines, max(0, end - _MAX_LINES), end, end, step=_MAX_LINES):
        code = textwrap.dedent("\n".join(lines[begin:end]))
        if _OF_REPL.search(code) and is_whole_program(code):
            return code, begin, end
    return None


def _spans(lines: Sequence[str], top: int, first: int, last: int, *, step: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the spans of lines that may be code, the longest first."""
    begins = [number for number in range(top, first) if _STATEMENT.match(lines[number])]
    if sum(map(len, lines[top:last])) > _MAX_CHARS:
        return
    probes = 0
    for end in range(last, top, -step):
        for begin in begins:
            if begin >= end:
                break
            probes += 1
            if probes > _MAX_PROBES:
                return
            yield begin, end
