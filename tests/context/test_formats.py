# ruff: noqa: E501
"""Formats are read whole, by what is in them; what is missing is told, and what is no text is named."""

import bz2
import gzip
import io
import json
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from rlmbox.context import Context
from rlmbox.context.load import converting, kinds
from rlmbox.context.load.formats.number_format import shown
from rlmbox.errors import ContextError

FILES = Path(__file__).parent / "files"
LOG = "".join(f"2026-02-01 10:00:{second:02d} ERROR disk full\n" for second in range(60)) * 5


@pytest.fixture(autouse=True)
def _cache(cache_home: Path) -> None:
    pass


def zipped(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def zipped_link(name: str, target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo(name)
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, target)
        archive.writestr("a.txt", "a text")
    return out.getvalue()


def tarred(files: Mapping[str, str | bytes], mode: Any = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def opened(tmp_path: Path, name: str, data: bytes | str) -> Context:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return Context.from_path(path)


def columns(context: Context) -> list[dict[str, object]]:
    found = context.get_schema()["columns"]
    assert isinstance(found, list)
    return found


# ---- what is packed -----------------------------------------------------------------------------------------------


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").compress(data))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


@pytest.mark.parametrize("ending", PACKED)
def test_a_compressed_text_is_the_text(tmp_path: Path, ending: str):
    context = opened(tmp_path, f"app.log{ending}", PACKED[ending](LOG.encode()))
    assert context.text() == LOG
    assert context.document_names == (f"app.log{ending}",)
    assert context.get_schema()["kind"] == "log"


def test_a_compressed_table_is_a_table_and_a_compressed_page_a_page(tmp_path: Path):
    table = opened(tmp_path, "a.csv.gz", gzip.compress(b"name,qty\nbolt,1\nnut,2\n"))
    assert [column["name"] for column in columns(table)] == ["name", "qty"]
    assert opened(tmp_path, "a.html.gz", gzip.compress(b"<h1>Title</h1>")).text() == "# Title\n"
    assert opened(tmp_path, "no-ending", gzip.compress(b"plain")).text() == "plain"


def test_a_compressed_text_may_be_in_an_older_encoding(tmp_path: Path):
    text = "Smlouva končí v březnu, pokuta činí čtyři procenta.\n"
    context = opened(tmp_path, "a.txt.gz", gzip.compress(text.encode("cp1250")))
    assert (context.text(), context.encoding) == (text, "cp1250")
    assert context.metadata()["encoding_is_guess"] is True


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"])
def test_an_archive_is_its_files(tmp_path: Path, ending: str):
    files: dict[str, str | bytes] = {
        "a/one.txt": b"first",
        "a/two.csv.gz": gzip.compress(b"x,y\n1,2\n"),
        "b.html": b"<p>source</p>",
        ".hidden": b"h",
        "pic.png": b"\x89PNG\r\n\x1a\n\0\0",
        "data": bytes(range(256)) * 4,
        "inner.zip": zipped({"deep.txt": "deep"}),
        "broken.pdf": b"%PDF-1.4 broken",
        "old.txt": "Größe für Bäcker, Käse und Öl".encode("cp1252"),
    }
    mode = {".tar": "w", ".zip": ""}.get(ending, f"w:{ending.removeprefix('.tar.').removeprefix('.t')}")
    data = zipped(dict(files)) if ending == ".zip" else tarred(files, mode)
    context = opened(tmp_path, f"files{ending}", data)
    assert context.document_names == ("a/one.txt", "a/two.csv", "b.html", "inner.zip/deep.txt", "old.txt")
    assert context.get_document("a/one.txt") == "first"
    assert context.get_document("b.html") == "<p>source</p>"
    assert context.get_document("old.txt") == "Größe für Bäcker, Käse und Öl"
    skipped = {"hidden": 1, "binary": 2, "not converted": 1, **({} if ending == ".zip" else {"symlink": 1})}
    assert dict(context.skipped) == skipped
    assert any("old.txt" in note and "guess" in note for note in context.notes)


def test_a_link_in_a_zip_archive_is_left_out(tmp_path: Path):
    context = opened(tmp_path, "a.zip", zipped_link("link.txt", "/etc/passwd"))
    assert (context.document_names, dict(context.skipped)) == (("a.txt",), {"symlink": 1})


@pytest.mark.parametrize(
    ("name", "packed", "message"),
    [
        ("a.txt.gz.gz", gzip.compress(b"text"), "is compressed more than once; unpack it first"),
        ("a.tar.gz", b"\x01" * 2_000, "cannot be converted"),
        ("a.pdf.gz", b"%PDF-1.4 broken", "cannot be converted"),
    ],
)
def test_what_is_wrong_inside_of_a_compressed_file_is_told_of_that_file(
    tmp_path: Path, name: str, packed: bytes, message: str
):
    with pytest.raises(ContextError) as caught:
        opened(tmp_path, name, gzip.compress(packed))
    assert str(caught.value).startswith(f"{tmp_path / name}: {message}")


def test_a_member_that_claims_a_terabyte_is_not_waited_for(tmp_path: Path):
    claim = tarfile.TarInfo("big.txt")
    claim.size = 1 << 40
    data = tarred({"a.txt": "a text"})[:1024] + claim.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)
    (tmp_path / "a.tar").write_bytes(data)
    found = converting.convert(tmp_path / "a.tar", timeout_s=20)
    assert found.text == "a text"
    assert found.omitted == (("too large", "big.txt"), ("unreadable", "the rest of the archive"))


def test_what_unpacks_to_far_too_much_is_ended(tmp_path: Path):
    bomb = gzip.compress(b"\n" * 50_000_000)
    with pytest.raises(ContextError, match=r"a\.gz: unpacks to far more than its size"):
        opened(tmp_path, "a.gz", bomb)
    with pytest.raises(ContextError, match=r"has no file that is text|too much|memory"):
        opened(tmp_path, "a.zip", zipped({"a.gz": bomb}))
    with pytest.raises(ContextError, match="has no file that is text"):
        opened(tmp_path, "b.zip", zipped({"a.txt": b"x" * 200_000_000}))


@pytest.mark.parametrize(
    "name", ["a.gz", "a.bz2", "a.xz", "a.zst", "a.zip", "a.tar", "a.pptx", "a.epub", "a.odt", "a.ods"]
)
def test_a_broken_file_of_any_format_is_one_line(tmp_path: Path, name: str):
    whole = {
        **{f"a{ending}": pack(LOG.encode()) for ending, pack in PACKED.items()},
        "a.tar": tarred({"a": b"x" * 2_000}),
    }
    data = whole.get(name, zipped({"a/b.xml": "<x/>" * 500}))
    for broken in (data[: min(700, len(data) // 2)], data[:20] + b"\xff" * 100, b""):
        with pytest.raises(ContextError) as caught:
            opened(tmp_path, name, broken)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_folder_opens_documents_and_counts_archives(tmp_path: Path):
    (tmp_path / "app.log.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "files.zip").write_bytes(zipped({"a.txt": "x"}))
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "broken.docx").write_bytes(b"PK\3\4 broken")
    (tmp_path / "mail.eml").write_bytes((FILES / "mail.eml").read_bytes())
    context = Context.from_path(tmp_path)
    assert context.document_names == ("app.log.gz", "mail.eml", "mail.eml/parts.csv")
    assert dict(context.skipped) == {"not converted": 1, "archive": 1, "binary": 1}


# ---- what is no text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", "is a picture; recognise its text first"),
        ("a.txt", b"\xff\xd8\xff\xe0", "is a picture"),
        ("a.mp3", b"ID3\x03\0", "is a sound; transcribe it first"),
        ("a.mp4", b"\0\0\0\x18ftypmp42", "is a film; transcribe it first"),
        ("a", b"\x7fELF\2\1\1\0", "is a program"),
        ("a.exe", b"MZ\x90\0", "is a program"),
        ("a.db", b"SQLite format 3\0", "is a database of SQLite; export its tables as CSV"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive; unpack it first"),
        ("a.rar", b"Rar!\x1a\x07\1\0", "is a RAR archive; unpack it first"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Word document; save it as .docx"),
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a message of Outlook; save it as .eml"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is locked by a password; save it without one"),
        ("a.dat", bytes(range(256)) * 8, "is not text; convert it to text first"),
        ("a.log", os.urandom(4_000), "is not text; convert it to text first"),
    ],
)
def test_what_is_no_text_is_an_error_that_names_it(tmp_path: Path, name: str, head: bytes, message: str):
    with pytest.raises(ContextError, match=message):
        opened(tmp_path, name, head)
    (tmp_path / "b.txt").write_text("text")
    assert Context.from_path(tmp_path).document_names == ("b.txt",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "MZ is no program, nor BM a bitmap\n" * 10),
        ("a.txt", "GIF89a is how a picture begins\n"),
        ("a.bin", "named as if it were none\n"),
        ("a.png", "text that is called a picture\n"),
        ("esc.log", "\x1b[31mred\x1b[0m and a\ttab\x0c\n" * 100),
        ("zeros.txt", "a\0b of a broken log\n" + "fine line\n" * 100),
    ],
)
def test_text_is_text_whatever_it_is_called(tmp_path: Path, name: str, text: str):
    assert opened(tmp_path, name, text).text() == text


# ---- documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("contract.docx", ["12,500 EUR", "file no 4711", "confidential", "legal says 3 percent", "Term is 36 months"]),
        ("deck.pptx", ["# Slide 1", "Ship in May", "Notes: NOTES: risk is the pump"]),
        ("form.pdf", ["tenant: Roe Ltd 4711", "agreed: Yes"]),
        (
            "plan.xlsx",
            ["12.5%", "=C2*2", "\nQ1,South,20", "01067", "30:05:00", "Corrected by audit", "(hidden)", ",,far"],
        ),
        ("formats.xlsx", ["1234567890123456,", "7.5%", '"$1,234.50"', "01067", "=C2*2"]),
        ("book.epub", ["The whale is white"]),
        ("really_html.xls", ["| bolt | 5 |"]),
        ("mail.eml", ["Liefertermin für Äpfel", "14. März", "seal,881"]),
        ("table.pdf", ["\n                                                    0.75\n"]),
    ],
)
def test_nothing_that_the_program_shows_is_missing(name: str, parts: list[str]):
    if name.endswith(".xlsx"):
        pytest.importorskip("openpyxl")
    text = Context.from_path(FILES / name).text()
    assert [part for part in parts if part not in text] == []


