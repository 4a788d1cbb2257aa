"""Conversion of HTML to Markdown."""

from __future__ import annotations

from copy import copy
from typing import IO, Any

from rlmbox.context.load.formats.events import Events, Piece

_APART = ["option", "textarea", "summary", "details", "object", "canvas", "button", "label", "legend"]
_MAX_REPEATED = 10_000


def read_html(file: IO[bytes]) -> Events:
    """Read an HTML page."""
    yield Piece(markdown(file.read()))


def markdown(page: str | bytes) -> str:
    """Convert HTML to Markdown, without scripts, styles and pictures."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser")
    for tag in soup(["script", "style", "template", "noscript", "svg"]):
        tag.decompose()
    for picture in soup("img"):
        # An inline picture would be megabytes of base64.
        if str(picture.get("src", "")).startswith("data:") or not picture.get("src"):
            picture.replace_with(str(picture.get("alt", "")))
    for field in soup("input"):
        field.replace_with(_field(field))
    for apart in soup(_APART):
        apart.append(" ")  # separate on the page, although there is no space in the source
    for table in soup("table"):
        _repeat_labels(table)
    converter = MarkdownConverter(heading_style="ATX", escape_asterisks=False, escape_underscores=False)
    try:
        text = converter.convert_soup(soup)
    except RecursionError:  # nested deeper than any genuine page: only its bare text
        text = soup.get_text("\n", strip=True)
    return str(text).strip() + "\n"


def _field(field: Any) -> str:
    if field.get("type") in ("checkbox", "radio"):
        return "[x] " if field.has_attr("checked") else "[ ] "
    return str(field.get("value") or "") if field.get("type") not in ("hidden", "password", "submit") else ""


def _repeat_labels(table: Any) -> None:
    """Repeat a label that spans several rows in each of them, so that every row is complete."""
    open_labels: dict[int, tuple[int, Any]] = {}
    repeated = 0
    for row in table("tr"):
        if row.find_parent("table") is not table:
            continue
        column, cells = 0, row.find_all(["td", "th"], recursive=False)
        waiting = iter(cells)
        cell = next(waiting, None)
        while cell is not None or column in open_labels:
            if column in open_labels:
                left, label = open_labels.pop(column)
                again = _copy_of(label)
                if cell is None:
                    row.append(again)
                else:
                    cell.insert_before(again)
                repeated += 1
                if left > 1:
                    open_labels[column] = left - 1, label
                column += _span(label, "colspan")
                continue
            rows = _span(cell, "rowspan")
            if rows > 1 and repeated < _MAX_REPEATED:
                open_labels[column] = rows - 1, cell
            column += _span(cell, "colspan")
            cell = next(waiting, None)


def _copy_of(cell: Any) -> Any:
    found = copy(cell)
    del found["rowspan"]
    return found


def _span(cell: Any, name: str) -> int:
    given = str(cell.get(name, ""))
    return max(1, min(int(given), 1_000)) if given.isascii() and given.isdecimal() and len(given) < 6 else 1
