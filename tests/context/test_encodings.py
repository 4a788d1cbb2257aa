"""Whatever encoding a file is in, its text is the text that was written."""

from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.load import kinds, opening

# A file with many control characters is not text: see test_formats.py.
CONTROLS = "".join(map(chr, {*range(32), 127} - set(b"\b\t\n\v\f\r\x1b")))
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS + "\ufeff"), min_size=1, max_size=80
)
MARKED = ("utf-8-sig", "utf-16", "utf-32")
PROSE = {
    "pt": "A ação do coração não é história de São Paulo; você sabe que a maçã é à toa. ",
    "fr": "L\u2019été dernier, nous avons mangé des crêpes à la crème près du château \u2014 où ça ? ",
    "de": "Die Größe der Straße überrascht die Mädchen, sagte der Bäcker früh am Morgen. ",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю. ",
    "ja": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "zh": "我们认为这些真理是不言而喻的\uff0c人人生而平等\uff0c造物者赋予他们若干不可剥夺的权利。",
    "pl": "Zażółć gęślą jaźń, proszę bardzo, powiedział łagodnie ojciec. ",
}
LEGACY = [
    ("pt", "cp1252"),
    ("pt", "latin-1"),
    ("fr", "cp1252"),
    ("de", "latin-1"),
    ("ru", "cp1251"),
    ("ru", "koi8-r"),
    ("ja", "shift_jis"),
    ("ja", "euc_jp"),
    ("zh", "gb18030"),
    ("pl", "cp1250"),
]


@pytest.fixture(params=["in memory", "in place"])
def placed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in place":
        monkeypatch.setattr(opening, "SMALL_BYTES", 0)


def opened(path: Path, data: bytes) -> Context:
    path.write_bytes(data)
    return Context.from_path(path)


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_a_text_with_a_mark_or_in_utf8_is_read_as_it_was_written(tmp_path_factory, encoding: str):
    @given(TEXTS, st.integers(-90, 90), st.integers(-90, 90))
    @example("😀é\n", 0, 2)
    def check(text: str, start: int, end: int) -> None:
        # What happens to look like UTF-16 without a mark needs NULs, which these texts have not.
        assume(text.count("\r") < 2 or "\n" in text)
        context = opened(tmp_path_factory.mktemp("f") / "it", text.encode(encoding))
        assert context.text() == text
        assert (context.length, context.size_bytes, context.replaced) == (len(text), len(text.encode()), 0)
        assert context.slice(start, end) == text[start:end]
        assert context.count(text[0]) == text.count(text[0])

    check()


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@given(st.text(st.sampled_from("abc é\nü"), min_size=4, max_size=50))
def test_western_text_in_utf16_without_a_mark_is_known_by_its_nuls(tmp_path_factory, encoding: str, text: str):
    context = opened(tmp_path_factory.mktemp("f") / "it", text.encode(encoding))
    assert (context.text(), context.encoding) == (text, encoding)


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize(("language", "encoding"), LEGACY)
@pytest.mark.parametrize("times", [2, 3_000])
def test_prose_in_an_older_encoding_is_recognised(tmp_path: Path, language: str, encoding: str, times: int):
    text = PROSE[language].replace("\u2019", "'").replace("\u2014", "-") if encoding == "latin-1" else PROSE[language]
    context = opened(tmp_path / "it.txt", (text * times).encode(encoding))
    assert context.text() == text * times
    assert context.replaced == 0
    assert context.metadata()["encoding"] == context.encoding != "utf-8"


@pytest.mark.usefixtures("placed")
def test_a_single_letter_of_an_older_encoding_in_a_word_is_recognised(tmp_path: Path):
    assert opened(tmp_path / "it.txt", "un café noir\n".encode("latin-1")).text() == "un café noir\n"


DAMAGED = [
    ("truncated", "olá, São Paulo: ação".encode()[:-2] + b"\xc3"),
    ("truncated after ASCII", b"plain text and then \xe6\x97"),
    ("one stray byte", "ação\n".encode() * 50 + b"\xff" + "ação\n".encode() * 50),
    ("continuation bytes alone", "日本語\n".encode() * 20 + b"\x80\x80" + "日本語\n".encode()),
    ("overlong", "日本語\n".encode() * 20 + b"\xc0\xaf"),
    ("surrogate", "日本語\n".encode() * 20 + b"\xed\xa0\x80"),
    ("control bytes", b"a\x80b\xff\xfe"),
    ("across a block", b"a" * 16_383 + "é".encode()[:1] + b"a" + "é".encode() * 9),
    ("deep inside", b"a" * 3_000_000 + "é".encode() * 9 + b"\xff" + b"b" * 100),
]


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize(("data"), [data for _, data in DAMAGED], ids=[name for name, _ in DAMAGED])
def test_damaged_utf8_has_marks_where_it_is_damaged_and_counts_them(tmp_path: Path, data: bytes):
    context = opened(tmp_path / "it.txt", data)
    expected = data.decode("utf-8", "replace")
    assert context.text() == expected
    assert (context.encoding, context.length) == ("utf-8", len(expected))
    assert context.replaced == context.metadata()["replaced"] == expected.count("\ufffd") > 0


@pytest.mark.usefixtures("placed")
def test_good_marks_of_replacement_are_not_counted(tmp_path: Path):
    context = opened(tmp_path / "it.txt", "a\ufffdé".encode() + b"\xff" + "é".encode())
    assert (context.text(), context.replaced) == ("a\ufffdé\ufffdé", 1)


@pytest.mark.usefixtures("placed")
@given(st.binary(min_size=1, max_size=200))
@example(b"\xef\xbb\xbf\xff")
@example(b"\xff\xfea")
@example(b"\x00\xd8\x00\xd8\x00\xd8\x00\xd8")
def test_any_bytes_are_some_text(tmp_path_factory, data: bytes):
    path = tmp_path_factory.mktemp("f") / "it"
    path.write_bytes(data)
    if data in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return  # a mark without a text
    assume(kinds.file_kind(data, "it").name == kinds.TEXT)
    context = Context.from_path(path)
    text = context.text()
    assert context.length == len(text) == len(text.encode().decode())
    assert 0 <= context.replaced <= text.count("\ufffd")


@pytest.mark.usefixtures("placed")
def test_nul_bytes_in_a_file_that_was_asked_for_are_text(tmp_path: Path):
    context = opened(tmp_path / "it.bin", b"A log:\0\0 some\0text \0\0\0\n")
    assert context.text() == "A log:\0\0 some\0text \0\0\0\n"
    assert context.count("\0") == 6
    assert context.find("some\0text")[0]["start"] == 9
    assert context.count(r"\x00+", regex=True) == 3


def test_the_documents_of_a_directory_may_be_in_different_encodings(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(PROSE["pt"].encode("cp1252"))
    (tmp_path / "b.txt").write_bytes(PROSE["ja"].encode("utf-16"))
    (tmp_path / "c.txt").write_bytes(PROSE["ru"].encode())
    context = Context.from_path(tmp_path)
    assert [context.get_document(i) for i in range(3)] == [PROSE["pt"], PROSE["ja"], PROSE["ru"]]
    assert context.encoding == "cp1252, utf-16-le, utf-8"
