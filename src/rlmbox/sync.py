"""The blocking facade: one event loop in one thread of its own, shared by all blocking calls of the process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import NoReturn, TypeVar

from anyio.from_thread import BlockingPortal

_Result = TypeVar("_Result")

_lock = threading.Lock()
_portal: BlockingPortal | None = None
_thread: threading.Thread | None = None


def _shared_portal() -> BlockingPortal:
    """Return the portal into the shared loop, starting its thread on first use.

    The thread is a daemon: it must not keep the process alive, and what it serves is only waited for by callers. If
    its loop ends after all, the next call starts another.

    Raises:
        RuntimeError: It is called on the shared loop itself, which would wait for itself.
    """
    global _portal, _thread
    if threading.current_thread() is _thread:
        raise RuntimeError(
            "a blocking call cannot be made on the library's own event loop, where hooks are called; "
            "make the hook async and await aask() or another async method"
        )
    with _lock:
        if _portal is None:
            ready: Future[BlockingPortal] = Future()

            async def serve() -> None:
                async with BlockingPortal() as portal:
                    ready.set_result(portal)
                    await portal.sleep_until_stopped()

            def run() -> None:
                with asyncio.Runner() as runner:
                    try:
                        runner.run(serve())
                    except RuntimeError:
                        pass  # somebody stopped the loop; the calls on it are cancelled, which tells their callers
                    finally:  # before the runner cancels what is left, whose callers may make their next call then
                        _replace_portal()

            _thread = threading.Thread(target=run, name="rlmbox", daemon=True)
            _thread.start()
            _portal = ready.result()
        return _portal


def _replace_portal() -> None:
    """Have the next call start another loop, because this one has ended."""
    global _portal
    with _lock:
        _portal = None


def _forget_portal() -> None:
    """Let a forked child start a loop of its own: the thread of the parent's is not in it."""
    global _lock, _portal, _thread
    _lock, _portal, _thread = threading.Lock(), None, None


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

    async def whole() -> Callable[[], _Result]:
        try:
            result = await function()
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as raised:  # noqa: BLE001 - such as SystemExit: it is the caller's, and would end the loop
            return partial(_raise, raised)
        finally:
            ended.set()
        return lambda: result

    future = _shared_portal().start_task_soon(whole)
    try:
        return future.result()()
    except BaseException:
        if not ended.is_set():
            future.cancel()  # says so at once; the function ends when it has cleaned up
            ended.wait()
        raise


def _raise(error: BaseException) -> NoReturn:
    raise error


def start_soon(function: Callable[[], Awaitable[_Result]]) -> Future[_Result]:
    """Begin an async function on the shared loop and return its future, by which it can be cancelled.

    Args:
        function: What to run.
    """

    async def whole() -> _Result:
        return await function()

    return _shared_portal().start_task_soon(whole)
