"""The interface between the loop and a sandbox."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.types import Cell, CellLimits, Execution, HostFunction, Table

Host = Mapping[str, HostFunction]
"""The fixed table of host functions that code may call, by name."""

MODULES = ("re", "json", "math", "base64", "binascii", "zlib")
"""Modules that code has without importing them."""

BUILTINS = frozenset(
    name for name, value in vars(builtins).items() if not name.startswith("_") and type(value).__module__ == "builtins"
) - {"input"}
"""Names that code takes from Python. Those that `site` adds, such as `license`, and `input` are free."""

INJECTED = frozenset({"context", "P", "query", "data", "SHOW_VARS", *MODULES})
"""Names in the REPL that every sandbox provides, besides the host's functions."""


class Sandbox(Protocol):
    """A place where the cells of one session run; variables persist from cell to cell.

    Code in a cell can use `context` (and `P`), `query`, the inputs, the host's functions and the modules `re`, `json`,
    `math`, `base64`, `binascii` and `zlib` without importing them. `context` is a `str` up to
    `CellLimits.inline_limit_chars`. A longer text stays outside the sandbox's memory; its handle supports what a `str`
    does (length, index, slices, `in`, `find` and the like, `count`, comparison, `splitlines`), and refuses operations
    that would need all of the text at once.

    A session uses a sandbox from one task at a time. `close` may be called at any time, more than once, and during a
    cell, which then ends.
    """

    @property
    def name(self) -> str:
        """The backend's name, such as `monty`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts about this backend's Python that a model should know, one sentence each."""

    @property
    def outlives_cancellation(self) -> bool:
        """True if a session continues, with the effects of a cell, after that cell's task was cancelled.

        Otherwise the variables are lost.
        """

    async def start(
        self,
        limits: CellLimits,
        context: Context,
        host: Host,
        *,
        query: str = "",
        seed: int = 0,
        inputs: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Start the sandbox and set up the namespace.

        Args:
            limits: Limits of each cell.
            context: The text; `context` in the REPL.
            host: The functions that code may call.
            query: The question; `query` in the REPL.
            seed: Seed of `random` and, if the backend has one, of the hash order: the same cells with the same seed
                have the same results. Clocks are real.
            inputs: Further variables: JSON values; texts (`Context`), each bound like the context; or tables (`Table`),
                which become pandas objects in a sandbox with pandas, and which any other refuses. Cells may change and
                rebind them; each new namespace, also one after a loss, begins with fresh copies. The loop passes
                `answer` this way.

        Raises:
            SandboxUnavailable: The backend cannot run here.
            ConfigError: An input is a table, and cells cannot import pandas.
        """

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; everything that the cell does is reported in the result.

        Raises:
            SandboxCrashed: The worker is gone and the namespace could not be rebuilt.
        """

    async def variables(self) -> Mapping[str, str]:
        """List the variables that cells have set, each with a short description such as `list, 3 items`.

        Inputs are included only once a cell has rebound them.
        """

    async def close(self) -> None:
        """Release all resources; nothing of the session remains."""


@runtime_checkable
class Chosen(Protocol):
    """The attributes of a sandbox that was chosen among several."""

    @property
    def reason(self) -> str:
        """The reason for the choice, in one line."""


@runtime_checkable
class Weakened(Protocol):
    """The attributes of a sandbox whose isolation depends on the machine."""

    @property
    def warning(self) -> str | None:
        """A description of how the isolation is weaker than it could be, once started; None if it is not."""


def refuse_tables(name: str, inputs: Mapping[str, object]) -> None:
    """Raise ConfigError if an input is a table, for a sandbox without pandas.

    Args:
        name: The sandbox's name.
        inputs: Further variables and their values.
    """
    for given, value in inputs.items():
        if isinstance(value, Table):
            raise ConfigError(
                f"the input {given!r} is a pandas {value.form['kind']}, and {name} has no pandas; use the sandbox jail "
                f"with packages=['pandas'], or give the rows as a list of dicts"
            )


def warning_of(sandbox: Sandbox) -> str | None:
    """Return how a started sandbox's isolation is weaker than it could be; None if it is not.

    Args:
        sandbox: The sandbox.
    """
    return sandbox.warning if isinstance(sandbox, Weakened) else None


def reason_of(sandbox: Sandbox) -> str:
    """Return why a started sandbox was chosen, and how its isolation is weaker than it could be; empty for neither.

    Args:
        sandbox: The sandbox.
    """
    return "; ".join(filter(None, (sandbox.reason if isinstance(sandbox, Chosen) else "", warning_of(sandbox))))
