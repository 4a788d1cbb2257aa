"""Our own table of passages in PostgreSQL: created by migrations, and filled from a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RetrievalError
from rlmbox.retrieval.base import Embedder
from rlmbox.retrieval.documents import documents
from rlmbox.retrieval.embedding import EmbeddingCalls, batches
from rlmbox.retrieval.pgvector import VECTOR, vector_literal

if TYPE_CHECKING:
    from psycopg import Connection

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE rlmbox.passages (
        id text NOT NULL,
        start integer NOT NULL,
        title text NOT NULL,
        text text NOT NULL,
        digest text NOT NULL,
        search tsvector GENERATED ALWAYS AS (to_tsvector('english'::regconfig, text)) STORED,
        PRIMARY KEY (id, start)
    );
    CREATE INDEX passages_search ON rlmbox.passages USING gin (search);
    """,
    # Rows are stored inline: otherwise ranking one would take a second read.
    "ALTER TABLE rlmbox.passages SET (toast_tuple_target = 8160)",
)
"""The steps to the schema of this version, each of which is taken once."""

_LOCK = 7_223_361_107  # serializes migrations


async def migrate(dsn: str, *, dimensions: int | None = None) -> int:
    """Create the schema `rlmbox` in a database, or update it; return its version.

    Args:
        dsn: The database's address; its user needs the right to create a schema.
        dimensions: Dimension of the vectors, for a table with vectors; requires pgvector.

    Raises:
        ConfigError: psycopg is not installed.
        RetrievalError: The database cannot be reached or changed, its schema is of a later version, it has no pgvector,
            or its vectors have another dimension.
    """
    return await to_thread.run_sync(_migrate, dsn, dimensions)


async def load(dsn: str, context: Context, *, embedder: Embedder | None = None, limits: Limits | None = None) -> int:
    """Fill the table `rlmbox.passages` from a text, in one transaction; return the number of changed documents.

    Unchanged documents are kept; those that are not in the text are removed. Vectors are computed afterwards, for
    passages without one, and each is stored as soon as it is paid for.

    Args:
        dsn: The database's address.
        context: The text; each of its documents becomes one of the table.
        embedder: Computes vectors of the dimension given to `migrate`; None for none.
        limits: Limits on their cost; None for the default.

    Raises:
        ConfigError: psycopg is not installed.
        RetrievalError: The database cannot be reached or changed.
        LimitExceeded: Embedding would exceed a limit.
        ModelError: The embedder failed.
    """
    changed = await to_thread.run_sync(_load, dsn, context)
    if embedder is not None:
        budget = Budget(limits or Limits())
        calls = EmbeddingCalls(embedder, budget)
        await to_thread.run_sync(_label, dsn, embedder.name)
        while rows := await to_thread.run_sync(_without_vector, dsn, embedder.batch_size):
            for texts in batches([text for _, _, text in rows], embedder.batch_size):
                vectors = await calls.embed(texts, role="passage", account=budget.root)
                await to_thread.run_sync(_keep, dsn, rows[: len(texts)], vectors)
                rows = rows[len(texts) :]
    return changed


def _migrate(dsn: str, dimensions: int | None) -> int:
    with _connected(dsn) as connection, _explained():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("CREATE SCHEMA IF NOT EXISTS rlmbox")
        connection.execute("CREATE TABLE IF NOT EXISTS rlmbox.migrations (version integer PRIMARY KEY)")
        row = connection.execute("SELECT coalesce(max(version), 0) FROM rlmbox.migrations").fetchone()
        version = int(row[0]) if row else 0
        if version > len(MIGRATIONS):
            raise RetrievalError(
                f"the schema rlmbox is of version {version}, which a later version of rlmbox wrote; update rlmbox"
            )
        for number, step in enumerate(MIGRATIONS[version:], version + 1):
            connection.execute(step.encode())
            connection.execute("INSERT INTO rlmbox.migrations VALUES (%s)", [number])
        if dimensions is not None:
            _add_vectors(connection, dimensions)
        return len(MIGRATIONS)


