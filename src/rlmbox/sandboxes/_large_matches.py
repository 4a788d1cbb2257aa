"""Matches of a pattern on a long text, found by the linear engine of `rlmbox.context.search`, for `re` in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rlmbox.context.search import search as engine
from rlmbox.context.search import windows
from rlmbox.context.storage.text import TextStore

MOST_MATCHES = 10_000
MATCH_BYTES = 1 << 16
"""A longer match comes without its text."""

TOTAL_BYTES = 1 << 21
_NEAR_BYTES = 1 << 17
_LETTERS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.ASCII: "a"}


def find_matches(store: TextStore, pattern: str, flags: int, span: tuple[int, int], most: int) -> list[object]:
    """Find matches; see `_HostText.matches` in `_large_text.py`.

    Raises:
        ValueError: The engine does not support the pattern, or time is up.
    """
    start, end, _ = slice(*span).indices(store.length)
    text = store if end == store.length else store.view(0, end)
    if flags & re.LOCALE:
        raise ValueError("the flag L is for patterns of bytes")
    if flags & re.VERBOSE:
        pattern = without_comments(pattern)
    letters = "".join(letter for flag, letter in _LETTERS.items() if flags & flag)
    found: list[object] = []
    total = 0
    places = Places(text)
    for begin, finish in _spans(text, f"(?{letters}){pattern}" if letters else pattern, start):
        first = places.char_at(begin)
        last = places.char_at(finish)
        around = None
        if finish - begin <= MATCH_BYTES and total < TOTAL_BYTES:
            around = _around(text, begin, finish)
            total += len(around)
        found.append([first, last, around, max(0, first - 1)])
        if len(found) >= min(max(most, 1), MOST_MATCHES):
            break
    return found


class Places:
    """Converts increasing byte positions to character positions.

    Args:
        text: The text.
    """

    def __init__(self, text: TextStore) -> None:
        self._text = text
        self._byte = self._char = 0

    def char_at(self, position: int) -> int:
        """Return the character position; short distances from the last one are counted, long ones looked up."""
        if self._text.is_ascii:
            return position
        if not 0 <= position - self._byte <= _NEAR_BYTES:
            self._char = self._text.char_offset(position)
        else:
            self._char += len(self._text.decode(self._byte, position))
        self._byte = position
        return self._char


def _around(text: TextStore, begin: int, end: int) -> str:
    """Return a match with the character before it and two characters after it."""
    first = max(0, begin - 4)
    data = text.read(first, end + 8)
    before = data[: begin - first].decode("utf-8", "ignore")[-1:]
    return before + data[begin - first : end - first].decode() + data[end - first :].decode("utf-8", "ignore")[:2]


def _spans(text: TextStore, pattern: str, start: int) -> Iterator[tuple[int, int]]:
    deadline = engine.Deadline(engine.timeout_for(text.size_bytes))
    spans = engine.regex_spans(text, pattern, deadline=deadline)
    if start == 0:
        yield from spans
        return
    matcher = engine.compiled(pattern, not text.is_ascii, text.ends_with_newline, False)
    for begin, end in windows.find_spans(text, matcher, deadline.check, text.byte_offset(start)):
        if begin < end or text.aligned(begin) == begin:
            deadline.matches += 1
            yield begin, end


def without_comments(pattern: str) -> str:
    """Return a pattern with flag `x`, without the whitespace and comments that the flag ignores."""
    kept: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            kept.append(pattern[at : at + 2])
            at += 2
            continue
        if in_class or char not in " \t\n\r\f\v#":
            kept.append(char)
            in_class = char != "]" if in_class else char == "["
            at += 1
        elif char == "#":
            end = pattern.find("\n", at)
            at = len(pattern) if end < 0 else end
        else:
            at += 1
    return "".join(kept)
