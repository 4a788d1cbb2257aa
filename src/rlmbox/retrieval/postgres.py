"""`PostgresRetriever`: full-text search, and vectors with pgvector, over a table of ours or of the user's own.

No query, filter or id is ever part of a statement: values are parameters, and identifiers are those that the user gave
when creating the retriever. Connections are read-only, and the server limits the time of a statement.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import to_thread

from rlmbox.context.rank.passages import best_window, pairs, words
from rlmbox.errors import ConfigError, RetrievalError
from rlmbox.retrieval.base import DocumentPart, Embedder, Filters, IndexInfo, SearchHit, check_filters
from rlmbox.retrieval.pgvector import VECTOR, vector_literal

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

OWN_TABLE = "rlmbox.passages"
"""The table that `migrate` makes."""

SNIPPET_CHARS = 300
_SEEN_CHARS = 20_000  # of a long row, for its snippet
_MOST_SCORED = 1_000  # maximum number of rows to rank, if few of the words are rare
_SCORED_OF_MANY = 500  # the same, if so many rows contain all words that any of them will do
_MOST_PASSED = 10_000  # maximum number of rows to scan for these in table order; beyond it an index is quicker
_MOST_WORDS = 50
_MOST_ROWS = 10_000
_CONNECT_S = 10
_MOST_PAIRS = 8
_COMPOUND = re.compile(r"\w[@./:-]+\w")
_TEXTS = ("text", "character varying", "character", "citext", "name")
_OPERATORS: Mapping[str, str] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_BAD_VALUE = ("22", "42883", "42846")  # SQLSTATEs of a value that is invalid for its type, or not comparable
_Result = TypeVar("_Result")
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table of passages.

    Attributes:
        id: The document; several rows may have the same one if `start` distinguishes them.
        text: The text.
        start: Position of the row's text in its document; None for a table whose rows are whole documents.
        title: A human-readable name; None for the id.
        search: A `tsvector` of the text; None computes it with each query, for which an index over
            `to_tsvector('english', text)` helps.
        vector: A `vector` of pgvector; None for none.
        date: The document's date; None for none.
        language: The document's language; None for none.
    """

    id: str = "id"
    text: str = "text"
    start: str | None = None
    title: str | None = None
    search: str | None = None
    vector: str | None = None
    date: str | None = None
    language: str | None = None


OWN_COLUMNS = Columns("id", "text", "start", "title", "search")


@dataclass(frozen=True, slots=True)
class _Guesses:
    """The planner's estimates of the number of matching rows.

    Attributes:
        total: Number of rows in the table.
        every: Number of rows with all words.
        each: Number of rows with each of them; empty if the planner has no estimate.
    """

    total: float
    every: float
    each: Sequence[float]

    @property
    def passed(self) -> int | None:
        """Number of rows to scan, in table order, to find enough with all words for ranking; None if too many.

        It is twice the estimate. The posting lists of words that most rows contain would take longer.
        """
        if not self.every:
            return None
        rows = int(_SCORED_OF_MANY * max(1.0, self.total / self.every))
        return 2 * rows if rows <= min(_MOST_PASSED, self.total / 2) else None

    def rarest_first(self, wanted: list[str]) -> list[str]:
        """Sort words by the number of rows that contain them.

        Args:
            wanted: The words, in the order of `each`.
        """
        if not self.each:
            return wanted
        return [word for _, word in sorted(zip(self.each, wanted, strict=True), key=lambda pair: pair[0])]

    @property
    def num_rare(self) -> int | None:
        """Number of rarest words whose passages there is time to rank; None for all."""
        together = accumulate(sorted(self.each))
        return max(1, sum(rows <= _MOST_SCORED for rows in together)) if self.each else None


