"""`IndexRetriever`: searching an index in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from anyio import to_thread

from rlmbox.context.rank.passages import best_window, words
from rlmbox.errors import RetrievalError
from rlmbox.retrieval.base import DocumentPart, Embedder, Filters, IndexInfo, SearchHit, check_filters
from rlmbox.retrieval.index.layout import VECTORS, WORDS, Layout, Manifest
from rlmbox.retrieval.index.vectors import Vectors
from rlmbox.retrieval.index.words import FIELDS, Passage, WordsFailed, WordsReader, check_installed, suffix_of

SNIPPET_CHARS = 300
_FIRST_ROUND = 4  # times the number of hits wanted, because a filter may remove some
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Open:
    """An open generation."""

    name: str
    manifest: Manifest
    words: WordsReader
    vectors: Vectors | None


class IndexRetriever:
    """An index in a folder, as built by `rlmbox index build`.

    A build that completes while the index is open takes effect with the next call. Thread-safe; may be used from
    several event loops.

    Args:
        path: The folder.
        embedder: Embeds questions, or a function that creates an embedder by the name in the index; None searches by
            words only.

    Raises:
        ConfigError: A required package is not installed, or there is no key for the embedder.
        RetrievalError: There is no index, or it is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        embedder: Embedder | Callable[[str], Embedder] | None = None,
    ) -> None:
        check_installed()
        self._layout = Layout(path)
        self._lock = threading.Lock()
        self._open: _Open | None = None
        manifest = self._opened().manifest
        self._embedder: Embedder | None = None
        if manifest.embedder is not None and embedder is not None:
            self._embedder = embedder(manifest.embedder) if callable(embedder) else embedder
            if self._embedder.name != manifest.embedder:
                raise RetrievalError(
                    f"{path} was made with {manifest.embedder}, not with {self._embedder.name}; give that, or build it "
                    "anew"
                )

    def __repr__(self) -> str:
        return f"<IndexRetriever {self.name}>"

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"index:{self._layout.folder.name}"

    @property
    def embedder(self) -> Embedder | None:
        """The embedder of its vectors; None if it is searched by words only."""
        return self._embedder

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by words; see `Retriever`."""
        return await to_thread.run_sync(self._told, self._search, query, k, filters)

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by vectors; see `VectorRetriever`."""
        return await to_thread.run_sync(self._told, self._closest, embedding, k, filters)

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Read a part of a document; see `Retriever`."""
        return await to_thread.run_sync(self._told, self._read, document_id, start, size)

    async def info(self) -> IndexInfo:
        """Describe the index; see `Retriever`."""
        manifest = (await to_thread.run_sync(self._opened)).manifest
        return IndexInfo(manifest.documents, manifest.passages, FIELDS)

    def _told(self, work: Callable[..., _Found], *arguments: object) -> _Found:
        try:
            return work(*arguments)
        except WordsFailed:
            raise self._layout.broken() from None

    def _opened(self) -> _Open:
        """Return the current generation, opening it if it has changed."""
        with self._lock:
            for _ in range(3):  # a build that completes now may remove the previous generation
                name = self._layout.current()
                if name is None:
                    raise RetrievalError(
                        f"{self._layout.folder}: there is no index; build one: rlmbox index build FOLDER --out PATH"
                    )
                if self._open is not None and self._open.name == name:
                    return self._open
                folder = self._layout.folder / name
                try:
                    manifest = self._layout.manifest(name)
                    vectors = (
                        Vectors(folder / VECTORS, manifest.dimensions, manifest.vectors) if manifest.embedder else None
                    )
                    self._open = _Open(name, manifest, WordsReader(folder / WORDS), vectors)
                except (OSError, ValueError, RuntimeError, RetrievalError) as error:
                    if self._layout.current() != name:
                        continue
                    raise (error if isinstance(error, RetrievalError) else self._layout.broken()) from None
                return self._open
        raise RetrievalError(f"{self._layout.folder} keeps being replaced; try again")

    def _search(self, query: str, k: int, filters: Filters) -> list[SearchHit]:
        check_filters(filters, FIELDS)
        wanted = words(query)
        return [_hit(passage, score, wanted) for score, passage in self._opened().words.ranked(query, k, filters)]

    def _closest(self, embedding: Sequence[float], k: int, filters: Filters) -> list[SearchHit]:
        check_filters(filters, FIELDS)
        opened = self._opened()
        vectors = opened.vectors
        if vectors is None:
            raise RetrievalError(f"{self._layout.folder} has no vectors; build it with --embed, or search by words")
        scores = vectors.scores(embedding)
        hits: list[SearchHit] = []
        begin, count = 0, k * _FIRST_ROUND if filters else k
        while len(hits) < k and begin < vectors.count:
            best = vectors.best(scores, begin, begin + count)
            of_key = dict(best)
            # There may be as many passages with the same text as the corpus has copies of it.
            passages = opened.words.of_keys(list(of_key), max(4 * len(best), 1_000), filters)
            ranked = sorted(passages, key=lambda each: (-of_key[each.key], each.id, each.start))
            hits += [_hit(each, of_key[each.key], ()) for each in ranked]
            begin, count = begin + count, count * 4
        return hits[:k]

    def _read(self, name: str, start: int, size: int) -> DocumentPart:
        passages = self._opened().words.of_document(name, start, start + size)
        if not passages:
            raise KeyError(f"there is no document {name!r:.200} in the index; ids are those of hits")
        length = passages[0].length
        text = "".join(
            each.text[max(start - each.start, 0) : max(start + size - each.start, 0)]
            for each in passages
            if each.start < start + size
        )
        return DocumentPart(name, name, text, start, length)


def _hit(passage: Passage, score: float, wanted: Sequence[str]) -> SearchHit:
    first, last = best_window(passage.text, wanted, SNIPPET_CHARS)
    metadata = {"folder": passage.id.rpartition("/")[0], "suffix": suffix_of(passage.id)}
    end = passage.start + len(passage.text)
    return SearchHit(
        passage.id,
        score,
        passage.id,
        passage.text[first:last],
        passage.start,
        end,
        {k: v for k, v in metadata.items() if v},
    )
