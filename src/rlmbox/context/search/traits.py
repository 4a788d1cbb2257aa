"""Properties common to all matches of a pattern, with which most of a text can be skipped.

Searching for a literal that every match must contain, and then only in the lines that contain it, is an idea of grep
(Mike Haertel, "why GNU grep is fast", 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlmbox.context.search.pattern import Group, Leaf, PatternNode, Repeat, TextEnd, WordBoundary

_MAX_CLASSES = 50


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties common to all matches of a pattern.

    Attributes:
        literal: Text that every match contains; empty if none is known.
        within_line: Whether no match is empty or contains a newline.
        is_closed: Whether matches are independent of the surrounding text.
    """

    literal: str
    within_line: bool
    is_closed: bool


def traits_of(branches: Sequence[Sequence[PatternNode]], *, ignore_case: bool) -> Traits:
    """Determine the common properties of all matches.

    Args:
        branches: The alternatives of the pattern.
        ignore_case: Whether case is ignored throughout.
    """
    flags = "".join(_flags(branches))
    literal = "" if ignore_case or "i" in flags else _literal(branches)
    within_line = all(_has_width(nodes) for nodes in branches) and _has_no_newline(branches, "s" in flags)
    is_closed = not any(
        isinstance(node, WordBoundary | TextEnd) or (isinstance(node, Leaf) and not node.width)
        for node in _all(branches)
    )
    return Traits(literal, within_line, is_closed)


def _all(branches: Sequence[Sequence[PatternNode]]) -> Iterator[PatternNode]:
    for nodes in branches:
        for node in nodes:
            yield node
            inner = node
            while isinstance(inner, Repeat):
                inner = inner.node
            if isinstance(inner, Group):
                yield from _all(inner.branches)
            elif inner is not node:
                yield inner


def _flags(branches: Sequence[Sequence[PatternNode]]) -> Iterator[str]:
    for node in _all(branches):
        inner = node.node if isinstance(node, Repeat) else node
        if isinstance(inner, Group):
            yield inner.opening
        elif isinstance(inner, Leaf) and inner.text.startswith("(?"):
            yield inner.text


def _literal(branches: Sequence[Sequence[PatternNode]]) -> str:
    """Return the longest text known to be in every match."""
    if len(branches) != 1:
        return ""
    longest = run = ""
    for node in branches[0]:
        inside = ""
        if isinstance(node, Leaf) and node.char:
            run += node.char
            continue
        if isinstance(node, WordBoundary) or (isinstance(node, Leaf) and not node.width):
            continue  # its neighbours are adjacent to each other
        if isinstance(node, Group):
            inside = _literal(node.branches)
        elif isinstance(node, Repeat) and not node.nullable:
            inside = _literal([[node.node]])
        longest, run = max(longest, run, inside, key=len), ""
    return max(longest, run, key=len)


def _has_width(nodes: Sequence[PatternNode]) -> bool:
    return any(_node_has_width(node) for node in nodes)


def _node_has_width(node: PatternNode) -> bool:
    if isinstance(node, Leaf):
        return node.width
    if isinstance(node, Repeat):
        return not node.nullable and _node_has_width(node.node)
    return isinstance(node, Group) and all(_has_width(nodes) for nodes in node.branches)


def _has_no_newline(branches: Sequence[Sequence[PatternNode]], dot_takes_all: bool) -> bool:
    classes = set()
    for node in _all(branches):
        if isinstance(node, TextEnd):
            return False  # its end may be marked at a newline that is consumed
        if not isinstance(node, Leaf) or not node.width:
            continue
        if node.char == "\n" or (node.text == "." and dot_takes_all):
            return False
        if node.text.startswith("["):
            classes.add(node.text)
    return len(classes) <= _MAX_CLASSES and not any(_takes_newline(text) for text in classes)


def _takes_newline(text: str) -> bool:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text.encode(), options).fullmatch(b"\n") is not None
    except re2.error:
        return True
