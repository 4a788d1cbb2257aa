"""A text as passages, and passages as words, for ranking."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

from rlmbox.context.storage.equivalents import composed, has_forms, literal

PASSAGE_CHARS = 2_000
_SHORTEST = PASSAGE_CHARS // 2
_READ_CHARS = 1_000_000
_LONG_WORD = 6
_ROUNDING = 1e-9
_WORD = re.compile(r"[^\W_]+")
# Scripts that are written without spaces: each character is a word, and each two that are neighbours.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)


class Sliceable(Protocol):
    """A text that is read by position, such as a `Context`."""

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Return the text between two positions."""


def cut(text: str, begin: int, end: int) -> int:
    """Return the end of the passage that begins at a place: after a paragraph, a line or a word, or just there.

    Args:
        text: The text.
        begin: Where the passage begins.
        end: Where the text ends.
    """
    last = begin + PASSAGE_CHARS
    if last >= end:
        return end
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, begin + _SHORTEST, last)
        if found >= 0:
            return found + len(mark)
    return last


def passages(text: Sliceable, spans: Iterable[tuple[int, int]], bounds: array[int]) -> Iterator[str]:
    """Return the passages of a text, each of one document and about 2,000 characters long.

    Args:
        text: The text.
        spans: Where its documents begin and end, in order.
        bounds: Takes where each passage begins and ends, one after the other.
    """
    held, origin = "", 0
    for start, end in spans:
        position = start
        while position < end:
            if not origin <= position <= min(end, position + PASSAGE_CHARS) <= origin + len(held):
                origin, held = position, text.slice(position, position + _READ_CHARS)
            stop = cut(held, position - origin, min(end - origin, len(held)))
            bounds.extend((position, origin + stop))
            yield held[position - origin : stop]
            position = origin + stop


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, each once, in order."""
    return list(dict.fromkeys(_WORD.findall(composed(spaced(text).lower()))))


def spaced(text: str) -> str:
    """Return a text, composed, with spaces between what are words in scripts that are written without them."""
    return text if text.isascii() else _UNSPACED.sub(_apart, composed(text))


def _apart(found: re.Match[str]) -> str:
    run = found[0]
    return f" {' '.join(run)} {' '.join(map(''.join, pairwise(run)))} "


def best_window(text: str, wanted: Sequence[str], chars: int) -> tuple[int, int]:
    """Return the part of a passage that has the most of some words, and of those the first.

    Args:
        text: The passage.
        wanted: The words, in lower case.
        chars: How long the part is.
    """
    if len(text) <= chars:
        return 0, len(text)
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters are longer in lower case, which would move all that follow
        lowered = text
    lead = chars // 6
    begin = max(0, min(_densest(_places(lowered, wanted), chars - lead) - lead, len(text) - chars))
    if begin:  # not in the middle of a word
        gap = text.find(" ", begin, begin + lead)
        begin = gap + 1 if gap >= 0 else begin
    return begin, begin + chars


def _places(text: str, wanted: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the spans of words; without their last letters, so that other endings are found too."""
    places = []
    for word in wanted:
        stem = word if len(word) < _LONG_WORD else word[:-2]
        places += [(start, start + len(word), word) for start in _starts(text, stem, bool(_UNSPACED.match(word)))]
    return sorted(places)


def _starts(text: str, stem: str, is_unspaced: bool) -> Iterator[int]:
    """Yield where a stem is at the beginning of a word, or anywhere in a script without spaces."""
    if has_forms(stem):
        pattern = literal(stem) if is_unspaced else rf"(?<![^\W_]){literal(stem)}"
        yield from (found.start() for found in re.finditer(pattern, text))
        return
    found = text.find(stem)  # several times faster than a pattern, which looks behind at each character
    while found >= 0:
        begins = is_unspaced or not found or not text[found - 1].isalnum()
        if begins:
            yield found
        found = text.find(stem, found + (len(stem) if begins else 1))


def _densest(places: Sequence[tuple[int, int, str]], chars: int) -> int:
    """Return the start of the window that has the most; a word that is everywhere tells windows apart least."""
    often = Counter(word for _, _, word in places)
    held: Counter[str] = Counter()
    best, first, begin, entering = 0.0, 0, 0, 0
    weight = 0.0
    for at, _, word in places:
        while entering < len(places) and places[entering][1] <= at + chars:
            new = places[entering][2]
            weight += 0 if held[new] else 1 / often[new]
            held[new] += 1
            entering += 1
        if weight > best + _ROUNDING:
            best, first, begin = weight, at, at
        elif weight > best - _ROUNDING and at <= first + chars:  # the same words, closer to the beginning
            begin = at
        if held[word]:
            held[word] -= 1
            weight -= 0 if held[word] else 1 / often[word]
    return begin
