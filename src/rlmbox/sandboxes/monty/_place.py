"""The event loop's place, lent to the thread that drives a cell.

A cell that calls quick functions by the thousand would change threads twice for each. Where its calls have been quick,
the event loop waits for the thread where it is, a moment at a time, and meanwhile the thread may do what is the
loop's: nothing else of the loop runs. Other tasks have their turn between two moments.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from rlmbox.threads import ThreadJob

_MOMENT_S = 0.000_5
_QUICK_S = 0.001
_QUICK_JOBS = 2  # after which the loop waits where it is


class LoopPlace:
    """The place of one event loop as one worker's thread may have it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_lent = False
        self._taken = self._quick = 0

    async def wait_for(self, job: ThreadJob) -> Any:
        """Wait for a job, and return its result.

        Args:
            job: A step of a cell.
        """
        taken = self._taken
        if self._quick < _QUICK_JOBS or not await self._lend(job):
            await job.wait()
        self._quick = self._quick + 1 if job.took_s < _QUICK_S or self._taken > taken else 0
        return job.result()

    def take(self, work: Callable[[], Any]) -> tuple[Any] | None:
        """Do something of the loop's, in the thread, and return its result; None where the place is not lent.

        Args:
            work: What takes a fraction of a millisecond, and needs no running loop.

        Raises:
            Exception: What it raises.
        """
        with self._lock:
            if not self._is_lent:
                return None
            self._taken += 1
            return (work(),)

    async def _lend(self, job: ThreadJob) -> bool:
        """Lend the place until the job ends, or for as long as the thread takes it; return True if it has ended."""
        self._is_lent = True
        try:
            taken = self._taken
            while not job.has_ended_within(_MOMENT_S):
                with self._lock:
                    if self._taken == taken:
                        return False
                    taken = self._taken
                    await asyncio.sleep(0)  # the thread waits meanwhile
            return True
        finally:
            with self._lock:
                self._is_lent = False
