"""The process around a guest of `wasm`: what it has given up, and that it is gone afterwards."""

import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlmbox.sandboxes.kernel._seccomp import MACHINES
from sandboxes.local_repl import child_of_killed_host, is_running, open_descriptors, wait_for_end
from sandboxes.wasm_here import LIMITS, may_compile, needs_extra, wasm

pytestmark = may_compile
on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc to look into")


@needs_extra
@on_linux
@pytest.mark.parametrize("start", ["real", "preloaded"])
async def test_the_process_around_the_guest_has_given_up_what_it_does_not_need(
    start: str, request: pytest.FixtureRequest
) -> None:
    if start == "preloaded":
        request.getfixturevalue("preloaded_wasm")
    async with wasm(limits=replace(LIMITS, memory_bytes=64 << 20)) as repl:
        proc = Path(f"/proc/{repl.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        limits = {line[:25].strip(): line[25:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
        assert (proc / "environ").read_bytes() == b"PYTHONHASHSEED=1\0"
        assert limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
        assert limits["Max open files"] == ["64", "64"]
        assert 0 < int(limits["Max data size"][1]) < 2 << 30
        assert (proc / "stat").read_text().rpartition(")")[2].split()[1:4] == [f"{os.getpid()}", *[f"{repl.pid}"] * 2]
        for task in (proc / "task").iterdir():
            assert "NoNewPrivs:\t1" in (task / "status").read_text()
            assert os.uname().machine not in MACHINES or "Seccomp:\t2" in (task / "status").read_text()
        if os.geteuid() == 0:
            assert set(status["Uid"].split()) == {"65534"}
            assert set(status["Gid"].split()) == {"65534"}
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


@needs_extra
async def test_sessions_at_once_do_not_meet() -> None:
    async def one(n: int) -> None:
        async with wasm(text=f"text {n}") as repl:
            await repl.run(f"x = {n}")
            assert await repl.value("[x, context]") == [n, f"text {n}"]

    async with anyio.create_task_group() as tasks:
        for n in range(6):
            tasks.start_soon(one, n)


@needs_extra
@on_linux
async def test_closing_leaves_no_process_and_no_descriptor() -> None:
    async with wasm():  # opens what the event loop keeps
        pass
    before = open_descriptors()
    for n in range(5):
        async with wasm() as repl:
            assert is_running(repl.pid)
            if n % 2:
                await repl.run("import os; os._exit(1)")
        assert not is_running(repl.pid)
    assert open_descriptors() <= before


@needs_extra
@on_linux
async def test_the_guest_ends_with_the_host_whatever_its_cell_does() -> None:
    program = """
    import anyio, os
    from rlmbox.context import Context
    from rlmbox.sandboxes.wasm import WasmSandbox
    from rlmbox.types import Cell, CellLimits

    async def main():
        sandbox = WasmSandbox()
        await sandbox.start(CellLimits(cell_timeout_s=600), Context.from_text("x"), {})
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            print(file.read() or sandbox._process._process.pid, flush=True)
        await sandbox.execute(Cell("while True:\\n    try: sum(range(10**9))\\n    except BaseException: pass"))

    anyio.run(main)
    """
    wait_for_end(await child_of_killed_host(program))


@needs_extra
async def test_a_cancelled_cell_leaves_nothing() -> None:
    async with wasm() as repl:
        with anyio.move_on_after(0.2):
            await repl.run("while True: pass")
        assert not is_running(repl.pid)
