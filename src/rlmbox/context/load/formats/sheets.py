"""Conversion of workbooks to text: a block of CSV below a heading for each sheet."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from typing import IO, Any

from rlmbox.context.load.formats.events import Events, Note, Piece, Unreadable, formulas_without_values
from rlmbox.context.load.formats.number_format import shown
from rlmbox.context.load.formats.packages import Package, attribute, squeezed

_MAX_EXACT_BYTES = 80 * 1024**2
_BLANK_ROWS = 20
_MERGED_CELLS = 100_000
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")
_LOCKED = "it is locked by a password; save it without one"

# Errors of openpyxl for workbooks that the other library may still read.
_UNREAD = (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError)

Merges = dict[tuple[int, int], tuple[int, int]]
"""For each covered cell, by row and column from 1, the cell whose label covers it."""


def read_workbook(file: IO[bytes]) -> Events:
    """Read a workbook of any kind, newer Excel files with number formats, formulas and comments."""
    data = file.read()
    if zipfile.is_zipfile(io.BytesIO(data)) and _sheet_bytes(data) <= _MAX_EXACT_BYTES:
        book = _opened(data)
        if book is not None:
            yield from _exact(data, book)
            return
    yield from _values(data)


def _sheet_bytes(data: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if not any(name.endswith(".xml") and "worksheets/" in name for name in archive.namelist()):
            return _MAX_EXACT_BYTES + 1
        return sum(info.file_size for info in archive.infolist() if "worksheets/" in info.filename)


def _opened(data: bytes, *, formulas: bool = False) -> Any:
    try:
        import openpyxl  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # values are available without it, and a note says what is missing
        return None
    reader = openpyxl.reader.excel.ExcelReader(
        io.BytesIO(data), read_only=True, keep_vba=False, data_only=not formulas, keep_links=False
    )
    reader.read_chartsheet = lambda *_: None  # it has no cells, and without a drawing it would abort the reading
    try:
        reader.read()
    except _UNREAD:
        return None
    return reader.wb


def _exact(data: bytes, book: Any) -> Events:
    package = Package(io.BytesIO(data))
    formulas = None
    missing = 0
    for number, sheet in enumerate(book.worksheets):
        part = _part(sheet)
        raw = package.part(part) if part in package.names else b""
        if _FORMULA.search(raw):
            formulas = formulas or _opened(data, formulas=True)
        other = formulas.worksheets[number] if formulas and _FORMULA.search(raw) else None
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for row, without in _rows(sheet, other, _merges(raw)):
            writer.writerow(row)
            missing += without
        hidden = " (hidden)" if sheet.sheet_state != "visible" else ""
        yield Piece(("\n" if number else "") + f"# Sheet: {squeezed(sheet.title)}{hidden}\n", is_page=True)
        yield Piece(out.getvalue())
        yield from (Piece(f"# Comment on {cell}: {text}\n") for cell, text in _comments(package, part))
    if missing:
        yield formulas_without_values(missing)


def _part(sheet: Any) -> str:
    return str(getattr(sheet, "_worksheet_path", "")).lstrip("/")


def _rows(sheet: Any, formulas: Any, merges: Merges) -> Iterator[tuple[list[str], int]]:
    """Yield the rows, each with the number of formulas without a value; long runs of empty rows are cut."""
    sheet.reset_dimensions()
    if formulas is not None:
        formulas.reset_dimensions()
    others = formulas.iter_rows() if formulas is not None else ()
    labels: dict[tuple[int, int], str] = {}
    covering: dict[int, set[int]] = {}
    for row, column in merges.values():
        covering.setdefault(row, set()).add(column)
    blank = 0
    for number, (cells, written) in enumerate(zip_longest(sheet.iter_rows(), others, fillvalue=()), 1):
        texts, missing = _texts(cells, written)
        for column in covering.get(number, ()):
            labels[number, column] = texts[column - 1] if column <= len(texts) else ""
        _fill(texts, number, merges, labels)
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            blank += 1
            continue
        yield from (([], 0) for _ in range(min(blank, _BLANK_ROWS)))
        blank = 0
        yield texts, missing


def _texts(cells: Any, written: Any) -> tuple[list[str], int]:
    texts, missing = [], 0
    for cell, formula in zip_longest(cells, written):
        value = getattr(cell, "value", None)
        text = shown(value, getattr(cell, "number_format", None) or "General")
        if value is None and (source := _formula(getattr(formula, "value", None))):
            text, missing = source, missing + 1
        texts.append(text)
    return texts, missing


def _formula(value: Any) -> str:
    text = getattr(value, "text", value)
    return str(text) if isinstance(text, str) and text.startswith("=") else ""


def _fill(texts: list[str], row: int, merges: Merges, labels: dict[tuple[int, int], str]) -> None:
    """Repeat a merged label in the cells that it covers, so that every row is complete."""
    alone = sum(1 for text in texts if text) == 1  # a title across the sheet need not be repeated
    for column in range(1, len(texts) + 1):
        place = merges.get((row, column))
        if place and not texts[column - 1] and (place[0] != row or not alone):
            texts[column - 1] = labels.get(place, "")


def _merges(raw: bytes) -> Merges:
    merges: Merges = {}
    for found in _MERGE.finditer(raw):
        left, top, right, bottom = _column(found[1]), int(found[2]), _column(found[3]), int(found[4])
        if len(merges) + (right - left + 1) * (bottom - top + 1) > _MERGED_CELLS:
            break
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if (row, column) != (top, left):
                    merges[row, column] = top, left
    return merges


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _comments(package: Package, part: str) -> Iterator[tuple[str, str]]:
    for _, kind, name in package.related(part):
        if name not in package.names or kind not in ("comments", "threadedComment"):
            continue
        for comment in package.xml(name).iter("comment" if kind == "comments" else "threadedComment"):
            text = squeezed("".join(found.text or "" for found in comment.iter() if found.tag in ("t", "text")))
            if text and not text.startswith("[Threaded comment]"):
                yield attribute(comment, "ref") or "?", text


def _values(data: bytes) -> Events:
    """Read only the values, of older and of very large workbooks."""
    import python_calamine

    if b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e" in data[: 1024**2]:
        raise Unreadable(_LOCKED)
    try:
        # It needs a path or a seekable file; here standard input is the file itself.
        book = python_calamine.load_workbook(io.BytesIO(data))
    except python_calamine.PasswordError:
        raise Unreadable(_LOCKED) from None
    hidden = {sheet.name for sheet in book.sheets_metadata if str(sheet.visible).rpartition(".")[2] != "Visible"}
    for number, name in enumerate(book.sheet_names):
        try:
            sheet = book.get_sheet_by_name(name)
        except python_calamine.WorksheetNotFound:  # a chart sheet, without cells
            continue
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        left = [""] * (sheet.start[1] if sheet.start else 0)
        for row in sheet.iter_rows():
            texts = [shown(value) if value != "" else "" for value in row]
            while texts and not texts[-1]:
                texts.pop()
            writer.writerow([*left, *texts] if texts else [])
        state = " (hidden)" if name in hidden else ""
        yield Piece(("\n" if number else "") + f"# Sheet: {' '.join(name.split())}{state}\n", is_page=True)
        yield Piece(out.getvalue())
    yield Note(
        "number formats are not read: percentages, for one, are fractions, and leading zeros are missing; nor are "
        "comments, errors such as #DIV/0!, and labels of merged cells beyond the first"
    )