def test_pages_without_text_are_told_with_their_numbers():
    context = Context.from_path(FILES / "scan_mixed.pdf")
    assert context.metadata()["notes"] == [
        "pages 2, 3 are without text, which may be pictures of it: recognise them first (OCR)"
    ]
    assert context.num_pages == 4


def test_formulas_without_a_value_are_told():
    pytest.importorskip("openpyxl")
    assert "4 formulas have no calculated value" in Context.from_path(FILES / "plan.xlsx").notes[0]


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (0.125, "0.0%", "12.5%"),
        (0.5, "0%", "50%"),
        (1067, "00000", "01067"),
        (1234.5, "#,##0.00", "1,234.50"),
        (-1234.5, "#,##0.00;[Red](#,##0.00)", "(1,234.50)"),
        (-5, "0", "-5"),
        (0, '0;-0;"none"', "none"),
        (1234567, "#,##0,", "1,235"),
        (1234.5, '"$"#,##0.00', "$1,234.50"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (1234.5, '#,##0.00\\ "EUR"', "1,234.50 EUR"),
        (12345.678, "0.00E+00", "1.23E+04"),
        (0.5, "# ?/?", "0.5"),
        (5551234567, "(000) 000-0000", "(555) 123-4567"),
        (123456789, "000-00-0000", "123-45-6789"),
        (2.5, "0", "3"),
        (0.30000000000000004, "General", "0.3"),
        (1234567890123456, "General", "1234567890123456"),
        (1e-07, "General", "1E-07"),
        (3.0, "General", "3"),
        (12.0, "@", "12"),
        (1.25, "0.##", "1.25"),
        (1.0, "0.##", "1"),
        (0.004, "-0.0;-0.0", "-0.0"),
        (7, '0 "pcs"', "7 pcs"),
        (True, "General", "TRUE"),
        ("text", "0.00", "text"),
        (None, "0", ""),
        (5, "yyyy", "5"),
        (5, "[", "5"),
    ],
)
def test_a_number_is_shown_as_the_program_shows_it(value: object, number_format: str, text: str):
    assert shown(value, number_format) == text


