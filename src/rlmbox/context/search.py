"""Search over the bytes, in linear time and within a deadline.

Patterns come from a model, so Python's backtracking `re` never sees them: RE2 does (Russ Cox, "Regular
Expression Matching in the Wild", 2010).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rlmbox.context.pattern import invalid, unsupported
from rlmbox.context.text import TextStore
from rlmbox.context.translate import Translation, translate

MAX_PATTERN_CHARS = 10_000
MAX_LITERAL_CHARS = 1_000_000
TIMEOUT_S = 10.0

_MAX_MEMORY_BYTES = 16 * 1024 * 1024
_KEPT_PATTERNS = 8
_MAX_WINDOW_BYTES = 64 * 1024 * 1024
_MIN_WINDOW_BYTES = 16 * 1024
_MAX_CHAR_BYTES = 4
# RE2's slowest engine does about 1e8 positions of a pattern times bytes in a second: a window takes about two.
_WINDOW_WORK = 200_000_000


class Deadline:
    """Ends a search that takes too long, and says how many matches there were until then."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self.matches = 0

    def check(self) -> None:
        """Looks at the clock.

        Raises:
            ValueError: Time is up.
        """
        if time.monotonic() >= self._end:
            raise ValueError(
                f"the search took longer than {self._timeout_s:g} s and was stopped after {self.matches} matches:"
                " use a more specific pattern, or re in a cell on a chunk of the text"
            )


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled pattern."""

    regexp: Any
    translation: Translation
    window_bytes: int
    overlap_bytes: int

    @property
    def has_marks(self) -> bool:
        """Whether matches begin or end at marks."""
        return bool(self.translation.starts or self.translation.ends)

    def span(self, match: Any) -> tuple[int, int]:
        """Gives where a match of RE2 begins and ends for `re`."""
        start, end = match.span()
        starts = [match.end(group) for group in self.translation.starts]
        ends = [match.start(group) for group in self.translation.ends]
        return max([start, *starts]), min([mark for mark in ends if mark >= 0], default=end)


@lru_cache(maxsize=_KEPT_PATTERNS)
def _compiled(pattern: str, unicode: bool, final_newline: bool, ignore_case: bool) -> Matcher:
    import re2

    translation = translate(pattern, unicode=unicode, final_newline=final_newline, ignore_case=ignore_case)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        regexp = re2.compile(translation.text.encode(), options)
    except re2.error as error:
        raise _refusal(error) from None
    finally:
        # The package keeps 128 compiled patterns of any size; ours keeps a few.
        re2.purge()
    window = min(max(_WINDOW_WORK // translation.positions, _MIN_WINDOW_BYTES), _MAX_WINDOW_BYTES)
    overlap = max(window // 8, _MAX_CHAR_BYTES * (translation.positions + 1))
    return Matcher(regexp, translation, max(window, 2 * overlap), overlap)


def _refusal(error: Exception) -> ValueError:
    said = error.args[0] if error.args else b""
    reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if "too large" in reason or "repetition" in reason or "nest" in reason:
        return unsupported("more states than fit (counted repetitions of large classes multiply)")
    return invalid(reason[:200])


def regex_spans(
    store: TextStore, pattern: str, *, literal: bool = False, ignore_case: bool = False, deadline: Deadline
) -> Iterator[tuple[int, int]]:
    r"""Gives where a regular expression matches, in bytes, as `re.finditer` does.

    The flags `(?i)`, `(?m)`, `(?s)` and `(?a)` are known. What differs from `re`:

    - No look-around, back-references, conditionals, atomic groups, possessive quantifiers, flag `x`, nor
      repetitions above 1,000; `\p{L}` and its like are there.
    - `\b` and `\B` beside what may or may not be a word character, such as `.`, `\S` or `[\w-]`, know ASCII
      letters only.
    - `$` before something that matches the final newline itself does not match before that newline.
    - After an empty match the search goes on at the next character, even where `re` would find a longer match
      at the same place.
    - A long text is searched in windows, of 64 MiB for a short pattern, less for one of many parts. Where a
      pattern has `*`, `+` or `{n,}`, a match longer than an eighth of a window may be missed or cut.

    Args:
        store: The text.
        pattern: The pattern, at most 10,000 characters.
        literal: Whether the pattern is a text that stands for itself.
        ignore_case: Whether upper and lower case are the same.
        deadline: Ends the search.

    Raises:
        ValueError: The pattern is invalid, too long or has what RE2 lacks, or time is up.
    """
    if not pattern:
        raise ValueError("the pattern is empty: give at least one character")
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"the pattern has {len(pattern)} characters, more than {MAX_PATTERN_CHARS}: shorten it")
    if not _is_utf8(pattern):
        raise invalid("it has a lone surrogate")
    newline = store.size_bytes > 0 and store.buffer[-1] == ord("\n")
    if literal:
        pattern = escaped(pattern)
    return _spans(store, _compiled(pattern, not store.is_ascii, newline, ignore_case), deadline)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spans(store: TextStore, matcher: Matcher, deadline: Deadline) -> Iterator[tuple[int, int]]:
    found = _marked_spans(store, matcher, deadline) if matcher.has_marks else _plain_spans(store, matcher, deadline)
    for begin, end in found:
        # RE2 may take the inside of a character for a place where nothing matches.
        if begin < end or store.aligned(begin) == begin:
            deadline.matches += 1
            yield begin, end


def _plain_spans(store: TextStore, matcher: Matcher, deadline: Deadline) -> Iterator[tuple[int, int]]:
    buffer, last, window = store.buffer, (-1, -1), _Window.at(store, matcher, 0)
    while True:
        beyond = None
        for match in matcher.regexp.finditer(buffer, window.begin, window.end):
            deadline.check()
            span = match.span()
            beyond = window.beyond(span, last[1])
            if beyond:
                break
            if span != last:  # the package gives empty matches twice
                last = span
                yield span
        if window.whole and not beyond:
            return
        deadline.check()
        window = beyond or _Window.at(store, matcher, max(window.sure, last[1]))


def _marked_spans(store: TextStore, matcher: Matcher, deadline: Deadline) -> Iterator[tuple[int, int]]:
    """Does the same for patterns whose matches are not what RE2 says, so that each search begins anew."""
    buffer, search, looks_back = store.buffer, matcher.regexp.search, matcher.translation.looks_back
    window = _Window.at(store, matcher, 0)
    position, blocked = 0, -1
    while position <= store.size_bytes:
        deadline.check()
        # One character further back is what a pattern that looks back consumes.
        origin = store.aligned(position - 1) if looks_back and position not in (0, blocked) else position
        match = search(buffer, max(origin, window.begin), window.end)
        if match is None:
            if window.whole:
                return
            window = _Window.at(store, matcher, window.sure)
            position = max(position, window.begin)
        elif beyond := window.beyond(match.span(), position):
            window = beyond
            position = max(position, window.begin)
        else:
            begin, end = matcher.span(match)
            if begin < position:
                # At the text's beginning nothing is consumed: its first word would be found for ever.
                blocked = position
                continue
            yield begin, end
            position = end if end > begin else store.next_char(end)


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of the text that is searched at once; only in one does a deadline not count.

    A match is certain, that is, what the whole text would give, where its start and its length leave room for
    every longer match of the pattern.
    """

    store: TextStore
    begin: int
    end: int
    sure: int
    overlap: int

    @classmethod
    def at(cls, store: TextStore, matcher: Matcher, begin: int) -> _Window:
        end = store.aligned(min(begin + matcher.window_bytes, store.size_bytes))
        overlap = matcher.overlap_bytes
        return cls(store, begin, end, store.aligned(max(begin, end - overlap)), overlap)

    @property
    def whole(self) -> bool:
        return self.end >= self.store.size_bytes

    def beyond(self, span: tuple[int, int], done: int) -> _Window | None:
        """Gives the window in which to look again for a match that is not certain; None if it is.

        Args:
            span: The match.
            done: Where the match before it ended.
        """
        if self.whole or (span[0] < self.sure and span[1] - span[0] < self.overlap):
            return None
        if span[0] >= self.sure:
            begin, size, overlap = max(self.sure, done), self.end - self.begin, self.overlap
        else:
            begin, size, overlap = span[0], 2 * (self.end - self.begin), 2 * self.overlap
        end = self.store.aligned(min(begin + size, self.store.size_bytes))
        return _Window(self.store, begin, end, self.store.aligned(end - overlap), overlap)


def literal_spans(store: TextStore, text: str, *, deadline: Deadline) -> Iterator[tuple[int, int]]:
    """Gives where a text occurs, in bytes, without overlaps.

    Args:
        store: The text to search in.
        text: The text to search for, at most 1,000,000 characters.
        deadline: Ends the search.

    Raises:
        ValueError: The text to search for is empty or too long, or time is up.
    """
    if not text:
        raise ValueError("the text to find is empty: give at least one character")
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError(f"the text to find has {len(text)} characters, more than {MAX_LITERAL_CHARS}: shorten it")
    return _occurrences(store, text.encode("utf-8", "surrogatepass"), deadline)


def _occurrences(store: TextStore, needle: bytes, deadline: Deadline) -> Iterator[tuple[int, int]]:
    position = 0
    while (position := store.find(needle, position)) >= 0:
        deadline.check()
        deadline.matches += 1
        yield position, position + len(needle)
        position += len(needle)
    deadline.check()


def escaped(text: str) -> str:
    """Gives a regular expression that matches exactly a text."""
    return "".join(char if not char.isascii() or char.isalnum() else f"\\x{ord(char):02x}" for char in text)
