"""`re` on a text that is too long to be a `str` in the sandbox: window by window, and exactly.

Runs inside the sandbox, from source that the start frame carries, as `_context_text.py` does.

A window's result may differ from that of the whole text only where the matcher came to look at the window's end. How
far it can look from a place is bounded: on its way it takes each character of the text by a part of the pattern. The
parts that may be repeated without bound take characters of certain sets, whose union is called *free* here; all others
together take so many characters at most, which is the *allowance*. So where more characters that are not free
than the allowance lie between a place and the window's end, the end is out of sight from that place.
"""

from __future__ import annotations

import re
from functools import lru_cache
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # private; alike in 3.11 to 3.15

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Tree = Any

WINDOW_CHARS = 1 << 20
MAX_WINDOW_CHARS = 1 << 22
METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub", "subn")
_BEYOND = 3  # `$` looks at the last two characters
_ONE_CHAR = frozenset({_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN})
_REPEATS = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT})
_ASSERTS = frozenset({_constants.ASSERT, _constants.ASSERT_NOT})


class Sight:
    """How far a pattern can look.

    Args:
        pattern: A pattern for `str`.

    Attributes:
        allowance: Characters that are not free that a match can look at.
        behind: Characters before a match that it can look at.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        tree = _parser.parse(pattern.pattern, pattern.flags)
        self._state = _parser.State()
        self._state.flags = pattern.flags
        self.behind = 1
        self._references = 0
        self._free: dict[str, Tree] = {}
        self.allowance = self._look(tree, (), False) * (1 << self._references) + _BEYOND
        # One for each, because the matcher needs no memory for a run of what is a single set.
        self._runs: list[re.Pattern[str]] = [self._run(atom, pattern.flags) for atom in self._free.values()]

    def _run(self, atom: Tree, flags: int) -> Tree:
        return _compiler.compile(
            self._tree((_constants.MAX_REPEAT, (1, _constants.MAXREPEAT, self._tree(atom)))), flags
        )

    def _tree(self, node: Tree) -> Tree:
        return _parser.SubPattern(self._state, [node])

    def _look(self, tree: Tree, flags: tuple[tuple[int, int], ...], endless: bool) -> int:
        """Gives the allowance of a part of the pattern and collects what is free."""
        return sum(self._look_at(op, value, flags, endless) for op, value in tree)

    def _look_at(self, op: Any, value: Any, flags: tuple[tuple[int, int], ...], endless: bool) -> int:
        if op in _ONE_CHAR:
            if not endless:
                return 1
            atom = (op, value)
            for add, drop in reversed(flags):
                atom = (_constants.SUBPATTERN, (None, add, drop, self._tree(atom)))
            self._free[repr(atom)] = atom
            return 0
        if op in _REPEATS:
            _, most, body = value
            if endless or most is _constants.MAXREPEAT:
                return self._look(body, flags, True)
            return int(most) * self._look(body, flags, False)
        if op is _constants.SUBPATTERN:
            _, add, drop, body = value
            return self._look(body, (*flags, (add, drop)) if add or drop else flags, endless)
        if op in _ASSERTS:
            direction, body = value
            if direction < 0:
                self.behind = max(self.behind, int(body.getwidth()[1]) + 2)
            return self._look(body, flags, endless)
        return self._look_into(op, value, flags, endless)

    def _look_into(self, op: Any, value: Any, flags: tuple[tuple[int, int], ...], endless: bool) -> int:
        if op is _constants.BRANCH:
            return sum(self._look(body, flags, endless) for body in value[1])
        if op is _constants.ATOMIC_GROUP:
            return self._look(value, flags, endless)
        if op is _constants.GROUPREF_EXISTS:
            return sum(self._look(body, flags, endless) for body in value[1:] if body is not None)
        if op in (_constants.GROUPREF, _constants.GROUPREF_IGNORE):
            # It takes as much again as a group took; where it is repeated without bound, so may anything be.
            if endless:
                for category in (_constants.CATEGORY_SPACE, _constants.CATEGORY_NOT_SPACE):
                    self._free[str(category)] = (_constants.IN, [(_constants.CATEGORY, category)])
            self._references += 1
        return 0

    def out_of_sight(self, text: str) -> int:
        """Gives a position from before which the end of a text cannot be seen; 0 where there is none."""
        size = self.allowance
        while size < len(text):
            others = text[-size:]
            for run in self._runs:
                others = run.sub("", others)
            if len(others) >= self.allowance:
                return len(text) - size
            size *= 8
        return 0


sight = lru_cache(maxsize=64)(Sight)


class MovingWindow:
    """A part of the text that moves on.

    Args:
        text: The text.
        start: Where it begins.
        end: Where the text is taken to end.
    """

    def __init__(self, text: Any, start: int, end: int) -> None:
        self.start, self.text, self.ended = start, "", False
        self._pieces = text.pieces(start, end, WINDOW_CHARS)
        self._left = max(0, end - start)

    def grow(self) -> None:
        """Takes in as much again as there is, at least one piece."""
        wanted = 2 * len(self.text)
        parts = [self.text]
        size = len(self.text)
        while self._left and (len(parts) == 1 or size < wanted):
            piece = next(self._pieces)
            parts.append(piece)
            size += len(piece)
            self._left -= len(piece)
        self.text = "".join(parts)
        self.ended = not self._left
        if len(self.text) > MAX_WINDOW_CHARS + WINDOW_CHARS:
            raise ValueError(
                "the pattern has a repetition that may reach over the whole context: give it a bound, such as "
                r"`[\s\S]{0,2000}?` for `.*?`, or use ctx.search(pattern)"
            )

    def forget(self, before: int) -> None:
        """Drops what lies before a position of the whole text."""
        if before > self.start:
            self.text = self.text[before - self.start :]
            self.start = before


def finditer(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> Iterator[LargeMatch]:
    """Does what `pattern.finditer` does."""
    pos, end = bounds(text, pos, endpos)
    seen = sight(pattern)
    window = MovingWindow(text, max(0, pos - seen.behind), end)
    last = (-1, -1)
    while pos <= end:
        window.grow()
        sure = len(window.text) + 1 if window.ended else seen.out_of_sight(window.text)
        if window.start + sure <= pos:
            continue  # nothing that it finds would be certain yet
        for match in pattern.finditer(window.text, pos - window.start):
            if match.start() >= sure:
                break
            found = LargeMatch(match, text, window.start)
            if found.span() != last:  # an empty match where the window before ended is found again
                last = found.span()
                pos = last[1]
                yield found
        if window.ended:
            return
        pos = max(pos, window.start + sure)
        # At least one character stays, or the place would be taken for the text's beginning.
        window.forget(pos - seen.behind)


def search(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Does what `pattern.search` does."""
    return next(finditer(pattern, text, pos, endpos), None)