def _workbook(path: Path, fill) -> Context:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    fill(book.active)
    book.save(path)
    return Context.from_path(path)


def test_merged_labels_are_repeated_and_titles_are_not(tmp_path: Path):
    def fill(sheet) -> None:
        rows = [
            ["Report"],
            [],
            ["Region", "2025", None, "2026"],
            [None, "Q1", "Q2", "Q1"],
            ["North", 1, 2, 3],
            [None, 4, 5, 6],
        ]
        for row in rows:
            sheet.append(row)
        for cells in ("A1:D1", "B3:C3", "A5:A6"):
            sheet.merge_cells(cells)

    text = _workbook(tmp_path / "a.xlsx", fill).text()
    assert text == ("# Sheet: Sheet\nReport\n\nRegion,2025,2025,2026\n,Q1,Q2,Q1\nNorth,1,2,3\nNorth,4,5,6\n")


def test_a_chart_beside_the_sheets_does_not_matter(tmp_path: Path):
    def fill(sheet) -> None:
        sheet["A1"], sheet["B1"] = 0.5, "x"
        sheet["A1"].number_format = "0%"
        sheet.parent.create_chartsheet("Chart")

    context = _workbook(tmp_path / "a.xlsx", fill)
    assert (context.text(), context.notes) == ("# Sheet: Sheet\n50%,x\n", ())


