"""`re` on a text that is too long to be a `str` in the sandbox: the host finds the matches, in linear time.

Runs inside the sandbox, from source that the start frame carries, as `_context_text.py` does. The host returns where a
pattern matches, with the text around each place; `re` then makes the match on that text, so groups and the rest come
from `re` itself. What the host's engine lacks (look-around, back-references) is refused by name.
"""

from __future__ import annotations

import re
from functools import partial, wraps
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub", "subn")
FLAGS_IN_FRONT = re.compile(r"\A\(\?[aimsux]+\)")
FIRST_MATCHES, MOST_MATCHES = 16, 10_000  # per request: few at first, since a loop may end early
MORE_CHARS = 1 << 16
RESULT_CHARS = 32_000_000  # longest result of a substitution
SEARCHED_CHARS = 32_000_000  # longest text that is searched here, if the host does not have it


class LargeMatch:
    """A match whose positions are those of the whole text; otherwise as `re.Match`.

    Args:
        match: The match in a part of the text.
        text: The text.
        offset: Start of the part.
        bounds: Bounds of the search.
    """

    def __init__(self, match: re.Match[str], text: Any, offset: int, bounds: tuple[int, int]) -> None:
        self._match, self._offset = match, offset
        self.string, (self.pos, self.endpos) = text, bounds

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # So that `isinstance(match, re.Match)` is true.
        return re.Match

    def __getattr__(self, name: str) -> Any:
        # Groups and everything else without a position.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._match, name)

    __iter__ = None

    def __getitem__(self, group: int | str) -> Any:
        return self._match[group]

    def start(self, group: int | str = 0, /) -> int:
        """Return the start of a group, or -1."""
        return self.span(group)[0]

    def end(self, group: int | str = 0, /) -> int:
        """Return the end of a group, or -1."""
        return self.span(group)[1]

    def span(self, group: int | str = 0, /) -> tuple[int, int]:
        """Return start and end of a group, or (-1, -1) if it took no part."""
        start, end = self._match.span(group)
        return (start, end) if start < 0 else (start + self._offset, end + self._offset)

    @property
    def regs(self) -> tuple[tuple[int, int], ...]:
        """Spans of all groups."""
        return tuple(self.span(number) for number in range(len(self._match.regs)))

    def __repr__(self) -> str:
        return f"<re.Match object; span={self.span()}, match={repr(self._match.group())[:50]}>"


def source(pattern: re.Pattern[str]) -> str:
    """Return a pattern's text for the host, which gets the flags in front of it separately and refuses an empty one."""
    return FLAGS_IN_FRONT.sub("", pattern.pattern) or "(?:)"


def finditer(pattern: re.Pattern[str], string: Any, pos: int = 0, endpos: int | None = None) -> Iterator[LargeMatch]:
    """Equivalent of `pattern.finditer`."""
    return _found(pattern, string, bounds(string, pos, endpos), FIRST_MATCHES)


def _found(pattern: re.Pattern[str], text: Any, span: tuple[int, int], most: int) -> Iterator[LargeMatch]:
    pos, end = span
    last = (-1, -1)
    while pos <= end:
        found = text.matches(source(pattern), pattern.flags, pos, end, most)
        for start, stop, around, first in found:
            if (start, stop) == last:  # an empty match where the previous one ended
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
        place: Start and end of the match.
        part: The text around it, None if that is long, and its start.
        span: Bounds of the search.
    """
    (start, stop), (around, first) = place, part
    if around is None:
        around = str(text[first : min(stop + 2, span[1])])
    match = pattern.match(around, start - first)
    if match is None or match.end() != stop - first:  # the pattern looks beyond the part
        around = text[first : min(stop + MORE_CHARS, span[1])]
        match = pattern.match(around, start - first)
    if match is None or match.end() != stop - first:
        match = pattern.fullmatch(around, start - first, stop - first)
    if match is None:
        name = text.reader.name
        raise ValueError(f"the groups of the match at {start} cannot be told: match them in {name}[{start}:{stop}]")
    return LargeMatch(match, text, first, span)


def search(pattern: re.Pattern[str], string: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Equivalent of `pattern.search`."""
    return next(_found(pattern, string, bounds(string, pos, endpos), 1), None)


