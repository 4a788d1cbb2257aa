"""The jail from the host's side: what it is made of, what it leaves behind, whom it outlives."""

import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context, cache, opening
from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox, _cgroups, _host, _plan
from rlmbox.types import Cell
from sandboxes.jail_here import LIMITS, children_of, gone, jail, nursery_pid, pid_of, run, value, why_no_jail

pytestmark = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())

SOURCE = Path(_plan.__file__).parents[3]


def _status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _mounts_like_ours() -> set[str]:
    """Lists what is mounted where a jail mounts something; others may mount things at the same time."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {line[4] for line in lines if line[4] == "/tmp" or line[4].startswith("/usr/lib")}


async def test_the_kernel_says_that_the_walls_stand() -> None:
    async with jail() as sandbox:
        pid = pid_of(sandbox)
        assert _status(pid, "Seccomp") == "2"
        assert _status(pid, "NoNewPrivs") == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(_status(pid, name), 16) == 0, name
        assert _status(pid, "NSpid").split()[-1] == "1"
        assert 0 not in {int(uid) for uid in _status(pid, "Uid").split()}
        for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
            assert Path(f"/proc/{pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink(), name
        assert os.getsid(pid) != os.getsid(0)


async def test_neither_the_jail_nor_its_nursery_has_an_environment() -> None:
    async with jail() as sandbox:
        for pid in (pid_of(sandbox), nursery_pid()):
            assert Path(f"/proc/{pid}/environ").read_bytes() == b""


async def test_the_jail_has_no_directory_and_nothing_of_the_host_open() -> None:
    held = os.open("/", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        async with jail() as sandbox:
            links = {link.name: str(link.readlink()) for link in Path(f"/proc/{pid_of(sandbox)}/fd").iterdir()}
        assert set(links) == {"0", "1", "2", "3"}
        assert all(target.startswith(("pipe:", "socket:")) for target in links.values()), links
    finally:
        os.close(held)


async def test_the_host_sees_only_what_was_put_inside() -> None:
    async with jail() as sandbox:
        mounts = Path(f"/proc/{pid_of(sandbox)}/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in mounts]
    assert all(place in ("/", "/tmp") or place.startswith("/usr/") for place in places), places
    for line in mounts:
        options = line.split()[5].split(",")
        assert {"nosuid", "nodev"} <= set(options), line
        assert "ro" in options or line.split()[4] == "/tmp", line


async def test_twenty_jails_at_once_leave_nothing_behind() -> None:
    async with jail():
        await anyio.sleep(0.2)  # its spares are built
    nursery = nursery_pid()
    before = _open_files(os.getpid()), _mounts_like_ours()
    async with AsyncExitStack() as stack:
        sandboxes = [await stack.enter_async_context(jail()) for _ in range(20)]
        pids = {pid_of(sandbox) for sandbox in sandboxes}
        assert len(pids) == 20
        for n, sandbox in enumerate(sandboxes):
            await run(sandbox, f"open('/tmp/mine', 'w').write('{n}')")
        assert [await value(s, "open('/tmp/mine').read()") for s in sandboxes] == [str(n) for n in range(20)]
    assert await gone(pids) == set()
    assert (_open_files(os.getpid()), _mounts_like_ours()) == before
    async with jail():
        pass
    await anyio.sleep(0.2)
    assert _open_files(nursery) < 20  # two or three for each spare


async def test_sessions_that_hold_all_pipes_that_a_user_may_have_keep_no_other_from_starting() -> None:
    # Beyond 1,024 pipes of a user the kernel makes small ones, in which what is written soon blocks.
    async with AsyncExitStack() as stack:
        for _ in range(20):
            greedy = await stack.enter_async_context(jail())
            assert await value(greedy, "import os\npipes = [os.pipe() for _ in range(55)]\nlen(pipes)") == 55
        for _ in range(2 * _host.SPARES):
            assert await value(await stack.enter_async_context(jail()), "6 * 7") == 42


async def test_a_fresh_jail_is_never_a_used_one() -> None:
    async with jail() as first:
        await run(first, "import builtins, sys\nbuiltins.left = sys.left = 1\nopen('/tmp/left', 'w').close()")
        async with jail() as second:
            code = "import builtins, os, sys\n[hasattr(builtins, 'left'), hasattr(sys, 'left'), os.listdir('/tmp')]"
            assert await value(second, code) == [False, False, []]


async def test_two_jails_do_not_draw_the_same_random_numbers() -> None:
    async with jail() as first, jail() as second:
        code = "import random, os\n[random.random(), os.urandom(8).hex()]"
        one, other = await value(first, code), await value(second, code)
        assert one[0] != other[0]
        assert one[1] != other[1]


async def test_killing_the_worker_from_outside_is_a_crash_and_the_next_cell_runs() -> None:
    async with jail() as sandbox:
        os.kill(pid_of(sandbox), signal.SIGKILL)
        execution = await run(sandbox, "1")
        assert execution.outcome == "crashed"
        assert await value(sandbox, "6 * 7") == 42


async def test_how_a_jail_ended_is_told() -> None:
    async with jail() as sandbox:
        exited = await run(sandbox, "import os\nos._exit(7)")
        assert "exit status 7" in exited.error.message
        faulted = await run(sandbox, "import ctypes\nctypes.string_at(0)")
        assert "signal 11" in faulted.error.message


async def test_jails_die_with_their_nursery_and_a_new_one_takes_over() -> None:
    async with jail() as sandbox:
        pid, nursery = pid_of(sandbox), nursery_pid()
        os.kill(nursery, signal.SIGKILL)
        assert await gone({pid}) == set()
        assert (await run(sandbox, "1")).outcome == "crashed"
        assert await value(sandbox, "6 * 7") == 42
        assert nursery_pid() != nursery


async def test_jails_that_died_while_they_waited_are_passed_over() -> None:
    async with jail() as sandbox:
        await anyio.sleep(0.3)  # spares are built
        spares = children_of(nursery_pid()) - {pid_of(sandbox)}
        assert spares
        for pid in spares:
            os.kill(pid, signal.SIGKILL)
        assert await gone(spares) == set()
        async with jail() as fresh:
            assert await value(fresh, "6 * 7") == 42


async def test_many_sessions_that_start_at_once_each_get_a_jail_of_their_own() -> None:
    found: list[object] = []

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
from rlmbox.context import Context, cache, opening
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
    done = subprocess.run([sys.executable, "-c", _FULL], capture_output=True, text=True, timeout=50)
    said, value_given, left = done.stdout.splitlines()
    assert "Too many open files" in said, done
    assert (value_given, left) == ("42", "0"), done


_REFUSED_BY_THE_HOST = """
import anyio, os, resource
from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import CellLimits
from sandboxes.jail_here import children_of, nursery_pid

