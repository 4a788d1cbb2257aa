"""Reading a model's reply: the cells to run, the final answer, and what to tell the model about its form.

Pure functions over text that may be hostile: nothing here raises, runs code or reads the text more than a few times.
"""

from __future__ import annotations

import json
import re
import textwrap
from contextlib import suppress
from dataclasses import dataclass, replace

from rlmbox.reply.bare import bare_code, code_at_end, code_that_sets
from rlmbox.reply.blocks import Block, read_blocks
from rlmbox.reply.code import assigned_names, is_code, program, tidy
from rlmbox.reply.fences import CELL_LANGUAGES, plain_fences
from rlmbox.reply.final_call import Final
from rlmbox.reply.final_tag import FINAL_NAMES, Tag, lone_tag
from rlmbox.reply.invented import OUTPUT_LANGUAGES, begins_invented_output
from rlmbox.reply.thoughts import split_thought
from rlmbox.reply.tokens import CODE_NAMES
from rlmbox.reply.tool_calls import code_of_call, with_elements

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
"""Longest reply that is read, in characters, without its reasoning."""

MAX_REPLY_LINES = 50_000
"""Longest reply that is read, in lines, without its reasoning."""

_TEXT_LANGUAGES = frozenset({"text", "txt", "plaintext", "plain"})
_CALL_LANGUAGES = frozenset({"json", "xml", "tool_call", "tool_calls", "tool", "function_call", "action"})
_CALLED_NAMES = CODE_NAMES | frozenset(FINAL_NAMES)
_RETURNED = re.compile(r"^return[ \t]+(?=(?:FINAL|FINAL_VAR|SUBMIT)\()", re.MULTILINE)
_TICKED = re.compile(
    r"(?P<lead>\A\s*|(?<!:)\n[ \t]*\n|(?<=```)\n)(?:[^`\n]{0,80}\b[Aa]nswer\b[^`\n]{0,20})?[ \t*_]*(?P<marks>`{1,2})"
    r"(?P<tag>(?:FINAL(?:_VAR)?|SUBMIT)\([^`\n]*\))(?P=marks)[*_.]*\s*\Z"
)
_ANSWER_NAME = re.compile(r"(?<![\w.])answer(?!\w)")
_ESCAPED_FENCE = re.compile(r"```(?:repl|python|py)\\n")  # the reply is a string of JSON
_ESCAPED_TICKS = re.compile(r"^([ \t]*)(?:\\`){3}", re.MULTILINE)
_INVISIBLE_CHARS = "\ufeff\u200b\u200c\u200d\u2060\u00ad"
_INVISIBLE = re.compile(f"^[{_INVISIBLE_CHARS}]+", re.MULTILINE)
_FENCE_INFO = re.compile(r"```(repl|python|py)[ \t]*$")
_WIDE = re.compile(r"^([ \t*]*(?:FINAL(?:_VAR)?|SUBMIT))（(.*)）(?=[ \t*。.]*$)", re.MULTILINE)  # noqa: RUF001
_SPACED = re.compile(r"\A(\s*(?:FINAL(?:_VAR)?|SUBMIT))[ \t](?=\([^\n]*\)\s*\Z)")
_TAG = r"(?P<tag>(?:FINAL(?:\\?_VAR)?|SUBMIT)\(.*\))"
_BOXED = re.compile(  # as models write that were trained on sums
    rf"^[ \t]*(?:\$\$?|\\\[|\\\()?[ \t]*\\boxed\{{[ \t]*(?:\\\w{{4,6}}\{{)?{_TAG}[ \t]*\}}{{1,2}}"
    r"[ \t]*(?:\$\$?|\\\]|\\\))?[ \t.]*$",
    re.MULTILINE,
)
_BOLD_NAME = re.compile(r"^([ \t]*)\*\*(FINAL(?:\\?_VAR)?|SUBMIT)\*\*(?=\()", re.MULTILINE)
_IN_ELEMENT = re.compile(rf"^[ \t]*<(final(?:_answer)?|answer|response)>[ \t]*{_TAG}[ \t]*</\1>[ \t]*$", re.MULTILINE)
_GLUED = re.compile(r"(?<=[.!?:])[ \t]*(?=<(?:tool_call|execute|execute_ipython)>)")
_WRAPPED = re.compile(r"^((?:[ \t]*<\w{1,40}>){1,4})[ \t]*(?=<(?:code|repl|python|execute|tool_call)\b)", re.MULTILINE)
_CODE_IN_WORDS = re.compile(r"[\w\])]\(|\w\[|[\"'“”]\s*[+%]|[+%]\s*[\"'“”]|==|\b[fF][\"']")

