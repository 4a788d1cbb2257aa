"""The base class of stores in a file: blocking work runs in a thread, and a file lock holds a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from rlmbox.events import Event
from rlmbox.record.journal import Lease
from rlmbox.record.process_lock import hold_file, lock_of_run


class FileStore(ABC):
    """Stores runs in a file that only its owner can read.

    Args:
        path: The file; it is created if it does not exist.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def events(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; the blocking form of `read`.

        Args:
            run_id: The run.

        Raises:
            StoreError: The file is damaged, or a newer version of rlmbox wrote it.
        """

    @abstractmethod
    def _erase(self, run_id: str) -> None:
        """Remove a run that this process holds."""

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `Store.read`."""
        return await anyio.to_thread.run_sync(self.events, run_id)

    def hold(self, run_id: str) -> Lease:
        """Acquire a run; see `Store.hold`."""
        return hold_file(lock_of_run(self.path, run_id), run_id)

    async def remove(self, run_id: str) -> None:
        """Remove a run; see `Store.remove`."""
        await anyio.to_thread.run_sync(self._remove, run_id)

    def _remove(self, run_id: str) -> None:
        lease = self.hold(run_id)
        try:
            self._erase(run_id)
        finally:
            lease.release()
