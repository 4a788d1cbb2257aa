"""Detection of secrets whose format is published.

One alternation of all keywords is searched for; a format's own pattern is tried only at its keywords.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

from rlmbox.guard.findings import Finding
from rlmbox.guard.formats import FORMATS, KeyFormat
from rlmbox.guard.matching import Encoded, any_of, compiled

_ALNUM = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_BLANKS = frozenset("xX*.-_0#?$ ")
_WORDS = re.compile(r"[0-9A-Za-z]*(?:[-_][a-z]+){3,}[0-9A-Za-z_-]*|[a-z_-]+|[A-Z_-]+|[0-9_-]+")
_SHORT_MARK = 4
_MAX_SECRET_BYTES = 400
_MAX_KEY_BYTES = 32_768  # private keys are the longest


class SecretDetector:
    """Finds text in the format of a key, token or other secret.

    Args:
        formats: The kinds to look for.
    """

    def __init__(self, formats: Sequence[KeyFormat] = FORMATS) -> None:
        self._marked: dict[bytes, list[KeyFormat]] = defaultdict(list)
        self._named: dict[bytes, list[KeyFormat]] = defaultdict(list)
        for each in formats:
            for keyword in each.keywords:
                (self._named if each.ignores_case else self._marked)[keyword.encode()].append(each)
        self._formats: dict[bytes, tuple[KeyFormat, ...]] = {}
        self._keywords = ""

    def __call__(self, text: str) -> Iterator[Finding]:
        """Yield the secrets in a text."""
        encoded = Encoded(text)
        pattern = compiled(self._prefilter())
        found = pattern.search(encoded.data)
        while found:
            # One keyword may begin within another, `fc-` and `-us` in `…fc-us20`, but never within a secret.
            at = found.start() + 1
            for each in self._formats_of(found.group()):
                if span := _match(each, encoded.data, found.start()):
                    at = max(at, span[1])
                    start, end = map(encoded.char, span)
                    yield Finding(each.kind, start, end, why=f"has the form of {_an(each.kind)} {each.kind}")
            found = pattern.search(encoded.data, at)

    def _formats_of(self, keyword: bytes) -> tuple[KeyFormat, ...]:
        """Return the formats of a keyword and of its prefixes that are keywords."""
        if keyword not in self._formats:
            parts = [keyword[:size] for size in range(len(keyword), 0, -1)]
            tables = [(self._marked.get(part, ()), self._named.get(part.lower(), ())) for part in parts]
            self._formats[keyword] = tuple(each for pair in tables for formats in pair for each in formats)
        return self._formats[keyword]

    def _prefilter(self) -> str:
        if not self._keywords:
            marked, named = (any_of(map(bytes.decode, table)) for table in (self._marked, self._named))
            self._keywords = "|".join(part for part in (marked, named and f"(?i:{named})") if part)
        return self._keywords


def _match(each: KeyFormat, data: bytes, position: int) -> tuple[int, int] | None:
    """Return the span of a secret of a format whose keyword is at a position."""
    if each.lookback_chars:
        begin = max(0, position - each.lookback_chars)
        found = compiled(each.pattern).search(data, begin, position + _MAX_SECRET_BYTES)
        if found is None or found.start() > position:
            return None
    elif _begins_in_word(each, data, position):
        return None
    else:
        found = compiled(each.pattern).match(data, position, position + _MAX_KEY_BYTES)
    if found is None:
        return None
    start, end = found.span(1) if found.re.groups else found.span()
    if each.ends_at_word and end < len(data) and data[end] in _ALNUM:
        return None
    return None if _is_placeholder(data[start:end], each) else (start, end)


def _begins_in_word(each: KeyFormat, data: bytes, position: int) -> bool:
    return _needs_boundary(each) and position > 0 and data[position - 1] in _ALNUM


@cache
def _needs_boundary(each: KeyFormat) -> bool:
    # A long mark with a separator is never a word; a short one, or one of letters alone, may be part of one.
    return not each.ignores_case and any(len(mark) <= _SHORT_MARK or mark.isalnum() for mark in each.keywords)


def _is_placeholder(value: bytes, each: KeyFormat) -> bool:
    """Return whether a value is a placeholder in a manual, such as `ghp_xxxxxxxx`, or consists of words."""
    text = value.decode(errors="replace")
    mark = next((mark for mark in each.keywords if text.startswith(mark)), "")
    body = text[len(mark) :]
    if not body.strip("xX*.-_0#?$ ") or _BLANKS.issuperset(body):
        return True
    # A short mark with a separator may begin a name of several words, `pa-` as well as `sk-`.
    return bool(mark) and len(mark) <= _SHORT_MARK and not mark.isalnum() and _WORDS.fullmatch(body) is not None


def _an(kind: str) -> str:
    return "an" if kind[0].lower() in "aeiou" else "a"
