"""Whatever the text, reading it by position is what the same operation on the `str` would be."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.storage.text import BLOCK_BYTES
from rlmbox.errors import ContextError

CHARACTERS = st.one_of(
    st.sampled_from("ab \n\t\r"), st.sampled_from("éçñΩ\u0301\u2028"), st.sampled_from("日本€"), st.sampled_from("😀🏳")
)
TEXTS = st.one_of(st.text(min_size=1), st.text(CHARACTERS, min_size=1, max_size=60))
POSITIONS = st.one_of(st.none(), st.integers(-80, 80), st.sampled_from([-(10**30), 10**30]))


@st.composite
def long_texts(draw: st.DrawFn) -> str:
    """Texts of several blocks, whose multi-byte characters lie across the blocks' borders."""
    unit = draw(st.sampled_from(["aé", "日", "😀x", "abc\n", "é日😀a\n"]))
    lead = draw(st.text(CHARACTERS, max_size=5))
    plain = "p" * draw(st.integers(0, 3)) * BLOCK_BYTES
    return lead + unit * (BLOCK_BYTES // 2) + plain + draw(st.text(CHARACTERS, max_size=5)) + unit


@settings(deadline=None)
@given(TEXTS, POSITIONS, POSITIONS)
def test_a_slice_is_the_slice_of_the_str(text: str, start: int | None, end: int | None):
    assert Context.from_text(text).slice(start, end) == text[start:end]


@settings(deadline=None)
@given(long_texts(), st.data())
def test_a_slice_of_a_text_of_many_blocks_is_the_slice_of_the_str(text: str, data: st.DataObject):
    context = Context.from_text(text)
    for _ in range(10):
        start = data.draw(st.integers(0, len(text)))
        assert context.slice(start, start + 20) == text[start : start + 20]


@settings(deadline=None)
@given(long_texts(), st.data())
def test_a_hit_in_a_text_of_many_blocks_is_where_the_str_has_it(text: str, data: st.DataObject):
    context = Context.from_text(text)
    start = data.draw(st.integers(0, len(text) - 1))
    needle = text[start : start + 3]
    place = text.find(needle)
    hit = context.find(needle, max_matches=1)[0]
    assert (hit["start"], hit["end"]) == (place, place + len(needle))
    assert hit["line"] == text.count("\n", 0, place) + 1


@settings(deadline=None)
@given(TEXTS)
def test_the_whole_text_and_its_measures_are_those_of_the_str(text: str):
    context = Context.from_text(text)
    data = text.encode()
    assert context.text() == text
    assert bytes(context.buffer()) == data
    assert (len(context), context.length, context.size_bytes) == (len(text), len(text), len(data))
    assert context.sha256 == hashlib.sha256(data).hexdigest()


@settings(deadline=None)
@given(TEXTS, st.integers(-10, 80), st.integers(0, 80))
def test_a_chunk_that_is_read_begins_where_a_slice_would(text: str, start: int, size: int):
    first = slice(start, None).indices(len(text))[0]
    assert Context.from_text(text).read_chunk(start, size) == text[first : first + size]


@settings(deadline=None)
@given(TEXTS, st.integers(0, 80), st.integers(0, 40))
def test_a_snippet_lies_around_its_position(text: str, offset: int, window: int):
    offset = min(offset, len(text))
    begin, end = max(0, offset - window // 2), offset + window - window // 2
    assert Context.from_text(text).snippet(offset, window) == text[begin:end]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 30), st.integers(0, 29))
def test_chunks_without_their_overlaps_are_the_text(text: str, size: int, overlap: int):
    overlap %= size
    chunks = Context.from_text(text).chunk(size, overlap)
    assert chunks[0] + "".join(chunk[overlap:] for chunk in chunks[1:]) == text
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(a[-overlap:] == b[:overlap] for a, b in pairwise(chunks) if overlap)