def test_a_cell_at_the_far_end_is_read(tmp_path: Path):
    def fill(sheet) -> None:
        sheet["A1"] = 1
        sheet["C1048576"] = "far"

    text = _workbook(tmp_path / "a.xlsx", fill).text()
    assert text.endswith(",,far\n")
    assert text.count("\n") < 50


def _odf(kind: str, body: str, styles: str = "") -> bytes:
    names = " ".join(f'xmlns:{prefix}="urn:x:{prefix}"' for prefix in ("office", "text", "table", "draw", "style"))
    mime = f"application/vnd.oasis.opendocument.{kind}"
    files: dict[str, str | bytes] = {
        "mimetype": mime,
        "content.xml": f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>",
    }
    if styles:
        files["styles.xml"] = f"<office:document-styles {names}>{styles}</office:document-styles>"
    return zipped(files)


def test_a_text_of_opendocument_is_markdown_with_what_stands_around_it(tmp_path: Path):
    body = (
        '<office:text><text:h text:outline-level="2">Title</text:h><text:p>One<text:s text:c="2"/>two<text:tab/>three'
        "<text:note><text:note-body><text:p>a note</text:p></text:note-body></text:note></text:p>"
        "<text:list><text:list-item><text:p>first</text:p><text:list><text:list-item><text:p>inner</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>"
        "<table:table-cell><text:p>1</text:p></table:table-cell></table:table-row></table:table></office:text>"
    )
    footer = "<style:footer><text:p>confidential</text:p></style:footer>"
    text = opened(tmp_path, "a.odt", _odf("text", body, footer)).text()
    assert text.startswith("## Title\n\nOne  two\tthree [a note]\n\n- first\n  - inner\n\n| x | 1 |")
    assert text.endswith("Footer: confidential\n")


def test_a_table_of_opendocument_is_what_the_program_shows(tmp_path: Path):
    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"

    rows = (
        cell("Q1", 'table:number-rows-spanned="2"') + cell("12.5 %", 'office:value="0.125"') + cell("01067"),
        "<table:covered-table-cell/>" + cell("", 'table:formula="of:=[.A1]*2"').replace("<text:p></text:p>", ""),
    )
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    body += '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/></table:table-row>'
    sheet = f'<office:spreadsheet><table:table table:name="S">{body}</table:table></office:spreadsheet>'
    context = opened(tmp_path, "a.ods", _odf("spreadsheet", sheet))
    assert context.text() == "# Sheet: S\nQ1,12.5 %,01067\nQ1,=[.A1]*2\n"
    assert "1 formula has no calculated value" in context.notes[0]


