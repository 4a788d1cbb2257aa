r"""Translation of a Python pattern to an equivalent one for RE2.

Python's own parser reads the pattern, so that errors are the same. RE2's classes and `\b` only know ASCII, and its `$`
does not match before a final newline, so the translation depends on the text: for ASCII it is simple. Otherwise `\b` is
resolved from the characters that the pattern itself has on both sides of it; at the ends of a pattern the adjacent
character is consumed, and an empty group marks where the match really begins or ends. What remains ambiguous is
refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any, Literal

from rlmbox.context.search import code_ranges
from rlmbox.context.search.code_ranges import CodeRanges, complement, intersection, joined
from rlmbox.sandboxes.subset import charsets
from rlmbox.sandboxes.subset.charsets import as_class
from rlmbox.sandboxes.subset.errors import Refusal, forbidden_syntax

ClassKind = Literal["word", "other"]
Node = tuple[Any, Any]

MAX_POSITIONS = 20_000
_MAX_REPEAT = 1_000
_WORD = r"[\p{L}\p{N}_]"
_NOT_WORD = r"[^\p{L}\p{N}_]"
_NEVER = r"[^\x{0}-\x{10ffff}]"
_BOUNDARY_HINT = r"put \w or a letter beside \b, or pass re.ASCII"
_REFUSED = {
    "ASSERT": ("look-around", "match more with a group and use m.group(1)"),
    "ASSERT_NOT": ("negative look-around", "match more, and leave out what is not wanted with an if"),
    "GROUPREF": ("a back-reference", "match both parts as groups and compare them with =="),
    "GROUPREF_IGNORE": ("a back-reference", "match both parts as groups and compare them with =="),
    "GROUPREF_EXISTS": ("a conditional group", "write the two patterns out with |"),
    "ATOMIC_GROUP": ("an atomic group", "write (?:...)"),
    "POSSESSIVE_REPEAT": ("a possessive quantifier", "write * or + alone"),
}


@dataclass(frozen=True, slots=True)
class SubsetPattern:
    """A pattern for RE2.

    Attributes:
        text: The pattern.
        groups: RE2's number of each group of the pattern, that of the whole match first.
        starts: Groups of RE2 that mark where a match begins; the last one that took part counts.
        ends: Groups that mark where it ends; the first one that took part counts.
        first: The pattern to use at the start of the text; empty if that is no special case. Otherwise `text` consumes
            the character before a match.
    """

    text: str
    groups: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    first: str = ""


def unsupported(what: str, hint: str) -> Refusal:
    """Return the error for a pattern that RE2 cannot match."""
    return forbidden_syntax(f"{what} in a regular expression", hint)


def positions(nodes: Iterable[Node]) -> int:
    """Return the number of character positions in a pattern, with repetitions expanded."""
    total = 0
    for op, value in nodes:
        if op is sre.BRANCH:
            total += sum(map(positions, value[1]))
        elif op is sre.SUBPATTERN:
            total += positions(value[3])
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, inner = value
            total += positions(inner) * max(1, low, high if high is not sre.MAXREPEAT else 0)
        else:
            total += 1
        if total > MAX_POSITIONS:
            return total
    return max(1, total)


def translate(
    tree: Sequence[Node], flags: int, groups: int, *, wide: bool, final_newline: bool, whole: bool, empty: bool
) -> SubsetPattern:
    """Translate a pattern for RE2.

    Args:
        tree: The pattern as parsed by Python.
        flags: Its flags.
        groups: Number of its groups.
        wide: Whether the text has characters beyond ASCII.
        final_newline: Whether the text ends with a newline.
        whole: Whether the whole text has to match.
        empty: Whether the text is empty.

    Raises:
        Refusal: The pattern uses something that RE2 lacks.
    """
    nodes = list(tree)
    if whole:
        nodes.append((sre.AT, sre.AT_END_STRING))
    unicode = wide and not flags & re.ASCII
    hollow = empty and sys.version_info < (3, 14)
    writer = _SubsetPatternWriter(
        unicode, final_newline and not whole, [0] * (groups + 1), flags & re.ASCII, wide, hollow
    )
    text = writer.sequence(nodes, flags, "edge", "edge")
    first = ""
    if writer.starts:
        if not _all_lead(nodes):
            raise unsupported(r"a \b in only some of the alternatives", _BOUNDARY_HINT)
        again = _SubsetPatternWriter(True, writer.final_newline, [0] * (groups + 1), 0, wide, hollow, at_start=True)
        first = again.sequence(nodes, flags, "edge", "edge")
    return SubsetPattern(text, tuple(writer.groups), tuple(writer.starts), tuple(writer.ends), first)


def _all_lead(nodes: Sequence[Node]) -> bool:
    for op, value in nodes:
        if op is sre.AT:
            if value in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
                return True
            continue
        if op is sre.SUBPATTERN:
            return _all_lead(value[3])
        if op is sre.BRANCH:
            return all(_all_lead(branch) for branch in value[1])
        return False
    return False


@dataclass(slots=True)
class _SubsetPatternWriter:
    unicode: bool
    final_newline: bool
    groups: list[int]
    ascii_only: int
    wide: bool
    hollow: bool = False
    at_start: bool = False
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    count: int = 0

    def mark(self, marks: list[int]) -> str:
        self.count += 1
        marks.append(self.count)
        return "()"

    def sequence(self, nodes: Sequence[Node], flags: int, before: Any, after: Any) -> str:
        """Translate a sequence of nodes.

        Args:
            nodes: The nodes.
            flags: The flags in effect.
            before: What precedes them: `edge` if nothing of the pattern does, a kind, or `unknown`.
            after: What follows them.
        """
        nodes = _in_order(nodes)
        written: list[str] = []
        i = 0
        while i < len(nodes):
            if self.unicode and nodes[i][0] is sre.AT and nodes[i][1] in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
                i = self.boundary(nodes, i, flags, before, after, written)
                continue
            left = _side(reversed(nodes[:i]), flags, before, last=True)
            right = _side(nodes[i + 1 :], flags, after, last=False)
            written.append(self.node(nodes[i], flags, left, right))
            i += 1
        return "".join(written)

    # ---- single nodes -----------------------------------------------------------------------------------------

    def node(self, node: Node, flags: int, before: Any, after: Any) -> str:
        op, value = node
        if op is sre.AT:
            return self.at(value, flags, after)
        if op is sre.SUBPATTERN:
            return self.subpattern(value, flags, before, after)
        if op is sre.BRANCH:
            return "(?:" + "|".join(self.sequence(branch, flags, before, after) for branch in value[1]) + ")"
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self.repeat(op, value, flags, before, after)
        if str(op) in _REFUSED:
            raise unsupported(*_REFUSED[str(op)])
        if op is sre.ANY:
            return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
        return self.characters(node, flags)

    def subpattern(self, value: Any, flags: int, before: Any, after: Any) -> str:
        number, add, remove, inner = value
        opening = "(?:"
        if number is not None:
            self.count += 1
            self.groups[number] = self.count
            opening = "("
        return opening + self.sequence(inner, (flags | add) & ~remove, before, after) + ")"

    def repeat(self, op: Any, value: Any, flags: int, before: Any, after: Any) -> str:
        low, high, inner = value
        endless = high is sre.MAXREPEAT
        if low > _MAX_REPEAT or (not endless and high > _MAX_REPEAT):
            raise unsupported(f"a repetition of more than {_MAX_REPEAT:,}", "use + or *, and check the length with len")
        sides = (before, after) if high == 1 else ("unknown", "unknown")
        body = f"(?:{self.sequence(inner, flags, *sides)})"
        counts = {(0, True): "*", (1, True): "+"}.get((low, endless)) or f"{{{low},{'' if endless else high}}}"
        return body + counts + ("?" if op is sre.MIN_REPEAT else "")

    def at(self, value: Any, flags: int, after: Any) -> str:
        if value is sre.AT_BEGINNING:
            return "(?m:^)" if flags & re.MULTILINE else r"\A"
        if value is sre.AT_BEGINNING_STRING:
            return r"\A"
        if value is sre.AT_END_STRING:
            return r"\z"
        if value in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
            if value is sre.AT_NON_BOUNDARY and self.ascii_only and self.wide:  # RE2 would match within characters too
                raise unsupported(r"a \B with re.ASCII in a text beyond ASCII", "leave re.ASCII out")
            # Before Python 3.14 `\B` does not match an empty text.
            return r"\b" if value is sre.AT_BOUNDARY else _NEVER if self.hollow else r"\B"
        if flags & re.MULTILINE:
            return "(?m:$)"
        if not self.final_newline:
            return r"\z"
        if after != "edge":
            raise unsupported("a $ before the end of the pattern", r"write \Z or (?m)$")
        return rf"(?:\z|{self.mark(self.ends)}\n\z)"

    # ---- characters -------------------------------------------------------------------------------------------

    def characters(self, node: Node, flags: int) -> str:
        op, value = node
        if op is sre.LITERAL and not flags & re.IGNORECASE:
            return _literal(value)
        if op is sre.LITERAL and not self.unicode and value < 0x80:
            return f"(?i:{_literal(value)})" if not self.ascii_only else as_class(charsets.ascii_folded(_one(value)))
        if op is sre.IN and not flags & re.IGNORECASE:
            return self.plain_class(value)
        return as_class(self.ranges(node, flags))

    def plain_class(self, items: Sequence[Node]) -> str:
        """Write a class, by RE2's own names where that is shorter."""
        negated = bool(items) and items[0][0] is sre.NEGATE
        written = []
        for op, value in items[negated:]:
            if op is sre.LITERAL:
                written.append(f"\\x{{{_valid(value):x}}}")
            elif op is sre.RANGE:
                written.append(f"\\x{{{value[0]:x}}}-\\x{{{value[1]:x}}}")
            else:
                written.append(self.category(value))
        return f"[{'^' if negated else ''}{''.join(written)}]"

    def category(self, value: Any) -> str:
        short = {
            sre.CATEGORY_DIGIT: r"\p{Nd}" if self.unicode else "0-9",
            sre.CATEGORY_NOT_DIGIT: r"\P{Nd}" if self.unicode else r"\D",
            sre.CATEGORY_WORD: r"\p{L}\p{N}_" if self.unicode else "0-9A-Za-z_",
        }
        return short[value] if value in short else as_class(self.category_ranges(value))[1:-1]

    def category_ranges(self, value: Any) -> CodeRanges:
        space = charsets.ASCII_SPACE if self.ascii_only else code_ranges.SPACES
        if value in (sre.CATEGORY_SPACE, sre.CATEGORY_NOT_SPACE):
            found = space
        elif value in (sre.CATEGORY_DIGIT, sre.CATEGORY_NOT_DIGIT):
            found = code_ranges.digit() if self.unicode else charsets.ASCII_DIGIT
        else:
            found = code_ranges.word() if self.unicode else charsets.ASCII_WORD
        negated = value in (sre.CATEGORY_NOT_SPACE, sre.CATEGORY_NOT_DIGIT, sre.CATEGORY_NOT_WORD)
        return complement(found) if negated else found

    def ranges(self, node: Node, flags: int) -> CodeRanges:
        """Return the characters that a node matches."""
        op, value = node
        if op is sre.ANY:
            return charsets.ALL if flags & re.DOTALL else complement(_one(10))
        if op in (sre.LITERAL, sre.NOT_LITERAL):
            found = self.fold(_one(value), flags)
            return complement(found) if op is sre.NOT_LITERAL else found
        items = list(value)
        negated = bool(items) and items[0][0] is sre.NEGATE
        letters = joined(
            (item[1], item[1]) if item[0] is sre.LITERAL else item[1]
            for item in items[negated:]
            if item[0] in (sre.LITERAL, sre.RANGE)
        )
        classes = [self.category_ranges(item[1]) for item in items[negated:] if item[0] is sre.CATEGORY]
        found = joined([*self.fold(letters, flags), *(part for one in classes for part in one)])
        return complement(found) if negated else found

    def fold(self, ranges: CodeRanges, flags: int) -> CodeRanges:
        if not flags & re.IGNORECASE:
            return ranges
        return charsets.ascii_folded(ranges) if self.ascii_only else charsets.folded(ranges)

    # ---- word boundaries --------------------------------------------------------------------------------------

    def boundary(self, nodes: list[Node], i: int, flags: int, before: Any, after: Any, written: list[str]) -> int:
        r"""Translate a `\b`, with adjacent nodes if needed; return the index of the next node."""
        negated = nodes[i][1] is sre.AT_NON_BOUNDARY
        if i and nodes[i - 1][1] in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):  # the other one, at the same place
            written.append(_NEVER)
            return i + 1
        left = _side(reversed(nodes[:i]), flags, before, last=True)
        right = _side(nodes[i + 1 :], flags, after, last=False)
        if self.pushed_into_group(nodes, i, left, right):
            return i
        left = self.certain(left, nodes[i - 1] if i else None, flags)
        right = self.certain(right, nodes[i + 1] if i + 1 < len(nodes) else None, flags)
        lefts = self.sides(left, flags)
        if right == "unknown" and len(lefts) == 1:
            known = next(iter(lefts))
            need: ClassKind = known if negated else "other" if known == "word" else "word"
            optional = self.before_optional(nodes, i, flags, need, after)
            if optional is not None:
                written.append(optional)
                return i + 2
        rights = self.sides(right, flags)
        if isinstance(left, tuple) and len(lefts) > 1:
            _check_no_other_boundary(nodes, i - 2)
            written[-1] = self.without_one(nodes[i - 1], flags)
        ways = [
            self.way(left, left_text, left_kind, right, right_text, right_kind)
            for left_kind, left_text in lefts.items()
            for right_kind, right_text in rights.items()
            if (left_kind != right_kind) != negated
        ]
        written.append(f"(?:{'|'.join(ways)})" if ways else _NEVER)
        if not isinstance(right, tuple) or len(rights) == 1:
            return i + 1
        _check_no_other_boundary(nodes, i + 2)
        written.append(self.without_one(nodes[i + 1], flags))
        return i + 2

    def pushed_into_group(self, nodes: list[Node], i: int, left: Any, right: Any) -> bool:
        r"""Move a `\b` next to a group into it, where the adjacent characters are known."""
        for side, place, first in ((right, i + 1, True), (left, i - 1, False)):
            if side != "unknown" or not 0 <= place < len(nodes):
                continue
            op, value = nodes[place]
            if op is sre.SUBPATTERN:
                inner = [nodes[i], *value[3]] if first else [*value[3], nodes[i]]
                nodes[place] = (op, (*value[:3], inner))
            elif op is sre.BRANCH:
                branches = [[nodes[i], *branch] if first else [*branch, nodes[i]] for branch in value[1]]
                nodes[place] = (op, (value[0], branches))
            else:
                continue
            if not first:
                raise unsupported(r"a \b after a group that ends in a class", _BOUNDARY_HINT)
            del nodes[i]
            return True
        return False

    def certain(self, side: Any, beside: Node | None, flags: int) -> Any:
        """Return what is on a side; `unknown` for a mixed class that is not the adjacent node."""
        if isinstance(side, tuple) and side[0] is not beside and len(self.sides(side, flags)) > 1:
            return "unknown"
        if isinstance(side, tuple) and side[0] is not beside:
            return next(iter(self.sides(side, flags)))
        return side

    def way(
        self, left: Any, left_text: str, left_kind: ClassKind, right: Any, right_text: str, right_kind: ClassKind
    ) -> str:
        lead = trail = ""
        if left == "edge":
            ways = (_NEVER, r"\A") if self.at_start else (_WORD, _NOT_WORD)
            lead = ways[left_kind == "other"] + self.mark(self.starts)
        if right == "edge":
            trail = self.trail(right_kind)
        return lead + left_text + right_text + trail

    def trail(self, kind: ClassKind) -> str:
        """Write a check of the character after a match."""
        return self.mark(self.ends) + (_WORD if kind == "word" else rf"(?:{_NOT_WORD}|\z)")

    def before_optional(self, nodes: list[Node], i: int, flags: int, need: ClassKind, after: Any) -> str | None:
        r"""Translate a `\b` followed by a class that may match nothing, such as `\s*`; None for anything else.

        Args:
            nodes: The nodes.
            i: Index of the `\b`.
            flags: The flags in effect.
            need: The kind that the next character must have.
            after: What follows the nodes.
        """
        nothing: Node = (None, None)
        op, value = nodes[i + 1] if i + 1 < len(nodes) else nothing
        if (
            op not in (sre.MAX_REPEAT, sre.MIN_REPEAT)
            or value[0] != 0
            or not _is_leaf(value[2][0])
            or len(value[2]) > 1
        ):
            return None
        beyond = self.certain(_side(nodes[i + 2 :], flags, after, last=False), None, flags)
        if beyond == "unknown":
            return None
        _check_no_other_boundary(nodes, i + 2)
        high = value[1]
        word = code_ranges.word()
        first = intersection(self.ranges(value[2][0], flags), word if need == "word" else complement(word))
        rest = (0, high if high is sre.MAXREPEAT else high - 1, value[2])
        some = as_class(first) + self.repeat(op, rest, flags, "unknown", "unknown")
        lazy = op is sre.MIN_REPEAT
        if beyond == "edge":
            ways = (some, self.trail(need))
            return f"(?:{'|'.join(ways[::-1] if lazy else ways)})"
        return f"(?:{some})" + ("" if beyond != need else "??" if lazy else "?")

    def sides(self, side: Any, flags: int) -> dict[ClassKind, str]:
        """Return the kinds that the character on a side may have, each with its pattern."""
        if side in ("word", "other"):
            return {side: ""}
        if side == "edge":
            return {"word": "", "other": ""}
        if side == "unknown":
            raise unsupported(r"a \b whose neighbours may be of any kind", _BOUNDARY_HINT)
        node, node_flags = side
        leaf = node[1][2][0] if node[0] in (sre.MAX_REPEAT, sre.MIN_REPEAT) else node
        found = self.ranges(leaf, node_flags)
        parts: dict[ClassKind, CodeRanges] = {
            "word": intersection(found, code_ranges.word()),
            "other": intersection(found, complement(code_ranges.word())),
        }
        kinds: dict[ClassKind, str] = {kind: as_class(part) for kind, part in parts.items() if part}
        return kinds if len(kinds) > 1 else dict.fromkeys(kinds, "")

    def without_one(self, node: Node, flags: int) -> str:
        """Write a repeated node with one repetition fewer; empty for one that is not repeated."""
        if node[0] not in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return ""
        low, high, inner = node[1]
        value = (low - 1, high if high is sre.MAXREPEAT else high - 1, inner)
        return self.repeat(node[0], value, flags, "unknown", "unknown")


