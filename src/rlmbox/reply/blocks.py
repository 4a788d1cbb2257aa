"""The blocks of a model's reply that matter to the loop: code, and final tags.

A reply is read as CommonMark (markdown-it-py) with five changes, each because models write that way: `<repl>`,
`<python>` and `<execute>` elements are code; a `<tool_call>` element is a block of its own; a fence inside a
triple-quoted string does not end the block around it; a fence in a list item may be continued and closed further
left; and a final tag is a block of its own, so that its argument may hold blank lines, lists and fences. What is
quoted (`>`) or in a comment is left out.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlmbox.reply.code import is_code, is_unterminated, program, without_fence
from rlmbox.reply.fences import CELL_LANGUAGES, language
from rlmbox.reply.final_tag import Tag, TagReader
from rlmbox.reply.tokens import CODE_NAMES
from rlmbox.reply.tool_calls import code_of_call

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.ruler import RuleOptionsType
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

_MAX_JOINS = 16  # attempts, per reply, to go on past a fence inside a string
_MAX_JOINED_CHARS = 200_000

_CALLS = frozenset(
    {"tool_call", "tool_calls", "toolcall", "tool_use", "function_call", "function_calls", "function", "invoke"}
)
_ELEMENTS = (*sorted(CODE_NAMES | {"cell", "execute_ipython", "jupyter_code", "python_code"}), *sorted(_CALLS))
_UNNAMED = frozenset({"cell", "code", "exec"})  # elements that may hold something else than Python
_OPEN_TAG = re.compile(rf"<(?:\w{{1,20}}:)?({'|'.join(_ELEMENTS)})(?:[ \t=][^>\n]*)?>", re.IGNORECASE)
_CLOSE_TAG = {
    name: re.compile(rf"</(?:\w{{1,20}}:)?{name}\s*(?:>|\Z)", re.IGNORECASE) for name in _ELEMENTS
}  # a reply may end within its last tag
_FENCE_LINE = re.compile(r"^`{3}[ \t]*$", re.MULTILINE)
_REST_OF_LINE_IS_BLANK = re.compile(r"(?:[ \t]|</\w{1,40}>)*+(?=\n|\Z)")
_NAME_OF_TOOL = re.compile(r"\b(?:name|tool)=[\"']?(\w+)")
_INNER = re.compile(r"\s*<(?:code|input|arguments)>(.*)</(?:code|input|arguments)>\s*\Z", re.DOTALL)
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)(?:\]\]>\s*)?\Z", re.DOTALL)
_OUTDENTED_BLOCK = re.compile(r"(?:`{3}|~{3})[^`~\s]|(?:[-*+]|\d{1,9}[.)])[ \t]")
_NEW_CHUNK = re.compile(r"^(?:[ \t]*$|[ \t]{0,3}(?:`{3}|~{3}|>|#|(?:[-*+]|\d{1,9}[.)])[ \t]))", re.MULTILINE)
_INLINE_MARK = re.compile(r"\\.|`+|<!--|\]\(|\]\[|[\[\]]", re.DOTALL)
_DEEP_TAG = re.compile(r"\n[ \t]{4,}[^\n]{0,24}(?:FINAL|SUBMIT)")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a reply.

    Attributes:
        kind: `code` for a fence or a `<repl>` block, `indented` for code that is only indented, `tag` for a final tag,
            `call` for a call of a tool, `quoted` for code in a quotation.
        first: Its first line, from 0.
        last: The line after its last.
        text: The code; empty for a tag, and for a call that no code stands for.
        language: The first word of a fence's info string, in lower case.
        end: What closes the block: the fence's marks or the closing tag.
        closed: Whether it is closed.
        tag: The final tag, for that kind.
    """

    kind: Literal["code", "indented", "tag", "call", "quoted"]
    first: int
    last: int
    text: str = ""
    language: str = ""
    end: str = ""
    closed: bool = True
    tag: Tag | None = None


