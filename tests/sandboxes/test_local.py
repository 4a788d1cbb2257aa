"""`local` does what a plain child process can do, and leaves nothing behind."""

import gc
import shutil
import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import ConfigError, SandboxCrashed, SandboxError, SandboxUnavailable
from rlmbox.sandboxes.local import LocalSandbox, _sandbox
from rlmbox.types import Cell, HostFunction
from sandboxes.local_repl import (
    LIMITS,
    child_of_killed_host,
    is_running,
    local,
    open_descriptors,
    private_directories,
    wait_for_end,
)

pytestmark = pytest.mark.usefixtures("folders")  # other tests make sessions in the usual place at the same time


@pytest.mark.parametrize("word", [False, "yes", 1, None])
def test_it_has_to_be_enabled_in_words_that_say_what_it_means(word: Any) -> None:
    with pytest.raises(ConfigError, match=r"does not isolate.*unsafe_no_isolation=True"):
        LocalSandbox(unsafe_no_isolation=word)
    with pytest.raises(ConfigError):
        LocalSandbox()


async def test_closing_leaves_no_process_no_descriptor_and_no_directory() -> None:
    directories = private_directories()
    async with local():  # opens what the event loop keeps
        pass
    before = open_descriptors()
    async with local() as repl:
        pid, child, directory = await repl.value(
            """
            import os, subprocess
            child = subprocess.Popen(["sleep", "600"])
            open("left", "w").write("x")
            [os.getpid(), child.pid, os.getcwd()]
            """
        )
        assert is_running(pid)
        assert is_running(child)
        assert Path(directory, "left").exists()
    assert not is_running(pid)
    wait_for_end(child)
    assert not Path(directory).exists()
    assert open_descriptors() <= before
    assert private_directories() <= directories


async def test_twenty_sessions_leave_nothing() -> None:
    async with local():
        pass
    before = open_descriptors()
    pids = []
    for n in range(20):
        async with local() as repl:
            pids.append(await repl.value("import os\nos.getpid()"))
            if n % 3 == 1:
                await repl.run("os._exit(1)")
            if n % 3 == 2:
                await repl.run("os.kill(os.getpid(), 9)")
    assert open_descriptors() <= before  # what another test opened may be closed in the meantime
    assert not any(map(is_running, pids))


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    async with local():
        pass
    before, directories = open_descriptors(), private_directories()
    cancelled = 0
    for delay_ms in (0, 1, 2, 4, 8, 12, 16, 24, 32):
        sandbox = LocalSandbox(unsafe_no_isolation=True)
        with anyio.move_on_after(delay_ms / 1000) as scope:
            await sandbox.start(LIMITS, Context.from_text("x" * 1_000_000), {})
        cancelled += scope.cancelled_caught
        await sandbox.close()
    assert cancelled
    del sandbox  # and with it the text, whose file is kept for further sessions
    gc.collect()
    assert open_descriptors() <= before
    assert private_directories() <= directories


async def test_a_cancelled_cell_closes_the_sandbox() -> None:
    async with local() as repl:
        pid = await repl.value("import os\nos.getpid()")
        with anyio.move_on_after(0.1) as scope:
            await repl.run("while True: pass")
        assert scope.cancelled_caught
        assert not is_running(pid)
        with pytest.raises(SandboxError, match="closed"):
            await repl.run("1")


async def test_a_directory_that_a_cell_locked_is_removed() -> None:
    async with local() as repl:
        directory = await repl.value(
            """
            import os
            os.makedirs("a/b")
            open("a/b/c", "w").close()
            os.chmod("a/b", 0)
            os.chmod("a", 0)
            os.getcwd()
            """
        )
    assert not Path(directory).exists()


async def test_the_environment_and_the_arguments_are_empty() -> None:
    async with local() as repl:
        code = "import os, sys\n[dict(os.environ), sys.argv, sys.flags.no_user_site, sys.flags.safe_path]"
        assert await repl.value(code) == [{}, [""], 1, True]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc to look into")
async def test_the_worker_has_no_other_descriptors() -> None:
    with socket.socket() as inherited:
        inherited.set_inheritable(True)
        async with local() as repl:
            pid = await repl.value("import os\nos.getpid()")
            names = sorted(str(path.readlink()).partition(":")[0] for path in Path(f"/proc/{pid}/fd").iterdir())
    assert names == ["/dev/null", "pipe", "pipe", "pipe", "socket"]


