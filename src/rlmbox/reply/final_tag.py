"""Final tags: `FINAL(...)`, `FINAL_VAR(name)`, `SUBMIT(...)`, `FINAL: text` and `FINAL_VAR: name` in plain text.

A tag counts at the start of a line, after list, heading and emphasis marks. Pure functions; the text may be hostile,
so every search is bounded by one budget that is proportional to the text.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FINAL_NAMES = ("FINAL", "FINAL_VAR", "SUBMIT")
"""The names that end a session, in reply text and as functions in the REPL."""

NOT_CLOSED = "{name}( is not closed. Write {name}(...) with the closing parenthesis at the end of a line."
EMPTY = "{name} has no answer in it. Write FINAL(your answer), or FINAL_VAR(name) for a variable."
NOT_A_NAME = "FINAL_VAR takes the name of one variable, as in FINAL_VAR(result)."
NOT_ALONE = "{name}(...) counts only with nothing after it on its line. To end, write it on a line of its own."
NOT_RUN = 'Outside code FINAL takes plain text; an f-string is not run. Put FINAL(f"...") in a ```repl block.'
NOT_STRICT = 'To end, write FINAL("your answer") or FINAL_VAR(name) alone on a line outside code; no other form counts.'

_MAX_LITERAL_CHARS = 1_000_000
_SCANS_OF_TEXT = 4  # budget of all searches for closing parentheses, in lengths of the text

_LEAD = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?:\#{1,6}[ \t]+)?(?P<bold>[*_]{0,3})"
_NAME = r"(?P<name>FINAL(?:\\?_VAR)?|SUBMIT)(?:(?P<paren>\()|(?<!SUBMIT)[*_]{0,3}:(?:[*_]{1,3}(?=\s|$))?)"
TAG = re.compile(_LEAD + _NAME)
"""A tag's beginning, to be matched at the first character of a line that is not blank."""

_STOP = re.compile(
    r"^[ \t]*(?:`{3}|~{3}|<(?:repl|python)>|" + re.sub(r"\?P<\w+>", "?:", _LEAD + _NAME) + ")", re.MULTILINE
)
_TAIL = re.compile(r"(?:[ \t*_~`.;,!]|</\w{1,20}>)*(?:#[^\n]*|<!--[^\n]*-->[ \t]*)?(?=\n|\Z)")
_PLAIN = re.compile(r"\\.|[()]", re.DOTALL)
_QUOTED = re.compile(
    r"""\\.|(?P<triple>\"{3}|'{3})|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[()]""",
    re.DOTALL,
)
_AFTER_TRIPLE = {quote: re.compile(r"(?:[^\\]|\\.)*?" + quote, re.DOTALL) for quote in ('"""', "'''")}
_F_STRING = re.compile(r"(?:[fF][rR]?|[rR][fF])[\"']")


@dataclass(frozen=True, slots=True)
class Final:
    """A final answer in the text of a reply.

    Attributes:
        kind: `text` for an answer in words or as a literal; `variable` for the name of a variable that holds it.
        value: The JSON value of a literal such as `FINAL([1, 2])`, otherwise the text; None for a variable.
        text: The answer in words; empty for a variable.
        name: The variable's name; empty for text.
    """

    kind: Literal["text", "variable"]
    value: object = None
    text: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tag:
    """A final tag as it was found.

    Attributes:
        start: Position of its first character in the text.
        end: Position after its last, at the end of a line.
        final: The answer; None where the tag is not well formed.
        problem: What to tell the model where the tag is not well formed; empty otherwise.
        aside: Whether it is only mentioned: a sentence goes on after it.
        colon: Whether it has the form `FINAL: text`.
    """

    start: int
    end: int
    final: Final | None = None
    problem: str = ""
    aside: bool = False
    colon: bool = False


