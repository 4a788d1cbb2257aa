"""A thread that syncs the disk, once for all waiters."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rlmbox.errors import StoreError

_IDLE_S = 1.0


class WriterThread:
    """The thread of one store. It runs while there is work, and for a moment after.

    Args:
        to_disk: Writes the store's pending events and returns when they are synced to the disk.
        afterwards: Does work that can follow `to_disk`, while no caller waits.
        within_s: Seconds within which `to_disk` is called after `soon`.
    """

    def __init__(
        self,
        to_disk: Callable[[], None],
        afterwards: Callable[[], None],
        within_s: float,
    ) -> None:
        self._to_disk = to_disk
        self._afterwards = afterwards
        self._within_s = within_s
        self._changed = threading.Condition(threading.Lock())
        self._waiting: list[_Waiting] = []
        self._due_s: float | None = None
        self._ends = False
        self._thread: threading.Thread | None = None

    def soon(self) -> None:
        """Sync what was written within `within_s`."""
        if self._due_s is not None and self._thread is not None:
            return  # it checks again by then; waking it for each event would cost more than the sync saves
        with self._changed:
            self._due_s = self._due_s or time.monotonic() + self._within_s
            self._start()

    async def wait(self) -> None:
        """Return when everything written so far is synced to the disk.

        Raises:
            StoreError: It cannot be written.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop, loop.create_future())
        with self._changed:
            self._waiting.append(waiting)
            self._start()
            self._changed.notify()
        await waiting.done

    def stop(self) -> None:
        """Stop the thread, after its current work."""
        with self._changed:
            thread, self._ends = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="rlmbox-store", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            error = None
            try:
                self._to_disk()
            except StoreError as failed:  # the next writer is told, too
                error = failed
            for each in waiting:
                each.tell(error)
            if error is None:
                self._afterwards()

    def _next(self) -> list[_Waiting] | None:
        """Wait for work; return the waiters for a sync, or None if there was no work."""
        idle_s = 0.0
        with self._changed:
            while True:
                left_s = self._within_s if self._due_s is None else self._due_s - time.monotonic()
                if self._waiting or left_s <= 0:
                    waiting, self._waiting = self._waiting, []
                    self._due_s = None
                    return waiting
                idle_s = idle_s + left_s if self._due_s is None else 0.0
                if self._ends or idle_s > _IDLE_S:
                    self._thread = None  # under the lock, so that the next caller starts another thread
                    return None
                self._changed.wait(left_s)


@dataclass(slots=True, eq=False)
class _Waiting:
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]

    def tell(self, error: StoreError | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            self.loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: StoreError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
