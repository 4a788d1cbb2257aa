"""A run's events as they happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from rlmbox.events import Event, SessionFinished
from rlmbox.loop.session import Session


async def events_of(
    begin: Callable[[Callable[[Event], None]], Awaitable[Session]], answer: Callable[[Session], Awaitable[Any]]
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run as they happen; leaving the loop early cancels the run.

    Args:
        begin: Returns the session, given a reader of its events.
        answer: Runs it to its answer.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(event: Event) -> None:
        if isinstance(event, SessionFinished) and not event.depth and session.answer is not None:
            event = replace(event, answer=session.answer)  # the user's own answer, in which nothing is hidden
        queue.put_nowait(event)

    session = await begin(put)

    async def run() -> None:
        try:
            await answer(session)
        finally:
            queue.put_nowait(None)

    # A plain task and not a task group: an async generator may be closed from another task than its reader's.
    task = asyncio.create_task(run())
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