async def test_files_are_read_as_utf_8_whatever_the_host_speaks() -> None:
    async with local() as repl:
        assert await repl.value("open('f', 'w').write('é🎉')\nopen('f', 'rb').read().decode()") == "é🎉"


async def test_output_past_pythons_streams_is_captured() -> None:
    async with local() as repl:
        execution = await repl.run(
            """
            import os, subprocess, sys
            print("python")
            os.write(1, b"raw\\n")
            subprocess.run(["sh", "-c", "echo child; echo error >&2"])
            sys.stdout.buffer.write(b"bytes\\xff\\n")
            """
        )
    assert sorted(execution.stdout.splitlines()) == ["bytes\ufffd", "child", "python", "raw"]
    assert execution.stderr == "error\n"


FLOODED = replace(LIMITS, output_flood_bytes=500_000, output_chars=1000)


async def test_a_flood_past_pythons_streams_ends_the_cell_and_keeps_its_variables() -> None:
    async with local(limits=FLOODED) as repl:
        for _ in range(2):
            execution = await repl.run("import os\nkept = 5\nwhile True:\n    os.write(1, b'x' * 65536)")
            assert (execution.outcome, execution.namespace) == ("output", "kept")
            assert execution.error is not None
            assert execution.error.type == "OutputExceeded"
            assert execution.stdout.startswith("x" * 500 + "\n... [")
            after = await repl.run("print('mine')\nkept")
            assert (after.value, after.stdout) == (5, "mine\n")


async def test_a_flood_that_heeds_no_interrupt_is_killed() -> None:
    async with local(limits=FLOODED) as repl:
        attempt = "    try:\n        os.write(1, b'x' * 65536)\n    except BaseException:\n        pass"
        code = f"import os\nwhile True:\n{attempt}"
        execution = await repl.run(code)
        assert (execution.outcome, execution.namespace) == ("output", "lost")
        assert await repl.value("1") == 1


async def test_a_process_that_outlives_its_cell_writes_into_no_terminal() -> None:
    async with local() as repl:
        await repl.run(
            "import subprocess\np = subprocess.Popen(['sh', '-c', 'read x; echo late'], stdin=subprocess.PIPE)"
        )
        execution = await repl.run("_ = p.communicate(b'go')")
    assert execution.stdout == "late\n"


async def test_a_process_that_writes_between_two_cells_writes_into_neither() -> None:
    async with local() as repl:
        folder = await repl.value(
            "import os, subprocess\np = subprocess.Popen(['sh', '-c', 'sleep 0.1; echo late; touch done'])\nos.getcwd()"
        )
        with anyio.fail_after(240):
            while not Path(folder, "done").exists():  # noqa: ASYNC110 - a file has no event
                await anyio.sleep(0.02)
        execution = await repl.run("print('on time')")
    assert execution.stdout == "on time\n"


async def test_packages_are_imported_from_the_directories_that_were_named(tmp_path: Path) -> None:
    (tmp_path / "mypackage.py").write_text("answer = 42")
    async with local() as repl:
        assert (await repl.run("import mypackage")).error is not None
    async with local(packages=[tmp_path]) as repl:
        assert await repl.value("import mypackage\nmypackage.answer") == 42


async def test_modules_of_the_working_directory_are_not_imported() -> None:
    async with local() as repl:
        assert (await repl.run("open('shadow.py', 'w').write('x = 1')\nimport shadow")).error is not None


async def test_names_that_cannot_be_functions_are_refused() -> None:
    for name in ("a-b", "a.b.c", "", "1x"):
        sandbox = LocalSandbox(unsafe_no_isolation=True)
        with pytest.raises(ConfigError, match="cannot be the name of a host function"):
            await sandbox.start(LIMITS, Context.from_text("x"), {name: HostFunction(name, int, "")})
        await sandbox.close()


async def test_a_sandbox_is_started_once() -> None:
    async with local() as repl:
        with pytest.raises(SandboxError, match="only once"):
            await repl.sandbox.start(LIMITS, Context.from_text("x"), {})


