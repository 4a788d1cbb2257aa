"""The structure of a text is told, its data is not."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.schemas import schema
from rlmbox.context import Context

ROWS = [f'{i},name {i},2024-01-{i:02d},"a, b",{i * 1.5}' for i in range(1, 21)]
CSV = "id,title,day,tags,price\n" + "\n".join(ROWS) + "\n"


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
    found: Mapping[str, Any] = context.get_schema()
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
    found: Mapping[str, Any] = context.get_schema()
    assert (len(found["folders"]), found["more_folders"]) == (50, True)
    assert (len(found["suffixes"]), found["more_suffixes"]) == (50, True)


@pytest.mark.parametrize("document", [1, "data.csv", "sub/data.csv", -1])
def test_one_document_of_a_collection_is_described(document: int | str):
    context = Context.from_documents([("a.md", "# A\n## B\n"), ("sub/data.csv", "x,y\n1,2\n")])
    found: Mapping[str, Any] = context.get_schema(document)
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
        "line_endings": "lf",
        "data": {"type": "list", "length": 2},
        "schema": "tree",
        "preview": context.text()[:200],
        "skipped": {},
    }


def test_metadata_is_the_callers_own():
    context = Context.from_text("x")
    facts: Mapping[str, Any] = context.metadata()
    facts["suffixes"]["spoiled"] = 1
    fresh: Mapping[str, Any] = context.metadata()
    assert "spoiled" not in fresh["suffixes"]


def test_a_table_is_recognised_in_metadata_without_reading_it_all():
    assert Context.from_text(CSV, name="x.csv").metadata()["schema"] == "csv"


def test_the_rows_of_a_long_table_are_about_its_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.schema.tables._MAX_COUNTED_BYTES", 100)
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
