"""HTML -> Markdown."""

from __future__ import annotations

from typing import IO, Any

from rlmbox.context.load.formats.events import Events, Piece


def read_html(file: IO[bytes]) -> Events:
    """Read a page of HTML."""
    yield Piece(markdown(file.read()))


def markdown(page: str | bytes) -> str:
    """Return HTML as Markdown, without scripts, styles and pictures."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser")
    for tag in soup(["script", "style", "template", "noscript", "svg"]):
        tag.decompose()
    for picture in soup("img"):
        # A picture inside of the text would be megabytes of base64.
        if str(picture.get("src", "")).startswith("data:") or not picture.get("src"):
            picture.replace_with(str(picture.get("alt", "")))
    for field in soup("input"):
        field.replace_with(_field(field))
    converter = MarkdownConverter(heading_style="ATX", escape_asterisks=False, escape_underscores=False)
    try:
        text = converter.convert_soup(soup)
    except RecursionError:  # nested deeper than any page that was written for reading: its bare text
        text = soup.get_text("\n", strip=True)
    return str(text).strip() + "\n"


def _field(field: Any) -> str:
    if field.get("type") in ("checkbox", "radio"):
        return "[x] " if field.has_attr("checked") else "[ ] "
    return str(field.get("value") or "") if field.get("type") not in ("hidden", "password", "submit") else ""