def match(pattern: re.Pattern[str], string: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Equivalent of `pattern.match`."""
    first, last = bounds(string, pos, endpos)
    # A few characters usually decide whether a pattern matches at a given place.
    if (near := pattern.match(string[max(0, first - 1) : first + MORE_CHARS], min(first, 1))) is None:
        if last - first <= MORE_CHARS:
            return None
    elif near.end() < MORE_CHARS // 2 and last - first > MORE_CHARS:
        return LargeMatch(near, string, max(0, first - 1), (first, last))
    found = search(pattern, string, pos, endpos)
    return found if found is not None and found.start() == first else None


def fullmatch(pattern: re.Pattern[str], string: Any, pos: int = 0, endpos: int | None = None) -> LargeMatch | None:
    """Equivalent of `pattern.fullmatch`."""
    first, last = bounds(string, pos, endpos)
    found = string.matches(rf"(?:{source(pattern)})\Z", pattern.flags, first, last, 1)
    if not found or found[0][:2] != [first, last]:
        return None
    return made(pattern, string, (first, last), (None, max(0, first - 1)), (first, last))


def findall(pattern: re.Pattern[str], string: Any, pos: int = 0, endpos: int | None = None) -> list[Any]:
    """Equivalent of `pattern.findall`."""
    found = _found(pattern, string, bounds(string, pos, endpos), MOST_MATCHES)
    if pattern.groups < 2:
        return [one.group(pattern.groups) or "" for one in found]
    return [one.groups("") for one in found]


def split(pattern: re.Pattern[str], string: Any, maxsplit: int = 0) -> Any:
    """Equivalent of `pattern.split`; without groups the parts are sliced lazily."""
    if pattern.groups:
        return _split_by_groups(pattern, string, maxsplit)
    if pattern.match(""):
        raise TypeError("re.split of the whole text takes a pattern that matches no empty text")

    def found(start: int) -> Iterator[tuple[int, int]]:
        return (one.span() for one in finditer(pattern, string, start))

    cut = string.cut(found)
    return list(cut.up_to(maxsplit)) if maxsplit > 0 else cut


def _split_by_groups(pattern: re.Pattern[str], text: Any, maxsplit: int) -> list[Any]:
    parts: list[Any] = []
    at = 0
    for found in islice(finditer(pattern, text), maxsplit if maxsplit > 0 else None):
        start, end = found.span()
        parts += [text[at:start], *found.groups()]
        at = end
    return [*parts, text[at:]]


def sub(pattern: re.Pattern[str], repl: Any, string: Any, count: int = 0) -> Any:
    """Equivalent of `pattern.sub` for a result that is not too long; without a match the text itself is returned."""
    return subn(pattern, repl, string, count)[0]


def subn(pattern: re.Pattern[str], repl: Any, string: Any, count: int = 0) -> tuple[Any, int]:
    """Equivalent of `pattern.subn` for a result that is not too long; without a match the text itself is returned."""
    parts: list[str] = []
    size = at = changes = 0
    for found in islice(finditer(pattern, string), count if count > 0 else None):
        start, end = found.span()
        made = repl(found) if callable(repl) else found.expand(repl) if type(repl) is str and "\\" in repl else repl
        made = "" if made is None else "".join([made])  # raises what `re` would for what is no text
        kept = string[at:start]
        size += len(kept) + len(made)
        if size > RESULT_CHARS:
            raise too_long(string)
        parts += [str(kept), made]
        at, changes = end, changes + 1
    if not changes:
        return string, 0
    if size + len(string) - at > RESULT_CHARS:
        raise too_long(string)
    return "".join([*parts, *string.pieces(at, len(string))]), changes


def too_long(text: Any) -> TypeError:
    """Return the error for a substitution whose result would exceed the length that a text may have here."""
    return TypeError(
        f"re.sub of the whole text would make more than {RESULT_CHARS:,} characters; {text.reader.what} has "
        f"{len(text):,}: change a part: re.sub(pattern, new, {text.reader.name}[a:b])"
    )


def bounds(text: Any, pos: int, endpos: int | None) -> tuple[int, int]:
    """Return both positions clamped as `re` does."""
    length = len(text)
    end = length if endpos is None else min(max(0, endpos), length)
    return min(max(0, pos), length), end


class LargePattern:
    """A compiled pattern that also accepts the whole text.

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
    """Return a method of a pattern that also accepts the whole text."""

    def method(*args: Any, **options: Any) -> Any:
        if not any(texts.is_whole(value) for value in (*args, *options.values())):
            return own(*args, **options)
        return on_whole(texts, pattern, name, args, options)

    return method


def on_whole(texts: Any, pattern: re.Pattern[str], name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Run a method of a pattern on the whole text."""

    def stand_in(value: Any) -> Any:
        return "" if callable(value) else texts.stand_in(value)

    given = {key: stand_in(value) for key, value in options.items()}
    getattr(pattern, name)(*map(stand_in, args), **given)  # raises what `re` would
    place = name in ("sub", "subn")
    text = options["string"] if "string" in options else args[place]
    if not texts.is_whole(text):
        whole = next(value for value in (*args, *options.values()) if texts.is_whole(value))
        raise texts.refusal(f"re.{name} with the whole text in the place of each match", whole)
    if issubclass(type(text), texts.UnscannedText) and len(text) <= SEARCHED_CHARS:
        # The host does not have it.
        text, run = "".join(text.pieces(0, len(text))), getattr(pattern, name)
    else:
        run = partial(globals()[name], pattern)
    if "string" in options:
        return run(*args, **{**options, "string": text})
    return run(*args[:place], text, *args[place + 1 :], **options)


def install(texts: Any) -> Callable[[Any], Any]:
    """Make the functions of `re` accept the whole text; return a function that does the same for a compiled pattern.

    Args:
        texts: The module `_context_text`.
    """
    for name in METHODS:
        setattr(re, name, module_function(name, getattr(re, name), texts))

    def with_large_text(value: Any) -> Any:
        return LargePattern(value, texts) if type(value) is re.Pattern else value

    return with_large_text


def module_function(name: str, own: Callable[..., Any], texts: Any) -> Callable[..., Any]:
    """Return a version of a function such as `re.search` that also accepts the whole text."""

    @wraps(own)
    def function(*args: Any, **options: Any) -> Any:
        if not any(texts.is_whole(value) for value in (*args[1:3], options.get("string"))):
            return own(*args, **options)
        given = [*args]
        pattern = given.pop(0) if given else options.pop("pattern")
        place = {"split": 2, "sub": 3, "subn": 3}.get(name, 1)
        flags = given.pop(place) if len(given) > place else options.pop("flags", 0)
        return on_whole(texts, re.compile(pattern, flags), name, tuple(given), options)

    return function
