"""Where jails come from: many at once, after a fork server or a host that ended, on a host that is full."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from rlmbox.sandboxes.jail import _channel, _host, _plan
from sandboxes.jail_here import SOURCE, fork_server_pid, gone, jail, pid_of, run, spares_ready, value, why_no_jail

pytestmark = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _mounts_like_ours() -> set[str]:
    """Lists what is mounted where a jail mounts something; others may mount things at the same time."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {line[4] for line in lines if line[4] == "/tmp" or line[4].startswith("/usr/lib")}


async def test_twenty_jails_at_once_leave_nothing_behind() -> None:
    async with jail():
        await spares_ready(in_use=1)
    fork_server = fork_server_pid()
    gc.collect()  # what earlier tests left to it is not of these
    before = _open_files(os.getpid()), _mounts_like_ours()
    async with AsyncExitStack() as stack:
        sandboxes = [await stack.enter_async_context(jail()) for _ in range(20)]
        pids = {pid_of(sandbox) for sandbox in sandboxes}
        assert len(pids) == 20
        for n, sandbox in enumerate(sandboxes):
            await run(sandbox, f"open('/tmp/mine', 'w').write('{n}')")
        assert [await value(s, "open('/tmp/mine').read()") for s in sandboxes] == [str(n) for n in range(20)]
    assert await gone(pids) == set()
    assert _open_files(os.getpid()) <= before[0]
    assert _mounts_like_ours() == before[1]
    async with jail():
        pass
    await spares_ready()
    assert _open_files(fork_server) < 20  # two or three for each spare


async def test_sessions_that_hold_all_pipes_that_a_user_may_have_keep_no_other_from_starting() -> None:
    # Beyond 1,024 pipes of a user the kernel makes small ones, in which what is written soon blocks.
    async with AsyncExitStack() as stack:
        for _ in range(20):
            greedy = await stack.enter_async_context(jail())
            assert await value(greedy, "import os\npipes = [os.pipe() for _ in range(55)]\nlen(pipes)") == 55
        for _ in range(2 * _host.SPARES):
            assert await value(await stack.enter_async_context(jail()), "6 * 7") == 42


async def test_jails_die_with_their_fork_server_and_a_new_one_takes_over() -> None:
    async with jail() as sandbox:
        pid, fork_server = pid_of(sandbox), fork_server_pid()
        os.kill(fork_server, signal.SIGKILL)
        assert await gone({pid}) == set()
        assert (await run(sandbox, "1")).outcome == "crashed"
        assert await value(sandbox, "6 * 7") == 42
        assert fork_server_pid() != fork_server


def test_what_a_fork_server_that_has_ended_left_behind_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its jails die with it, but each in its own time: one that still stood was given to a session, which then failed.
    gate, far_gate = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    class Ended:
        def __init__(self, command: list[str], *, pass_fds: tuple[int, int], **_: object) -> None:
            with socket.socket(fileno=os.dup(pass_fds[0])) as channel:
                _channel.send(channel, b"+%d" % os.getpid(), [gate.fileno()] * 6)

        def wait(self, timeout_s: float = 0) -> int:
            return -9

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", Ended)
        fork_server = _host.ForkServer(lambda: _plan.plan_for(()))
    with gate, far_gate, pytest.raises(BrokenPipeError):
        fork_server.take(None)
    fork_server.close()


async def test_jails_that_died_while_they_waited_are_passed_over() -> None:
    async with jail() as sandbox:
        spares = await spares_ready(in_use=1) - {pid_of(sandbox)}
        assert len(spares) == _host.SPARES
        for pid in spares:
            os.kill(pid, signal.SIGKILL)
        assert await gone(spares) == set()
        async with jail() as fresh:
            assert await value(fresh, "6 * 7") == 42


async def test_many_sessions_that_start_at_once_each_get_a_jail_of_their_own() -> None:
    found: list[tuple[int, int]] = []

    async def one(number: int) -> None:
        async with jail() as sandbox:
            await run(sandbox, f"x = {number}")
            found.append((await value(sandbox, "x"), pid_of(sandbox)))

    async with anyio.create_task_group() as tasks:
        for number in range(24):
            tasks.start_soon(one, number)
    assert sorted(number for number, _ in found) == list(range(24))
    assert len({pid for _, pid in found}) == 24


