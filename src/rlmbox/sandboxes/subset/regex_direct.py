r"""Patterns that leave nothing to choose, matched without an automaton.

`user(\d+)@` is a literal, a run of characters that ends where the next part begins, and a literal: the text settles
what each part takes. Python's matcher is quicker for those than RE2 is in Python's hands, and it has nothing to go
back to, because each run is written as a possessive one. All other patterns are RE2's.

A pattern is of this kind if
- it begins with a literal;
- after it come single characters and runs of one set of characters, grouped or not;
- no character that a run takes can begin what follows it, so that a possessive run takes what a greedy one would, and
  what a lazy one would; or the run is a lazy one before a literal at the end, which takes what comes before that;
- no run takes every character of that literal, unless nothing that can fail comes after it. So no run of one attempt
  goes on over the place where the next attempt begins: a character is gone over as often as the pattern has parts,
  and the time is linear in the text.

`user(\w+)@(\w+)` breaks the last rule: in `useruseruser` each attempt would go over the rest. But where one attempt
fails after the first run, so does each that begins in that run, since it comes to the same place. So a second branch
takes the literal and the run alone, the next attempt begins behind them, and such a match is left out. The runs that
follow may not take some character that has to come before them, which an attempt inside them would need.
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
_LETTERS = intersection(_BEYOND_ASCII, _NO_SPACE)  # what beyond ASCII may be a letter or a digit
_CATEGORIES = {
    sre.CATEGORY_DIGIT: (r"\d", joined([*charsets.ASCII_DIGIT, *_LETTERS])),
    sre.CATEGORY_NOT_DIGIT: (r"\D", complement(charsets.ASCII_DIGIT)),
    sre.CATEGORY_SPACE: (r"\s", code_ranges.SPACES),
    sre.CATEGORY_NOT_SPACE: (r"\S", complement(charsets.ASCII_SPACE)),
    sre.CATEGORY_WORD: (r"\w", joined([*charsets.ASCII_WORD, *_LETTERS])),
    sre.CATEGORY_NOT_WORD: (r"\W", complement(charsets.ASCII_WORD)),
}
"""How each is written, and a set of characters that has all that it takes, in texts and in bytes."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A pattern for Python's matcher.

    Attributes:
        pattern: The pattern; its groups are those of the one that it stands for, and perhaps one more.
        groups: Groups of the one that it stands for; all take part in every match.
        mark: The group that a match has which counts; 0 if all do.
    """

    pattern: re.Pattern[Any]
    groups: int
    mark: int


@dataclass(frozen=True, slots=True)
class _PatternPart:
    """A character, or a run of characters of one set.

    Attributes:
        text: How it is written for Python's matcher.
        characters: Which characters it takes, and perhaps more.
        low: How many at least.
        high: How many at most.
        is_lazy: Whether it takes as few as it can.
        is_settled: Whether it ends where a literal begins, which is the end of the pattern.
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
    """Return a pattern for Python's matcher that finds what another finds; None where it might have to go back.

    Args:
        tree: What Python's parser made of the pattern.
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
    """Return whether only one length of a part can be the one that the pattern takes."""
    part, after = parts[place], parts[place + 1 :]
    if part.low == part.high or part.is_settled:
        return True
    if part.is_lazy and not any(each.low for each in after):
        return False
    return not intersection(part.characters, _beginning(after))


def _can_fail(parts: list[_PatternPart], place: int) -> bool:
    return parts[place].low > _MAX_PARTS or any(each.low for each in parts[place + 1 :])


def _overlaps(parts: list[_PatternPart], place: int, literal: list[_PatternPart]) -> bool:
    """Return whether attempts could begin in a run, and fail behind it."""
    part = parts[place]
    return (
        not part.is_one
        and _can_fail(parts, place)
        and all(intersection(part.characters, each.characters) for each in literal)
    )


def _can_skip(parts: list[_PatternPart], overlapping: list[int], literal: list[_PatternPart]) -> bool:
    """Return whether one failure behind the run after the literal rules out every attempt that begins in that run."""
    first = len(literal)
    run = parts[first]
    exact = all(0x20 <= each.characters[0][0] < 0x7F for each in literal)  # where sets are what they take, not more
    if overlapping[0] != first or run.high != sre.MAXREPEAT or run.low > _MAX_PARTS or not exact:
        return False
    later = [place for place in range(first + 1, len(parts)) if not parts[place].is_one and _can_fail(parts, place)]
    between = list(takewhile(lambda part: part.is_one, parts[first + 1 :]))
    return not later or any(
        not any(intersection(parts[place].characters, needed.characters) for place in later) for needed in between
    )


def _settled(parts: list[_PatternPart], place: int, flags: int) -> _PatternPart:
    """Return a part; a lazy run before a literal at the end as one that takes all but that."""
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
    """Return the characters with which what some parts take can begin."""
    found: list[tuple[int, int]] = []
    for part in parts:
        found += part.characters
        if part.low:
            break
    return joined(found)


def _written(nodes: Sequence[Node], flags: int, parts: list[_PatternPart]) -> list[str | int] | None:
    """Return brackets and places of parts, and add these to `parts`; None if a node is something else."""
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
    """Return the pattern of a node that matches one character; None for any other node."""
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
    """Return a set of all characters that a part can match; beyond ASCII it may have more."""
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
        # Only what certainly belongs to the categories may be taken away: the unit separators are spaces in texts only,
        # and beyond ASCII a set has more than it takes.
        found = [*complement(joined(found)), (0x1C, 0x1F), *_BEYOND_ASCII]
    return joined(found)