async def main():
    first = JailSandbox()
    await first.start(CellLimits(), Context.from_text("x"), {})
    await anyio.sleep(0.5)
    ready = len(children_of(nursery_pid()))
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
    await anyio.sleep(0.5)
    print(ready, len(children_of(nursery_pid())))
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
        timeout=50,
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
print(_host.Nursery(lambda: plan).admit(None).pid > 0)
"""


def test_the_channel_to_the_nursery_may_have_any_number() -> None:
    # 9 is where the nursery keeps /proc.
    done = subprocess.run([sys.executable, "-c", _CHANNEL_NINE], capture_output=True, text=True, timeout=30)
    assert done.stdout == "True\n", done.stderr


_HOST = """
import anyio, json, os, sys
from rlmbox.context import Context, cache, opening
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
    try:
        pid = json.loads(host.stdout.readline())
        nursery = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert "jail._nursery" in Path(f"/proc/{nursery}/cmdline").read_text()
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    assert await gone({pid, nursery}) == set()


async def test_closing_the_nurseries_ends_all_and_the_next_jail_makes_a_new_one() -> None:
    async with jail():
        nursery = nursery_pid()
    _host.close_nurseries()
    assert await gone({nursery}) == set()
    async with jail() as sandbox:
        assert await value(sandbox, "1 + 1") == 2


async def test_a_package_that_is_named_can_be_imported_and_others_cannot() -> None:
    async with jail(sandbox=JailSandbox(packages=["google-re2", "markdown-it-py"])) as sandbox:
        assert await value(sandbox, "import re2\nre2.search('a+', 'baa').group()") == "aa"
        assert await value(sandbox, "import markdown_it\nmarkdown_it.MarkdownIt().render('*x*')") == (
            "<p><em>x</em></p>\n"
        )
        assert (await run(sandbox, "import anyio")).error.type == "ModuleNotFoundError"
        assert (await run(sandbox, "open('/usr/lib/packages/re2/x', 'w')")).error.type in ("OSError", "PermissionError")
        assert "google-re2" in sandbox.notes[-1]
    _host.close_nurseries()


async def test_without_packages_none_is_there() -> None:
    async with jail() as sandbox:
        code = "import importlib.util as u\n[bool(u.find_spec(n)) for n in ('re2', 'anyio', 'rlmbox_nothing', 'pip')]"
        assert await value(sandbox, code) == [False] * 4


async def test_a_package_that_is_not_installed_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="'surely-not-installed' is not installed"):
        await JailSandbox(packages=["surely-not-installed"]).start(LIMITS, Context.from_text("x"), {})


async def test_no_path_of_the_host_is_seen_inside() -> None:
    code = """
import json, sys, sysconfig, traceback
try:
    json.loads("{")
except ValueError:
    shown = traceback.format_exc()
modules = [str(module) for module in sys.modules.values()]
[shown, sys.prefix, sys.executable, sys.path, repr(sysconfig.get_config_vars()), sys.orig_argv, modules]
"""
    async with jail() as sandbox:
        told = repr(await value(sandbox, code))
    for path in {sys.prefix, sys.base_prefix, str(SOURCE), str(Path.home())} - {"/usr", "/"}:
        assert path not in told, path


