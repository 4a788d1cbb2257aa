r"""Translates Python's regular expressions so that Monty's matcher gives the results of `re`.

Monty matches with a Rust engine whose syntax differs: `$` does not match before a final newline, `\Z` has another
meaning, `[[a]` and `[a&&b]` are set operations, `\w` and `\b` use other tables, and flags such as ASCII do not exist.
So the pattern is parsed as `re` parses it, and each part is written in an unambiguous form.

The translation depends on the text: if it is ASCII, the engine's own classes are exact and fast; if it does not end
with a newline, `$` is its end.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]  # private; the same from 3.11 to 3.15
from typing import Any

MAX_PATTERN_CHARS = 10_000
MAX_REPEAT = 1_000

_WORD = r"\p{L}\p{N}_"
_SPACE = r"\s\x{1c}-\x{1f}"
_NEVER = r"(?:[^\x{0}-\x{10ffff}])"
_NO_BOUNDARY = r"\B" if re.search(r"\B", "") else r"(?:\B(?!\A\z))"
"""Whether `\\B` matches an empty text depends on the version of Python."""
_CATEGORIES = {
    # Category: (for an ASCII text or the flag ASCII, otherwise); the content of a bracketed class.
    _constants.CATEGORY_DIGIT: ("0-9", r"\p{Nd}"),
    _constants.CATEGORY_SPACE: (r"\x{20}\t\n\r\x{0b}\x{0c}", _SPACE),
    _constants.CATEGORY_WORD: ("a-zA-Z0-9_", _WORD),
}
_NEGATED = {
    _constants.CATEGORY_NOT_DIGIT: _constants.CATEGORY_DIGIT,
    _constants.CATEGORY_NOT_SPACE: _constants.CATEGORY_SPACE,
    _constants.CATEGORY_NOT_WORD: _constants.CATEGORY_WORD,
}
_FORMS_OF_I = r"i\x{130}\x{131}"
_REPEATS = {_constants.MAX_REPEAT: "", _constants.MIN_REPEAT: "?"}
if hasattr(_constants, "POSSESSIVE_REPEAT"):
    _REPEATS[_constants.POSSESSIVE_REPEAT] = "+"
_NOT_LINEAR = frozenset(
    {"ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "GROUPREF_IGNORE", "ATOMIC_GROUP", "POSSESSIVE_REPEAT"}
)
_LACKING = {
    # An operation of a pattern, and what to say of it; more than a name has the way to write it after a colon.
    _constants.GROUPREF: r"a back-reference such as \1 with re.IGNORECASE: write text.lower(), or both cases, [sS]",
    _constants.GROUPREF_EXISTS: "a conditional group such as (?(1)b): write the pattern otherwise, as with a|b",
}


class UnsupportedPattern(ValueError):
    """A pattern uses a feature that Monty's engine cannot match as `re` does."""