def match(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Does what `pattern.match` does."""
    pos, end = bounds(text, pos, endpos)
    seen = sight(pattern)
    window = MovingWindow(text, max(0, pos - seen.behind), end)
    while pos <= end:
        window.grow()
        if window.ended or seen.out_of_sight(window.text) > pos - window.start:
            found = pattern.match(window.text, pos - window.start)
            return None if found is None else LargeMatch(found, text, window.start)
    return None


def fullmatch(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Does what `pattern.fullmatch` does."""
    pos, end = bounds(text, pos, endpos)
    if pos > end or _parser.parse(pattern.pattern, pattern.flags).getwidth()[1] < end - pos:
        return None
    window = MovingWindow(text, max(0, pos - sight(pattern).behind), end)
    while not window.ended:
        window.grow()
    found = pattern.fullmatch(window.text, pos - window.start)
    return None if found is None else LargeMatch(found, text, window.start)


def findall(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> list[Any]:
    """Does what `pattern.findall` does."""
    found = finditer(pattern, text, pos, endpos)
    if pattern.groups < 2:
        return [one.group(pattern.groups) or "" for one in found]
    return [one.groups("") for one in found]


def bounds(text: Any, pos: int, endpos: int | None) -> tuple[int, int]:
    """Gives both positions as `re` takes them."""
    length = len(text)
    end = length if endpos is None else min(max(0, endpos), length)
    return min(max(0, pos), length), end


class LargeMatch:
    """What `re.Match` is, for the whole text.

    Args:
        match: A match in a window.
        text: The text.
        offset: Where the window begins.
    """

    def __init__(self, match: re.Match[str], text: Any, offset: int) -> None:
        self._match, self._offset = match, offset
        self.string = text

    def __getattr__(self, name: str) -> Any:
        # Groups and all else that has no position.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._match, name)

    def __getitem__(self, group: int | str) -> Any:
        return self._match[group]

    def start(self, group: int | str = 0, /) -> int:
        """Gives where a group begins, or -1."""
        return self.span(group)[0]

    def end(self, group: int | str = 0, /) -> int:
        """Gives where a group ends, or -1."""
        return self.span(group)[1]

    def span(self, group: int | str = 0, /) -> tuple[int, int]:
        """Gives both, or (-1, -1) for a group that took no part."""
        start, end = self._match.span(group)
        return (start, end) if start < 0 else (start + self._offset, end + self._offset)

    @property
    def regs(self) -> tuple[tuple[int, int], ...]:
        """The spans of all groups."""
        return tuple(self.span(number) for number in range(len(self._match.regs)))

    def __repr__(self) -> str:
        return f"<re.Match object; span={self.span()}, match={self._match.group()[:50]!r}>"


class LargePattern:
    """A compiled pattern that can be used on the whole text too.

    Args:
        pattern: The pattern.
        is_large: Tells the whole text from others.
        refuse: Raises the error of a method that cannot be had.
    """

    def __init__(self, pattern: re.Pattern[str], is_large: Callable[[Any], bool], refuse: Callable[[str], Any]) -> None:
        self._pattern, self._is_large, self._refuse = pattern, is_large, refuse

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._pattern, name)
        if name not in METHODS:
            return own
        return chosen(own, globals().get(name), self._pattern, self._is_large, self._refuse, name)


def chosen(
    own: Callable[..., Any],
    large: Callable[..., Any] | None,
    pattern: re.Pattern[str],
    is_large: Callable[[Any], bool],
    refuse: Callable[[str], Any],
    name: str,
) -> Callable[..., Any]:
    """Gives a method of a pattern that works on the whole text where it is given that."""

    def method(*args: Any, **options: Any) -> Any:
        if not any(is_large(value) for value in (*args, *options.values())):
            return own(*args, **options)
        if large is None:
            raise refuse(f"re.{name}")
        text = options.pop("string", None)
        return large(pattern, *args, **options) if text is None else large(pattern, text, *args, **options)

    return method


def install(is_large: Callable[[Any], bool], refuse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Has the functions of `re` take the whole text; gives what does the same for compiled patterns."""
    for name in METHODS:
        setattr(re, name, module_function(name, getattr(re, name), is_large, refuse))

    def with_large_text(value: Any) -> Any:
        return LargePattern(value, is_large, refuse) if type(value) is re.Pattern else value

    return with_large_text


def module_function(
    name: str, own: Callable[..., Any], is_large: Callable[[Any], bool], refuse: Callable[[str], Any]
) -> Callable[..., Any]:
    """Gives a function such as `re.search` that takes the whole text too."""
    large = globals().get(name)

    def function(pattern: Any, *args: Any, **options: Any) -> Any:
        if not any(is_large(value) for value in (*args[:2], options.get("string"))):
            return own(pattern, *args, **options)
        if large is None:
            raise refuse(f"re.{name}")
        given = [options["string"], *args] if "string" in options else [*args]
        flags = given[1] if len(given) > 1 else options.get("flags", 0)
        return large(re.compile(pattern, flags), given[0])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = own.__doc__
    return function