_WRITE_EVERYWHERE = """
import os
done = []
for fd in range(4, 64):
    try:
        os.pwrite(fd, b"X", 0)
        done.append(fd)
    except OSError:
        pass
[done, context[0:4]]
"""


async def test_a_large_context_is_mapped_and_cannot_be_changed() -> None:
    text = "abcdefgh" * 4_500_000  # more than is given as a str, and ASCII
    async with jail(text=text) as sandbox:
        assert await value(sandbox, "[len(context), context[8:12], context.find('h')]") == [len(text), "abcd", 7]
        assert await value(sandbox, _WRITE_EVERYWHERE) == [[], "abcd"]


@pytest.mark.skipif(not _cgroups.find_place().folders, reason=str(_cgroups.find_place()))
async def test_a_control_group_holds_the_jail_and_is_gone_afterwards() -> None:
    place = _cgroups.find_place()
    folders = set(place.folders.values())
    async with jail(sandbox=JailSandbox(control_group=True)) as sandbox:
        groups = [group for folder in folders for group in folder.glob(f"rlmbox-{os.getpid()}-*")]
        assert len(groups) == len(folders)
        for group in groups:
            assert str(pid_of(sandbox)) in (group / "cgroup.procs").read_text().split()
        assert await value(sandbox, "2 + 2") == 4
    assert not any(group.exists() for group in groups)


async def test_a_control_group_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = _cgroups.CgroupPlace(2, {}, "nobody delegated one")
    monkeypatch.setattr("rlmbox.sandboxes.jail._sandbox._cgroup_place", lambda: nowhere)
    assert "no cgroup: nobody delegated one" in JailSandbox.walls()
    with pytest.raises(SandboxUnavailable, match="nobody delegated one"):
        await JailSandbox(control_group=True).start(LIMITS, Context.from_text("x"), {})


async def test_another_machine_or_system_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxUnavailable, match="a jail needs Linux; use `monty`"):
        await JailSandbox().start(LIMITS, Context.from_text("x"), {})


async def test_where_the_kernel_refuses_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _host.close_nurseries()
    monkeypatch.setattr(_plan, "plan_for", lambda _: _plan.Plan((("/nowhere", "/x"),), (), ()))
    with pytest.raises(SandboxUnavailable, match=r"no jail can be built here: .*No such file.*use `monty`"):
        await JailSandbox().start(LIMITS, Context.from_text("x"), {})
    monkeypatch.undo()
    async with jail() as sandbox:
        assert await value(sandbox, "1") == 1


_UNPRIVILEGED = """
import anyio, os
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.self_check import self_check
from rlmbox.testing._sandbox_checks import isolation

async def main():
    assert os.getuid() == 54321
    found = await self_check(JailSandbox)
    assert found.ok, found
    for name in dir(isolation):
        if name.startswith("check_"):
            await getattr(isolation, name)(JailSandbox)
    print("held")

anyio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_it_holds_for_an_ordinary_user_too() -> None:
    # An interpreter that others than root may reach; root's own may lie in its home.
    python = next((p for p in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}") if _for_others(p)), None)
    if python is None or not _for_others(str(SOURCE)):
        pytest.skip("no interpreter of this version, or not this source, can be reached by others than root")
    import anyio as installed

    path = f"{SOURCE}:{Path(installed.__file__).parents[1]}"
    got = subprocess.run(
        [python, "-c", _UNPRIVILEGED],
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        user=54321,
        group=54321,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert got.stdout == "held\n", got.stderr


def _for_others(path: str) -> bool:
    real = Path(path).resolve()
    return real.exists() and all(folder.stat().st_mode & 0o001 for folder in [real, *real.parents])


async def test_a_limit_of_each_cell_is_kept_after_a_crash() -> None:
    async with jail(replace(LIMITS, memory_bytes=64 << 20)) as sandbox:
        await run(sandbox, "import os\nos._exit(1)")
        assert (await sandbox.execute(Cell("x = 'x' * 200_000_000"))).outcome == "memory"


async def test_no_descriptor_of_a_long_context_is_left_in_the_jail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SMALL_BYTES", 100)
    monkeypatch.setattr(cache, "folder", lambda: None)
    path = tmp_path / "large.txt"
    path.write_text("a line é\n" * 10_000)
    sandbox = JailSandbox()
    try:
        await sandbox.start(replace(LIMITS, inline_limit_chars=1_000), Context.from_path(path), {})
        assert await value(sandbox, "[len(context), context[-4:]]") == [90_000, "e é\n"]
        code = "import os, stat\nfound = []\nfor fd in range(1024):\n    try:\n        mode = os.fstat(fd).st_mode\n"
        code += "    except OSError:\n        continue\n    if stat.S_ISREG(mode):\n        found.append(fd)\nfound"
        assert await value(sandbox, code) == []
    finally:
        await sandbox.close()
