"""Making the fences of a reply those of Markdown, where a model wrote them in a way of its own.

Only fences of code for the REPL, and bare ones, are touched:

- What follows a closing fence on its line goes to the next line.
- A fence that begins right within another one, with nothing between, has the outer one taken off.
- A block that is not closed before the next one begins ends there, if it is valid Python.
- A fence of one line, and one of three apostrophes, two backticks or accents, become fences of their own lines.
- A fence that begins at the end of a sentence, or ends at the end of the code, gets a line of its own; so do code on
  the line of the fence, and the name of the language on the line after it.
- An element that closes a fence, or a fence that closes an element, closes it.

From a fence within a string on, nothing is touched: where that block ends is for the reader of blocks to find.
"""

from __future__ import annotations

# ruff: noqa: RUF001 - some fences are made of look-alikes
import re
import textwrap

from rlmbox.reply.code import is_code, is_unterminated, program

CELL_LANGUAGES = frozenset(
    {"repl", "python", "py", "python3", "ipython", "pycon", "tool_code", "py3", "jupyter", "python-repl"}
)
"""First words of a fence's info string that make the block a cell."""

_MARKS = re.compile(r"(?P<indent>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<marks>`{3,}|~{3,})(?P<info>[^\n]*)$")
_LANGUAGE = re.compile(r"\s*\{?\.?([\w+#-]*)")
_INFO = re.compile(r"\s*\{?\.?[\w+#-]+\}?(?:\s+[\w-]+=.*|\s+\{.*\}|\s*)$")
_WORDS = re.compile(r"[ \t]*(?![>~])[^`\n]*(?:[^\W\d_]|[^\x00-\x7f])")  # prose before a fence on its line
_ALSO_NAMES = frozenset({"tool_code"})
_WRAPPERS = frozenset({"", "markdown", "md"})  # what a model puts around a whole reply
_ONE_LINE = re.compile(
    r"(?P<lead>[ \t]*|[^`\n]*[.!?:][ \t]*)`{3}(?:(?:repl|python|py)[ \t]+)?(?P<code>[^`\n]+)`{3}[ \t]*$"
)
_ODD_FENCE = re.compile(r"(?P<marks>'''|``|[´｀‘’]{3})(?:repl|python|py|tool_code)[ \t]*$")
_GLUED = re.compile(r"`{3}(?:repl|python|py|python3|tool_code)[ \t]*$")
_CODE_AFTER = re.compile(r"\s*[\w+#-]+[ \t]+(?P<code>\S.*)$")
_CLOSING_ELEMENT = re.compile(r"[ \t]*</(?:code|python|repl|execute|tool_code)>[ \t]*$", re.IGNORECASE)
_LONG_FENCE = "`" * 6
_ANY_MARKS = ("``", "~~~", "'''", "´´´", "｀｀｀", "‘‘‘", "’’’")
_MAX_PROBES = 32  # blocks, per reply, that are parsed to decide where they end
_MAX_PROBED_CHARS = 100_000


def language(info: str) -> str:
    """Return the first word of a fence's info string, in lower case."""
    match = _LANGUAGE.match(info)
    return match[1].lower() if match else ""


def plain_fences(text: str) -> str:
    """Return a reply with fences that Markdown reads as they were meant."""
    if not any(marks in text for marks in _ANY_MARKS):
        return text
    reader = _Reader()
    for line in text.split("\n"):
        reader.take(line)
    return "\n".join(reader.lines)


