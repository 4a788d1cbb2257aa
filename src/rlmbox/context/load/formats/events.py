"""The events that a reader yields while it reads a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.usage import quantity


class Unreadable(Exception):
    """The text of the file cannot be read; the message has the reason and a remedy."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text.

    Attributes:
        text: The text.
        is_page: Whether a page begins with it.
    """

    text: str
    is_page: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """The beginning of a separate document, such as a file in an archive.

    Attributes:
        name: Its name in the file.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is missing from the text, or that was added to it.

    Attributes:
        text: The note, for readers of the text.
    """

    text: str


def unread_pictures(number: int) -> Note:
    """Return the note of a document with pictures.

    Args:
        number: How many it has.
    """
    return Note(f"has {quantity(number, 'picture')}, whose text is not read")


def formulas_without_values(number: int) -> Note:
    """Return the note for a workbook that was never calculated.

    Args:
        number: Number of its formulas without a value.
    """
    have = "has" if number == 1 else "have"
    return Note(f"{quantity(number, 'formula')} {have} no calculated value: the formulas themselves are given")


@dataclass(frozen=True, slots=True)
class Omitted:
    """A part that was skipped.

    Attributes:
        reason: The reason.
        name: Its name in the file.
    """

    reason: str
    name: str


Events = Iterator[Piece | Begin | Note | Omitted]