@settings(deadline=None)
@given(TEXTS, POSITIONS, POSITIONS)
@example("a\nb", 1, 2)
def test_lines_are_sliced_like_a_list_of_lines(text: str, a: int | None, b: int | None):
    rows = [row + "\n" for row in text.split("\n")]
    rows[-1] = rows[-1][:-1]
    rows = rows if rows[-1] else rows[:-1]
    context = Context.from_text(text)
    assert context.line_count == len(rows)
    assert context.lines(a, b) == "".join(rows[a:b])


@settings(deadline=None)
@given(st.text(st.sampled_from("aé\n"), min_size=1, max_size=50), st.integers(1, 400))
def test_pages_together_are_the_text(unit: str, times: int):
    text = unit * times
    context = Context.from_text(text)
    pages = [context.page(n) for n in range(context.num_pages)]
    assert "".join(pages) == text
    assert context.page(-1) == pages[-1]
    assert all(2_000 <= len(page) <= 4_000 for page in pages[1:-1])


def test_a_page_ends_after_a_line_where_one_ends_near():
    context = Context.from_text(("x" * 99 + "\n") * 100)
    assert all(context.page(n).endswith("\n") for n in range(context.num_pages))


def test_a_page_of_one_long_line_is_cut_within_it():
    assert len(Context.from_text("x" * 7_000).page(0)) == 3_000


@settings(deadline=None)
@given(TEXTS, st.integers(-80, 80), st.integers(-80, 80))
def test_a_view_is_a_context_of_the_part(text: str, start: int, end: int):
    context = Context.from_text(text)
    part = text[start:end]
    if not part:
        with pytest.raises(ContextError, match="has no text"):
            context.slice_view(start, end)
        return
    view = context.slice_view(start, end)
    again = Context.from_text(part)
    assert view.text() == part
    assert (view.length, view.size_bytes, view.sha256) == (again.length, again.size_bytes, again.sha256)
    assert (view.line_count, view.lines(1, 2), view.page(0)) == (again.line_count, again.lines(1, 2), again.page(0))
    needle = part[len(part) // 2]
    assert view.find(needle) == again.find(needle)
    assert view.search("(?m)^.", max_matches=5) == again.search("(?m)^.", max_matches=5)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_view_of_a_view_is_the_slice_of_a_slice(text: str, a: int, b: int, c: int, d: int):
    part = text[a:b][c:d]
    if part:
        assert Context.from_text(text).slice_view(a, b).slice_view(c, d).text() == part


def test_a_view_copies_nothing():
    context = Context.from_text("é" * 1_000)
    assert context.slice_view(10, 20).buffer().obj is context.buffer().obj


def test_a_view_of_several_documents_keeps_those_it_has():
    context = Context.from_documents([("a", "one\n"), ("b", "two\n"), ("c", "three\n")])
    text = context.text()
    view = context.slice_view(text.index("ne"), text.index("hree"))
    assert view.document_names == ("a", "b", "c")
    assert [view.get_document(name) for name in "abc"] == ["ne\n", "two\n", "t"]
    assert view.locate(view.text().index("two"), view.text().index("two") + 3).document == "b"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.read_chunk(0, -1), "size must not be negative"),
        (lambda c: c.snippet(0, -1), "window must not be negative"),
        (lambda c: c.chunk(0), "size must be positive"),
        (lambda c: c.chunk(5, 5), "overlap must be"),
        (lambda c: c.chunk(5, -1), "overlap must be"),
        (lambda c: c.chunk_documents(0), "n must be positive"),
        (lambda c: c.find("a", max_matches=0), "max_matches must be positive"),
        (lambda c: c.find("a", window=-1), "window must not be negative"),
    ],
)
def test_a_number_that_makes_no_sense_is_a_value_error(call, message: str):
    with pytest.raises(ValueError, match=message):
        call(Context.from_text("abc"))


@pytest.mark.parametrize("page", [1, -2, 10**9])
def test_a_page_that_is_not_there_is_an_index_error(page: int):
    with pytest.raises(IndexError, match="there are 1 pages"):
        Context.from_text("abc").page(page)
