"""Reading a model's reply: the cells to run, the final answer, and what to tell the model about its form.

Pure functions over text that may be hostile: nothing here raises, runs code or reads the text more than a few times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlmbox.reply.blocks import CELL_LANGUAGES, Block, read_blocks
from rlmbox.reply.code import is_code, program, tidy
from rlmbox.reply.final_tag import FINAL_NAMES, Final, Tag, lone_tag

__all__ = [
    "CELL_LANGUAGES",
    "FINAL_NAMES",
    "MAX_REPLY_CHARS",
    "MAX_REPLY_LINES",
    "Final",
    "ParsedReply",
    "mentions_answer_dict",
    "parse_reply",
]

MAX_REPLY_CHARS = 1_000_000
"""Longest reply that is read, in characters."""

MAX_REPLY_LINES = 50_000
"""Longest reply that is read, in lines."""

_TEXT_LANGUAGES = frozenset({"text", "txt", "plaintext", "plain"})
_ANSWER_NAME = re.compile(r"(?<![\w.])answer(?!\w)")

_TOO_LONG = "The reply has {size}; at most {limit} are read, so nothing of it was run. Send a shorter one."
_OPEN_BLOCK = (
    "The code block that begins at line {line} is not closed, so it was not run. "
    "Send the whole block again, ending with {end} on a line of its own."
)


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What a model's reply asks for.

    Attributes:
        cells: Python to run, in order.
        final: The final answer given outside code, or None.
        problems: What is wrong with the reply's form, one message for the model each.
        thought: The prose: the reply without its cells and its final answer.
    """

    cells: tuple[str, ...] = ()
    final: Final | None = None
    problems: tuple[str, ...] = ()
    thought: str = ""


def parse_reply(text: str, *, strict: bool = False) -> ParsedReply:
    """Reads a reply; never raises.

    Where a reply holds several final tags, the last one decides. A tag with more words after it on its line is a
    mention and does not count. A block that is not closed is never run; the closed blocks before it are.

    Args:
        text: The reply, without reasoning.
        strict: Take only `FINAL("string literal")` and `FINAL_VAR(name)`, alone on a line, as final answers.
    """
    if len(text) > MAX_REPLY_CHARS:
        return _too_long(f"{len(text):,} characters", MAX_REPLY_CHARS)
    source = text.replace("\r\n", "\n").replace("\r", "\n")
    if source.count("\n") >= MAX_REPLY_LINES:
        return _too_long(f"{source.count(chr(10)) + 1:,} lines", MAX_REPLY_LINES)
    reading = _Reading(strict=strict)
    for block in read_blocks(source, strict=strict):
        reading.take(block)
    return reading.reply(source)


def mentions_answer_dict(code: str) -> bool:
    """Tells whether code may use the name `answer`; cheap, so also true where the word is only in a string."""
    return _ANSWER_NAME.search(code) is not None


def _too_long(size: str, limit: int) -> ParsedReply:
    return ParsedReply(problems=(_TOO_LONG.format(size=size, limit=f"{limit:,}"),))


class _Reading:
    """What was found so far in one reply."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._cells: list[str] = []
        self._tags: list[tuple[Tag, Block]] = []
        self._problems: list[str] = []
        self._not_prose: list[Block] = []

    def take(self, block: Block) -> None:
        """Adds what a block gives: a cell, a final tag, a problem, or nothing."""
        tag = block.tag if block.kind == "tag" else self._tag_in(block)
        if tag is not None:
            self._tags.append((tag, block))
        elif block.kind != "code":
            return
        elif not block.closed:
            if block.text.strip() or block.language:
                self._problems.append(_OPEN_BLOCK.format(line=block.first + 1, end=block.end))
        elif block.text.strip() and (block.language in CELL_LANGUAGES or (not block.language and is_code(block.text))):
            self._cells.append(tidy(block.text))
            self._not_prose.append(block)

    def _tag_in(self, block: Block) -> Tag | None:
        """Reads a code block that holds nothing but a final tag which is not a call that Python can run."""
        if block.kind == "indented":
            return lone_tag(block.text, strict=self._strict)
        if not block.closed or block.language not in CELL_LANGUAGES | _TEXT_LANGUAGES | {""}:
            return None
        tag = lone_tag(block.text, strict=self._strict)
        if tag is None or block.language in _TEXT_LANGUAGES:
            return tag
        # Python takes `FINAL: 42` for an annotation, which does nothing.
        runs = is_code(block.text) if tag.colon else program(tidy(block.text)) is not None
        return None if runs else tag

    def reply(self, source: str) -> ParsedReply:
        """Puts together what was found."""
        meant = [found for found in self._tags if not found[0].aside]
        final: Final | None = None
        if meant:
            tag, block = meant[-1]
            final = tag.final
            if final is None:
                self._problems.append(tag.problem)
            else:
                self._not_prose.append(block)
        elif self._tags and (self._strict or not self._cells):
            self._problems.append(self._tags[-1][0].problem)
        return ParsedReply(tuple(self._cells), final, tuple(dict.fromkeys(self._problems)), self._prose(source))

    def _prose(self, source: str) -> str:
        if not self._not_prose:
            return source.strip()
        lines = source.split("\n")
        parts: list[str] = []
        done = 0
        for block in sorted(self._not_prose, key=lambda block: block.first):
            parts.append("\n".join(lines[done : block.first]).strip())
            done = max(done, block.last)
        parts.append("\n".join(lines[done:]).strip())
        return "\n\n".join(part for part in parts if part)
