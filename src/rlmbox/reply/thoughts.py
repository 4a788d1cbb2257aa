"""Telling a model's thought from its reply, where both are in one text.

Reasoning models think aloud in the text of a reply, in whatever form their chat template taught them; servers cut it
out, or not, or half. What is thought is never run and is never an answer. A token that is only mentioned, in quotes,
in inline code or in a block of code, cuts nothing.
"""

# ruff: noqa: RUF001 - the look-alikes are what this file is about

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.reply.code import program
from rlmbox.reply.harmony import split_channels
from rlmbox.reply.tokens import FIRST_TOKENS, LAST_TOKEN, OWN_HEADER, TOKEN, TOKEN_START, family_of

_PYTHON = frozenset({"", "repl", "python", "py", "python3", "ipython", "code", "tool_code"})

_MAX_LOOKS = 64  # blocks of code, per text, that are looked at for whether a token is in a string of theirs
_SEARCHED_CHARS = 1 << 20
_QUOTES = "\"'`"
_SENTENCE_ENDS = ".!?…>\n"
_FENCE_LEAD = re.compile(r"[ \t]*(?:(?:[-*+>]|\d{1,9}[.)])[ \t]+)?")
_FENCE_ALONE = re.compile(r"(?:`{3}|~{3})[ \t]*\Z|\A\s*\Z|\n[ \t]*\Z")
_ESCAPED = re.compile(r"\\.")
_TO_END = re.compile(r"(?:\s|<[|｜]\w{1,40}[|｜]>)*\Z")
_EMPHASIS = re.compile(r"(?:(?<=\n)|\A)[#*_]{1,3}[ \t]?\Z")
_BLANK = re.compile(r"(?:[ \t]*\n)+|[ \t]+")
_END_IS_ALONE = re.compile(r"[ \t]*(?:\n|\Z|<[|｜/]?\w|\[INST\])")
_IN_WORDS = (
    (  # Granite
        re.compile(r"\s*Here(?: is|'s|’s) my thought process:", re.IGNORECASE),
        re.compile(r"\bHere(?: is|'s|’s) my response:\s*", re.IGNORECASE),
    ),
    (re.compile(r"\s*Thinking\.\.\.[ \t]*\n"), re.compile(r"\.\.\.done thinking\.\s*")),  # Ollama's command
)
_WRAPPED = re.compile(
    r"\s*(?P<open><answer>|<output>|<response>|<solution>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>"
    r"|<\|open\|>response<\|sep\|>)\s*"
)
_UNWRAPPED = {
    "<|begin_of_solution|>": "<|end_of_solution|>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|open|>response<|sep|>": "<|close|>response<|sep|>",
}


def split_thought(text: str) -> tuple[str, str]:
    """Split what a model wrote into its thought and the rest, without the special tokens around either.

    A thought that is not closed runs to the end; one that is closed without having been opened began with the text,
    as where a chat template puts the opening into the prompt. Text without a thought or token comes back as it is.

    Args:
        text: The text of a reply or of an answer to a sub-call.
    """
    channels = split_channels(text)
    thought, rest = channels or ("", text)
    for begin, end in _IN_WORDS:
        if (begun := begin.match(rest)) and (ended := end.search(rest, begun.end())):
            thought, rest = _both(thought, rest[begun.end() : ended.start()]), rest[ended.end() :]
    scanner = _Scanner(rest)
    scanner.scan()
    thought = _both(thought, "\n".join(scanner.thoughts))
    kept = _without_last_tokens(_joined(scanner.kept))
    if thought or kept != text:
        kept = _unwrapped(kept, is_after_thought=bool(thought)).rstrip()
    return thought.strip(), kept


def _both(first: str, second: str) -> str:
    return f"{first}\n{second}" if first and second else first or second


def _without_emphasis(text: str) -> str:
    """Return a text without marks of emphasis, or of a heading, that begin its last line and end it."""
    found = _EMPHASIS.search(text, max(0, len(text) - 4))
    return text[: found.start()] if found else text


def _joined(pieces: list[str]) -> str:
    """Put the pieces between thoughts together; none is glued to the line before it."""
    text = ""
    for piece in pieces:
        if not piece:
            continue
        text += ("\n" if text and not text.endswith("\n") else "") + piece
    return text


def _without_last_tokens(text: str) -> str:
    for _ in range(8):
        bare = text.rstrip()
        match = LAST_TOKEN.search(bare, max(0, len(bare) - 40))
        if match is None or _follows_quote(bare, match.start()) or (match.group() == "</s>" and "<s>" in text):
            return text
        text = bare[: match.start()]
    return text


def _follows_quote(text: str, position: int) -> bool:
    """Return whether a quote or a single backtick stands right before a position; a fence is neither."""
    return text[max(0, position - 1) : position] in ("'", '"', "`", "\\") and not text.endswith("```", 0, position)


