r"""Patterns without alternatives to try, matched without an automaton.

In `user(\d+)@`, a literal, a run of characters and a literal, the text alone decides what each part matches. Python's
matcher is faster for such patterns than RE2 called from Python, and it cannot backtrack, because each run is written as
a possessive quantifier. All other patterns are left to RE2.

A pattern is of this kind if
- it begins with a literal;
- it continues with single characters and repetitions of one character set, grouped or not;
- no character that a repetition matches can begin what follows, so that the possessive form matches the same as the
  greedy and the lazy one; or it is a lazy repetition before a final literal, which matches everything up to that;
- no repetition matches every character of the first literal, unless nothing that can fail follows. So no repetition in
  one attempt passes the position where the next attempt begins: each character is visited at most once per part, and
  the time is linear in the text.

`user(\w+)@(\w+)` breaks the last rule: in `useruseruser` each attempt would visit the rest. But where one attempt fails
after the first repetition, so does each attempt that begins inside it, since it reaches the same position. So a second
branch matches only the literal and the repetition, the next attempt begins after them, and such a match is dropped.
Later repetitions may not match a character that has to precede them, which an attempt inside them would need.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any

from rlmbox.context.search import code_ranges
from rlmbox.context.search.code_ranges import CodeRanges, complement, intersection, joined
from rlmbox.sandboxes.subset import charsets
from rlmbox.sandboxes.subset.regex_translate import Node

_MAX_PARTS = 100
_RUN = "{0,}+"
_BEYOND_ASCII = ((0x80, code_ranges.LAST),)
_NO_SPACE = complement(code_ranges.SPACES)
_LETTERS = intersection(_BEYOND_ASCII, _NO_SPACE)  # characters beyond ASCII that may be letters or digits
_CATEGORIES = {
    sre.CATEGORY_DIGIT: (r"\d", joined([*charsets.ASCII_DIGIT, *_LETTERS])),
    sre.CATEGORY_NOT_DIGIT: (r"\D", complement(charsets.ASCII_DIGIT)),
    sre.CATEGORY_SPACE: (r"\s", code_ranges.SPACES),
    sre.CATEGORY_NOT_SPACE: (r"\S", complement(charsets.ASCII_SPACE)),
    sre.CATEGORY_WORD: (r"\w", joined([*charsets.ASCII_WORD, *_LETTERS])),
    sre.CATEGORY_NOT_WORD: (r"\W", complement(charsets.ASCII_WORD)),
}
"""How each category is written, and a superset of the characters that it matches, in texts and in bytes."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A pattern for Python's matcher.

    Attributes:
        pattern: The pattern; its groups are those of the original, and perhaps one more.
        groups: Number of groups of the original; all take part in every match.
        mark: The group that a match must have to count; 0 if every match counts.
    """

    pattern: re.Pattern[Any]
    groups: int
    mark: int


@dataclass(frozen=True, slots=True)
class _PatternPart:
    """A character, or a repetition of one character set.

    Attributes:
        text: Its form for Python's matcher.
        characters: A superset of the characters that it matches.
        low: Smallest number of them.
        high: Largest number of them.
        is_lazy: Whether it is lazy.
        is_settled: Whether it ends at a literal that ends the pattern.
    """

    text: str
    characters: CodeRanges
    low: int
    high: int
    is_lazy: bool = False
    is_settled: bool = False

    @property
    def is_one(self) -> bool:
        """True if it is one character."""
        return self.low == self.high == 1


def directly(tree: Sequence[Node], flags: int, *, is_bytes: bool) -> Direct | None:
    """Return an equivalent pattern for Python's matcher; None if that might have to backtrack.

    Args:
        tree: The pattern as parsed by Python.
        flags: Its flags.
        is_bytes: Whether it is for bytes.
    """
    if flags & re.IGNORECASE:
        return None
    parts: list[_PatternPart] = []
    written = _written(tree, flags, parts)
    if written is None or not parts or len(parts) > _MAX_PARTS:
        return None
    parts = [_settled(parts, place, flags) for place in range(len(parts))]
    literal = list(takewhile(_is_literal, parts))
    if not literal or not all(_is_certain(parts, place) for place in range(len(parts))):
        return None
    text = "".join(parts[each].text if isinstance(each, int) else each for each in written)
    groups = written.count("(")
    overlapping = [place for place in range(len(parts)) if _overlaps(parts, place, literal)]
    mark = 0
    if overlapping:
        if not _can_skip(parts, overlapping, literal):
            return None
        mark = groups + 1
        text += "()|" + "".join(part.text for part in parts[: len(literal) + 1])
    return Direct(
        re.compile(text.encode("latin-1") if is_bytes else text, flags & (re.ASCII | re.DOTALL)), groups, mark
    )


def _is_certain(parts: list[_PatternPart], place: int) -> bool:
    """Return whether a part can match only one length at a given position."""
    part, after = parts[place], parts[place + 1 :]
    if part.low == part.high or part.is_settled:
        return True
    if part.is_lazy and not any(each.low for each in after):
        return False
    return not intersection(part.characters, _beginning(after))


def _can_fail(parts: list[_PatternPart], place: int) -> bool:
    return parts[place].low > _MAX_PARTS or any(each.low for each in parts[place + 1 :])


def _overlaps(parts: list[_PatternPart], place: int, literal: list[_PatternPart]) -> bool:
    """Return whether attempts could begin inside a repetition, and fail after it."""
    part = parts[place]
    return (
        not part.is_one
        and _can_fail(parts, place)
        and all(intersection(part.characters, each.characters) for each in literal)
    )


def _can_skip(parts: list[_PatternPart], overlapping: list[int], literal: list[_PatternPart]) -> bool:
    """Return whether one failure after the first repetition rules out all attempts that begin inside it."""
    first = len(literal)
    run = parts[first]
    exact = all(0x20 <= each.characters[0][0] < 0x7F for each in literal)  # where the sets are exact
    if overlapping[0] != first or run.high != sre.MAXREPEAT or run.low > _MAX_PARTS or not exact:
        return False
    later = [place for place in range(first + 1, len(parts)) if not parts[place].is_one and _can_fail(parts, place)]
    between = list(takewhile(lambda part: part.is_one, parts[first + 1 :]))
    return not later or any(
        not any(intersection(parts[place].characters, needed.characters) for place in later) for needed in between
    )


def _settled(parts: list[_PatternPart], place: int, flags: int) -> _PatternPart:
    """Return a part; a lazy repetition before a final literal becomes one of anything but that literal."""
    part, after = parts[place], parts[place + 1 :]
    if not part.is_lazy or part.low or part.high != sre.MAXREPEAT or not after or not all(map(_is_literal, after)):
        return part
    first = after[0].characters
    one = part.text.removesuffix(_RUN)
    if not intersection(part.characters, first) or not (one == "." or one.startswith("[^")):
        return part
    without = ("[^" if flags & re.DOTALL else r"[^\n") if one == "." else one[:-1]
    without += after[0].text + "]"
    if len(after) == 1:
        rest = intersection(part.characters, complement(first))
        return replace(part, text=f"{without}*+", characters=rest, is_lazy=False)
    word = "".join(each.text for each in after)
    return replace(part, text=f"(?:{without}++|(?!{word}){after[0].text})*+", is_lazy=False, is_settled=True)


def _is_literal(part: _PatternPart) -> bool:
    return part.is_one and len(part.characters) == 1 and len(set(part.characters[0])) == 1


def _beginning(parts: list[_PatternPart]) -> CodeRanges:
    """Return the characters that a match of some parts can begin with."""
    found: list[tuple[int, int]] = []
    for part in parts:
        found += part.characters
        if part.low:
            break
    return joined(found)


def _written(nodes: Sequence[Node], flags: int, parts: list[_PatternPart]) -> list[str | int] | None:
    """Return brackets and indexes of parts, and append these to `parts`; None if a node is of another kind."""
    found: list[str | int] = []
    for op, value in nodes:
        if op is sre.SUBPATTERN:
            group, added, removed, inner = value
            within = None if added or removed else _written(inner, flags, parts)
            if within is None:
                return None
            found += ["(" if group else "(?:", *within, ")"]
            continue
        part = _part(op, value, flags)
        if part is None:
            return None
        found.append(len(parts))
        parts.append(part)
    return found


def _part(op: Any, value: Any, flags: int) -> _PatternPart | None:
    is_run = op in (sre.MAX_REPEAT, sre.MIN_REPEAT)
    low, high, inner = value if is_run else (1, 1, [(op, value)])
    if len(inner) != 1 or not high:
        return None
    kind, what = inner[0]
    text = _character(kind, what)
    if text is None:
        return None
    many = ""
    if is_run:
        most = "" if high is sre.MAXREPEAT else str(int(high))
        many = f"{{{int(low)},{most}}}+"
    return _PatternPart(text + many, _characters(kind, what, flags), int(low), int(high), op is sre.MIN_REPEAT)


def _character(op: Any, value: Any) -> str | None:
    """Return the pattern of a node that matches a single character; None for any other node."""
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


def _characters(op: Any, value: Any, flags: int) -> CodeRanges:
    """Return a superset of the characters that a part can match, exact within ASCII."""
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
        # Only characters that certainly belong to the categories may be removed: the unit separators are spaces in
        # texts only, and beyond ASCII the set is a superset.
        found = [*complement(joined(found)), (0x1C, 0x1F), *_BEYOND_ASCII]
    return joined(found)
