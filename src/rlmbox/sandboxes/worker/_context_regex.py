"""`re` on a text that is too long to be a `str` in the sandbox: the host finds the matches, in linear time.

Runs inside the sandbox, from source that the start frame carries, as `_context_text.py` does. The host says where a
pattern matches and gives the text around each place; the match itself is then made by `re` on that text, so that groups
and all else are those of `re`. What the host's engine does not have (look-around, back-references) is refused by name.
"""

from __future__ import annotations

import re
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub", "subn")
FIRST_MATCHES, MOST_MATCHES = 16, 10_000  # asked for at once: few at first, since a loop may end early
MORE_CHARS = 1 << 16
RESULT_CHARS = 32_000_000  # of a substitution


class LargeMatch:
    """The equivalent of `re.Match` for the whole text.

    Args:
        match: The match in a part of the text.
        text: The text.
        offset: Where the part begins.
        bounds: Where the search began and ended.
    """

    def __init__(self, match: re.Match[str], text: Any, offset: int, bounds: tuple[int, int]) -> None:
        self._match, self._offset = match, offset
        self.string, (self.pos, self.endpos) = text, bounds

    def __getattr__(self, name: str) -> Any:
        # Groups and all else that has no position.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._match, name)

    def __getitem__(self, group: int | str) -> Any:
        return self._match[group]

    def start(self, group: int | str = 0, /) -> int:
        """Return where a group begins, or -1."""
        return self.span(group)[0]

    def end(self, group: int | str = 0, /) -> int:
        """Return where a group ends, or -1."""
        return self.span(group)[1]

    def span(self, group: int | str = 0, /) -> tuple[int, int]:
        """Return both, or (-1, -1) for a group that took no part."""
        start, end = self._match.span(group)
        return (start, end) if start < 0 else (start + self._offset, end + self._offset)

    @property
    def regs(self) -> tuple[tuple[int, int], ...]:
        """The spans of all groups."""
        return tuple(self.span(number) for number in range(len(self._match.regs)))

    def __repr__(self) -> str:
        return f"<re.Match object; span={self.span()}, match={repr(self._match.group())[:50]}>"


