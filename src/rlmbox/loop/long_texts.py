"""Work on texts that may be long, without blocking the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio

_Result = TypeVar("_Result")

LONG_CHARS = 100_000
"""Length of a text above which it is worked on in a thread."""


async def off_loop(work: Callable[[str], _Result], text: str) -> _Result:
    """Apply a function to a text; to a long one in a thread, shielded from cancellation.

    Args:
        work: The function.
        text: The text.
    """
    if len(text) <= LONG_CHARS:
        return work(text)
    with anyio.CancelScope(shield=True):
        result = await anyio.to_thread.run_sync(work, text)
    return result  # noqa: RET504 - a type checker takes a scope for one that may swallow
