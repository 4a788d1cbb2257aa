"""Ranked search: the passages of a text most relevant to some words, best first (BM25).

The index is built on first use, in a thread of its own, and cached under the text's SHA-256, so that the next run over
the same text has it immediately. A cached index is used only if it is intact.
"""

from __future__ import annotations

import shutil
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from rlmbox.context.rank import index_cache as cache
from rlmbox.context.rank.engine import RankedText, RankIndex
from rlmbox.context.rank.passages import best_window, passages, spaced, words
from rlmbox.context.storage.caching import remove
from rlmbox.errors import ContextError
from rlmbox.threads import start_background

MAX_RESULTS = 100
MAX_QUERY_CHARS = 10_000
MAX_WORDS = 64
SNIPPET_CHARS = 300
WAIT_S = 60.0
BUILD_S = 600.0
MAX_BYTES = 4 * 1024**3

# Quicker to build again than to read and verify, and not worth the space in the cache.
_KEPT_BYTES = 4_000_000
# An index is about half the size of its text; without a cache folder it has to stay in memory.
_IN_MEMORY_BYTES = 200_000_000


class Ranked(TypedDict):
    """One passage.

    Attributes:
        start: Position of its first character in the whole text.
        end: Position after its last.
        score: The BM25 score; higher is better, and comparable within one query only.
        document: The name of its document.
        position: Position of the first character in the document's text.
        snippet: The part of it, about 300 characters, that contains the most of the words.
    """

    start: int
    end: int
    score: float
    document: str
    position: int
    snippet: str


class _RankingStopped(Exception):
    """The build was cancelled."""