def finditer(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> Iterator[LargeMatch]:
    """Do what `pattern.finditer` does."""
    return _found(pattern, text, bounds(text, pos, endpos), FIRST_MATCHES)


def _found(pattern: re.Pattern[str], text: Any, span: tuple[int, int], most: int) -> Iterator[LargeMatch]:
    pos, end = span
    last = (-1, -1)
    while pos <= end:
        found = text.matches(pattern.pattern, pattern.flags, pos, end, most)
        for start, stop, around, first in found:
            if (start, stop) == last:  # an empty match where the ones before ended
                continue
            last = start, stop
            yield made(pattern, text, (start, stop), (around, first), span)
        if len(found) < most:
            return
        pos = last[1] + (last[0] == last[1])
        most = min(8 * most, MOST_MATCHES)


def made(
    pattern: re.Pattern[str], text: Any, place: tuple[int, int], part: tuple[str | None, int], span: tuple[int, int]
) -> LargeMatch:
    """Return the match at a place.

    Args:
        pattern: The pattern.
        text: The text.
        place: Where the match begins and ends.
        part: The text around it, None where that is long, and where it begins.
        span: Where the search began and ended.
    """
    (start, stop), (around, first) = place, part
    if around is None:
        around = str(text[first : min(stop + 2, span[1])])
    match = pattern.match(around, start - first)
    if match is None or match.end() != stop - first:  # it looks farther than the part reaches
        around = text[first : min(stop + MORE_CHARS, span[1])]
        match = pattern.match(around, start - first)
    if match is None or match.end() != stop - first:
        match = pattern.fullmatch(around, start - first, stop - first)
    if match is None:
        name = text.reader.name
        raise ValueError(f"the groups of the match at {start} cannot be told: match them in {name}[{start}:{stop}]")
    return LargeMatch(match, text, first, span)


def search(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Do what `pattern.search` does."""
    return next(_found(pattern, text, bounds(text, pos, endpos), 1), None)


def match(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Do what `pattern.match` does."""
    first, last = bounds(text, pos, endpos)
    # Most matches at a given place, and most places without one, show in a few characters there.
    if (near := pattern.match(text[max(0, first - 1) : first + MORE_CHARS], min(first, 1))) is None:
        if last - first <= MORE_CHARS:
            return None
    elif near.end() < MORE_CHARS // 2 and last - first > MORE_CHARS:
        return LargeMatch(near, text, max(0, first - 1), (first, last))
    found = search(pattern, text, pos, endpos)
    return found if found is not None and found.start() == first else None


def fullmatch(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Do what `pattern.fullmatch` does."""
    first, last = bounds(text, pos, endpos)
    found = text.matches(rf"(?:{pattern.pattern})\Z", pattern.flags, first, last, 1)
    if not found or found[0][:2] != [first, last]:
        return None
    return made(pattern, text, (first, last), (None, max(0, first - 1)), (first, last))


def findall(pattern: re.Pattern[str], text: Any, pos: int = 0, endpos: int | None = None) -> list[Any]:
    """Do what `pattern.findall` does."""
    found = _found(pattern, text, bounds(text, pos, endpos), MOST_MATCHES)
    if pattern.groups < 2:
        return [one.group(pattern.groups) or "" for one in found]
    return [one.groups("") for one in found]


def split(pattern: re.Pattern[str], text: Any, maxsplit: int = 0) -> Any:
    """Do what `pattern.split` does; the parts are cut when they are asked for, where there are no groups between."""
    if pattern.groups:
        return _split_by_groups(pattern, text, maxsplit)
    if pattern.match(""):
        raise TypeError("re.split of the whole text takes a pattern that matches no empty text")

    def found(start: int) -> Iterator[tuple[int, int]]:
        return (one.span() for one in finditer(pattern, text, start))

    cut = text.cut(found)
    return list(cut.up_to(maxsplit)) if maxsplit > 0 else cut


def _split_by_groups(pattern: re.Pattern[str], text: Any, maxsplit: int) -> list[Any]:
    parts: list[Any] = []
    at = 0
    for found in islice(finditer(pattern, text), maxsplit if maxsplit > 0 else None):
        start, end = found.span()
        parts += [text[at:start], *found.groups()]
        at = end
    return [*parts, text[at:]]


def sub(pattern: re.Pattern[str], repl: Any, text: Any, count: int = 0) -> Any:
    """Do what `pattern.sub` does, where the result is not too long; without a match it is the text itself."""
    return subn(pattern, repl, text, count)[0]


def subn(pattern: re.Pattern[str], repl: Any, text: Any, count: int = 0) -> tuple[Any, int]:
    """Do what `pattern.subn` does, where the result is not too long; without a match it is the text itself."""
    parts: list[str] = []
    size = at = changes = 0
    for found in islice(finditer(pattern, text), count if count > 0 else None):
        start, end = found.span()
        made = repl(found) if callable(repl) else found.expand(repl) if "\\" in repl else repl
        kept = text[at:start]
        size += len(kept) + len(made)
        if size > RESULT_CHARS:
            raise too_long(text)
        parts += [str(kept), made]
        at, changes = end, changes + 1
    if not changes:
        return text, 0
    if size + len(text) - at > RESULT_CHARS:
        raise too_long(text)
    return "".join([*parts, *text.pieces(at, len(text))]), changes


def too_long(text: Any) -> TypeError:
    """Return the error of a substitution whose result would be longer than a text may be here."""
    return TypeError(
        f"re.sub of the whole text would make more than {RESULT_CHARS:,} characters; {text.reader.what} has "
        f"{len(text):,}: change a part: re.sub(pattern, new, {text.reader.name}[a:b])"
    )


def bounds(text: Any, pos: int, endpos: int | None) -> tuple[int, int]:
    """Return both positions as `re` takes them."""
    length = len(text)
    end = length if endpos is None else min(max(0, endpos), length)
    return min(max(0, pos), length), end


class LargePattern:
    """A compiled pattern that can be used on the whole text too.

    Args:
        pattern: The pattern.
        texts: The module `_context_text`.
    """

    def __init__(self, pattern: re.Pattern[str], texts: Any) -> None:
        self._pattern, self._texts = pattern, texts

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._pattern, name)
        return chosen(own, self._pattern, self._texts, name) if name in METHODS else own


def chosen(own: Callable[..., Any], pattern: re.Pattern[str], texts: Any, name: str) -> Callable[..., Any]:
    """Return a method of a pattern that works on the whole text where it is given that."""

    def method(*args: Any, **options: Any) -> Any:
        if not any(texts.is_whole(value) for value in (*args, *options.values())):
            return own(*args, **options)
        return on_whole(texts, pattern, name, args, options)

    return method


def on_whole(texts: Any, pattern: re.Pattern[str], name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Do on the whole text what a method of a pattern does."""
    if "string" in options:
        options = {**options, "text": options["string"]}
        del options["string"]
    if name in ("sub", "subn") and not texts.is_whole(options.get("text", args[1] if len(args) > 1 else None)):
        text = next(texts.other_text(value) for value in (*args, *options.values()) if texts.is_whole(value))
        raise texts.refusal(f"re.{name} with the whole text in the place of each match", text)
    given = [texts.other_text(value) for value in args]
    return globals()[name](pattern, *given, **{key: texts.other_text(value) for key, value in options.items()})


def install(texts: Any) -> Callable[[Any], Any]:
    """Have the functions of `re` take the whole text; return what does the same for compiled patterns.

    Args:
        texts: The module `_context_text`.
    """
    for name in METHODS:
        setattr(re, name, module_function(name, getattr(re, name), texts))

    def with_large_text(value: Any) -> Any:
        return LargePattern(value, texts) if type(value) is re.Pattern else value

    return with_large_text


def module_function(name: str, own: Callable[..., Any], texts: Any) -> Callable[..., Any]:
    """Return a function such as `re.search` that takes the whole text too."""

    def function(pattern: Any, *args: Any, **options: Any) -> Any:
        if not any(texts.is_whole(value) for value in (*args[:2], options.get("string"))):
            return own(pattern, *args, **options)
        given = [*args]
        place = {"split": 2, "sub": 3, "subn": 3}.get(name, 1)
        flags = given.pop(place) if len(given) > place else options.pop("flags", 0)
        return on_whole(texts, re.compile(pattern, flags), name, tuple(given), options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = own.__doc__
    return function
