"""Files that are ZIP archives of XML: reading their parts, within limits."""

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
            Unreadable: It is not a package.
        """
        try:
            self._archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile:
            raise Unreadable("it is damaged, or not what its name says (not a ZIP archive)") from None
        self.names = frozenset(self._archive.namelist())

    def part(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            Unreadable: It does not exist, or is too large.
        """
        try:
            info = self._archive.getinfo(name)
            if info.file_size > MAX_PART_BYTES:
                raise Unreadable(f"it has a part of more than {MAX_PART_BYTES // 1024**2} MiB; give a part of it")
            with self._archive.open(info) as part:
                return part.read(MAX_PART_BYTES)
        except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unreadable(f"it is damaged, or not what its name says ({type(error).__name__}: {name})") from None

    def xml(self, name: str) -> Element:
        """Return a part as a tree of elements with namespaces removed.

        Raises:
            Unreadable: It does not exist, is too large, or is not XML.
        """
        return parsed(self.part(name))

    def related(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Yield the relations of a part: identifier, last segment of the type, and the target's name."""
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
    """Parse XML to a tree of elements with namespaces removed.

    Raises:
        Unreadable: It is not XML.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - expat limits entities, the process everything else
    except ET.ParseError as error:
        raise Unreadable(f"it is damaged, or not what its name says (ParseError: {error})") from None
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
    """Return an attribute, ignoring its namespace."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def squeezed(text: str) -> str:
    """Collapse whitespace, so that a text is on one line."""
    return re.sub(r"\s+", " ", text).strip()


def table(rows: list[list[str]]) -> str:
    """Format rows as a Markdown table, the first one as its header."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    filled = [[cell.replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in filled]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]]) + "\n"
