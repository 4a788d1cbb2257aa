"""Files that LibreOffice wrote: what it shows is in the text, or a note says what is missing.

They are made from the three flat documents beside them, with
`soffice --headless --convert-to docx contract.fodt` and the like.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlmbox.context import Context

FILES = Path(__file__).with_name("files") / "libreoffice"
WORDS = ("Müller & Söhne", "5 %", "7303 Euro", "Anlage 7305", "Привет 日本 €", "erstens 7306", "7307,50", "Kasten 7308")
AROUND = ("vertraulich 7301", "Fußzeile 7302")
COMMENT = ("prüfen 7304",)
NEEDS = {"docx": "mammoth", "rtf": "striprtf", "html": "markdownify", "epub": "markdownify", "pdf": "pypdf"}


@pytest.fixture(autouse=True)
def _cache(cache_home: Path) -> None:
    return


def read(name: str) -> Context:
    if module := NEEDS.get(name.rpartition(".")[2]):
        pytest.importorskip(module)
    return Context.from_path(FILES / name)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("docx", WORDS + AROUND + COMMENT),
        ("odt", WORDS + AROUND + COMMENT),
        ("fodt", WORDS + AROUND + COMMENT),
        ("rtf", WORDS + AROUND + COMMENT),
        ("html", WORDS + AROUND),  # a comment is not shown on the page
        ("epub", WORDS),  # a book has no headers, and the comment is not in it
    ],
)
def test_a_contract_is_read_with_its_notes_and_what_stands_around_it(kind: str, expected: tuple[str, ...]) -> None:
    text = " ".join(read(f"contract.{kind}").text().split())
    assert [words for words in expected if words not in text] == []


SHOWN = {"xlsx": "2026-02-03", "ods": "03.02.2026"}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_workbook_has_what_its_cells_show(kind: str) -> None:
    pytest.importorskip("openpyxl")
    text = read(f"sales.{kind}").text()
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["# Sheet: Umsätze"]
    assert rows[1] == ["Quote", "PLZ", "Datum", "Summe", "Kennung"]
    assert rows[2] == ["12.5%", "01067", SHOWN[kind], "3.5", "4111111111111111"]
    assert rows[3][1].startswith("verbunden")
    assert rows[3][2] == "#DIV/0!"
    assert rows[4] == ["z", "verbunden"]
    assert "Notiz 8801" in text
    assert "# Sheet: Zweites\n,nur B 8802" in text


def test_an_older_workbook_says_what_it_lacks() -> None:
    pytest.importorskip("python_calamine")
    context = read("sales.xls")
    assert "0.125,1067,2026-02-03,3.5,4111111111111111" in context.text()
    (note,) = context.notes
    for lost in ("percentages", "leading zeros", "comments", "errors such as #DIV/0!", "merged"):
        assert lost in note


SLIDES = [
    ("Umsätze 7401 €", "erstens 7402", "Привет 7403", "Kasten 7404"),
    ("| Köln 7407 | 12,5 % |",),
    ("verborgen 7408",),
]


@pytest.mark.parametrize("kind", ["pptx", "odp", "fodp"])
def test_a_presentation_is_read_slide_by_slide(kind: str) -> None:
    text = read(f"deck.{kind}").text()
    for number, words in enumerate(SLIDES, 1):
        slide = text.split("# Slide ")[number]
        assert [each for each in words if each not in slide] == []
    assert "日本 7405" in text
    assert "Notes: Notiz 7406" in text
    assert "# Slide 3 (hidden)" in text
    assert "# Slide 2\n" in text


def test_a_printed_document_is_read_a_page_at_a_time() -> None:
    deck = read("deck.pdf")
    assert "Umsätze 7401 €" in deck.text()
    assert "Kasten 7404" in deck.text()
    assert "12,5 %" in deck.text()
    contract = " ".join(read("contract.pdf").text().split())
    assert [
        words for words in ("Müller & Söhne", "7303 Euro", "Anlage 7305", "Bolzen 7307,50") if words not in contract
    ] == []


def test_a_cell_that_nobody_has_shown_yet_has_its_value() -> None:
    rows = list(csv.reader(read("sales.fods").text().splitlines()))
    assert rows[2] == ["12.5%", "1067", "2026-02-03", "3.5", "4111111111111111"]
    assert rows[3][1].startswith("verbunden")


def test_a_table_exported_as_text_is_the_same_table() -> None:
    schema: Mapping[str, Any] = read("sales.csv").get_schema()
    assert [column["name"] for column in schema["columns"]] == ["Quote", "PLZ", "Datum", "Summe", "Kennung"]
