"""The blocking facade: one event loop in one thread of its own, shared by all blocking calls of the process."""

from __future__ import annotations

import os
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
    """Return the portal into the shared loop, starting its thread on first use.

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


def _forget_portal() -> None:
    """Let a forked child start a loop of its own: the thread of the parent's is not in it."""
    global _lock, _portal
    _lock, _portal = threading.Lock(), None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_portal)


def run_blocking(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run an async function to its end and return its result.

    May be called from any thread, also from one that runs an event loop, which it then holds up. An interrupt
    (Ctrl-C) cancels the function and waits until it has cleaned up.

    Args:
        function: What to run.
    """
    ended = threading.Event()

    async def whole() -> _Result:
        try:
            return await function()
        finally:
            ended.set()

    future = _shared_portal().start_task_soon(whole)
    try:
        return future.result()
    except BaseException:
        if not ended.is_set():
            future.cancel()  # says so at once; the function ends when it has cleaned up
            ended.wait()
        raise


def start_soon(function: Callable[[], Awaitable[_Result]]) -> Future[_Result]:
    """Begin an async function on the shared loop and return its future, by which it can be cancelled.

    Args:
        function: What to run.
    """

    async def whole() -> _Result:
        return await function()

    return _shared_portal().start_task_soon(whole)
