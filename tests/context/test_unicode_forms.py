"""A text in composed and one in decomposed form find each other, at the places where they are."""

import re
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.storage import equivalents

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")
WORDS = ["Größe", "Zürich", "élève", "Ångström", "việt", "한국어", "ñandú", "ἄνθρωπος", "é", "ǖ", "Ω"]
LETTERS = st.text(st.sampled_from("aeou äéöüñçǖệ한국άz-\u0308\u0301\u0323"), min_size=1, max_size=8)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_a_word_is_found_in_either_form(word: str, written: Form, asked: Form):
    inside, wanted = unicodedata.normalize(written, word), unicodedata.normalize(asked, word)
    text = f"one {inside} two {inside}.\n"
    context = Context.from_text(text)
    hits = context.find(wanted)
    assert [text[hit["start"] : hit["end"]] for hit in hits] == [inside, inside]
    assert [hit["match"] for hit in hits] == [inside, inside]
    assert context.count(wanted) == 2
    assert context.count(wanted.capitalize(), case_sensitive=False) == 2
    assert context.count(rf"{wanted}\W", regex=True) == 2
    assert len(context.search(f"({wanted})+")) == 2
    assert context.find_quote(f"one {wanted}")[0].quote == f"one {inside}"
    assert [hit["start"] for hit in context.rank(wanted)] == [0]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("[äöü]", 3),
        ("[a-zäöü]+", 5),
        ("Gr[öo]ße", 1),
        ("Gr(ö|oe)ße", 1),
        (r"Gr\u00f6\xdfe", 1),
        (r"\bfür\b", 1),
        ("ü?ber", 1),
        ("ö{1}", 1),
        (r"[^\x00-\x7f]", 4),
        ("(?i)GRÖßE", 1),
        ("(?P<größe>Gr.*?e)", 1),
    ],
)
def test_expressions_find_decomposed_letters(pattern: str, count: int):
    context = Context.from_text(unicodedata.normalize("NFD", "Die Größe für über"))
    assert context.count(pattern, regex=True) == count


@given(LETTERS, LETTERS)
def test_what_is_found_is_what_it_is_in_composed_form(text: str, needle: str):
    needle = unicodedata.normalize("NFC", needle)
    assume(not unicodedata.combining(needle[0]))
    context = Context.from_text(unicodedata.normalize("NFD", text) + "|" + unicodedata.normalize("NFC", text))
    for hit in context.find(needle):
        assert unicodedata.normalize("NFC", hit["match"]) == needle
    assert context.count(needle) >= unicodedata.normalize("NFC", text).count(needle)


@given(LETTERS)
def test_every_form_of_a_text_matches_its_pattern(text: str):
    pattern = re.compile(equivalents.literal(text))
    for form in FORMS:
        assert pattern.fullmatch(unicodedata.normalize(form, text))


@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_documents_are_found_by_their_names(tmp_path: Path, written: Form, asked: Form):
    names = [unicodedata.normalize(written, name) for name in ("a/übersicht.txt", "b/größe.txt")]
    context = Context.from_documents([(name, f"text {number}") for number, name in enumerate(names)])
    for number, name in enumerate(("a/übersicht.txt", "größe.txt")):
        assert context.get_document(unicodedata.normalize(asked, name)) == f"text {number}"
    with pytest.raises(KeyError, match="close names"):
        context.get_document(unicodedata.normalize(asked, "größ"))


def test_ascii_is_searched_as_before():
    assert equivalents.expression(r"\w+[a-z]") == r"\w+[a-z]"
    assert not equivalents.has_forms("plain text")
    assert Context.from_text("plain").count("ö") == 0