def _unwrapped(text: str, *, is_after_thought: bool) -> str:
    """Take the element off that a template puts around an answer, as in `<answer>`."""
    match = _WRAPPED.match(text)
    if match is None:
        return text
    opening = match["open"]
    closing = _UNWRAPPED.get(opening, opening.replace("<", "</"))
    inner = text[match.end() :].rstrip()
    if opening not in _UNWRAPPED and not (is_after_thought and inner.endswith(closing)):
        return text
    return inner.partition(closing)[0] if opening in _UNWRAPPED else inner.removesuffix(closing)


@dataclass(slots=True)
class _Fence:
    """A block of code that has begun.

    Attributes:
        start: Position of its code.
        marks: What it begins with.
        language: The first word after that.
        is_code: Whether it is closed and, where it is Python, valid, so that a token in it is part of a string; None
            where nobody has looked.
        is_closed: Whether it is closed, once somebody has looked.
    """

    start: int
    marks: str
    language: str
    is_code: bool | None = None
    is_closed: bool = False


class _Scanner:
    """One pass over a text: at each token it is in a thought, in a block of code or in prose."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kept: list[str] = []
        self.thoughts: list[str] = []
        first = FIRST_TOKENS.match(text)
        self._from = first.end() if first else 0
        self._is_over = False
        self._has_struck_text = "<s>" in text
        self._depth = 0
        self._family = ""
        self._thought = 0
        self._is_doubtful = False
        self._last_close: re.Match[str] | None = None
        self._other_close: re.Match[str] | None = None
        self._others: Counter[str] = Counter()  # openings of other families within a thought
        self._fence: _Fence | None = None
        self._looks = _MAX_LOOKS
        self._line_start = 0
        self._open_quotes: frozenset[str] = frozenset()
        self._last_token_end = 0

    def scan(self) -> None:
        """Read the text into `kept` and `thoughts`."""
        for start in self._candidates():
            match = TOKEN.match(self.text, start) if start >= max(self._from, self._last_token_end) else None
            if match is None:
                continue
            self._go_on_to(match.start())
            self._take(match)
            self._last_token_end = match.end()
            if self._is_over:
                return
        self._finish()

    def _candidates(self) -> Iterator[int]:
        """Yield where a token may begin; Python's other threads wait while one search runs."""
        for begin in range(self._from, len(self.text), _SEARCHED_CHARS):
            for found in TOKEN_START.finditer(self.text, begin, begin + _SEARCHED_CHARS):
                yield found.start()

    def _go_on_to(self, position: int) -> None:
        """Note where the line of a token begins, and which quotes are open on it."""
        newline = self.text.rfind("\n", self._last_token_end, position)
        if newline >= 0:
            self._line_start, self._open_quotes = newline + 1, frozenset()
        passed = _ESCAPED.sub("", self.text[max(self._line_start, self._last_token_end) : position])
        self._open_quotes ^= {quote for quote in _QUOTES if passed.count(quote) % 2}

    def _take(self, match: re.Match[str]) -> None:
        kind = match.lastgroup
        if kind == "info":
            self._take_fence(match)
        elif kind in ("end", "start"):
            if not self._depth:
                self._take_turn(match)
        elif match["close"] or match["special_close"] or match["paired_close"]:
            self._take_close(match)
        elif self._depth:
            family = family_of(match.group())
            self._depth += family == self._family and self._begins_line(match)
            self._others[family] += 1
        else:
            self._take_open(match)

    def _take_fence(self, match: re.Match[str]) -> None:
        if self._depth or not _FENCE_LEAD.fullmatch(
            self.text, max(self._line_start, match.start() - 20), match.start()
        ):
            return
        marks, info = match["fence"], match["info"].strip()
        fence = self._fence
        if fence is None:
            self._fence = _Fence(match.end(), marks, info.split(" ")[0].lower().strip("{}."))
        elif not info and marks[0] == fence.marks[0] and len(marks) >= len(fence.marks):
            self._fence = None

    def _take_open(self, match: re.Match[str]) -> None:
        start = match.start()
        is_special = match["special_open"] is not None
        is_own_line = self._begins_line(match)
        if _follows_quote(self.text, start) or not (is_own_line or is_special or self._ends_sentence(start)):
            return
        if self._is_in_code():
            return
        self.kept.append(_without_emphasis(self.text[self._from : start]))
        self._from, self._thought, self._depth, self._family = start, match.end(), 1, family_of(match.group())
        self._is_doubtful = match["paired"] is not None or not (is_own_line or is_special)
        self._last_close = self._other_close = None
        self._others.clear()

    def _take_close(self, match: re.Match[str]) -> None:
        if self._depth:
            if (family := family_of(match.group())) != self._family:
                self._take_other_close(family, match)
            elif not self._is_mentioned(match):
                self._depth -= 1
                self._last_close = match
                if self._depth == 0:
                    self._end_thought(match)
            elif not self._is_quoted(match):
                self._last_close = match
            return
        if match["details"] or self._is_mentioned(match) or self._is_in_code():
            return
        if self.thoughts and self.text[self._from : match.start()].strip() and _TO_END.match(self.text, match.end()):
            self.kept.append(self.text[self._from : match.start()])  # a stray token after the reply
            self._from = match.end()
            return
        # The opening was in the prompt: all until here is thought.
        self.thoughts.append(_joined([*self.kept, self.text[self._from : match.start()]]))
        self.kept.clear()
        self._from, self._fence = match.end(), None
        self._skip_blank()

    def _take_other_close(self, family: str, match: re.Match[str]) -> None:
        """Note the end of a thought in the words of another family, as in `<thought>…</think>`."""
        if self._others[family]:
            self._others[family] -= 1
        elif not (match["details"] or self._is_mentioned(match)):
            self._other_close = match

    def _end_thought(self, close: re.Match[str]) -> None:
        self.thoughts.append(_without_emphasis(self.text[self._thought : close.start()]))
        self._from, self._depth, self._fence = close.end(), 0, None
        self._skip_blank()

    def _take_turn(self, match: re.Match[str]) -> None:
        start, end = match.span()
        if _follows_quote(self.text, start) or self._is_in_code():
            return
        if header := OWN_HEADER.match(self.text, start if match["start"] else end):
            self._drop(start, header.end())
        elif self._fence is not None and self._fence.is_closed:
            self._drop(start, end)
        elif match["start"] or (_END_IS_ALONE.match(self.text, end) and not self._is_listed(match)):
            if match.group() in ("</s>", "<end_code>"):
                self._drop(start, end)
                return
            # The model's turn ended here; what follows it made up, whoever is said to speak.
            self.kept.append(self.text[self._from : start])
            self._is_over = True

    def _is_listed(self, match: re.Match[str]) -> bool:
        """Return whether the end of a turn is only spoken of: after a blank, or as the end of an HTML element."""
        start = match.start()
        if match.group() == "</s>" and self._has_struck_text:
            return True
        return self.text[start - 1 : start] in (" ", "\t") and not _FENCE_ALONE.search(self.text, start - 100, start)

    def _drop(self, start: int, end: int) -> None:
        piece = self.text[self._from : start]
        self.kept.append(piece)
        self._from = end
        self._skip_line_end(piece)

    def _finish(self) -> None:
        tail = self.text[self._from :]
        if not self._depth:
            self.kept.append(tail)
        elif (close := self._last_close or self._other_close) is not None:
            self._end_thought(close)
            self.kept.append(self.text[self._from :])
        elif self._is_doubtful:
            self.kept.append(tail)
        else:
            self.thoughts.append(self.text[self._thought :])

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self.text, self._from)
        self._from = blank.end() if blank else self._from

    def _skip_line_end(self, piece: str) -> None:
        if piece and self.text.startswith("\n", self._from) and not piece.endswith("\n"):
            self._from += 1

    def _begins_line(self, match: re.Match[str]) -> bool:
        """Return whether nothing but blanks, tokens and marks of emphasis stands before a token on its line."""
        begin = max(self._line_start, self._from)
        return match.start() - begin < 200 and not self.text[begin : match.start()].strip(" \t\n\r#*_")

    def _ends_sentence(self, position: int) -> bool:
        before = self.text[max(self._from, position - 3) : position].rstrip(" \t")
        return before[-1:] in tuple(_SENTENCE_ENDS)

    def _is_mentioned(self, match: re.Match[str]) -> bool:
        """Return whether a closing token is only spoken of."""
        if self._is_quoted(match):
            return True
        if match["special_close"] or self._begins_line(match):
            return False
        after = self.text[match.end() : match.end() + 1]
        before = self.text[match.start() - 1 : match.start()]
        return after not in ("", "\n") and before in (" ", "\t") and not self._ends_sentence(match.start())

    def _is_quoted(self, match: re.Match[str]) -> bool:
        quote = self.text[match.end() : match.end() + 1]
        if not quote or quote not in _QUOTES or self.text.startswith("```", match.end()):
            return False
        return quote in self._open_quotes

    def _is_in_code(self) -> bool:
        """Return whether the place is in a block of code where the token must be part of a string or a comment."""
        fence = self._fence
        if fence is None:
            return False
        if fence.is_code is None:
            fence.is_code = self._look(fence)
        return fence.is_code

    def _look(self, fence: _Fence) -> bool:
        self._looks -= 1
        if self._looks < 0:
            return False
        char = re.escape(fence.marks[0])
        pattern = rf"^[ \t]*{char}{{{min(len(fence.marks), 1000)},}}[ \t]*(?:<[^\n<>]{{1,40}}>[ \t]*)*$"
        found = re.compile(pattern, re.MULTILINE).search(self.text, fence.start)
        fence.is_closed = found is not None
        if found is None:
            return False
        return fence.language not in _PYTHON or program(self.text[fence.start : found.start()]) is not None
