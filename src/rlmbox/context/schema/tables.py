"""The columns of a table: names, kinds and how many rows, and no cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from rlmbox.context.schema.lines import LINE_CHARS, sample_lines
from rlmbox.context.storage.text import TextStore

_MAX_COLUMNS = 100
_MAX_NAME_CHARS = 100
_MAX_COUNTED_BYTES = 16 * 1024 * 1024
_SAMPLE_ROWS = 50
# Prose has commas too: what is not called a table must have some rows, and short cells.
_MIN_ROWS = 3
_MAX_MEAN_CELL = 60
_DELIMITERS = (",", "\t", ";", "|")
# These see single cells that are cut to 200 characters, and cannot backtrack far.
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:[.,]\d{1,40}){0,5})(?:[eE][-+]?\d{1,4})?%?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.Z+-]{1,30})?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")


def delimiter_of(lines: Sequence[str]) -> str | None:
    """Finds what separates columns: every sampled row must have the same number of them, two or more."""
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
    """Gives the columns with their kinds, as the first rows have them, and the number of rows."""
    lines = sample_lines(store)
    delimiter = delimiter_of(lines) or _most_frequent(lines[0] if lines else "")
    rows = _rows(lines, delimiter)
    if not rows:
        return {"rows": store.line_count, "columns": []}
    header = _is_header(rows[0])
    names = rows[0] if header else [f"column {i}" for i in range(len(rows[0]))]
    body = rows[1:] if header else rows
    columns = [
        {"name": name[:_MAX_NAME_CHARS], "type": _column_type(row[i] for row in body if i < len(row))}
        for i, name in enumerate(names[:_MAX_COLUMNS])
    ]
    count, exact = _row_count(store, delimiter)
    return {
        "delimiter": delimiter,
        "header": header,
        "columns": columns,
        "column_count": len(names),
        "sampled_rows": len(body),
        "rows": max(0, count - header),
        "rows_exact": exact,
    }


def _most_frequent(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _is_header(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row]
    plain = all(cell and len(cell) <= _MAX_NAME_CHARS and not _is_value(cell) for cell in cells)
    return plain and len(set(cells)) == len(cells)


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) or "@" in cell)


def _column_type(cells: Iterable[str]) -> str:
    filled = [cell.strip()[:LINE_CHARS] for cell in cells if cell.strip()]
    if not filled:
        return "empty"
    if all(_NUMBER.fullmatch(cell) for cell in filled):
        return "number"
    return "date" if all(_DATE.fullmatch(cell) for cell in filled) else "text"


def _row_count(store: TextStore, delimiter: str) -> tuple[int, bool]:
    """Counts rows, and says whether the count is certain: not in a long text, nor in one that is broken."""
    if store.size_bytes > _MAX_COUNTED_BYTES:
        return store.line_count, False
    text = store.slice(None, None)
    if not any(mark in text for mark in ('"', "\n\n", "\n\r\n")) and not text.startswith(("\n", "\r")):
        return store.line_count, True
    try:
        return sum(1 for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row), True
    except csv.Error:
        return store.line_count, False
