"""Splitting of a text into passages, and of passages into words, for ranking."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from rlmbox.context.storage.equivalents import composed, has_forms, literal

PASSAGE_CHARS = 2_000
_SHORTEST = PASSAGE_CHARS // 2
_READ_CHARS = 1_000_000
_LONG_WORD = 6
_ROUNDING = 1e-9
_WORD = re.compile(r"[^\W_]+")
# Scripts written without spaces: each character is a word, and so is each pair of neighbours.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)

# Korean attaches particles to words, so each pair of neighbours within a word counts beside the word itself.
_HANGUL = re.compile("[\uac00-\ud7a3]{3,}")
_KOREAN = re.compile("[\uac00-\ud7a3]{2,}")
_PICTURE = re.compile("[\u2600-\u27bf\u2b50-\u2b55\U0001f000-\U0001faff]")
_PICTURE_WORD = re.compile("pictured([0-9a-f]{4,5})")  # emoji as a word, since engines index only letters and digits


class Sliceable(Protocol):
    """A text that is read by position, such as a `Context`."""

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Return the text between two positions."""


def cut(text: str, begin: int, end: int) -> int:
    """Return the end of the passage that begins at a position: after a paragraph, a line or a word if possible.

    Args:
        text: The text.
        begin: Start of the passage.
        end: End of the text.
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
    """Yield the passages of a text, each within one document and about 2,000 characters long.

    Args:
        text: The text.
        spans: Start and end of its documents, in order.
        bounds: Filled with start and end of each passage.
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
    """Return the distinct words of a text in lower case, in order."""
    return list(dict.fromkeys(_WORD.findall(composed(spaced(text).lower()))))


def spaced(text: str) -> str:
    """Return a text in composed form, with spaces between the words of scripts written without any.

    Parts of words with attached particles are words as well, and so are emoji.
    """
    if text.isascii():
        return text
    text = _HANGUL.sub(_with_pairs, _UNSPACED.sub(_apart, composed(text)))
    return _PICTURE.sub(_named, text)


def pairs(text: str) -> list[str]:
    """Return each pair of neighbours in words of scripts without spaces or with attached particles, and each emoji.

    Args:
        text: The text.
    """
    runs = [*_UNSPACED.findall(composed(text)), *_KOREAN.findall(composed(text))]
    found = (each for run in runs for each in (map("".join, pairwise(run)) if len(run) > 1 else (run,)))
    return list(dict.fromkeys((*found, *_PICTURE.findall(text))))


def _with_pairs(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word} {' '.join(map(''.join, pairwise(word)))} "


def _named(found: re.Match[str]) -> str:
    return f" pictured{ord(found[0]):x} "


def _apart(found: re.Match[str]) -> str:
    run = found[0]
    return f" {' '.join(run)} {' '.join(map(''.join, pairwise(run)))} "


def best_window(text: str, wanted: Sequence[str], chars: int) -> tuple[int, int]:
    """Return the part of a passage with the most of some words, the first one if several are equal.

    Args:
        text: The passage.
        wanted: The words, in lower case.
        chars: Length of the part.
    """
    if len(text) <= chars:
        return 0, len(text)
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters are longer in lower case, which would shift positions
        lowered = text
    lead = chars // 6
    begin = max(0, min(_densest(_places(lowered, wanted), chars - lead) - lead, len(text) - chars))
    if begin:  # do not begin inside a word
        gap = text.find(" ", begin, begin + lead)
        begin = gap + 1 if gap >= 0 else begin
    return begin, begin + chars


def _places(text: str, wanted: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return the spans of words, each with its number; the last letters are ignored, so that other endings match."""
    places: list[tuple[int, int, int]] = []
    for number, word in enumerate(wanted):
        stem, pattern, is_unspaced = _sought(word)
        length = len(word)
        if pattern is not None:
            places += [(found.start(), found.start() + length, number) for found in pattern.finditer(text)]
            continue
        step = len(stem)
        at = text.find(stem)  # several times faster than a pattern with a look-behind at each character
        while at >= 0:
            if is_unspaced or not at or not text[at - 1].isalnum():
                places.append((at, at + length, number))
                at = text.find(stem, at + step)
            else:
                at = text.find(stem, at + 1)
    places.sort()
    return places


@lru_cache(maxsize=1024)
def _sought(word: str) -> tuple[str, re.Pattern[str] | None, bool]:
    """Return how to search for a word: its stem, a pattern for several forms, and whether it may be inside a word."""
    if picture := _PICTURE_WORD.fullmatch(word):
        return chr(int(picture[1], 16)), None, True
    stem = word if len(word) < _LONG_WORD else word[:-2]
    is_unspaced = bool(_UNSPACED.match(word))
    if not has_forms(stem):
        return stem, None, is_unspaced
    return stem, re.compile(literal(stem) if is_unspaced else rf"(?<![^\W_]){literal(stem)}"), is_unspaced


def _densest(places: Sequence[tuple[int, int, int]], chars: int) -> int:
    """Return the start of the window with the highest weight; words that occur everywhere weigh least."""
    often: dict[int, int] = {}
    for _, _, word in places:
        often[word] = often.get(word, 0) + 1
    held = dict.fromkeys(often, 0)
    best, first, begin, entering = 0.0, 0, 0, 0
    weight, count = 0.0, len(places)
    for at, _, word in places:
        last = at + chars
        while entering < count and places[entering][1] <= last:
            new = places[entering][2]
            if not held[new]:
                weight += 1 / often[new]
            held[new] += 1
            entering += 1
        if weight > best + _ROUNDING:
            best, first, begin = weight, at, at
        elif weight > best - _ROUNDING and at <= first + chars:  # the same words, closer to the beginning
            begin = at
        if held[word]:
            held[word] -= 1
            if not held[word]:
                weight -= 1 / often[word]
    return begin
