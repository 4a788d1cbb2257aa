"""A store of runs in one SQLite file.

Events that cannot be reproduced, such as a request about to be sent or a reply, are in the write-ahead log when `write`
returns, together with all earlier events, so that they survive the process. A thread of the store syncs the disk, with
one `fdatasync` for all waiters; events without a waiter are synced within `SYNC_WITHIN_S`. Long strings are stored
once, in a separate table, by their hash.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
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
    RunResumed,
    SessionFailed,
    SessionFinished,
    SessionStarted,
    TextGuarded,
    TurnFinished,
    kind_of,
)
from rlmbox.record.bodies import body_of, event_of
from rlmbox.record.file_store import FileStore
from rlmbox.record.journal import MAY_WAIT, SYNC_WITHIN_S
from rlmbox.record.sqlite_schema import KINDS_OF_SUMMARY, SEQUENCE_BITS, check_version, migrate
from rlmbox.record.summary import RunSummary, summary_of
from rlmbox.record.writer_thread import WriterThread

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

KEPT_DAYS = 30
KEPT_BYTES = 1_000_000_000

_BUSY_S = 30.0
_LOG_CHARS = 1_500_000
_ROOM_BYTES = 1 << 20
_ROWS_OF_STATEMENT = 64
_MOST_PREPARED = 8
_PLACES = "(?,?,?)," * _ROWS_OF_STATEMENT

_Row = tuple[str, int, str, str]

_STAYS_AS_IT_IS = frozenset(
    {
        AttemptFinished,
        CellExecuted,
        CellStarted,
        ModelRequested,
        ObservationMade,
        QuestionAsked,
        SessionStarted,
        TextGuarded,
        TurnFinished,
    }
)
"""Events that are put into their text all at once, with the next one that does not wait: one after the other that takes
less, since other work in between would take the processor's caches. A call's arguments and its result are not among
them, because a function of the user's may change its list afterwards."""


