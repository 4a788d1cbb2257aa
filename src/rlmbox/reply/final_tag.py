"""Final tags: `FINAL(...)`, `FINAL_VAR(name)`, `SUBMIT(...)`, `FINAL: text` and `FINAL_VAR: name` in plain text.

A tag counts at the start of a line, after list, heading and emphasis marks. Pure functions; the text may be hostile,
so every search is bounded by one budget that is proportional to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.reply.final_call import EMPTY, Final, read_argument, read_literal, read_variable, read_words

FINAL_NAMES = ("FINAL", "FINAL_VAR", "SUBMIT")
"""The names that end a session, in reply text and as functions in the REPL."""

NOT_CLOSED = "{name}( is not closed. Write {name}(...) with the closing parenthesis at the end of a line."
NOT_ALONE = "{name}(...) counts only with nothing after it on its line. To end, write it on a line of its own."
NOT_STRICT = 'To end, write FINAL("your answer") or FINAL_VAR(name) alone on a line outside code; no other form counts.'

_SCANS_OF_TEXT = 4  # budget of all searches for closing parentheses, in lengths of the text

_ANSWER = r"(?:(?:[Tt]he |[Mm]y )?(?:[Ff]inal )?[Aa]nswer(?: is)?[:*_]{0,4}[ \t]*\n?[ \t]*)"  # as words before a tag
_LEAD = (
    r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?:\#{1,6}[ \t]+)?(?P<bold>[*_]{0,3})"
    rf"(?:{_ANSWER}(?=FINAL|SUBMIT|[*_]{{1,3}}FINAL)[*_]{{0,3}}|return[ \t]+(?=FINAL|SUBMIT))?"
)
_NAME = (
    r"(?P<name>FINAL(?:\\?_VAR)?|SUBMIT|(?:FINAL|Final) (?:ANSWER|[Aa]nswer)(?!\())"
    r"(?:(?P<paren>\()|(?<!SUBMIT)[*_]{0,3}:(?:[*_]{1,3}(?=\s|$))?)"
)
TAG = re.compile(_LEAD + _NAME)
"""A tag's beginning, to be matched at the first character of a line that is not blank."""

_STOP = re.compile(
    r"^[ \t]*(?:`{3}|~{3}|</?(?:repl|python|code|execute|tool_call)\b|"
    + re.sub(r"\?P<\w+>", "?:", _LEAD + _NAME)
    + ")",
    re.MULTILINE,
)
_SIGNS = "\u2600-\u27bf\ufe0f\U0001f300-\U0001faff"  # such as a tick or a cracker
_TAIL = re.compile(rf"(?:[ \t*_~`.;,!{_SIGNS}]|</\w{{1,20}}>)*(?:(?:#|//)[^\n]*|<!--[^\n]*-->[ \t]*)?(?=\n|\Z)")
_PLAIN = re.compile(r"\\.|[()]", re.DOTALL)
_QUOTED = re.compile(
    r"""\\.|(?P<triple>\"{3}|'{3})|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[()]""",
    re.DOTALL,
)
_AFTER_TRIPLE = {quote: re.compile(r"(?:[^\\]|\\.)*?" + quote, re.DOTALL) for quote in ('"""', "'''")}


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
    """Read the tags of one text; remembers each, so that asking twice costs nothing."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        self._text = text
        self._strict = strict
        self._known: dict[int, Tag | None] = {}
        self._budget_chars = _SCANS_OF_TEXT * len(text) + 100_000

    def at(self, start: int, line_end: int) -> Tag | None:
        """Read the tag that begins at a position, or None where none does.

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
        return source.startswith("FINAL(") and isinstance(read_literal(argument), str)

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
        final, problem = read_variable(text) if is_variable else (_colon_answer(text), "")
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
                final, problem = read_argument(name, self._text[match.end() : close])
                return Tag(match.start(), tail.end(), final, problem)
            on_line = on_line or close < line_end
        problem = NOT_ALONE if on_line else NOT_CLOSED
        return Tag(match.start(), line_end, problem=problem.format(name=name), aside=on_line)

    def _closings(self, start: int, line_end: int) -> Iterator[int]:
        """Yield the places where the argument that begins at `start` may end, the likeliest first."""
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
    """Read a block of code that holds a well-formed final tag and nothing else; None where it does not.

    In strict mode such a tag is a problem: it is in code.
    """
    text = text.strip()
    line_end = text.find("\n")
    tag = TagReader(text).at(0, line_end if line_end >= 0 else len(text))
    if tag is None or tag.end != len(text) or tag.final is None:
        return None
    return Tag(tag.start, tag.end, problem=NOT_STRICT, colon=tag.colon) if strict else tag


def _colon_answer(text: str) -> Final:
    return Final("text", text, text) if "\n" in text else read_words(text)


def _name(match: re.Match[str]) -> str:
    return match["name"].replace("\\", "")


def _close_of_python(text: str, start: int) -> int:
    """Find the parenthesis that closes an argument written as Python: those in strings do not count."""
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
    """Find the parenthesis that closes an argument written in words, where quotes may be apostrophes."""
    depth = 1
    for match in _PLAIN.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return -1
