"""The runner sees what gets through: each kind of harm is done by a fake sandbox and has to be found."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxCrashed
from rlmbox.sandboxes.base import Host
from rlmbox.testing.attacks import AttackReport, HostWatch, Probe, attacks, probe, run_attacks, stage
from rlmbox.types import Cell, CellError, CellLimits, Execution

HARMLESS = "FORM-01-str-format-attr"
ALSO_HARMLESS = "FORM-02-format-map-globals"
NEEDS_TIME = "TIME-01-swallow-baseexception"
NEEDS_WALLS = "HOST-02-proc1-environ"
HELD = {name: Probe(name, holds=True, detail="taken for granted") for name in ("walls", "time", "memory")}
OK = Execution()


def failing(kind: str, outcome: str = "error") -> Execution:
    return Execution(outcome, error=CellError(kind, "a message"))  # type: ignore[arg-type]


def void(_: object) -> None:
    """Does nothing more than was done to make its argument."""


def when(words: str, execution: Execution, code: str) -> Execution | None:
    """Gives an execution for the code with these words."""
    return execution if words in code else None


class FakeSandbox:
    """A sandbox that keeps nothing back and runs nothing: `do` stands for what a cell's code would do."""

    name = "fake"
    notes = ()
    outlives_cancellation = False

    def __init__(self, do: Callable[[str], Execution | None]) -> None:
        self.do = do
        self.codes: list[str] = []
        self.host: Host = {}

    def __call__(self) -> "FakeSandbox":
        return self

    async def start(self, limits: CellLimits, context: Context, host: Host, **options: object) -> None:
        self.host = host

    async def execute(self, cell: Cell) -> Execution:
        self.codes.append(cell.code)
        done = self.do(cell.code)
        if done is not None:
            return done
        usual = {
            "40 + 2": Execution(value=42),
            "kept": Execution(value="a bystander"),
            "print('clean')\n[40 + 2, llm_query('hello')]": Execution(stdout="clean\n", value=[42, "you said hello"]),
        }
        return usual.get(cell.code, OK)

    async def variables(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        return None


@pytest.fixture
def watch() -> Iterator[HostWatch]:
    with HostWatch(leave_s=0.2) as opened:
        yield opened


async def attacked(watch: HostWatch, name: str, act: Callable[[], Execution | None] = lambda: None) -> AttackReport:
    """Runs one attack, whose cells do `act`."""
    first = watch.filled(attacks()[name].cells[0])
    sandbox = FakeSandbox(lambda code: act() if code == first else None)
    return await run_attacks(sandbox, only=[name], watch=watch, proven=dict(HELD))


def child(code: str) -> Execution:
    """Runs code in a child that inherits everything, as a careless launch would have it."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, close_fds=False)
    return Execution(stdout=done.stdout.decode())


def only_result(report: AttackReport) -> tuple[str, str]:
    (result,) = report.results
    return result.verdict, result.detail


async def test_an_attack_that_does_nothing_is_contained(watch: HostWatch) -> None:
    report = await attacked(watch, HARMLESS)
    assert only_result(report) == ("contained", "ok; the session goes on")
    assert report.ok


async def test_a_secret_that_is_told_is_an_escape(watch: HostWatch) -> None:
    for told in (
        lambda: Execution(stdout=watch.secret_file.read_text()),
        lambda: Execution(stderr=watch.secret_file.read_text()),
        lambda: Execution(value=[watch.secret_file.read_text()]),
        lambda: Execution("error", error=CellError("E", watch.secret_file.read_text())),
    ):
        report = await attacked(watch, HARMLESS, told)
        assert only_result(report) == ("escaped", "the secret of the host's file was told")
        assert not report.ok


async def test_the_secret_of_the_environment_is_looked_for(watch: HostWatch) -> None:
    report = await attacked(watch, HARMLESS, lambda: child("import os; print(dict(os.environ))"))
    assert only_result(report)[1] == "the secret of the host's environment was told"


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
async def test_the_secret_of_an_inherited_descriptor_is_looked_for(watch: HostWatch) -> None:
    code = "import os\nfor fd in range(3, 100):\n    try: print(os.pread(fd, 100, 0))\n    except OSError: pass"
    report = await attacked(watch, HARMLESS, lambda: child(code))
    assert only_result(report)[1] == "the secret of the host's descriptor was told"


async def test_lines_that_say_so_count(watch: HostWatch) -> None:
    report = await attacked(watch, HARMLESS, lambda: Execution(stdout="ok\nESCAPE: there\n"))
    assert only_result(report) == ("escaped", "ESCAPE: there")
    report = await attacked(watch, HARMLESS, lambda: Execution(stdout="WEAK: no filter\n"))
    assert only_result(report) == ("failed", "WEAK: no filter")
    assert not report.ok


@pytest.mark.parametrize("name", ["tcp", "udp", "unix", "abstract"])
async def test_a_listener_that_is_reached_is_an_escape(watch: HostWatch, name: str) -> None:
    def reach() -> None:
        family = socket.AF_INET if name in ("tcp", "udp") else socket.AF_UNIX
        addresses: dict[str, Callable[[], Any]] = {
            "tcp": lambda: ("127.0.0.1", int(watch.filled("@TCP_PORT@"))),
            "udp": lambda: ("127.0.0.1", int(watch.filled("@UDP_PORT@"))),
            "unix": lambda: watch.filled("@UNIX_PATH@"),
            "abstract": lambda: "\0" + watch.filled("@ABSTRACT@"),
        }
        with socket.socket(family, socket.SOCK_DGRAM if name == "udp" else socket.SOCK_STREAM) as client:
            client.connect(addresses[name]())
            client.send(b"x")

    if name == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    assert only_result(await attacked(watch, HARMLESS, reach)) == ("escaped", f"{name} on the host was reached")


async def test_a_file_that_is_written_or_changed_is_an_escape(watch: HostWatch) -> None:
    def write() -> None:
        (watch.write_dir / "touched").write_text("x")

    def change() -> None:
        watch.secret_file.write_text("changed")

    def link() -> None:
        (watch.write_dir / "link").symlink_to("/dev/zero")

    for harm in (write, change, link):
        report = await attacked(watch, HARMLESS, harm)
        assert only_result(report) == ("escaped", "files on the host were changed")
    assert only_result(await attacked(watch, HARMLESS))[0] == "contained"  # the folder was put in order


async def test_a_file_that_is_strewn_is_an_escape(
    watch: HostWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = await attacked(watch, HARMLESS, lambda: void(Path("core.123").write_text("x")))
    assert only_result(report) == ("escaped", f"{tmp_path / 'core.123'} was written on the host")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are listed in /proc")
async def test_a_process_that_is_left_behind_is_an_escape_also_when_it_has_gone_its_own_way(watch: HostWatch) -> None:
    daemon = (
        "import os, sys, time\n"
        "if os.fork(): sys.exit()\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.close(1); time.sleep(5)"
    )

    def leave() -> None:
        subprocess.run([sys.executable, "-c", daemon], check=True)

    verdict, detail = only_result(await attacked(watch, HARMLESS, leave))
    assert verdict == "escaped"
    pid = re.search(r"process (\d+) is left behind", detail)
    assert pid
    os.kill(int(pid[1]), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read in /proc")
async def test_memory_that_the_host_spends_is_an_escape_also_when_it_is_given_back(watch: HostWatch) -> None:
    report = await attacked(watch, HARMLESS, lambda: void(bytearray(b"x" * 100_000_000)))
    verdict, detail = only_result(report)
    assert verdict == "escaped"
    assert "the host's memory grew by" in detail


async def test_a_cell_that_never_ends_fails(watch: HostWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SLACK_S", 0.0)
    monkeypatch.setattr(stage, "GRACE_S", 0.0)

    class Endless(FakeSandbox):
        async def execute(self, cell: Cell) -> Execution:
            if "while True" in cell.code:
                await anyio.sleep_forever()
            return await super().execute(cell)

    report = await run_attacks(Endless(lambda _: None), only=[NEEDS_TIME], watch=watch, proven=dict(HELD))
    assert only_result(report) == ("failed", "control did not come back within 1 s")


async def test_an_attack_that_ends_in_another_way_than_it_should_fails(watch: HostWatch) -> None:
    verdict, detail = only_result(await attacked(watch, NEEDS_TIME))
    assert (verdict, detail) == ("failed", "its last cell ended with ok, not with timeout")
    report = await attacked(watch, NEEDS_TIME, lambda: failing("ExecutionTimeout", "timeout"))
    assert only_result(report)[0] == "contained"


async def test_a_session_that_recovers_never_fails(watch: HostWatch) -> None:
    sandbox = FakeSandbox(lambda code: failing("MemoryExceeded", "memory") if code == "40 + 2" else None)
    report = await run_attacks(sandbox, only=[HARMLESS], watch=watch)
    assert only_result(report) == ("failed", "no cell runs any more: 40 + 2 ends with memory, again and again")


async def test_a_session_that_ends_with_a_typed_error_is_contained_and_with_another_is_not(watch: HostWatch) -> None:
    def crash() -> Execution:
        raise SandboxCrashed("the worker is gone")

    def bug() -> Execution:
        raise KeyError("pid")

    report = await attacked(watch, HARMLESS, crash)
    assert only_result(report) == ("contained", "no cell ended; the session ended: the worker is gone")
    assert only_result(await attacked(watch, HARMLESS, bug)) == ("failed", "KeyError: 'pid'")


async def test_another_session_that_is_hurt_fails(watch: HostWatch) -> None:
    for hurt in ("kept", "print('clean')\n[40 + 2, llm_query('hello')]"):
        sandbox = FakeSandbox(partial(when, hurt, failing("NameError")))
        report = await run_attacks(sandbox, only=[HARMLESS], watch=watch)
        assert only_result(report)[0] == "failed"


async def test_an_attack_is_given_the_session_that_the_one_before_it_left_as_new(watch: HostWatch) -> None:
    second = watch.filled(attacks()[ALSO_HARMLESS].cells[0])
    sandbox = FakeSandbox(lambda _: None)
    report = await run_attacks(sandbox, only=[HARMLESS, ALSO_HARMLESS], watch=watch)
    assert report.ok
    assert sandbox.codes[sandbox.codes.index(second) - 1].startswith("print('clean')")

    def spoilt_once(code: str) -> Execution | None:
        return OK if "clean" in code and not any("clean" in earlier for earlier in sandbox.codes[:-1]) else None

    sandbox = FakeSandbox(spoilt_once)
    report = await run_attacks(sandbox, only=[HARMLESS, ALSO_HARMLESS], watch=watch)
    assert [result.verdict for result in report.results] == ["failed", "contained"]
    assert "the next session is not as new" in report.results[0].detail


async def test_what_does_not_exist_in_the_language_is_told_from_what_is_contained(watch: HostWatch) -> None:
    missing = await attacked(watch, HARMLESS, lambda: failing("ModuleNotFoundError"))
    denied = await attacked(watch, HARMLESS, lambda: failing("PermissionError"))
    assert [only_result(missing)[0], only_result(denied)[0]] == ["not expressible", "contained"]
    assert missing.ok
    assert missing.counts == {"not expressible": 1}


async def test_text_that_cannot_be_stored_fails(watch: HostWatch) -> None:
    report = await attacked(watch, HARMLESS, lambda: Execution(stdout="\ud800"))
    assert only_result(report)[0] == "failed"


# What is not proven is not run.


async def test_an_attack_is_refused_unrun_where_its_limit_does_not_hold(watch: HostWatch) -> None:
    sandbox = FakeSandbox(lambda _: None)  # its cells end with `ok`, whatever they do: no limit bites
    report = await run_attacks(sandbox, only=[NEEDS_TIME], watch=watch)
    verdict, detail = only_result(report)
    assert verdict == "refused"
    assert "time was not seen to hold: it was not stopped" in detail
    assert attacks()[NEEDS_TIME].cells[0] not in sandbox.codes


async def test_the_path_that_a_cell_wrote_is_no_listing_of_the_host(watch: HostWatch) -> None:
    def missing(code: str) -> Execution:
        return Execution("error", error=CellError("FileNotFoundError", code.replace(str(watch.write_dir.parent), "")))

    def listed(code: str) -> Execution:
        return Execution(stdout=str([*watch.write_dir.parent.iterdir()])) if "listdir" in code else OK

    assert (await probe("walls", FakeSandbox(missing), watch)).holds
    assert not (await probe("walls", FakeSandbox(listed), watch)).holds


async def test_without_walls_no_limit_is_even_probed(watch: HostWatch) -> None:
    def leak(code: str) -> Execution | None:
        return Execution(stdout=watch.secret_file.read_text()) if "open" in code else None

    sandbox = FakeSandbox(leak)
    report = await run_attacks(sandbox, only=[NEEDS_TIME, NEEDS_WALLS, "MEMO-01-list-mul"], watch=watch)
    assert {result.verdict for result in report.results} == {"refused"}
    assert not any("10**9" in code or "400_000_000" in code for code in sandbox.codes)


async def test_an_attack_that_is_not_aimed_at_sandboxes_says_why(watch: HostWatch) -> None:
    sandbox = FakeSandbox(lambda _: None)
    report = await run_attacks(sandbox, only=["BUDG-08-provider-lies-usage"], watch=watch)
    verdict, detail = only_result(report)
    assert verdict == "not applicable"
    assert "provider" in detail
    assert report.ok


# Known gaps.


async def test_a_known_gap_is_no_failure_and_one_that_is_closed_is(watch: HostWatch) -> None:
    gaps = {HARMLESS: "it is known"}
    for text, ok in (("ESCAPE: x\n", True), ("fine\n", False)):
        sandbox = FakeSandbox(partial(when, "format", Execution(stdout=text)))
        report = await run_attacks(sandbox, only=[HARMLESS], known_gaps=gaps, watch=watch)
        assert report.ok is ok
        assert dict(report.gaps) == (gaps if ok else {})
    assert "but declared as a gap: it is known" in report.failed[HARMLESS]
    assert "declared as a gap" in str(report)


async def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="no such attack: NONE"):
        await run_attacks(FakeSandbox(lambda _: None), only=["NONE"])
    with pytest.raises(ValueError, match="no such attack: NONE"):
        await run_attacks(FakeSandbox(lambda _: None), known_gaps={"NONE": "why"})


# The attacks as data.


def test_there_are_more_than_a_hundred_attacks_and_each_says_what_must_happen() -> None:
    found = attacks()
    assert len(found) > 100
    assert all(attack.expected and (attack.cells or attack.scenario or attack.not_here) for attack in found.values())
    assert all(name == attack.id for name, attack in found.items())


def test_every_cell_is_python_with_every_placeholder_filled(watch: HostWatch) -> None:
    for attack in attacks().values():
        for code in attack.cells:
            filled = watch.filled(code)
            compile(filled, attack.id, "exec")
            assert not re.search(r"@[A-Z_]+@", filled)


def test_tests_that_an_attack_refers_to_exist() -> None:
    root = Path(__file__).parents[2]
    for attack in attacks().values():
        assert not attack.see or (root / attack.see).is_file()


def test_the_watch_leaves_nothing() -> None:
    with HostWatch() as watch:
        folder = watch.secret_file.parent
        assert folder.is_dir()
    assert not folder.exists()
    assert not any("RLMBOX_ATTACK" in name for name in os.environ)