def pattern_facts(pattern: str, flags: int) -> dict[str, Any]:
    """Return what the REPL needs to know of a pattern; the host function behind its `re`.

    Args:
        pattern: As for `re`.
        flags: As for `re`.

    Returns:
        `sources`: the translated pattern for a text that is (0) ASCII without a final newline, (1) ASCII with one,
        (2) not ASCII, without and (3) with one; `places`: the same, to find the match at every position; `flags`,
        `groups` and `names` as in `re`; `placed`: whether it looks, other than at the start and the end
        of every match, at where it is; `closing`: the groups in the order in which they end;
        `empty`: 0 if no match is empty, 1 if one may be, 2 if after an empty match another may begin at the same
        position; `behind`: how many characters before a match the pattern looks at; `linear`: whether the search over a
        long text can match it. `error` or `refused` if the pattern
        is invalid, or cannot be translated.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        return {"refused": f"a pattern of more than {MAX_PATTERN_CHARS:,} characters is not in this REPL: divide it"}
    try:
        return _described(pattern, flags)
    except re.error as error:
        return {"error": str(error)}
    except RecursionError:
        return {
            "refused": "a pattern with so many groups within groups is not in this REPL: write the pattern otherwise"
        }
    except UnsupportedPattern as error:
        what, _, way = str(error).partition(": ")
        return {"refused": f"{what} is not in this REPL: {way or 'write the pattern otherwise'}"}
    except (OverflowError, ValueError) as error:
        return {"error": str(error)}


@lru_cache(maxsize=256)
def _described(pattern: str, flags: int) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = _parser.parse(pattern, flags)
    state = tree.state
    kinds = [(ascii_text, newline) for ascii_text in (True, False) for newline in (False, True)]
    return {
        "sources": [_MontyPatternWriter(*kind).sequence(tree, state.flags) for kind in kinds],
        "places": [f"(?=({_MontyPatternWriter(*kind, before=1).sequence(tree, state.flags)}))" for kind in kinds],
        "flags": int(state.flags),
        "groups": state.groups - 1,
        "names": dict(state.groupdict),
        "closing": [*_closing(tree)],
        "empty": _emptiness(tree),
        "behind": _behind(tree),
        "placed": any(op is _constants.AT for op, _ in _nodes(_without_outer_places(tree))),
        "linear": not _emptiness(tree)
        and not state.flags & re.VERBOSE
        and not any(str(op) in _NOT_LINEAR for op, _ in _nodes(tree)),
    }


def _closing(tree: Any) -> Iterator[int]:
    """Iterate over the group numbers in the order in which the groups end."""
    for op, value in tree:
        for part in value if isinstance(value, tuple | list) else (value,):
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, _parser.SubPattern):
                    yield from _closing(inner)
        if op is _constants.SUBPATTERN and value[0] is not None:
            yield value[0]


def _emptiness(tree: Any) -> int:
    if tree.getwidth()[0] > 0:
        return 0
    return 2 if _prefers_less(tree) else 1


def _prefers_less(tree: Any) -> bool:
    """Return whether a pattern may prefer an empty match to a longer one."""
    return any(_part_prefers_less(op, value) for op, value in tree)


def _part_prefers_less(op: Any, value: Any) -> bool:
    if op is _constants.MIN_REPEAT or op is _constants.GROUPREF_EXISTS:
        return True
    if op is _constants.BRANCH:
        return any(branch.getwidth()[0] == 0 for branch in value[1][:-1]) or any(map(_prefers_less, value[1]))
    if op is _constants.SUBPATTERN:
        return _prefers_less(value[-1])
    return op in _REPEATS and _prefers_less(value[2])


def _behind(tree: Any) -> int:
    """Return how many characters before its position a pattern may look at."""
    most = 0
    for op, value in _nodes(tree):
        if op is _constants.AT:
            most = max(most, 1)
        if op in (_constants.ASSERT, _constants.ASSERT_NOT) and value[0] < 0:
            most = max(most, int(value[1].getwidth()[1]) + 1)
    return most


def _without_outer_places(tree: Any) -> list[Any]:
    """Return the operations of a pattern without the places, such as `^`, at which every match starts or ends."""
    items = [*tree]
    for end in (0, -1):
        while items and items[end][0] is _constants.AT:
            del items[end]
    return items


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Iterate over all operations of a pattern and their arguments."""
    for op, value in tree:
        yield op, value
        for part in value if isinstance(value, tuple | list) else (value,):
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, _parser.SubPattern):
                    yield from _nodes(inner)


