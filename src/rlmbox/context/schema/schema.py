"""The structure of a text, without its data: columns, keys, elements, headings, kinds of lines, kinds of files.

Everything is limited in time and size, and marked where it was cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rlmbox.context.schema.json_shape import JsonShape, NotJson, parsed, values
from rlmbox.context.schema.lines import (
    LANGUAGES,
    SAMPLE_CHARS,
    code_schema,
    is_markdown,
    log_schema,
    markdown_schema,
    timestamp,
    whole_lines,
)
from rlmbox.context.schema.tables import delimiter_of, table_schema
from rlmbox.context.schema.xml_elements import XmlElements
from rlmbox.context.storage.documents import Documents, suffix_counts, suffix_of
from rlmbox.context.storage.text import TextStore

_MAX_NAMES = 100
_MAX_NAME_CHARS = 100
_MAX_SUFFIXES = 50
_HEAD_CHARS = 4096
_PIECE_CHARS = 256 * 1024
# Parsing this much takes a tenth of a second or two, and 100 MB of memory.
_JSON_CHARS = 8 * 1024 * 1024
_MAX_ROWS = 5_000
_TIMEOUT_S = 3.0
_TABLE_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "csv"}
_XML_SUFFIXES = (".xml", ".svg", ".rss", ".atom", ".xsd", ".xsl", ".xslt", ".wsdl", ".kml", ".gpx", ".plist", ".xhtml")
_SUFFIX_KINDS = {
    **_TABLE_SUFFIXES,
    ".json": "json",
    ".geojson": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".markdown": "markdown",
    # Formats of converted documents; see `converting`.
    **dict.fromkeys((".docx", ".odt", ".epub", ".pptx", ".odp", ".ipynb"), "markdown"),
    ".htm": "html",
    ".html": "html",
    **dict.fromkeys(_XML_SUFFIXES, "xml"),
    **dict.fromkeys(LANGUAGES, "code"),
}


def schema_kind(store: TextStore, name: str) -> str:
    """Return the name of the structure of one text from its name and its beginning.

    Args:
        store: The text.
        name: The document's name; its extension matters.

    Returns:
        `csv`, `tsv`, `table`, `json`, `jsonl`, `markdown`, `html`, `xml`, `log`, `code` or `text`.
    """
    sample, suffix = store.slice(0, SAMPLE_CHARS), suffix_of(name)
    if kind := _SUFFIX_KINDS.get(suffix):
        # A converted page is Markdown.
        return "markdown" if kind == "html" and not sample.lstrip().startswith("<") else kind
    lines = whole_lines(sample, len(sample) == store.length)
    if kind := _marked_kind(sample) or ("jsonl" if _is_json_lines(lines) else ""):
        return kind
    if _looks_like_json(sample):
        return "json"
    if timestamp(lines):
        return "log"
    if suffix in ("", ".txt", ".log", ".xls", ".xlsx"):
        if is_markdown(lines):
            return "markdown"
        if delimiter := delimiter_of(lines):
            return {",": "csv", "\t": "tsv"}.get(delimiter, "table")
    return "text"


def _marked_kind(sample: str) -> str:
    head = sample[:_HEAD_CHARS].lstrip().lower()
    if head.startswith("<?xml"):
        return "xml"
    return "html" if head.startswith(("<!doctype html", "<html")) else ""


def text_schema(store: TextStore, name: str) -> dict[str, object]:
    """Describe the structure of one text.

    Args:
        store: The text.
        name: The document's name; its extension matters.
    """
    kind = schema_kind(store, name)
    describe = {
        "csv": table_schema,
        "tsv": table_schema,
        "table": table_schema,
        "json": _json_schema,
        "jsonl": _json_lines_schema,
        "markdown": markdown_schema,
        "xml": _xml_schema,
        "log": log_schema,
        "code": code_schema,
    }.get(kind)
    language = {"language": LANGUAGES[suffix_of(name)]} if kind == "code" else {}
    return {"kind": kind, **language, "lines": store.line_count, **(describe(store) if describe else {})}


def tree_schema(documents: Documents, kind: str) -> dict[str, object]:
    """Describe a collection: the number of documents by kind and folder, and their lengths.

    Args:
        documents: The documents.
        kind: The kind of the context.
    """
    lengths = sorted(documents.lengths())
    suffixes = suffix_counts(documents.names, _MAX_SUFFIXES + 1)
    schema: dict[str, object] = {
        "kind": "tree" if kind == "directory" else kind,
        "documents": len(documents),
        "suffixes": dict(list(suffixes.items())[:_MAX_SUFFIXES]),
        "shortest": lengths[0],
        "median": lengths[len(lengths) // 2],
        "longest": lengths[-1],
    }
    if len(suffixes) > _MAX_SUFFIXES:
        schema["more_suffixes"] = True
    if folders := _folders(documents.names):
        schema["folders"] = dict(sorted(folders.items(), key=lambda item: -item[1])[:_MAX_SUFFIXES])
        if len(folders) > _MAX_SUFFIXES:
            schema["more_folders"] = True
    if kind == "dict":
        schema["keys"] = [name[:_MAX_NAME_CHARS] for name in documents.names[:_MAX_NAMES]]
        if len(documents) > _MAX_NAMES:
            schema["more_keys"] = True
    return schema


def _folders(names: Sequence[str]) -> dict[str, int]:
    """Count the documents of each top-level folder; if there is only one, of the folders inside it."""
    prefix = ""
    while True:
        counts: dict[str, int] = {}
        for name in names:
            head, slash, _ = name.strip("/")[len(prefix) :].partition("/")
            if slash:
                folder = (prefix + head)[:_MAX_NAME_CHARS]
                counts[folder] = counts.get(folder, 0) + 1
        if len(counts) != 1 or sum(counts.values()) < len(names):
            return counts if counts or not prefix else {prefix.rstrip("/"): len(names)}
        prefix = f"{next(iter(counts))}/"


def _pieces(store: TextStore) -> Iterator[str]:
    for begin in range(0, store.length, _PIECE_CHARS):
        yield store.slice(begin, begin + _PIECE_CHARS)


def _looks_like_json(sample: str) -> bool:
    head = sample.lstrip()[:_HEAD_CHARS]
    follower = head[1:].lstrip()[:1]
    if head.startswith("{"):
        return follower in ('"', "}") and follower != ""
    return head.startswith("[") and follower != "" and follower in '"{[]-0123456789tfn' and _parses_as_json_start(head)


def _parses_as_json_start(head: str) -> bool:
    # A log may begin with `[2024` and prose with `[note]`: the first item must be a complete JSON value.
    body = head[1:].lstrip()
    if body[:1] in ("{", "[", "]"):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return len(head) == _HEAD_CHARS and body.startswith('"')
    return body[end:].lstrip()[:1] in (",", "]")


def _is_json_lines(lines: Sequence[str]) -> bool:
    filled = [line for line in lines if line.strip()][:3]
    return len(filled) > 1 and all(_is_object(line) for line in filled)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _json_schema(store: TextStore) -> dict[str, object]:
    head, is_cut = store.slice(0, _JSON_CHARS), store.length > _JSON_CHARS
    shape, count = JsonShape(timeout_s=_TIMEOUT_S), 1
    try:
        shape.add(parsed(head, is_cut=is_cut))
    except NotJson as error:
        found = [] if is_cut else _several_values(head)
        if not found:
            return {"note": f"it does not parse as JSON: {error}"}
        count = len(found)
        for value in found:
            shape.add(value)
    told: dict[str, object] = {"value": shape.shape.described()}
    if count > 1:
        told["values"] = count
    if is_cut or not shape.complete:
        told["note"] = "only the beginning was read, because it is long: there may be more keys, and lengths are larger"
    return told


def _several_values(text: str) -> list[object]:
    try:
        return values(text)
    except NotJson:
        return []


def _json_lines_schema(store: TextStore) -> dict[str, object]:
    head = store.slice(0, _JSON_CHARS)
    lines = whole_lines(head, len(head) == store.length)
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    shape, sampled, broken = JsonShape(timeout_s=_TIMEOUT_S), 0, []
    for number, line in filled[:_MAX_ROWS]:
        try:
            shape.add(parsed(line))
        except NotJson as error:
            broken.append(f"line {number} does not parse as JSON ({error})")
        else:
            sampled += 1
        if not shape.complete:
            break
    exact = len(head) == store.length
    told: dict[str, object] = {"rows": len(filled) if exact else store.line_count, "rows_exact": exact}
    if broken:
        more = f", and {len(broken) - 1} more lines do not" if len(broken) > 1 else ""
        told |= {"broken_rows": len(broken), "note": f"{broken[0]}{more}; the other lines are read without them"}
    return {**told, "row": shape.shape.described(), "sampled_rows": sampled}


def _xml_schema(store: TextStore) -> dict[str, object]:
    elements = XmlElements(timeout_s=_TIMEOUT_S)
    elements.read(_pieces(store))
    return elements.described()
