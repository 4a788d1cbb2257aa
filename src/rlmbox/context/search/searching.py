"""Search in a text with documents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from rlmbox.context.search.hits import MAX_MATCHES, Hit, make_hits
from rlmbox.context.search.search import (
    MAX_LITERAL_CHARS,
    Deadline,
    count_literal,
    literal_spans,
    regex_spans,
    timeout_for,
)
from rlmbox.context.search.tallying import tally
from rlmbox.context.storage import equivalents
from rlmbox.context.storage.documents import Documents
from rlmbox.context.storage.reading import Reading
from rlmbox.types import Source

_QUOTE_CHARS = 300
_FIND_WINDOW_CHARS = 120
_PIECE_BYTES = 1024 * 1024
_FORMS_CHARS = 500  # a pattern with all Unicode forms is several times as long


class Searching(Reading):
    """A searchable text with documents."""

    @property
    def _documents(self) -> Documents:
        raise NotImplementedError

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline(timeout_for(self._store.size_bytes) if timeout_s is None else timeout_s)

    def _spans(
        self, pattern: str, regex: bool, case_sensitive: bool, timeout_s: float | None
    ) -> Iterator[tuple[int, int]]:
        deadline = self._deadline(timeout_s)
        if regex:
            pattern = self._expression(pattern)
            return regex_spans(self._store, pattern, ignore_case=not case_sensitive, deadline=deadline)
        if self._in_other_forms(pattern):
            other = equivalents.literal(pattern)
            return regex_spans(self._store, other, ignore_case=not case_sensitive, deadline=deadline)
        if case_sensitive:
            return literal_spans(self._store, pattern, deadline=deadline)
        return regex_spans(self._store, pattern, literal=True, ignore_case=True, deadline=deadline)

    def _expression(self, pattern: str) -> str:
        """Return a regular expression that matches in every Unicode form what the given one matches in one."""
        if self._store.is_ascii:
            return pattern
        has_apart = equivalents.may_differ(pattern) and self._has_letters_apart
        return equivalents.expression(pattern) if has_apart else equivalents.composed(pattern)

    def _in_other_forms(self, text: str) -> bool:
        """Return whether a text is to be searched in Unicode forms other than its own."""
        return not self._store.is_ascii and len(text) <= _FORMS_CHARS and equivalents.has_forms(text)

    @cached_property
    def _has_letters_apart(self) -> bool:
        """True if some letters have combining accents, which few texts have."""
        pieces = self._store.pieces(_PIECE_BYTES)
        return any(mark in piece for piece in pieces for mark in equivalents.APART)

    def find(
        self,
        pattern: str,
        regex: bool = False,
        case_sensitive: bool = True,
        max_matches: int = 100,
        *,
        window: int = _FIND_WINDOW_CHARS,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Find the occurrences of a text or a regular expression, without overlaps.

        Letters with accents are found in every Unicode form, composed or not. The list is limited to `max_matches`, and
        to 4 million characters of matches and snippets; `count` returns the total number. For differences from `re` see
        `rlmbox.context.search.search.regex_spans`.

        Args:
            pattern: The text or regular expression.
            regex: Whether it is a regular expression.
            case_sensitive: Whether case matters.
            max_matches: Maximum number of hits, at most 10,000.
            window: Number of characters around a match in its snippet, half before and half after.
            timeout_s: Timeout in seconds; None for 10, plus one for each 20 MB of the text.

        Raises:
            ValueError: The pattern is empty, too long, invalid or uses something that a linear search lacks;
                `max_matches` is not positive; or time is up.
        """
        if max_matches <= 0:
            raise ValueError(f"max_matches must be positive: {max_matches}")
        if window < 0:
            raise ValueError(f"window must not be negative: {window}")
        spans = self._spans(pattern, regex, case_sensitive, timeout_s)
        return make_hits(self._store, self._documents, spans, max_matches=min(max_matches, MAX_MATCHES), window=window)

    def search(
        self,
        pattern: str,
        max_matches: int = 50,
        window: int = _FIND_WINDOW_CHARS,
        case_sensitive: bool = True,
        *,
        timeout_s: float | None = None,
    ) -> list[Hit]:
        """Find the matches of a regular expression; see `find`."""
        return self.find(pattern, True, case_sensitive, max_matches, window=window, timeout_s=timeout_s)

    def count(
        self, pattern: str, regex: bool = False, case_sensitive: bool = True, *, timeout_s: float | None = None
    ) -> int:
        """Count the occurrences without the limits of `find`.

        Raises:
            ValueError: As for `find`.
        """
        if case_sensitive and not regex and not self._in_other_forms(pattern):
            return count_literal(self._store, pattern, deadline=self._deadline(timeout_s))
        return sum(1 for _ in self._spans(pattern, regex, case_sensitive, timeout_s))

    def tally(
        self, pattern: str, n: int = 20, case_sensitive: bool = True, *, timeout_s: float | None = None
    ) -> dict[str, int]:
        """Count each distinct text that a regular expression matches, in one pass, most frequent first.

        If the pattern has a group, what the group matches is counted instead; "" if it took no part. A text is cut
        after 1,000 characters. Texts with the same composed Unicode form are counted together, and without
        `case_sensitive` those that differ in case are, in lower case.

        Args:
            pattern: The regular expression; see `find`.
            n: Maximum number of texts, at most 10,000.
            case_sensitive: Whether case matters.
            timeout_s: Timeout in seconds; None for 10, plus one for each 5 MB of the text.

        Raises:
            ValueError: As for `find`; the pattern has several groups; it matches more than a million different texts.
        """
        if n <= 0:
            raise ValueError(f"n must be positive: {n}")
        return tally(
            self._store,
            pattern,
            min(n, MAX_MATCHES),
            wanted=self._expression(pattern),
            ignore_case=not case_sensitive,
            # If every word matches, this takes ten times as long as finding a few.
            deadline=self._deadline(timeout_for(4 * self._store.size_bytes) if timeout_s is None else timeout_s),
        )

    def locate(self, start: int, end: int) -> Source:
        """Return the document of a part of the text, and the positions within it.

        A header belongs to the document that follows; a part that reaches beyond its document is cut.

        Args:
            start: Position of the first character, from 0.
            end: Position after the last.
        """
        first, last, _ = slice(start, end).indices(self.length)
        index = self._documents.at(first)
        begin = self._documents.within(index, first)
        finish = max(begin, self._documents.within(index, last))
        offset = self._documents.starts[index]
        quote = self._store.slice(offset + begin, offset + min(finish, begin + _QUOTE_CHARS))
        return Source(self._documents.names[index], begin, finish, quote)

    def find_quote(self, text: str, *, limit: int = 1) -> list[Source]:
        """Find the places of a quotation, exactly and without overlaps.

        Args:
            text: The quotation; one of more than 1,000,000 characters is not searched for.
            limit: Maximum number of places.
        """
        if not text or limit <= 0 or len(text) > min(self.length, MAX_LITERAL_CHARS):
            return []
        found = []
        for begin, end in self._spans(text, False, True, None):
            found.append(self.locate(self._store.char_offset(begin), self._store.char_offset(end)))
            if len(found) == limit:
                break
        return found
