"""`tally` counts what `re.findall` finds, whatever engine, piece or encoding the text is read with."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.load import kinds, opening
from rlmbox.context.search import runs, tallying

PATTERNS = [
    r"\w+",
    r"\b\w+\b",
    r"\b[a-z]{2,3}\b",
    r"\w{2,}",
    r"\w{1,2}",
    r"\S+",
    r"\d+",
    r"[^,]+",
    r"[^\w ,-]+",
    r"[a-c-]+",
    r"(\w+)=",
    r"\b(\w+)\b",
    r"(?P<key>[ab]+)(?:=(?:1|é))?",
    r"a(b)?",
    r"é(=)?$",
    r"(?i)A+",
]
TEXTS = st.text(st.sampled_from("abcAB1é=, -\n\u1680東"), max_size=60)


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "SMALL_BYTES", 0)  # files are read in place
        patch.setattr(kinds, "_MOST_CONTROLS", 1)
        patch.setattr(runs, "_PIECE_BYTES", 5)
        patch.setattr(tallying, "_READ_BYTES", 7)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@given(TEXTS, st.sampled_from(PATTERNS))
@example("ab=1 é=\n", r"é(=)?$")
@example("東" * 40 + "a,b", r"\w+")
def test_it_counts_what_findall_finds(text: str, pattern: str):
    expected = Counter(re.findall(pattern, text))
    got = Context.from_text(text or " ").tally(pattern, 1000)
    assert got == dict(expected if text else Counter(re.findall(pattern, " ")))
    assert list(got.values()) == sorted(got.values(), reverse=True)


@given(TEXTS.filter(bool), st.sampled_from(PATTERNS))
def test_a_text_in_a_file_is_counted_as_one_in_memory(folder: Path, text: str, pattern: str):
    path = folder / f"{len(list(folder.iterdir()))}.txt"
    path.write_bytes(text.encode())
    assert Context.from_path(path, encoding="utf-8").tally(pattern, 1000) == Context.from_text(text).tally(
        pattern, 1000
    )


@given(TEXTS.filter(bool), st.integers(0, 20))
def test_a_part_is_counted_as_the_text_that_it_is(text: str, start: int):
    part = Context.from_text(text + "ab").slice_view(min(start, len(text)))
    assert part.tally(r"(\w+)", 1000) == Counter(re.findall(r"\w+", part.text()))


def test_the_most_frequent_come_first_and_of_equal_ones_the_first_by_the_alphabet():
    assert list(Context.from_text("c b b a d").tally(r"\w", 3).items()) == [("b", 2), ("a", 1), ("c", 1)]


@pytest.mark.parametrize("pattern", [r"\w+", r"(?:the|café)", r"(th\w|caf\w)"])
def test_without_case_words_that_differ_in_it_are_one_in_lower_case(pattern: str):
    assert Context.from_text("The the THE Café CAFÉ").tally(pattern, 5, False) == {"the": 3, "café": 2}


def test_forms_of_one_letter_are_one():
    assert Context.from_text("caf\u00e9 cafe\u0301").tally("caf(?:é)") == {"caf\u00e9": 2}


def test_of_a_long_match_the_beginning_counts():
    text = "é" * 5000 + " " + "é" * 4000
    assert Context.from_text(text).tally(r"\w+") == {"é" * 1000: 2}
    assert Context.from_text(text).tally(r"(é+) ?") == {"é" * 1000: 2}


@pytest.mark.parametrize("pattern", [r"\w+", r"\w+ ?", r"(\w+) ?"])
def test_too_many_different_texts_are_refused_before_they_fill_the_memory(pattern: str, monkeypatch):
    monkeypatch.setattr(tallying, "MAX_KINDS", 1000)
    monkeypatch.setattr(tallying, "_BATCH", 100)
    text = Context.from_text(" ".join(map(str, range(1500))))
    with pytest.raises(ValueError, match="more than 1,000 different texts: use one that matches fewer"):
        text.tally(pattern)


@pytest.mark.parametrize("pattern", [r"\w+", r"\w+ ?"])
def test_time_that_is_up_ends_it(pattern: str):
    with pytest.raises(ValueError, match="took longer than"):
        Context.from_text("a b " * 100).tally(pattern, timeout_s=0)


@pytest.mark.parametrize(
    ("pattern", "n", "word"),
    [
        ("", 5, "empty"),
        ("(a)(b)", 5, "more than one group"),
        ("(", 5, "not closed"),
        ("[b-a]+", 5, "range"),
        ("a", 0, "positive"),
        (r"(a)\1", 5, "back-reference"),
        ("\ud800", 5, "surrogate"),
    ],
)
def test_a_wrong_argument_is_named(pattern: str, n: int, word: str):
    with pytest.raises(ValueError, match=word):
        Context.from_text("abc").tally(pattern, n)