def read_blocks(source: str, *, strict: bool) -> Iterator[Block]:
    """Yield the blocks of a reply in order.

    Args:
        source: The reply, with plain newlines at the ends of lines.
        strict: How final tags are read, as in `TagReader`.
    """
    tokens: list[Token] = []
    page = _Page(source, strict=strict)
    markdown = _markdown()
    markdown.block.parse(source, markdown, {"page": page}, tokens)
    quotes = 0
    for token in tokens:
        quotes += token.nesting if token.type.startswith("blockquote") else 0
        if token.map is None:
            continue
        first, last = token.map
        if quotes:
            if token.type == "fence" and language(token.info) in CELL_LANGUAGES:
                yield Block("quoted", first, last)
            continue
        if token.type == "final_tag":
            yield Block("tag", first, last, tag=token.meta["tag"])
        elif token.type == "fence":
            kind, closed = token.meta.get("kind", "code"), token.meta["closed"]
            yield Block(kind, first, last, token.content, language(token.info), token.markup, closed)
        elif token.type == "code_block":
            yield Block("indented", first, last, token.content)
        elif token.type == "inline" and _DEEP_TAG.search(token.content):
            yield from page.deep_tags(first + 1, last)


class _Page:
    """The text that is being read, and what the rules remember of it so that no rule reads it twice."""

    def __init__(self, source: str, *, strict: bool) -> None:
        self.source = source
        self.tags = TagReader(source, strict=strict)
        self.quotes = 0
        self.joins_left = _MAX_JOINS
        self.shortest_open_fence: dict[str, int] = {}
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._closings: dict[str, tuple[int, int, int]] = {}

    def line_after(self, position: int) -> int:
        """Return the number of the first line that begins after a position."""
        return bisect.bisect_right(self._line_starts, position)

    def next_closing(self, name: str, start: int) -> tuple[int, int]:
        """Find the next `</name>` from a position on; (-1, -1) where there is none."""
        asked, first, last = self._closings.get(name, (len(self.source) + 1, -1, -1))
        if asked > start or 0 <= first < start:
            match = _CLOSE_TAG[name].search(self.source, start)
            first, last = match.span() if match else (-1, -1)
            self._closings[name] = (start, first, last)
        return first, last

    def is_inline(self, position: int) -> bool:
        """Return whether a position in a paragraph is within inline code, a comment or the text of a link."""
        index = bisect.bisect_right(self._inline_spans, (position, len(self.source))) - 1
        return index >= 0 and position < self._inline_spans[index][1]

    @functools.cached_property
    def _inline_spans(self) -> list[tuple[int, int]]:
        bounds = [match.start() for match in _NEW_CHUNK.finditer(self.source)]
        edges = zip([0, *bounds], [*bounds, len(self.source)], strict=True)
        merged: list[tuple[int, int]] = []
        for start, end in sorted(span for edge in edges for span in _inline_spans(self.source, *edge)):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def deep_tags(self, first: int, last: int) -> Iterator[Block]:
        """Yield the tags that are indented so far within a paragraph that Markdown begins no block there."""
        for number in range(first, last):
            start = self._line_starts[number]
            end = self.source.find("\n", start)
            line = self.source[start : end if end >= 0 else len(self.source)]
            position = start + len(line) - len(line.lstrip(" \t"))
            tag = self.tags.at(position, start + len(line)) if position - start > 3 else None
            if tag is not None and not self.is_inline(position):
                yield Block("tag", number, self.line_after(tag.end), tag=tag)


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark")
    markdown.disable(["reference", "lheading", "html_block"])
    ruler = markdown.block.ruler
    interrupts: RuleOptionsType = {"alt": ["paragraph", "blockquote", "list"]}
    ruler.at("fence", _fence, interrupts)
    ruler.at("blockquote", _quote, interrupts)
    for name, rule in (("final_tag", _final_tag), ("code_tag", _code_tag), ("comment", _comment)):
        ruler.before("blockquote", name, rule, interrupts)
    return markdown


