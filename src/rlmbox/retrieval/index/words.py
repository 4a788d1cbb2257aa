"""Passages in tantivy: ranked by BM25, read by position, filtered by document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlmbox.context.rank.passages import PASSAGE_CHARS, spaced, words
from rlmbox.context.rank.tantivy_engine import ANALYZER, analyzer, no_panic
from rlmbox.errors import ConfigError
from rlmbox.retrieval.base import Filters

FIELDS: Mapping[str, str] = {"document": "text", "folder": "text", "suffix": "text"}
"""The fields that filters may name."""

_WRITER_BYTES = 120_000_000
_MAX_QUERY_WORDS = 100
_ERROR_CHARS = 200
_LARGE_PASSAGES = 20_000
_SHORTEST = PASSAGE_CHARS // 2  # only the last passage of a document is shorter


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored passage.

    Attributes:
        id: Its document.
        start: Position of its first character in the document.
        length: Length of the whole document in characters.
        key: A number that identifies its text; passages with the same text have the same key.
        text: The text.
    """

    id: str
    start: int
    length: int
    key: int
    text: str


class WordsFailed(Exception):
    """The engine failed, because files are damaged or the disk is full; the message is the engine's."""


@contextmanager
def _failing() -> Iterator[None]:
    try:
        with no_panic():
            yield
    except (ValueError, RuntimeError, OSError) as error:  # it reports disk errors as text, too
        raise WordsFailed(" ".join(str(error).split())[:_ERROR_CHARS]) from None


class WordsWriter:
    """The index of a generation being built.

    Args:
        folder: Its folder.

    Raises:
        WordsFailed: The engine failed; raised by all methods.
    """

    def __init__(self, folder: Path) -> None:
        import tantivy

        folder.mkdir(parents=True, exist_ok=True)
        self._document = tantivy.Document
        with _failing():
            index = tantivy.Index(_schema(), path=str(folder))
            index.register_tokenizer(ANALYZER, analyzer())
            self._index = index
            self._writer: Any = index.writer(_WRITER_BYTES, 1)  # a single thread makes the order reproducible

    def add(self, passage: Passage) -> None:
        """Add a passage."""
        name = passage.id
        document = self._document()
        document.add_text("id", name)
        document.add_text("folder", name.rpartition("/")[0])
        document.add_text("suffix", suffix_of(name))
        document.add_unsigned("start", passage.start)
        document.add_unsigned("length", passage.length)
        document.add_unsigned("key", passage.key)
        document.add_text("words", spaced(passage.text))
        document.add_bytes("text", passage.text.encode("utf-8", "replace"))
        with _failing():
            self._writer.add_document(document)

    def remove(self, name: str) -> None:
        """Remove the passages of a document, including uncommitted ones."""
        with _failing():
            self._writer.delete_documents_by_term("id", name)

    def commit(self) -> None:
        """Make additions and removals durable."""
        with _failing():
            self._writer.commit()

    def close(self) -> None:
        """Wait for pending merges."""
        with _failing():
            self._writer.wait_merging_threads()


