"""Results of a search: positions, document, line, and the surrounding text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from rlmbox.context.storage.documents import Documents
from rlmbox.context.storage.text import TextStore

MAX_MATCHES = 10_000
MAX_MATCH_CHARS = 1_000
MAX_TOTAL_CHARS = 4_000_000


class Hit(TypedDict):
    """One occurrence.

    Attributes:
        start: Position of its first character in the whole text.
        end: Position after its last.
        match: The text that matched, cut to 1,000 characters.
        snippet: The match with the text around it.
        document: The name of the document.
        position: Position of the first character in the document's text.
        line: Line in the document, from 1.
    """

    start: int
    end: int
    match: str
    snippet: str
    document: str
    position: int
    line: int


def make_hits(
    store: TextStore, documents: Documents, spans: Iterable[tuple[int, int]], *, max_matches: int, window: int
) -> list[Hit]:
    """Describe occurrences given by byte positions.

    Args:
        store: The text.
        documents: Its documents.
        spans: Start and end of the occurrences, in order.
        max_matches: Maximum number of hits.
        window: Number of characters around an occurrence in its snippet, half before and half after.
    """
    hits: list[Hit] = []
    total = 0
    of_document = (-1, 0)
    for begin, end in spans:
        start = store.char_offset(begin)
        index = documents.at(start)
        if of_document[0] != index:
            of_document = (index, store.newlines_before(store.byte_offset(documents.starts[index])))
        position = documents.within(index, start)
        inside = documents.starts[index] + position
        line_at = begin if inside == start else store.byte_offset(inside)
        match, finish = _cut_match(store, begin, end)
        snippet = store.before(begin, window // 2) + match + store.after(finish, window - window // 2)
        hits.append(
            {
                "start": start,
                "end": start + len(match) if finish == end else store.char_offset(end),
                "match": match,
                "snippet": snippet,
                "document": documents.names[index],
                "position": position,
                "line": store.newlines_before(line_at) - of_document[1] + 1,
            }
        )
        total += len(match) + len(snippet)
        if len(hits) >= max_matches or total >= MAX_TOTAL_CHARS:
            break
    return hits


def _cut_match(store: TextStore, begin: int, end: int) -> tuple[str, int]:
    """Return the beginning of a match, and the byte position after it."""
    if end - begin <= MAX_MATCH_CHARS:
        return store.decode(begin, end), end
    match = store.decode(begin, store.aligned(min(end, begin + 4 * MAX_MATCH_CHARS)))[:MAX_MATCH_CHARS]
    return match, begin + len(match.encode())