_HOW = "Write Python in a block that begins with ```repl and ends with ```, or end with FINAL(your answer)."
_EMPTY = f"Your reply was empty, or nothing but reasoning. {_HOW}"
_ONLY_THOUGHT = f"Your whole reply was reasoning, with neither code nor an answer after it. Think less. {_HOW}"
_TOO_LONG = "The reply has {size}; at most {limit} are read, so nothing of it was run. Send a shorter one."
_OPEN_BLOCK = (
    "The code block that begins at line {line} is not closed, so it was not run. "
    "Send the whole block again, ending with {end} on a line of its own."
)
_BAD_CALL = f"There are no tools to call here, and no Python could be read from the call in your reply. {_HOW}"
_DRAFT = (
    "Your final answer did not count: it was written in the same reply as code, before that code had run. "
    "Read the output, then give the answer in a reply without code, or write FINAL_VAR(name) beside the code."
)
_INVENTED = (
    "Your reply went on with output that no code had printed yet; nothing after that was run. "
    "End your reply after the code: its output is sent to you."
)
_QUOTED = f"The code in your reply is quoted (>), and what is quoted is not run. {_HOW}"
_RAN_BARE = "Your reply was Python without a block and was run as one. Begin code with ```repl and end it with ```."
_RAN_CALL = "Your reply called a tool; there are none, so the code in the call was run. Write code in a ```repl block."


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A reply, read.

    Attributes:
        cells: Python to run, in order.
        final: The final answer given outside code, or None. Beside cells it counts only once they have run.
        problems: What is wrong with the reply's form, one message for the model each.
        thought: The prose: the reply without its reasoning, its final answer, and its cells, run or not closed.
        reasoning: What the model thought before it replied, where that is in the text; it is never read.
        notes: How the reply was read where its form is not the one asked for; one message for the model each.
        draft: An answer in words that does not count, because it was written beside cells before they had run; it is
            of use where nothing else will come, as in the last reply of a run.
    """

    cells: tuple[str, ...] = ()
    final: Final | None = None
    problems: tuple[str, ...] = ()
    thought: str = ""
    reasoning: str = ""
    notes: tuple[str, ...] = ()
    draft: Final | None = None


def parse_reply(text: str, *, strict: bool = False) -> ParsedReply:
    """Read a reply; never raises.

    Where a reply holds several final tags, the last one decides. A tag with more words after it on its line is a
    mention and does not count. A block that is not closed is never run; the closed blocks before it are. An answer
    in words beside code does not count, because it was written before the code had run.

    Args:
        text: The reply, with or without reasoning.
        strict: Take only `FINAL("string literal")` and `FINAL_VAR(name)`, alone on a line, as final answers, and only
            code in blocks.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() and any(char in text for char in _INVISIBLE_CHARS):
        text = _INVISIBLE.sub("", text)
    text = _unescaped(text)
    reasoning, source = split_thought(text)
    if len(source) > MAX_REPLY_CHARS:
        return _too_long(f"{len(source):,} characters", MAX_REPLY_CHARS)
    if source.count("\n") >= MAX_REPLY_LINES:
        return _too_long(f"{source.count(chr(10)) + 1:,} lines", MAX_REPLY_LINES)
    if not source.strip():
        return ParsedReply(problems=(_ONLY_THOUGHT if reasoning else _EMPTY,), reasoning=reasoning)
    if not strict and (bare := bare_code(source)) is not None:
        cell, is_call = bare
        return ParsedReply((cell,), reasoning=reasoning, notes=(_RAN_CALL if is_call else _RAN_BARE,))
    if not strict:
        source = _with_plain_tags(source)
    source = with_elements(source)
    if "<" in source:
        source = _WRAPPED.sub(r"\1\n", _GLUED.sub("\n", source))
    source = plain_fences(source)
    reading = _Reading(source, strict=strict)
    for block in read_blocks(source, strict=strict):
        reading.take(block)
    return reading.reply(reasoning)