def test_a_mailbox_has_a_document_for_each_mail(tmp_path: Path):
    mails = []
    for number, subject in enumerate(["Größe", "Re: x/y"], 1):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "ann@example.org", "bob@example.org", subject
        mail.set_content(f"Body {number}, ação.\nFrom here on quoted.\n")
        mail.add_alternative(f"<p>Body {number}</p>", subtype="html")
        mail.add_attachment(zipped({"in.txt": "inner"}), maintype="application", subtype="zip", filename="a.zip")
        mails.append(
            b"From ann@example.org Mon Feb  2 10:00:00 2026\n" + mail.as_bytes().replace(b"\nFrom ", b"\n>From ")
        )
    context = opened(tmp_path, "a.mbox", b"\n".join(mails))
    assert context.document_names == (
        "0001 Größe",
        "0001 Größe/a.zip/in.txt",
        "0002 Re: x_y",
        "0002 Re: x_y/a.zip/in.txt",
    )
    assert "Subject: Größe\n\nBody 1, ação.\nFrom here on quoted." in context.get_document(0)
    assert "<p>" not in context.text()


def test_a_mail_that_is_only_a_page_is_its_words(tmp_path: Path):
    mail = "From: a@example.org\nSubject: =?utf-8?q?f=C3=BCr?=\nContent-Type: text/html; charset=x-unknown\n\n<p>one <b>two</b></p>"
    assert opened(tmp_path, "a.eml", mail).text() == "From: a@example.org\nSubject: für\n\none **two**\n"


def test_a_notebook_is_words_code_and_what_it_printed(tmp_path: Path):
    picture = {"output_type": "display_data", "data": {"image/png": "AAAA" * 50_000, "text/plain": ["<Figure>"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "growth is 7 percent"]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"]},
                picture,
                {"output_type": "error", "ename": "E", "evalue": "no"},
            ],
        },
    ]
    context = opened(tmp_path, "a.ipynb", json.dumps({"cells": cells, "metadata": {}}))
    assert context.text() == (
        "# Study\ngrowth is 7 percent\n\n```python\nprint(1)\n```\n\n```\n1\n```\n\n```\n<Figure>\n```\n\n```\nE: no\n```\n\n"
    )
    assert context.notes == ("has 1 picture among its outputs, not read",)


def test_rich_text_is_its_words_whatever_it_is_called(tmp_path: Path):
    pytest.importorskip("striprtf")
    rich = r"{\rtf1\ansi\ansicpg1250{\fonttbl\f0 Arial;}\f0 Smlouva kon\'e8\'ed v b\'f8eznu.\par \b Bold\b0 : \u8364?5}"
    for name in ("a.rtf", "a.doc"):
        assert opened(tmp_path, name, rich).text() == "Smlouva končí v březnu.\nBold: €5\n"


def test_a_table_of_parquet_is_csv(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"name": ["bolt", None], "qty": [1, 2], "tags": [["a", "b"], []]})
    parquet.write_table(table, tmp_path / "a.parquet")
    context = Context.from_path(tmp_path / "a.parquet")
    assert context.text() == 'name,qty,tags\nbolt,1,"[""a"", ""b""]"\n,2,[]\n'
    assert [column["name"] for column in columns(context)] == ["name", "qty", "tags"]


@pytest.mark.parametrize(
    ("name", "text"), [("a.xls", "name\tqty\nbolt\t5\nnut\t6\n"), ("a.xlsx", "name,qty\nbolt,5\nnut,6\n")]
)
def test_a_table_of_text_that_is_called_a_workbook_is_a_table(tmp_path: Path, name: str, text: str):
    context = opened(tmp_path, name, text)
    assert context.text() == text
    assert context.get_schema()["column_count"] == 2


def test_a_document_is_known_by_its_content(tmp_path: Path):
    data = (FILES / "deck.pptx").read_bytes()
    for name in ("deck", "deck.zip", "deck.docx"):
        assert "Ship in May" in opened(tmp_path, name, data).text()
    assert "Roe Ltd" in opened(tmp_path, "form", (FILES / "form.pdf").read_bytes()).text()


