"""The structure of a text is told, its data is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.context import Context, schema_json
from rlmbox.context.schema_json import JsonShape, NotJson

ROWS = [f'{i},name {i},2024-01-{i:02d},"a, b",{i * 1.5}' for i in range(1, 21)]
CSV = "id,title,day,tags,price\n" + "\n".join(ROWS) + "\n"


def schema(text: str, name: str = "context") -> dict:
    return Context.from_text(text, name=name).get_schema()


def test_a_table_has_its_columns_their_types_and_its_rows():
    found = schema(CSV, "data.csv")
    assert found["kind"] == "csv"
    assert found["columns"] == [
        {"name": "id", "type": "number"},
        {"name": "title", "type": "text"},
        {"name": "day", "type": "date"},
        {"name": "tags", "type": "text"},
        {"name": "price", "type": "number"},
    ]
    assert (found["rows"], found["rows_exact"], found["delimiter"], found["header"]) == (20, True, ",", True)
    assert "name 3" not in json.dumps(found)


@pytest.mark.parametrize(("delimiter", "kind"), [(",", "csv"), ("\t", "tsv"), (";", "table"), ("|", "table")])
def test_a_table_without_a_telling_name_is_seen_by_its_separators(delimiter: str, kind: str):
    text = "\n".join(delimiter.join(row) for row in [["a", "b", "c"], ["1", "2", "3"], ["4", "5", "6"]])
    found = schema(text)
    assert (found["kind"], found["delimiter"], found["rows"]) == (kind, delimiter, 2)


def test_a_quoted_newline_does_not_make_a_row():
    found = schema('a,b\n1,"x\ny"\n\n2,z\n', "t.csv")
    assert (found["rows"], found["rows_exact"]) == (2, True)


def test_a_table_without_a_header_does_not_tell_its_first_row():
    found = schema("1,ana@example.org,3\n2,rui@example.org,4\n3,eva@example.org,5\n", "t.csv")
    assert found["header"] is False
    assert [column["name"] for column in found["columns"]] == ["column 0", "column 1", "column 2"]
    assert found["rows"] == 3
    assert "example" not in json.dumps(found)


def test_json_has_its_keys_and_types():
    value = {
        "users": [{"id": 1, "tags": ["secret"], "profile": {"age": 3}}, {"id": 2, "mail": None}],
        "n": 1.5,
        "ok": True,
    }
    found = schema(json.dumps(value))
    assert found["kind"] == "json"
    keys = found["value"]["keys"]
    assert (keys["n"], keys["ok"]) == ("number", "boolean")
    assert keys["users"]["length"] == 2
    assert keys["users"]["items"] == {
        "type": "object",
        "keys": {
            "id": "number",
            "tags": {"type": "array", "length": 1, "items": "string"},
            "profile": {"type": "object", "keys": {"age": "number"}},
            "mail": "null",
        },
    }
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", {"type": "array", "length": 0, "items": "nothing"}),
        ("[1, null]", {"type": "array", "length": 2, "items": "null or number"}),
        ("{}", {"type": "object", "keys": {}}),
        ("[[1], [2, 3]]", {"type": "array", "length": 2, "items": {"type": "array", "longest": 2, "items": "number"}}),
        (
            '[{"a": 1}, "x"]',
            {"type": "array", "length": 2, "items": {"type": "object or string", "keys": {"a": "number"}}},
        ),
        ('{"a": ' + "9" * 10_000 + "}", {"type": "object", "keys": {"a": "number"}}),
        ('{"q\\"\\u00e9": 1}', {"type": "object", "keys": {'q"é': "number"}}),
    ],
)
def test_small_json_is_json(text: str, value: object):
    assert schema(text, "x.json")["value"] == value


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": ' * 50_000, "it is nested too deeply"),
        ('{"a": 1', "it ends too early"),
        ('{"a" 1}', "a value where : belongs"),
        ("[1 2]", "a value where , or end belongs"),
        ("[1,]", "] where value belongs"),
        ("[tru]", "a word that is no value"),
        ('["a', "something that is no JSON"),
        ('["' + "x" * 2_000_000, "a string does not end"),
        ("[" + "1" * 2_000_000, "a word that is too long"),
        ("[\\]", "something that is no JSON"),
    ],
)
def test_broken_or_hostile_json_says_what_is_wrong(text: str, note: str):
    found = schema(text, "x.json")
    assert found["kind"] == "json"
    assert found["note"].startswith("it does not parse as JSON: ")
    assert note in found["note"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.booleans(),
    st.integers(1, 9),
)
def test_json_has_the_same_shape_however_it_is_read(value: object, ascii_only: bool, size: int):
    text = json.dumps(value, ensure_ascii=ascii_only)
    whole, piecewise = JsonShape(timeout_s=60), JsonShape(timeout_s=60)
    whole.read([text])
    piecewise.read(text[at : at + size] for at in range(0, len(text), size))
    assert whole.complete
    assert whole.values == piecewise.values == 1
    assert whole.shape.described() == piecewise.shape.described() == _shape(value)


def _shape(value: object) -> object:
    shape = JsonShape(timeout_s=60)
    shape.read([json.dumps(value, indent=3)])
    return shape.shape.described()


@given(st.text('{}[]:,"\\x1 -e.tn', max_size=12), st.integers(1, 3))
def test_what_is_json_is_what_json_says(text: str, size: int):
    try:
        json.loads(text, parse_constant=_refuse)
        valid = True
    except ValueError:
        valid = False
    shape = JsonShape(timeout_s=60)
    try:
        shape.read(text[at : at + size] for at in range(0, len(text), size))
        ours = shape.complete and shape.values == 1
    except NotJson:
        ours = False
    # Strings are taken as they are: an unknown escape in one is let pass.
    assert ours == valid or (ours and "\\" in text)


def _refuse(word: str) -> object:
    raise ValueError(word)


def test_long_json_is_read_for_some_time_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema._TIMEOUT_S", 0)
    found = schema(json.dumps([{"id": i} for i in range(20_000)]))
    assert found["value"]["items"] == {"type": "object", "keys": {"id": "number"}}
    assert "only the beginning was read" in found["note"]


def test_a_string_of_megabytes_is_passed_over():
    text = json.dumps({"before": 1, "long": 'x\\"' * 1_000_000, "after": True})
    assert schema(text)["value"]["keys"] == {"before": "number", "long": "string", "after": "boolean"}


def test_keys_that_are_data_are_cut_and_it_says_so():
    found = schema(json.dumps({f"user {i}": {"n": i} for i in range(5_000)}))
    assert found["value"]["more_keys"] is True
    assert len(found["value"]["keys"]) <= schema_json.MAX_SHAPES
    assert len(json.dumps(found)) < 20_000


def test_several_values_in_a_json_file_are_counted():
    found = schema('{"a": 1} {"b": 2}', "x.json")
    assert (found["values"], set(found["value"]["keys"])) == (2, {"a", "b"})


def test_json_lines_have_the_keys_of_all_their_rows():
    found = schema('{"a": 1}\n{"b": "x", "a": null}\n{"c": []}\n')
    assert (found["kind"], found["rows"], found["sampled_rows"]) == ("jsonl", 3, 3)
    assert found["row"]["keys"] == {
        "a": "null or number",
        "b": "string",
        "c": {"type": "array", "length": 0, "items": "nothing"},
    }


def test_a_broken_row_of_json_lines_is_named():
    found = schema('{"a": 1}\n{"a": 2}\n{"a": }\n', "x.jsonl")
    assert found["note"].startswith("row 3 does not parse as JSON")
    assert found["row"]["keys"] == {"a": "number"}


def test_many_rows_are_sampled():
    found = schema('{"a": 1}\n' * 20_000, "x.jsonl")
    assert (found["rows"], found["sampled_rows"]) == (20_000, 5_000)


def test_xml_has_its_elements_with_counts_and_attributes_and_no_text():
    text = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<feed lang="pt"><title>Olá, segredo</title>'
        + '<entry id="1"><link href="x"/><p>a</p></entry>' * 3
        + "</feed>"
    )
    found = schema(text)
    assert found["kind"] == "xml"
    assert found["elements"] == [
        {"path": "feed", "count": 1, "attributes": ["lang"]},
        {"path": "feed/title", "count": 1, "text": True},
        {"path": "feed/entry", "count": 3, "attributes": ["id"]},
        {"path": "feed/entry/link", "count": 3, "attributes": ["href"]},
        {"path": "feed/entry/p", "count": 3, "text": True},
    ]
    assert "segredo" not in json.dumps(found)
    assert "note" not in found


BOMB = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;&x;">]><a>&z;</a>'


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (BOMB, "it declares entities, which are not read"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a/>', "it declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "it declares entities"),
        ("<a><b></a>", "it does not parse as XML after line 1: mismatched tag"),
        ("<a>" * 5_000, "it is nested too deeply to be read further"),
        ("no xml", "it does not parse as XML after line 1"),
    ],
)
def test_broken_or_hostile_xml_says_so(text: str, note: str):
    assert note in schema(text, "x.xml")["note"]


def test_an_external_subset_is_not_fetched():
    found = schema('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a><b/></a>', "x.xml")
    assert [element["path"] for element in found["elements"]] == ["a", "a/b"]


def test_elements_are_cut_and_it_says_so():
    found = schema("<a>" + "".join(f"<e{i} x='1'/>" for i in range(500)) + "</a>", "x.xml")
    assert (len(found["elements"]), found["more_elements"]) == (150, True)
    deep = schema("<a>" * 20 + "</a>" * 20, "x.xml")
    assert (len(deep["elements"]), deep["more_elements"]) == (6, True)


def test_long_xml_is_read_for_some_time_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema._TIMEOUT_S", 0)
    found = schema("<a>" + "<b>x</b>" * 50_000 + "</a>", "x.xml")
    assert found["elements"][1]["count"] > 100
    assert "only the beginning" in found["note"]


@pytest.mark.parametrize(
    ("name", "text", "language", "definitions"),
    [
        ("a.py", "import os\n\nclass A(B):\n    async def m(self):\n        pass\n# def no\n", "Python", ["A", "m"]),
        ("a.rs", "pub(crate) struct X;\nfn main() {}\n", "Rust", ["X", "main"]),
        ("a.go", "package x\nfunc (s *S) Name() {}\ntype T struct {}\n", "Go", ["Name", "T"]),
        (
            "a.ts",
            "export default class C {}\nexport async function f() {}\ninterface I {}\n",
            "TypeScript",
            ["C", "f", "I"],
        ),
        ("a.java", "public final class K {\n  enum E {}\n}\n", "Java", ["K", "E"]),
        ("a.c", "int main(void) { return 0; }\nstruct point { int x; };\n", "C", ["point"]),
    ],
)
def test_source_code_has_its_definitions(name: str, text: str, language: str, definitions: list[str]):
    found = schema(text, name)
    assert (found["kind"], found["language"]) == ("code", language)
    assert [each["name"] for each in found["definitions"]] == definitions
    for each in found["definitions"]:
        assert each["name"] in text.split("\n")[each["line"] - 1]


def test_definitions_are_bounded():
    found = schema("def f(): pass\n" * 1_000, "a.py")
    assert (len(found["definitions"]), found["more_definitions"]) == (200, True)


def test_markdown_has_its_headings_with_lines_and_not_those_in_code():
    text = "# Título\n\ntext\n\n```sh\n# not a heading\n```\n\n## Second ##\n~~~\n# no\n```\n~~~\n### Third\n"
    found = schema(text, "a.md")
    assert [(h["level"], h["title"], h["line"]) for h in found["headings"]] == [
        (1, "Título", 1),
        (2, "Second", 9),
        (3, "Third", 14),
    ]
    assert schema(text)["kind"] == "markdown"


def test_headings_are_bounded():
    found = schema("# h\n" * 1_000, "a.md")
    assert (len(found["headings"]), found["more_headings"]) == (200, True)


@pytest.mark.parametrize(
    ("line", "stamp"),
    [
        ("2024-05-01T10:00:00Z INFO started", "ISO 8601"),
        ("[2024-05-01 10:00:00] ERROR failed", "ISO 8601"),
        ("May  1 10:00:00 host sshd[1]: INFO x", "syslog"),
        ('10.0.0.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 200', "access log"),
        ("1714557600 DEBUG x", "epoch seconds"),
        ("2024/05/01 10:00:00 WARN x", "slashed date"),
    ],
)
def test_a_log_is_told_by_its_time_stamps(line: str, stamp: str):
    found = schema((line + "\n") * 10 + "  continued\n", "x.log")
    assert (found["kind"], found["timestamp"]) == ("log", stamp)
    assert "host" not in json.dumps(found)


def test_the_fields_of_a_log_are_told_and_not_what_is_in_them():
    found = schema("2024-05-01T10:00:00Z INFO user=ana ip=10.0.0.1 ok\n" * 20 + "2024-05-01T10:00:00Z once=x\n")
    assert found["fields"] == ["user", "ip"]
    assert "ana" not in json.dumps(found)


def test_the_levels_of_a_log_are_told():
    text = "".join(f"2024-05-01T10:00:0{i} {level} x\n" for i, level in enumerate(["INFO", "ERROR", "INFO"]))
    assert schema(text)["levels"] == ["ERROR", "INFO"]


@pytest.mark.parametrize(
    "text",
    [
        "Just prose, with commas.\nAnd more, of the same, really.\n",
        "[note] this is no JSON\n",
        "{braces} neither\n",
        "import os\n# a comment\n# another\n",
        "<note> this is no XML\n",
        "x",
        "\n\n\n",
    ],
)
def test_what_has_no_structure_is_text(text: str):
    assert schema(text)["kind"] == "text"


def test_a_collection_tells_its_kinds_of_files_and_folders():
    context = Context.from_documents(
        [("src/a.py", "x = 1\n"), ("src/b.py", "y\n"), ("docs/c.md", "# C\n## D\n"), ("LICENSE", "-")]
    )
    found = context.get_schema()
    assert found["suffixes"] == {".py": 2, "": 1, ".md": 1}
    assert found["folders"] == {"src": 2, "docs": 1}
    assert (found["shortest"], found["longest"]) == (1, 9)
    assert found["first"]["document"] == "src/a.py"


def test_folders_inside_of_the_only_folder_are_told():
    context = Context.from_documents([("repo/src/a.py", "x"), ("repo/src/b/c.py", "y"), ("repo/docs/d.md", "z")])
    assert context.get_schema()["folders"] == {"repo/src": 2, "repo/docs": 1}
    deep = Context.from_documents([("a/b/c.py", "x"), ("a/b/d.py", "y")])
    assert deep.get_schema()["folders"] == {"a/b": 2}


def test_a_collection_of_many_kinds_says_where_it_was_cut():
    context = Context.from_documents([(f"f{i}/x.e{i}", "x") for i in range(200)])
    found = context.get_schema()
    assert (len(found["folders"]), found["more_folders"]) == (50, True)
    assert (len(found["suffixes"]), found["more_suffixes"]) == (50, True)


@pytest.mark.parametrize("document", [1, "data.csv", "sub/data.csv", -1])
def test_one_document_of_a_collection_is_described(document: int | str):
    context = Context.from_documents([("a.md", "# A\n## B\n"), ("sub/data.csv", "x,y\n1,2\n")])
    found = context.get_schema(document)
    assert (found["document"], found["kind"]) == ("sub/data.csv", "csv")
    assert [column["name"] for column in found["columns"]] == ["x", "y"]


def test_the_first_document_of_a_single_text_is_the_text():
    assert Context.from_text("x,y\n1,2\n", name="a.csv").get_schema(0)["kind"] == "csv"
    with pytest.raises(IndexError):
        Context.from_text("x").get_schema(1)
    with pytest.raises(KeyError):
        Context.from_text("x").get_schema("")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("page.html", "<!doctype html><p>x", "html"),
        ("page", "<!DOCTYPE html>\n<html></html>", "html"),
        ("page.html", "# Converted\n\ntext\n", "markdown"),
        ("report.docx", "# Converted\n\ntext\n", "markdown"),
        ("feed.rss", "<rss></rss>", "xml"),
    ],
)
def test_marked_up_text_is_told_by_its_name_and_beginning(name: str, text: str, kind: str):
    assert schema(text, name)["kind"] == kind


def test_a_dict_tells_its_keys():
    assert Context.from_dict({"a": "x", "b": [1]}).get_schema()["keys"] == ["a", "b"]


@pytest.mark.parametrize("value", [CSV, "# a\n## b\n", {"k": "v"}, ["a", "b"], b"x", '{"a": 1}', "x" * 10**6])
def test_schema_and_metadata_are_json_and_bounded(value: object):
    context = Context.of(value)
    assert len(json.dumps(context.get_schema())) < 20_000
    assert len(json.dumps(context.metadata())) < 5_000


def test_metadata_tells_the_facts():
    context = Context.from_documents([("a.py", "one\ntwo\n"), ("b.txt", "é")])
    facts = context.metadata()
    assert facts == {
        "kind": "documents",
        "length": context.length,
        "size_bytes": context.length + 1,
        "documents": 2,
        "lines": context.text().count("\n"),
        "suffixes": {".py": 1, ".txt": 1},
        "longest_document": {"name": "a.py", "length": 8},
        "encoding": "utf-8",
        "replaced": 0,
        "schema": "tree",
        "preview": context.text()[:200],
        "skipped": {},
    }


def test_metadata_is_the_callers_own():
    context = Context.from_text("x")
    context.metadata()["suffixes"]["spoiled"] = 1
    assert "spoiled" not in context.metadata()["suffixes"]


def test_a_table_is_recognised_in_metadata_without_reading_it_all():
    assert Context.from_text(CSV, name="x.csv").metadata()["schema"] == "csv"


def test_the_rows_of_a_long_table_are_about_its_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema_tables._MAX_COUNTED_BYTES", 100)
    found = schema(CSV, "data.csv")
    assert (found["rows"], found["rows_exact"]) == (20, False)


SUFFIXES = ["", ".csv", ".tsv", ".json", ".jsonl", ".md", ".xml", ".log", ".py", ".html", ".txt", ".docx"]


@given(
    st.sampled_from(SUFFIXES),
    st.lists(st.sampled_from(['"', ",", "\n", "{", "}", "[", "]", "<a>", "</a>", "<!", ":", "# ", "1", "x é", "\0"]))
    | st.text(max_size=50),
)
def test_any_text_under_any_name_has_a_schema(suffix: str, parts: list[str] | str):
    text = "".join(parts) or "x"
    found = schema(text, f"name{suffix}")
    assert len(json.dumps(found, allow_nan=False)) < 20_000
    assert found["lines"] == text.count("\n") + (not text.endswith("\n"))
