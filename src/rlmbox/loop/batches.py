"""Batches of calls: run concurrently, with results in order and limits of the session collected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from rlmbox.errors import LimitExceeded, RLMError
from rlmbox.loop.arguments import RefusedItem

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class BatchResults(Generic[_Item]):
    """Results of the calls of a batch.

    Attributes:
        values: One for each item, in order.
        met: Limits of the session that calls reached.
        answered: Number of calls that did not fail.
    """

    values: list[_Item]
    met: Sequence[LimitExceeded]
    answered: int


async def call_for_each(
    items: Sequence[Any],
    one: Callable[[Any, int], Awaitable[_Item]],
    failed: Callable[[Exception], _Item],
    is_own: Callable[[RLMError], bool],
) -> BatchResults[_Item]:
    """Run one call per item concurrently; a failed call yields a value in its place, and equal items share one call.

    Args:
        items: Arguments of the calls; a refused one yields the error of its call.
        one: The call, given an item and its number.
        failed: Returns the value in place of an error.
        is_own: Returns True if an error is a limit of the session, and not only of the call.
    """
    results: list[Any] = [None] * len(items)
    met: list[LimitExceeded] = []
    answered = 0

    async def result_of(item: Any, number: int) -> Any:
        if isinstance(item, RefusedItem):
            raise item.error
        return await one(item, number)

    async def run(places: Sequence[int]) -> None:
        nonlocal answered
        try:
            result: Any = await result_of(items[places[0]], places[0])
            answered += 1
        except Exception as error:  # noqa: BLE001 - as that of a single call, which is the cell's
            if isinstance(error, LimitExceeded) and is_own(error):
                met.append(error)
            result = failed(error)
        for place in places:
            results[place] = result

    async with anyio.create_task_group() as tasks:
        for places in _equal(items):
            tasks.start_soon(run, places)
    return BatchResults(results, met, answered)


def error_text(error: Exception) -> str:
    """Return the text that stands in place of an answer.

    Args:
        error: Why there is no answer.
    """
    return f"Error: {type(error).__name__}: {error}"


def error_value(error: Exception) -> dict[str, str]:
    """Return the value that stands in place of one that should fit a schema: a dict with the key `error`.

    Args:
        error: Why there is no value.
    """
    return {"error": error_text(error)}


def _equal(items: Sequence[Any]) -> list[list[int]]:
    """Group the indices of equal items, in order of first occurrence."""
    places: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        parts = item if isinstance(item, tuple) else (item,)
        same = item if all(isinstance(part, str | None) for part in parts) else (place,)
        places.setdefault(same, []).append(place)
    return list(places.values())
