"""The bytes of a text: in memory, or in a file that is read by position.

A file is never mapped here. Reading a page of a mapping beyond the end of a truncated file kills the process (SIGBUS),
at a moment that no check can exclude; `pread` returns fewer bytes instead, and is as fast (docs/decisions/0010).
"""

from __future__ import annotations

import os
import stat
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rlmbox.errors import ContextError

PIECE_BYTES = 1024 * 1024
_MAX_READ_BYTES = 1024**3
_MAX_THREADS = 4
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_SPECIAL_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ByteSource(Protocol):
    """Immutable bytes, read by position.

    Attributes:
        size_bytes: Their number.
    """

    size_bytes: int

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes between two valid positions."""
        ...

    def read_into(self, buffer: bytearray, begin: int, end: int) -> None:
        """Copy the bytes between two positions to the beginning of a buffer that is large enough."""
        ...


class InMemory:
    """Bytes in memory."""

    __slots__ = ("data", "size_bytes")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes between two positions."""
        return self.data[begin:end]

    def read_into(self, buffer: bytearray, begin: int, end: int) -> None:
        """Copy the bytes between two positions to the beginning of a buffer."""
        memoryview(buffer)[: end - begin] = memoryview(self.data)[begin:end]


class InFile:
    """Bytes of a regular file, from an offset to its end.

    After every read, the file's size and modification time are checked, so that the bytes are those of the file when it
    was opened. A change that leaves both as they were goes undetected: one within the same tick of the file system's
    clock as the last change before the opening, or through another program's mapping that has not been written back.

    Attributes:
        path: The path under which the file was opened.
        label: Its name in errors.
        offset: Position in the file of the first byte.
        size_bytes: Number of bytes from there on.
        stamp: Device, inode, size and modification time in nanoseconds, which identify one state of one file.
    """

    def __init__(self, path: Path, *, label: str | None = None, follow: bool = True) -> None:
        """Open a file.

        Args:
            path: Its path.
            label: Its name in errors; None for the path.
            follow: Whether the path may be a link; False if it was resolved before, and may have been replaced since.

        Raises:
            ContextError: It does not exist, cannot be read, or is not a regular file.
        """
        self.path = path
        self.label = label or str(path)
        self.offset = 0
        self._descriptor = _open(path, self.label, 0 if follow else _NO_FOLLOW)
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)
        self._lock = threading.Lock()
        status = os.fstat(self._descriptor)
        self._size = self.size_bytes = status.st_size
        self.stamp = _stamp(status)

    def remove_when_closed(self) -> None:
        """Remove the file once it is closed in this process."""
        weakref.finalize(self, _remove, str(self.path))

    def skip(self, size_bytes: int) -> None:
        """Skip bytes at the beginning, such as a byte order mark; must be called before anything is read."""
        self.offset += size_bytes
        self.size_bytes -= size_bytes

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes between two positions.

        Raises:
            ContextError: The file changed or can no longer be read.
        """
        pieces = []
        while begin < end:
            pieces.append(self._read(min(end - begin, _MAX_READ_BYTES), begin + self.offset))
            if not pieces[-1]:
                raise self._changed("became shorter")
            begin += len(pieces[-1])
        self.check()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_to_end(self, most_bytes: int) -> bytes:
        """Return the content of a file whose reported size is 0, such as those of `/proc`.

        Args:
            most_bytes: Maximum number of bytes to read.

        Raises:
            ContextError: The file cannot be read.
        """
        pieces, size = [b""], 0
        while size < most_bytes and (piece := self._read(PIECE_BYTES, size)):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def read_into(self, buffer: bytearray, begin: int, end: int) -> None:
        """Copy the bytes between two positions to the beginning of a buffer.

        Raises:
            ContextError: The file changed or can no longer be read.
        """
        if not hasattr(os, "preadv"):
            buffer[: end - begin] = self.read(begin, end)
            return
        view, done = memoryview(buffer)[: end - begin], 0
        while done < end - begin:
            try:
                count = os.preadv(self._descriptor, [view[done:]], begin + done + self.offset)
            except OSError as error:
                raise unreadable(self.label, error) from None
            if not count:
                raise self._changed("became shorter")
            done += count
        self.check()

    def _read(self, size: int, position: int) -> bytes:
        try:
            if hasattr(os, "pread"):
                return os.pread(self._descriptor, size, position)
            with self._lock:
                os.lseek(self._descriptor, position, os.SEEK_SET)
                return os.read(self._descriptor, size)
        except OSError as error:
            raise unreadable(self.label, error) from None

    def check(self) -> None:
        """Check that the file has not changed since it was opened.

        Raises:
            ContextError: It has changed.
        """
        try:
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise unreadable(self.label, error) from None
        if _stamp(status) != self.stamp:
            raise self._changed("became shorter" if status.st_size < self._size else "changed")

    def _changed(self, how: str) -> ContextError:
        return ContextError(f"{self.label}: {how} while it was in use; make a copy and give that")

    def duplicate(self) -> int:
        """Return a read-only descriptor of the opened file itself, which the caller closes.

        Raises:
            ContextError: The file has changed.
        """
        self.check()
        return os.dup(self._descriptor)


@dataclass(frozen=True, slots=True)
class Backing:
    """The range of a file on disk that holds a text as valid UTF-8.

    A process that maps it is killed by SIGBUS if the file is truncated meanwhile: only map it in expendable processes.

    Attributes:
        file: The opened file.
        offset: Position in the file of the text's first byte.
        size_bytes: Length of the text in bytes.
        is_ascii: Whether each character is one byte.
    """

    file: InFile
    offset: int
    size_bytes: int
    is_ascii: bool

    @property
    def path(self) -> Path:
        """The path under which the file was opened, which may name another file by now."""
        return self.file.path

    def open(self) -> int:
        """Return a read-only descriptor of the file, which the caller closes.

        It covers the whole file, and shares its position with other descriptors: use `pread` or a mapping.

        Raises:
            ContextError: The file has changed since it was opened.
        """
        return self.file.duplicate()

    def check(self) -> None:
        """Check that the file has not changed since it was opened.

        Raises:
            ContextError: It has changed.
        """
        self.file.check()


def threads() -> int:
    """Return the number of threads for work on a text."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_THREADS, available)


