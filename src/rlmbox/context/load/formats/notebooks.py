"""Conversion of Jupyter notebooks to Markdown: text, code and its output, without pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from rlmbox.context.load.formats.events import Events, Note, Piece, Unreadable
from rlmbox.usage import quantity


def read_notebook(file: IO[bytes]) -> Events:
    """Read a notebook."""
    try:
        book = json.load(file)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is damaged, or not what its name says ({type(error).__name__})") from None
    if not isinstance(book, dict):
        raise Unreadable("it is damaged, or not what its name says (not a notebook)")
    language = str(
        _get(book, "metadata", "language_info", "name") or _get(book, "metadata", "kernelspec", "language") or ""
    )
    pictures = 0
    for cell in _cells(book):
        source = _joined(cell.get("source", cell.get("input", "")))
        if cell.get("cell_type") == "code":
            yield Piece(f"```{language or 'python'}\n{source.rstrip()}\n```\n\n")
            for text, is_picture in _outputs(cell.get("outputs")):
                pictures += is_picture
                if text:
                    yield Piece(f"```\n{text.rstrip()}\n```\n\n")
        elif source.strip():
            yield Piece(source.rstrip() + "\n\n")
    if pictures:
        yield Note(f"has {quantity(pictures, 'picture')} among its outputs, not read")


def _cells(book: dict[str, Any]) -> Iterator[dict[str, Any]]:
    sheets = [book, *(book.get("worksheets") or ())]  # older notebooks group cells in worksheets
    for sheet in sheets:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        yield from (cell for cell in cells or () if isinstance(cell, dict))


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _joined(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _outputs(outputs: Any) -> Iterator[tuple[str, bool]]:
    for output in outputs if isinstance(outputs, list) else ():
        if not isinstance(output, dict):
            continue
        data = output.get("data", output)
        is_picture = isinstance(data, dict) and any(
            str(key).startswith("image/") or key in ("png", "jpeg") for key in data
        )
        if output.get("output_type") in ("error", "pyerr"):
            yield f"{output.get('ename')}: {output.get('evalue')}", False
        elif output.get("output_type") == "stream":
            yield _joined(output.get("text")), False
        elif isinstance(data, dict):
            yield _joined(data.get("text/plain", data.get("text/markdown", data.get("text", "")))), is_picture
