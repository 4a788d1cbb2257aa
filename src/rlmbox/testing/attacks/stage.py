"""The stage of an attack: a session in a sandbox, with host functions that count their calls."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import SandboxError
from rlmbox.sandboxes.base import Sandbox
from rlmbox.testing._sandbox_checks._opened import MakeSandbox
from rlmbox.testing.attacks.catalogue import Attack
from rlmbox.testing.attacks.watch import HostWatch
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

"""Makes a sandbox that has not been started."""

GRACE_S = 1.0
"""Time after its limit at which a cell that ignores the interrupt is killed, in seconds."""

SLACK_S = 5.0
"""Additional time that a cell may take on a busy machine, in seconds."""

CLOSE_S = 3.0 + SLACK_S
"""Time limit of closing a session, in seconds."""

LIMITS = CellLimits(cell_timeout_s=3.0, memory_bytes=128 * 2**20, output_flood_bytes=16 * 2**20, host_calls=10_000)
"""Limits of an attack's cells."""

TEXT = "The contract begins in May. A penalty of 5 % applies to late delivery.\n" * 40

MISSING = frozenset(
    {
        "ModuleNotFoundError",
        "ImportError",
        "AttributeError",
        "NameError",
        "NotImplementedError",
        "SyntaxError",
        "ForbiddenName",
        "ForbiddenSyntax",
    }
)
"""Exceptions that mean that the sandbox's language lacks something."""


class Broken(AssertionError):
    """Something did not end as expected."""


class Escaped(AssertionError):
    """An attack succeeded."""


class NotExpressible(Exception):
    """The sandbox's language lacks a part of an attack."""


@dataclass(slots=True)
class Room:
    """A started sandbox.

    Attributes:
        sandbox: The sandbox.
        limits: Its limits.
        calls: The host calls that arrived.
    """

    sandbox: Sandbox
    limits: CellLimits
    calls: list[str]

    async def run(self, code: str) -> Execution:
        """Run a cell, and check that it ends in time.

        Raises:
            Broken: It did not, or its result cannot be stored.
            SandboxError: The sandbox cannot continue.
        """
        allowed_s = self.limits.cell_timeout_s + GRACE_S + SLACK_S
        began = time.monotonic()
        with anyio.move_on_after(allowed_s) as scope:
            execution = await self.sandbox.execute(Cell(code))
        if scope.cancelled_caught or time.monotonic() - began > allowed_s:
            raise Broken(f"control did not come back within {allowed_s:g} s")
        try:
            told(execution).encode()
            json.dumps(execution.value, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise Broken(f"what the cell gave cannot be stored: {error}") from None
        return execution


@dataclass(frozen=True, slots=True)
class Stage:
    """The means of a scenario.

    Attributes:
        attack: The attack.
        make_sandbox: Creates a sandbox without starting it.
        watch: The host's side.
    """

    attack: Attack
    make_sandbox: MakeSandbox
    watch: HostWatch

    @asynccontextmanager
    async def room(self) -> AsyncIterator[Room]:
        """Open a session with the attack's time limit."""
        limits = replace(LIMITS, cell_timeout_s=self.attack.cell_timeout_s)
        async with opened(self.make_sandbox, limits) as room:
            yield room


@asynccontextmanager
async def opened(make_sandbox: MakeSandbox, limits: CellLimits = LIMITS) -> AsyncIterator[Room]:
    """Open a session over a small text, and check that it closes in time.

    Raises:
        Broken: Closing took too long.
        SandboxUnavailable: The sandbox cannot run here.
    """
    context = Context.from_text(TEXT)
    calls: list[str] = []

    async def llm_query(prompt: str) -> str:
        """Answer with the prompt."""
        calls.append("llm_query")
        return f"you said {prompt[:100]}"

    async def llm_query_batched(prompts: list[str]) -> list[str]:
        """Answer with the prompts."""
        calls.extend(["llm_query_batched"] * len(prompts))
        return [f"you said {prompt[:100]}" for prompt in prompts]

    functions = [
        HostFunction("llm_query", llm_query, "answers"),
        HostFunction("llm_query_batched", llm_query_batched, "answers"),
        *repl_functions(context),
    ]
    sandbox = make_sandbox()
    try:
        await sandbox.start(limits, context, {function.name: function for function in functions})
        yield Room(sandbox, limits, calls)
    finally:
        began = time.monotonic()
        await sandbox.close()
        took_s = time.monotonic() - began
    if took_s > CLOSE_S:
        raise Broken(f"closing took {took_s:.1f} s")


def told(execution: Execution) -> str:
    """Return everything that a cell reported to the host, as text."""
    error: Any = execution.error
    said = (error.type, error.message, error.traceback) if error else ()
    return "\n".join([execution.stdout, execution.stderr, repr(execution.value), execution.value_repr or "", *said])


def is_missing(execution: Execution) -> bool:
    """Return whether a cell failed because the sandbox's language lacks something."""
    return execution.outcome == "error" and execution.error is not None and execution.error.type in MISSING


async def still_works(room: Room) -> str:
    """Check that a session continues after an attack, or has ended with a typed error; return which.

    Raises:
        Broken: Neither is the case, or a trivial cell repeatedly reaches a limit.
    """
    execution = Execution()
    for _ in range(3):  # the first cells after a loss may be the ones that detect it
        try:
            execution = await room.run("40 + 2")
        except SandboxError as error:
            return f"the session ended: {error}"
        if execution.outcome == "ok" and execution.value == 42:
            return "the session goes on"
        if execution.outcome in ("ok", "error"):
            break
    else:
        raise Broken(f"no cell runs any more: 40 + 2 ends with {execution.outcome}, again and again")
    spoilt = execution.error.type if execution.error else repr(execution.value)
    # A cell may do anything to its own session, as long as the host gets an orderly result.
    return f"the session is spoilt ({spoilt[:60]})"
