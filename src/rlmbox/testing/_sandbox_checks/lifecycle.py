"""Checks of starting, cancelling, crashing and closing."""

from __future__ import annotations

import anyio

from rlmbox.errors import SandboxError
from rlmbox.testing._sandbox_checks._opened import LIMITS, MakeSandbox, expect, expect_equal, opened
from rlmbox.types import Cell, HostFunction

_SOON_S = 5.0
_LOOP = "while True:\n    pass"


async def check_it_is_described(make_sandbox: MakeSandbox) -> None:
    """A sandbox has a name, and its notes are sentences."""
    sandbox = make_sandbox()
    expect_equal(type(sandbox.name), str, "the type of name")
    expect(sandbox.name, "name is not empty")
    expect_equal([type(note) for note in sandbox.notes], [str] * len(sandbox.notes), "the types of the notes")
    told = getattr(sandbox, "outlives_cancellation", None)
    expect_equal(type(told), bool, "the type of outlives_cancellation")
    await sandbox.close()


async def check_closing_twice_is_allowed(make_sandbox: MakeSandbox) -> None:
    """`close` can be called twice, and without a start."""
    never_started = make_sandbox()
    await never_started.close()
    await never_started.close()
    async with opened(make_sandbox) as repl:
        await repl.sandbox.close()
        await repl.sandbox.close()


async def check_a_closed_sandbox_refuses_cells(make_sandbox: MakeSandbox) -> None:
    """After `close` a cell raises SandboxError."""
    async with opened(make_sandbox) as repl:
        await repl.ok("x = 1")
        await repl.sandbox.close()
        try:
            await repl.sandbox.execute(Cell("x"))
        except SandboxError:
            return
        raise AssertionError("execute raises SandboxError after close")


async def check_closing_ends_a_running_cell(make_sandbox: MakeSandbox) -> None:
    """`close` during a cell ends it at once; the cell's task gets an execution or SandboxError."""
    async with opened(make_sandbox) as repl, anyio.create_task_group() as tasks:
        ended = anyio.Event()

        async def loop() -> None:
            try:
                execution = await repl.sandbox.execute(Cell(_LOOP))
                expect(execution.outcome != "ok", "a cell that was ended is not ok")
            except SandboxError:
                pass
            ended.set()

        tasks.start_soon(loop)
        await anyio.sleep(0.1)
        with anyio.fail_after(_SOON_S):
            await repl.sandbox.close()
            await ended.wait()


async def check_a_looping_cell_can_be_cancelled(make_sandbox: MakeSandbox) -> None:
    """Cancelling the task that waits for a cell ends it promptly as cancelled; `close` still works."""
    async with opened(make_sandbox) as repl:
        with anyio.fail_after(_SOON_S):
            with anyio.move_on_after(0.1) as scope:
                await repl.sandbox.execute(Cell(_LOOP))
            expect(scope.cancelled_caught, "the cancellation comes through")
            await repl.sandbox.close()


async def check_a_waiting_cell_can_be_cancelled(make_sandbox: MakeSandbox) -> None:
    """Cancelling during a host call cancels the host function too."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await anyio.sleep(3600)
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async with opened(make_sandbox, [HostFunction("wait", wait, "waits")]) as repl:
        with anyio.fail_after(_SOON_S):
            with anyio.move_on_after(0.3) as scope:
                await repl.sandbox.execute(Cell("wait()"))
            expect(scope.cancelled_caught, "the cancellation comes through")
            await repl.sandbox.close()
    expect_equal(ended, ["cancelled"], "what became of the host's function")


async def check_what_a_cancellation_leaves_is_as_it_says(make_sandbox: MakeSandbox) -> None:
    """After a cell is cancelled, either everything it did is kept or nothing, according to `outlives_cancellation`."""
    waits = anyio.Event()

    async def wait() -> None:
        waits.set()
        await anyio.sleep_forever()

    async with opened(make_sandbox, [HostFunction("wait", wait, "waits")]) as repl, anyio.create_task_group() as tasks:
        await repl.ok("before = 1")
        cancelled = anyio.CancelScope()

        async def run() -> None:
            with cancelled:
                await repl.sandbox.execute(Cell("of_it = 2\nwait()"))

        tasks.start_soon(run)
        with anyio.fail_after(_SOON_S):
            await waits.wait()
        cancelled.cancel()
        await anyio.sleep(0.1)
        if repl.sandbox.outlives_cancellation:
            expect_equal(await repl.value("[before, of_it]"), [1, 2], "the variables")
            return
        try:
            await repl.error("before", "NameError")
        except SandboxError:
            return


async def check_closing_ends_a_waiting_cell(make_sandbox: MakeSandbox) -> None:
    """`close` during a host call cancels the host function."""
    ended = anyio.Event()

    async def wait() -> None:
        try:
            await anyio.sleep(3600)
        finally:
            ended.set()

    async def run() -> None:
        try:
            await repl.sandbox.execute(Cell("wait()"))
        except SandboxError:
            return

    async with opened(make_sandbox, [HostFunction("wait", wait, "waits")]) as repl, anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.sleep(0.2)
        with anyio.fail_after(_SOON_S):
            await repl.sandbox.close()
            await ended.wait()


async def check_a_crash_is_an_outcome(make_sandbox: MakeSandbox) -> None:
    """A cell that ends its process has the outcome `crashed`, or fails if it cannot; the next cell runs."""
    async with opened(make_sandbox) as repl:
        execution = await repl.run("import os\nos._exit(3)")
        expect(execution.outcome in ("crashed", "error"), f"it is crashed or an error, not {execution.outcome}")
        if execution.outcome == "crashed":
            expect_equal(execution.error and execution.error.type, "SandboxCrashed", "the error's type")
            expect(execution.namespace in ("lost", "rebuilt"), "what became of the variables is said")
        await repl.still_works()


async def check_a_fresh_worker_has_the_context(make_sandbox: MakeSandbox) -> None:
    """After a crash the context, the question and the host functions are available again."""
    async with opened(make_sandbox, [HostFunction("ping", lambda: "pong", "answers")], text="é🎉") as repl:
        await repl.run("context = 'overwritten'\nimport os\nos._exit(3)")
        expect_equal(await repl.value("[P, query, ping()]"), ["é🎉", "the question", "pong"], "what the cell sees")


async def check_many_cells_can_run(make_sandbox: MakeSandbox) -> None:
    """Three hundred consecutive cells work like the first."""
    async with opened(make_sandbox) as repl:
        await repl.ok("n = 0")
        for _ in range(300):
            await repl.ok("n += 1")
        expect_equal(await repl.value("n"), 300, "the count")


async def check_sandboxes_run_side_by_side(make_sandbox: MakeSandbox) -> None:
    """Several sandboxes in one process do not block each other's host calls."""
    arrived: list[int] = []
    all_there = anyio.Event()

    async def meet(n: int) -> int:
        arrived.append(n)
        if len(arrived) == 3:
            all_there.set()
        await all_there.wait()
        return n

    async def run(n: int) -> None:
        async with opened(make_sandbox, [HostFunction("meet", meet, "waits for all")], limits=LIMITS) as repl:
            expect_equal(await repl.value(f"meet({n})"), n, "the result")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(run, n)
