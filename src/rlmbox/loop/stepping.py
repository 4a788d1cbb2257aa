"""The first step of a coroutine taken immediately: one that waits for nothing needs no task."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any


class Rest:
    """The rest of a coroutine after its first step, to be awaited in the task that took that step.

    Args:
        coroutine: The coroutine.
        context: The context variables that it runs with.
        awaited: The future that its first step waits for.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context, awaited: Any) -> None:
        self._coroutine, self._context, self._awaited = coroutine, context, awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for the result."""
        awaited = self._awaited
        while True:
            step: Callable[[], Any]
            try:
                step = partial(self._coroutine.send, (yield awaited))
            except GeneratorExit:
                self.close()
                raise
            except BaseException as error:  # noqa: BLE001 - thrown into the coroutine
                step = partial(self._coroutine.throw, error)
            try:
                awaited = self._context.run(step)
            except StopIteration as end:
                return end.value

    async def wait(self) -> Any:
        """Wait for the result."""
        return await self

    def close(self) -> None:
        """End the coroutine without its result."""
        self._context.run(self._coroutine.close)


def stepped(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Take a coroutine's first step; return its result, or a `Rest` if it has to wait.

    It runs with its own context variables, as in a task.

    Args:
        coroutine: The coroutine, not started yet.
    """
    context = copy_context()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as end:
        return end.value
    return Rest(coroutine, context, awaited)
