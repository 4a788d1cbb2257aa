"""Counts of the distinct texts that a pattern matches, in one pass over a text of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from rlmbox.context.search.hits import MAX_MATCH_CHARS
from rlmbox.context.search.matching import MAX_CHAR_BYTES, Matcher
from rlmbox.context.search.runs import each_piece, runs_of
from rlmbox.context.search.search import Deadline, compiled, regex_spans
from rlmbox.context.search.windows import WindowBytes
from rlmbox.context.storage.equivalents import composed
from rlmbox.context.storage.source import InMemory
from rlmbox.context.storage.text import TextStore

MAX_KINDS = 1_000_000
MAX_KINDS_CHARS = 64_000_000
_READ_BYTES = 1024 * 1024
_BATCH = 20_000


class _Counts:
    """Counts of texts, whose number is limited."""

    def __init__(self, deadline: Deadline) -> None:
        self.texts: Counter[str] = Counter()
        self._deadline = deadline
        self._chars = 0

    def take(self, found: Iterable[str]) -> None:
        """Count texts.

        Raises:
            ValueError: There are too many different ones, or time is up.
        """
        before = len(self.texts)
        self.texts.update(found)
        # A dict keeps insertion order, so the new ones are at the end.
        for text in list(islice(reversed(self.texts), len(self.texts) - before)):
            if len(text) > MAX_MATCH_CHARS:
                self.texts[text[:MAX_MATCH_CHARS]] += self.texts.pop(text)
            self._chars += min(len(text), MAX_MATCH_CHARS)
        if len(self.texts) > MAX_KINDS or self._chars > MAX_KINDS_CHARS:
            raise ValueError(
                f"the pattern matches more than {min(len(self.texts), MAX_KINDS):,} different texts:"
                " use one that matches fewer, or put a group around the part to count by"
            )
        self._deadline.check()

    def most_common(self, n: int, form: Callable[[str], str]) -> dict[str, int]:
        """Return the most frequent texts with their counts, adding up those of the same form."""
        together: Counter[str] = Counter()
        for text, times in self.texts.items():
            together[form(text)] += times
        return dict(sorted(together.items(), key=lambda each: (-each[1], each[0]))[:n])


def tally(
    store: TextStore, pattern: str, n: int, *, wanted: str, ignore_case: bool, deadline: Deadline
) -> dict[str, int]:
    """Count the texts that a pattern, or its one group, matches.

    Args:
        store: The text.
        pattern: The pattern; see `regex_spans`.
        n: Number of texts to return, the most frequent ones.
        wanted: The pattern extended to every Unicode form.
        ignore_case: Whether to ignore case; the texts are then in lower case.
        deadline: Ends the search.

    Raises:
        ValueError: As for `regex_spans`; the pattern has several groups or matches more than a million different texts.
    """
    counts = _Counts(deadline)

    def form(text: str) -> str:
        return composed(text.lower() if ignore_case else text)

    runs = runs_of(pattern, ignore_case=ignore_case)
    if runs:
        each_piece(store, runs, counts.take)
        for text in [text for text in counts.texts if not runs.wanted.fullmatch(text)]:
            del counts.texts[text]
        return counts.most_common(n, form)
    texts = _matched(store, wanted, ignore_case, deadline)
    while batch := list(islice(texts, _BATCH)):
        counts.take(batch)
    return counts.most_common(n, form)


def _matched(store: TextStore, pattern: str, ignore_case: bool, deadline: Deadline) -> Iterator[str]:
    """Yield what the pattern, or its group, matches each time; "" if the group took no part."""
    spans = regex_spans(store, pattern, ignore_case=ignore_case, deadline=deadline)
    grouped = compiled(pattern, not store.is_ascii, store.ends_with_newline, ignore_case, keep_groups=True)
    if len(grouped.translation.groups) > 1:
        raise ValueError("the pattern has more than one group: keep the one to count by, and write (?:...) for others")
    reader = _MatchReader(store)
    if not grouped.translation.groups:
        yield from (reader.text(*span) for span in spans)
    else:
        yield from (reader.group(grouped, *span) for span in spans)


class _MatchReader:
    """Reads successive spans of the text without a separate read for each."""

    def __init__(self, store: TextStore) -> None:
        self._store = store
        self._part = WindowBytes(b"", 0)
        self._end = 0
        self._groups: dict[bytes, str] = {}

    def _around(self, begin: int, end: int) -> WindowBytes:
        """Return bytes that extend from slightly before a span to slightly after it."""
        if end > self._end or begin < self._part.base:
            if isinstance(self._store.source, InMemory):
                self._end = self._store.size_bytes
            else:
                self._end = min(max(end, begin + _READ_BYTES), self._store.size_bytes)
            self._part = WindowBytes.of(self._store, begin, self._end)
        return self._part

    def text(self, begin: int, end: int) -> str:
        part = self._around(begin, end)
        return _decoded(part, begin, end)

    def group(self, matcher: Matcher, begin: int, end: int) -> str:
        """Return what the group matched within a match of the whole pattern."""
        if not matcher.translation.traits.is_closed or end - begin > MAX_MATCH_CHARS:
            return self._group(matcher, begin, end)
        part = self._around(begin, end)
        match = bytes(part.data[begin - part.base : end - part.base])
        known = self._groups.get(match)
        if known is None:
            if len(self._groups) >= _BATCH:
                self._groups.clear()
            known = self._groups[match] = self._group(matcher, begin, end)
        return known

    def _group(self, matcher: Matcher, begin: int, end: int) -> str:
        part, store = self._around(begin, end), self._store
        first = store.aligned(begin - 1) if matcher.looks_back and begin else begin
        last = store.aligned(min(end + MAX_CHAR_BYTES, store.size_bytes)) if matcher.has_marks else end
        match = matcher.regexp.search(part.data, first - part.base, last - part.base)
        if match is None:
            return ""
        start, finish = match.span(matcher.translation.groups[0])
        return _decoded(part, start + part.base, finish + part.base) if start >= 0 else ""


def _decoded(part: WindowBytes, begin: int, end: int) -> str:
    if end - begin <= MAX_MATCH_CHARS:
        return str(part.data[begin - part.base : end - part.base], "utf-8")
    data = part.data[begin - part.base : min(end, begin + MAX_CHAR_BYTES * MAX_MATCH_CHARS) - part.base]
    return str(data, "utf-8", "ignore")[:MAX_MATCH_CHARS]
