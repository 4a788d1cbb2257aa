"""A file lock that is released as soon as its process is gone, however that ended."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from rlmbox.errors import StoreError

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_lock = threading.Lock()
_held: set[str] = set()  # the system's locks are per process: within it, this records what is held


class FileLease:
    """A hold on a file.

    Args:
        path: The file.
        descriptor: The file, open and locked.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the file; may be called more than once."""
        with _lock:
            if self._descriptor is not None:
                os.close(self._descriptor)  # releases the lock
                self._descriptor = None
                _held.discard(self._path)


def lock_of_run(store: Path, run_id: str) -> Path:
    """Return the file whose lock is the hold on a run.

    Args:
        store: The file in which the run is stored.
        run_id: The run.
    """
    name = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return store.with_name(f"{store.name}-locks") / name


def hold_file(path: Path, run_id: str) -> FileLease:
    """Lock a file, which is created if it does not exist.

    Args:
        path: The file.
        run_id: The run that it represents, for the error.

    Raises:
        StoreError: Another process holds it, or it cannot be created.
    """
    key = str(path.absolute())
    with _lock:
        if key in _held:
            raise _busy(run_id)
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}; give another path with --store") from None
        try:
            _take(descriptor)
        except OSError:
            os.close(descriptor)
            raise _busy(run_id) from None
        _held.add(key)
        return FileLease(key, descriptor)


def _take(descriptor: int) -> None:
    # A record lock rather than flock: a forked process, such as a sandbox's, does not inherit it.
    if fcntl is not None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)


def _busy(run_id: str) -> StoreError:
    return StoreError(f"another process is at work on the run {run_id}; wait until it has ended")


def _forget_in_child() -> None:
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
