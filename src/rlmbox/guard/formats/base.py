"""The form of a row in the table of key formats."""

from __future__ import annotations

from dataclasses import dataclass

_SEPARATED = (
    r"""[0-9A-Za-z_ .\[\]-]{0,32}["'`]?\s{0,3}(?:=>|:=|=|:|,|\sis\s)\s{0,3}["'`]?(?:(?i:bearer|basic|token)\s)?"""
)


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """A kind of secret whose form its issuer publishes.

    Attributes:
        kind: Name in placeholders and reports.
        keywords: Literals, one of which every occurrence has. A text without any is not looked at further.
        pattern: RE2 pattern, matched where the keyword begins. Where it has a group, the group is the secret.
        page: Where the issuer describes the format.
        lookback_chars: How far before the keyword an occurrence begins; where it is not 0, the pattern is searched
            from there.
        ignores_case: Whether keywords match without regard to case.
        ends_at_word: Whether what follows must not be a letter or digit, for formats without a mark of their own.
    """

    kind: str
    keywords: tuple[str, ...]
    pattern: str
    page: str
    lookback_chars: int = 0
    ignores_case: bool = False
    ends_at_word: bool = False


def marked(kind: str, keywords: str, pattern: str, page: str, *, lookback: int = 0) -> KeyFormat:
    """Return the row of a format that is known by a mark of its own, such as a prefix.

    Args:
        kind: Its name.
        keywords: The marks, separated by spaces.
        pattern: Of the whole secret.
        page: Where it is described.
        lookback: Characters of the secret before the mark.
    """
    return KeyFormat(kind, tuple(keywords.split()), pattern, page, lookback_chars=lookback)


def named(kind: str, keywords: str, value: str, page: str) -> KeyFormat:
    """Return the row of a format without a mark, which is known by its issuer's name before it.

    Args:
        kind: Its name.
        keywords: Names, lower case, separated by spaces.
        value: Pattern of the secret alone.
        page: Where it is described.
    """
    names = tuple(keywords.split())
    pattern = f"(?i:{'|'.join(names)}){_SEPARATED}({value})"
    return KeyFormat(kind, names, pattern, page, ignores_case=True, ends_at_word=True)
