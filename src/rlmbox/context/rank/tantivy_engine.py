"""BM25 by tantivy, with the extra `tantivy`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANALYZER = "words"
_WRITER_BYTES = 48_000_000
_LONGEST_TOKEN = 100


class TantivyIndex:
    """An index in a folder, in tantivy's format."""

    name = "tantivy-2"

    def __init__(self) -> None:
        self._searcher: Any = None
        self._schema = _schema()
        self._analyzer = analyzer()

    def build(self, folder: Path | None, passages: Iterable[str]) -> None:
        """Build the index; see `RankIndex`."""
        import tantivy

        index = tantivy.Index(self._schema, path=None if folder is None else str(folder))
        index.register_tokenizer(ANALYZER, self._analyzer)
        # With a single thread, passages of equal score keep their order, and other cores stay free.
        writer = index.writer(_WRITER_BYTES, 1)
        try:
            for number, text in enumerate(passages):
                writer.add_document(tantivy.Document(number=number, text=text))
            writer.commit()
            writer.wait_merging_threads()
        except BaseException:
            writer.rollback()
            raise
        if folder is None:
            index.reload()
            self._searcher = index.searcher()

    def open(self, folder: Path) -> None:
        """Open an existing index; see `RankIndex`."""
        import tantivy

        with no_panic():
            if not tantivy.Index.exists(str(folder)):
                raise ValueError("not an index")
            index = tantivy.Index.open(str(folder))
            index.register_tokenizer(ANALYZER, self._analyzer)
            self._searcher = index.searcher()

    def query(self, words: Sequence[str], k: int, passages: int) -> list[tuple[int, float]]:
        """Rank passages; see `RankIndex`."""
        import tantivy

        if self._searcher is None:
            raise ValueError("the index is not open")
        # Built from terms, not parsed, so that no word is an operator.
        tokens = dict.fromkeys(token for word in words for token in self._analyzer.analyze(word))
        terms = [tantivy.Query.term_query(self._schema, "text", token, "freq") for token in tokens]
        if not terms:
            return []
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        with no_panic():
            hits = self._searcher.search(query, k, count=False).hits
            return [(int(self._searcher.doc(address)["number"][0]), float(score)) for score, address in hits]


@contextmanager
def no_panic() -> Iterator[None]:
    """Convert a Rust panic, which is not an `Exception`, to an error, so that it ends only the query."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(f"tantivy failed: {error}") from None
        raise


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=False, tokenizer_name=ANALYZER, index_option="freq")
    builder.add_unsigned_field("number", stored=True)
    return builder.build()


def analyzer() -> Any:
    """Return the tokenizer: lower case, accents removed, English stemming."""
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for part in (
        tantivy.Filter.remove_long(_LONGEST_TOKEN),
        tantivy.Filter.lowercase(),
        tantivy.Filter.ascii_fold(),
        tantivy.Filter.stemmer("english"),
    ):
        builder = builder.filter(part)
    return builder.build()
