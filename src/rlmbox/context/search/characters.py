"""Characters as matched by `re`, in RE2's syntax."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from rlmbox.context.search.code_ranges import SPACES, CodeRanges, between_brackets, complement, is_word, word

CharacterKind = Literal["word", "other", "any", "edge"]
r"""What is known of a character beside a place: in `\w`, not in `\w`, nothing; or that the pattern ends there."""

_MAX_RANGE_LOOKED_AT = 1_000
_LONG_CHARS = 1_000
ASCII_SPACES: CodeRanges = ((0x09, 0x0D), (0x1C, 0x20))


def character_kind(char: str) -> CharacterKind:
    """Return the kind of a literal character."""
    return "word" if is_word(char) else "other"


def quoted(char: str) -> str:
    """Return a literal character, quoted for use inside or outside brackets."""
    return char if not char.isascii() or char.isalnum() else f"\\x{{{ord(char):x}}}"


@lru_cache(maxsize=1)
def _other_class() -> str:
    return between_brackets(complement(word()))


def unicode_class(shorthand: str, *, inside: bool) -> str:
    r"""Return `\d`, `\s`, `\w` or their opposites as written inside brackets.

    Args:
        shorthand: The letter.
        inside: Whether it is part of a larger class, so that the class cannot be negated instead.
    """
    if shorthand == "W":
        return _other_class() if inside else r"^\p{L}\p{N}_"
    plain = {"d": r"\p{Nd}", "D": r"\P{Nd}", "w": r"\p{L}\p{N}_", "s": between_brackets(SPACES)}
    return plain[shorthand] if shorthand in plain else between_brackets(complement(SPACES))


def range_kind(low: str, high: str) -> CharacterKind:
    """Return the common kind of the characters in a range."""
    if ord(high) - ord(low) > _MAX_RANGE_LOOKED_AT:
        return "any"
    return merged(character_kind(chr(code)) for code in range(ord(low), ord(high) + 1))


def class_kind(negated: bool, items: Iterable[str], kinds: Iterable[CharacterKind]) -> CharacterKind:
    """Return the common kind of the characters in a class.

    Args:
        negated: Whether it begins with `^`.
        items: The items between the brackets.
        kinds: The kinds of the items.
    """
    if not negated:
        return merged(kinds)
    found = set(items)
    if found & {r"\w", unicode_class("w", inside=True)}:
        return "other"
    # Only long items are compared, so that the class of `\W`, which is slow to build, is built only if needed.
    not_word = any(item == r"\W" or (len(item) > _LONG_CHARS and item == _other_class()) for item in found)
    return "word" if not_word else "any"


def merged(kinds: Iterable[CharacterKind]) -> CharacterKind:
    """Return the common kind, or `any`."""
    found = set(kinds)
    return found.pop() if len(found) == 1 else "any"


def code_point(digits: str, base: int) -> str | None:
    """Return the character of a code point, or None if there is none."""
    try:
        return chr(int(digits, base)) if digits.isalnum() else None
    except (ValueError, OverflowError):
        return None


def named(name: str) -> str | None:
    """Return the character of a Unicode name, or None."""
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return None
