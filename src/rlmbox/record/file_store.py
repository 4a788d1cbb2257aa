"""The stores over a file: they work in a thread, and the hold on a run is the lock of a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from rlmbox.events import Event
from rlmbox.record.journal import Lease
from rlmbox.record.process_lock import hold_file, lock_of_run


class FileStore(ABC):
    """Keeps runs in a file, which only its owner can read.

    Args:
        path: The file; it is made where it is missing.

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
            StoreError: The file is damaged, or a newer rlmbox wrote it.
        """

    @abstractmethod
    def _erase(self, run_id: str) -> None:
        """Remove a run that this process holds."""

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `Store.read`."""
        return await anyio.to_thread.run_sync(self.events, run_id)

    def hold(self, run_id: str) -> Lease:
        """Take hold of a run; see `Store.hold`."""
        return hold_file(lock_of_run(self.path, run_id), run_id)

    async def remove(self, run_id: str) -> None:
        """Forget a run; see `Store.remove`."""
        await anyio.to_thread.run_sync(self._remove, run_id)

    def _remove(self, run_id: str) -> None:
        lease = self.hold(run_id)
        try:
            self._erase(run_id)
        finally:
            lease.release()
