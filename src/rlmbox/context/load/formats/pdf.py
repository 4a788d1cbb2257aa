"""Conversion of PDF to plain text, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from rlmbox.context.load.formats.events import Events, Note, Piece, Unreadable

_GAP = re.compile(r" {3,}")
_CELL_CHARS = 40
_TABLE_LINES = 3
_KEPT_SHARE = 0.98
_LISTED = 30


def read_pdf(file: IO[bytes]) -> Events:
    """Read a PDF: each page's text, then the values of its form fields and its annotations."""
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(file)
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise Unreadable("it is locked by a password; save it without one")
    empty: list[int] = []
    count = 0
    for number, page in enumerate(reader.pages, 1):
        count = number
        text = _page(page, number)
        if not text:
            empty.append(number)
        yield Piece(text + "\n\n", is_page=True)
    if len(empty) == count:
        raise Unreadable("it has no text, only pictures of it; recognise it first (OCR)")
    if empty:
        yield Note(f"{_pages(empty)} without text, which may be pictures of it: recognise them first (OCR)")
    if names := sorted(reader.attachments):
        yield Note(f"has attached files that are not read: {', '.join(names[:_LISTED])}")


def _pages(numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:_LISTED])) + (", …" if len(numbers) > _LISTED else "")
    return f"page {listed} is" if len(numbers) == 1 else f"pages {listed} are"


def _page(page: Any, number: int) -> str:
    try:
        parts = [_body(page), *_annotations(page)]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - one broken page must neither affect the others nor vanish
        return f"[page {number} could not be read]"
    return "\n".join(part for part in parts if part)


def _body(page: Any) -> str:
    plain = str(page.extract_text()).rstrip()
    if not plain:
        return plain
    try:
        laid_out = str(page.extract_text(extraction_mode="layout", layout_mode_strip_rotated=False)).rstrip()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the other method may be able to read the fonts
        return plain
    whole = len("".join(laid_out.split())) >= _KEPT_SHARE * len("".join(plain.split()))
    return laid_out if whole and _is_table(laid_out) else plain


def _is_table(text: str) -> bool:
    """Return whether a page has a table, in which empty cells leave gaps, and no columns of prose."""
    run = longest = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        cells = _GAP.split(line.strip())
        is_row = len(cells) > 1 or line.startswith("   ")
        if is_row and sum(len(cell) > _CELL_CHARS for cell in cells) > 1:
            return False
        run = run + 1 if is_row else 0
        longest = max(longest, run)
    return longest >= _TABLE_LINES


def _annotations(page: Any) -> Iterator[str]:
    """Return the annotations of a page: the values of form fields, and comments."""
    for reference in page.get("/Annots") or ():
        annotation = reference.get_object()
        kind = annotation.get("/Subtype")
        if kind == "/Widget":
            value = _field_value(annotation)
            if value:
                yield f"{_field_name(annotation)}: {value}"
        elif kind in ("/FreeText", "/Text", "/Highlight", "/Underline", "/StrikeOut", "/Square", "/Stamp"):
            comment = " ".join(str(annotation.get("/Contents") or "").split())
            if comment:
                yield comment if kind == "/FreeText" else f"[comment: {comment}]"


def _field_value(field: Any) -> str:
    value = _inherited(field, "/V")
    if _inherited(field, "/FT") == "/Btn":
        state = str(field.get("/AS") or value or "")
        return "" if state in ("", "/Off") else state.removeprefix("/")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if hasattr(value, "get_data"):
        value = value.get_data().decode("utf-8", "replace")
    return "" if value is None else str(value).removeprefix("/")


def _field_name(field: Any) -> str:
    names: list[str] = []
    while field is not None and len(names) < 20:
        if field.get("/T"):
            names.append(str(field["/T"]))
        parent = field.get("/Parent")
        field = parent.get_object() if parent is not None else None
    return ".".join(reversed(names)) or "field"


def _inherited(field: Any, key: str) -> Any:
    for _ in range(20):
        if key in field:
            value = field[key]
            return value.get_object() if hasattr(value, "get_object") else value
        if "/Parent" not in field:
            return None
        field = field["/Parent"].get_object()
    return None
