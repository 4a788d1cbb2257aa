"""`docker` gives a cell a container with nothing in it, and leaves none behind."""

import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import DockerSandbox, _wire
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker import _sandbox as module
from rlmbox.sandboxes.docker import image as docker_image
from rlmbox.sandboxes.docker._config import (
    CONTEXT_PATH,
    MEMORY_BYTES,
    TMP_BYTES,
    TMP_FILES,
    ContainerPlan,
    container_config,
    container_memory_bytes,
    seccomp_profile,
)
from rlmbox.types import Cell, CellLimits, HostFunction
from sandboxes.docker_engine import RELAYED, ShutDoor, is_podman, runtimes, ways, why_no_docker
from sandboxes.local_repl import is_running, open_descriptors
from sandboxes.repl import Repl

LIMITS = CellLimits(cell_timeout_s=10.0)
PLAN = ContainerPlan(
    "image:tag", "runsc", 12_345, MEMORY_BYTES, 50, {CONTEXT_PATH: "/private/context"}, "{}", {"a": "b"}
)
LONG = "é" * 40_000  # too long to be sent in the first frame

needs_engine = pytest.mark.skipif(bool(why_no_docker()), reason=why_no_docker())
each_runtime = pytest.mark.parametrize("runtime", runtimes() or [pytest.param("", marks=needs_engine)])
each_way = pytest.mark.parametrize("way", ways() or [pytest.param("", marks=needs_engine)])
needs_runc = pytest.mark.skipif("runc" not in runtimes(), reason=why_no_docker() or "the engine has no runc")


@asynccontextmanager
async def docker(
    way: str | None = None, *functions: HostFunction, text: str = "text", limits: CellLimits = LIMITS
) -> AsyncIterator[Repl[DockerSandbox]]:
    sandbox = DockerSandbox(runtime=way.removesuffix(RELAYED) if way else None)
    with pytest.MonkeyPatch.context() as patch:
        if way is not None and way.endswith(RELAYED):
            patch.setattr(module, "Door", ShutDoor)
        try:
            await sandbox.start(limits, Context.from_text(text), {f.name: f for f in functions}, query="why?")
            yield Repl(sandbox)
        finally:
            await sandbox.close()


def containers(owner: int | None = None) -> list[dict[str, Any]]:
    """Lists the containers of a process of ours, this one's unless told."""
    with engine.connect(None) as client:
        found = client.containers(all=True, filters={"label": [engine.LABEL]})
        mine = [one for one in found if one["Labels"][engine.OWNER_LABEL].split(":")[1] == str(owner or os.getpid())]
        return [client.inspect_container(one["Id"]) for one in mine]


def shared_copies() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("rlmbox-docker-*"))


# What needs no engine.


