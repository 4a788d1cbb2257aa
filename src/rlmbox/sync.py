"""The blocking facade: one event loop in one thread of its own, shared by all blocking calls of the process."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

_Result = TypeVar("_Result")

_lock = threading.Lock()
_portal: BlockingPortal | None = None


def _shared_portal() -> BlockingPortal:
    """Gives the portal into the shared loop, starting its thread on first use.

    The thread is a daemon: it must not keep the process alive, and what it serves is only waited for by callers.
    """
    global _portal
    with _lock:
        if _portal is None:
            ready: Future[BlockingPortal] = Future()

            async def serve() -> None:
                async with BlockingPortal() as portal:
                    ready.set_result(portal)
                    await portal.sleep_until_stopped()

            threading.Thread(target=anyio.run, args=(serve,), name="rlmbox", daemon=True).start()
            _portal = ready.result()
        return _portal


def run_blocking(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Runs an async function to its end and gives its result.

    May be called from any thread, also from one that runs an event loop, which it then holds up. An interrupt
    (Ctrl-C) cancels the function and waits until it has cleaned up.
    """
    future = _shared_portal().start_task_soon(function)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            done = threading.Event()
            future.add_done_callback(lambda _: done.set())
            future.cancel()
            done.wait()
        raise
