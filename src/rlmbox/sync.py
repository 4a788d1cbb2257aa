"""The blocking facade: one event loop in one thread of its own, shared by all blocking calls of the process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

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
    (Ctrl-C) cancels the function and waits until it has cleaned up; its `partial` is that of the cancellation.

    Args:
        function: What to run.
    """
    call = _BlockingCall(function)
    portal, future = _shared_portal(), None
    try:
        future = portal.start_task_soon(call.run)
        return future.result()()
    except BaseException as interrupt:
        call.is_given_up = True
        if future is None:  # interrupted while it was handed over: it may have begun, and nobody else can cancel it
            portal.start_task_soon(call.cancel).result()
        else:
            future.cancel()  # says so at once; the function ends when it has cleaned up
        if call.task is not None:
            call.ended.wait()
        if isinstance(interrupt, KeyboardInterrupt):
            interrupt.partial = getattr(call.cancelled, "partial", None)  # type: ignore[attr-defined]
        raise


class _BlockingCall(Generic[_Result]):
    """A call of an async function on the shared loop, for a thread that waits for it.

    Args:
        function: What to run.

    Attributes:
        task: Its task, once it has begun.
        ended: Set once it has ended.
        cancelled: How it was cancelled, if it was.
        is_given_up: Whether it is not to begin any more.
    """

    def __init__(self, function: Callable[[], Awaitable[_Result]]) -> None:
        self._function = function
        self.task: asyncio.Task[Any] | None = None
        self.ended = threading.Event()
        self.cancelled: asyncio.CancelledError | None = None
        self.is_given_up = False

    async def run(self) -> Callable[[], _Result]:
        """Run the function; return what returns its result, or raises what would end the loop."""
        self.task = asyncio.current_task()
        try:
            if self.is_given_up:  # read after `task` is set, so that the caller sees either that or nothing happen
                raise asyncio.CancelledError  # noqa: TRY301 - it ends like any other
            result = await self._function()
        except asyncio.CancelledError as error:
            self.cancelled = error
            raise
        except Exception:
            raise
        except BaseException as raised:  # noqa: BLE001 - such as SystemExit: it is the caller's, and would end the loop
            return partial(_raise, raised)
        finally:
            self.ended.set()
        return lambda: result

    async def cancel(self) -> None:
        """Cancel it, if it has begun."""
        if self.task is not None:
            self.task.cancel()


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