def test_a_container_is_allowed_nothing_that_it_does_not_need() -> None:
    body = container_config(PLAN)
    host = body["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "none"
    assert host["CgroupnsMode"] == "private"
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert "CapAdd" not in host
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 512 * 1024**2
    assert host["PidsLimit"] == 50
    assert host["NanoCpus"] == 1_000_000_000
    assert host["Init"] is False
    assert host["Runtime"] == "runsc"
    assert host["LogConfig"]["Type"] == "none"
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert {"noexec", "nosuid", "nodev", f"size={TMP_BYTES}"} <= set(host["Tmpfs"]["/tmp"].split(","))
    limited = container_config(replace(PLAN, tmp_files=TMP_FILES))["HostConfig"]["Tmpfs"]["/tmp"]
    assert limited.split(",")[-1] == f"nr_inodes={TMP_FILES}"
    ulimits = {one["Name"]: (one["Soft"], one["Hard"]) for one in host["Ulimits"]}
    assert ulimits["core"] == (0, 0)
    assert ulimits["fsize"] == (TMP_BYTES, TMP_BYTES)
    assert ulimits["nofile"] == (256, 256)
    (mount,) = host["Mounts"]
    assert (mount["Type"], mount["Source"], mount["ReadOnly"]) == ("bind", "/private/context", True)
    assert body["User"] == "12345:12345"
    assert body["Env"] == []
    assert body["Labels"] == {"a": "b"}
    assert not {"Binds", "Devices", "PortBindings", "VolumesFrom", "ExtraHosts"} & set(host)


def test_a_container_without_a_context_mounts_nothing_and_the_default_runtime_is_not_named() -> None:
    host = container_config(replace(PLAN, mounts={}, runtime=None))["HostConfig"]
    assert "Mounts" not in host
    assert "Runtime" not in host


REFUSED = """
acct add_key bpf chroot clone3 execveat fanotify_init init_module io_uring_setup ioperm iopl kexec_load keyctl
memfd_create mknod mount name_to_handle_at open_by_handle_at perf_event_open personality pivot_root process_vm_readv
process_vm_writev ptrace quotactl reboot request_key setns swapon syslog umount2 unshare userfaultfd vmsplice
"""


@pytest.mark.parametrize("name", REFUSED.split())
def test_system_calls_that_open_kernels_are_not_let_through(name: str) -> None:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {one for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for one in rule["names"]}
    assert name not in allowed
    assert "read" in allowed


def test_the_list_for_gvisor_differs_in_what_threads_need_only() -> None:
    plain, other = json.loads(seccomp_profile()), json.loads(seccomp_profile(for_gvisor=True))
    assert other["syscalls"].pop() == {"names": ["clone3"], "action": "SCMP_ACT_ALLOW"}
    for rule in plain["syscalls"]:
        if rule["action"] == "SCMP_ACT_ERRNO":
            rule["names"].remove("clone3")
    assert plain == other
    assert json.loads(Path(seccomp_profile(as_path=True)).read_text()) == json.loads(seccomp_profile())


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


def test_arguments_decide_where_a_system_call_is_needed_and_dangerous() -> None:
    rules = [rule for rule in json.loads(seccomp_profile())["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    for name in ("clone", "ioctl", "prctl", "socket", "socketpair"):
        assert all(rule.get("args") for rule in rules if name in rule["names"])
    (clone,) = (rule["args"][0] for rule in rules if "clone" in rule["names"])
    namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert (clone["op"], clone["value"], clone["valueTwo"]) == ("SCMP_CMP_MASKED_EQ", namespaces, 0)
    assert [rule["args"][0]["value"] for rule in rules if "socket" in rule["names"]] == [1]  # AF_UNIX


@given(st.integers(0, 2**36), st.integers(0, 2**36))
def test_the_containers_memory_has_room_for_a_cells_and_the_text(cell_bytes: int, text_bytes: int) -> None:
    memory = container_memory_bytes(cell_bytes, text_bytes)
    assert memory >= max(MEMORY_BYTES, cell_bytes + TMP_BYTES + 5 * text_bytes)  # a `str`, and what it is made of
    assert memory <= cell_bytes + 5 * text_bytes + 1_000_000_000


@pytest.mark.parametrize(
    ("words", "state", "how", "for_memory"),
    [
        ("signal 9 oom", {"ExitCode": 137, "OOMKilled": True}, "signal 9", True),
        ("signal 9 oom", {"ExitCode": 137, "OOMKilled": False}, "signal 9", True),
        ("signal 9 oom", {}, "signal 9", True),
        ("signal 9", {"ExitCode": 137, "OOMKilled": True}, "signal 9", True),
        ("signal 9", {"ExitCode": 137, "OOMKilled": False}, "signal 9", False),
        ("", {"ExitCode": 137, "OOMKilled": True}, "exit status 137", True),
        ("", {"ExitCode": 137, "OOMKilled": False}, "exit status 137", True),
        ("", {"ExitCode": 2, "OOMKilled": False}, "exit status 2", False),
        ("exit status 3 oom", {"ExitCode": 3, "OOMKilled": True}, "exit status 3", False),
        ("signal 11", {"ExitCode": 139, "OOMKilled": False}, "signal 11", False),
        ("", {}, "the engine does not say how", False),
    ],
)
def test_memory_is_recognised_with_and_without_the_engines_flag(
    words: str, state: dict[str, Any], how: str, for_memory: bool
) -> None:
    assert engine.Ending.of(words, state) == engine.Ending(how, for_memory)


@pytest.mark.parametrize(
    ("wanted", "found", "chosen", "warns"),
    [
        (None, engine.Survey(("runc", "runsc"), "runc"), "runsc", None),
        (None, engine.Survey(("runc",), "runc"), "runc", "gVisor is a stronger wall"),
        (None, engine.Survey((), "runsc"), "runsc", None),
        ("runc", engine.Survey(("runc", "runsc"), "runc"), "runc", "shares the host's kernel"),
        (None, engine.Survey(("runsc",), "runsc", ("swap",)), "runsc", "cannot limit swap"),
    ],
)
def test_the_strongest_runtime_is_chosen_and_a_weaker_one_warned_of(
    wanted: str | None, found: engine.Survey, chosen: str, warns: str | None
) -> None:
    assert found.runtime(wanted) == chosen
    warning = found.warning(chosen)
    assert (warning is None) if warns is None else (warns in str(warning))


async def unavailable(sandbox: DockerSandbox) -> str:
    """Starts a sandbox that must not start; gives why."""
    try:
        with pytest.raises(SandboxUnavailable) as raised:
            await sandbox.start(LIMITS, Context.from_text("x"), {})
    finally:
        await sandbox.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_without_an_engine_it_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    assert f"no container engine answers at unix://{tmp_path}/none.sock" in await unavailable(DockerSandbox())
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(Path, "is_socket", lambda _: False)
    assert "start Docker, or Podman's service" in await unavailable(DockerSandbox())


async def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    assert await unavailable(DockerSandbox()) == engine._NO_SDK


@pytest.mark.parametrize("address", ["ssh://user@host", "https://host:2376", "npipe:////./pipe/docker_engine"])
async def test_an_engine_that_cannot_be_attached_to_is_refused(address: str) -> None:
    pytest.importorskip("docker")
    assert "ssh -nNT -L" in await unavailable(DockerSandbox(engine_url=address))


def test_a_directory_without_python_is_no_image(tmp_path: Path) -> None:
    told = io.StringIO()
    assert docker_image.main(["--from-root", str(tmp_path)], told) == 1
    assert told.getvalue() == f"{tmp_path} has no python3 in usr/bin or usr/local/bin, so it is no root for the image\n"


# What needs one.


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
    assert shown == {"/context": False} | ({} if runtime == "runsc" else {"/wire": False})
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
        assert seen["environment"] == [{}, ""]
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


@each_way
async def test_output_past_pythons_streams_comes_with_its_cell(way: str) -> None:
    async with docker(way) as repl:
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


@each_way
async def test_a_flood_past_pythons_streams_ends_the_cell(way: str) -> None:
    limits = replace(LIMITS, output_flood_bytes=500_000, output_chars=1000)
    async with docker(way, limits=limits) as repl:
        execution = await repl.run("import os\nwhile True:\n    os.write(1, b'x' * 65536)")
        assert (execution.outcome, execution.namespace) == ("output", "lost")
        assert await repl.value("1") == 1


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


@each_way
@pytest.mark.parametrize("flag", [True, False])
async def test_memory_that_many_processes_use_up_is_a_limit(
    way: str, flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = engine.end_state
    monkeypatch.setattr(engine, "end_state", lambda *args: {**ask(*args), "OOMKilled": flag})
    async with docker(way, limits=replace(LIMITS, memory_bytes=600_000_000)) as repl:
        execution = await repl.run(HOARD)
        assert (execution.outcome, execution.namespace) == ("memory", "lost")
        assert execution.error is not None
        assert execution.error.type == "MemoryExceeded"
        assert await repl.value("40 + 2") == 42


@each_way
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
    ],
)
async def test_a_worker_that_ends_says_how(way: str, code: str, how: str) -> None:
    async with docker(way) as repl:
        execution = await repl.run(code)
        assert execution.outcome == "crashed"
        assert execution.error is not None
        assert how in execution.error.message


@each_way
async def test_frames_forged_at_process_1_harm_nobody_else(way: str) -> None:
    async with docker(way) as repl:
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


@each_way
async def test_nothing_is_left_however_a_session_ends(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other sessions of this machine use the usual place
    async with docker(way):  # opens what the event loop keeps
        pass
    descriptors, copies = open_descriptors(), shared_copies()
    for code in ("1", "import os; os._exit(1)", "while True: pass"):
        with anyio.move_on_after(1.5):
            async with docker(way, text=LONG) as repl:
                assert len(shared_copies() - copies) == 1
                await repl.run(code)
    sandbox = DockerSandbox(runtime=way.removesuffix(RELAYED))
    with anyio.move_on_after(0.01) as scope:
        await sandbox.start(LIMITS, Context.from_text("x"), {})
    assert scope.cancelled_caught
    await sandbox.close()
    assert containers() == []
    assert shared_copies() == copies
    assert open_descriptors() == descriptors


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
    with anyio.fail_after(20):
        while (left := containers(host.pid)) and left[0]["State"]["Running"]:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.1)
    assert not is_running(container["State"]["Pid"])
    (folder,) = (path for path in shared_copies() if str(path / "context") in json.dumps(container["Mounts"]))
    os.utime(folder, (0, 0))  # a new one is left alone
    async with docker(runtime):
        assert containers(host.pid) == []
        assert folder not in shared_copies()


@each_way
async def test_the_wire_passes_the_engine_only_where_it_has_to(way: str) -> None:
    async with docker(way) as repl:
        assert repl.sandbox.is_direct == (way in ("runc", "crun"))


@each_way
async def test_nobody_listens_at_the_mounted_socket_once_a_cell_can_run(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with docker(way) as repl:
        assert list(tmp_path.iterdir()) == []
        assert str(tmp_path) not in Path("/proc/net/unix").read_text()
        tried = await repl.value(
            """
            import os, socket
            def outcome(what):
                try:
                    what()
                except OSError as error:
                    return type(error).__name__
            [
                outcome(lambda: socket.socket(socket.AF_UNIX).connect("/wire")),
                outcome(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/wire")),
                outcome(lambda: os.unlink("/wire")),
                outcome(lambda: os.chmod("/wire", 0o777)),
            ]
            """
        )
        if repl.sandbox.is_direct:
            assert tried[0] == "ConnectionRefusedError"
        assert None not in tried


@each_way
async def test_a_cell_can_open_the_outputs_by_name_and_cannot_enlarge_them(way: str) -> None:
    async with docker(way) as repl:
        execution = await repl.run(
            """
            import fcntl
            with open("/dev/stdout", "w") as file:
                file.write("by name")
            try:
                fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)  # which would be counted as the host's
            except OSError as error:
                enlarged = error.errno
            try:
                readable = bool(open("/dev/stdout"))
            except OSError as error:
                readable = False
            [enlarged, readable]
            """
        )
        assert execution.stdout == "by name"
        assert execution.value == [1, not repl.sandbox.is_direct]


@each_way
async def test_a_worker_that_drops_its_wire_and_goes_on_is_killed(way: str) -> None:
    async with docker(way, limits=replace(LIMITS, cell_timeout_s=1.0)) as repl:
        execution = await repl.run(
            """
            import os
            for fd in range(3, 64):
                try:
                    os.close(fd)
                except OSError:
                    pass
            while True:
                try:
                    sum(range(10**7))
                except BaseException:
                    pass
            """
        )
        assert (execution.outcome, execution.namespace) in [("crashed", "lost"), ("timeout", "lost")]
        if repl.sandbox.is_direct:
            assert execution.error is not None
            assert "(it was killed)" in execution.error.message
        assert await repl.value("40 + 2") == 42
    assert containers() == []


@needs_runc
@pytest.mark.parametrize("way", [name for name in ways() if name.startswith("runc")])
async def test_a_breach_of_the_protocol_is_no_want_of_memory_even_after_one(way: str) -> None:
    async with docker(way, limits=replace(LIMITS, memory_bytes=300_000_000)) as repl:
        children = """
        import os, signal
        pids = []
        for _ in range(6):
            pids.append(os.fork())
            if pids[-1] == 0:
                hoard = bytearray(200_000_000)
                hoard[::4096] = bytes(len(range(0, 200_000_000, 4096)))
                signal.pause()
        statuses = []
        while 9 not in statuses:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) * -1)
        for pid in pids:
            try:
                os.kill(pid, 9)
            except OSError:
                pass
        statuses.count(9) > 0
        """
        assert await repl.value(children) is True
        execution = await repl.run(
            """
            import os, socket, stat
            for fd in range(3, 64):
                try:
                    os.write(fd, b"\\xff" * 64)
                except OSError:
                    pass
            while True: pass
            """
        )
        assert execution.error is not None
        assert (execution.outcome, execution.error.type) == ("crashed", "SandboxCrashed")
        assert "broke the protocol" in execution.error.message


@needs_runc
@pytest.mark.skipif(is_podman(), reason="Podman makes an empty directory of what it does not find, and mounts that")
async def test_a_socket_that_the_engine_does_not_see_is_left_out_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[module.Door] = []

    class Elsewhere(module.Door):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            self.path = "/no/such/place/on/the/engines/machine"

    monkeypatch.setattr(module, "Door", Elsewhere)
    async with docker("runc", text=LONG) as repl:
        assert await repl.value("len(context)") == 40_000
        assert not repl.sandbox.is_direct
        await repl.run("import os; os._exit(1)")
        assert await repl.value("len(context)") == 40_000
    assert len(made) == 1
    assert containers() == []


@needs_runc
async def test_where_no_socket_can_be_made_the_engine_carries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(_wire.socket.socket, "bind", refuse)
    async with docker("runc") as repl:
        assert not repl.sandbox.is_direct
        assert await repl.value("40 + 2") == 42


@needs_runc
async def test_a_container_that_ends_at_once_is_no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = {"Entrypoint": ["python3", "-c", "1 / 0"]}
    monkeypatch.setattr(module, "container_config", lambda plan: {**container_config(plan), **failing})
    sandbox = DockerSandbox(runtime="runc")
    with anyio.fail_after(10), pytest.raises(SandboxUnavailable, match=r"(?s)\(exit status 1\).*ZeroDivisionError"):
        await sandbox.start(LIMITS, Context.from_text("x"), {})
    await sandbox.close()
    assert containers() == []


@needs_engine
async def test_a_missing_image_is_told_with_the_command_that_makes_it() -> None:
    assert "pull it with `docker pull no-such-image:1`" in await unavailable(DockerSandbox("no-such-image:1"))
    assert containers() == []


@needs_engine
async def test_a_missing_default_image_is_told_with_the_command_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEFAULT_IMAGE", "no-such-image:1")
    told = await unavailable(DockerSandbox("no-such-image:1"))
    assert "`python -m rlmbox.sandboxes.docker.image --from-host`" in told


@needs_engine
async def test_a_missing_runtime_is_told_with_those_there_are() -> None:
    told = await unavailable(DockerSandbox(runtime="no-such-runtime"))
    assert "the engine has no runtime 'no-such-runtime'; it has " in told
    assert runtimes()[0] in told
    assert containers() == []


@needs_engine
@pytest.mark.skipif(is_podman(), reason="Podman makes an empty directory of what it does not find, and mounts that")
@pytest.mark.parametrize("length", [1000, 9_000_000])
async def test_a_context_that_cannot_be_mounted_is_sent_or_read_from_the_host(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    @module.contextmanager
    def elsewhere(fd: int) -> Any:
        yield "/no/such/place/on/the/engines/machine"

    monkeypatch.setattr(module, "_shared", elsewhere)
    text = "é" + "x" * length
    reader = HostFunction("ctx.slice", lambda start, end: text[start:end], "reads")
    async with docker(None, reader, text=text) as repl:
        assert await repl.value("[len(context), context[:3], context[-2:]]") == [length + 1, "éxx", "xx"]
    assert containers() == []


def test_a_file_is_shared_itself_only_where_nobody_else_can_replace_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    file = folder / "large.txt"

    def shared(file_mode: int, folder_mode: int) -> bool:
        file.write_text("the text")
        file.chmod(file_mode)
        folder.chmod(folder_mode)
        with file.open("rb") as opened, module._shared(opened.fileno()) as path:
            assert Path(path).read_text() == "the text"
            assert Path(path).stat().st_mode & 0o004
            return path == str(file)

    assert shared(0o644, 0o755)
    assert shared(0o644, 0o1777)
    assert not shared(0o600, 0o755)
    assert not shared(0o644, 0o777)
    with file.open("rb") as opened:
        file.unlink()
        with module._shared(opened.fileno()) as path:
            assert Path(path).read_text() == "the text"
    assert not Path(path).exists()


@needs_engine
async def test_a_large_context_is_mapped_and_costs_no_memory() -> None:
    text = "abcdefghij" * 20_000_000
    async with docker(text=text, limits=replace(LIMITS, memory_bytes=64_000_000)) as repl:
        assert await repl.value("[len(context), context[199_999_995:], context.find('jab')]") == [len(text), "fghij", 9]


@needs_engine
def test_an_image_is_built_from_the_dockerfile_and_from_a_root() -> None:
    tag = "rlmbox-python:test"
    told = io.StringIO()
    assert docker_image.main(["--base", engine.DEFAULT_IMAGE, "--tag", tag], told) == 0, told.getvalue()
    assert told.getvalue() == f"made the image {tag}\n"
    with engine.connect(None) as client:
        assert client.inspect_image(tag)["Config"]["User"] == "10001:10001"
        client.remove_image(tag, force=True)


@needs_engine
async def test_the_image_of_a_root_file_system_runs(tmp_path: Path) -> None:
    tag = "rlmbox-python:root"
    root = tmp_path / "root"
    with engine.connect(None) as client:
        packed = tmp_path / "root.tar"
        number = client.create_container_from_config({"Image": engine.DEFAULT_IMAGE, "Cmd": ["python3"]})["Id"]
        with packed.open("wb") as file, closing(client.export(number)) as pieces:
            file.writelines(pieces)
        client.remove_container(number)
        await anyio.run_process(["tar", "-x", "-C", str(tmp_path), "--one-top-level=root", "-f", str(packed)])
        docker_image.import_root(root, tag=tag)
        sandbox = DockerSandbox(tag)
        try:
            await sandbox.start(LIMITS, Context.from_text("x"), {})
            assert (await sandbox.execute(Cell("6 * 7"))).value == 42
        finally:
            await sandbox.close()
            client.remove_image(tag, force=True)
