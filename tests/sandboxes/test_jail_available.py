"""Where a jail can be had: with a control group, as an ordinary user; and what is said where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail import JailSandbox, _cgroups, _host, _plan
from sandboxes.jail_here import LIMITS, SOURCE, jail, pid_of, value, why_no_jail

pytestmark = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())


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
    _host.close_fork_servers()
    monkeypatch.setattr(_plan, "plan_for", lambda _: _plan.JailPlan((("/nowhere", "/x"),), (), ()))
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
    )
    assert got.stdout == "held\n", got.stderr


def _for_others(path: str) -> bool:
    real = Path(path).resolve()
    return real.exists() and all(folder.stat().st_mode & 0o001 for folder in [real, *real.parents])
