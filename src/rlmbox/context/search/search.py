"""Search over the bytes, in linear time and within a deadline.

Patterns come from a model, so they are matched by RE2 (Russ Cox, "Regular Expression Matching in the Wild", 2010) and
never by Python's backtracking `re`, except for a single class, which `runs` counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

from rlmbox.context.search import linewise, windows
from rlmbox.context.search.matching import Matcher
from rlmbox.context.search.pattern import invalid, unsupported
from rlmbox.context.search.translate import translate
from rlmbox.context.storage.stopping import STOPPED
from rlmbox.context.storage.text import TextStore

MAX_PATTERN_CHARS = 10_000
MAX_LITERAL_CHARS = 1_000_000
_TIMEOUT_S, _BYTES_PER_S = 10.0, 20_000_000

_MAX_MEMORY_BYTES = 16 * 1024 * 1024
_KEPT_PATTERNS = 8
_MAX_WINDOW_BYTES = 64 * 1024 * 1024
_MIN_WINDOW_BYTES = 16 * 1024
# RE2's slowest engine processes about 1e8 (positions of a pattern x bytes) per second: a window takes about two.
_WINDOW_WORK = 200_000_000


def timeout_for(size_bytes: int) -> float:
    """Return the timeout of a search in seconds; more for a longer text, for the sake of a busy machine or a slow disk.

    Args:
        size_bytes: Size of the text.
    """
    return _TIMEOUT_S + size_bytes / _BYTES_PER_S


class Deadline:
    """Ends a search that takes too long, with an error that names the number of matches so far."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._stopped = STOPPED.get()
        self.matches = 0

    def check(self) -> None:
        """Raise an error once the deadline has passed.

        Raises:
            ValueError: Time is up, or nobody waits for the result any more.
        """
        if self._stopped is not None and self._stopped.is_set():
            raise ValueError("the search was stopped: nobody waits for it any more")
        if time.monotonic() >= self._end:
            raise ValueError(
                f"the search took longer than {self._timeout_s:g} s and was stopped after {self.matches} matches:"
                " use a more specific pattern, or re in a cell on a chunk of the text"
            )


@lru_cache(maxsize=_KEPT_PATTERNS)
def compiled(
    pattern: str, unicode: bool, final_newline: bool, ignore_case: bool, *, keep_groups: bool = False
) -> Matcher:
    """Compile a pattern; see `translate`.

    Raises:
        ValueError: The pattern is invalid, or uses something that RE2 lacks.
    """
    import re2

    translation = translate(
        pattern, unicode=unicode, final_newline=final_newline, ignore_case=ignore_case, keep_groups=keep_groups
    )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        regexp = re2.compile(translation.text.encode(), options)
    except re2.error as error:
        raise _refusal(error) from None
    finally:
        # The package caches 128 compiled patterns of any size; this cache is smaller.
        re2.purge()
    window = min(max(_WINDOW_WORK // translation.positions, _MIN_WINDOW_BYTES), _MAX_WINDOW_BYTES)
    return Matcher(regexp, translation, window)


def _refusal(error: Exception) -> ValueError:
    said = error.args[0] if error.args else b""
    reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if "too large" in reason or "repetition" in reason or "nest" in reason:
        return unsupported("more states than fit (counted repetitions of large classes multiply)")
    return invalid(reason[:200])


def regex_spans(
    store: TextStore, pattern: str, *, literal: bool = False, ignore_case: bool = False, deadline: Deadline
) -> Iterator[tuple[int, int]]:
    r"""Yield the spans that a regular expression matches, in bytes, as `re.finditer` does.

    The flags `(?i)`, `(?m)`, `(?s)` and `(?a)` are supported. Differences from `re`:

    - No look-around, back-references, conditionals, atomic groups, possessive quantifiers, flag `x`, nor
      repetitions above 1,000; `\p{L}` and the like are supported.
    - `\b` and `\B` next to something that may or may not be a word character, such as `.`, `\S` or `[\w-]`, know
      only ASCII letters.
    - `$` before something that matches the final newline itself does not match before that newline.
    - After an empty match the search continues at the next character, even where `re` would find a longer match
      at the same place.
    - A long text is searched in windows: 64 MiB in memory, 8 MiB in a file, and less for a pattern of many
      parts. For a pattern with `*`, `+` or `{n,}`, a match longer than an eighth of a window may be missed or cut;
      in a file this does not happen if no match can contain a newline, unless a line is longer than 1 MiB.

    Args:
        store: The text.
        pattern: The pattern, at most 10,000 characters.
        literal: Whether the pattern is a literal text.
        ignore_case: Whether to ignore case.
        deadline: Ends the search.

    Raises:
        ValueError: The pattern is invalid, too long or uses something that RE2 lacks, or time is up.
    """
    if not pattern:
        raise ValueError("the pattern is empty: give at least one character")
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"the pattern has {len(pattern)} characters, more than {MAX_PATTERN_CHARS}: shorten it")
    if not _is_utf8(pattern):
        raise invalid("it has a lone surrogate")
    if literal:
        pattern = escaped(pattern)
    return _spans(store, compiled(pattern, not store.is_ascii, store.ends_with_newline, ignore_case), deadline)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spans(store: TextStore, matcher: Matcher, deadline: Deadline) -> Iterator[tuple[int, int]]:
    how = linewise if linewise.applies(store, matcher) else windows
    for begin, end in how.find_spans(store, matcher, deadline.check):
        # RE2 may report an empty match inside a character.
        if begin < end or store.aligned(begin) == begin:
            deadline.matches += 1
            yield begin, end


def literal_spans(store: TextStore, text: str, *, deadline: Deadline) -> Iterator[tuple[int, int]]:
    """Yield the spans of a text, in bytes, without overlaps.

    Args:
        store: The text to search in.
        text: The text to search for, at most 1,000,000 characters.
        deadline: Ends the search.

    Raises:
        ValueError: The text to search for is empty or too long, or time is up.
    """
    return _occurrences(store, _needle(text), deadline)


def _needle(text: str) -> bytes:
    if not text:
        raise ValueError("the text to find is empty: give at least one character")
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError(f"the text to find has {len(text)} characters, more than {MAX_LITERAL_CHARS}: shorten it")
    return text.encode("utf-8", "surrogatepass")


def _occurrences(store: TextStore, needle: bytes, deadline: Deadline) -> Iterator[tuple[int, int]]:
    for position in store.occurrences(needle, tick=deadline.check):
        deadline.matches += 1
        yield position, position + len(needle)


def count_literal(store: TextStore, text: str, *, deadline: Deadline) -> int:
    """Count the occurrences of a text, without overlaps.

    Raises:
        ValueError: As for `literal_spans`.
    """
    deadline.check()
    return store.count(_needle(text), tick=deadline.check)


def escaped(text: str) -> str:
    """Return a regular expression that matches exactly the given text."""
    return "".join(char if not char.isascii() or char.isalnum() else f"\\x{ord(char):02x}" for char in text)
