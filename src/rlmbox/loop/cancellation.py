"""Work that is not left in the middle when the task that waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

_Result = TypeVar("_Result")


async def to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do work in a task of its own, and wait for its end even if cancelled; a cancellation is raised afterwards.

    A shield of anyio only holds off cancellations of its scopes, not those of asyncio, such as `Task.cancel()`.

    Args:
        work: What to do.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs that nobody asked for it
        raise cancelled
    return task.result()
