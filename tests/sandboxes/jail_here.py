"""Whether jails can be built here, and what tests of them share."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox, _host, _plan
from rlmbox.types import Cell, CellLimits, Execution
from sandboxes.repl import children_of

LIMITS = CellLimits(cell_timeout_s=10.0)
SOURCE = Path(_plan.__file__).parents[3]
"""Where the package under test lies: for interpreters that tests start, and as a path that no cell may see."""


@cache
def why_no_jail() -> str:
    """Gives why `JailSandbox` cannot be tried here, or '' where it can."""

    async def attempt() -> None:
        async with jail():
            pass

    try:
        anyio.run(attempt)
    except SandboxUnavailable as error:
        return str(error)
    return ""


@asynccontextmanager
async def jail(
    limits: CellLimits = LIMITS, *, text: str = "the context", sandbox: JailSandbox | None = None
) -> AsyncIterator[JailSandbox]:
    sandbox = sandbox or JailSandbox()
    try:
        await sandbox.start(limits, Context.from_text(text), {})
        yield sandbox
    finally:
        await sandbox.close()


async def run(sandbox: JailSandbox, code: str) -> Execution:
    return await sandbox.execute(Cell(code))


async def value(sandbox: JailSandbox, code: str) -> Any:
    execution = await run(sandbox, code)
    assert execution.outcome == "ok", execution.error
    return execution.value


def pid_of(sandbox: JailSandbox) -> int:
    process: Any = sandbox._process
    return int(process.pid)


def fork_server_pid() -> int:
    found = [pid for pid in children_of(os.getpid()) if "jail._fork_server" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(found) == 1, found
    return found[0]


def _is_there(pid: int) -> bool:
    """Tells whether a process lives; one that ended and is not asked about yet by its parent, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def spares_ready(in_use: int = 0, within_s: float = 30.0) -> set[int]:
    """Wait until the fork server has built all the jails that it keeps ready; return what lives below it.

    Args:
        in_use: Jails that sessions hold.
        within_s: Seconds to wait; what is there after them is returned all the same.
    """
    for _ in range(int(within_s / 0.02)):
        if len(children_of(fork_server_pid())) == _host.SPARES + in_use:
            break
        await anyio.sleep(0.02)
    return children_of(fork_server_pid())


async def gone(pids: set[int], within_s: float = 30.0) -> set[int]:
    """Waits for processes to end; gives those that did not."""
    left = pids
    for _ in range(int(within_s / 0.02)):
        left = {pid for pid in left if _is_there(pid)}
        if not left:
            break
        await anyio.sleep(0.02)
    return left
