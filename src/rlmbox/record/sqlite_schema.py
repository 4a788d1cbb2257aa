"""The tables of a store in SQLite, and the migration of files in earlier formats.

The format of the file is its `user_version`. `MIGRATIONS` has a step from each earlier format to the next one; all
needed steps run in one transaction, so that a process that is killed meanwhile leaves the file unchanged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from rlmbox.errors import StoreError
from rlmbox.events import (
    AttemptFinished,
    QuestionAsked,
    RunStarted,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    kind_of,
)

STORE_FORMAT = 2
"""Version of the tables. That of the events in them is `events.FORMAT`."""

SEQUENCE_BITS = 32
"""An event's number is its run's, shifted by these, and its place in the run."""

KINDS_OF_SUMMARY = tuple(
    kind_of(kind)
    for kind in (RunStarted, SessionStarted, QuestionAsked, SessionFinished, SessionFailed, AttemptFinished)
)
"""The events that a list of runs needs."""

# An event's number is the key of its row, so that a commit writes the last page of one tree and not of three.
_TABLES = (
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT UNIQUE NOT NULL, changed_s REAL)",
    "CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL)",
    f"CREATE INDEX events_of_summary ON events (number) WHERE kind IN {KINDS_OF_SUMMARY!r}",
    "CREATE TABLE payloads (hash TEXT PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE payload_uses (run INTEGER NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (run, hash)) WITHOUT ROWID",
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate a file to this version's format; a newer one, or another program's file, is refused unchanged.

    Args:
        connection: The file, open.
        path: Its path, for the error.

    Raises:
        StoreError: A newer version of rlmbox wrote it, or it is another program's database.
    """
    if _version_of(connection, path) == STORE_FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version_of(connection, path)  # another process may have migrated it meanwhile
        if version == 0:
            _make(connection)
        else:
            for step in range(version, STORE_FORMAT):
                MIGRATIONS[step](connection)
        connection.execute(f"PRAGMA user_version = {STORE_FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a file opened for reading has this version's format.

    Args:
        connection: The file, open.
        path: Its path, for the error.

    Raises:
        StoreError: It has another format, or is another program's database.
    """
    version = _version_of(connection, path)
    if version != STORE_FORMAT:
        raise StoreError(f"{path} has format {version} and cannot be migrated to {STORE_FORMAT} in place; copy it")


def _version_of(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > STORE_FORMAT:
        raise StoreError(f"{path} has format {version}, and this rlmbox reads up to {STORE_FORMAT}; use a newer rlmbox")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} is a database of another program; give another path")
    return int(version)


def _make(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _from_1(connection: sqlite3.Connection) -> None:
    """Number the runs; in format 1 each event had the name of its run."""
    connection.execute("DROP INDEX events_of_summary")
    for table in ("runs", "events", "payload_uses", "payloads"):
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    _make(connection)
    connection.execute("INSERT INTO runs (run_id, changed_s) SELECT run_id, changed_s FROM runs_1 ORDER BY changed_s")
    connection.execute(
        f"INSERT INTO events SELECT (r.number << {SEQUENCE_BITS}) | e.sequence, e.kind, e.body "  # noqa: S608
        "FROM events_1 e JOIN runs r USING (run_id) ORDER BY 1"
    )
    connection.execute("INSERT INTO payloads SELECT hash, body FROM payloads_1")
    connection.execute(
        "INSERT INTO payload_uses SELECT r.number, u.hash FROM payload_uses_1 u JOIN runs r USING (run_id)"
    )
    for table in ("runs", "events", "payload_uses", "payloads"):
        connection.execute(f"DROP TABLE {table}_1")


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_1}
"""By format: the step to the next one."""
