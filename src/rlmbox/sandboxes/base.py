"""The seam between the loop and whatever runs a cell."""

from __future__ import annotations

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

INJECTED = frozenset({"context", "P", "query", "data", "SHOW_VARS", *MODULES})
"""Names in the REPL that every sandbox provides, besides the host's functions."""


class Sandbox(Protocol):
    """A place where cells of one session run; variables live from cell to cell.

    Code in a cell sees `context` (and `P`), `query`, the inputs, the host's functions and the modules `re`, `json`,
    `math`, `base64`, `binascii` and `zlib` without importing them. `context` is a `str` up to
    `CellLimits.inline_limit_chars`. A longer text stays outside the sandbox's memory; what stands for it gives what
    the `str` would give (length, index, slices, `in`, `find` and the like, `count`, comparison, `splitlines`), or
    refuses what would need all of the text at once.

    One session uses a sandbox from one task at a time. `close` may be called at any time, also twice, and
    during a cell, which then ends.
    """

    @property
    def name(self) -> str:
        """The backend's name, such as `monty`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that a model should know of this backend's Python, one sentence each."""

    @property
    def outlives_cancellation(self) -> bool:
        """Return whether a session goes on, with what a cell had done, after that cell's task was cancelled.

        Of one that does not, the variables are gone then.
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
        """Make the namespace ready.

        Args:
            limits: What each cell may use.
            context: The text; `context` in the REPL.
            host: The functions that code may call.
            query: The question; `query` in the REPL.
            seed: Seed of `random` and, where the backend has one, of the hash order: the same cells with the same seed
                give the same. Clocks are real.
            inputs: Further variables and their values, which are JSON values; texts (`Context`), each of which is bound
                as the context is; or tables (`Table`), of which a sandbox that has pandas makes the pandas object, and
                any other refuses to start. They are a cell's to change and to bind; each namespace, one that was made
                anew too, begins with copies of its own. The loop gives `answer` so.

        Raises:
            SandboxUnavailable: The backend cannot run here.
            ConfigError: An input is a table, and cells cannot import pandas.
        """

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; whatever the cell does is data on the result.

        Raises:
            SandboxCrashed: The worker is gone and the namespace could not be rebuilt.
        """

    async def variables(self) -> Mapping[str, str]:
        """List the variables that cells have set, each with a short description such as `list, 3 items`.

        Inputs are among them only once a cell has bound the name anew.
        """

    async def close(self) -> None:
        """Free everything; afterwards nothing of the session is left."""


@runtime_checkable
class Chosen(Protocol):
    """The attributes of a sandbox that was chosen among several."""

    @property
    def reason(self) -> str:
        """Why this one, in one line."""


@runtime_checkable
class Weakened(Protocol):
    """The attributes of a sandbox whose wall depends on the machine."""

    @property
    def warning(self) -> str | None:
        """In what the wall is weaker than it could be, once started; None where it is not."""


def refuse_tables(name: str, inputs: Mapping[str, object]) -> None:
    """Raise ConfigError where an input is a table: of a sandbox that has no pandas.

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
    """Return in what a started sandbox's wall is weaker than it could be; None where it is not.

    Args:
        sandbox: The sandbox.
    """
    return sandbox.warning if isinstance(sandbox, Weakened) else None


def reason_of(sandbox: Sandbox) -> str:
    """Return why a started sandbox was chosen, and in what its wall is weaker than it could be; empty for neither.

    Args:
        sandbox: The sandbox.
    """
    return "; ".join(filter(None, (sandbox.reason if isinstance(sandbox, Chosen) else "", warning_of(sandbox))))
