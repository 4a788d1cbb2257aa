"""A process that is killed at any instant loses nothing that was paid for, and the run comes to the same answer."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from recorded_runs import ANSWER
from rlmbox.errors import StoreError
from rlmbox.events import AttemptFinished, AttemptStarted, RunResumed
from rlmbox.record.run import Run
from rlmbox.record.sqlite_store import SqliteStore

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
CHILD = Path(__file__).with_name("killed_child.py")
ANSWERED = json.dumps(ANSWER)
KILLS = int(os.environ.get("RECORD_KILLS", "12"))  # 300 for the figure in the docs
SEED = int(os.environ.get("RECORD_SEED", "1"))


def start(folder: Path, kill_at: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(folder / "runs.db"), str(folder / "log"), str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=120)
    return child.returncode, out, err


def check(folder: Path) -> None:
    """What the record says of a run that came to its answer is what the provider saw."""
    store = SqliteStore(folder / "runs.db")
    events = store.events("audit")
    store.close()
    run = Run(tuple(events))
    assert run.answer is not None
    assert run.answer.value == ANSWER
    finished = [e for e in events if isinstance(e, AttemptFinished)]
    uncertain = [e for e in finished if e.outcome == "uncertain"]
    assert run.answer.cost_usd == sum((e.cost_usd for e in finished), Decimal(0))
    under_way = sum(e.uncertain for e in events if isinstance(e, RunResumed))
    assert under_way >= len(uncertain)
    asked = (folder / "log").read_text().splitlines()
    twice = sum(count - 1 for count in Counter(asked).values())
    assert twice <= under_way
    # Each request is in the record before it leaves; one that was in flight may not have left.
    started = sum(isinstance(e, AttemptStarted) for e in events)
    assert len(asked) <= started <= len(asked) + len(uncertain)
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))


def until_it_ends(folder: Path) -> None:
    code, out, err = ended(start(folder))
    assert code == 0, err
    assert out.strip() == ANSWERED


FILES = {"out": "out", "err": "err", "store": "runs.db", "log": "log"}


class Nursery:
    """A process that forks children of the kind that `start` starts, at a tenth of the cost."""

    def __init__(self) -> None:
        command = [sys.executable, str(CHILD), "serve"]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, folder: Path, kill_at: int = 0, *, late_s: float = 0.0, threads: bool = False) -> int:
        """Runs one to its end, or until it is killed; gives its exit code, having checked what it said."""
        paths = {name: str(folder / file) for name, file in FILES.items()}
        request = {**paths, "kill_at": kill_at, "late_s": late_s, "threads": threads}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        if code != -signal.SIGKILL:
            assert code == 0, (folder / "err").read_text()
            assert (folder / "out").read_text().strip() == ANSWERED
        return code

    def close(self) -> None:
        self._server.communicate(timeout=60)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def test_a_run_that_is_killed_again_and_again_comes_to_the_same_answer(tmp_path: Path, nursery: Nursery) -> None:
    ended(start(tmp_path, 14))  # with a seed of hashes of its own; those of the nursery share one
    code, killed = -signal.SIGKILL, 1
    while code == -signal.SIGKILL:
        code = nursery.run(tmp_path, 14)
        killed += code == -signal.SIGKILL
    assert killed > 4
    check(tmp_path)


@pytest.mark.parametrize("kill_at", [1, 5, 14, 33, 42, 60, 78, 97])
def test_a_run_that_is_killed_after_an_event_comes_to_the_same_answer(
    tmp_path: Path, nursery: Nursery, kill_at: int
) -> None:
    assert nursery.run(tmp_path, kill_at) == -signal.SIGKILL
    assert nursery.run(tmp_path) == 0
    check(tmp_path)


@pytest.mark.parametrize("kill_at", [8, 15, 20, 24])
def test_a_run_whose_cell_has_threads_comes_to_the_same_answer(tmp_path: Path, nursery: Nursery, kill_at: int) -> None:
    assert nursery.run(tmp_path, kill_at, threads=True) == -signal.SIGKILL
    assert nursery.run(tmp_path, threads=True) == 0
    check(tmp_path)


@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_after_each_event_in_turn_comes_to_the_same_answer(
    tmp_path: Path, nursery: Nursery
) -> None:
    for kill_at in range(1, 102, 1 if KILLS >= 300 else 14):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        assert nursery.run(folder, kill_at) == -signal.SIGKILL
        assert nursery.run(folder) == 0
        check(folder)


@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_at_random_comes_to_the_same_answer(tmp_path: Path, nursery: Nursery) -> None:
    killed = run = 0
    moment = random.Random(SEED)
    while killed < KILLS:
        folder, run = tmp_path / str(run), run + 1
        folder.mkdir()
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            # So many milliseconds after an event: a moment of the run, however fast the machine is.
            kill_at, late_s = moment.randint(1, 110), moment.uniform(0, 0.02)
            code = nursery.run(folder, kill_at, late_s=late_s, threads=run % 3 == 0)
            killed += code == -signal.SIGKILL
        check(folder)


def test_of_two_processes_that_resume_one_run_one_is_refused(tmp_path: Path, nursery: Nursery) -> None:
    assert nursery.run(tmp_path, 20) == -signal.SIGKILL
    store = SqliteStore(tmp_path / "runs.db")
    lease = store.hold("audit")
    code, _, err = ended(start(tmp_path))
    assert code == 1
    assert "another process is at work on the run audit; wait until it has ended" in err
    lease.release()
    store.close()
    until_it_ends(tmp_path)


def test_a_lease_is_free_when_its_holder_was_killed(tmp_path: Path, nursery: Nursery) -> None:
    assert nursery.run(tmp_path, 20) == -signal.SIGKILL
    store = SqliteStore(tmp_path / "runs.db")
    store.hold("audit").release()
    store.close()


def test_a_log_whose_last_page_is_cut_loses_only_what_was_in_it(tmp_path: Path) -> None:
    ended(start(tmp_path, 60))
    wal = tmp_path / "runs.db-wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size - 1_000)
    until_it_ends(tmp_path)
    store = SqliteStore(tmp_path / "runs.db")
    assert Run(tuple(store.events("audit"))).answer.value == ANSWER
    store.close()


def test_a_file_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"no database at all, but some text that is long enough" * 40)
    with pytest.raises(StoreError, match=r"runs\.db cannot be opened: file is not a database; the file is damaged"):
        SqliteStore(path)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StoreError, match="is a database of another program"):
        SqliteStore(other)


FULL = """
mount -t tmpfs -o size=448k tmpfs disk || exit 77
"$@" > first.out 2> first.err; echo $? > first.code
mount -o remount,size=64m disk
"$@" > second.out 2> second.err; echo $? > second.code
cp disk/runs.db* .
"""


def test_on_a_disk_that_is_full_the_run_ends_in_one_line_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare, for a disk of its own")
    (tmp_path / "disk").mkdir()
    command = [sys.executable, str(CHILD), str(tmp_path / "disk" / "runs.db"), str(tmp_path / "log"), "0"]
    done = subprocess.run(
        [unshare, "-Urm", "sh", "-c", FULL, "sh", *command], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk of its own: {done.stderr.strip()}")
    said = (tmp_path / "first.err").read_text().splitlines()[-1]
    assert (tmp_path / "first.code").read_text() == "1\n", said
    assert "runs.db cannot be written: database or disk is full; make room on the disk and resume the run" in said
    assert (tmp_path / "second.code").read_text() == "0\n", (tmp_path / "second.err").read_text()
    assert (tmp_path / "second.out").read_text().strip() == ANSWERED
    check(tmp_path)
