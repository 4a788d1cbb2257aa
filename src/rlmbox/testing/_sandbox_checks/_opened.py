"""A started sandbox in the hands of a check."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from rlmbox.context import Context
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

MakeSandbox = Callable[[], Sandbox]
"""Creates a sandbox without starting it; called once or twice per check."""

Check = Callable[[MakeSandbox], Awaitable[None]]
"""A check, which raises AssertionError if the sandbox violates the contract."""

LIMITS = CellLimits(cell_timeout_s=60.0)
"""Limits that no check reaches by accident on a busy machine."""

BRISK = CellLimits(cell_timeout_s=0.5)
"""Limits for checks of the time limit."""


def expect(fact: object, rule: str) -> None:
    """Raise AssertionError with the violated rule."""
    if not fact:
        raise AssertionError(rule)


def expect_equal(got: object, wanted: object, what: str) -> None:
    """Raise AssertionError with both values if they differ."""
    if got != wanted or type(got) is not type(wanted):
        raise AssertionError(f"{what} is {wanted!r}, not {got!r}")


class Opened:
    """Runs cells and explains failures.

    Args:
        sandbox: A started sandbox.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def run(self, code: str) -> Execution:
        """Run a cell that may end in any way."""
        execution = await self.sandbox.execute(Cell(code))
        expect(isinstance(execution, Execution), "execute gives an Execution")
        expect((execution.error is None) == (execution.outcome == "ok"), "error is set exactly when outcome is not ok")
        return execution

    async def ok(self, code: str) -> Execution:
        """Run a cell that must succeed."""
        execution = await self.run(code)
        expect(execution.outcome == "ok", f"{code[:300]!r} runs; it gave {execution.outcome}: {execution.error}")
        return execution

    async def value(self, code: str) -> Any:
        """Run a cell and return the value of its last expression."""
        return (await self.ok(code)).value

    async def fails(self, code: str, outcome: str = "error") -> Execution:
        """Run a cell that must end with an outcome."""
        execution = await self.run(code)
        expect(
            execution.outcome == outcome,
            f"{code[:300]!r} ends with {outcome!r}, not {execution.outcome!r}: {execution.error or execution.value!r}",
        )
        return execution

    async def error(self, code: str, type_name: str) -> Execution:
        """Run a cell that must end with a Python exception of a type."""
        execution = await self.fails(code)
        got = execution.error.type if execution.error else None
        expect(got == type_name, f"{code[:300]!r} raises {type_name}, not {got}: {execution.error}")
        return execution

    async def still_works(self) -> None:
        """Check that cells still run after a failure."""
        expect_equal(await self.value("40 + 2"), 42, "a cell's value after a limit or a crash")


@asynccontextmanager
async def opened(
    make_sandbox: MakeSandbox,
    host: Iterable[HostFunction] = (),
    *,
    text: str = "the context",
    query: str = "the question",
    limits: CellLimits = LIMITS,
    seed: int = 0,
    inputs: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[Opened]:
    """Start a sandbox for a check, and close it afterwards in any case."""
    sandbox = make_sandbox()
    try:
        table = {function.name: function for function in host}
        # If a backend does not accept one of these yet, only the checks of it fail.
        more: dict[str, Any] = {**({"seed": seed} if seed else {}), **({"inputs": inputs} if inputs else {})}
        try:
            await sandbox.start(limits, Context.from_text(text), table, query=query, **more)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise AssertionError(f"start() takes seed and inputs: {error}") from None
        yield Opened(sandbox)
    finally:
        await sandbox.close()
