"""Aliases of functions that models know from other systems; they work, and no prompt mentions them.

Only names that are unlikely as variables: a cell's assignment to a function's name is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from rlmbox.types import HostFunction

PEER_NAMES = ("sub_llm", "sub_llm_batch", "recursive_llm", "sub_rlm")
"""The names, besides those that are functions of their own."""


def peer_functions(functions: Sequence[HostFunction], taken: Collection[str]) -> tuple[HostFunction, ...]:
    """Return the aliases, except those that are already taken.

    Args:
        functions: The session's functions for asking models.
        taken: Names that have another meaning in this session.
    """
    known: dict[str, Any] = {function.name: function.call for function in functions}

    async def sub_llm(task: str, context: str = "") -> Any:
        return await known["llm_query"](task, context)

    async def sub_llm_batch(tasks: list[str], contexts: list[str] | None = None) -> Any:
        return await known["llm_query_batched"](tasks, contexts)

    async def recursive_llm(sub_query: str, sub_context: Any = None) -> Any:
        return await known["rlm_query"](sub_query, sub_context)

    async def sub_rlm(prompt: str, context: Any = None) -> Any:
        return await known["rlm_query"](prompt, context)

    calls: dict[str, Callable[..., object]] = {
        each.__name__: each for each in (sub_llm, sub_llm_batch, recursive_llm, sub_rlm)
    }
    return tuple(
        HostFunction(name, call, "a name from another system", is_alias=True)
        for name, call in calls.items()
        if name not in taken
    )