_RANKS = {
    sre.AT_BEGINNING: 0,
    sre.AT_BEGINNING_STRING: 0,
    sre.AT_BOUNDARY: 1,
    sre.AT_NON_BOUNDARY: 1,
    sre.AT_END: 2,
    sre.AT_END_STRING: 2,
}


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    r"""Order adjacent assertions so that each sees the character that it checks: `\b^` becomes `^\b`."""
    found: list[Node] = []
    start = 0
    for node in [*nodes, (None, None)]:
        if node[0] is sre.AT:
            if node not in found[start:] or _RANKS[node[1]] != 1:
                found.append(node)
            continue
        found[start:] = sorted(found[start:], key=lambda each: _RANKS[each[1]])
        found.append(node)
        start = len(found)
    found.pop()
    return found


def _check_no_other_boundary(nodes: Sequence[Node], place: int) -> None:
    r"""Refuse a class with a `\b` on both sides."""
    if 0 <= place < len(nodes) and nodes[place][1] in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
        raise unsupported(r"a \b on both sides of a class", _BOUNDARY_HINT)


def _side(nodes: Iterable[Node], flags: int, outer: Any, *, last: bool) -> Any:
    """Return what is known of the character next to a position."""
    nodes = iter(nodes)
    for node in nodes:
        op, value = node
        if op is sre.AT:
            known = _beside_anchor(value, flags, last)
            if known:
                return known
            continue
        if _is_leaf(node):
            return _leaf_kind(node, flags) or (node, flags)
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, _, inner = value
            if low >= 1 and len(inner) == 1 and _is_leaf(inner[0]):
                return _leaf_kind(inner[0], flags) or (node, flags)
            kinds = _kinds_of(list(inner), flags, last)
            return kinds if kinds and low >= 1 else _through(kinds, nodes, flags, outer, last)
        if op is sre.SUBPATTERN:
            inner_flags = (flags | value[1]) & ~value[2]
            return _kinds_of(list(value[3]), inner_flags, last) or "unknown"
        if op is sre.BRANCH:
            return _kinds_of([node], flags, last) or "unknown"
        return "unknown"
    return outer


