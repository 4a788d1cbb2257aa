"""A session in a sandbox, as tests speak to it."""

import textwrap
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio

from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, Execution

AnySandbox = TypeVar("AnySandbox", bound=Sandbox)


class Repl(Generic[AnySandbox]):
    def __init__(self, sandbox: AnySandbox, pid: int = 0) -> None:
        self.sandbox = sandbox
        self.pid = pid

    async def run(self, code: str) -> Execution:
        return await self.sandbox.execute(Cell(textwrap.dedent(code)))

    async def value(self, code: str) -> Any:
        execution = await self.run(code)
        assert execution.outcome == "ok", execution
        return execution.value

    async def run_interrupted(self, code: str, begun: anyio.Event, *, after_s: float = 0.0) -> Execution:
        """Run a cell that is interrupted so long after it has set an event."""

        async def interrupt() -> None:
            await begun.wait()
            await anyio.sleep(after_s)
            assert getattr(self.sandbox, "interrupt", bool)()  # which not every sandbox has

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            execution = await self.run(code)
        assert execution.error is not None
        assert execution.error.type == "KeyboardInterrupt"
        return execution


def children_of(pid: int) -> set[int]:
    """The living processes that a process started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(folder.name))
    return found
