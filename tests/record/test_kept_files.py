"""Records that earlier versions wrote are still read, shown, replayed and gone on from.

The files of a format are made once, by the version that wrote it (`python tests/record/test_kept_files.py`), and never
again.
"""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from recorded_runs import ANSWER, models, recorded, recording_rlm
from rlmbox import Run
from rlmbox.errors import StoreError
from rlmbox.events import FORMAT
from rlmbox.record.fold import fold
from rlmbox.record.sqlite_schema import STORE_FORMAT
from rlmbox.record.sqlite_store import SqliteStore

FILES = Path(__file__).with_name("files")
TRACES = sorted(FILES.glob("*.jsonl"))
STORES = sorted(FILES.glob("store_*.db"))


def test_there_are_files_of_the_format_that_is_written() -> None:
    assert FILES / f"format_{FORMAT}.jsonl" in TRACES
    assert FILES / f"store_{STORE_FORMAT}_events_{FORMAT}.db" in STORES


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_trace_is_read_shown_and_folded(path: Path) -> None:
    run = Run.load(path)
    assert run.answer is not None
    assert run.answer.value == ANSWER
    assert run.cost_usd == run.answer.cost_usd == fold(run.events).spent_usd
    assert "print('this', llm_query('edited')) (by a person)" in str(run)


@pytest.mark.parametrize("path", STORES, ids=lambda path: path.stem)
async def test_a_store_is_read_replayed_and_gone_on_from(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs.db"
    shutil.copy(path, copied)
    store = SqliteStore(copied, kept_days=None)
    rlm = recording_rlm(*models(), store)
    assert (await rlm.areplay("whole")).value == ANSWER
    assert (await rlm.aresume("cut")).value == ANSWER
    store.close()


def user_version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("path", STORES[:-1], ids=lambda path: path.stem)
def test_a_store_of_an_earlier_format_becomes_one_of_this_with_all_that_it_has(path: Path, tmp_path: Path) -> None:
    assert user_version(path) < STORE_FORMAT
    copied, newest = tmp_path / "runs.db", tmp_path / "newest.db"
    shutil.copy(path, copied)
    shutil.copy(STORES[-1], newest)
    store, as_written = SqliteStore(copied, kept_days=None), SqliteStore(newest, kept_days=None)
    assert user_version(copied) == STORE_FORMAT
    for run_id in ("whole", "cut"):
        kinds = [event.kind for event in store.events(run_id)]
        assert kinds == [event.kind for event in as_written.events(run_id)]
        assert [event.sequence for event in store.events(run_id)] == list(range(1, len(kinds) + 1))
    assert {run.run_id for run in store._summaries()} == {"whole", "cut"}
    as_written.close()
    store.close()
    with contextlib.closing(sqlite3.connect(copied)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert tables == {"runs", "events", "payloads", "payload_uses", "sqlite_sequence"}


@pytest.mark.parametrize("path", STORES[:-1], ids=lambda path: path.stem)
def test_a_migration_that_is_cut_leaves_the_file_as_it_was(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs.db"
    shutil.copy(path, copied)
    code = (
        "import os, sys\n"
        "from rlmbox.record import sqlite_schema as schema\n"
        "from rlmbox.record.sqlite_store import SqliteStore\n"
        "last = max(schema.MIGRATIONS)\n"
        "step = schema.MIGRATIONS[last]\n"
        "schema.MIGRATIONS = {**schema.MIGRATIONS, last: lambda c: (step(c), os.kill(os.getpid(), 9))}\n"
        "SqliteStore(sys.argv[1], kept_days=None)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(copied)], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert user_version(copied) < STORE_FORMAT
    store = SqliteStore(copied, kept_days=None)
    assert Run(tuple(store.events("whole"))).answer is not None
    store.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no events"),
        ("no json\nat all\n", "line 1: it is not JSON"),
        ("[1]\n", "line 1: it is not an event"),
        ('{"kind": "teapot"}\n', "teapot"),
    ],
)
def test_what_is_no_trace_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=says):
        Run.load(path)
    with pytest.raises(StoreError, match=r"nothing\.json cannot be read: No such file"):
        Run.load(tmp_path / "nothing.json")


def test_a_trace_whose_last_line_is_cut_is_read_until_there(tmp_path: Path) -> None:
    text = TRACES[-1].read_text()
    path = tmp_path / "trace.json"
    path.write_text(text[:-40])
    assert len(Run.load(path).events) == len(text.splitlines()) - 1


async def make() -> None:
    """Write the files of this version's format."""
    FILES.mkdir(exist_ok=True)
    path = FILES / f"store_{STORE_FORMAT}_events_{FORMAT}.db"
    events, _ = await recorded(path, "whole")
    Run(tuple(events)).save(FILES / f"format_{FORMAT}.jsonl")
    cut, _ = await recorded(FILES / "temporary.db", "cut")
    store = SqliteStore(path)
    for event in cut[:60]:
        store.write(event)
    store.close()
    (FILES / "temporary.db").unlink()


if __name__ == "__main__":
    anyio.run(make)
