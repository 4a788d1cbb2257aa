"""How a text is cut into passages, and what of a passage is shown."""

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.context.rank.passages import PASSAGE_CHARS, best_window, passages, words


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
    bounds = array("Q")
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
    whole = list(passages(_Sliced(text), [(0, len(text))], array("Q")))
    monkeypatch.setattr("rlmbox.context.rank.passages._READ_CHARS", PASSAGE_CHARS + 17)
    assert list(passages(_Sliced(text), [(0, len(text))], array("Q"))) == whole


def test_a_snippet_shows_the_words_that_are_rare_and_the_text_around_them():
    text = "the end of the matter. " * 30 + "A late penalty of five percent. " + "the end of it all. " * 40
    start, end = best_window(text, words("what is the penalty for the delay of lateness"), 120)
    assert "late penalty of five percent" in text[start:end]
    assert text[start - 1] == " "


def test_a_snippet_of_a_script_without_spaces_shows_the_words():
    text = "あ" * 500 + "水道" + "い" * 500
    start, end = best_window(text, words("水道"), 100)
    assert "水道" in text[start:end]


def test_a_word_of_korean_is_found_with_another_particle():
    assert set(words("위약금")) & set(words("계약에 따라 지연 위약금은 5%입니다.")) == {"위약", "약금"}
    assert set(words("서울")) <= set(words("수도는 서울특별시이다."))


def test_an_emoji_is_a_word_and_a_snippet_shows_it():
    text = "word " * 200 + "the launch 🚀 went well. " + "word " * 200
    assert set(words("🚀")) <= set(words(text))
    start, end = best_window(text, words("🚀"), 100)
    assert "🚀" in text[start:end]
    assert set(words("🇩🇪")) <= set(words("a flag 🇩🇪"))


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
