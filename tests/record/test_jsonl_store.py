"""A file of JSON Lines is a store as the others are, and a trace that any program reads."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from recorded_runs import ANSWER, models, recorded, recording_rlm
from rlmbox import RLM, Run
from rlmbox.errors import StoreError
from rlmbox.events import Event, HostCallFinished
from rlmbox.record.journal import SYNC_WITHIN_S
from rlmbox.record.jsonl_store import JsonlStore
from rlmbox.testing import ScriptedModel
from runs import TEXT

PLACE = {"session_id": "r", "parent_id": None, "depth": 0, "state": "INIT"}


def event(number: int = 1, value: object = None, run_id: str = "r") -> Event:
    return HostCallFinished(run_id=run_id, **PLACE, sequence=number, key=f"k{number}", function="f", value=value)  # type: ignore[arg-type]


async def test_a_run_is_recorded_resumed_and_replayed_in_a_file_of_lines(tmp_path: Path) -> None:
    events, whole = await recorded(tmp_path / "runs.db")
    path = tmp_path / "runs.jsonl"
    Run(tuple(events[: len(events) // 2])).save(path)
    answer = await recording_rlm(*models(), path).aresume("audit")
    assert answer.value == ANSWER
    assert answer.subcalls == whole.subcalls
    assert await recording_rlm(*models(), path).areplay("audit") == answer
    assert Run.load(path).answer == answer
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [
        e.sequence for e in Run.load(path).events
    ]


async def test_the_path_of_a_store_says_of_which_kind_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "runs.jsonl"
    with RLM(ScriptedModel(["FINAL(x)"], name="root"), store=path, sandbox="monty") as rlm:
        await rlm.aask("How?", TEXT, run_id="audit")
    assert Run.load(path).events[0].kind == "run_started"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["\u2028 \x85 \x1c \r\n", "\ud800", "😀 ä", "\0"])
def test_any_text_is_one_line(tmp_path: Path, text: str) -> None:
    store = JsonlStore(tmp_path / "runs.jsonl")
    written = [event(1, text), event(2, text)]
    for each in written:
        store.write(each)
    store.close()
    assert JsonlStore(store.path).events("r") == written
    assert Run.load(store.path).events == tuple(written)


def test_half_a_line_of_a_process_that_was_killed_is_cut_before_more_is_written(tmp_path: Path) -> None:
    store = JsonlStore(tmp_path / "runs.jsonl")
    store.write(event(1))
    store.write(event(2, "x" * 3_000_000))
    store.close()
    with store.path.open("r+b") as file:
        file.truncate(store.path.stat().st_size - 10)
    again = JsonlStore(store.path)
    assert [e.sequence for e in again.events("r")] == [1]
    again.write(event(2))
    assert [e.sequence for e in again.events("r")] == [1, 2]
    again.close()


async def test_what_is_removed_is_gone_from_the_file_while_another_process_adds_to_it(tmp_path: Path) -> None:
    one, other = JsonlStore(tmp_path / "runs.jsonl"), JsonlStore(tmp_path / "runs.jsonl")
    one.write(event(1, "a secret", run_id="a"))
    other.write(event(1, "kept", run_id="b"))
    one.write(event(2, "a secret", run_id="a"))
    await one.remove("a")
    other.write(event(2, "kept", run_id="b"))
    assert b"secret" not in one.path.read_bytes()
    assert [len(one.events(name)) for name in "ab"] == [0, 2]
    assert [run.run_id for run in await one.runs()] == ["b"]
    assert len(Run.load(one.path).events) == 2
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json\n{}\n", "line 1: it is not JSON"),
        ("[1]\n", "line 1: it is not an event"),
        ("{}\n{}\n", "line 1: there is no"),
    ],
)
async def test_a_file_that_is_no_trace_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(text)
    with pytest.raises(StoreError, match=rf"runs\.jsonl, {says}"):
        await JsonlStore(path).runs()
    with pytest.raises(StoreError, match="cannot be read"):
        JsonlStore(tmp_path).events("r")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_cannot_be_written_is_one_line_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    full = JsonlStore(tmp_path / "full.jsonl")
    full._file = os.open("/dev/full", os.O_WRONLY)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be written: No space left on device; give another path"):
            full.write(event(1))
    full.close()


def test_of_a_run_that_is_held_the_disk_has_everything_soon_and_of_a_trace_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = threading.Semaphore(0), os.fsync

    def counted(file: int) -> None:
        fsync(file)
        synced.release()

    monkeypatch.setattr(os, "fsync", counted)
    store = JsonlStore(tmp_path / "runs.jsonl")
    store.write(event(1))
    assert not synced.acquire(timeout=3 * SYNC_WITHIN_S)
    lease = store.hold("r")
    store.write(event(2))
    assert synced.acquire(timeout=60)
    lease.release()
    store.close()
