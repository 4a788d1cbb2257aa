"""Files that are ZIP archives of XML: how their parts are read, and within which bounds."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO
from xml.etree import ElementTree as ET

from rlmbox.context.load.formats.events import Unreadable

MAX_PART_BYTES = 256 * 1024**2
Element = ET.Element


class Package:
    """An opened package."""

    def __init__(self, file: IO[bytes]) -> None:
        """Open it.

        Raises:
            Unreadable: It is not one.
        """
        try:
            self._archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile:
            raise Unreadable("it is broken or not of its kind (not a ZIP archive)") from None
        self.names = frozenset(self._archive.namelist())

    def part(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            Unreadable: It is not there, or too large.
        """
        try:
            info = self._archive.getinfo(name)
            if info.file_size > MAX_PART_BYTES:
                raise Unreadable(f"it has a part of more than {MAX_PART_BYTES // 1024**2} MiB; give a part of it")
            with self._archive.open(info) as part:
                return part.read(MAX_PART_BYTES)
        except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unreadable(f"it is broken or not of its kind ({type(error).__name__}: {name})") from None

    def xml(self, name: str) -> Element:
        """Return a part as a tree of elements, whose names have lost their namespaces.

        Raises:
            Unreadable: It is not there, too large, or not XML.
        """
        return parsed(self.part(name))

    def related(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Return the relations of a part: identifier, the last word of the kind, and the target's name."""
        path = PurePosixPath(name)
        relations = f"{path.parent}/_rels/{path.name}.rels".removeprefix("./")
        if relations not in self.names:
            return
        for relation in self.xml(relations):
            if relation.get("TargetMode") == "External":
                continue
            target = relation.get("Target", "")
            full = target.lstrip("/") if target.startswith("/") else _joined(str(path.parent), target)
            yield relation.get("Id", ""), relation.get("Type", "").rpartition("/")[2], full


def parsed(xml: bytes) -> Element:
    """Return XML as a tree of elements, whose names have lost their namespaces.

    Raises:
        Unreadable: It is not XML.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - expat bounds entities, the process the rest
    except ET.ParseError as error:
        raise Unreadable(f"it is broken or not of its kind (ParseError: {error})") from None
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    return root


def _joined(folder: str, target: str) -> str:
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    for part in target.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def attribute(element: Element, name: str) -> str | None:
    """Return an attribute by its name without its namespace."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def squeezed(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return re.sub(r"\s+", " ", text).strip()


def table(rows: list[list[str]]) -> str:
    """Return rows as a table of Markdown, the first one as its head."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    filled = [[cell.replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in filled]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]]) + "\n"