def _through(kinds: Any, nodes: Iterable[Node], flags: int, outer: Any, last: bool) -> Any:
    """Return what is known next to a node that may be empty: the kind that is the same with and without it, if any."""
    beyond = _side(nodes, flags, "unknown" if outer == "edge" else outer, last=last)
    if isinstance(beyond, tuple):
        return "unknown"
    return kinds if kinds == beyond else "unknown"


def _beside_anchor(value: Any, flags: int, last: bool) -> Any:
    ends = (sre.AT_END, sre.AT_END_STRING)
    begins = (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
    if value in (begins if last else ends):
        return "other"
    # A check of the next character consumes it, and an anchor after that would apply to the position behind it.
    return "unknown" if value in (ends if last else begins) else None


def _is_leaf(node: Node) -> bool:
    return node[0] in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY)


def _leaf_kind(node: Node, flags: int) -> ClassKind | None:
    """Return the kind of the characters that a leaf matches, if it is the same for all."""
    op, value = node
    if op is sre.LITERAL:
        return "word" if code_ranges.is_word(chr(value)) else "other"
    if op is not sre.IN:
        return None
    kinds: set[ClassKind | None] = set()
    items = list(value)
    if items[0][0] is sre.NEGATE:
        named = {item[1] for item in items[1:] if item[0] is sre.CATEGORY}
        return "other" if sre.CATEGORY_WORD in named else "word" if sre.CATEGORY_NOT_WORD in named else None
    for kind, what in items:
        if kind is sre.CATEGORY:
            known = {sre.CATEGORY_WORD: "word", sre.CATEGORY_DIGIT: "word", sre.CATEGORY_SPACE: "other"}
            kinds.add("other" if what is sre.CATEGORY_NOT_WORD else known.get(what))  # type: ignore[arg-type]
        elif kind is sre.LITERAL:
            kinds.add("word" if code_ranges.is_word(chr(what)) else "other")
        elif what[1] - what[0] > 300:
            kinds.add(None)
        else:
            kinds |= {"word" if code_ranges.is_word(chr(code)) else "other" for code in range(what[0], what[1] + 1)}
    return kinds.pop() if len(kinds) == 1 else None


def _kinds_of(nodes: list[Node], flags: int, last: bool) -> ClassKind | None:
    """Return the kind of the first or last character of nodes, if it is certain."""
    for op, value in reversed(nodes) if last else nodes:
        if op is sre.AT:
            continue
        if _is_leaf((op, value)):
            return _leaf_kind((op, value), flags)
        if op is sre.SUBPATTERN:
            return _kinds_of(list(value[3]), (flags | value[1]) & ~value[2], last)
        if op is sre.BRANCH:
            kinds = {_kinds_of(list(branch), flags, last) for branch in value[1]}
            return kinds.pop() if len(kinds) == 1 else None
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0] >= 1:
            return _kinds_of(list(value[2]), flags, last)
        return None
    return None


def _one(code: int) -> CodeRanges:
    return ((code, code),)


def _valid(code: int) -> int:
    if 0xD800 <= code <= 0xDFFF:
        raise unsupported("a lone surrogate", "leave it out")
    return code


def _literal(code: int) -> str:
    char = chr(_valid(code))
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:x}}}"
