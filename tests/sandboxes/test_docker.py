"""`docker` gives a cell a container with nothing in it, and leaves none behind."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker._config import (
    MEMORY_BYTES,
    TMP_BYTES,
)
from rlmbox.types import HostFunction
from sandboxes.docker_engine import is_podman
from sandboxes.docker_here import (
    LIMITS,
    LONG,
    containers,
    docker,
    each_runtime,
    needs_runc,
    shared_copies,
)
from sandboxes.local_repl import is_running, open_descriptors


@each_runtime
async def test_threads_and_child_processes_can_be_started(runtime: str) -> None:
    async with docker(runtime) as repl:
        code = """
        import subprocess, sys
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(20) as pool:
            squares = list(pool.map(lambda n: n * n, range(40)))
        [squares[-1], subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout]
        """
        assert await repl.value(code) == [1521, "42\n"]


@each_runtime
async def test_the_engine_has_every_flag(runtime: str) -> None:
    async with docker(runtime, text=LONG) as repl:
        (container,) = containers()
        assert repl.sandbox.runtime == runtime
        assert (repl.sandbox.warning is None) == (runtime == "runsc")
        assert await repl.value("[len(context), query]") == [40_000, "why?"]
    host, config = container["HostConfig"], container["Config"]
    assert container["State"]["Running"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"]) == ("none", True)
    assert host["CapDrop"] == ["ALL"] or (is_podman() and "NET_RAW" in host["CapDrop"])  # which gives them one by one
    assert host["Memory"] == host["MemorySwap"] == MEMORY_BYTES
    assert host["Runtime"] == ("oci" if is_podman() else runtime)
    assert host["PidsLimit"] == (256 if runtime == "runsc" else 50)
    assert int(config["User"].split(":")[0]) > 10_000
    shown = {mount["Destination"]: mount["RW"] for mount in container["Mounts"]}
    assert shown == {"/context": False}
    assert not container["NetworkSettings"]["Ports"]


@each_runtime
async def test_inside_there_is_nothing_and_no_right_to_anything(runtime: str) -> None:
    async with docker(runtime) as repl:
        seen = await repl.value(
            """
            import os
            lines = open("/proc/self/status").read().splitlines()
            status = dict(line.split(":\\t") for line in lines if ":\\t" in line)
            places = ("/x", "/etc/x", "/usr/x", "/dev/x", "/context", "/sys/x", "/proc/sys/kernel/x")
            devices = open("/proc/net/dev") if os.path.exists("/proc/net/dev") else ["lo:"]
            def fails(what):
                try:
                    what()
                except OSError as error:
                    return True
            def program():
                open("/tmp/program", "w").write("#!/usr/local/bin/python3\\n")
                os.chmod("/tmp/program", 0o755)
                os.execv("/tmp/program", ["program"])
            {
                "ids": sorted({os.getuid(), os.geteuid(), os.getgid(), os.getegid()}),
                "groups": [group for group in os.getgroups() if group != os.getgid()],
                "rights": {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0" * 16},
                "environment": [dict(os.environ), open("/proc/self/environ").read()],
                "writable": [path for path in places if not fails(lambda: open(path, "w"))],
                "programs": fails(program),
                "interfaces": [line.split(":")[0].strip() for line in devices if ":" in line],
            }
            """
        )
        assert len(seen["ids"]) == 1
        assert seen["ids"][0] > 10_000
        assert seen["groups"] == []
        assert seen["rights"] is True
        assert seen["environment"] == [{}, "PYTHONHASHSEED=1\0"]
        assert seen["writable"] == []
        assert seen["programs"] is True
        assert seen["interfaces"] == ["lo"]


@needs_runc
async def test_the_kernel_that_is_shared_lets_little_through() -> None:
    async with docker("runc") as repl:
        status = await repl.value("open('/proc/self/status').read()")
        assert {"NoNewPrivs:\t1", "Seccomp:\t2"} <= set(status.splitlines())
        tried = await repl.value(
            """
            import ctypes, os, socket
            libc = ctypes.CDLL(None, use_errno=True)
            def errno(number, *args):
                ctypes.set_errno(0)
                return libc.syscall(number, *args) == -1 and ctypes.get_errno()
            def refused(*kind):
                try:
                    socket.socket(*kind).close()
                except OSError as error:
                    return error.errno
            [
                errno(272, 0x10000000),                        # unshare a user namespace
                errno(101, 16, 1, 0, 0),                       # ptrace
                errno(321, 0, 0, 0),                           # bpf
                errno(435, 0, 0),                              # clone3, which a C library asks for first
                refused(socket.AF_INET), refused(16, 3, 0), refused(38, 5, 0),  # netlink, the kernel's crypto
            ]
            """
        )
        machine = os.uname().machine
        if machine == "x86_64":
            assert tried[:4] == [1, 1, 1, 38]
        assert tried[4:] == [1, 1, 1]


@needs_runc
async def test_processes_are_limited_and_the_dead_are_reaped() -> None:
    async with docker("runc") as repl:
        code = """
        import os, time
        def children():
            pids = []
            try:
                while len(pids) < 200:
                    pid = os.fork()
                    if pid == 0:
                        time.sleep(60)
                        os._exit(0)
                    pids.append(pid)
            except OSError:
                pass
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            return len(pids)
        children()
        """
        assert 40 <= await repl.value(code) < 50
        orphans = "for _ in range(200):\n    if os.fork() == 0:\n        os.fork()\n        os._exit(0)\n    os.wait()"
        assert (await repl.run(orphans)).outcome == "ok"
        assert await repl.value("children()") > 40


@each_runtime
async def test_files_are_limited(runtime: str) -> None:
    async with docker(runtime) as repl:
        kind = await repl.run(
            f"with open('/tmp/f', 'wb') as f:\n    for _ in range({2 * TMP_BYTES >> 20}): f.write(bytes(1 << 20))"
        )
        assert kind.error is not None
        assert kind.error.type == "OSError"
        kind = await repl.run("files = [open('/dev/null') for _ in range(1000)]")
        assert kind.error is not None
        assert "Too many open files" in kind.error.message


@each_runtime
async def test_output_past_pythons_streams_comes_with_its_cell(runtime: str) -> None:
    async with docker(runtime) as repl:
        for n in range(20):
            execution = await repl.run(
                f"import os\nprint('python')\nos.write(1, b'raw {n}\\n')\nos.write(2, b'error {n}\\n')"
            )
            assert (execution.stdout, execution.stderr) == (f"python\nraw {n}\n", f"error {n}\n")
        execution = await repl.run(
            "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(\"x\" * 1_000_000)']).returncode"
        )
        assert execution.value == 0
        assert len(execution.stdout) + execution.dropped_chars > 1_000_000


@each_runtime
async def test_an_interrupt_ends_the_cell_and_concerns_no_later_one(runtime: str) -> None:
    begun = anyio.Event()
    async with docker(runtime, HostFunction("begun", begun.set, "")) as repl:
        await repl.run("kept = 41")
        for size in (1, 100_000, 1_000_000):  # also right after a frame that is sent in several pieces
            text = "x" * size
            assert repl.sandbox.interrupt()
            assert await repl.value(f"len('{text}') + kept") == size + 41

        execution = await repl.run_interrupted("begun()\nwhile True: pass", begun)
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert await repl.value("kept + 1") == 42


@each_runtime
async def test_a_flood_past_pythons_streams_ends_the_cell_and_keeps_its_variables(runtime: str) -> None:
    limits = replace(LIMITS, output_flood_bytes=500_000, output_chars=1000)
    async with docker(runtime, limits=limits) as repl:
        execution = await repl.run("import os\nkept = 5\nwhile True:\n    os.write(1, b'x' * 65536)")
        assert (execution.outcome, execution.namespace) == ("output", "kept")
        after = await repl.run("print('mine')\nkept")
        assert (after.value, after.stdout) == (5, "mine\n")


# The cell stays within its own limit, and its children within theirs, which is the same; together they do not.
HOARD = """
import os, time
def fill(size):
    hoard = bytearray(size)
    hoard[::4096] = bytes(len(range(0, size, 4096)))
    return hoard
for _ in range(4):
    if os.fork() == 0:
        hoard = fill(100_000_000)
        time.sleep(8)
        os._exit(0)
hoard = fill(500_000_000)
time.sleep(8)
"""


@each_runtime
@pytest.mark.parametrize("flag", [True, False])
async def test_memory_that_many_processes_use_up_is_a_limit(
    runtime: str, flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = engine.end_state
    monkeypatch.setattr(engine, "end_state", lambda *args: {**ask(*args), "OOMKilled": flag})
    async with docker(runtime, limits=replace(LIMITS, memory_bytes=600_000_000)) as repl:
        execution = await repl.run(HOARD)
        # gVisor lets a cell kill process 1, so that there only the engine's flag can tell that it was for memory.
        is_sure = flag or runtime != "runsc"
        assert (execution.outcome, execution.namespace) == ("memory" if is_sure else "crashed", "lost")
        assert execution.error is not None
        assert (execution.error.type == "MemoryExceeded") == is_sure
        assert is_sure or "its memory ran out" in execution.error.message
        assert await repl.value("40 + 2") == 42


@each_runtime
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
    ],
)
async def test_a_worker_that_ends_says_how(runtime: str, code: str, how: str) -> None:
    async with docker(runtime) as repl:
        execution = await repl.run(code)
        assert execution.outcome == "crashed"
        assert execution.error is not None
        assert how in execution.error.message


@each_runtime
async def test_frames_forged_at_process_1_harm_nobody_else(runtime: str) -> None:
    async with docker(runtime) as repl:
        execution = await repl.run(
            """
            import os
            for fd in os.listdir("/proc/1/fd") if os.access("/proc/1/fd", os.R_OK) else []:
                try:
                    os.write(os.open(f"/proc/1/fd/{fd}", os.O_WRONLY), b"\\x09garbage" * 100)
                except OSError:
                    pass
            """
        )
        assert execution.outcome in ("ok", "crashed", "error")
        assert await repl.value("40 + 2") == 42


@each_runtime
async def test_nothing_is_left_however_a_session_ends(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other sessions of this machine use the usual place
    async with docker(runtime):  # opens what the event loop keeps
        pass
    descriptors, copies = open_descriptors(), shared_copies()

    async def session(code: str) -> None:  # whose text, which has a file, is gone when it returns
        with anyio.move_on_after(1.5):
            async with docker(runtime, text=LONG) as repl:
                assert len(shared_copies() - copies) == 1
                await repl.run(code)

    for code in ("1", "import os; os._exit(1)", "while True: pass"):
        await session(code)
    sandbox = DockerSandbox(runtime=runtime or None)
    with anyio.move_on_after(0.01) as scope:
        await sandbox.start(LIMITS, Context.from_text("x"), {})
    assert scope.cancelled_caught
    await sandbox.close()
    assert containers() == []
    assert shared_copies() == copies
    assert open_descriptors() <= descriptors


@each_runtime
async def test_a_container_ends_with_its_host_and_the_next_host_removes_what_is_left(runtime: str) -> None:
    program = """
    import sys
    import anyio
    from rlmbox.context import Context
    from rlmbox.sandboxes.docker import DockerSandbox
    from rlmbox.types import Cell, CellLimits

    async def main():
        sandbox = DockerSandbox(runtime=sys.argv[1])
        await sandbox.start(CellLimits(cell_timeout_s=600), Context.from_text("x" * 40_000), {})
        print((await sandbox.execute(Cell("1"))).value, flush=True)
        await sandbox.execute(Cell("while True:\\n    try: sum(range(10**9))\\n    except BaseException: pass"))

    anyio.run(main)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), runtime]
    host = await anyio.open_process(command, stdout=subprocess.PIPE)
    async with host:
        assert host.stdout is not None
        assert (await host.stdout.receive()).strip() == b"1"
        (container,) = containers(host.pid)
        await anyio.sleep(0.2)
        assert containers(host.pid)[0]["State"]["Running"]
        host.kill()
    with anyio.fail_after(240):
        while (left := containers(host.pid)) and left[0]["State"]["Running"]:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.1)
    assert not is_running(container["State"]["Pid"])
    (folder,) = (path for path in shared_copies() if str(path / "context") in json.dumps(container["Mounts"]))
    os.utime(folder, (0, 0))  # a new one is left alone
    async with docker(runtime):
        assert containers(host.pid) == []
        assert folder not in shared_copies()