class SqliteStore(FileStore):
    """Stores runs in a file that only its owner can read.

    A store may be used from several threads and event loops, and several processes may use one file.

    Args:
        path: The file; it is created if it does not exist.
        kept_days: Days after which an unchanged run is removed; None for never.
        kept_bytes: File size above which the oldest runs are removed; None for never.
        read_only: Whether the file is only read, for one that cannot be written or is in a read-only folder.

    Attributes:
        path: The file.
        syncs: Number of syncs to the disk.

    Raises:
        StoreError: The file cannot be opened, is not a store, or a newer version of rlmbox wrote it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        kept_days: float | None = KEPT_DAYS,
        kept_bytes: int | None = KEPT_BYTES,
        read_only: bool = False,
    ) -> None:
        super().__init__(Path(path))
        self.syncs = 0
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._waiting: list[_Row | Event] = []
        self._payloads: list[tuple[str, str, str]] = []
        self._prepared: dict[int, tuple[Event, _Row, list[tuple[str, str, str]]]] = {}
        self._written = self._synced = 0
        self._since_folded = 0
        self._room_bytes = 0
        self._changed_s: dict[str, float] = {}
        self._numbers: dict[str, int] = {}
        self._wal: int | None = None
        self._failure: StoreError | None = None
        self._writer = WriterThread(self._sync, self._tidy, SYNC_WITHIN_S)
        if read_only:
            self._failure = StoreError(f"{self.path} cannot be written, only read; give another path with --store")
        self._connection = self._open_to_read() if read_only else self._open()
        # From Python 3.13 on, a connection that is merely dropped causes a warning.
        weakref.finalize(self, self._connection.close).atexit = False
        if not read_only:
            self._forget(kept_days, kept_bytes)

    def write(self, event: Event) -> None:
        """Store an event; see `Store.write`."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._written += 1
            prepared = self._prepared.pop(id(event), None) if self._prepared else None
            if prepared is not None and prepared[0] is event:
                self._waiting.append(prepared[1])
                self._payloads += prepared[2]
            elif type(event) in _STAYS_AS_IT_IS:  # all of these may wait
                self._waiting.append(event)
            else:
                self._waiting.append(self._row_of(event))
                if not isinstance(event, MAY_WAIT):
                    self._commit()
        self._writer.soon()

    def prepare(self, event: Event) -> None:
        """Serialize an event that is written next, in a thread: others write meanwhile.

        Args:
            event: The event, as it will be passed to `write`.
        """
        payloads: list[tuple[str, str, str]] = []
        body = body_of(event, lambda digest, text: payloads.append((event.run_id, digest, text)))
        for cancelled in list(self._prepared)[:-_MOST_PREPARED]:
            self._prepared.pop(cancelled, None)
        self._prepared[id(event)] = event, (event.run_id, event.sequence, event.kind, body), payloads

    async def sync(self) -> None:
        """Wait until everything written is on the disk; see `Store.sync`."""
        await self._writer.wait()

    def events(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `FileStore.events`."""
        with self._lock, self._errors("read"):
            self._commit()
            number = self._number_of(run_id)
            query = "SELECT body FROM events WHERE number BETWEEN ? AND ? ORDER BY number"
            rows = self._connection.execute(query, _numbers_of(number)).fetchall() if number is not None else []
        return [self._event_of(body) for (body,) in rows]

    def is_empty(self) -> bool:
        """Return True if no run is stored yet.

        Raises:
            StoreError: The file is damaged.
        """
        with self._lock, self._errors("read"):
            return self._connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None

    async def runs(self) -> Sequence[RunSummary]:
        """Return a summary of each run; see `Store.runs`."""
        return await anyio.to_thread.run_sync(self._summaries)

    def close(self) -> None:
        """Make everything durable and close the file."""
        self._writer.stop()
        with self._lock:
            if self._failure is None:
                self._commit()
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
            connection = self._connected()
            with _closed_on_error(connection):
                migrate(connection, self.path)
            return connection

    def _open_to_read(self) -> sqlite3.Connection:
        log = Path(f"{self.path}-wal")
        # A log beside the file is read with it, for which SQLite needs its index file; otherwise it does not.
        how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        with self._errors("read"):
            uri = f"{self.path.absolute().as_uri()}?{how}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            with _closed_on_error(connection):
                check_version(connection, self.path)
            return connection

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with _closed_on_error(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # only `_sync` waits for the disk
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # `_fold` does it when nobody waits
        return connection

    def _forget(self, kept_days: float | None, kept_bytes: int | None) -> None:
        """Remove the runs that are too old, and the oldest ones while the file is too large."""
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
                self._remove(run_id)

    def _size_bytes(self) -> int:
        one = {
            name: self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        }
        return int((one["page_count"] - one["freelist_count"]) * one["page_size"])

    # ---- writing ----------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write pending events to the log, where they survive the process."""
        with self._lock:
            if not self._waiting:
                return
            if self._failure is not None:
                raise self._failure
            rows = [each if isinstance(each, tuple) else self._row_of(each) for each in self._waiting]
            payloads = self._payloads
            now_s, known_s = time.time(), self._changed_s
            # Seconds are precise enough for retention and sorting, and save a page in each commit.
            changed = {row[0] for row in rows if abs(now_s - known_s.get(row[0], 0.0)) > 1.0}
            try:
                if changed or payloads or len(rows) > _ROWS_OF_STATEMENT:
                    self._insert(rows, changed, now_s)
                else:  # a single statement is its own transaction, quicker than an explicit one
                    values = [value for row in rows for value in self._values_of(row)]
                    places = _PLACES[: 8 * len(rows) - 1]
                    self._connection.execute(f"INSERT INTO events VALUES {places}", values)  # noqa: S608 - places only
            except (sqlite3.DatabaseError, OSError) as error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                self._failure = self._error("written", error)  # later events would follow a gap in the record
                raise self._failure from None
            for name in changed:
                known_s[name] = now_s
            for row in rows:
                self._since_folded += len(row[3])
            self._waiting = []
            if payloads:
                self._since_folded += sum(len(text) for _, _, text in payloads)
                self._payloads = []

    def _row_of(self, event: Event) -> _Row:
        run_id = event.run_id
        body = body_of(event, lambda digest, text: self._payloads.append((run_id, digest, text)))
        return run_id, event.sequence, event.kind, body

    def _insert(self, rows: Iterable[_Row], changed: Iterable[str], now_s: float) -> None:
        """Write rows in one transaction, with the runs' modification times.

        Args:
            rows: The rows of the events.
            changed: The runs whose modification time is written.
            now_s: That time.
        """
        numbers, connection = self._numbers, self._connection
        connection.execute("BEGIN IMMEDIATE")
        for name in changed:  # also checks that it still exists, since others may have removed it
            numbers[name] = self._number_now(name, now_s)
        for run_id, digest, text in self._payloads:
            blob = text.encode("utf-8", "surrogatepass")
            connection.execute("INSERT OR IGNORE INTO payloads VALUES (?, ?)", (digest, blob))
            connection.execute("INSERT OR IGNORE INTO payload_uses VALUES (?, ?)", (numbers[run_id], digest))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", map(self._values_of, rows))
        connection.execute("COMMIT")

    def _values_of(self, row: _Row) -> tuple[int, str, str]:
        run_id, sequence, kind, body = row
        return self._numbers[run_id] << SEQUENCE_BITS | sequence, kind, body

    def _number_now(self, run_id: str, changed_s: float) -> int:
        """Return the number of a run, assigning one if it has none; called within a transaction."""
        number = self._number_of(run_id)
        if number is None:
            new = "INSERT INTO runs (run_id, changed_s) VALUES (?, ?) RETURNING number"
            return int(self._connection.execute(new, (run_id, changed_s)).fetchone()[0])
        self._connection.execute("UPDATE runs SET changed_s = ? WHERE number = ?", (changed_s, number))
        return number

    def _number_of(self, run_id: str) -> int | None:
        row = self._connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return None if row is None else int(row[0])

    def _sync(self) -> None:
        """Sync what was written so far to the disk; writes made meanwhile wait for the next sync."""
        with self._sync_lock:
            with self._lock:
                if self._failure is not None:
                    raise self._failure
                self._commit()
                reached = self._written
                if self._synced >= reached:
                    return
                if self._wal is None:
                    with self._errors("written"):
                        self._wal = os.open(f"{self.path}-wal", os.O_RDWR)
            try:
                with self._errors("written"):
                    self._wait_for_disk(self._wal)
            except StoreError as error:
                self._failure = error
                raise
            self._synced, self.syncs = reached, self.syncs + 1

    def _tidy(self) -> None:
        """Preallocate the log, and keep its length within bounds."""
        if self._wal is not None:
            self._make_room(self._wal)
        if self._since_folded > _LOG_CHARS:
            self._since_folded = 0
            threading.Thread(target=self._fold, name="rlmbox-store-fold", daemon=True).start()

    def _wait_for_disk(self, descriptor: int) -> None:
        """Sync a descriptor to the disk itself."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:  # macOS: fsync leaves the data in the drive's cache
            fcntl.fcntl(descriptor, full)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def _make_room(self, wal: int) -> None:
        """Extend the log with zeros once it has outgrown its room, so that the next syncs change no length.

        A sync that changes the length of a file takes several times as long on most file systems, because it waits for
        their own journal. To SQLite the zeros are no frames; it looks for one only after the last frame. The log does
        not grow meanwhile, because this holds the lock that writers need.
        """
        size_bytes = os.fstat(wal).st_size
        if size_bytes <= self._room_bytes:
            return
        with self._lock, contextlib.suppress(sqlite3.Error, OSError):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                size_bytes = os.fstat(wal).st_size
                self._room_bytes = size_bytes + _ROOM_BYTES
                if os.pwrite(wal, bytes(_ROOM_BYTES), size_bytes) < _ROOM_BYTES:
                    os.ftruncate(wal, size_bytes)  # the disk is nearly full, so leave the rest to others
            finally:
                self._connection.execute("ROLLBACK")

    def _fold(self) -> None:
        """Checkpoint the write-ahead log into the file; writers continue meanwhile, and the log restarts after them."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connected()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # if it fails, it is repeated next time

    def _erase(self, run_id: str) -> None:
        with self._lock, self._errors("written"):
            self._commit()
            self._connection.execute("BEGIN IMMEDIATE")
            number = self._number_of(run_id)
            if number is not None:
                self._connection.execute("DELETE FROM events WHERE number BETWEEN ? AND ?", _numbers_of(number))
                self._connection.execute("DELETE FROM payload_uses WHERE run = ?", (number,))
                self._connection.execute("DELETE FROM runs WHERE number = ?", (number,))
            self._connection.execute("DELETE FROM payloads WHERE hash NOT IN (SELECT hash FROM payload_uses)")
            self._connection.execute("COMMIT")
            self._changed_s.pop(run_id, None)
            self._numbers.pop(run_id, None)

    # ---- reading ----------------------------------------------------------------------------------------------

    def _summaries(self) -> Sequence[RunSummary]:
        found = []
        marks = ", ".join(f"'{kind}'" for kind in KINDS_OF_SUMMARY)
        of_run = "SELECT {} FROM events WHERE number BETWEEN ? AND ?"
        with self._lock, self._errors("read"):
            self._commit()
            rows = self._connection.execute("SELECT number FROM runs ORDER BY changed_s DESC, number DESC").fetchall()
            for (number,) in rows:
                query = f"{of_run.format('body')} AND kind IN ({marks}) ORDER BY number"
                bodies = self._connection.execute(query, _numbers_of(number)).fetchall()
                count = self._connection.execute(of_run.format("count(*)"), _numbers_of(number))
                events = [self._event_of(body) for (body,) in bodies]
                found.append((events + self._resumed_since(number, events), count.fetchone()[0]))
        return [summary_of(events, count=count) for events, count in found if events]

    def _resumed_since(self, number: int, events: Sequence[Event]) -> list[Event]:
        """Return the event of a resume since a run ended, which no index contains."""
        ends = [each for each in events if isinstance(each, SessionFailed) and each.session_id == each.run_id]
        if not ends or isinstance(events[-1], SessionFinished):
            return []
        first, last = _numbers_of(number)
        query = "SELECT body FROM events WHERE number BETWEEN ? AND ? AND kind = ? LIMIT 1"
        later = (first + ends[-1].sequence, last, kind_of(RunResumed))
        return [self._event_of(body) for (body,) in self._connection.execute(query, later)]

    def _event_of(self, body: str) -> Event:
        try:
            return event_of(body, self._payload)
        except StoreError as error:
            raise StoreError(f"{self.path}: {error}") from None

    def _payload(self, digest: str) -> str:
        with self._lock, self._errors("read"):
            row = self._connection.execute("SELECT body FROM payloads WHERE hash = ?", (digest,)).fetchone()
        if row is None:
            raise StoreError("a text of the record is missing; the file is damaged")
        return bytes(row[0]).decode("utf-8", "surrogatepass")

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn errors into one line that names the file, the reason and the remedy."""
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._error(what, error) from None

    def _error(self, what: str, error: sqlite3.DatabaseError | OSError) -> StoreError:
        """Return an error in one line that names the file, the reason and the remedy."""
        said = {"open": "cannot be opened", "read": "cannot be read", "written": "cannot be written"}[what]
        if isinstance(error, OSError):
            return StoreError(f"{self.path} {said}: {error.strerror or error}; give another path with --store")
        return StoreError(f"{self.path} {said}: {error}; {_remedy(error)}")


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _numbers_of(run: int) -> tuple[int, int]:
    """Return the lowest and the highest number that an event of a run can have."""
    return run << SEQUENCE_BITS, (run + 1 << SEQUENCE_BITS) - 1


def _remedy(error: sqlite3.DatabaseError) -> str:
    text = str(error)
    if "full" in text or "I/O" in text:
        return "make room on the disk and resume the run"
    if "locked" in text:
        return "another process holds it; try again when it has ended"
    if "malformed" in text or "not a database" in text:
        return "the file is damaged or no store; give another path with --store"
    return "give another path with --store"
