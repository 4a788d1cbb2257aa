"""Threads for a user's plain functions: one that hangs is left behind, and holds up nothing.

A thread pool's threads are waited for when Python ends, so that a tool that hangs in a request without a timeout would
hang the program. These are daemons, and one that is left behind takes no place of another.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

_idle: list[_Thread] = []
_lock = threading.Lock()


class _Job:
    """One call, and the future of the event loop that waits for it."""

    def __init__(self, function: Callable[[], Any], context: Context) -> None:
        self.function, self.context = function, context
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def run(self) -> None:
        result, error = None, None
        try:
            result = self.context.run(self.function)
        except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
            error = RuntimeError("it raised StopIteration") if isinstance(raised, StopIteration) else raised
        with suppress(RuntimeError):  # the event loop has ended, and nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="rlmbox tool", daemon=True)
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run()
            del job
            with _lock:
                _idle.append(self)


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread and return its result; where the wait is cancelled, the thread is left behind.

    Args:
        function: The function; it sees the context variables of the caller.
    """
    job = _Job(function, copy_context())
    with _lock:
        thread = _idle.pop() if _idle else None
    if thread is None:
        thread = _Thread()
        thread.start()
    thread.jobs.put(job)
    return await job.future


def _forget_threads() -> None:
    """Let a forked child start threads of its own: those of the parent are not in it."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_threads)