def test_cells_that_wait_for_each_other_may_do_so_on_one_event_loop_after_another() -> None:
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    printed: list[str] = []

    async def run(number: int) -> None:
        printed.append((await sandbox.execute(Cell(f"print({number})"))).stdout)

    async def both(*, first: bool) -> None:
        if first:
            await sandbox.start(LIMITS, Context.from_text("text"), {})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, 1)
            tasks.start_soon(run, 2)
        if not first:
            await sandbox.close()

    anyio.run(partial(both, first=True))
    anyio.run(partial(both, first=False))
    assert printed == ["1\n", "2\n"] * 2


async def test_a_cell_before_the_start_is_refused() -> None:
    with pytest.raises(SandboxError):
        await LocalSandbox(unsafe_no_isolation=True).execute(Cell("1"))


@pytest.mark.parametrize("program", ["/no/such/python", "false"])
async def test_an_interpreter_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which(program) or program)
    directories = private_directories()
    before = open_descriptors()
    with pytest.raises(SandboxUnavailable, match="the worker"):
        async with local():
            pass
    assert open_descriptors() <= before + 3  # what the event loop keeps
    assert private_directories() <= directories


async def test_a_worker_that_cannot_be_replaced_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local() as repl:
        await repl.run("import os; os._exit(1)")
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(SandboxCrashed, match="no new one could be started"):
            await repl.run("1")


async def test_the_worker_ends_with_the_host_whatever_its_cell_does(tmp_path: Path) -> None:
    program = """
    import anyio, sys
    from rlmbox.context import Context
    from rlmbox.sandboxes.local import LocalSandbox
    from rlmbox.types import Cell, CellLimits

    async def main():
        sandbox = LocalSandbox(unsafe_no_isolation=True)
        await sandbox.start(CellLimits(cell_timeout_s=600), Context.from_text("x"), {})
        print((await sandbox.execute(Cell("import os; os.getpid()"))).value, flush=True)
        await sandbox.execute(Cell("while True:\\n    try: sum(range(10**9))\\n    except BaseException: pass"))

    anyio.run(main)
    """
    # A host that is killed cannot remove its session's directory, so that is made where pytest will.
    pid = await child_of_killed_host(program, TMPDIR=str(tmp_path))
    if sys.platform == "linux":
        wait_for_end(pid)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
async def test_the_worker_runs_on_other_pythons(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    found = shutil.which(f"python{version}")
    if found is None or version.endswith(f".{sys.version_info[1]}"):
        pytest.skip(f"there is no other Python {version} here")
    command = [found, "-c", "import sys; print(sys.executable)"]
    told = await anyio.run_process(command, check=False)
    if told.returncode:
        pytest.skip(f"{found} does not run here")
    program = told.stdout.decode().strip()
    monkeypatch.setattr(sys, "executable", program)
    async with local(HostFunction("ping", lambda: "pong", "answers")) as repl:
        assert await repl.value("import sys\nsys.executable") == program
        assert await repl.value("[len(context), await ping()]") == [4, "pong"]
        assert (await repl.run("1 / 0")).error is not None
        assert (await repl.run("def f(): return f()\nf()")).outcome == "stack"


async def test_a_worker_whose_interpreter_writes_code_otherwise_reads_the_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_sandbox, "MAGIC_NUMBER", b"none")
    _sandbox._code.cache_clear()
    try:
        async with local(HostFunction("ping", lambda: "pong", "answers")) as repl:
            assert await repl.value("[len(context), ping()]") == [4, "pong"]
            failed = await repl.run("1 / 0")
            assert failed.error is not None
            assert "_worker.py" not in failed.error.traceback
    finally:
        _sandbox._code.cache_clear()


async def test_a_timeout_beside_what_is_awaited_stays_a_number() -> None:
    async with local() as repl:
        code = """
            import asyncio
            async def soon(value):
                await asyncio.sleep(0)
                return value
            [await asyncio.wait_for(soon(1), 50), await asyncio.wait_for(soon(2), timeout=50)]
        """
        assert await repl.value(code) == [1, 2]


async def test_the_case_of_a_context_that_is_not_ascii_is_changed_within_the_limits() -> None:
    # CPython takes twelve bytes a character for that, besides the copy.
    text = "Größe " * 500_000
    limits = replace(LIMITS, memory_bytes=32 << 20)
    async with local(text=text, limits=limits) as repl:
        for name in ("lower", "upper", "title", "casefold"):
            assert await repl.value(f"context.{name}()[-12:]") == getattr(text, name)()[-12:]
