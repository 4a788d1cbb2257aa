"""What a context is made of, and how positions of the whole belong to its documents."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.errors import ContextError

PARTS = st.lists(
    st.tuples(st.text("abé/. ", min_size=1, max_size=6), st.text("xyé日😀\n=", max_size=20)), min_size=1, max_size=6
).filter(lambda parts: any(text for _, text in parts))


@settings(deadline=None)
@given(PARTS)
def test_every_position_of_a_document_maps_to_the_whole_and_back(parts: list[tuple[str, str]]):
    context = Context.from_documents(parts)
    whole = context.text()
    for index, (_, text) in enumerate(parts):
        start, end = context.document_span(index)
        assert whole[start:end] == text == context.get_document(index)
        for offset in range(len(text)):
            source = context.locate(start + offset, start + offset + 1)
            assert (source.document, source.start) == (context.document_names[index], offset)
            assert source.quote == text[offset]
    assert context.document_lengths() == [len(text) for _, text in parts]


@settings(deadline=None)
@given(PARTS)
def test_the_whole_is_headers_and_texts_with_blank_lines_between(parts: list[tuple[str, str]]):
    context = Context.from_documents(parts)
    expected = "\n".join(
        f"===== {name} =====\n{text}{'' if text.endswith(chr(10)) else chr(10)}"
        for name, (_, text) in zip(context.document_names, parts, strict=True)
    )
    assert context.text() == expected


@settings(deadline=None)
@given(PARTS, st.integers(1, 7))
def test_chunks_of_documents_are_the_whole_and_have_n_each(parts: list[tuple[str, str]], n: int):
    context = Context.from_documents(parts)
    chunks = context.chunk_documents(n)
    assert "".join(chunks) == context.text()
    assert len(chunks) == -(-len(parts) // n)
    assert all(f"===== {context.document_names[i * n]} =====" in chunk for i, chunk in enumerate(chunks))


@settings(deadline=None)
@given(PARTS, st.integers(0, 200), st.integers(0, 200))
def test_a_source_always_lies_in_its_document(parts: list[tuple[str, str]], a: int, b: int):
    context = Context.from_documents(parts)
    source = context.locate(min(a, b), max(a, b))
    assert source.quote == context.get_document(source.document)[source.start : source.end]


def test_a_position_in_a_header_belongs_to_the_document_that_follows():
    context = Context.from_documents([("a", "one"), ("b", "two")])
    at = context.text().index("===== b")
    source = context.locate(at, at + 5)
    assert (source.document, source.start, source.end) == ("b", 0, 0)
    hit = context.find("===== b")[0]
    assert (hit["document"], hit["position"], hit["line"]) == ("b", 0, 1)


def test_a_quote_is_cut_to_300_characters():
    source = Context.from_text("é" * 500).locate(10, 450)
    assert (source.start, source.end, len(source.quote)) == (10, 450, 300)


def test_a_quotation_is_found_in_each_document_up_to_the_limit():
    context = Context.from_documents([("a", "xx pão yy"), ("b", "pão pão"), ("c", "-")])
    found = context.find_quote("pão", limit=9)
    assert [(s.document, s.start, s.end, s.quote) for s in found] == [
        ("a", 3, 6, "pão"),
        ("b", 0, 3, "pão"),
        ("b", 4, 7, "pão"),
    ]
    assert len(context.find_quote("pão")) == 1


@pytest.mark.parametrize("quote", ["", "absent", "\ud800", "x" * 2_000_000])
def test_a_quotation_that_is_not_there_gives_nothing(quote: str):
    assert Context.from_text("some text").find_quote(quote) == []


def test_a_single_text_has_no_header():
    context = Context.from_text("hello", name="greeting")
    assert (context.text(), context.document_names, context.num_documents) == ("hello", ("greeting",), 1)
    assert context.get_document(0) == "hello"
    assert context.chunk_documents(3) == ["hello"]


@pytest.mark.parametrize(
    ("item", "name", "text"),
    [
        ("plain", "document 0", "plain"),
        (("n", "pair"), "n", "pair"),
        ({"text": "t"}, "document 0", "t"),
        ({"content": "c", "path": "p/q"}, "p/q", "c"),
        ({"text": "t", "title": "T", "id": 7}, "T", "t"),
        ({"text": "t", "id": 7}, "7", "t"),
        ({"text": "t", "name": "", "id": 0}, "0", "t"),
        (("two\nlines", "x"), "two\ufffdlines", "x"),
    ],
)
def test_a_document_is_a_text_a_pair_or_a_mapping(item: object, name: str, text: str):
    context = Context.from_documents([item])
    assert context.document_names == (name,)
    assert context.get_document(name) == text


@pytest.mark.parametrize("item", [3, None, b"bytes", ("n", 3), ("a", "b", "c"), {"text": 3}, {"name": "n"}])
def test_a_document_that_is_no_text_is_a_type_error(item: object):
    with pytest.raises(TypeError, match="document 0 must be a str"):
        Context.from_documents([item])


def test_names_that_occur_again_get_a_number():
    context = Context.from_documents([("a", "1"), ("a", "2"), ("a (2)", "3"), ("a", "4")])
    assert context.document_names == ("a", "a (2)", "a (2) (2)", "a (3)")


def test_a_dict_gives_a_document_for_each_key():
    context = Context.from_dict({"plain": "text", 2: {"k": ["é", 1]}, "when": Path("x")})
    assert context.kind == "dict"
    assert context.get_document("plain") == "text"
    assert context.get_document("2") == json.dumps({"k": ["é", 1]}, indent=2, ensure_ascii=False)
    assert context.get_document("when") == "x"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text", "text"),
        (b"bytes", "bytes"),
        (bytearray(b"b"), "bytes"),
        (["a", "b"], "documents"),
        ((("n", "a"),), "documents"),
        ({"k": "v"}, "dict"),
    ],
)
def test_of_chooses_by_the_type(value: object, kind: str):
    assert Context.of(value).kind == kind


def test_of_gives_a_context_back_and_reads_paths(tmp_path: Path):
    context = Context.from_text("x")
    assert Context.of(context) is context
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "b.txt").write_text("B")
    assert Context.of(tmp_path).kind == "directory"
    assert Context.of(tmp_path / "a.txt").kind == "file"
    assert Context.of([tmp_path / "a.txt", tmp_path / "b.txt"]).num_documents == 2


@pytest.mark.parametrize("value", [3, None, object(), {1, 2}])
def test_of_refuses_what_is_no_text(value: object):
    with pytest.raises(TypeError, match="a context is made from"):
        Context.of(value)


@pytest.mark.parametrize("value", ["", b"", b"\xef\xbb\xbf", [], ["", ""], {}, {"a": ""}])
def test_an_empty_context_is_an_error_of_one_line(value: object):
    with pytest.raises(ContextError) as caught:
        Context.of(value)
    assert "no text" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text"),
    [(0, "A"), (-1, "C"), ("src/os.py", "A"), ("path/x.py", "B"), ("x.py", "B"), ("os.py", "C"), ("/os.py", "C")],
)
def test_a_document_is_given_by_index_name_or_the_end_of_its_path(key: int | str, text: str):
    context = Context.from_documents([("src/os.py", "A"), ("src/path/x.py", "B"), ("os.py", "C")])
    if key == "/os.py":
        with pytest.raises(KeyError, match="2 documents are called"):
            context.get_document(key)
    else:
        assert context.get_document(key) == text


def test_an_unknown_document_names_those_that_are_close():
    context = Context.from_documents([("src/collections.py", "A"), ("src/other.py", "B")])
    with pytest.raises(KeyError, match=r"close names: 'src/collections\.py'"):
        context.get_document("colections.py")
    with pytest.raises(KeyError, match="lists them"):
        context.get_document("zzzzzzzz")
    with pytest.raises(KeyError):
        context.get_document("")
    with pytest.raises(IndexError, match="there are 2 documents"):
        context.get_document(2)


def test_lone_surrogates_become_one_mark_each_and_are_counted():
    context = Context.from_text("a\ud800\udfff日\udc80b")
    assert context.text() == "a\ufffd\ufffd日\ufffdb"
    assert (context.replaced, context.metadata()["replaced"]) == (3, 3)


@settings(deadline=None)
@given(st.binary(min_size=1).filter(lambda data: not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))))
def test_invalid_bytes_become_what_python_replaces_them_with(data: bytes):
    context = Context.from_bytes(data)
    assert context.text() == data.decode(errors="replace")
    assert context.replaced == data.decode(errors="replace").count("\ufffd") - data.count(b"\xef\xbf\xbd")


def test_invalid_bytes_across_the_pieces_of_a_long_text_are_decoded_as_one():
    data = b"x" * (1024 * 1024 - 1) + "é".encode() + b"\xff" + b"y" * 1024 * 1024 + b"\xc3"
    assert Context.from_bytes(data).text() == data.decode(errors="replace")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding_and_is_not_text(encoding: str):
    context = Context.from_bytes("olá 😀\n".encode(encoding))
    assert (context.text(), context.replaced) == ("olá 😀\n", 0)