class WordsReader:
    """The index of a complete generation.

    Args:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        import tantivy

        self._tantivy = tantivy
        self._schema, self._analyzer = _schema(), analyzer()
        with no_panic():
            index = tantivy.Index.open(str(folder))
            index.register_tokenizer(ANALYZER, self._analyzer)
            self._searcher: Any = index.searcher()

    def ranked(self, query: str, k: int, filters: Filters) -> list[tuple[float, Passage]]:
        """Return the passages that match some words best."""
        tokens = list(dict.fromkeys(token for word in words(query) for token in self._analyzer.analyze(word)))
        term, occur = self._tantivy.Query.term_query, self._tantivy.Occur
        terms = [term(self._schema, "words", token, "freq") for token in self._telling(tokens[:_MAX_QUERY_WORDS])]
        if not terms:
            return []
        # A single term takes two thirds of the time of a disjunction of one.
        some = terms[0] if len(terms) == 1 else self._tantivy.Query.boolean_query([(occur.Should, t) for t in terms])
        return self._found(self._filtered(some, filters), k)

    def _telling(self, tokens: Sequence[str]) -> list[str]:
        """Return the tokens of a query; in a large index, only the rarest of those that most passages contain.

        The latter take nearly all of a query's time and carry almost no information. With one of them, a query scans
        each passage at most once.
        """
        passages = self._searcher.num_docs
        if passages < _LARGE_PASSAGES:
            return list(tokens)
        often = {token: self._searcher.doc_freq("words", token) for token in tokens}
        common = sorted((token for token in tokens if often[token] > passages / 2), key=lambda token: often[token])
        left_out = set(common[1:])
        return [token for token in tokens if token not in left_out]

    def of_keys(self, keys: Sequence[int], k: int, filters: Filters) -> list[Passage]:
        """Return the passages with some keys, unordered."""
        query = self._tantivy.Query.term_set_query(self._schema, "key", list(keys))
        return [passage for _, passage in self._found(self._filtered(query, filters), k)]

    def of_document(self, name: str, start: int, end: int) -> list[Passage]:
        """Return the passages of a part of a document, in order; its first passage if there are none."""
        query, occur = self._tantivy.Query, self._tantivy.Occur
        is_document = query.term_query(self._schema, "id", name, "basic")
        place = query.range_query(
            self._schema, "start", self._tantivy.FieldType.Unsigned, max(0, start - 2 * PASSAGE_CHARS), max(end - 1, 0)
        )
        both = query.boolean_query([(occur.Must, is_document), (occur.Must, place)])
        found = self._found(both, (end - start) // _SHORTEST + 8)
        return sorted((passage for _, passage in found), key=lambda each: each.start) or [
            passage for _, passage in self._found(is_document, 1)
        ]

    def _filtered(self, query: Any, filters: Filters) -> Any:
        if not filters:
            return query
        occur = self._tantivy.Occur
        musts = [self._tantivy.Query.const_score_query(self._fits(*each), 0.0) for each in filters.items()]
        return self._tantivy.Query.boolean_query([(occur.Must, query), *((occur.Must, each) for each in musts)])

    def _fits(self, name: str, wanted: object) -> Any:
        field = "id" if name == "document" else name
        query = self._tantivy.Query
        if isinstance(wanted, Mapping):
            raise ValueError(f"{name!r} is a text, which has no bounds here; give a value, or a list of values")  # noqa: TRY004
        values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        if not values:
            return query.empty_query()
        return query.term_set_query(self._schema, field, [str(value) for value in values])

    def _found(self, query: Any, k: int) -> list[tuple[float, Passage]]:
        with _failing():
            hits = self._searcher.search(query, k, count=False).hits
            return [(float(score), _passage(self._searcher.doc(address))) for score, address in hits]


def check_installed() -> None:
    """Check that the packages required for an index are installed.

    Raises:
        ConfigError: One is missing.
    """
    if find_spec("tantivy") is None or find_spec("numpy") is None:
        raise ConfigError("an index requires tantivy and numpy; install them: pip install 'rlmbox[index]'")


def suffix_of(name: str) -> str:
    """Return the extension of a document's name, such as `.txt`; empty if it has none."""
    last = name.rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def _passage(document: Any) -> Passage:
    text = bytes(document.get_first("text")).decode("utf-8")
    return Passage(
        document.get_first("id"),
        document.get_first("start"),
        document.get_first("length"),
        document.get_first("key"),
        text,
    )


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    for name in ("id", "folder", "suffix"):
        builder.add_text_field(name, stored=name == "id", fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("start", stored=True, indexed=True)
    builder.add_unsigned_field("length", stored=True)
    builder.add_unsigned_field("key", stored=True, indexed=True)
    builder.add_text_field("words", stored=False, tokenizer_name=ANALYZER, index_option="freq")
    builder.add_bytes_field("text", stored=True)
    return builder.build()
