"""Work on values that may be long, without blocking the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio

from rlmbox.context.json_parts import is_long
from rlmbox.loop.cancellation import to_its_end

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


async def off_loop(work: Callable[[_Value], _Result], value: _Value) -> _Result:
    """Apply a function to a JSON value; to a long one in a thread, shielded from cancellation.

    Args:
        work: The function.
        value: The value.
    """
    if not is_long(value):
        return work(value)
    return await to_its_end(anyio.to_thread.run_sync(work, value))