def _page(state: StateBlock) -> _Page:
    page: _Page = state.env["page"]
    return page


def _is_hidden(state: StateBlock, line: int, silent: bool) -> bool:
    """Return whether a line is code, quoted or within inline marks, so that no block of ours may begin there."""
    page = _page(state)
    # A quote asks, while it looks for its own end, about lines that are not part of it.
    if page.quotes and not (silent and state.parentType == "blockquote"):
        return True
    if state.is_code_block(line):
        return True
    return silent and state.parentType == "paragraph" and page.is_inline(state.bMarks[line] + state.tShift[line])


def _push(state: StateBlock, kind: str, start: int, end: int) -> Token:
    state.line = max(start + 1, end)
    token = state.push(kind, "", 0)
    token.map = [start, state.line]
    return token


def _quote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    from markdown_it.rules_block import blockquote

    page = _page(state)
    page.quotes += 1
    try:
        return blockquote(state, start, end, silent)
    finally:
        page.quotes -= 1


def _final_tag(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    page = _page(state)
    tag = page.tags.at(state.bMarks[start] + state.tShift[start], state.eMarks[start])
    if tag is None or _is_hidden(state, start, silent):
        return False
    if not silent:
        last = start + 1 if tag.final is None else min(end, page.line_after(tag.end))
        _push(state, "final_tag", start, last).meta = {"tag": tag}
    return True


def _comment(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Skip an HTML comment that begins a line; one that is not closed runs to the end, as in CommonMark."""
    position = state.bMarks[start] + state.tShift[start]
    if not state.src.startswith("<!--", position) or _is_hidden(state, start, silent):
        return False
    if not silent:
        close = state.src.find("-->", position + 4)
        _push(state, "comment", start, min(end, _page(state).line_after(close)) if close >= 0 else end)
    return True


def _code_tag(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read an element such as `<repl>`; a mention of such a tag in a sentence is prose."""
    position = state.bMarks[start] + state.tShift[start]
    match = _OPEN_TAG.match(state.src, position, state.eMarks[start])
    if match is None or _is_hidden(state, start, silent):
        return False
    name = match[1].lower()
    first, last = _page(state).next_closing(name, match.end())
    is_alone = _REST_OF_LINE_IS_BLANK.match(state.src, match.end()) is not None
    if first < 0 and is_alone and name not in _CALLS:
        first, last = _closing_fence(_page(state), match.end())
    is_open = first < 0 and (is_alone or name in _CALLS)
    if not is_open and (first < 0 or not (is_alone or _REST_OF_LINE_IS_BLANK.match(state.src, last))):
        return False
    if not silent:
        token = _push(state, "fence", start, end if is_open else min(end, _page(state).line_after(last)))
        token.markup = f"</{name}>"
        token.meta = {"closed": not is_open}
        if name in _CALLS:
            begin = match.start() if name in ("function", "invoke") else match.end()
            body = state.src[begin : first if first >= 0 else None]
            token.content = code_of_call(without_fence(body)) or _code_of_element(match.group(), body)
            token.info, token.meta = "python", {"closed": not is_open or bool(token.content), "kind": "call"}
        else:
            token.info = "" if name in _UNNAMED else "python"
            content = state.src[match.end() : None if is_open else first]
            content = cdata[1] if (cdata := _CDATA.match(content)) else content
            token.content = content if is_open else without_fence(content)
    return True


def _code_of_element(opening: str, body: str) -> str:
    """Return the code of an element such as `<tool_call name="python">` that has nothing but code in it."""
    named = _NAME_OF_TOOL.search(opening)
    if named is None or named[1].lower() not in CODE_NAMES:
        return ""
    body = body.removeprefix(opening)
    inner = _INNER.match(body)
    code = without_fence(inner[1] if inner else body)
    return code if is_code(code) else ""


def _closing_fence(page: _Page, start: int) -> tuple[int, int]:
    """Return the fence that closes an element in place of its own tag; (-1, -1) where there is none."""
    page.joins_left -= 1
    found = _FENCE_LINE.search(page.source, start) if page.joins_left >= 0 else None
    if found is None or found.start() - start > _MAX_JOINED_CHARS:
        return -1, -1
    return found.span() if program(page.source[start : found.start()]) is not None else (-1, -1)


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    from markdown_it.rules_block import fence

    if not fence(state, start, end, silent):
        return False
    if silent:
        return True
    token = state.tokens[-1]
    token.meta = {"closed": False}
    if _page(state).quotes:
        return True
    closers = _closers(state, start, end, token.markup)
    close = next(closers, None)
    if close is None:
        return True
    token.content = state.getLines(start + 1, close, state.sCount[start], True)
    if language(token.info) in CELL_LANGUAGES | {""} and is_unterminated(token.content):
        close, token.content = _join(state, start, close, closers) or (close, token.content)
    token.meta = {"closed": True}
    state.line = close + 1
    token.map = [start, state.line]
    return True


def _closers(state: StateBlock, start: int, end: int, markup: str) -> Iterator[int]:
    """Yield the lines that may close a fence, also those further left than the list item that it is in."""
    open_fences = _page(state).shortest_open_fence
    if len(markup) >= open_fences.get(markup[0], len(markup) + 1):
        return
    found = False
    for line in range(start + 1, end):
        position = state.bMarks[line] + state.tShift[line]
        is_outdented = state.sCount[line] < state.blkIndent
        if is_outdented and _OUTDENTED_BLOCK.match(state.src, position, state.eMarks[line]):
            return
        if not state.src.startswith(markup, position):
            continue
        found = True
        marks = state.src[position : state.eMarks[line]].rstrip(" \t")
        if not marks.strip(markup[0]) and state.sCount[line] - state.blkIndent <= 3:
            yield line
    if not found and end == state.lineMax:
        open_fences[markup[0]] = len(markup)


def _join(state: StateBlock, start: int, close: int, closers: Iterator[int]) -> tuple[int, str] | None:
    """Go on past fences inside a triple-quoted string to the first later one where the block is valid Python."""
    page = _page(state)
    if page.joins_left <= 0:
        return None
    tried = close
    for later in closers:
        added = state.src[state.bMarks[tried] : state.bMarks[later]]
        if '"""' not in added and "'''" not in added:
            continue
        tried = later
        page.joins_left -= 1
        if page.joins_left <= 0 or state.bMarks[later] - state.bMarks[start] > _MAX_JOINED_CHARS:
            return None
        code = state.getLines(start + 1, later, state.sCount[start], True)
        if program(code) is not None:
            return later, code
    page.joins_left -= 1
    return None


def _inline_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the inline code, comments and link texts of one paragraph."""
    marks = list(_INLINE_MARK.finditer(text, start, end))
    runs: dict[int, list[int]] = {}
    for mark in marks:
        if mark.group().startswith("`"):
            runs.setdefault(len(mark.group()), []).append(mark.start())
    last_comment_end = text.rfind("-->", start, end)
    brackets: list[int] = []
    done = start
    for mark in marks:
        if mark.start() < done:
            continue
        sign = mark.group()
        if sign == "[":
            brackets.append(mark.start())
        elif sign[0] == "]" and brackets:
            opening = brackets.pop()
            if len(sign) == 2:
                yield opening, mark.start()
        elif sign == "<!--" and mark.end() <= last_comment_end:
            done = text.find("-->", mark.end(), end) + 3
            yield mark.start(), done
        elif sign[0] == "`" and (closing := _next_run(runs, mark)) is not None:
            done = closing + len(sign)
            yield mark.start(), done


def _next_run(runs: Mapping[int, list[int]], mark: re.Match[str]) -> int | None:
    same = runs[len(mark.group())]
    index = bisect.bisect_right(same, mark.start())
    return same[index] if index < len(same) else None
