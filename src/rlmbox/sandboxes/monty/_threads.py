"""Threads for work that takes microseconds: handing it over costs a third of what a general thread pool costs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_idle: deque[SimpleQueue[_Job]] = deque()


async def run_in_thread(work: Callable[[], Any]) -> Any:
    """Runs a blocking function in a thread that nothing else uses meanwhile, and gives its result.

    There are as many threads as there were calls at once; they are kept and end with the process. When the
    caller is cancelled it goes on at once, and the function to its end.

    Args:
        work: The function.
    """
    loop = asyncio.get_running_loop()
    result = loop.create_future()
    try:
        jobs = _idle.pop()  # the last one in: its stack is still warm
    except IndexError:
        jobs = SimpleQueue()
        threading.Thread(target=_serve, args=(jobs,), name="rlmbox-sandbox", daemon=True).start()
    jobs.put((work, loop, result))
    return await result


def _serve(jobs: SimpleQueue[_Job]) -> None:
    while True:
        work, loop, result = jobs.get()
        try:
            value, error = work(), None
        except BaseException as raised:  # noqa: BLE001 - it is raised where the result is awaited
            value, error = None, raised
        _idle.append(jobs)
        with suppress(RuntimeError):  # the loop was closed, so nobody waits any more
            loop.call_soon_threadsafe(_settle, result, value, error)
        # Nothing of a session may be kept alive by a thread that waits for the next.
        del work, loop, result, value, error


def _settle(result: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    else:
        result.set_exception(error)
