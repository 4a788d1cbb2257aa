"""The jail from the host's side: what it is made of, what is inside, and how it ends."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.context.load import opening
from rlmbox.context.storage import cache
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.jail import JailSandbox, _host
from rlmbox.types import Cell
from sandboxes.jail_here import LIMITS, SOURCE, fork_server_pid, jail, pid_of, run, value, why_no_jail

pytestmark = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())


def _status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


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


async def test_the_jail_and_its_fork_server_have_no_environment_but_the_seed_of_hashes() -> None:
    async with jail() as sandbox:
        for pid in (pid_of(sandbox), fork_server_pid()):
            assert Path(f"/proc/{pid}/environ").read_bytes() == b"PYTHONHASHSEED=1\0"
        assert await value(sandbox, "import os\ndict(os.environ)") == {}


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


async def test_a_fresh_jail_is_never_a_used_one() -> None:
    async with jail() as first:
        await run(first, "import builtins, sys\nbuiltins.left = sys.left = 1\nopen('/tmp/left', 'w').close()")
        async with jail() as second:
            code = "import builtins, os, sys\n[hasattr(builtins, 'left'), hasattr(sys, 'left'), os.listdir('/tmp')]"
            assert await value(second, code) == [False, False, []]


async def test_no_module_of_the_worker_s_language_side_is_left_to_import() -> None:
    async with jail() as sandbox:
        own = "import sys\n[name for name in sys.modules if name.lstrip('_').startswith('rlm_')]"
        assert await value(sandbox, own) == []


async def test_two_jails_draw_the_same_random_numbers_but_have_no_secret_in_common() -> None:
    async with jail() as first, jail() as second:
        code = "import random, os\n[random.random(), os.urandom(8).hex()]"
        one, other = await value(first, code), await value(second, code)
        assert one[0] == other[0]  # of the same seed
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


async def test_a_package_that_is_named_can_be_imported_and_others_cannot() -> None:
    async with jail(sandbox=JailSandbox(packages=["google-re2", "markdown-it-py"])) as sandbox:
        assert await value(sandbox, "import re2\nre2.search('a+', 'baa').group()") == "aa"
        assert await value(sandbox, "import markdown_it\nmarkdown_it.MarkdownIt().render('*x*')") == (
            "<p><em>x</em></p>\n"
        )
        missing = (await run(sandbox, "import anyio.abc")).error
        assert missing.type == "ModuleNotFoundError"
        assert missing.message.endswith("anyio is installed; allow it with --package anyio, or packages=['anyio']")
        assert missing.traceback.endswith(missing.message)
        assert (await run(sandbox, "import no_such_thing")).error.message == "No module named 'no_such_thing'"
        assert (await run(sandbox, "open('/usr/lib/packages/re2/x', 'w')")).error.type in ("OSError", "PermissionError")
        assert "google-re2" in sandbox.notes[-1]
    _host.close_fork_servers()


async def test_memory_is_enough_to_import_a_package_that_is_named() -> None:
    tight = replace(LIMITS, memory_bytes=16 << 20)
    async with jail(tight, sandbox=JailSandbox(packages=["google-re2"])) as sandbox:
        assert await value(sandbox, "import re2\nre2.search('a+', 'baa').group()") == "aa"
    _host.close_fork_servers()


async def test_without_packages_none_is_there() -> None:
    async with jail() as sandbox:
        code = "import importlib.util as u\n[bool(u.find_spec(n)) for n in ('re2', 'anyio', 'rlmbox_nothing', 'pip')]"
        assert await value(sandbox, code) == [False] * 4


async def test_a_package_that_is_not_installed_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="'surely-not-installed' is not installed"):
        await JailSandbox(packages=["surely-not-installed"]).start(LIMITS, Context.from_text("x"), {})


@pytest.mark.parametrize("name", ["numpy==2", "numpy>=1,<3", "numpy[test]", "numpy.linalg", "numpy ; x"])
async def test_a_package_that_is_not_installed_under_a_name_with_more_in_it_is_named_alone(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--package numpy$|one at a time"):
        await JailSandbox(packages=[name]).start(LIMITS, Context.from_text("x"), {})


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