class Ranking:
    """Ranks the passages of one context. Thread-safe."""

    def __init__(
        self,
        context: RankedText,
        *,
        engine: Callable[[], RankIndex] | None = None,
        build_s: float = BUILD_S,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        """Start without an index.

        Args:
            context: The text.
            engine: Creates the engine; by default tantivy if the extra is installed, otherwise SQLite.
            build_s: Time limit for building the index, in seconds.
            kept_bytes: Texts shorter than this are indexed in memory and not cached.
        """
        self._context = context
        self._engine = engine or default_engine
        self._build_s = build_s
        self._kept = context.size_bytes >= kept_bytes
        self._lock = threading.Lock()
        self._building: _Building | None = None

    def rank(self, query: str, k: int = 10, *, wait_s: float = WAIT_S) -> list[Ranked]:
        """Return the passages with the most of the rarest words of a query, best first.

        Args:
            query: Words, or a question; case and English endings are ignored.
            k: Maximum number of passages, at most 100.
            wait_s: Seconds to wait for an index that is being built.

        Raises:
            ValueError: The query has no words or is too long, `k` is out of range, the text is too long to be
                indexed, or the index is not ready in time.
            ContextError: The text cannot be read.
        """
        wanted = _wanted(query, k)
        for fresh in (False, True):
            index, bounds = self._index(fresh).wait(wait_s)
            try:
                return self._described(index.query(wanted, k, len(bounds) // 2), bounds, wanted)
            except (*cache.BROKEN, LookupError):
                if fresh:
                    raise
        raise AssertionError("not reached")

    def cancel(self) -> None:
        """Cancel the build of the index, if any; the next query starts a new one."""
        with self._lock:
            if self._building is not None and not self._building.done:
                self._building.stop()
                self._building = None

    def _index(self, fresh: bool) -> _Building:
        """Return the index, ready or being built; a new one if `fresh`, because it is broken."""
        with self._lock:
            if self._building is None or self._building.failed or (fresh and self._building.done):
                self._building = _Building(self._context, self._engine(), self._build_s, self._kept, fresh)
            return self._building

    def _described(self, found: Sequence[tuple[int, float]], bounds: array[int], wanted: Sequence[str]) -> list[Ranked]:
        ranked: list[Ranked] = []
        for number, score in found:
            start, end = bounds[2 * number], bounds[2 * number + 1]
            if not 0 <= start < end <= self._context.length:
                raise LookupError("the index speaks of another text")
            first, last = best_window(self._context.slice(start, end), wanted, SNIPPET_CHARS)
            source = self._context.locate(start, start)
            ranked.append(
                {
                    "start": start,
                    "end": end,
                    "score": round(score, 4),
                    "document": source.document,
                    "position": source.start,
                    "snippet": self._context.slice(start + first, min(start + last, end)),
                }
            )
        return ranked


class _Building:
    """An index being opened or built in its own thread."""

    def __init__(self, context: RankedText, index: RankIndex, build_s: float, kept: bool, fresh: bool) -> None:
        self._context = context
        self._index = index
        self._build_s = build_s
        self._deadline = time.monotonic() + build_s
        self._kept, self._fresh = kept, fresh
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._bounds: array[int] = array("Q")
        self._error: BaseException | None = None
        start_background(self._run, "rlmbox-index", self._stop.set)

    @property
    def done(self) -> bool:
        return self._finished.is_set()

    @property
    def failed(self) -> bool:
        return self.done and self._error is not None

    def stop(self) -> None:
        self._stop.set()

    def wait(self, wait_s: float) -> tuple[RankIndex, array[int]]:
        if not self._finished.wait(wait_s):
            percent = 100 * self._reached // max(1, self._context.length)
            raise ValueError(
                f"the index for ranking is still being made, {percent} % of the text so far: go on with ctx.search,"
                " and ask again later"
            )
        if self._error is not None:
            raise self._error
        return self._index, self._bounds

    @property
    def _reached(self) -> int:
        return self._bounds[-1] if self._bounds else 0

    def _run(self) -> None:
        try:
            self._make()
        except _RankingStopped:
            self._error = ValueError(
                f"making the index for ranking was stopped after {100 * self._reached // self._context.length} % of the"
                f" text, at its limit of {self._build_s:g} s: use ctx.search"
            )
        except BaseException as error:  # noqa: BLE001 - raised in the waiting threads
            self._error = error
        finally:
            self._finished.set()

    def _make(self) -> None:
        if self._context.size_bytes > MAX_BYTES:
            raise ValueError(f"the text has more than {MAX_BYTES >> 20:,} MiB, too many to be ranked: use ctx.search")
        folder = self._folder()
        if folder is None:
            self._index.build(None, self._passages())
            return
        if self._fresh:
            remove(folder)
        elif (bounds := cache.opened(folder, self._index, self._context.length)) is not None:
            self._bounds = bounds
            return
        if shutil.disk_usage(folder.parent).free < self._context.size_bytes:
            raise ValueError("there is too little room in the cache for an index of the text: use ctx.search")
        cache.build(folder, self._index, self._passages(), self._bounds)

    def _folder(self) -> Path | None:
        """Return the folder of the index, which may not exist yet; None if it stays in memory."""
        if not self._kept:
            return None
        try:
            return cache.place(self._context, self._index.name)
        except ContextError:
            if self._context.size_bytes > _IN_MEMORY_BYTES:
                raise
            return None

    def _passages(self) -> Iterator[str]:
        context = self._context
        spans = (context.document_span(number) for number in range(context.num_documents))
        for text in passages(context, spans, self._bounds):
            if self._stop.is_set() or time.monotonic() > self._deadline:
                raise _RankingStopped
            yield spaced(text)


def _wanted(query: str, k: int) -> list[str]:
    if not 1 <= k <= MAX_RESULTS:
        raise ValueError(f"k must be from 1 to {MAX_RESULTS}: {k}")
    if len(query) > MAX_QUERY_CHARS:
        raise ValueError(f"the query has {len(query)} characters, more than {MAX_QUERY_CHARS}: give only its key words")
    wanted = words(query)
    if not wanted:
        raise ValueError("the query has no words: give some that the passages should have")
    if len(wanted) > MAX_WORDS:
        raise ValueError(f"the query has {len(wanted)} words, more than {MAX_WORDS}: give only those that matter")
    return wanted


def default_engine() -> RankIndex:
    """Return tantivy if the extra is installed, otherwise SQLite's FTS5."""
    if find_spec("tantivy") is not None:
        from rlmbox.context.rank.tantivy_engine import TantivyIndex

        return TantivyIndex()
    from rlmbox.context.rank.sqlite_engine import SqliteIndex

    return SqliteIndex()
