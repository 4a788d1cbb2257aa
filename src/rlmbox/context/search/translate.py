r"""Translation of Python's regular expressions to RE2's syntax.

RE2 matches in linear time but differs from `re` in ways that matter for ordinary text: its classes and `\b` know only
ASCII, `$` does not match before a final newline, and `\Z`, `\u`, `{,n}` and others are spelled differently.

A zero-width condition that RE2 lacks is written as a character that is consumed, with an empty group next to it that
marks where the match really begins or ends. That is exact at the edges of a pattern, where nothing else can consume the
character; elsewhere a condition is decided from what the pattern itself says about its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rlmbox.context.search.characters import CharacterKind, merged
from rlmbox.context.search.pattern import Group, Leaf, PatternNode, Repeat, TextEnd, WordBoundary, read_pattern
from rlmbox.context.search.traits import Traits, traits_of

_NEVER = r"[^\x{0}-\x{10ffff}]"
_MAX_LOOKUPS = 100_000


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern for RE2.

    Attributes:
        text: The pattern.
        starts: Numbers of the groups that mark where a match begins; the last one that took part counts.
        ends: Numbers of the groups that mark where it ends; the first one that took part counts.
        looks_back: Whether the character before a match is consumed.
        positions: Number of character positions in the pattern, with repetitions expanded; without unbounded
            repetitions, the maximum length of a match.
        is_bounded: Whether it has no unbounded repetitions.
        traits: Properties common to all matches.
        groups: Numbers of the pattern's own groups, if they were kept.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    looks_back: bool
    positions: int
    is_bounded: bool
    traits: Traits
    groups: tuple[int, ...] = ()


def translate(
    pattern: str, *, unicode: bool, final_newline: bool, ignore_case: bool, keep_groups: bool = False
) -> Translation:
    """Translate a pattern for RE2.

    Args:
        pattern: The pattern in the syntax of `re`.
        unicode: Whether the text has characters beyond ASCII.
        final_newline: Whether the text ends with a newline.
        ignore_case: Whether to ignore case.
        keep_groups: Whether to capture the pattern's own groups, which is slower.

    Raises:
        ValueError: It is not a regular expression, or has something that RE2 lacks.
    """
    branches = read_pattern(pattern, unicode=unicode)
    writer = _Writer(final_newline, keep_groups)
    writer.leads = writer.all_lead(branches)
    text = writer.branches(branches, "edge", "edge")
    prefix = "(?i)" if ignore_case else ""
    return Translation(
        text=prefix + text,
        starts=tuple(writer.starts),
        ends=tuple(writer.ends),
        looks_back=writer.leads,
        positions=max(1, _positions(branches)),
        is_bounded=_is_bounded(branches),
        traits=traits_of(branches, ignore_case=ignore_case),
        groups=tuple(writer.kept),
    )


@dataclass(slots=True)
class _Writer:
    final_newline: bool
    keep_groups: bool
    leads: bool = False
    kept: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    groups: int = 0
    lookups: int = 0

    def mark(self, marks: list[int]) -> str:
        self.groups += 1
        marks.append(self.groups)
        return "()"

    def branches(self, branches: Sequence[Sequence[PatternNode]], before: CharacterKind, after: CharacterKind) -> str:
        return "|".join(self.sequence(nodes, before, after) for nodes in branches)

    def sequence(self, nodes: Sequence[PatternNode], before: CharacterKind, after: CharacterKind) -> str:
        written = []
        for i, node in enumerate(nodes):
            if isinstance(node, Leaf):
                written.append(node.text)
                continue
            left = before if _only_flags(nodes[:i]) else self.beside(reversed(nodes[:i]), before, last=True)
            right = after if i == len(nodes) - 1 else self.beside(nodes[i + 1 :], after, last=False)
            written.append(self.node(node, left, right))
        return "".join(written)

    def node(self, node: PatternNode, before: CharacterKind, after: CharacterKind) -> str:
        if isinstance(node, WordBoundary):
            return self.boundary(node.negated, before, after)
        if isinstance(node, TextEnd):
            return rf"(?:\z|{self.mark(self.ends)}\n\z)" if self.final_newline else r"\z"
        if isinstance(node, Group):
            return f"{self.opening(node)}{self.branches(node.branches, before, after)})"
        if isinstance(node, Repeat):
            inner = self.node(node.node, "any", "any")
            return f"(?:{inner}){node.suffix}" if isinstance(node.node, WordBoundary | TextEnd) else inner + node.suffix
        return node.text

    def opening(self, group: Group) -> str:
        if not (self.keep_groups and group.captures):
            return group.opening
        self.groups += 1
        self.kept.append(self.groups)
        return "("

    def boundary(self, negated: bool, before: CharacterKind, after: CharacterKind) -> str:
        known = ("word", "other")
        if before in known and after in known:
            return "" if (before != after) != negated else _NEVER
        if before == "edge" and after == "word" and self.leads and not negated:
            return rf"(?:\A|[^\p{{L}}\p{{N}}_]){self.mark(self.starts)}"
        if after == "edge" and before in known:
            wants_word = (before == "other") != negated
            mark = self.mark(self.ends)
            return rf"{mark}[\p{{L}}\p{{N}}_]" if wants_word else rf"{mark}(?:[^\p{{L}}\p{{N}}_]|\z)"
        return r"\B" if negated else r"\b"

    def beside(self, nodes: Iterable[PatternNode], outer: CharacterKind, *, last: bool) -> CharacterKind:
        """Return the kind of the character next to a place, as far as the nodes on that side determine it."""
        kinds, through = self.edge_of_sequence(nodes, last=last)
        if through:
            # Beyond nodes that may be empty, the pattern's own edge determines nothing.
            kinds.add("any" if outer == "edge" else outer)
        return merged(kinds)

    def edge_of_sequence(self, nodes: Iterable[PatternNode], *, last: bool) -> tuple[set[CharacterKind], bool]:
        """Return the kinds of the first (or last) characters of nodes, and whether the nodes may be empty."""
        kinds: set[CharacterKind] = set()
        for node in nodes:
            self.lookups += 1
            if self.lookups > _MAX_LOOKUPS:
                return {"any"}, False
            found, through = self.edge(node, last=last)
            kinds |= found
            if not through:
                return kinds, False
        return kinds, True

    def edge(self, node: PatternNode, *, last: bool) -> tuple[set[CharacterKind], bool]:
        if isinstance(node, Leaf) and node.width:
            return {node.kind}, False
        if isinstance(node, TextEnd) or (isinstance(node, Leaf) and node.text in ("$", r"\z")):
            return {"any" if last else "other"}, False
        if isinstance(node, Leaf) and node.text in ("^", r"\A"):
            return {"other" if last else "any"}, False
        if isinstance(node, Repeat):
            kinds, through = self.edge(node.node, last=last)
            return kinds, through or node.nullable
        if isinstance(node, Group):
            ways = [self.edge_of_sequence(b[::-1] if last else b, last=last) for b in node.branches]
            return set().union(*(kinds for kinds, _ in ways)), any(through for _, through in ways)
        return set(), True

    def all_lead(self, branches: Sequence[Sequence[PatternNode]]) -> bool:
        r"""Return whether every alternative begins with a `\b` before a word character."""
        return all(self.sequence_leads(nodes) for nodes in branches)

    def sequence_leads(self, nodes: Sequence[PatternNode]) -> bool:
        rest = [node for node in nodes if not (isinstance(node, Leaf) and node.text.startswith("(?"))]
        if not rest:
            return False
        if isinstance(rest[0], Group):
            return self.all_lead(rest[0].branches)
        return rest[0] == WordBoundary(negated=False) and self.beside(rest[1:], "any", last=False) == "word"


def _only_flags(nodes: Sequence[PatternNode]) -> bool:
    return all(isinstance(node, Leaf) and node.text.startswith("(?") for node in nodes)


def _positions(branches: Sequence[Sequence[PatternNode]]) -> int:
    return sum(_positions_of(node) for nodes in branches for node in nodes)


def _is_bounded(branches: Sequence[Sequence[PatternNode]]) -> bool:
    return all(_is_bounded_node(node) for nodes in branches for node in nodes)


def _is_bounded_node(node: PatternNode) -> bool:
    if isinstance(node, Group):
        return _is_bounded(node.branches)
    if isinstance(node, Repeat):
        return node.suffix[0] not in "*+" and not node.suffix.rstrip("?").endswith(",}") and _is_bounded_node(node.node)
    return True


def _positions_of(node: PatternNode) -> int:
    if isinstance(node, Group):
        return _positions(node.branches)
    if isinstance(node, Repeat):
        return node.times * _positions_of(node.node)
    return 1
