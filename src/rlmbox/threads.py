"""Threads for what the event loop must not do itself: one that hangs is left behind, and holds up nothing.

A thread pool's threads are waited for when Python ends, so that a tool that hangs in a request without a timeout would
hang the program. These are daemons, and one that is left behind takes no place of another.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

_LONGEST_END_S = 5.0
_idle: list[_Thread] = []
_background: WeakKeyDictionary[threading.Thread, Callable[[], object]] = WeakKeyDictionary()
_lock = threading.Lock()


def start_background(work: Callable[[], object], name: str, stop: Callable[[], object] | None = None) -> None:
    """Start a thread for work that has an end, which is waited for a moment when Python ends.

    A daemon that is in C++ then would take the program with it (SIGABRT): CPython ends such a thread by unwinding it.

    Args:
        work: The work.
        name: Name of the thread.
        stop: Asks the work to end soon; None for work that is short.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    with _lock:
        if not _background:
            atexit.unregister(_end_background)
            atexit.register(_end_background)
        _background[thread] = stop or (lambda: None)
    thread.start()


def _end_background() -> None:
    deadline = time.monotonic() + _LONGEST_END_S
    at_work = [(thread, stop) for thread, stop in list(_background.items()) if thread.is_alive()]
    for _, stop in at_work:
        stop()
    for thread, _ in at_work:
        thread.join(max(0.0, deadline - time.monotonic()))


class ThreadJob:
    """One call in a thread; the event loop may wait for it a moment without leaving its place, and then await it.

    Where the wait is short, that saves the loop two changes of thread through a pipe, which take longer than most
    functions.

    Args:
        function: The function; it sees the context variables of the caller.

    Attributes:
        took_s: Seconds that the function took; infinite until it has ended.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.took_s = math.inf
        self._function, self._context = function, copy_context()
        self._result: Any = None
        self._error: BaseException | None = None
        self._has_ended = threading.Lock()
        self._has_ended.acquire()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._future: asyncio.Future[None] | None = None
        with _lock:
            thread = _idle.pop() if _idle else None
        if thread is None:
            thread = _Thread()
            thread.start()
        thread.jobs.put(self)

    def has_ended_within(self, seconds: float) -> bool:
        """Wait, with the event loop, for the end of the call; return True if it came.

        Args:
            seconds: Most seconds.
        """
        return self._has_ended.acquire(timeout=seconds)

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised; only after it has ended."""
        if self._error is not None:
            raise self._error
        return self._result

    def result_in_thread(self) -> Any:
        """Wait for the end of the call in a thread that is no event loop's; return what it returned, or raise that."""
        with self._has_ended:
            return self.result()

    async def wait(self) -> Any:
        """Wait for the end of the call and return its result; where that is cancelled, the thread is left behind."""
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        self._loop = loop  # from now on the thread tells us; it may have ended already
        if self.took_s == math.inf:
            await self._future
        return self.result()

    def run(self, thread: _Thread) -> None:
        """Call the function, in a thread.

        Args:
            thread: The thread, which is free for another job before anybody hears of the end of this one.
        """
        began = time.perf_counter()
        try:
            self._result = self._context.run(self._function)
        except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
            self._error = RuntimeError("it raised StopIteration") if isinstance(raised, StopIteration) else raised
        with _lock:
            _idle.append(thread)
        self.took_s = time.perf_counter() - began
        self._has_ended.release()
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="rlmbox job", daemon=True)
        self.jobs: SimpleQueue[ThreadJob | None] = SimpleQueue()

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run(self)
            del job


def _forget_threads() -> None:
    """Let a forked child start threads of its own: those of the parent are not in it."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()
    _background.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_threads)