def pieces(source: ByteSource, begin: int, end: int, size_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield the bytes between two positions, in pieces."""
    for at in range(begin, end, size_bytes):
        yield source.read(at, min(at + size_bytes, end))


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open(path: Path, label: str, flags: int) -> int:
    # Non-blocking, and checked after opening, because the name may refer to something else by then.
    try:
        descriptor = os.open(path, _OPEN_FLAGS | flags)
    except (FileNotFoundError, NotADirectoryError):
        raise missing(label) from None
    except OSError as error:
        if stat.S_ISSOCK(_mode(path)):  # cannot be opened at all
            raise special(label, stat.S_IFSOCK) from None
        raise unreadable(label, error) from None
    except ValueError:
        raise not_a_path(label) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise special(label, mode)
    return descriptor


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _remove(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)  # noqa: PTH108 - called at interpreter shutdown, when little of Python is left


def missing(label: str) -> ContextError:
    """Return the error for a path that does not exist."""
    return ContextError(f"{label}: no such file or directory; check the path")


def not_a_path(label: str) -> ContextError:
    """Return the error for a path with a NUL character."""
    return ContextError(f"{label!r}: is not a path; it has a NUL character")


def unreadable(label: str, error: OSError) -> ContextError:
    """Return the error for a file that cannot be read."""
    why = error.strerror or type(error).__name__
    return ContextError(f"{label}: cannot be read ({why}); check its permissions or give another path")


def special(label: str, mode: int) -> ContextError:
    """Return the error for a path that is not a regular file."""
    kind = "a directory" if stat.S_ISDIR(mode) else "a special file"
    kind = next((name for test, name in _SPECIAL_KINDS if test(mode)), kind)
    return ContextError(f"{label}: is {kind}, not a file; write its content to a file and give that")
