"""An entry in the table of key formats."""

from __future__ import annotations

from dataclasses import dataclass

_SEPARATED = (
    r"""[0-9A-Za-z_ .\[\]-]{0,32}["'`]?\s{0,3}(?:=>|:=|=|:|,|\sis\s)\s{0,3}["'`]?(?:(?i:bearer|basic|token)\s)?"""
)


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """A kind of secret whose format its issuer publishes.

    Attributes:
        kind: Name in placeholders and reports.
        keywords: Literals, one of which every secret contains; a text without any is not searched further.
        pattern: RE2 pattern, matched at the keyword. If it has a group, the group is the secret.
        page: Where the issuer describes the format.
        lookback_chars: How far before the keyword a secret begins; if not 0, the pattern is searched from there.
        ignores_case: Whether keywords match regardless of case.
        ends_at_word: Whether no letter or digit may follow, for formats without a distinctive mark.
    """

    kind: str
    keywords: tuple[str, ...]
    pattern: str
    page: str
    lookback_chars: int = 0
    ignores_case: bool = False
    ends_at_word: bool = False


def marked(kind: str, keywords: str, pattern: str, page: str, *, lookback: int = 0) -> KeyFormat:
    """Return the entry of a format with a distinctive mark, such as a prefix.

    Args:
        kind: Its name.
        keywords: The marks, separated by spaces.
        pattern: Pattern of the whole secret.
        page: Where it is described.
        lookback: Number of characters of the secret before the mark.
    """
    return KeyFormat(kind, tuple(keywords.split()), pattern, page, lookback_chars=lookback)


def named(kind: str, keywords: str, value: str, page: str) -> KeyFormat:
    """Return the entry of a format without a mark, recognised by its issuer's name before it.

    Args:
        kind: Its name.
        keywords: Names in lower case, separated by spaces.
        value: Pattern of the secret alone.
        page: Where it is described.
    """
    names = tuple(keywords.split())
    pattern = f"(?i:{'|'.join(names)}){_SEPARATED}({value})"
    return KeyFormat(kind, names, pattern, page, ignores_case=True, ends_at_word=True)