class PostgresRetriever:
    """A table of PostgreSQL. Thread-safe; may be used from several event loops.

    A connection is opened when the first call needs it.

    Args:
        dsn: The database's address: `postgresql://…`, or `key=value` pairs; the rest is taken from the `PG…` variables
            of the environment and from `~/.pgpass`.
        table: The table, with its schema if that is not in the search path; by default the one that `migrate` creates.
        columns: Its columns; required for a table of your own.
        filters: Columns that may be used in filters.
        config: The text search configuration, such as `english` or `simple`.
        embedder: The embedder of the column `vector`; None searches by words only.
        statement_timeout_s: Seconds after which the server cancels a statement.

    Raises:
        ConfigError: psycopg is not installed, or an argument is invalid.
    """

    def __init__(
        self,
        dsn: str,
        *,
        table: str = OWN_TABLE,
        columns: Columns | Mapping[str, str] | None = None,
        filters: Sequence[str] = (),
        config: str = "english",
        embedder: Embedder | None = None,
        statement_timeout_s: float = 5.0,
    ) -> None:
        try:
            from psycopg import sql
            from psycopg.conninfo import conninfo_to_dict
        except ImportError:
            raise ConfigError("PostgreSQL requires psycopg; install it: pip install 'rlmbox[postgres]'") from None
        if isinstance(columns, Mapping):
            try:
                columns = Columns(**columns)
            except TypeError as error:
                raise ConfigError(
                    f"columns maps id, text, start, title, search, vector, date, language: {error}"
                ) from None
        if columns is None and table != OWN_TABLE:
            raise ConfigError("a table of your own needs its columns: columns={'id': 'doc_id', 'text': 'body'}")
        if not statement_timeout_s > 0:
            raise ConfigError(f"statement_timeout_s must be more than 0, not {statement_timeout_s:g}")
        own = OWN_COLUMNS if embedder is None else replace(OWN_COLUMNS, vector=VECTOR)
        self._columns = columns or own
        if embedder is not None and self._columns.vector is None:
            raise ConfigError("an embedder needs the column of its vectors: columns={…, 'vector': 'embedding'}")
        try:
            parts = conninfo_to_dict(dsn)
        except Exception as error:  # noqa: BLE001 - psycopg's own error contains the whole address, with the password
            raise ConfigError(f"the address of the database is invalid: {type(error).__name__}") from None
        self._dsn, self._sql, self._table_name = dsn, sql, table
        self._table = sql.Identifier(*table.split("."))
        self._filters, self._config, self._embedder = tuple(filters), config, embedder
        self._timeout_s = statement_timeout_s
        self._label = f"postgresql:{parts.get('dbname') or parts.get('host') or 'localhost'}/{table}"
        self._lock = threading.Lock()
        self._idle: list[Connection[Row]] = []
        self._types: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"<PostgresRetriever {self._label}>"

    @property
    def name(self) -> str:
        """The database and the table."""
        return self._label

    @property
    def embedder(self) -> Embedder | None:
        """The embedder of its vectors; None if it is searched by words only."""
        return self._embedder

    async def search(self, query: str, *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by words; see `Retriever`."""
        return await to_thread.run_sync(self._with, lambda connection: self._search(connection, query, k, filters))

    async def vector(self, embedding: Sequence[float], *, k: int, filters: Filters) -> Sequence[SearchHit]:
        """Search by vectors; see `VectorRetriever`."""
        return await to_thread.run_sync(self._with, lambda connection: self._closest(connection, embedding, k, filters))

    async def get(self, document_id: str, *, start: int, size: int) -> DocumentPart:
        """Read a part of a document; see `Retriever`."""
        return await to_thread.run_sync(self._with, lambda connection: self._read(connection, document_id, start, size))

    async def info(self) -> IndexInfo:
        """Describe the table; see `Retriever`."""
        return await to_thread.run_sync(self._with, self._info)

    def check(self) -> None:
        """Check that the table can be read, before a question about it is paid for; waits for the server.

        Raises:
            RetrievalError: The server cannot be reached, or there is no such table or column.
        """
        self._give_back(self._take()[0])

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            await to_thread.run_sync(connection.close)

    # ---- statements -------------------------------------------------------------------------------------------

    def _search(self, connection: Connection[Row], query: str, k: int, filters: Filters) -> list[SearchHit]:
        query = _plain(query)
        # The server treats the name of a host, a mailbox or a file as one word.
        compounds = dict.fromkeys(each.strip(".,;:?!") for each in query.split() if _COMPOUND.search(each))
        wanted = list(dict.fromkeys((*compounds, *words(query))))[:_MOST_WORDS]
        if not wanted:
            return []
        guesses = self._guessed(connection, wanted)
        wanted = guesses.rarest_first(wanted)  # a row without a rare word is skipped without checking the others
        found: dict[tuple[str, int], SearchHit] = {}
        # First the passages with all words, then those with one of the rare words, then those with any.
        for bonus, operator, needed, first in self._steps(wanted, guesses):
            rows = self._ranked(connection, (wanted, needed, operator), first, k, filters)
            if first is not None and len(rows) < k:  # the index finds those, and rows that were not scanned
                continue
            for row in rows:
                hit = _hit(row, bonus, wanted)
                found.setdefault((hit.id, hit.start), hit)
            if len(found) >= k:
                break
        if len(found) < k and (parts := pairs(query)):
            spread = parts[:: -(-len(parts) // _MOST_PAIRS)]  # for a long question every second pair, or third
            for row in self._as_written(connection, spread, k, filters):
                hit = _hit(row, 0.0, wanted)
                found.setdefault((hit.id, hit.start), hit)
        return list(found.values())[:k]

    def _as_written(self, connection: Connection[Row], parts: Sequence[str], k: int, filters: Filters) -> list[Row]:
        """Return the passages with the most pairs of neighbouring characters: for scripts without word boundaries."""
        where, values = self._where(filters)
        one = self._sql.SQL("(strpos({text}, %s) > 0)::int").format(**self._parts())
        statement = self._sql.SQL(
            "SELECT {id}::text, rlmbox_start, {title}, left({text}, {seen}), length({text}), rlmbox_score, {fields}"
            " FROM (SELECT passage.*, {start} AS rlmbox_start, ({score}) / {number}::float8 AS rlmbox_score"
            " FROM {table} AS passage WHERE true{where}) AS found"
            " WHERE rlmbox_score > 0 ORDER BY rlmbox_score DESC, {id}, rlmbox_start LIMIT %s"
        ).format(
            score=self._sql.SQL(" + ").join([one] * len(parts)),
            number=self._sql.Literal(len(parts)),
            where=where,
            **self._parts(),
        )
        return connection.execute(statement, [*parts, *values, k]).fetchall()

    def _steps(
        self, wanted: Sequence[str], guesses: _Guesses
    ) -> Iterator[tuple[float, str, Sequence[str], int | None]]:
        """Yield the conditions on passages, one after the other.

        Each has its contribution to the score, the operator between the words, the required words, and the number of
        rows to scan in table order; None for the index.
        """
        passed = guesses.passed if self._columns.search is not None else None
        if passed is not None:
            yield 2.0, " && ", wanted, passed
        yield 2.0, " && ", wanted, None
        if len(wanted) > 1:
            rare = wanted[: guesses.num_rare]
            yield 1.0, " || ", rare, None
            if len(rare) < len(wanted):
                yield 0.0, " || ", wanted, None

    def _guessed(self, connection: Connection[Row], wanted: Sequence[str]) -> _Guesses:
        """Return the server's estimates of the numbers of rows: all, with all of some words, and with each."""
        rows = self._sql.SQL("(SELECT 1 FROM {table})").format(**self._parts())
        one = self._sql.SQL("(SELECT 1 FROM {table} WHERE {search} @@ plainto_tsquery({config}, %s))").format(
            config=self._regconfig, **self._parts()
        )
        every = self._sql.SQL("(SELECT 1 FROM {table} WHERE {search} @@ {all})").format(
            all=self._query(wanted, " && "), **self._parts()
        )
        parts = [rows, every, *([one] * len(wanted))]
        statement = self._sql.SQL("EXPLAIN (FORMAT JSON) SELECT {}").format(self._sql.SQL(", ").join(parts))
        row = connection.execute(statement, [*wanted, *wanted]).fetchone()
        plans = row[0][0]["Plan"].get("Plans", ()) if row else ()
        guesses = [float(plan["Plan Rows"]) for plan in plans]
        if len(guesses) != len(parts):  # a stop word in this language has no plan
            return _Guesses(0, 0, ())
        return _Guesses(guesses[0], guesses[1], guesses[2:])

    def _ranked(
        self,
        connection: Connection[Row],
        asked: tuple[Sequence[str], Sequence[str], str],
        first: int | None,
        k: int,
        filters: Filters,
    ) -> list[Row]:
        wanted, needed, operator = asked
        where, values = self._where(filters)
        table = self._sql.SQL("{table}" if first is None else "(SELECT * FROM {table} LIMIT {first})")
        statement = self._sql.SQL(
            "WITH asked AS MATERIALIZED (SELECT {all} AS rlmbox_all, {needed} AS rlmbox_needed)"
            " SELECT {id}::text, rlmbox_start, {title}, left({text}, {seen}), length({text}), rlmbox_score, {fields}"
            " FROM (SELECT * FROM (SELECT passage.*, {start} AS rlmbox_start, ts_rank({search}, rlmbox_all, 1) AS"
            " rlmbox_score FROM {rows} AS passage, asked WHERE {search} @@ rlmbox_needed{where} LIMIT {most}) AS found"
            " ORDER BY rlmbox_score DESC, {id}, rlmbox_start LIMIT %s) AS best"  # before any text is read
            " ORDER BY rlmbox_score DESC, {id}, rlmbox_start"
        ).format(
            all=self._query(wanted, operator),
            needed=self._query(needed, operator),
            rows=table.format(table=self._table, first=self._sql.Literal(first)),
            where=where,
            most=self._sql.Literal(_MOST_SCORED if first is None else _SCORED_OF_MANY),
            **self._parts(),
        )
        return connection.execute(statement, [*wanted, *needed, *values, k]).fetchall()

    def _query(self, wanted: Sequence[str], operator: str) -> Any:
        """Return the query expression for some words, each of which is a parameter."""
        one = self._sql.SQL("plainto_tsquery({}, %s)").format(self._regconfig)
        return self._sql.SQL("({})").format(self._sql.SQL(cast("Any", operator)).join([one] * len(wanted)))

    def _closest(
        self, connection: Connection[Row], embedding: Sequence[float], k: int, filters: Filters
    ) -> list[SearchHit]:
        column = self._columns.vector
        if column is None:
            raise RetrievalError(f"{self._label} has no column of vectors; search by words")
        where, values = self._where(filters)
        statement = self._sql.SQL(
            "SELECT {id}::text, {start}, {title}, left({text}, {seen}), length({text}),"
            " 1 - ({vector} <=> %s::vector), {fields} FROM {table} WHERE {vector} IS NOT NULL{where}"
            " ORDER BY {vector} <=> %s::vector LIMIT %s"
        ).format(where=where, vector=self._sql.Identifier(column), **self._parts())
        literal = vector_literal(embedding)
        rows = connection.execute(statement, [literal, *values, literal, k]).fetchall()
        return [_hit(row, 0.0, ()) for row in rows]

    def _read(self, connection: Connection[Row], name: str, start: int, size: int) -> DocumentPart:
        name = _plain(name)
        start, size = min(start, 2**31 - 2), min(size, 2**31 - 2)
        if self._columns.start is None:
            statement = self._sql.SQL(
                "SELECT 0, substr({text}, %s, %s), length({text}), {title} FROM {table} WHERE {id} = %s LIMIT 1"
            ).format(**self._parts())
            rows = self._of_id(connection, statement, [start + 1, size, name])
        else:
            # The last row determines the length of the document; it is included whatever part is requested.
            statement = self._sql.SQL(
                "SELECT {start}, {text}, max({start} + length({text})) OVER (), {title} FROM {table} WHERE {id} = %s"
                " ORDER BY {start}"
            ).format(**self._parts())
            wrapped = self._sql.SQL(
                "SELECT * FROM ({}) AS part(begins, body, chars, title)"
                " WHERE (begins < %s AND begins + length(body) > %s) OR begins = 0 LIMIT %s"
            ).format(statement)
            rows = self._of_id(connection, wrapped, [name, start + size, start, _MOST_ROWS])
        if not rows:
            raise KeyError(f"there is no document {name!r:.200} in the index; ids are those of hits")
        if self._columns.start is None:
            return DocumentPart(name, str(rows[0][3]), rows[0][1] or "", start, int(rows[0][2] or 0))
        pieces = []
        for begins, body, _, _ in rows:
            if begins < start + size and begins + len(body) > start:
                pieces.append(body[max(start - begins, 0) : start + size - begins])
        return DocumentPart(name, str(rows[0][3]), "".join(pieces), start, int(rows[0][2]))

    def _of_id(self, connection: Connection[Row], statement: Composable, values: list[object]) -> list[Row]:
        from psycopg import DataError

        try:
            return connection.execute(cast("Any", statement), values).fetchall()
        except DataError:  # the id is not a number, but ids are
            return []

    def _info(self, connection: Connection[Row]) -> IndexInfo:
        columns, parts = self._columns, self._parts()
        statement = self._sql.SQL("SELECT count(DISTINCT {id}), count(*) FROM {table}").format(**parts)
        row = connection.execute(statement).fetchone() or (0, 0)
        languages: tuple[str, ...] = ()
        if columns.language is not None:
            statement = self._sql.SQL(
                "SELECT DISTINCT {language}::text FROM {table} WHERE {language} IS NOT NULL ORDER BY 1 LIMIT 50"
            ).format(language=self._sql.Identifier(columns.language), **parts)
            languages = tuple(str(found[0]) for found in connection.execute(statement).fetchall())
        dates = None
        if columns.date is not None:
            statement = self._sql.SQL("SELECT min({date})::text, max({date})::text FROM {table}").format(
                date=self._sql.Identifier(columns.date), **parts
            )
            first, last = connection.execute(statement).fetchone() or (None, None)
            dates = (str(first), str(last)) if first is not None else None
        return IndexInfo(int(row[0]), int(row[1]), self._kinds(), languages, dates)

    def _parts(self) -> dict[str, Any]:
        """Return the parts of statements that are identifiers of this table, all given by the user."""
        sql, columns = self._sql, self._columns
        text, name = sql.Identifier(columns.text), sql.Identifier(columns.id)
        search: Any = sql.SQL("to_tsvector({}, {})").format(self._regconfig, text)
        pairs = [part for field in self._filters for part in (sql.Literal(field), sql.Identifier(field))]
        return {
            "id": name,
            "text": text,
            "table": self._table,
            "start": sql.Identifier(columns.start) if columns.start else sql.SQL("0"),
            "title": sql.SQL("{}::text").format(sql.Identifier(columns.title) if columns.title else name),
            "search": sql.Identifier(columns.search) if columns.search else search,
            "fields": sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs)),
            "seen": sql.Literal(_SEEN_CHARS),
        }

    @property
    def _regconfig(self) -> Any:
        return self._sql.SQL("{}::regconfig").format(self._sql.Literal(self._config))

    def _where(self, filters: Filters) -> tuple[Any, list[object]]:
        """Return the conditions of filters: columns that the user named, and values as parameters of their type."""
        check_filters(filters, self._kinds())
        sql, types = self._sql, self._types or {}
        conditions: list[Any] = []
        values: list[object] = []
        for field, wanted in filters.items():
            column, kind = sql.Identifier(field), sql.SQL(cast("Any", types[field]))  # the catalogue's name of the type
            items = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
            if types[field].endswith("[]"):
                if isinstance(wanted, Mapping):
                    raise ValueError(f"{field!r} is a list, which has no bounds; give a value, or a list of values")
                conditions.append(sql.SQL(" AND {} && %s::{}").format(column, kind))
                values.append([_written(value) for value in items])
            elif isinstance(wanted, Mapping):
                for bound, value in wanted.items():
                    operator = sql.SQL(cast("Any", _OPERATORS[bound]))
                    conditions.append(sql.SQL(" AND {} {} %s::{}").format(column, operator, kind))
                    values.append(_written(value))
            else:
                conditions.append(sql.SQL(" AND {} = ANY(%s::{}[])").format(column, kind))
                values.append([_written(value) for value in items])
        return sql.SQL("").join(conditions), values

    def _kinds(self) -> dict[str, str]:
        return {field: _kind((self._types or {}).get(field, "text")) for field in self._filters}

    # ---- connections ------------------------------------------------------------------------------------------

    def _with(self, work: Callable[[Connection[Row]], _Result]) -> _Result:
        """Use a connection; one that was closed meanwhile is replaced once, which is safe since nothing is written."""
        import psycopg

        for is_last in (False, True):
            connection, is_fresh = self._take()
            try:
                result = work(connection)
            except psycopg.OperationalError as error:
                is_gone = connection.closed
                connection.close()
                if is_gone and not (is_last or is_fresh):
                    continue
                raise self._failed(error) from None
            except psycopg.Error as error:
                self._give_back(connection)
                raise self._failed(error) from None
            except BaseException:
                self._give_back(connection)
                raise
            self._give_back(connection)
            return result
        raise RetrievalError(f"{self._label} cannot be reached")

    def _take(self) -> tuple[Connection[Row], bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        return self._connected(), True

    def _give_back(self, connection: Connection[Row]) -> None:
        if not connection.closed:
            with self._lock:
                self._idle.append(connection)

    def _connected(self) -> Connection[Row]:
        import psycopg

        timeout_ms = int(self._timeout_s * 1000)
        # Scans in table order return the same rows each time.
        options = f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms} -c synchronize_seqscans=off"
        try:
            connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=_CONNECT_S, options=options)
        except psycopg.Error as error:
            raise RetrievalError(
                f"{self._label} cannot be reached: {_line(error)}; see whether the server runs and the address is right"
            ) from None
        try:
            if self._types is None:
                self._types = self._described(connection)
        except psycopg.Error as error:
            connection.close()
            raise self._failed(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _described(self, connection: Connection[Row]) -> Mapping[str, str]:
        """Return the types of the table's columns, after checking that the named ones exist."""
        rows = connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            [".".join(_quoted(part) for part in self._table_name.split("."))],
        ).fetchall()
        if not rows:
            hint = "; make it with rlmbox.retrieval.migrate" if self._table_name == OWN_TABLE else ""
            raise RetrievalError(f"{self._label}: the table does not exist or cannot be read{hint}")
        types = {str(name): str(kind) for name, kind in rows}
        columns = self._columns
        named = (columns.id, columns.text, columns.start, columns.title, columns.search, columns.vector)
        for column in (*named, columns.date, columns.language, *self._filters):
            if column is not None and column not in types:
                hint = "; add it with rlmbox.retrieval.migrate(dsn, dimensions=…)" if column == VECTOR else ""
                raise RetrievalError(f"{self._label} has no column {column!r}; there are {', '.join(types)}{hint}")
        if types[columns.text] not in _TEXTS:
            raise RetrievalError(f"{self._label}: the column {columns.text!r} is of {types[columns.text]}, not of text")
        return types

    def _failed(self, error: Any) -> Exception:
        """Return the exception for a server error: `ValueError` for an invalid value, otherwise `RetrievalError`."""
        state = error.sqlstate or ""
        if state == "57014":
            return RetrievalError(
                f"{self._label} took longer than {self._timeout_s:g} s; ask for rarer words, or set a filter"
            )
        if state.startswith(_BAD_VALUE):
            return ValueError(_line(error))
        if state == "42501":
            return RetrievalError(f"{self._label} may not be read: {_line(error)}; grant SELECT to its user")
        return RetrievalError(f"{self._label} failed: {_line(error) or type(error).__name__}; try once more")


def _hit(row: Row, bonus: float, wanted: Sequence[str]) -> SearchHit:
    name, start, title, seen, chars, score, fields = row
    first, last = best_window(seen, wanted, SNIPPET_CHARS)
    return SearchHit(
        str(name), float(score) + bonus, str(title), seen[first:last], int(start), int(start) + int(chars), dict(fields)
    )


def _kind(written: str) -> str:
    if written in ("smallint", "integer", "bigint", "numeric", "real", "double precision"):
        return "number"
    if written == "boolean":
        return "boolean"
    return "date" if written.startswith(("date", "timestamp")) else "text"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else _plain(str(value))


def _plain(text: str) -> str:
    """Return a text without characters that PostgreSQL cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
