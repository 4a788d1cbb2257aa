"""Equivalent Unicode forms of letters: `é` may be one character, or `e` and a combining accent.

Patterns are rewritten to match both forms. Positions of matches remain those in the unchanged text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# Signs that are canonically equivalent to a letter, and so vanish when a text is composed.
_SIGNS = {"\u00c5": "\u212b", "\u03a9": "\u2126"}
_ESCAPE = re.compile(
    r"\\x([0-9A-Fa-f]{2})|\\x\{([0-9A-Fa-f]{1,6})\}|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\.", re.DOTALL
)
_EDGE = re.compile(r"\\[bB]")
# The name of a group or a property, a class, an escape, or a character.
_PIECE = re.compile(
    r"\(\?P?<[^>]*>|\(\?P=[^)]*\)|\\[pPN]\{[^}]*\}|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
    r"|\\x[0-9A-Fa-f]{2}|\\x\{[0-9A-Fa-f]{1,6}\}|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\.|.",
    re.DOTALL,
)


# First bytes in UTF-8 of accents, of the parts of Korean syllables, and of those signs.
APART = (b"\xcc", b"\xcd", b"\xe1\x84", b"\xe1\x85", b"\xe1\x86", b"\xe1\x87", b"\xe2\x84\xab", b"\xe2\x84\xa6")


def composed(text: str) -> str:
    """Return a text in composed form (NFC)."""
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def forms(letter: str) -> tuple[str, ...]:
    """Return all forms of a composed character, possibly followed by accents; the given one first."""
    apart = unicodedata.normalize("NFD", letter)
    partly = (unicodedata.normalize("NFC", apart[:end]) + apart[end:] for end in range(1, len(apart)))
    sign = (_SIGNS[letter],) if letter in _SIGNS else ()
    return tuple(dict.fromkeys((letter, *partly, apart, *sign)))


def has_forms(text: str) -> bool:
    """Return whether a text has other equivalent forms."""
    return not text.isascii() and (composed(text) != text or any(len(forms(char)) > 1 for char in text))


def literal(text: str) -> str:
    """Return a regular expression that matches a text in every form."""
    return "".join(map(_any_form, _clusters(composed(text))))


def _clusters(text: str) -> Iterator[str]:
    """Yield characters, each with the accents that follow it."""
    begin = 0
    for number, char in enumerate(text):
        if number > begin and not unicodedata.combining(char):
            yield text[begin:number]
            begin = number
    yield text[begin:]


def _any_form(letter: str) -> str:
    written = forms(letter)
    return f"(?:{'|'.join(map(_escaped, written))})" if len(written) > 1 else _escaped(letter)


def _escaped(text: str) -> str:
    return "".join(c if not c.isascii() or c.isalnum() else f"\\x{ord(c):02x}" for c in text)


def expression(pattern: str) -> str:
    """Return a regular expression that matches in every form what the given one matches in one."""
    return "".join(_pieces(composed(pattern))) if may_differ(pattern) else pattern


def may_differ(pattern: str) -> bool:
    """Return whether a regular expression names non-ASCII letters."""
    return not pattern.isascii() or any(escape in pattern for escape in ("\\x", "\\u", "\\U"))


def _pieces(pattern: str) -> Iterator[str]:
    # An accent is not a word character, so a letter next to a word boundary is left alone; so are classes, whose
    # members may not be visible.
    has_edges = _EDGE.search(pattern) is not None
    for found in _PIECE.finditer(pattern):
        piece = found[0]
        if piece.startswith("[") and len(piece) > 1:
            yield piece if has_edges else _class(piece)
            continue
        escape = _ESCAPE.fullmatch(piece)
        char = _character(escape) if escape else piece if len(piece) == 1 and not piece.isascii() else ""
        beside_edge = has_edges and (
            _EDGE.match(pattern, found.end()) or pattern[: found.start()].endswith(("\\b", "\\B"))
        )
        yield _any_form(char) if char and len(forms(char)) > 1 and not beside_edge else piece


def _character(escape: re.Match[str]) -> str:
    """Return the character that an escape denotes; the empty string for other escapes."""
    code = next((group for group in escape.groups() if group), None)
    value = int(code, 16) if code else 0
    return chr(value) if 0x80 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else ""


def _class(written: str) -> str:
    """Return a character class extended by the other forms of its members."""
    if written.startswith("[^"):
        return written
    inner = written[1:-1]
    others: dict[str, None] = {}
    for number, char in enumerate(inner):
        in_range = inner[number + 1 : number + 2] == "-" or inner[number - 1 : number] == "-"
        if not char.isascii() and not in_range:
            others.update(dict.fromkeys(forms(char)[1:]))
    # Longer forms first, so that a letter does not match without its accent.
    return f"(?:{'|'.join([*map(_escaped, others), written])})" if others else written