def _add_vectors(connection: Connection[Any], dimensions: int) -> None:
    from psycopg import sql

    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    kind = sql.SQL("vector({})").format(sql.Literal(int(dimensions)))
    table = sql.SQL("ALTER TABLE rlmbox.passages ADD COLUMN IF NOT EXISTS {} {}")
    connection.execute(table.format(sql.Identifier(VECTOR), kind))
    row = connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'rlmbox.passages'::regclass AND attname = %s",
        [VECTOR],
    ).fetchone()
    if row is None or row[0] != f"vector({dimensions})":
        found = row[0] if row else "none"
        raise RetrievalError(
            f"the table has a column {VECTOR} of type {found}; drop it to have vectors of {dimensions}"
        )


def _label(dsn: str, name: str) -> None:
    """Record the embedder of the vectors; those of another are useless."""
    from psycopg import sql

    with _connected(dsn) as connection, _explained():
        there = connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute"
            " WHERE attrelid = 'rlmbox.passages'::regclass AND attname = %s",
            [VECTOR],
        ).fetchone()
        if there is None:
            raise RetrievalError("the table has no vectors; add them with migrate(dsn, dimensions=…)")
        if there[0] != name:
            connection.execute("UPDATE rlmbox.passages SET embedding = NULL WHERE embedding IS NOT NULL")
            connection.execute(
                sql.SQL("COMMENT ON COLUMN rlmbox.passages.embedding IS {}").format(sql.Literal(_plain(name)))
            )


def _without_vector(dsn: str, most: int) -> list[tuple[str, int, str]]:
    with _connected(dsn) as connection, _explained():
        return connection.execute(
            "SELECT id, start, text FROM rlmbox.passages WHERE embedding IS NULL LIMIT %s", [most]
        ).fetchall()


def _keep(dsn: str, rows: Sequence[tuple[str, int, str]], vectors: Sequence[Sequence[float]]) -> None:
    with _connected(dsn) as connection, _explained(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE rlmbox.passages SET embedding = %s::vector WHERE id = %s AND start = %s AND text = %s",
            [(vector_literal(vector), *row) for row, vector in zip(rows, vectors, strict=True)],
        )


def _load(dsn: str, context: Context) -> int:
    with _connected(dsn) as connection, _explained():
        known = dict(connection.execute("SELECT DISTINCT id, digest FROM rlmbox.passages").fetchall())
        there = {_plain(document.name): document.digest() for document in documents(context)}
        gone = [name for name, digest in known.items() if there.get(name) != digest]
        connection.execute("DELETE FROM rlmbox.passages WHERE id = ANY(%s)", [gone])
        changed = {name: digest for name, digest in there.items() if known.get(name) != digest}
        statement = "COPY rlmbox.passages (id, start, title, text, digest) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in _rows(context, changed):
                copy.write_row(row)
        connection.execute("ANALYZE rlmbox.passages")  # for the server's estimates of which words are rare
        return len(changed)


def _rows(context: Context, changed: dict[str, str]) -> Iterator[tuple[str, int, str, str, str]]:
    for document in documents(context):
        name = _plain(document.name)
        if name in changed:
            for start, text in document.passages():
                # A character that the server cannot store is replaced by one, so that positions are unchanged.
                yield name, start, name, text.replace("\0", "\ufffd"), changed[name]


def _plain(name: str) -> str:
    return name.replace("\0", "\ufffd")


def _connected(dsn: str) -> Connection[Any]:
    try:
        import psycopg
    except ImportError:
        raise ConfigError("PostgreSQL requires psycopg; install it: pip install 'rlmbox[postgres]'") from None
    try:
        return psycopg.connect(dsn, connect_timeout=10)
    except psycopg.Error as error:
        raise RetrievalError(f"the database cannot be reached: {' '.join(str(error).split())[:300]}") from None


@contextmanager
def _explained() -> Iterator[None]:
    """Convert server errors to `RetrievalError`; the connection rolls back the transaction."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise RetrievalError(f"the database refused: {' '.join(str(error).split())[:300]}") from None