class _MontyPatternWriter:
    """Translates one pattern.

    Args:
        ascii_text: Whether the text is ASCII.
        newline: Whether it ends with a newline.
        before: Number of groups that precede those of the pattern.
    """

    def __init__(self, ascii_text: bool, newline: bool, before: int = 0) -> None:
        self._ascii_text = ascii_text
        self._newline = newline
        self._before = before

    def sequence(self, tree: Any, flags: int) -> str:
        return "".join(self._node(op, value, flags) for op, value in tree)

    def _node(self, op: Any, value: Any, flags: int) -> str:
        if op is _constants.LITERAL:
            others = self._others_of_i(value, value, flags)
            return self._case(f"[{_char(value)}{others}]" if others else _char(value), flags)
        if op is _constants.NOT_LITERAL:
            return self._case(f"[^{_char(value)}{self._others_of_i(value, value, flags)}]", flags)
        if op is _constants.ANY:
            return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
        if op is _constants.IN:
            return self._case(self._class(value, flags), flags)
        if op is _constants.AT:
            return self._place(value, flags)
        if op in _REPEATS:
            return self._repeat(op, value, flags)
        return self._group(op, value, flags)

    def _group(self, op: Any, value: Any, flags: int) -> str:
        if op is _constants.BRANCH:
            return "(?:" + "|".join(self.sequence(branch, flags) for branch in value[1]) + ")"
        if op is _constants.SUBPATTERN:
            group, add, drop, body = value
            inner = self.sequence(body, (flags | add) & ~drop)
            return f"(?:{inner})" if group is None else f"({inner})"
        if op is _constants.ASSERT or op is _constants.ASSERT_NOT:
            direction, body = value
            least, most = body.getwidth()
            if direction < 0 and least != most:
                raise re.error("look-behind requires fixed-width pattern")
            sign = "=" if op is _constants.ASSERT else "!"
            return f"(?{'<' if direction < 0 else ''}{sign}{self.sequence(body, flags)})"
        if op is _constants.GROUPREF and not flags & re.IGNORECASE:
            return f"(?:\\{value + self._before})"
        if op is getattr(_constants, "ATOMIC_GROUP", None):
            return f"(?>{self.sequence(value, flags)})"
        if op is getattr(_constants, "FAILURE", None):
            return _NEVER
        raise UnsupportedPattern(_LACKING.get(op) or f"{str(op).lower().replace('_', ' ')} in a pattern")

    def _repeat(self, op: Any, value: Any, flags: int) -> str:
        least, most, body = value
        endless = most is _constants.MAXREPEAT
        if least > MAX_REPEAT or (not endless and most > MAX_REPEAT):
            raise UnsupportedPattern(f"a repetition of more than {MAX_REPEAT:,} in a pattern")
        inner = self.sequence(body, flags)
        if not most and any(True for _ in _closing(body)):
            return f"(?:{_NEVER}{inner}|)"  # its groups exist, and take no part
        if body.getwidth()[1] == 0:
            # A part of no width matches or not; engines differ in whether and how often they try it.
            if least or not most:
                return f"(?:{inner})" if least else ""
            if op is _constants.MIN_REPEAT:
                return f"(?:|{inner})"
            return f"(?:{inner}|)" if op is _constants.MAX_REPEAT else f"(?>{inner}|)"
        if body.getwidth()[0] == 0 and most != 1 and any(True for _ in _closing(body)):
            raise UnsupportedPattern("a group in a repetition that may match nothing, as in (a*)+,")
        count = f"{{{least}}}" if least == most else f"{{{least},{'' if endless else int(most)}}}"
        count = {"{0,}": "*", "{1,}": "+", "{0,1}": "?"}.get(count, count)
        return f"(?:{inner}){count}{_REPEATS[op]}"

    def _place(self, value: Any, flags: int) -> str:
        if value is _constants.AT_BEGINNING:
            return "(?m:^)" if flags & re.MULTILINE else r"\A"
        if value is _constants.AT_BEGINNING_STRING:
            return r"\A"
        if value is _constants.AT_END:
            if flags & re.MULTILINE:
                return "(?m:$)"
            return r"(?=\n?\z)" if self._newline else r"\z"
        if value is _constants.AT_END_STRING:
            return r"\z"
        negated = value is _constants.AT_NON_BOUNDARY
        if self._ascii_text:
            return _NO_BOUNDARY if negated else r"\b"
        word = "[a-zA-Z0-9_]" if flags & re.ASCII else f"[{_WORD}]"
        if negated:
            return f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"
        return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"

    def _class(self, items: Any, flags: int) -> str:
        negated = items[0][0] is _constants.NEGATE
        parts = [self._item(op, value, flags) for op, value in items[1 if negated else 0 :]]
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _item(self, op: Any, value: Any, flags: int) -> str:
        if op is _constants.LITERAL:
            return _char(value) + self._others_of_i(value, value, flags)
        if op is _constants.RANGE:
            return f"{_char(value[0])}-{_char(value[1])}" + self._others_of_i(value[0], value[1], flags)
        if op is _constants.CATEGORY:
            by_ascii = bool(flags & re.ASCII) or self._ascii_text
            if value in _NEGATED:
                return f"[^{self._category(_NEGATED[value], by_ascii, flags)}]"
            return self._category(value, by_ascii, flags)
        raise UnsupportedPattern("this character class")

    def _category(self, value: Any, by_ascii: bool, flags: int) -> str:
        if value is _constants.CATEGORY_SPACE and by_ascii and not flags & re.ASCII:
            return r"\x{20}\t\n\r\x{0b}\x{0c}\x{1c}-\x{1f}"
        return _CATEGORIES[value][0 if by_ascii else 1]

    def _others_of_i(self, first: int, last: int, flags: int) -> str:
        """Return the forms of the letter i that `re` takes for each other, where a range has one of them."""
        if self._ascii_text or not flags & re.IGNORECASE or flags & re.ASCII:
            return ""
        return _FORMS_OF_I if any(first <= ord(one) <= last for one in "iI\u0130\u0131") else ""

    def _case(self, text: str, flags: int) -> str:
        return f"(?i:{text})" if flags & re.IGNORECASE else text


def _char(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:x}}}"
