"""Stores: what is written is read back, once and in order, whatever it holds."""

import os
import sqlite3
import stat
import time
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from recorded_runs import recorded
from rlmbox.errors import StoreError
from rlmbox.events import AttemptStarted, Event, HostCallFinished, QuestionAsked, RunStarted
from rlmbox.record.journal import SYNC_WITHIN_S, MemoryStore, Store
from rlmbox.record.jsonl_store import JsonlStore
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.testing import check_store

PLACE = {"session_id": "r", "parent_id": None, "depth": 0, "state": "INIT"}


def event(number: int = 1, value: object = None, run_id: str = "r") -> Event:
    return HostCallFinished(run_id=run_id, **PLACE, sequence=number, key=f"k{number}", function="f", value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["memory", "sqlite", "jsonl"])
async def test_a_store_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    made: list[SqliteStore | JsonlStore] = []

    def store() -> Store:
        if kind == "memory":
            return MemoryStore()
        path = tmp_path / f"{len(made)}.{kind}"
        made.append(JsonlStore(path) if kind == "jsonl" else SqliteStore(path))
        return made[-1]

    await check_store(store)
    for each in made:
        each.close()


async def test_a_store_that_breaks_the_contract_is_found() -> None:
    class Forgetful(MemoryStore):
        def write(self, event: Event) -> None:
            if event.sequence != 2:
                super().write(event)

    with pytest.raises(AssertionError, match="in order"):
        await check_store(Forgetful)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$payload", "$literal", "a", "b" * 20]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(60))
@given(JSON, st.integers(0, 2), st.text(st.characters(), max_size=3))
def test_any_value_comes_back_also_where_it_is_long(
    tmp_path_factory: pytest.TempPathFactory, value: object, size: int, text: str
) -> None:
    path = tmp_path_factory.mktemp("store") / "runs.db"
    store = SqliteStore(path)
    long = (text or "x") * (10_000 * size)
    written = event(1, {"value": value, "long": long, "$payload": "not one", "list": [long]})
    store.write(written)
    store.close()
    again = SqliteStore(path)
    assert again.events("r") == [written]
    again.close()


def test_a_long_text_is_kept_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db")
    for number in range(1, 20):
        store.write(event(number, "long " * 50_000))
    store.close()
    assert (tmp_path / "runs.db").stat().st_size < 1_000_000


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "deep" / "runs.db")
    store.write(event())
    store.hold("r").release()
    found = [path for path in tmp_path.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert not found
    store.close()


def test_a_newer_format_is_refused_and_the_file_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="has format 99, and this rlmbox reads up to 2; use a newer rlmbox"):
        SqliteStore(path)


def test_what_something_depends_on_is_there_for_another_process_at_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db")
    started = AttemptStarted(run_id="r", **PLACE, sequence=1, model="m", key="k", attempt=1)  # type: ignore[arg-type]
    store.write(started)
    other = SqliteStore(tmp_path / "runs.db")
    assert other.events("r") == [started]
    other.close()
    store.close()


def test_what_nobody_waits_for_is_on_the_disk_soon(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db")
    store.write(RunStarted(run_id="r", **PLACE, sequence=1, version="1"))  # type: ignore[arg-type]
    deadline = time.monotonic() + 200 * SYNC_WITHIN_S
    while not store.syncs and time.monotonic() < deadline:
        time.sleep(SYNC_WITHIN_S)
    assert store.syncs == 1
    store.close()


async def test_who_waits_at_once_waits_for_one_sync(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db")

    async def one(number: int) -> None:
        store.write(event(number))
        await store.sync()

    async with anyio.create_task_group() as tasks:
        for number in range(1, 65):
            tasks.start_soon(one, number)
    assert store.syncs <= 6
    store.close()


async def test_old_runs_are_forgotten_and_the_oldest_while_there_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SqliteStore(path)
    for name in ("a", "b", "c"):
        store.write(event(1, os.urandom(200_000).hex(), run_id=name))
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET changed_s = changed_s - 90 * 86400 WHERE run_id = 'a'")
    connection.execute("UPDATE runs SET changed_s = changed_s - 9 WHERE run_id = 'b'")
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    assert [bool(store.events(name)) for name in "abc"] == [False, True, True]
    store.close()
    store = SqliteStore(path, kept_bytes=600_000)
    assert [bool(store.events(name)) for name in "abc"] == [False, False, True]
    store.close()


async def test_the_list_of_runs_has_the_last_one_first(tmp_path: Path) -> None:
    events, answer = await recorded(tmp_path / "runs.db")
    store = SqliteStore(tmp_path / "runs.db")
    asked = QuestionAsked(run_id="z", **{**PLACE, "session_id": "z"}, sequence=1, number=1, question="Later?")  # type: ignore[arg-type]
    store.write(asked)
    store.write(event(2, run_id="z"))
    later, first = await store.runs()
    assert (later.run_id, later.question, later.status) == ("z", "Later?", "stopped")
    assert (first.status, first.cost_usd, first.events) == ("answered", answer.cost_usd, len(events))
    store.close()


def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "runs.db")
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.write(event())


@pytest.mark.parametrize("has_log", [True, False])
async def test_a_file_that_cannot_be_written_can_be_read(tmp_path: Path, has_log: bool) -> None:
    path = tmp_path / "runs.db"
    store = SqliteStore(path)
    written = event(1, "x" * 20_000)
    asked = QuestionAsked(run_id="r", **PLACE, sequence=2, number=1, question="Why?")  # type: ignore[arg-type]
    store.write(written)
    store.write(asked)
    await store.sync()
    if not has_log:
        store.close()
    reader = SqliteStore(path, read_only=True)
    assert list(await reader.read("r")) == [written, asked]
    assert [run.run_id for run in await reader.runs()] == ["r"]
    with pytest.raises(StoreError, match="cannot be written, only read; give another path"):
        reader.write(event(2))
    with pytest.raises(StoreError, match="cannot be written"):
        await reader.remove("r")
    reader.close()
    store.close()
    assert SqliteStore(path).events("r") == [written, asked]
