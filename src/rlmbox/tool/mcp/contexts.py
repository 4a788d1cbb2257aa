"""The contexts that agents have opened, by handle."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import ContextError, RLMError
from rlmbox.tool.mcp.cells import Cells

MAX_OPEN = 64
"""Contexts that may be open at once, by default."""


@dataclass(slots=True)
class OpenContext:
    """A context that an agent has opened.

    Attributes:
        handle: The agent's name for it.
        name: What it was opened from.
        context: The text.
        cells: Runs its cells.
        functions: Functions that read the text, by name, such as `ctx.search`.
    """

    handle: str
    name: str
    context: Context
    cells: Cells
    functions: Mapping[str, Callable[..., Any]] = field(repr=False)

    def described(self) -> dict[str, object]:
        """Return its description for an agent."""
        return {"handle": self.handle, "opened_from": self.name, **self.context.metadata()}


class OpenContexts:
    """All open contexts.

    Args:
        new_cells: Creates what runs the cells of a context.
        most: How many contexts may be open at once.
    """

    def __init__(self, new_cells: Callable[[Context], Cells], most: int = MAX_OPEN) -> None:
        self._new_cells, self._most = new_cells, most
        self._open: dict[str, OpenContext] = {}

    def __iter__(self) -> Iterator[OpenContext]:
        return iter(list(self._open.values()))

    def check_room(self) -> None:
        """Check that another context may be opened.

        Raises:
            ContextError: Too many are open.
        """
        if len(self._open) >= self._most:
            handles = ", ".join(self._open)
            raise ContextError(f"{self._most} contexts are open, which is the maximum: close one of {handles}")

    def add(self, name: str, context: Context) -> OpenContext:
        """Add a context and assign it a handle.

        Args:
            name: What it was opened from.
            context: The context.
        """
        self.check_room()
        # Unguessable: over HTTP, the handle is all that keeps one client from another's context.
        handle = f"ctx-{secrets.token_hex(8)}"
        functions = {function.name: function.call for function in repl_functions(context)}
        opened = self._open[handle] = OpenContext(handle, name, context, self._new_cells(context), functions)
        return opened

    def get(self, handle: str) -> OpenContext:
        """Return the context of a handle.

        Raises:
            ContextError: There is none.
        """
        if handle not in self._open:
            raise ContextError(
                f"there is no open context {handle[:80]!r}; open one with open_context, which returns its handle"
            )
        return self._open[handle]

    async def close(self, handle: str) -> None:
        """Close a context.

        Raises:
            ContextError: There is no context of that handle.
        """
        opened = self.get(handle)
        del self._open[handle]
        await opened.cells.close()

    async def aclose(self) -> None:
        """Close all contexts."""
        for opened in self:
            with suppress(RLMError):
                await self.close(opened.handle)
