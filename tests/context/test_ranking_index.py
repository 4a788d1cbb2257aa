"""The index is made once and within limits, and none is trusted that is broken."""

import argparse
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from context.ranked import FILLER, each_engine, report
from rlmbox.context import Context
from rlmbox.context.load import dumps, opening
from rlmbox.context.rank import ranking
from rlmbox.context.rank.engine import RankIndex
from rlmbox.context.rank.ranking import Ranking
from rlmbox.context.rank.sqlite_engine import SqliteIndex
from rlmbox.errors import ContextError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where indexes are kept; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rlmbox" / "indexes"


def kept(context: Context, engine: Callable[[], RankIndex]) -> Ranking:
    return Ranking(context, engine=engine, kept_bytes=0)


class Counting(SqliteIndex):
    """Counts how often it is built and opened."""

    built = opened = 0

    def build(self, folder: Path | None, texts: Iterable[str]) -> None:
        type(self).built += 1
        super().build(folder, texts)

    def open(self, folder: Path) -> None:
        type(self).opened += 1
        super().open(folder)


@pytest.fixture
def counting() -> type[Counting]:
    Counting.built = Counting.opened = 0
    return Counting


def test_the_index_is_made_once_and_found_by_the_next_context(cache: Path, counting: type[Counting]):
    first = kept(report(), counting)
    before = first.rank("penalty")
    first.rank("delivery")
    assert kept(report(), counting).rank("penalty") == before
    assert (counting.built, counting.opened) == (1, 2)
    assert len(list(cache.iterdir())) == 1


def test_another_division_into_documents_has_an_index_of_its_own(
    cache: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch
):
    context = report()
    kept(context, counting).rank("penalty")
    monkeypatch.setattr(dumps, "documents_of", lambda store, name: None)
    found = kept(Context.from_text(context.text()), counting).rank("penalty")
    assert counting.built == 2
    assert found[0]["document"] == "context"


def test_a_short_text_leaves_nothing_in_the_cache(cache: Path):
    report().rank("penalty")
    assert not cache.exists()


@each_engine
def test_an_index_is_for_its_owner_only(cache: Path, engine: Callable[[], RankIndex]):
    kept(report(), engine).rank("penalty")
    assert cache.stat().st_mode & 0o077 == 0


def _put(path: Path, data: bytes) -> None:
    """Has other bytes in a file's place; cut where it is, it would take down the process that has it mapped."""
    fresh = path.with_name(".fresh")
    fresh.write_bytes(data)
    fresh.replace(path)


def _cut(path: Path) -> None:
    _put(path, path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    _put(path, b"")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    _put(path, bytes(data))


@pytest.mark.parametrize("harm", [_cut, _empty, _flip, Path.unlink])
@each_engine
def test_an_index_that_is_damaged_is_made_again(
    cache: Path, engine: Callable[[], RankIndex], harm: Callable[[Path], None]
):
    expected = kept(report(), engine).rank("penalty")
    folder = next(cache.iterdir())
    for number in range(len(list(folder.glob("[!.]*")))):
        path = sorted(folder.glob("[!.]*"))[number]
        harm(path)
        assert kept(report(), engine).rank("penalty") == expected, path.name


def test_an_index_of_somebody_else_is_not_opened(cache: Path):
    expected = kept(report(), SqliteIndex).rank("penalty")
    folder = next(cache.iterdir())
    database = folder / "passages.sqlite"
    database.unlink()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE passages (text)")
        connection.execute("CREATE VIEW rank AS SELECT 1")
    connection.close()
    assert kept(report(), SqliteIndex).rank("penalty") == expected


def test_an_index_that_was_made_to_look_right_is_still_checked(cache: Path):
    expected = kept(report(), SqliteIndex).rank("penalty")
    folder = next(cache.iterdir())
    database = folder / "passages.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection, connection:
        connection.execute("CREATE VIEW other AS SELECT 1")
    connection.close()
    about = json.loads((folder / "about.json").read_text())
    import hashlib

    about["files"]["passages.sqlite"] = hashlib.sha256(database.read_bytes()).hexdigest()
    (folder / "about.json").write_text(json.dumps(about))
    assert kept(report(), SqliteIndex).rank("penalty") == expected


def test_an_engine_that_speaks_of_passages_that_are_not_there_is_asked_once_more_and_then_fails(cache: Path):
    class Lying(SqliteIndex):
        def query(self, words: object, k: int, passages: int) -> list[tuple[int, float]]:
            return [(10**9, 1.0)]

    with pytest.raises(IndexError):
        kept(report(), Lying).rank("penalty")


def test_what_a_killed_build_left_behind_is_removed_later(cache: Path):
    left = cache / ".part-killed"
    left.mkdir(parents=True, mode=0o700)
    cache.parent.chmod(0o700)
    cache.chmod(0o700)
    os.utime(left, (0, 0))
    kept(report(), SqliteIndex).rank("penalty")
    assert not left.exists()
    assert not list(cache.glob(".part-*"))


def test_without_a_place_for_a_cache_the_index_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "rlmbox").mkdir()
    (tmp_path / "rlmbox").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept(report(), SqliteIndex).rank("penalty")
    monkeypatch.setattr(ranking, "_IN_MEMORY_BYTES", 10)
    with pytest.raises(ContextError, match="other users can write to it"):
        kept(report(), SqliteIndex).rank("penalty")


