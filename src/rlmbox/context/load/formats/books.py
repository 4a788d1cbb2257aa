"""Conversion of EPUB to Markdown, chapter by chapter."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import IO
from urllib.parse import unquote

from rlmbox.context.load.formats.events import Events, Piece, Unreadable, unread_pictures
from rlmbox.context.load.formats.markup import markdown
from rlmbox.context.load.formats.packages import Package

_CONTAINER = "META-INF/container.xml"


def read_book(file: IO[bytes]) -> Events:
    """Read a book in the order of its spine or, if that is missing, of its file names."""
    package = Package(file)
    if "META-INF/encryption.xml" in package.names and "META-INF/rights.xml" in package.names:
        raise Unreadable("it is locked (DRM); give a copy without")
    found = False
    for name in _spine(package):
        text = markdown(package.part(name))
        if text.strip():
            yield Piece(("\n" if found else "") + text, is_page=True)
            found = True
    if not found:
        raise Unreadable("it has no text")
    if pictures := sum(name.lower().endswith((".jpg", ".jpeg", ".png", ".gif")) for name in package.names):
        yield unread_pictures(pictures)


def _spine(package: Package) -> list[str]:
    chapters = [name for name in _ordered(package) if name in package.names]
    pages = (name for name in package.names if name.lower().endswith((".xhtml", ".html", ".htm")))
    return chapters or sorted(pages)


def _ordered(package: Package) -> list[str]:
    if _CONTAINER not in package.names:
        return []
    places = [root.get("full-path", "") for root in package.xml(_CONTAINER).iter("rootfile")]
    if not places or places[0] not in package.names:
        return []
    content, folder = package.xml(places[0]), PurePosixPath(places[0]).parent
    files = {item.get("id"): unquote(item.get("href", "")) for item in content.iter("item")}
    names = [files.get(entry.get("idref")) for entry in content.iter("itemref")]
    return [str(folder / name).removeprefix("./") for name in names if name]
