"""The structure of a text, without its data: columns, keys, headings, kinds of lines, kinds of files.

Everything is bounded: the beginning of the text is looked at, and what needs the whole is counted by the byte.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rlmbox.context.documents import Documents, suffix_counts, suffix_of
from rlmbox.context.search import Deadline, regex_spans
from rlmbox.context.text import TextStore

SAMPLE_CHARS = 64 * 1024
_MAX_PARSED_BYTES = 16 * 1024 * 1024
_MAX_KEYS = 100
_MAX_KEY_CHARS = 200
_MAX_DEPTH = 3
_MAX_HEADINGS = 200
_MAX_MARKS = 20_000
_MAX_SUFFIXES = 50
_SAMPLE_ROWS = 50
_SAMPLE_ITEMS = 100
# Prose has commas too: what is not called a table must have some rows, and short cells.
_MIN_ROWS = 3
_MAX_MEAN_CELL = 60
_DELIMITERS = (",", "\t", ";", "|")
_TABLE_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
_SUFFIX_KINDS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".md": "markdown", ".markdown": "markdown"}
_TIMEOUT_S = 5.0

# These see single lines that are cut to 200 characters, and cannot backtrack far.
_LINE_CHARS = 200
_HEAD_CHARS = 4096
_TIMESTAMPS = {
    "ISO 8601": re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d"),
    "slashed date": re.compile(r"\[?\d{1,4}/\d{1,2}/\d{1,4}[ T]\d\d:\d\d"),
    "syslog": re.compile(r"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"),
    "access log": re.compile(r"\S{1,60} \S{1,60} \S{1,60} \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d"),
    "epoch seconds": re.compile(r"\[?\d{10}(?:\d{3})?(?:\.\d{1,9})?[\] ]"),
}
_LEVEL = re.compile(r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:[.,]\d{1,40}){0,5})(?:[eE][-+]?\d{1,4})?%?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.Z+-]{1,30})?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
_CODE = re.compile(r"(?:import|from|def|class|function|const|#include|package|use|fn|var|let)\b")
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.{0,190})")
_HEADING_OR_FENCE = r"(?m)^(?: {0,3}(?:```|~~~)|#{1,6}[ \t]+\S[^\n]{0,200})"


def schema_kind(store: TextStore, name: str) -> str:
    """Names the structure of one text from its name and its beginning.

    Args:
        store: The text.
        name: The document's name, whose ending counts.

    Returns:
        `csv`, `tsv`, `table`, `json`, `jsonl`, `markdown`, `log` or `text`.
    """
    sample, suffix = store.slice(0, SAMPLE_CHARS), suffix_of(name)
    if suffix in _TABLE_SUFFIXES:
        return _TABLE_SUFFIXES[suffix]
    if suffix in _SUFFIX_KINDS:
        return _SUFFIX_KINDS[suffix]
    lines = _whole_lines(sample, len(sample) == store.length)
    if _is_json_lines(lines):
        return "jsonl"
    if _looks_like_json(sample):
        return "json"
    if _timestamp(lines):
        return "log"
    if suffix in ("", ".txt", ".log"):
        if _is_markdown(lines):
            return "markdown"
        if delimiter := _delimiter(lines):
            return {",": "csv", "\t": "tsv"}.get(delimiter, "table")
    return "text"


def text_schema(store: TextStore, name: str) -> dict[str, object]:
    """Describes the structure of one text.

    Args:
        store: The text.
        name: The document's name, whose ending counts.
    """
    kind = schema_kind(store, name)
    describe = {
        "csv": _table_schema,
        "tsv": _table_schema,
        "table": _table_schema,
        "json": _json_schema,
        "jsonl": _json_lines_schema,
        "markdown": _markdown_schema,
        "log": _log_schema,
    }.get(kind)
    return {"kind": kind, "lines": line_count(store), **(describe(store) if describe else {})}


def tree_schema(documents: Documents, kind: str) -> dict[str, object]:
    """Describes a collection: how many documents of which kind, in which folders, and how long.

    Args:
        documents: The documents.
        kind: The kind of the context.
    """
    lengths = sorted(documents.lengths())
    schema: dict[str, object] = {
        "kind": "tree" if kind == "directory" else kind,
        "documents": len(documents),
        "suffixes": suffix_counts(documents.names, _MAX_SUFFIXES),
        "shortest": lengths[0],
        "median": lengths[len(lengths) // 2],
        "longest": lengths[-1],
    }
    folders: dict[str, int] = {}
    for name in documents.names:
        head, slash, _ = name.strip("/").partition("/")
        if slash:
            folders[head] = folders.get(head, 0) + 1
    if folders:
        schema["folders"] = dict(sorted(folders.items(), key=lambda item: -item[1])[:_MAX_SUFFIXES])
    if kind == "dict":
        schema["keys"] = list(documents.names[:_MAX_KEYS])
    return schema


def line_count(store: TextStore) -> int:
    """Counts lines; a text that does not end with a newline has one more than it has newlines."""
    if not store.size_bytes:
        return 0
    return store.newlines_before(store.size_bytes) + (store.buffer[-1] != ord("\n"))


def _whole_lines(sample: str, complete: bool) -> list[str]:
    lines = sample.split("\n")
    return [line.removesuffix("\r") for line in (lines if complete or len(lines) == 1 else lines[:-1])]


def _sample_lines(store: TextStore) -> list[str]:
    sample = store.slice(0, SAMPLE_CHARS)
    return _whole_lines(sample, len(sample) == store.length)


def _looks_like_json(sample: str) -> bool:
    head = sample.lstrip()[:_HEAD_CHARS]
    follower = head[1:].lstrip()[:1]
    if head.startswith("{"):
        return follower in ('"', "}") and follower != ""
    return head.startswith("[") and follower != "" and follower in '"{[]-0123456789tfn' and _parses_as_json_start(head)


def _parses_as_json_start(head: str) -> bool:
    # A log may begin with `[2024` and prose with `[note]`: the first item must be a JSON value that ends properly.
    body = head[1:].lstrip()
    if body[:1] in ("{", "[", "]"):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return len(head) == _HEAD_CHARS and body.startswith('"')
    return body[end:].lstrip()[:1] in (",", "]")


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


_NOT_JSON = object()


def _is_json_lines(lines: Sequence[str]) -> bool:
    filled = [line for line in lines if line.strip()][:3]
    return len(filled) > 1 and all(isinstance(_loads(line), dict) for line in filled)


def _json_schema(store: TextStore) -> dict[str, object]:
    if store.size_bytes > _MAX_PARSED_BYTES:
        return {"note": "too long to parse here: read the beginning with ctx.slice"}
    value = _loads(store.slice(None, None))
    if value is _NOT_JSON:
        return {"note": "it does not parse as JSON"}
    return {"value": _shape(value, 0)}


def _json_lines_schema(store: TextStore) -> dict[str, object]:
    values = [_loads(line) for line in _sample_lines(store) if line.strip()]
    keys = _keys([value for value in values if isinstance(value, dict)], 0)
    return {"rows": line_count(store), "keys": keys, "sampled_rows": len(values)}


def _shape(value: object, depth: int) -> object:
    """Gives the type of a JSON value, with the keys of objects down to a few levels."""
    if isinstance(value, dict):
        return {"type": "object", "keys": _keys([value], depth)} if depth < _MAX_DEPTH else "object"
    if isinstance(value, list):
        if depth >= _MAX_DEPTH:
            return "array"
        items = value[:_SAMPLE_ITEMS]
        objects = [item for item in items if isinstance(item, dict)]
        shape: dict[str, object] = {"type": "array", "length": len(value)}
        shape["items"] = sorted({_type_name(item) for item in items})
        if objects:
            shape["keys"] = _keys(objects, depth + 1)
        return shape
    return _type_name(value)


def _keys(objects: Sequence[Mapping[str, object]], depth: int) -> dict[str, object]:
    keys: dict[str, object] = {}
    for item in objects:
        for key, value in item.items():
            name = key[:_MAX_KEY_CHARS]
            if (name not in keys and len(keys) < _MAX_KEYS) or (keys.get(name) == "null" and value is not None):
                keys[name] = _shape(value, depth + 1)
    return keys


def _type_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _delimiter(lines: Sequence[str]) -> str | None:
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


def _table_schema(store: TextStore) -> dict[str, object]:
    lines = _sample_lines(store)
    delimiter = _delimiter(lines) or _most_frequent(lines[0] if lines else "")
    rows = _rows(lines, delimiter)
    if not rows:
        return {"rows": line_count(store), "columns": []}
    header = _is_header(rows[0])
    names = rows[0] if header else [f"column {i}" for i in range(len(rows[0]))]
    body = rows[1:] if header else rows
    columns = [
        {"name": name[:_MAX_KEY_CHARS], "type": _column_type(row[i] for row in body if i < len(row))}
        for i, name in enumerate(names[:_MAX_KEYS])
    ]
    count, exact = _row_count(store, delimiter)
    return {
        "delimiter": delimiter,
        "header": header,
        "columns": columns,
        "column_count": len(names),
        "rows": max(0, count - header),
        "rows_exact": exact,
    }


def _most_frequent(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _is_header(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row]
    plain = all(cell and len(cell) <= _MAX_KEY_CHARS and not _is_value(cell) for cell in cells)
    return plain and len(set(cells)) == len(cells)


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) or "@" in cell)


def _column_type(cells: Iterable[str]) -> str:
    filled = [cell.strip()[:_LINE_CHARS] for cell in cells if cell.strip()]
    if not filled:
        return "empty"
    if all(_NUMBER.fullmatch(cell) for cell in filled):
        return "number"
    return "date" if all(_DATE.fullmatch(cell) for cell in filled) else "text"


def _row_count(store: TextStore, delimiter: str) -> tuple[int, bool]:
    """Counts rows, and says whether the count is certain: not in a long text with quotes or blank lines."""
    plain = all(store.find(mark) < 0 for mark in (b'"', b"\n\n", b"\n\r\n")) and store.find(b"\n") != 0
    if plain or store.size_bytes > _MAX_PARSED_BYTES:
        return line_count(store), plain
    text = io.StringIO(store.slice(None, None), newline="")
    try:
        return sum(1 for row in csv.reader(text, delimiter=delimiter) if row), True
    except csv.Error:
        return line_count(store), False


def _is_markdown(lines: Sequence[str]) -> bool:
    headings = sum(1 for line in lines if _HEADING.match(line[:_LINE_CHARS]))
    return headings > 1 and not any(_CODE.match(line[:_LINE_CHARS]) for line in lines)


def _markdown_schema(store: TextStore) -> dict[str, object]:
    headings: list[dict[str, object]] = []
    more = False
    try:
        for line, text in _headings(store):
            if len(headings) == _MAX_HEADINGS:
                more = True
                break
            if found := _HEADING.match(text):
                headings.append({"level": len(found[1]), "title": found[2].rstrip(" #"), "line": line})
    except ValueError:  # out of time: what was found until then is still right
        more = True
    return {"headings": headings, "more_headings": more}


def _headings(store: TextStore) -> Iterator[tuple[int, str]]:
    """Gives the headings outside of fenced code with their lines, from 1."""
    fence = ""
    spans = regex_spans(store, _HEADING_OR_FENCE, deadline=Deadline(_TIMEOUT_S))
    for number, (begin, end) in enumerate(spans):
        if number >= _MAX_MARKS:
            return
        text = store.decode(begin, end)
        mark = text.strip()[:3]
        if mark in ("```", "~~~"):
            fence = mark if not fence else "" if fence == mark else fence
        elif not fence:
            yield store.newlines_before(begin) + 1, text


def _timestamp(lines: Sequence[str]) -> str | None:
    filled = [line[:_LINE_CHARS] for line in lines if line.strip()][:_SAMPLE_ROWS]
    for name, pattern in _TIMESTAMPS.items():
        if len(filled) > 1 and sum(1 for line in filled if pattern.match(line)) * 2 > len(filled):
            return name
    return None


def _log_schema(store: TextStore) -> dict[str, object]:
    lines = _sample_lines(store)
    levels = {found[0] for line in lines if (found := _LEVEL.search(line[:_LINE_CHARS]))}
    return {"timestamp": _timestamp(lines), "levels": sorted(levels)}
