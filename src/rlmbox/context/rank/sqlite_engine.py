"""BM25 by SQLite's FTS5 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, as SQLite has it)."""

from __future__ import annotations

import math
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

_FILE = "passages.sqlite"
_TABLE = (
    "CREATE VIRTUAL TABLE passages USING fts5"
    "(text, content='', tokenize='porter unicode61 remove_diacritics 2')"  # contentless: the text is not stored again
)
_FAST = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA page_size=16384; PRAGMA locking_mode=EXCLUSIVE;"
_HASH_BYTES = 32 * 1024 * 1024  # doubles the speed of building, compared with the default of 1 MB
# Scoring a passage takes a microsecond or two, and a query may take 20 ms.
_SCORED = 4_500
# Finding how rare a word is costs as much as scoring thousands of passages, and for frequent words gains little.
_FREQUENT = 3
_BEST = (
    "SELECT row, score FROM"
    " (SELECT rowid AS row, -bm25(passages) AS score FROM passages WHERE passages MATCH ? LIMIT ?)"
    " ORDER BY score DESC, row LIMIT ?"
)
_MAX_COUNTS = 10_000


class SqliteIndex:
    """An index in one SQLite file, available in every Python."""

    name = "sqlite-2"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._counts: dict[str, int] = {}

    def build(self, folder: Path | None, passages: Iterable[str]) -> None:
        """Build the index; see `RankIndex`."""
        connection = sqlite3.connect(
            ":memory:" if folder is None else folder / _FILE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(_FAST)
            connection.execute(_TABLE)
            connection.execute("INSERT INTO passages(passages, rank) VALUES ('hashsize', ?)", (_HASH_BYTES,))
            connection.execute("BEGIN")
            rows = ((number, text) for number, text in enumerate(passages))
            connection.executemany("INSERT INTO passages(rowid, text) VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        if folder is None:
            self._keep(connection)
        else:
            connection.close()

    def open(self, folder: Path) -> None:
        """Open an existing index; see `RankIndex`."""
        place = (folder / _FILE).as_uri() + "?mode=ro&immutable=1"
        connection = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            _check(connection)
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def _keep(self, connection: sqlite3.Connection) -> None:
        # Closed with its context; from Python 3.13 on, a connection that is merely dropped causes a warning.
        weakref.finalize(self, connection.close)
        self._connection = connection

    def query(self, words: Sequence[str], k: int, passages: int) -> list[tuple[int, float]]:
        """Rank passages; see `RankIndex`."""
        if self._connection is None:
            raise ValueError("the index is not open")
        with self._lock:
            match = self._match(words, passages)
            if not match:
                return []
            return [(int(row), float(score)) for row, score in self._connection.execute(_BEST, (match, _SCORED, k))]

    def _match(self, words: Sequence[str], passages: int) -> str:
        """Write the query so that a limited number of passages are scored.

        The rarest words select the passages to score, and the rarest of the others only add to their scores. If all
        words are frequent, a passage must have the rarest of them; if there are still too many, the first ones in the
        text are scored.
        """
        counted = sorted((count, word) for word in words if (count := self._count(_quoted(word))))
        rare, frequent, total = [], [], 0
        for count, word in counted:
            total += count
            if total <= _SCORED:
                rare.append(_quoted(word))
            elif _idf(count, passages) > 0:
                frequent.append(_quoted(word))
        if rare and frequent:
            return f"({' OR '.join(rare)}) AND ({' OR '.join(rare + frequent[:_FREQUENT])})"
        if rare:
            return " OR ".join(rare)
        every = [_quoted(word) for _, word in counted[:_FREQUENT]]
        together = " AND ".join(every)
        return together if every and self._count(together) else " OR ".join(every)

    def _count(self, match: str) -> int:
        assert self._connection is not None  # noqa: S101 - for the type checker: `query` has checked
        if match not in self._counts:
            if len(self._counts) >= _MAX_COUNTS:
                self._counts.clear()
            rows = self._connection.execute("SELECT count(*) FROM passages WHERE passages MATCH ?", (match,))
            self._counts[match] = int(rows.fetchone()[0])
        return self._counts[match]


def _check(connection: sqlite3.Connection) -> None:
    # A view or trigger in a planted file would run with the query.
    tables = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE name = 'passages'")}
    others = connection.execute("SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
    if tables != {_TABLE} or others[0]:
        raise ValueError("not an index of ours")


def _quoted(word: str) -> str:
    # Quoted, so that nothing is an operator; words should contain no quotes, but that is not relied on.
    return '"' + word.replace('"', '""') + '"'


def _idf(count: int, passages: int) -> float:
    return math.log((max(passages - count, 0) + 0.5) / (count + 0.5))
