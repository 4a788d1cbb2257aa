"""The columns of a table: names, types and the number of rows, without cells."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlmbox.context.schema.lines import LINE_CHARS, sample_lines
from rlmbox.context.storage.text import TextStore

_MAX_COLUMNS = 100
_MAX_NAME_CHARS = 100
_MAX_COUNTED_BYTES = 16 * 1024 * 1024
_SAMPLE_ROWS = 50
# Prose has commas, too: without a table's extension there must be several rows, with short cells.
_MIN_ROWS = 3
_MAX_MEAN_CELL = 60
_MAX_PREAMBLE = 20
_LONG_CELL = 10_000  # most likely an unclosed quote
_DELIMITERS = (",", "\t", ";", "|")
_DECLARED = re.compile(r"sep=(.)\s*", re.IGNORECASE)
# Applied to single cells cut to 200 characters, and unable to backtrack far.
_AMOUNT = r"(?:\d{1,3}(?P<group>[.,' \u00a0\u202f])\d{3}(?:(?P=group)\d{3}){0,12}|\d{1,40})(?:[.,]\d{1,40})?"
_NUMBER = re.compile(
    rf"(?:[-+]?[$€£¥]?\s?{_AMOUNT}|\({_AMOUNT.replace('group', 'again')}\))(?:[eE][-+]?\d{{1,4}})?\s?[%€$£¥]?"
)
_CODE = re.compile(r"0\d+")  # a leading 0 means a code, such as a postal code, and not a number
_TIME = r"(?:[T ]\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:\s?[AaPp][Mm])?(?:Z|\s?[+-]\d\d:?\d\d)?)?"
_DATE = re.compile(
    rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{_TIME}|\d{{1,2}}([-/.])\d{{1,2}}\2(?:\d{{4}}|\d\d){_TIME}"
    rf"|\d{{1,2}}\.?[ -][A-Za-zÀ-ž]{{3,9}}\.?[ -]\d{{2,4}}{_TIME}|[A-Z][a-z]{{2,8}}\.? \d{{1,2}},? \d{{4}}{_TIME}"
)
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of a table.

    Attributes:
        delimiter: The separator of its columns.
        rows: Its first rows, from the header on.
        preamble: Number of rows above, such as titles.
        fitting: Number of rows with the most common number of columns.
    """

    delimiter: str
    rows: list[list[str]]
    preamble: int
    fitting: int


def delimiter_of(lines: Sequence[str]) -> str | None:
    """Find the delimiter of columns: every sampled row must have the same number of them, two or more."""
    for delimiter in _DELIMITERS:
        rows = _rows(lines, delimiter)
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths.pop() > 1 and len(rows) >= _MIN_ROWS and _mean_cell(rows) <= _MAX_MEAN_CELL:
            return delimiter
    return None


def _mean_cell(rows: Sequence[Sequence[str]]) -> float:
    cells = [len(cell) for row in rows for cell in row]
    return sum(cells) / len(cells)


def _rows(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return []
    return rows


def table_schema(store: TextStore) -> dict[str, object]:
    """Return the columns with their types, judged by the first rows, and the number of rows.

    The keys are `delimiter`, `header` (whether a row has the columns' names), `columns` (for each its `name` and
    `type`: `number`, `date`, `text`, `empty`, or several joined by `or`), `column_count`, `sampled_rows`, `rows`,
    `rows_exact`, and, if any, `preamble_rows` above the names, `duplicate_names`, `ragged_rows`.
    """
    lines = sample_lines(store)
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    layout = _layout(lines[1:], (declared[1],)) if declared else _layout(lines, _DELIMITERS)
    if not layout.rows:
        return {"rows": store.line_count, "columns": []}
    header = _is_header(layout.rows[0])
    names = layout.rows[0] if header else [""] * max(map(len, layout.rows))
    names = [name.strip() or f"column {number}" for number, name in enumerate(names)]
    body = layout.rows[1:] if header else layout.rows
    columns = [
        {"name": name[:_MAX_NAME_CHARS], "type": _column_type(row[i] for row in body if i < len(row))}
        for i, name in enumerate(names[:_MAX_COLUMNS])
    ]
    above = layout.preamble + header + (declared is not None)
    count, exact = _row_count(store, layout.delimiter)
    told: dict[str, object] = {
        "delimiter": layout.delimiter,
        "header": header,
        "columns": columns,
        "column_count": len(names),
        "sampled_rows": len(body),
        "rows": max(0, count - above),
        "rows_exact": exact,
    }
    if layout.preamble:
        told["preamble_rows"] = layout.preamble
    if duplicates := [name[:_MAX_NAME_CHARS] for name, times in Counter(names).items() if times > 1]:
        told["duplicate_names"] = duplicates[:_MAX_COLUMNS]
    if layout.fitting < len(layout.rows):
        told["ragged_rows"] = len(layout.rows) - layout.fitting
    return told


def _layout(lines: Sequence[str], delimiters: Sequence[str]) -> _Layout:
    """Find the delimiter for which the most rows have the same number of columns, and the table's first row."""
    best = _Layout(delimiters[0], [], 0, 0)
    quality = (-1.0, -1)
    for delimiter in delimiters:
        rows = _rows(lines, delimiter)
        widths = Counter(len(row) for row in rows if len(row) > 1)
        width = max(widths, key=lambda w: (widths[w], w)) if widths else 1
        start = _start(rows, width)
        fitting = sum(len(row) == width for row in rows[start:])
        found = (fitting / max(1, len(rows) - start) if width > 1 else 0.0, width)
        if found > quality:
            best, quality = _Layout(delimiter, rows[start:], start, fitting), found
    return best


def _start(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return the index of the table's first row, below titles with fewer columns."""
    for number, row in enumerate(rows[:_MAX_PREAMBLE]):
        filled = sum(1 for cell in row if cell.strip())
        if len(row) == width and (filled > 1 or width == 1):
            return number
    return 0


def _is_header(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row]
    filled = [cell for cell in cells if cell]
    years = sum(1 for cell in filled if _YEAR.fullmatch(cell))
    plain = all(len(cell) <= _MAX_NAME_CHARS and (not _is_value(cell) or _YEAR.fullmatch(cell)) for cell in filled)
    # One column may have no name, as an index does.
    return plain and len(filled) > years and len(filled) >= max(1, len(cells) - 1)


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) or "@" in cell)


def _column_type(cells: Iterable[str]) -> str:
    kinds = {_cell_type(cell.strip()[:LINE_CHARS]) for cell in cells if cell.strip()}
    return " or ".join(sorted(kinds)) or "empty"


def _cell_type(cell: str) -> str:
    if _DATE.fullmatch(cell):
        return "date"
    return "number" if _NUMBER.fullmatch(cell) and not _CODE.fullmatch(cell) else "text"


def _row_count(store: TextStore, delimiter: str) -> tuple[int, bool]:
    """Count rows; also return whether the count is exact, which it is not in a long or broken text."""
    if store.size_bytes > _MAX_COUNTED_BYTES:
        return store.line_count, False
    text = store.slice(None, None)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = sum(1 for line in text.split("\n") if line.strip("\r"))
    if '"' not in text:
        return lines, True
    count = 0
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            count += bool(row)
            if row and max(map(len, row)) > _LONG_CELL:
                return lines, False
    except csv.Error:
        return lines, False
    return count, True
