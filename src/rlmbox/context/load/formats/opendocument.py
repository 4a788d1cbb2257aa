"""Conversion of OpenDocument texts, tables and slides, as written by LibreOffice, to text.

The file contains each cell's text as the program shows it, whatever its number format. A document is a package, or a
single XML file (`.fodt` and the like) with the contents of all the package's parts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from rlmbox.context.load.formats.events import Events, Piece, formulas_without_values, unread_pictures
from rlmbox.context.load.formats.packages import Element, Package, attribute, parsed, squeezed, table

_MAX_REPEATS = 1_000
_BLANK_ROWS = 20
_HIDDEN = frozenset({"tracked-changes", "forms", "sequence-decls", "variable-decls"})


@dataclass(frozen=True)
class _Document:
    """An open document.

    Attributes:
        content: The XML with its body, and the styles that only the body uses.
        styles: The XML with its headers and footers; None if there is none.
        pictures: Number of pictures stored in it.
    """

    content: Element
    styles: Element | None
    pictures: int

    @classmethod
    def opened(cls, file: IO[bytes]) -> _Document:
        is_package = file.read(2) == b"PK"
        file.seek(0)
        if not is_package:
            whole = parsed(file.read())
            return cls(whole, whole, sum(1 for _ in whole.iter("binary-data")))
        package = Package(file)
        styles = package.xml("styles.xml") if "styles.xml" in package.names else None
        pictures = sum(name.startswith("Pictures/") for name in package.names)
        return cls(package.xml("content.xml"), styles, pictures)

    def body(self, kind: str) -> Element:
        """Return the content of the body: a `text`, a `spreadsheet` or a `presentation`."""
        body = next(self.content.iter("body"), self.content)
        found = body.find(kind)
        return body if found is None else found

    def hidden_styles(self) -> set[str | None]:
        """Return the names of the styles of hidden slides and sheets."""
        return {
            attribute(style, "name")
            for style in self.content.iter("style")
            for properties in style
            if attribute(properties, "visibility") == "hidden" or attribute(properties, "display") == "false"
        }


def read_text(file: IO[bytes]) -> Events:
    """Read a text document as Markdown: headings, paragraphs, lists, tables; notes, comments, headers and footers."""
    document = _Document.opened(file)
    yield Piece("\n\n".join(_blocks(document.body("text"))).strip() + "\n")
    for label, text in _around(document.styles):
        yield Piece(f"\n{label}: {text}\n")
    if document.pictures:
        yield unread_pictures(document.pictures)


def read_slides(file: IO[bytes]) -> Events:
    """Read a presentation slide by slide."""
    document = _Document.opened(file)
    hidden = document.hidden_styles()
    for number, slide in enumerate(document.body("presentation").iter("page"), 1):
        text = "\n\n".join(_blocks(slide))
        mark = " (hidden)" if attribute(slide, "style-name") in hidden else ""
        yield Piece(("\n" if number > 1 else "") + f"# Slide {number}{mark}\n\n{text}\n", is_page=True)


def read_tables(file: IO[bytes]) -> Events:
    """Read a workbook: a block of CSV below a heading for each sheet."""
    document = _Document.opened(file)
    hidden, missing = document.hidden_styles(), 0
    for number, sheet in enumerate(document.body("spreadsheet").iter("table")):
        title = squeezed(attribute(sheet, "name") or "")
        title += " (hidden)" if attribute(sheet, "style-name") in hidden else ""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for row, without in _rows(sheet):
            writer.writerow(row)
            missing += without
        yield Piece(("\n" if number else "") + f"# Sheet: {title}\n", is_page=True)
        yield Piece(out.getvalue())
    if missing:
        yield formulas_without_values(missing)


def _blocks(parent: Element) -> Iterator[str]:
    for element in parent:
        if element.tag in _HIDDEN:
            continue
        if element.tag == "h":
            level = int(attribute(element, "outline-level") or 1)
            yield f"{'#' * min(level, 6)} {_text(element)}"
        elif element.tag == "p":
            yield _text(element)
            yield from _blocks_of_frames(element)
        elif element.tag == "list":
            yield "\n".join(_items(element, 0))
        elif element.tag == "table":
            rows = [
                [squeezed(" ".join(_blocks(cell))) for cell in row if cell.tag == "table-cell"]
                for row in element.iter("table-row")
            ]
            yield table(rows).rstrip("\n")
        elif element.tag == "notes":
            if text := "\n".join(_blocks(element)).strip():
                yield f"Notes: {text}"
        else:
            yield from _blocks(element)


def _blocks_of_frames(paragraph: Element) -> Iterator[str]:
    for frame in paragraph.iter("text-box"):
        yield from _blocks(frame)


def _items(parent: Element, depth: int) -> Iterator[str]:
    for item in parent:
        if item.tag not in ("list-item", "list-header"):
            continue
        own = [_text(element) for element in item if element.tag in ("p", "h")]
        if own:
            yield f"{'  ' * depth}- {' '.join(own)}"
        for inner in item:
            if inner.tag == "list":
                yield from _items(inner, depth + 1)


def _text(element: Element) -> str:
    return "".join(_parts(element)).strip()


def _parts(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == "s":
            yield " " * min(int(attribute(child, "c") or 1), _MAX_REPEATS)
        elif child.tag in ("tab", "line-break"):
            yield "\t" if child.tag == "tab" else "\n"
        elif child.tag == "note":
            yield f" [{squeezed(' '.join(_text(found) for found in child.iter('p')))}]"
        elif child.tag == "annotation":
            yield f" [comment: {squeezed(' '.join(_text(found) for found in child.iter('p')))}]"
        elif child.tag != "frame":
            yield from _parts(child)
        yield child.tail or ""


def _around(styles: Element | None) -> Iterator[tuple[str, str]]:
    seen: dict[tuple[str, str], None] = {}
    for element in () if styles is None else styles.iter():
        if element.tag in ("header", "footer") and (text := squeezed(" ".join(_blocks(element)))):
            seen.setdefault((element.tag.capitalize(), text))
    yield from seen


def _rows(sheet: Element) -> Iterator[tuple[list[str], int]]:
    """Yield the rows, each with the number of formulas without a value; long runs of empty rows are cut."""
    blank = 0
    labels: dict[int, tuple[int, str]] = {}
    for row in sheet.iter("table-row"):
        cells, missing = _cells(row, labels)
        repeats = int(attribute(row, "number-rows-repeated") or 1)
        if not any(cells):
            blank += repeats
            continue
        yield from (([], 0) for _ in range(min(blank, _BLANK_ROWS)))
        blank = 0
        yield from ((cells, missing) for _ in range(min(repeats, _MAX_REPEATS)))


def _value(cell: Element) -> str:
    """Return the value of a cell without a displayed text."""
    value = attribute(cell, "value")
    if value is not None and attribute(cell, "value-type") == "percentage":
        with suppress(ValueError):
            return f"{float(value) * 100:.10g}%"
    others = (attribute(cell, f"{kind}-value") for kind in ("date", "time", "boolean", "string"))
    return value if value is not None else next((found for found in others if found is not None), "")


def _cells(row: Element, labels: dict[int, tuple[int, str]]) -> tuple[list[str], int]:
    """Return a row's cells; the content of a merged cell is repeated in the rows below that it covers.

    Args:
        row: The row.
        labels: By column, the number of rows that a merged cell still covers, and its text; kept from row to row.
    """
    cells: list[str] = []
    missing = 0
    for cell in row:
        if cell.tag not in ("table-cell", "covered-table-cell"):
            continue
        column = len(cells)
        text = "\n".join(_text(found) for found in cell.findall("p")) or _value(cell)
        if cell.tag == "covered-table-cell" and not text and labels.get(column, (0, ""))[0]:
            left, text = labels[column]
            labels[column] = left - 1, text
        elif (rows := int(attribute(cell, "number-rows-spanned") or 1)) > 1:
            labels[column] = min(rows - 1, _MAX_REPEATS), text
        formula = attribute(cell, "formula")
        if not text and formula:
            text, missing = formula.partition(":")[2] or formula, missing + 1
        comments = [squeezed(" ".join(_text(p) for p in note.iter("p"))) for note in cell.findall("annotation")]
        text += "".join(f" [comment: {comment}]" for comment in comments)
        repeats = int(attribute(cell, "number-columns-repeated") or 1)
        cells += [text] * min(repeats, _MAX_REPEATS)
    while cells and not cells[-1]:
        cells.pop()
    return cells, missing
