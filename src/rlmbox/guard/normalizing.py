"""Normalisation of a text for detectors, with a mapping to positions in the original.

Zero-width spaces or full-width digits must not disguise a secret. Detectors see NFKC forms, digits of all scripts as
ASCII, letters that look Latin as Latin among Latin ones, and no zero-width characters.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

# Soft hyphen, combining grapheme joiner, zero-width and directional marks, variation selectors, the byte order mark,
# interlinear marks and the tags of plane 14.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
_LOOKALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТХаеѕіјорсухԁһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοԛԝ",  # noqa: RUF001 - intended lookalikes
    "ABESIJKMHOPCTXaesijopcyxdhABEZHIKMNOPTYXoqw",
)
_LETTERS = "".join(map(chr, _LOOKALIKES))
_LOOKALIKE = re.compile(f"[{_LETTERS}]+")
_ASCII_WORD = re.compile("[0-9A-Za-z_-]")
_OTHER_LETTER = re.compile(r"[^\W0-9A-Za-z_]")
_SUSPECT = re.compile(f"[{_UNSEEN}{_LETTERS}]")
_FOREIGN_DIGIT = re.compile(r"[^\D\x00-\x7f]")
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class Normalized:
    """A normalised text.

    Attributes:
        text: The text.
        segments: Where positions differ from the original: the start of each segment in the normalised text and in
            the original, and whether it is one character there. None if all positions are the same.
    """

    text: str
    segments: tuple[list[int], list[int], list[bool]] | None = None

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in the original of a range of the normalised text."""
        if self.segments is None or start >= end:
            return start, end
        return self._original(start), self._original(end - 1) + 1

    def _original(self, position: int) -> int:
        begins, originals, are_single = self.segments or ([], [], [])
        at = bisect_right(begins, position) - 1
        return originals[at] if are_single[at] else originals[at] + position - begins[at]


def normalize(text: str) -> Normalized:
    """Normalise a text for detectors."""
    if text.isascii():
        return Normalized(text)
    if unicodedata.is_normalized("NFKC", text) and not (_SUSPECT.search(text) or _FOREIGN_DIGIT.search(text)):
        return Normalized(text)
    folded = _NON_ASCII.sub(lambda found: found[0].translate(_single), text)
    folded = _LOOKALIKE.sub(_latin, folded) if _SUSPECT.search(folded) else folded
    if not _INVISIBLE.search(folded) and _single.expanding.isdisjoint(folded):
        return Normalized(folded)
    return _of_other_length(folded)


def _latin(found: re.Match[str]) -> str:
    """Replace letters that look Latin by Latin ones if they are next to such, and not in a word of their own script."""
    text, start, end = found.string, found.start(), found.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if _OTHER_LETTER.match(before) or _OTHER_LETTER.match(after):
        return found[0]
    is_beside = _ASCII_WORD.match(before) or _ASCII_WORD.match(after)
    return found[0].translate(_LOOKALIKES) if is_beside else found[0]


def _of_other_length(text: str) -> Normalized:
    """Remove zero-width characters, and expand those that represent several characters."""
    pieces: list[str] = []
    begins, originals, are_single = [0], [0], [False]
    size = at = 0
    for found in re.finditer(f"[{_UNSEEN}{re.escape(''.join(_single.expanding))}]", text):
        pieces.append(text[at : found.start()])
        size += found.start() - at
        at = found.end()
        piece = "" if _INVISIBLE.match(found[0]) else unicodedata.normalize("NFKC", found[0])
        pieces.append(piece)
        begins += [size, size + len(piece)]
        originals += [found.start(), at]
        are_single += [True, False]
        size += len(piece)
    return Normalized("".join([*pieces, text[at:]]), (begins, originals, are_single))


class _Single(dict[int, int]):
    """A one-to-one table for `str.translate` that is filled on demand.

    Attributes:
        expanding: Characters seen whose normal form is longer than one character.
    """

    def __init__(self) -> None:
        super().__init__()
        self.expanding: set[str] = set()

    def __missing__(self, code: int) -> int:
        form = _form(chr(code))
        if len(form) == 1:
            self[code] = ord(form)
        else:
            self.expanding.add(chr(code))
            self[code] = code
        return self[code]


@lru_cache(4096)
def _form(character: str) -> str:
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", character)


_single = _Single()