_FULL = """
import anyio, os, resource
from rlmbox.context import Context
from rlmbox.context.storage import cache
from rlmbox.context.load import opening
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import Cell, CellLimits

async def main():
    first = JailSandbox()
    await first.start(CellLimits(), Context.from_text("x"), {})
    await anyio.sleep(0.2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    for _ in range(4):
        os.close(held.pop())
    try:
        await JailSandbox().start(CellLimits(), Context.from_text("x"), {})
    except SandboxUnavailable as error:
        print(error)
    for fd in held:
        os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    async with anyio.create_task_group():
        again = JailSandbox()
        await again.start(CellLimits(), Context.from_text("x"), {})
        print((await again.execute(Cell("6 * 7"))).value)
        await again.close()
    print(len(os.listdir("/proc/self/fd")) - before)

anyio.run(main)
"""


def test_a_host_that_may_open_no_more_files_is_told_so_and_goes_on_when_it_may() -> None:
    done = subprocess.run([sys.executable, "-c", _FULL], capture_output=True, text=True)
    said, value_given, left = done.stdout.splitlines()
    assert "Too many open files" in said, done
    assert (value_given, left) == ("42", "0"), done


_LIMITED = """
import anyio, resource, sys
from rlmbox.context import Context
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import Cell, CellLimits

async def main():
    jail = JailSandbox()
    await jail.start(CellLimits(), Context.from_text("x"), {})
    print((await jail.execute(Cell("6 * 7"))).value)
    await jail.close()

resource.setrlimit(resource.RLIMIT_SIGPENDING, (80, 80))
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
anyio.run(main)
"""


def test_a_jail_is_built_where_the_users_own_limits_are_lower_than_a_jails() -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED, "300"], capture_output=True, text=True)
    assert done.stdout == "42\n", done


def test_a_limit_of_open_files_that_is_too_low_for_a_jail_is_told_with_the_remedy() -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED, "64"], capture_output=True, text=True)
    assert "Too many open files" in done.stderr.splitlines()[-1], done
    assert "ulimit -n" in done.stderr.splitlines()[-1], done


_REFUSED_BY_THE_HOST = """
import anyio, os, resource
from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import CellLimits
from sandboxes.jail_here import spares_ready

async def main():
    first = JailSandbox()
    await first.start(CellLimits(), Context.from_text("x"), {})
    ready = len(await spares_ready(in_use=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 2, hard))
    for _ in range(2):
        try:
            await JailSandbox().start(CellLimits(), Context.from_text("x"), {})
        except SandboxUnavailable:
            pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    other = JailSandbox()
    await other.start(CellLimits(), Context.from_text("x"), {})
    print(ready, len(await spares_ready(in_use=2)))
    await other.close()
    await first.close()

anyio.run(main)
"""


def test_jails_that_a_full_host_could_not_take_are_built_anew() -> None:
    # The first is in use, later the second too; as many others stand ready.
    path = os.pathsep.join([str(SOURCE), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", _REFUSED_BY_THE_HOST],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path},
    )
    ready, later = (int(word) for word in done.stdout.split())
    assert (ready, later) == (1 + _host.SPARES, 2 + _host.SPARES), done


_CHANNEL_NINE = """
import os
from rlmbox.sandboxes.jail import _host, _plan
plan = _plan.plan_for(())
while os.dup(0) < 7:
    pass
print(_host.ForkServer(lambda: plan).admit(None).pid > 0)
"""


def test_the_channel_to_the_fork_server_may_have_any_number() -> None:
    # 9 is where the fork server keeps /proc.
    done = subprocess.run([sys.executable, "-c", _CHANNEL_NINE], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


_HOST = """
import anyio, json, os, sys
from rlmbox.context import Context
from rlmbox.context.storage import cache
from rlmbox.context.load import opening
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import Cell, CellLimits

async def main():
    sandbox = JailSandbox()
    await sandbox.start(CellLimits(), Context.from_text("x"), {})
    print(json.dumps(sandbox._process.pid), flush=True)
    await sandbox.execute(Cell("while True:\\n    pass"))
    await anyio.sleep(60)

if os.fork() == 0:  # which inherits what the host has open, and outlives it
    import time
    time.sleep(20)
    os._exit(0)
anyio.run(main)
"""


async def test_nothing_outlives_a_host_that_is_killed() -> None:
    host = subprocess.Popen([sys.executable, "-c", _HOST], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert host.stdout
    try:
        pid = json.loads(host.stdout.readline())
        fork_server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert "jail._fork_server" in Path(f"/proc/{fork_server}/cmdline").read_text()
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    assert await gone({pid, fork_server}) == set()


async def test_closing_the_fork_servers_ends_all_and_the_next_jail_makes_a_new_one() -> None:
    async with jail():
        fork_server = fork_server_pid()
    _host.close_fork_servers()
    assert await gone({fork_server}) == set()
    async with jail() as sandbox:
        assert await value(sandbox, "1 + 1") == 2
