"""Ranked search: what comes first, and that hostile queries are only words."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.ranked import ENGINES, each_engine, report
from rlmbox.context import Context
from rlmbox.context.rank import ranking
from rlmbox.context.rank.engine import RankIndex
from rlmbox.context.rank.passages import words
from rlmbox.context.rank.ranking import Ranking
from rlmbox.context.rank.sqlite_engine import SqliteIndex


@each_engine
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


@each_engine
def test_case_accents_and_english_endings_do_not_matter(engine: Callable[[], RankIndex]):
    context = Context.from_documents(
        [("a", "The PENALTIES were délicate."), ("b", "Nothing of it."), ("c", "Nor here.")]
    )
    for query in ("penalty", "Penalties!", "delicate", "DÉLICATE"):
        assert [hit["document"] for hit in Ranking(context, engine=engine).rank(query)] == ["a"], query


@pytest.mark.parametrize("query", ["水道", "水", "東京都の水道", "道"])
@each_engine
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
@each_engine
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


@each_engine
def test_words_that_are_nowhere_give_nothing(engine: Callable[[], RankIndex]):
    assert Ranking(report(), engine=engine).rank("zebra xylophone") == []


@each_engine
def test_k_is_a_bound(engine: Callable[[], RankIndex]):
    context = Context.from_documents([(str(i), f"alpha {i}") for i in range(150)])
    assert len(Ranking(context, engine=engine).rank("alpha", 100)) == 100
    assert len(Ranking(context, engine=engine).rank("alpha 7", 1)) == 1


def test_frequent_words_add_to_the_score_where_they_do_not_choose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.rank.sqlite_engine._SCORED", 10)
    parts = [(f"{i:03d}", "common filler" if i < 40 else "other words") for i in range(100)]
    parts += [("rare alone", "rare gem here"), ("rare and common", "rare gem common")]
    ranked = Ranking(Context.from_documents(parts), engine=SqliteIndex)
    assert [hit["document"] for hit in ranked.rank("common rare")] == ["rare and common", "rare alone"]
    assert [hit["document"] for hit in ranked.rank("common")] == [f"{i:03d}" for i in range(10)]
    assert [hit["document"] for hit in ranked.rank("common filler", 3)] == ["000", "001", "002"]
    assert len(ranked.rank("filler other", 20)) == 10  # never together, so either will do


@each_engine
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