def test_an_index_that_another_process_made_meanwhile_is_taken(cache: Path):
    class Late(SqliteIndex):
        def build(self, folder: Path | None, texts: Iterable[str]) -> None:
            super().build(folder, texts)
            expected.append(kept(report(), SqliteIndex).rank("penalty"))

    expected: list[object] = []
    assert kept(report(), Late).rank("penalty") == expected[0]
    assert len(list(cache.iterdir())) == 1


def test_a_broken_index_that_another_process_made_meanwhile_is_not_taken(cache: Path):
    class Late(SqliteIndex):
        def build(self, folder: Path | None, texts: Iterable[str]) -> None:
            super().build(folder, texts)
            kept(report(), SqliteIndex).rank("penalty")
            next(cache.glob("[!.]*/passages.sqlite")).write_bytes(b"broken")

    assert kept(report(), Late).rank("penalty")
    assert kept(report(), SqliteIndex).rank("penalty")


def test_a_text_that_is_too_long_or_a_disk_that_is_too_full_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: argparse.Namespace(free=10))
    with pytest.raises(ValueError, match=r"too little room in the cache for an index of the text: use ctx\.search"):
        kept(report(), SqliteIndex).rank("penalty")
    monkeypatch.setattr(ranking, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match=r"the text has more than 0 MiB, too many to be ranked: use ctx\.search"):
        kept(report(), SqliteIndex).rank("penalty")


class Slow(SqliteIndex):
    """Goes on when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.began = threading.Event()

    def build(self, folder: Path | None, texts: Iterable[str]) -> None:
        def waiting() -> Iterable[str]:
            for text in texts:
                self.began.set()
                assert self.go_on.wait(30)
                yield text

        super().build(folder, waiting())


def test_a_query_waits_only_so_long_for_an_index_and_the_index_is_made_nevertheless():
    index = Slow()
    ranked = Ranking(report(), engine=lambda: index)
    with pytest.raises(ValueError, match=r"still being made, \d+ % of the text so far: go on with ctx\.search"):
        ranked.rank("penalty", wait_s=0)
    index.go_on.set()
    assert ranked.rank("penalty")


def test_making_an_index_ends_at_its_limit_and_can_be_tried_again():
    made: list[SqliteIndex] = []

    def engine() -> SqliteIndex:
        made.append(SqliteIndex())
        return made[-1]

    ranked = Ranking(report(), engine=engine, build_s=0)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"stopped after \d+ % of the text, at its limit of 0 s: use ctx\.search"):
            ranked.rank("penalty")
    assert len(made) == 2


def test_making_an_index_can_be_cancelled_and_leaves_nothing(cache: Path):
    indexes = [Slow(), Slow()]
    indexes[1].go_on.set()
    left = iter(indexes)
    ranked = Ranking(report(), engine=lambda: next(left), kept_bytes=0)
    with pytest.raises(ValueError, match="still being made"):
        ranked.rank("penalty", wait_s=0)
    assert indexes[0].began.wait(30)
    building = ranked._building
    ranked.cancel()
    indexes[0].go_on.set()
    assert building is not None
    with pytest.raises(ValueError, match="was stopped"):
        building.wait(30)
    assert list(cache.iterdir()) == []
    assert ranked.rank("penalty")
    ranked.cancel()  # nothing goes on any more
    assert ranked.rank("penalty")


def test_many_threads_share_one_index(cache: Path, counting: type[Counting]):
    ranked = kept(report(), counting)
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(ranked.rank("late delivery"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)
    assert counting.built == 1


def test_an_error_of_the_text_reaches_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "SMALL_BYTES", 1_000)
    path = tmp_path / "long.txt"
    path.write_text(FILLER * 100)
    context = Context.from_path(path)
    context.prepare()
    os.truncate(path, 10)
    with pytest.raises(ContextError, match=r"long\.txt: became shorter"):
        context.rank("committee")
