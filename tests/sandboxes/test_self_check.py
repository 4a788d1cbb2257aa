"""The self-check believes nothing that it has not seen, and `auto` nothing that has not been checked."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.errors import ConfigError, SandboxCrashed, SandboxError, SandboxUnavailable
from rlmbox.sandboxes import proofs
from rlmbox.sandboxes import self_check as module
from rlmbox.sandboxes.auto import AutoSandbox, auto_sandbox
from rlmbox.sandboxes.base import Host, Sandbox, reason_of, warning_of
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox, _walls
from rlmbox.sandboxes.registry import auto_order, sandbox_from
from rlmbox.sandboxes.self_check import CheckResult, SelfCheck, self_check
from rlmbox.sandboxes.wasm import WasmSandbox
from rlmbox.types import Cell, CellLimits, Execution
from sandboxes.jail_here import why_no_jail
from sandboxes.wasm_here import may_compile, needs_extra

needs_jail = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())


class Fake:
    """A sandbox that answers what it is told to."""

    name = "fake"
    notes = ("It is a fake.",)
    outlives_cancellation = False
    answer: Callable[[str], Execution] = staticmethod(lambda code: Execution())
    starts = 0

    async def start(self, limits: CellLimits, context: Context, host: Host, **options: object) -> None:
        type(self).starts += 1

    async def execute(self, cell: Cell) -> Execution:
        return type(self).answer(cell.code)

    async def variables(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        pass


def fake(answer: Callable[[str], Execution]) -> type[Fake]:
    return type("Other", (Fake,), {"answer": staticmethod(answer), "starts": 0})


def gone(_: str) -> Execution:
    raise SandboxCrashed("it is gone")


class Absent(Fake):
    name = "absent"

    async def start(self, limits: CellLimits, context: Context, host: Host, **options: object) -> None:
        raise SandboxUnavailable("install it first")


@pytest.fixture(autouse=True)
def _nothing_checked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_done", {})


def missing(found: SelfCheck) -> set[str]:
    return {finding.name for finding in found.findings if not finding.holds}


@needs_jail
async def test_a_jail_shows_all_of_its_walls() -> None:
    found = await self_check(JailSandbox)
    assert found.ok, found
    assert {finding.name for finding in found.findings} == {
        *("seccomp", "no_new_privs", "capabilities", "user", "network", "environment", "files"),
        *("memory", "timeout", "processes", "file size"),
    }


async def test_monty_shows_what_an_interpreter_must() -> None:
    found = await self_check(MontySandbox)
    assert found.ok, found
    assert {"environment", "files", "network", "memory", "timeout"} < {finding.name for finding in found.findings}


@needs_extra
@may_compile
async def test_wasm_shows_what_an_interpreter_must_so_that_auto_can_take_it() -> None:
    _, choice = await auto_sandbox(("wasm",), makers={"wasm": WasmSandbox})
    assert choice.reason == "wasm holds: language, environment, files, network, memory, timeout"


async def test_local_does_not_hold_and_nothing_exhausting_is_tried_in_it() -> None:
    found = await self_check(lambda: LocalSandbox(unsafe_no_isolation=True))
    assert not found.ok
    assert {"seccomp", "network", "files"} <= missing(found)
    assert not {"memory", "processes", "file size"} & {finding.name for finding in found.findings}
    assert "local does not hold: seccomp: mode 0" in str(found)


@pytest.mark.parametrize(
    "answer",
    [
        lambda code: Execution(),
        lambda code: Execution(value={"seccomp": 2}),
        lambda code: Execution(value=["all", "is", "well"]),
        lambda code: Execution(value="{'seccomp': 2, 'no_new_privs': 1}"),
        gone,
    ],
)
async def test_a_sandbox_that_gives_no_proper_answer_does_not_hold(answer: Callable[[str], Execution]) -> None:
    found = await self_check(fake(answer))
    assert not found.ok


async def test_an_interpreter_that_runs_no_cell_does_not_hold() -> None:
    found = await self_check(Fake, battery="interpreter")
    assert missing(found) == {"language"}


async def test_an_interpreter_that_tells_the_environment_does_not_hold() -> None:
    def leak(code: str) -> Execution:
        return Execution(stdout=str(dict(os.environ)), value=42)

    assert missing(await self_check(fake(leak), battery="interpreter")) == {"environment"}


async def test_an_interpreter_whose_limits_do_not_bite_does_not_hold() -> None:
    found = await self_check(fake(lambda code: Execution(value=42)), battery="interpreter")
    assert missing(found) == {"memory", "timeout"}


async def test_nothing_shown_is_not_enough() -> None:
    assert not SelfCheck("x", ()).ok
    assert "nothing was checked" in str(SelfCheck("x", ()))
    assert SelfCheck("x", (CheckResult("wall", holds=True),)).ok


async def test_the_canary_does_not_stay_in_the_environment() -> None:
    before = dict(os.environ)
    await self_check(Fake)
    assert dict(os.environ) == before


async def test_what_holds_is_checked_once_and_what_does_not_is_checked_again() -> None:
    await self_check(MontySandbox)
    counted = fake(lambda code: Execution())
    counted.name = "monty"
    assert (await self_check(counted)).ok
    assert counted.starts == 0
    assert not (await self_check(counted, again=True)).ok
    again = fake(lambda code: Execution())
    await self_check(again)
    first = again.starts
    await self_check(again)
    assert again.starts == 2 * first > 0


async def test_a_sandbox_that_cannot_run_here_is_told_apart() -> None:
    with pytest.raises(SandboxUnavailable, match="install it first"):
        await self_check(Absent)


async def test_auto_takes_the_strongest_that_holds_and_says_why_not_the_others() -> None:
    makers = {"absent": Absent, "fake": Fake, "monty": MontySandbox}
    maker, choice = await auto_sandbox(("absent", "fake", "monty"), makers=makers)
    assert maker is MontySandbox
    assert choice.name == "monty"
    assert choice.rejected["absent"] == "install it first"
    assert "fake does not hold" in choice.rejected["fake"]
    assert "monty holds" in str(choice)
    assert "not absent: install it first" in str(choice)


async def test_auto_takes_none_where_none_holds() -> None:
    with pytest.raises(SandboxUnavailable, match="absent: install it first; fake: fake does not hold"):
        await auto_sandbox(("absent", "fake"), makers={"absent": Absent, "fake": Fake})
    with pytest.raises(SandboxUnavailable, match="none was named"):
        await auto_sandbox(())


@pytest.mark.parametrize("names", [("local",), ("local", "monty")])
async def test_auto_never_takes_local(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="never chooses local"):
        await auto_sandbox(names)
    makers: dict[str, Callable[[], Sandbox]] = {
        "local": lambda: LocalSandbox(unsafe_no_isolation=True),
        "monty": MontySandbox,
    }
    with pytest.raises(ConfigError, match="never chooses local"):
        await auto_sandbox(names, makers=makers)
    assert "local" not in auto_order()


async def test_an_unknown_name_is_an_error() -> None:
    nothing: dict[str, Callable[[], Sandbox]] = {}
    for makers in (None, nothing):
        with pytest.raises(ConfigError, match="no sandbox 'jial'"):
            await auto_sandbox(("jial",), makers=makers)


async def test_a_session_in_auto_runs_in_what_was_chosen() -> None:
    sandbox: Sandbox = AutoSandbox(("absent", "monty"), makers={"absent": Absent, "monty": MontySandbox})
    assert isinstance(sandbox, AutoSandbox)
    assert (sandbox.name, sandbox.notes, sandbox.reason) == ("auto", (), "")
    with pytest.raises(SandboxError):
        await sandbox.execute(Cell("1"))
    await sandbox.start(CellLimits(), Context.from_text("text"), {}, query="why?")
    try:
        assert sandbox.name == "monty"
        assert sandbox.notes == MontySandbox().notes
        assert "monty holds" in sandbox.reason
        assert "not absent: install it first" in sandbox.reason
        assert (await sandbox.execute(Cell("x = len(context)\n[x, query]"))).value == [4, "why?"]
        assert list(await sandbox.variables()) == ["x"]
        with pytest.raises(SandboxError, match="only once"):
            await sandbox.start(CellLimits(), Context.from_text("text"), {})
    finally:
        await sandbox.close()
    await sandbox.close()
    with pytest.raises(SandboxError):
        await sandbox.execute(Cell("1"))


async def test_in_what_a_wall_is_weaker_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Sandbox
    for is_auto in (False, True):
        for fails, words in ((False, None), (True, "the kernel's walls are not around monty's worker: ")):
            monkeypatch.setattr(_walls, "_failed", fails)
            if not fails and _walls.launcher() is None:
                continue  # there are none to be had here
            made = AutoSandbox(("monty",), makers={"monty": MontySandbox}) if is_auto else MontySandbox()
            assert warning_of(made) is None
            await made.start(CellLimits(), Context.from_text("text"), {})
            await made.close()
            assert (warning_of(made) or "").startswith(words or "")
            assert (warning_of(made) is None) is not fails
            assert ("monty holds" in reason_of(made)) is is_auto
            assert (words or "holds") in reason_of(made) or not (is_auto or fails)


@pytest.mark.skipif(not proofs._BOOT_ID.exists(), reason="nothing is kept where a boot has no name")
def test_what_was_shown_is_kept_until_it_can_never_be_true_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    proofs.remember("jail", "jail holds")
    folder = tmp_path / "rlmbox" / "self_checks"
    [ours] = folder.iterdir()
    kept = json.loads(ours.read_text())
    others = {
        "jail-of_another_boot.json": {**kept, "boot": "another"},
        "jail-of_another_state.json": kept,
        "jail-of_one_that_is_gone.json": {**kept, "code": str(tmp_path / "gone")},
        "jail-of_an_older_form.json": {"shown": "jail holds"},
        "jail-of_another_python.json": {**kept, "python": "/usr/bin/python3"},
    }
    for name, found in others.items():
        (folder / name).write_text(json.dumps(found))
    (folder / "jail-cut.json").write_text("{")
    (folder / "jail-half.17").write_text("")
    os.utime(folder / "jail-half.17", (0, 0))
    (folder / "jail-being_written.18").write_text("")
    proofs.remember("monty", "monty holds")
    left = {path.name for path in folder.iterdir()} - {ours.name}
    assert left == {ours.name.replace("jail", "monty"), "jail-of_another_python.json", "jail-being_written.18"}
    assert (proofs.recall("jail"), proofs.recall("monty")) == ("jail holds", "monty holds")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert proofs.recall("jail") is None


@pytest.mark.skipif(not proofs._BOOT_ID.exists(), reason="nothing is kept where a boot has no name")
async def test_what_a_fresh_check_does_not_find_to_hold_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(maker: object, *, again: bool = False) -> SelfCheck:
        raise SandboxUnavailable(f"again: {again}")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "self_check", fails)
    proofs.remember("jail", "jail holds")
    assert (await auto_sandbox(("jail",)))[1].reason == "jail holds"
    for fresh in (True, False):
        with pytest.raises(SandboxUnavailable, match="again"):
            await auto_sandbox(("jail",), fresh=fresh)


@needs_jail
async def test_by_name_auto_is_the_jail_where_it_holds() -> None:
    sandbox = sandbox_from("auto")()
    try:
        await sandbox.start(CellLimits(), Context.from_text("text"), {})
        assert sandbox.name == "jail"
    finally:
        await sandbox.close()
    assert sandbox_from("jail") is JailSandbox


_BY_NAME_AUTO = """
import anyio, resource, sys
from rlmbox.context import Context
from rlmbox.sandboxes.auto import AutoSandbox
from rlmbox.types import Cell, CellLimits

async def main():
    sandbox = AutoSandbox(["jail", "monty"])
    await sandbox.start(CellLimits(), Context.from_text("x"), {})
    print(sandbox.name, (await sandbox.execute(Cell("6 * 7"))).value, sandbox.reason)
    await sandbox.close()

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
most = int(sys.argv[1]) if len(sys.argv) > 1 else hard
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
anyio.run(main)
"""


@needs_jail
def test_auto_checks_anew_where_what_held_before_cannot_be_started(tmp_path: Path) -> None:
    def chosen(*arguments: str) -> str:
        command = [sys.executable, "-c", _BY_NAME_AUTO, *arguments]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    assert chosen().startswith("jail 42")
    limited = chosen("128")
    assert limited.startswith("monty 42")
    assert "not jail" in limited
    assert "ulimit -n" in limited
    assert chosen().startswith("jail 42")