def test_every_ending_has_one_kind():
    assert kinds.file_kind(b"", "A.PDF").name == "pdf"
    assert kinds.file_kind(b"text", "notes.txt").name == kinds.TEXT
    assert kinds.without_compression("a.tgz") == "a.tar"
    assert kinds.without_compression("a.log.gz") == "a.log"
    assert kinds.without_compression(".gz") == ".gz"


# ---- how text is read ---------------------------------------------------------------------------------------------


def test_the_encoding_can_be_named(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes("čeština".encode("cp1250"))
    assert Context.from_path(path, encoding="windows-1250").text() == "čeština"
    assert "encoding_is_guess" not in Context.from_path(path, encoding="cp1250").metadata()
    assert Context.from_path(path, encoding="cp1252").encoding == "cp1252"
    assert Context.from_path(tmp_path, encoding="cp1250").get_document(0) == "čeština"
    assert Context.from_path([path], encoding="cp1250").get_document(0) == "čeština"
    for name in ("klingon", "base64", "", "a\0b"):
        with pytest.raises(ContextError, match="is not the name of an encoding; give one such as utf-8"):
            Context.from_path(path, encoding=name)


def test_an_encoding_that_is_named_counts_for_large_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlmbox.context.load.opening.SMALL_BYTES", 0)
    path = tmp_path / "a.txt"
    path.write_bytes("čeština\n".encode("cp1250") * 100)
    os.utime(path, (1, 1))
    for encoding, text in (("cp1250", "čeština\n"), ("cp1252", "èeština\n"), ("cp1250", "čeština\n")):
        assert Context.from_path(path, encoding=encoding).text() == text * 100
    guessed = Context.from_path(path)
    guessed.prepare()
    assert guessed.metadata()["encoding_is_guess"] is True


@pytest.mark.parametrize("place", ["in memory", "in place"])
@pytest.mark.parametrize(
    ("named", "data"),
    [
        ("utf-16", "é\n".encode("utf-16")),
        ("utf-16", b"\xfe\xff" + "é\n".encode("utf-16-be")),
        ("utf-16-be", b"\xfe\xff" + "é\n".encode("utf-16-be")),
        ("utf-16-le", "é\n".encode("utf-16-le")),
        ("utf-8", "\ufeffé\n".encode()),
        ("utf-8-sig", "\ufeffé\n".encode()),
        ("UTF8", "é\n".encode()),
        ("utf-32", "é\n".encode("utf-32")),
    ],
)
def test_a_mark_is_no_part_of_a_text_whose_encoding_is_named(
    tmp_path: Path, named: str, data: bytes, place: str, monkeypatch: pytest.MonkeyPatch
):
    if place == "in place":
        monkeypatch.setattr("rlmbox.context.load.opening.SMALL_BYTES", 0)
    (tmp_path / "a.txt").write_bytes(data)
    assert Context.from_path(tmp_path / "a.txt", encoding=named).text() == "é\n"


@pytest.mark.parametrize(
    ("text", "told"), [("a\nb\n", "lf"), ("a\r\nb\r\n", "crlf"), ("a\r\nb\n", "mixed"), ("a", "none"), ("a\rb", "cr")]
)
def test_line_ends_are_told(tmp_path: Path, text: str, told: str):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    assert Context.from_path(path).metadata()["line_endings"] == told
    assert Context.from_text(text).metadata()["line_endings"] == told


def test_lines_that_end_with_cr_are_lines(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,qty\rbolt,5\rnut,6\r")
    context = Context.from_path(path)
    assert context.lines(1, 2) == "bolt,5\n"
    assert context.length == 22
    assert "CR alone" in context.notes[0]


def test_a_pipe_that_a_shell_made_is_read(tmp_path: Path):
    reading, writing = os.pipe()
    try:
        os.write(writing, b"from a process")
        os.close(writing)
        assert Context.from_path(f"/dev/fd/{reading}").text() == "from a process"
    finally:
        os.close(reading)
