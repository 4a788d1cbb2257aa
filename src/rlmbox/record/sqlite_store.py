"""Runs in one SQLite file.

An event that something depends on is in the write-ahead log before `write` returns, so that it survives the process;
`sync` waits until the disk has it, one `fdatasync` for all who wait. What nobody waits for is on the disk within
`SYNC_WITHIN_S`. Long strings stand in a table of their own, once, by their hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from rlmbox.errors import StoreError
from rlmbox.events import (
    AttemptFinished,
    CellExecuted,
    CellStarted,
    Event,
    ModelRequested,
    ObservationMade,
    QuestionAsked,
    RunStarted,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    SubcallStarted,
    TurnFinished,
    from_json,
    kind_of,
    to_json,
)
from rlmbox.record.journal import Lease
from rlmbox.record.process_lock import hold_file
from rlmbox.record.summary import RunSummary, summary_of

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SYNC_WITHIN_S = 0.05
"""Seconds within which everything that was written is on the disk, also where nobody waits for it."""

KEPT_DAYS = 30
KEPT_BYTES = 1_000_000_000

_FORMAT = 1
_IDLE_S = 1.0
_BUSY_S = 30.0
_PAYLOAD_CHARS = 8_192
_REFERENCE, _LITERAL = "$payload", "$literal"
# They can be told anew from the events before them, and go with the next event that something depends on.
_MAY_WAIT = (
    RunStarted,
    SessionStarted,
    QuestionAsked,
    ModelRequested,
    SubcallStarted,
    CellStarted,
    CellExecuted,
    ObservationMade,
    TurnFinished,
    AttemptFinished,  # with the reply that it paid for, or neither
)
_OF_SUMMARY = tuple(
    kind_of(kind)
    for kind in (RunStarted, SessionStarted, QuestionAsked, SessionFinished, SessionFailed, AttemptFinished)
)
_SCHEMA = f"""
CREATE TABLE runs (run_id TEXT PRIMARY KEY, changed_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    run_id TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run_id, sequence)
) WITHOUT ROWID;
CREATE INDEX events_of_summary ON events (run_id, sequence) WHERE kind IN {_OF_SUMMARY!r};
CREATE TABLE payloads (hash TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE payload_uses (run_id TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (run_id, hash)) WITHOUT ROWID;
PRAGMA user_version = {_FORMAT};
"""

_Row = tuple[str, int, str, str]


class SqliteStore:
    """Keeps runs in a file, which only its owner can read.

    A store may be used from several threads and event loops, and several processes may use one file.

    Args:
        path: The file; it is made where it is missing.
        kept_days: Days after which a run that did not change is forgotten; None for never.
        kept_bytes: Size of the file from which on the oldest runs are forgotten; None for never.

    Attributes:
        path: The file.
        syncs: How often the disk was waited for.

    Raises:
        StoreError: The file cannot be opened, is no store, or a newer rlmbox wrote it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, kept_days: float | None = KEPT_DAYS, kept_bytes: int | None = KEPT_BYTES
    ) -> None:
        self.path = Path(path)
        self.syncs = 0
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._waiting: list[_Row] = []
        self._payloads: list[tuple[str, str, str]] = []
        self._written = self._synced = 0
        self._changed_s: dict[str, float] = {}
        self._wal: int | None = None
        self._syncer: threading.Thread | None = None
        self._wake = threading.Event()
        self._failure: StoreError | None = None
        self._connection = self._open()
        self._forget(kept_days, kept_bytes)

    def write(self, event: Event) -> None:
        """Take an event; see `Store.write`."""
        if self._failure is not None:
            raise self._failure
        body = json.dumps(self._without_payloads(to_json(event), event.run_id))
        with self._lock:
            self._waiting.append((event.run_id, event.sequence, event.kind, body))
            self._written += 1
            if not isinstance(event, _MAY_WAIT):
                self._flush()
        self._sync_soon()

    async def sync(self) -> None:
        """Return when the disk has everything that was written; see `Store.sync`."""
        await anyio.to_thread.run_sync(self._sync)

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `Store.read`."""
        return await anyio.to_thread.run_sync(self.events, run_id)

    def events(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; the blocking form of `read`.

        Args:
            run_id: The run.

        Raises:
            StoreError: The record is damaged, or a newer rlmbox wrote it.
        """
        return [from_json(body) for body in self.bodies(run_id)]

    def bodies(self, run_id: str) -> Iterator[dict[str, object]]:
        """Yield the events of a run in their JSON form, in order.

        Args:
            run_id: The run.

        Raises:
            StoreError: The record is damaged.
        """
        with self._lock, self._errors("read"):
            self._flush()
            query = "SELECT body FROM events WHERE run_id = ? ORDER BY sequence"
            rows = self._connection.execute(query, (run_id,)).fetchall()
        for (body,) in rows:
            yield self._decoded(body)

    def hold(self, run_id: str) -> Lease:
        """Take hold of a run; see `Store.hold`."""
        name = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return hold_file(self.path.with_name(f"{self.path.name}-locks") / name, run_id)

    async def runs(self) -> Sequence[RunSummary]:
        """Return what there is of each run; see `Store.runs`."""
        return await anyio.to_thread.run_sync(self._summaries)

    async def remove(self, run_id: str) -> None:
        """Forget a run; see `Store.remove`."""
        lease = self.hold(run_id)
        try:
            await anyio.to_thread.run_sync(self._remove, (run_id,))
        finally:
            lease.release()

    def close(self) -> None:
        """Make everything durable and close the file."""
        with self._lock:
            if self._failure is None:
                self._sync()
            self._failure = self._failure or StoreError(f"the store {self.path} is closed")
            if self._wal is not None:
                os.close(self._wal)
                self._wal = None
            self._connection.close()

    # ---- opening ----------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        with self._errors("open"):
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to this version's format; a later format is refused, and another program's file left alone."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._version_of(connection) == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _version_of(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _FORMAT:
            raise StoreError(
                f"{self.path} has format {version}, and this rlmbox reads up to {_FORMAT}; use a newer rlmbox"
            )
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(f"{self.path} is a database of another program; give another path")
        return int(version)

    def _forget(self, kept_days: float | None, kept_bytes: int | None) -> None:
        """Remove the runs that are too old, and the oldest ones while there is too much."""
        with self._lock, self._errors("open"):
            rows = self._connection.execute("SELECT run_id, changed_s FROM runs ORDER BY changed_s").fetchall()
            oldest_s = time.time() - kept_days * 86_400 if kept_days is not None else 0.0
            self._remove_unheld([run_id for run_id, changed_s in rows if changed_s < oldest_s])
            left = [run_id for run_id, changed_s in rows if changed_s >= oldest_s]
            while kept_bytes is not None and len(left) > 1 and self._size_bytes() > kept_bytes:
                self._remove_unheld([left.pop(0)])

    def _remove_unheld(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            with contextlib.suppress(StoreError):
                lease = self.hold(run_id)
                try:
                    self._remove((run_id,))
                finally:
                    lease.release()

    def _size_bytes(self) -> int:
        one = {
            name: self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        }
        return int((one["page_count"] - one["freelist_count"]) * one["page_size"])

    # ---- writing ----------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what waits into the write-ahead log, where it survives the process; the lock is held."""
        if not self._waiting:
            return
        now_s = time.time()
        # To the second is enough for what is kept and what comes first in a list, and saves a page in each commit.
        changed = {row[0]: now_s for row in self._waiting if abs(now_s - self._changed_s.get(row[0], 0.0)) > 1.0}
        try:
            with self._errors("written"):
                self._connection.execute("BEGIN IMMEDIATE")
                for run_id, digest, text in self._payloads:
                    blob = text.encode("utf-8", "surrogatepass")
                    self._connection.execute("INSERT OR IGNORE INTO payloads VALUES (?, ?)", (digest, blob))
                    self._connection.execute("INSERT OR IGNORE INTO payload_uses VALUES (?, ?)", (run_id, digest))
                self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", self._waiting)
                self._connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?)", changed.items())
                self._connection.execute("COMMIT")
                self._changed_s |= changed
        except StoreError as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self._failure = error  # what comes after would stand in a record with a gap
            raise
        self._waiting.clear()
        self._payloads.clear()

    def _sync(self) -> None:
        """Wait until the disk has what was written until now; who comes meanwhile is served by the next one."""
        wanted = self._written
        with self._sync_lock:
            if self._synced >= wanted:
                return
            with self._lock:
                if self._failure is not None:
                    raise self._failure
                self._flush()
                reached = self._written
                if self._wal is None:
                    with self._errors("written"):
                        self._wal = os.open(f"{self.path}-wal", os.O_RDWR)
            with self._errors("written"):
                _to_disk(self._wal)
            self._synced, self.syncs = reached, self.syncs + 1

    def _sync_soon(self) -> None:
        """Have a thread of its own sync what nobody waits for."""
        self._wake.set()
        if self._syncer is None or not self._syncer.is_alive():
            self._syncer = threading.Thread(target=self._sync_now_and_then, name="rlmbox-store", daemon=True)
            self._syncer.start()

    def _sync_now_and_then(self) -> None:
        while self._wake.wait(_IDLE_S):
            time.sleep(SYNC_WITHIN_S)
            self._wake.clear()
            try:
                self._sync()
            except StoreError as error:
                self._failure = self._failure or error  # whoever writes next is told
                return

    def _remove(self, run_ids: Sequence[str]) -> None:
        with self._lock, self._errors("written"):
            self._flush()
            self._connection.execute("BEGIN IMMEDIATE")
            for run_id in run_ids:
                for table in ("events", "runs", "payload_uses"):
                    self._connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608
            unused = "DELETE FROM payloads WHERE hash NOT IN (SELECT hash FROM payload_uses)"
            self._connection.execute(unused)
            self._connection.execute("COMMIT")
            for run_id in run_ids:
                self._changed_s.pop(run_id, None)

    # ---- reading ----------------------------------------------------------------------------------------------

    def _summaries(self) -> Sequence[RunSummary]:
        found = []
        with self._lock, self._errors("read"):
            self._flush()
            rows = self._connection.execute("SELECT run_id FROM runs ORDER BY changed_s DESC").fetchall()
            marks = ", ".join(f"'{kind}'" for kind in _OF_SUMMARY)
            for (run_id,) in rows:
                bodies = self._connection.execute(
                    f"SELECT body FROM events WHERE run_id = ? AND kind IN ({marks}) ORDER BY sequence",  # noqa: S608
                    (run_id,),
                ).fetchall()
                count = self._connection.execute("SELECT count(*) FROM events WHERE run_id = ?", (run_id,))
                found.append((bodies, count.fetchone()[0]))
        return [
            summary_of([from_json(self._decoded(body)) for (body,) in bodies], count=count)
            for bodies, count in found
            if bodies
        ]

    def _decoded(self, body: str) -> dict[str, object]:
        try:
            whole = self._with_payloads(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.path}: an event is damaged: {error}") from None
        if not isinstance(whole, dict):
            raise StoreError(f"{self.path}: an event is damaged")
        return whole

    def _without_payloads(self, value: object, run_id: str) -> object:
        """Return a JSON value with references in place of its long strings, which are set aside."""
        if isinstance(value, str):
            if len(value) <= _PAYLOAD_CHARS:
                return value
            digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
            with self._lock:
                self._payloads.append((run_id, digest, value))
            return {_REFERENCE: digest}
        if isinstance(value, dict):
            inside = {key: self._without_payloads(item, run_id) for key, item in value.items()}
            return {_LITERAL: inside} if value.keys() & {_REFERENCE, _LITERAL} else inside
        if isinstance(value, list):
            return [self._without_payloads(item, run_id) for item in value]
        return value

    def _with_payloads(self, value: object) -> object:
        if isinstance(value, dict):
            if len(value) == 1 and isinstance(value.get(_REFERENCE), str):
                return self._payload(value[_REFERENCE])
            inside = value[_LITERAL] if len(value) == 1 and isinstance(value.get(_LITERAL), dict) else value
            return {key: self._with_payloads(item) for key, item in inside.items()}
        if isinstance(value, list):
            return [self._with_payloads(item) for item in value]
        return value

    def _payload(self, digest: str) -> str:
        with self._lock, self._errors("read"):
            row = self._connection.execute("SELECT body FROM payloads WHERE hash = ?", (digest,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: a text of the record is missing; the file is damaged")
        return bytes(row[0]).decode("utf-8", "surrogatepass")

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn what goes wrong into one line that says which file, why, and what to do."""
        said = {"open": "cannot be opened", "read": "cannot be read", "written": "cannot be written"}[what]
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path} {said}: {error}; {_remedy(error)}") from None
        except OSError as error:
            raise StoreError(f"{self.path} {said}: {error.strerror or error}; give another path with --store") from None


def _remedy(error: sqlite3.DatabaseError) -> str:
    text = str(error)
    if "full" in text or "I/O" in text:
        return "make room on the disk and resume the run"
    if "locked" in text:
        return "another process holds it; try again when it has ended"
    if "malformed" in text or "not a database" in text:
        return "the file is damaged or no store; give another path with --store"
    return "give another path with --store"


def _to_disk(descriptor: int) -> None:
    """Wait until the disk itself has what was written."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:  # macOS: fsync alone leaves it in the drive's own cache
        fcntl.fcntl(descriptor, full)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)