def _with_plain_tags(source: str) -> str:
    """Return a reply whose final tags are written as they are asked for, where a model spelled them otherwise."""
    if "FINAL" not in source and "SUBMIT" not in source:
        return source
    source = _BOLD_NAME.sub(r"\1\2", _SPACED.sub(r"\1", source))
    source = _IN_ELEMENT.sub(r"\g<tag>", _BOXED.sub(r"\g<tag>", source))
    return _WIDE.sub(r"\1(\2)", _TICKED.sub(r"\g<lead>\g<tag>", source))


def _unescaped(text: str) -> str:
    """Return the text of a reply that came as a string of JSON, or with Markdown's marks escaped."""
    if text.lstrip().startswith('"') and text.rstrip().endswith('"') and "\\n" in text:
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            text = found if isinstance(found, str) else text
    if "\n" not in text and "\\n```" in text and _ESCAPED_FENCE.search(text):
        text = text.replace("\\n", "\n").replace('\\"', '"')
    return _ESCAPED_TICKS.sub(r"\1```", text) if "\\`" in text else text


def mentions_answer_dict(code: str) -> bool:
    """Return whether code may use the name `answer`; cheap, so also true where the word is only in a string."""
    return _ANSWER_NAME.search(code) is not None


def _too_long(size: str, limit: int) -> ParsedReply:
    return ParsedReply(problems=(_TOO_LONG.format(size=size, limit=f"{limit:,}"),))


