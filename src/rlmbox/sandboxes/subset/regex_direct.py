r"""Patterns that leave nothing to choose, matched without an automaton.

`user(\d+)@` is a literal, a run of characters that ends where the next part begins, and a literal: the text settles
what each part takes. Python's matcher is quicker for those than RE2 is in Python's hands, and it has nothing to go
back to, because each run is written as a possessive one. All other patterns are RE2's.

A pattern is of this kind if
- it begins with a literal;
- after it come single characters and runs of one set of characters, grouped or not;
- no character that a run takes can begin what follows it, so that a possessive run takes what a greedy one would;
- no run takes every character of that literal, unless nothing that can fail comes after it. So no run of one attempt
  goes on over the place where the next attempt begins: a character is gone over as often as the pattern has parts,
  and the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from rlmbox.sandboxes.subset import charsets
from rlmbox.sandboxes.subset.charsets import Ranges, complement, intersection, joined

Node = tuple[Any, Any]

_MAX_PARTS = 100
_BEYOND_ASCII = ((0x80, charsets.LAST),)
_SPACE = joined([*charsets.ASCII_SPACE, (0x1C, 0x1F)])
_CATEGORIES = {
    sre.CATEGORY_DIGIT: (r"\d", charsets.ASCII_DIGIT),
    sre.CATEGORY_NOT_DIGIT: (r"\D", complement(charsets.ASCII_DIGIT)),
    sre.CATEGORY_SPACE: (r"\s", _SPACE),
    sre.CATEGORY_NOT_SPACE: (r"\S", complement(charsets.ASCII_SPACE)),
    sre.CATEGORY_WORD: (r"\w", charsets.ASCII_WORD),
    sre.CATEGORY_NOT_WORD: (r"\W", complement(charsets.ASCII_WORD)),
}
"""How each is written, and a set of ASCII characters that has all that it takes."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A character, or a run of characters of one set.

    Attributes:
        text: How it is written for Python's matcher.
        characters: Which characters it takes, and perhaps more.
        low: How many at least.
        high: How many at most.
    """

    text: str
    characters: Ranges
    low: int
    high: int


def directly(tree: Sequence[Node], flags: int, *, is_bytes: bool) -> re.Pattern[Any] | None:
    """Return a pattern for Python's matcher that finds what another finds; None where it might have to go back.

    Args:
        tree: What Python's parser made of the pattern.
        flags: Its flags.
        is_bytes: Whether it is for bytes.
    """
    if flags & re.IGNORECASE:
        return None
    parts: list[_Part] = []
    text = _written(tree, flags, parts)
    if text is None or not parts or len(parts) > _MAX_PARTS or not _is_linear(parts):
        return None
    kept = flags & (re.ASCII | re.DOTALL)
    return re.compile(text.encode("latin-1") if is_bytes else text, kept)


def _is_linear(parts: list[_Part]) -> bool:
    literal = [part.characters for part in takewhile(_is_literal, parts)]
    if not literal:
        return False
    for place, part in enumerate(parts):
        if part.low == part.high == 1:
            continue
        after = parts[place + 1 :]
        if part.low != part.high and intersection(part.characters, _beginning(after)):
            return False
        can_fail = part.low > _MAX_PARTS or any(each.low for each in after)
        if can_fail and all(intersection(part.characters, each) for each in literal):
            return False
    return True


def _is_literal(part: _Part) -> bool:
    return part.low == part.high == 1 and len(part.characters) == 1 and len(set(part.characters[0])) == 1


def _beginning(parts: list[_Part]) -> Ranges:
    """Return the characters with which what some parts take can begin."""
    found: list[tuple[int, int]] = []
    for part in parts:
        found += part.characters
        if part.low:
            break
    return joined(found)


def _written(nodes: Sequence[Node], flags: int, parts: list[_Part]) -> str | None:
    """Return some nodes for Python's matcher, and add what they are to `parts`; None if they are something else."""
    found = []
    for op, value in nodes:
        if op is sre.SUBPATTERN:
            group, added, removed, inner = value
            text = None if added or removed else _written(inner, flags, parts)
            if text is None:
                return None
            found.append(f"({'' if group else '?:'}{text})")
            continue
        part = _part(op, value, flags)
        if part is None:
            return None
        parts.append(part)
        found.append(part.text)
    return "".join(found)


def _part(op: Any, value: Any, flags: int) -> _Part | None:
    low, high, inner = value if op is sre.MAX_REPEAT else (1, 1, [(op, value)])
    if len(inner) != 1 or not high:
        return None
    kind, what = inner[0]
    text = _character(kind, what)
    if text is None:
        return None
    many = ""
    if op is sre.MAX_REPEAT:
        most = "" if high is sre.MAXREPEAT else str(int(high))
        many = f"{{{int(low)},{most}}}+"
    return _Part(text + many, _characters(kind, what, flags), int(low), int(high))


def _character(op: Any, value: Any) -> str | None:
    """Return what takes one character, written out; None if it is something else."""
    if op is sre.LITERAL:
        return re.escape(chr(value))
    if op is sre.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    if op is sre.ANY:
        return "."
    if op is not sre.IN:
        return None
    return "[" + "".join(map(_member, value)) + "]"


def _member(node: Node) -> str:
    op, value = node
    if op is sre.NEGATE:
        return "^"
    if op is sre.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return _CATEGORIES[value][0] if op is sre.CATEGORY else re.escape(chr(value))


def _characters(op: Any, value: Any, flags: int) -> Ranges:
    """Return a set that has all characters that one part takes, and beyond ASCII perhaps more."""
    if op is sre.LITERAL:
        return ((value, value),)
    if op is sre.NOT_LITERAL:
        return complement(((value, value),))
    if op is sre.ANY:
        return charsets.ALL if flags & re.DOTALL else complement(((10, 10),))
    negated = value[0][0] is sre.NEGATE
    found: list[tuple[int, int]] = []
    for kind, member in value[negated:]:
        found += _CATEGORIES[member][1] if kind is sre.CATEGORY else [member if kind is sre.RANGE else (member, member)]
    if not any(kind is sre.CATEGORY for kind, _ in value):
        return complement(joined(found)) if negated else joined(found)
    if negated:
        # Only what certainly belongs to the categories may be taken away: the unit separators are spaces in texts only.
        found = [*complement(joined(found)), (0x1C, 0x1F)]
    return joined([*found, *_BEYOND_ASCII])
