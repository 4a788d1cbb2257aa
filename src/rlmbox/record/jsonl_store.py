"""Events as JSON Lines: the format of `--trace` and `rlmbox export`, and a store over such a file."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import anyio.to_thread

from rlmbox.errors import StoreError
from rlmbox.events import Event, from_json, to_json
from rlmbox.record.file_store import FileStore
from rlmbox.record.journal import SYNC_WITHIN_S, Lease
from rlmbox.record.private_file import open_private
from rlmbox.record.summary import RunSummary, summary_of
from rlmbox.record.writer_thread import WriterThread

_CHUNK_BYTES = 1 << 20


def line_of(event: Event) -> str:
    """Return an event as one line of JSON, without a newline.

    Args:
        event: The event.
    """
    form = to_json(event)
    line = json.dumps(form, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a lone surrogate, which other programs do not accept
        line = json.dumps(form)
    return line


def record_lines(text: bytes) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the number of each line of a trace, from 1, and the event's form on it.

    Empty lines are skipped, as is a truncated last line of a process that ended while writing.

    Args:
        text: The trace.

    Raises:
        StoreError: It is not a trace; the message names the line.
    """
    lines = text.split(b"\n")  # not `splitlines`: its other line ends may occur in a string
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) and number > 1:
                return
            raise StoreError(f"line {number}: it is not JSON, so this is not a trace") from None
        if not isinstance(found, dict):
            raise StoreError(f"line {number}: it is not an event, so this is not a trace")
        yield number, found


class JsonlStore(FileStore):
    """Stores runs in one file of JSON Lines that only its owner can read.

    It is intended for traces, which other programs read. Finding a run means reading the whole file, so many runs
    belong in a `SqliteStore`. A removed run is overwritten with spaces, because other processes may be appending to the
    file. A file in which no run was held is a trace beside a record, and is not synced to the disk.

    Args:
        path: The file; it is created with the first event.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(Path(path))
        self._lock = threading.Lock()
        self._file: int | None = None
        self._failure: StoreError | None = None
        self._writer = WriterThread(self._sync, _nothing, SYNC_WITHIN_S)
        self._is_record = False

    def write(self, event: Event) -> None:
        """Store an event; see `Store.write`."""
        line = f"{line_of(event)}\n".encode()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                if self._file is None:
                    self._file = self._opened()
                while line:  # a full disk takes a part, and only then fails
                    line = line[os.write(self._file, line) :]
            except OSError as error:
                self._failure = self._error("written", error)  # later events would follow half a line
                raise self._failure from None
        if self._is_record:
            self._writer.soon()

    async def sync(self) -> None:
        """Wait until everything written is on the disk; see `Store.sync`."""
        await self._writer.wait()

    def events(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `FileStore.events`."""
        return self._runs(run_id).get(run_id, [])

    def hold(self, run_id: str) -> Lease:
        """Acquire a run; see `Store.hold`."""
        lease = super().hold(run_id)
        self._is_record = True
        return lease

    async def runs(self) -> Sequence[RunSummary]:
        """Return a summary of each run; see `Store.runs`."""
        found = await anyio.to_thread.run_sync(self._runs, None)
        return sorted((summary_of(events) for events in found.values()), key=lambda run: -run.changed_s)

    def empty(self) -> None:
        """Create the file, or empty an existing one.

        Raises:
            StoreError: It cannot be written.
        """
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._opened()
                if os.fstat(self._file).st_size:
                    os.ftruncate(self._file, 0)
            except OSError as error:
                raise self._error("written", error) from None

    def close(self) -> None:
        """Close the file."""
        self._writer.stop()
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
        file = open_private(self.path, os.O_RDWR | os.O_APPEND)
        try:
            _cut_half_a_line(file)
        except BaseException:
            os.close(file)
            raise
        return file

    def _runs(self, only: str | None) -> dict[str, list[Event]]:
        """Return the events of each run in the file, or only of one, in order."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error("read", error) from None
        found: dict[str, list[Event]] = {}
        for number, form in _lines_of(self.path, text):
            run_id = str(form.get("run_id"))
            if only is None or run_id == only:
                try:
                    found.setdefault(run_id, []).append(from_json(form))
                except StoreError as error:
                    raise StoreError(f"{self.path}, line {number}: {error}") from None
        return found

    def _erase(self, run_id: str) -> None:
        """Overwrite a run's lines with spaces."""
        try:
            with self.path.open("r+b") as file:
                for line in iter(file.readline, b""):
                    if line.endswith(b"\n") and _is_of(line, run_id):
                        file.seek(-len(line), os.SEEK_CUR)
                        file.write(b" " * (len(line) - 1) + b"\n")
                        file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error("written", error) from None

    def _sync(self) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            file = None if self._file is None else os.dup(self._file)  # it may be closed during the sync
        if file is None:
            return
        try:
            os.fsync(file)
        except OSError as error:
            self._failure = self._error("written", error)
            raise self._failure from None
        finally:
            os.close(file)

    def _error(self, what: str, error: OSError) -> StoreError:
        return StoreError(f"{self.path} cannot be {what}: {error.strerror or error}; give another path, or make room")


def _nothing() -> None:
    """Do nothing after a sync."""


def _lines_of(path: Path, text: bytes) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        yield from record_lines(text)
    except StoreError as error:
        raise StoreError(f"{path}, {error}") from None


def _is_of(line: bytes, run_id: str) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("run_id") == run_id


def _cut_half_a_line(file: int) -> None:
    """Cut off the partial line left at the end of a file by a process that ended while writing."""
    end = size = os.fstat(file).st_size  # 0 if it is not a file, but a pipe
    while end:
        start = max(end - _CHUNK_BYTES, 0)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        os.ftruncate(file, end)