class TagReader:
    """Reads the tags of one text; remembers each, so that asking twice costs nothing."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        self._text = text
        self._strict = strict
        self._known: dict[int, Tag | None] = {}
        self._budget_chars = _SCANS_OF_TEXT * len(text) + 100_000

    def at(self, start: int, line_end: int) -> Tag | None:
        """Reads the tag that begins at a position, or gives None where none does.

        Args:
            start: Position of a line's first character that is not blank.
            line_end: Position of the line's end.
        """
        if start not in self._known:
            match = TAG.match(self._text, start, line_end)
            self._known[start] = match and self._read(match)
        return self._known[start]

    def _read(self, match: re.Match[str]) -> Tag:
        tag = self._read_call(match) if match["paren"] else self._read_colon(match)
        if not self._strict or self._is_strict(match, tag):
            return tag
        return Tag(tag.start, tag.end, problem=NOT_STRICT, aside=tag.aside, colon=tag.colon)

    def _is_strict(self, match: re.Match[str], tag: Tag) -> bool:
        before = self._text[self._text.rfind("\n", 0, tag.start) + 1 : tag.start]
        source = self._text[tag.start : tag.end].rstrip(" \t")
        if tag.final is None or before.strip(" \t") or not source.endswith(")"):
            return False
        argument = source.removeprefix(f"{match['name']}(").removesuffix(")").strip()
        if tag.final.kind == "variable":
            return source.startswith("FINAL_VAR(") and argument == tag.final.name
        return source.startswith("FINAL(") and isinstance(_literal(argument), str)

    def _read_colon(self, match: re.Match[str]) -> Tag:
        is_variable = match["name"].endswith("VAR")
        stop = re.compile(r"\n|\Z") if is_variable else _STOP
        found = stop.search(self._text, match.end())
        end = found.start() if found else len(self._text)
        text = self._text[match.end() : end].strip()
        if match["bold"] and text.endswith(match["bold"]):
            text = text.removesuffix(match["bold"]).rstrip()
        if found and not is_variable:
            end = max(end - 1, match.end())
        final, problem = _variable(text) if is_variable else (Final("text", text, text), "")
        if not text:
            final, problem = None, EMPTY.format(name=f"{_name(match)}:")
        return Tag(match.start(), end, final, problem, colon=True)

    def _read_call(self, match: re.Match[str]) -> Tag:
        name = _name(match)
        line_end = self._text.find("\n", match.end())
        line_end = line_end if line_end >= 0 else len(self._text)
        on_line = False
        for close in self._closings(match.end(), line_end):
            tail = _TAIL.match(self._text, close + 1)
            if tail:
                final, problem = _answer(name, self._text[match.end() : close])
                return Tag(match.start(), tail.end(), final, problem)
            on_line = on_line or close < line_end
        problem = NOT_ALONE if on_line else NOT_CLOSED
        return Tag(match.start(), line_end, problem=problem.format(name=name), aside=on_line)

    def _closings(self, start: int, line_end: int) -> Iterator[int]:
        """Gives the places where the argument that begins at `start` may end, the likeliest first."""
        for find in (_close_of_python, _close_of_prose):
            if self._budget_chars <= 0:
                return
            close = find(self._text, start)
            self._budget_chars -= (close if close >= 0 else len(self._text)) - start
            if close >= 0:
                yield close
        # An enumeration such as `FINAL(a) this b) that)` has more closing than opening parentheses.
        line = self._text[start:line_end].rstrip(" \t*_~`.;,!")
        if line.endswith(")") and not line.endswith((":)", ";)", "-)")) and line.count(")") > line.count("(") + 1:
            yield start + len(line) - 1


def lone_tag(text: str, *, strict: bool = False) -> Tag | None:
    """Reads a block of code that holds a well-formed final tag and nothing else; None where it does not.

    In strict mode such a tag is a problem: it is in code.
    """
    text = text.strip()
    line_end = text.find("\n")
    tag = TagReader(text).at(0, line_end if line_end >= 0 else len(text))
    if tag is None or tag.end != len(text) or tag.final is None:
        return None
    return Tag(tag.start, tag.end, problem=NOT_STRICT, colon=tag.colon) if strict else tag


def _name(match: re.Match[str]) -> str:
    return match["name"].replace("\\", "")


def _close_of_python(text: str, start: int) -> int:
    """Finds the parenthesis that closes an argument written as Python: those in strings do not count."""
    depth, position = 1, start
    while match := _QUOTED.search(text, position):
        position = match.end()
        if match["triple"]:
            end = _AFTER_TRIPLE[match["triple"]].match(text, position)
            if end is None:
                return -1
            position = end.end()
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return -1


def _close_of_prose(text: str, start: int) -> int:
    """Finds the parenthesis that closes an argument written in words, where quotes may be apostrophes."""
    depth = 1
    for match in _PLAIN.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return -1


def _answer(name: str, argument: str) -> tuple[Final | None, str]:
    argument = argument.strip()
    if argument in ("", "..."):
        return None, EMPTY.format(name=f"{name}({argument})")
    if name == "FINAL_VAR":
        return _variable(argument)
    if _F_STRING.match(argument):
        return None, NOT_RUN
    value = _literal(argument)
    if value is _NOTHING:
        return Final("text", argument, argument), ""
    return Final("text", value, value if isinstance(value, str) else argument), ""


def _variable(text: str) -> tuple[Final | None, str]:
    name = text.strip().strip("`\"'").replace("\\_", "_")
    if not name.isidentifier() or keyword.iskeyword(name):
        return None, NOT_A_NAME
    return Final("variable", name=name), ""


_NOTHING = object()


def _literal(source: str) -> object:
    """Reads a Python or JSON literal as the JSON value it stands for; `_NOTHING` where it is not one.

    `1,234` and `Paris, France` are text, although Python would read tuples.
    """
    if len(source) > _MAX_LITERAL_CHARS:
        return _NOTHING
    try:
        with warnings.catch_warnings():  # an unknown escape such as "\d" is not our user's business
            warnings.simplefilter("ignore")
            value = ast.literal_eval(source)
        if isinstance(value, tuple) and not source.startswith("("):
            return _NOTHING
        found: object = json.loads(json.dumps(value, allow_nan=False))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return _json(source)
    return found


def _json(source: str) -> object:
    if not source.startswith(("{", "[")):
        return _NOTHING
    try:
        value: object = json.loads(source)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return _NOTHING
    return value
