"""Ranked search: what comes first, that hostile queries are only words, and that no index is trusted that is broken."""

import argparse
import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.context import Context, opening, ranking
from rlmbox.context.ranking import Ranking
from rlmbox.context.ranking_engine import RankIndex
from rlmbox.context.ranking_sqlite import SqliteIndex
from rlmbox.context.ranking_tantivy import TantivyIndex
from rlmbox.context.ranking_text import PASSAGE_CHARS, best_window, passages, words
from rlmbox.errors import ContextError

ENGINES = [SqliteIndex, TantivyIndex]
FILLER = "The committee met again and talked about other matters of no importance whatever.\n"


@pytest.fixture(params=ENGINES, ids=["sqlite", "tantivy"])
def engine(request: pytest.FixtureRequest) -> Callable[[], RankIndex]:
    return request.param


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where indexes are kept; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rlmbox" / "indexes"


def report() -> Context:
    return Context.from_documents(
        [
            ("minutes.txt", FILLER * 60 + "Late delivery has a penalty of five percent.\n" + FILLER * 60),
            ("letter.txt", "Dear Sir, the delivery was late again.\n"),
            ("notes.txt", FILLER * 40),
        ]
    )


def kept(context: Context, engine: Callable[[], RankIndex]) -> Ranking:
    return Ranking(context, engine=engine, kept_bytes=0)


def test_the_passage_with_the_rarest_words_comes_first(engine: Callable[[], RankIndex]):
    context = report()
    found = Ranking(context, engine=engine).rank("What is the penalty for a late delivery?", 3)
    assert found[0]["document"] == "minutes.txt"
    assert "penalty of five percent" in found[0]["snippet"]
    passage = context.slice(found[0]["start"], found[0]["end"])
    assert "penalty" in passage
    assert passage == context.get_document("minutes.txt")[found[0]["position"] :][: len(passage)]
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    assert found[1]["document"] == "letter.txt"


def test_case_accents_and_english_endings_do_not_matter(engine: Callable[[], RankIndex]):
    context = Context.from_documents(
        [("a", "The PENALTIES were délicate."), ("b", "Nothing of it."), ("c", "Nor here.")]
    )
    for query in ("penalty", "Penalties!", "delicate", "DÉLICATE"):
        assert [hit["document"] for hit in Ranking(context, engine=engine).rank(query)] == ["a"], query


@pytest.mark.parametrize("query", ["水道", "水", "東京都の水道", "道"])
def test_scripts_without_spaces_are_found(engine: Callable[[], RankIndex], query: str):
    context = Context.from_documents(
        [("a", "大阪の電気です。"), ("b", "これは東京都の水道です。"), ("c", "京都のガス")]
    )
    assert Ranking(context, engine=engine).rank(query)[0]["document"] == "b"


@pytest.mark.parametrize(
    "query",
    [
        'penalty" OR text:*',
        "penalty AND nothing",
        "penalty NOT late",
        "NEAR(penalty late, 1)",
        "pen*lty penalty*",
        "text : penalty",
        "-penalty",
        "^penalty + late",
        "{text} penalty",
        '"penalty',
        "penalty'; DROP TABLE passages; --",
        "penalty\0late",
        "penalty \ud800",
        "rank MATCH penalty",
        "[a TO z] penalty~2 AND (",
    ],
)
def test_nothing_in_a_query_is_an_operator(engine: Callable[[], RankIndex], query: str):
    context = report()
    found = Ranking(context, engine=engine).rank(query)
    plain = Ranking(context, engine=engine).rank(" ".join(words(query)))
    assert found == plain
    assert found[0]["document"] == "minutes.txt"


@given(st.text(max_size=60))
def test_any_query_is_answered_or_has_no_words(query: str):
    for ranked in RANKED:
        if words(query):
            assert all(0 <= hit["start"] < hit["end"] for hit in ranked.rank(query))
        else:
            with pytest.raises(ValueError, match="no words"):
                ranked.rank(query)


RANKED = [Ranking(report(), engine=each) for each in ENGINES]


@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        ("", 10, "the query has no words"),
        (' "*" -_- ', 10, "the query has no words"),
        ("x" * 10_001, 10, "has 10001 characters, more than 10000: give only its key words"),
        (" ".join(f"w{i}" for i in range(65)), 10, "has 65 words, more than 64: give only those that matter"),
        ("penalty", 0, "k must be from 1 to 100: 0"),
        ("penalty", -(2**62), "k must be from 1 to 100"),
        ("penalty", 101, "k must be from 1 to 100: 101"),
    ],
)
def test_a_query_that_makes_no_sense_says_so(query: str, k: int, message: str):
    with pytest.raises(ValueError, match=message):
        report().rank(query, k)


def test_words_that_are_nowhere_give_nothing(engine: Callable[[], RankIndex]):
    assert Ranking(report(), engine=engine).rank("zebra xylophone") == []


def test_k_is_a_bound(engine: Callable[[], RankIndex]):
    context = Context.from_documents([(str(i), f"alpha {i}") for i in range(150)])
    assert len(Ranking(context, engine=engine).rank("alpha", 100)) == 100
    assert len(Ranking(context, engine=engine).rank("alpha 7", 1)) == 1


