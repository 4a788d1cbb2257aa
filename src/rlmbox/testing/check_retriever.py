"""The contract of a `Retriever`, as a test suite for any implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from rlmbox.retrieval.base import Retriever, SearchHit, has_vectors

DOCUMENTS: Mapping[str, str] = {
    "harbour": "The harbour master records every vessel that enters the port. Fees are due within thirty days.",
    "orchard": "Apples and pears are picked in September. The orchard keeps records of frost and of bees.",
    "uptime": "We promise an uptime of 99.95 % each month; below it, customers get a tenth of the fee back.",
    "it's; DROP TABLE": 'A text with a peculiar name: \'); DELETE FROM passages; -- and \\ and % and _ and "quotes".',
    "unicode": "Zürich, naïve café, 東京の駅, \U0001f600: text that has more bytes than characters.",
}
"""The documents, by id, that a checked retriever must contain; each may be a single passage."""

INJECTIONS = (
    "'; DROP TABLE passages; --",
    "uptime' OR '1'='1",
    "\\'); DELETE FROM passages; --",
    "uptime & ! | <-> :* ( )",
    '"unclosed AND (uptime',
    "id:* OR title:[a TO z]",
    "$1 %s %(query)s {0} ${x}",
    "*",
    "-uptime +fee ^5 ~2",
)
"""Queries that have a special meaning to an engine that interprets more than words."""


async def check_retriever(make_retriever: Callable[[], Awaitable[Retriever]]) -> None:
    """Check that a retriever behaves as the loop relies on.

    Args:
        make_retriever: Returns a retriever over `DOCUMENTS`, with these ids and texts.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    retriever = await make_retriever()
    _must(bool(retriever.name), "a retriever has a name")
    await _check_search(retriever)
    await _check_get(retriever)
    await _check_injection(retriever)
    await _check_info(retriever)
    if has_vectors(retriever):
        embedder = retriever.embedder
        assert embedder is not None  # noqa: S101 - implied by `has_vectors`
        made = await embedder.embed(["uptime customers promise fee month"], role="query", timeout_s=60.0)
        hits = await retriever.vector(list(made.vectors[0]), k=3, filters={})
        _check_hits(hits, 3)
        _must(len(hits) == 3, "a search by vectors gives k hits where there are as many passages")


async def _check_search(retriever: Retriever) -> None:
    hits = await retriever.search("uptime promise", k=3, filters={})
    _check_hits(hits, 3)
    _must(bool(hits) and hits[0].id == "uptime", "the passage that has all words is the first hit")
    _must("uptime" in hits[0].snippet, "the snippet has the words")
    await _check_same(retriever, hits[0])
    _must(len(await retriever.search("records", k=1, filters={})) == 1, "there are no more hits than were asked for")
    both = await retriever.search("records frost", k=3, filters={})
    _check_hits(both, 3)
    _must([hit.id for hit in both] == ["orchard", "harbour"], "what has more of the words is the first, then the rest")
    _must(not await retriever.search("zyzzyva", k=3, filters={}), "a word that no passage has gives no hit")
    for word, name in (("Zürich", "unicode"), ("UPTIME", "uptime")):
        found = await retriever.search(word, k=1, filters={})
        _must(bool(found) and found[0].id == name, f"{word} is found, in whatever case and script")
    await _raises(
        retriever.search("uptime", k=3, filters={"no_such_field": "x"}), ValueError, "a field that there is not"
    )


async def _check_get(retriever: Retriever) -> None:
    for name, text in DOCUMENTS.items():
        whole = await retriever.get(name, start=0, size=10_000)
        _must((whole.id, whole.text, whole.length) == (name, text, len(text)), f"{name!r} is read as it was written")
        part = await retriever.get(name, start=7, size=11)
        _must((part.text, part.start) == (text[7:18], 7), "positions are characters")
    beyond = await retriever.get("uptime", start=10_000, size=5)
    _must(not beyond.text and beyond.length == len(DOCUMENTS["uptime"]), "beyond the end there is no text")
    await _raises(retriever.get("no such document", start=0, size=5), KeyError, "a document that there is not")


async def _check_injection(retriever: Retriever) -> None:
    before = await retriever.info()
    for query in INJECTIONS:
        _check_hits(await retriever.search(query, k=3, filters={}), 3)
        await _raises(retriever.search("uptime", k=3, filters={query: 1}), ValueError, "a filter over no field")
        await _raises(retriever.get(query, start=0, size=5), KeyError, "an id that is none")
    _must(await retriever.info() == before, "no query changes anything")
    found = await retriever.search("peculiar", k=1, filters={})
    _must(bool(found) and found[0].id == "it's; DROP TABLE", "a document of any name is found")


async def _check_info(retriever: Retriever) -> None:
    info = await retriever.info()
    _must(info.documents == len(DOCUMENTS), "documents are counted")
    _must(all(isinstance(name, str) for name in info.fields), "fields have names")


async def _check_same(retriever: Retriever, hit: SearchHit) -> None:
    part = await retriever.get(hit.id, start=hit.start, size=hit.end - hit.start)
    _must(len(part.text) == hit.end - hit.start, "a hit's positions are those of its passage in the document")
    _must(hit.snippet.strip("… ")[:20] in part.text, "the snippet is a part of the passage")


def _check_hits(hits: Sequence[SearchHit], most: int) -> None:
    _must(len(hits) <= most, "there are no more hits than were asked for")
    scores = [hit.score for hit in hits]
    _must(scores == sorted(scores, reverse=True), "the best hit is the first")
    places = [(hit.id, hit.start) for hit in hits]
    _must(len(set(places)) == len(places), "a passage is found once")
    for hit in hits:
        _must(0 <= hit.start < hit.end, "a passage has a beginning and an end")


async def _raises(call: Awaitable[object], kind: type[Exception], what: str) -> None:
    try:
        await call
    except kind:
        return
    raise AssertionError(f"{what} is a {kind.__name__}")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
