"""A person ends a cell that runs, and the session goes on."""

import asyncio

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.worker import _link
from rlmbox.types import Cell, CellLimits, HostFunction
from sandboxes.local_repl import local


async def test_an_interrupt_ends_the_cell_and_keeps_the_session() -> None:
    begun = anyio.Event()
    async with local(HostFunction("begun", begun.set, "")) as repl:
        assert repl.sandbox.interrupt()  # between two cells it does nothing
        await repl.run("kept = 3")

        execution = await repl.run_interrupted("begun()\nwhile True:\n    pass", begun, after_s=0.1)
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert await repl.value("kept") == 3
    assert not repl.sandbox.interrupt()


async def test_an_interrupt_while_a_worker_starts_does_it_no_harm() -> None:
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    starting = asyncio.ensure_future(sandbox.start(CellLimits(), Context.from_text("text"), {}))
    while not starting.done():
        sandbox.interrupt()
        await asyncio.sleep(0)
    await starting
    assert (await sandbox.execute(Cell("40 + 2"))).value == 42
    await sandbox.close()


@pytest.mark.parametrize(
    ("code", "namespace"),
    [("begun()\nsum(range(10**15))", "lost"), ("begun()\nslow()", "kept")],  # a paid call is waited for
)
async def test_a_cell_that_goes_on_after_an_interrupt_is_killed_unless_it_waits_for_the_host(
    code: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_link, "INTERRUPT_GRACE_S", 0.2)
    begun, given = anyio.Event(), list[str]()

    async def slow() -> None:
        await anyio.sleep(0.5)
        given.append("yes")

    async with local(HostFunction("begun", begun.set, ""), HostFunction("slow", slow, "")) as repl:
        await repl.run("kept = 3")

        execution = await repl.run_interrupted(code, begun, after_s=0.1)
        assert (execution.outcome, execution.namespace) == ("error", namespace)
        assert given == (["yes"] if namespace == "kept" else [])
        assert await repl.value("'kept' in globals()") is (namespace == "kept")
