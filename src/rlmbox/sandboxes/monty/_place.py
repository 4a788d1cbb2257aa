"""Running event-loop work in the thread that drives a cell.

A cell that calls fast host functions thousands of times would switch threads twice for each. Where its calls have been
fast, the event loop blocks briefly on the thread instead, and meanwhile the thread may run work of the loop: nothing
else in the loop runs. Other tasks get their turn between two such periods.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from rlmbox.threads import ThreadJob

_MOMENT_S = 0.000_5
_QUICK_S = 0.001
_QUICK_JOBS = 2  # consecutive ones, after which the loop blocks


class LoopPlace:
    """Lends one event loop to the thread of one worker."""

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
        """Run work of the loop in this thread and return its result in a tuple, or None if the loop is not lent.

        Args:
            work: Takes a fraction of a millisecond, and needs no running loop.

        Raises:
            Exception: What `work` raises.
        """
        with self._lock:
            if not self._is_lent:
                return None
            self._taken += 1
            return (work(),)

    async def _lend(self, job: ThreadJob) -> bool:
        """Lend the loop until the job ends or the thread stops using it; return whether the job has ended."""
        self._is_lent = True
        try:
            taken = self._taken
            while not job.has_ended_within(_MOMENT_S):
                with self._lock:
                    if self._taken == taken:
                        return False
                    taken = self._taken
                    await asyncio.sleep(0)  # the thread blocks on the lock meanwhile
            return True
        finally:
            with self._lock:
                self._is_lent = False