def test_frequent_words_add_to_the_score_where_they_do_not_choose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.ranking_sqlite._SCORED", 10)
    parts = [(f"{i:03d}", "common filler" if i < 40 else "other words") for i in range(100)]
    parts += [("rare alone", "rare gem here"), ("rare and common", "rare gem common")]
    ranked = Ranking(Context.from_documents(parts), engine=SqliteIndex)
    assert [hit["document"] for hit in ranked.rank("common rare")] == ["rare and common", "rare alone"]
    assert [hit["document"] for hit in ranked.rank("common")] == [f"{i:03d}" for i in range(10)]
    assert [hit["document"] for hit in ranked.rank("common filler", 3)] == ["000", "001", "002"]
    assert len(ranked.rank("filler other", 20)) == 10  # never together, so either will do


@given(
    st.lists(st.text("ab 日\n.", max_size=5_000).filter(bool), min_size=1, max_size=4),
    st.sampled_from([1, 7, 200]),
)
def test_passages_are_the_documents_in_order_and_short(texts: list[str], times: int):
    whole = "|".join(text * times for text in texts)
    spans, at = [], 0
    for text in texts:
        spans.append((at, at + len(text) * times))
        at = spans[-1][1] + 1
    bounds = ranking.array("Q")
    cut = list(passages(_Sliced(whole), spans, bounds))
    pairs = list(zip(bounds[::2], bounds[1::2], strict=True))
    assert cut == [whole[a:b] for a, b in pairs]
    assert all(0 < len(passage) <= PASSAGE_CHARS for passage in cut)
    assert "|".join(cut).replace("|", "") == whole.replace("|", "")
    assert all(any(a <= start and end <= b for a, b in spans) for start, end in pairs)


class _Sliced:
    def __init__(self, text: str) -> None:
        self._text = text

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        return self._text[start:end]


def test_passages_are_the_same_however_much_is_read_at_once(monkeypatch: pytest.MonkeyPatch):
    dice = random.Random(3)
    text = "".join(dice.choice(["word ", "word\n", "par.\n\n", "x" * 50]) for _ in range(9_000))
    whole = list(passages(_Sliced(text), [(0, len(text))], ranking.array("Q")))
    monkeypatch.setattr("rlmbox.context.ranking_text._READ_CHARS", PASSAGE_CHARS + 17)
    assert list(passages(_Sliced(text), [(0, len(text))], ranking.array("Q"))) == whole


def test_a_snippet_shows_the_words_that_are_rare_and_the_text_around_them():
    text = "the end of the matter. " * 30 + "A late penalty of five percent. " + "the end of it all. " * 40
    start, end = best_window(text, words("what is the penalty for the delay of lateness"), 120)
    assert "late penalty of five percent" in text[start:end]
    assert text[start - 1] == " "


def test_a_snippet_of_a_script_without_spaces_shows_the_words():
    text = "あ" * 500 + "水道" + "い" * 500
    start, end = best_window(text, words("水道"), 100)
    assert "水道" in text[start:end]


def test_a_snippet_takes_no_longer_for_many_words_that_are_everywhere():
    # The test's own time limit would end an attempt of every pair.
    wanted = [f"{letter}{'a' * number}" for letter in "ab" for number in range(32)]
    for _ in range(100):
        best_window("aab" * 666, wanted, 300)
        best_window("a b " * 500, wanted, 300)


@given(st.text("abcİ \n", max_size=900), st.lists(st.text("abc", min_size=1, max_size=3), max_size=4))
def test_a_snippet_lies_in_its_passage(text: str, wanted: list[str]):
    start, end = best_window(text, wanted, 100)
    assert 0 <= start <= end
    assert len(text[start:end]) == min(100, len(text)) or start > 0


# ---- the index and its cache ---------------------------------------------------------------------------------


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


def test_another_division_into_documents_has_an_index_of_its_own(cache: Path, counting: type[Counting]):
    context = report()
    kept(context, counting).rank("penalty")
    found = kept(Context.from_text(context.text()), counting).rank("penalty")
    assert counting.built == 2
    assert found[0]["document"] == "context"


def test_a_short_text_leaves_nothing_in_the_cache(cache: Path):
    report().rank("penalty")
    assert not cache.exists()


def test_an_index_is_for_its_owner_only(cache: Path, engine: Callable[[], RankIndex]):
    kept(report(), engine).rank("penalty")
    assert cache.stat().st_mode & 0o077 == 0


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_cut, _empty, _flip, Path.unlink])
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
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE passages (text)")
        connection.execute("CREATE VIEW rank AS SELECT 1")
    connection.close()
    assert kept(report(), SqliteIndex).rank("penalty") == expected


def test_an_index_that_was_made_to_look_right_is_still_checked(cache: Path):
    expected = kept(report(), SqliteIndex).rank("penalty")
    folder = next(cache.iterdir())
    database = folder / "passages.sqlite"
    with sqlite3.connect(database, isolation_level=None) as connection:
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
    with pytest.raises(ContextError, match="others can write there"):
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
    monkeypatch.setattr(ranking.shutil, "disk_usage", lambda path: argparse.Namespace(free=10))
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


def test_a_part_of_a_context_is_ranked_by_itself(engine: Callable[[], RankIndex]):
    context = report()
    start, end = context.document_span("minutes.txt")
    part = context.slice_view(start, end)
    found = Ranking(part, engine=engine).rank("penalty")
    assert "penalty" in part.slice(found[0]["start"], found[0]["end"])


def test_the_engine_is_the_extra_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    assert ranking.default_engine().name.startswith("tantivy")
    monkeypatch.setattr(ranking, "find_spec", lambda name: None)
    assert ranking.default_engine().name.startswith("sqlite")


def test_a_context_goes_away_with_its_ranking():
    import gc
    import weakref

    context = report()
    context.rank("penalty")
    gone = weakref.ref(context)
    del context
    gc.collect()
    assert gone() is None