class _Reading:
    """A reply that is being read, block by block."""

    def __init__(self, source: str, *, strict: bool) -> None:
        self._lines = source.split("\n")
        self._strict = strict
        self._cells: list[str] = []
        self._tags: list[tuple[Tag, Block]] = []
        self._drafts: list[Final] = []
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._not_prose: list[Block] = []
        self._read_to = 0
        self._is_invented = False
        self._has_quoted_code = False

    def take(self, block: Block) -> None:
        """Add what a block gives: a cell, a final tag, a problem, or nothing."""
        self._look_for_invented(block)
        if block.kind == "indented":
            block = _fenced_block(block)
        tag = block.tag if block.kind == "tag" else self._tag_in(block)
        if tag is not None:
            self._tags.append((tag, block))
        elif not self._is_invented:
            self._take_code(block)

    def _look_for_invented(self, block: Block) -> None:
        between, self._read_to = range(self._read_to, block.first), max(self._read_to, block.last)
        if self._is_invented or not self._cells:
            return
        self._is_invented = block.language in OUTPUT_LANGUAGES or any(
            begins_invented_output(self._lines[number]) for number in between
        )
        if self._is_invented:
            self._problems.append(_INVENTED)

    def _take_code(self, block: Block) -> None:
        if block.kind == "call" or (block.kind == "code" and block.language in _CALL_LANGUAGES and block.closed):
            self._take_call(block)
        elif block.kind != "code":
            self._has_quoted_code = self._has_quoted_code or block.kind == "quoted"
        elif not block.closed:
            if block.text.strip() or block.language:
                self._problems.append(_OPEN_BLOCK.format(line=block.first + 1, end=block.end))
            if block.language in CELL_LANGUAGES:
                self._not_prose.append(block)
        elif not block.text.strip():
            self._not_prose.append(block)
        elif block.language in CELL_LANGUAGES or (block.language in ("", "code") and is_code(block.text)):
            self._take_cell(block, tidy(block.text))

    def _take_cell(self, block: Block, cell: str) -> None:
        self._not_prose.append(block)
        if self._cells and not self._strict and (answer := _lone_answer(cell)):
            self._drafts.append(answer)
        else:
            self._cells.append(_RETURNED.sub("", cell))

    def _take_call(self, block: Block) -> None:
        code = block.text
        if block.kind == "code":
            code = code_of_call(code, names=_CALLED_NAMES if block.language in ("json", "xml") else None) or ""
        if code and not self._strict:
            self._notes.append(_RAN_CALL)
            self._take_cell(block, tidy(code))
        elif block.kind == "call" or code:
            self._problems.append(_BAD_CALL)

    def _tag_in(self, block: Block) -> Tag | None:
        """Read a code block that holds nothing but a final tag which is not a call that Python can run."""
        if block.kind == "indented":
            return lone_tag(block.text, strict=self._strict)
        if block.kind != "code" or not block.closed or block.language not in CELL_LANGUAGES | _TEXT_LANGUAGES | {""}:
            return None
        tag = lone_tag(block.text, strict=self._strict)
        if tag is None or block.language in _TEXT_LANGUAGES:
            return tag
        # Python takes `FINAL: 42` for an annotation, which does nothing.
        runs = is_code(block.text) if tag.colon else program(tidy(block.text)) is not None
        # Broken code is a cell, whose error the model is told; it is never the answer.
        return None if runs or (not tag.colon and _CODE_IN_WORDS.search(block.text.partition("(")[2])) else tag

    def reply(self, reasoning: str) -> ParsedReply:
        """Put together what was found."""
        if not self._cells and not self._strict:
            self._look_for_bare_code()
        final = self._final()
        draft = self._drafts[-1] if self._drafts else None
        if final is not None and final.kind == "text" and self._cells and not self._is_set_here(final):
            final, draft = None, final
        if draft is not None and final is None:
            self._problems.append(_DRAFT)
        elif self._has_quoted_code and not (self._cells or final or self._problems):
            self._problems.append(_QUOTED)
        return ParsedReply(
            tuple(self._cells),
            final,
            tuple(dict.fromkeys(self._problems)),
            self._prose(),
            reasoning,
            tuple(dict.fromkeys(self._notes)),
            draft,
        )

    def _look_for_bare_code(self) -> None:
        """Take code in no block: that which sets what the final tag names, or that with which the reply ends."""
        meant = [found for found in self._tags if not found[0].aside]
        if meant:
            (tag, block), final = meant[-1], meant[-1][0].final
            names = (final.names or [final.name] * bool(final.name)) if final is not None else ()
            found = code_that_sets(names, self._lines, block.first, block.first if tag.colon else block.last)
        elif self._tags or self._problems:
            return
        else:
            found = code_at_end(self._lines)
        if found is None:
            return
        code, first, end = found
        self._notes.append(_RAN_BARE)
        self._tags = [each for each in self._tags if not first <= each[1].first < end]
        self._take_cell(Block("code", first, end), tidy(code))

    def _final(self) -> Final | None:
        meant = [found for found in self._tags if not found[0].aside]
        if meant:
            tag, block = meant[-1]
            if tag.final is None:
                self._problems.append(tag.problem)
            else:
                self._not_prose.append(block)
            return tag.final
        if self._tags and (self._strict or not self._cells):
            self._problems.append(self._tags[-1][0].problem)
        return None

    def _is_set_here(self, final: Final) -> bool:
        """Return whether an answer is made of names that the reply's own cells give a value to."""
        return bool(final.names) and set(final.names) <= set().union(*map(assigned_names, self._cells))

    def _prose(self) -> str:
        parts: list[str] = []
        done = 0
        for block in sorted(self._not_prose, key=lambda block: block.first):
            parts.append("\n".join(self._lines[done : block.first]).strip())
            done = max(done, block.last)
        parts.append("\n".join(self._lines[done:]).strip())
        return "\n\n".join(part for part in parts if part)


def _fenced_block(block: Block) -> Block:
    """Return code that is only indented as the block whose fence was indented with it, where it is one."""
    lines = block.text.strip().split("\n")
    fence = _FENCE_INFO.match(lines[0])
    if fence is None or len(lines) < 3 or lines[-1].strip() != "```":
        return block
    return replace(block, kind="code", text=textwrap.dedent("\n".join(lines[1:-1])), language=fence[1])


def _lone_answer(cell: str) -> Final | None:
    """Read a cell that does nothing but give an answer which no code has a part in."""
    tree = program(cell)
    if tree is None or len(tree.body) != 1:
        return None
    tag = lone_tag(cell)
    final = tag.final if tag else None
    return final if final is not None and final.kind == "text" and not final.names else None