class _Reader:
    """The lines so far, and the block that is open."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._open = ""  # the marks of the block that is open
        self._language = ""
        self._begin = 0  # number of its first line of code
        self._outer: list[str] = []  # marks of fences taken off, whose ends are still to come
        self._just_closed = False
        self._is_opaque = False
        self._odd = ""  # the marks of a fence that is none in Markdown
        self._probes = _MAX_PROBES

    def take(self, line: str) -> None:
        """Add a line."""
        match = None if self._is_opaque else _MARKS.match(line)
        if not (self._open or self._is_opaque) and self._take_odd(line):
            return
        if self._odd:
            is_end = line.rstrip() == self._odd
            self.lines.append(_LONG_FENCE if is_end else line)
            self._odd = "" if is_end else self._odd
        elif match is None:
            self._just_closed = self._just_closed and not line.strip()
            if not (self._open and self._ends_here(line)):
                self.lines.append(line)
        elif self._open:
            self._within(match, line)
        else:
            self._outside(match, line)

    def _take_odd(self, line: str) -> bool:
        """Take a fence that is none in Markdown, outside of any block; False where the line begins none."""
        if (match := _ONE_LINE.match(line)) and is_code(match["code"].strip()):
            self.lines += [
                *([match["lead"]] * bool(match["lead"].strip())),
                f"{_LONG_FENCE}python",
                match["code"].strip(),
                _LONG_FENCE,
            ]
        elif match := _ODD_FENCE.match(line):
            self._odd = match["marks"]
            self.lines.append(f"{_LONG_FENCE}python")
        elif (start := line.find("`")) > 0 and _GLUED.match(line, start) and _WORDS.match(line):
            self.lines.append(line[:start])
            self.take(line[start:])
        else:
            return False
        return True

    def _ends_here(self, line: str) -> bool:
        """Close the block where its code is ended in another way than by a fence of its own; False where it is not."""
        if self._language not in CELL_LANGUAGES or self._open[0] != "`":
            return False
        head, marks, rest = line.rstrip().partition(self._open)
        if _CLOSING_ELEMENT.match(line):
            head, rest = "", ""
        elif not marks or rest.startswith("`") or "#" in head:
            return False
        self._probes -= 1
        code = "\n".join([*self.lines[self._begin :], head]) if self._probes >= 0 else ""
        if not code.strip() or len(code) > _MAX_PROBED_CHARS:
            return False
        if program(textwrap.dedent(code)) is None:
            return False
        self.lines += [head, self._open]
        self._open, self._just_closed = "", True
        if rest.strip():
            self.take(rest.strip())
        return True

    def _outside(self, match: re.Match[str], line: str) -> None:
        marks, info = match["marks"], match["info"]
        if self._outer and self._just_closed and not info.strip() and marks.startswith(self._outer[-1]):
            self._outer.pop()
            self.lines.append("")
            return
        self._just_closed = False
        if "`" in info and marks[0] == "`":
            self.lines.append(line)  # inline code
            return
        self._open, self._language, self._begin = marks, language(info), len(self.lines) + 1
        code = _CODE_AFTER.match(info) if self._language in CELL_LANGUAGES and not _INFO.match(info) else None
        if code is not None and (is_code(code["code"]) or code["code"].endswith(":")):
            self.lines += [f"{match['indent']}{marks}{self._language}", match["indent"] + code["code"]]
        else:
            self.lines.append(line)

    def _within(self, match: re.Match[str], line: str) -> None:
        marks, info = match["marks"], match["info"]
        is_closing = marks[0] == self._open[0] and len(marks) >= len(self._open)
        if is_closing and not info.strip():
            self._is_opaque = self._language in CELL_LANGUAGES | {""} and self._is_in_string()
            self._close(line)
        elif self._language not in CELL_LANGUAGES | _WRAPPERS:
            self.lines.append(line)
        elif _INFO.match(info):
            self._within_block(match, line)
        elif is_closing and not self._is_in_string():
            self._close(match["indent"] + marks)
            self.take(info.strip())
        else:
            self.lines.append(line)

    def _within_block(self, match: re.Match[str], line: str) -> None:
        """Take a fence that begins a block while another is open."""
        is_cell = language(match["info"]) in CELL_LANGUAGES
        is_blank = is_cell and not any(map(str.strip, self.lines[self._begin :][:100]))
        if is_blank or (is_cell and self._is_wrapper()):
            self._outer.append(self._open)
            self.lines[self._begin - 1] = ""
            self._open = ""
            self._outside(match, line)
        elif is_cell and self._is_complete():
            self.lines.append(self._open)
            self._open = ""
            self._outside(match, line)
        else:
            self.lines.append(line)

    def _close(self, line: str) -> None:
        named = self.lines[self._begin].strip().lower() if len(self.lines) > self._begin + 1 else ""
        if not self._language and named in CELL_LANGUAGES and named not in _ALSO_NAMES:
            self.lines[self._begin - 1 : self._begin + 1] = [self.lines[self._begin - 1].rstrip() + named, ""]
        self.lines.append(line)
        self._open, self._just_closed = "", True

    def _code(self) -> str | None:
        self._probes -= 1
        code = "\n".join(self.lines[self._begin :]) if self._probes >= 0 else ""
        return code if 0 < len(code) <= _MAX_PROBED_CHARS else None

    def _is_wrapper(self) -> bool:
        """Return whether the open block is text, so that what is taken for its code is a reply."""
        code = self._code() if self._language in _WRAPPERS else None
        return code is not None and program(code) is None and not is_unterminated(code)

    def _is_in_string(self) -> bool:
        code = self._code()
        return code is None or is_unterminated(code)

    def _is_complete(self) -> bool:
        code = self._code()
        return code is not None and program(code) is not None
