"""Conversion of PowerPoint slides to text, slide by slide, with tables, charts and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from rlmbox.context.load.formats.events import Events, Note, Piece, Unreadable
from rlmbox.context.load.formats.packages import Element, Package, attribute, squeezed, table
from rlmbox.usage import quantity

_PRESENTATION = "ppt/presentation.xml"


def read_slides(file: IO[bytes]) -> Events:
    """Read a presentation in slide order."""
    package = Package(file)
    if _PRESENTATION not in package.names:
        raise Unreadable("it is damaged, or not what its name says (it has no presentation)")
    for number, name in enumerate(_slides(package), 1):
        slide = package.xml(name)
        hidden = " (hidden)" if slide.get("show") == "0" else ""
        blocks = [*_shapes(slide), *_related(package, name)]
        text = "\n\n".join(block for block in blocks if block.strip())
        yield Piece(("\n" if number > 1 else "") + f"# Slide {number}{hidden}\n\n{text}\n", is_page=True)
    if pictures := sum(part.startswith("ppt/media/") for part in package.names):
        yield Note(f"has {quantity(pictures, 'picture or film')}, whose text is not read")


def _slides(package: Package) -> Iterator[str]:
    parts = {identifier: part for identifier, kind, part in package.related(_PRESENTATION) if kind == "slide"}
    for entry in package.xml(_PRESENTATION).iter("sldId"):
        identifiers = [value for key, value in entry.attrib.items() if key.endswith("}id")]
        part = parts.get(identifiers[0] if identifiers else "")
        if part in package.names:
            yield part


def _shapes(slide: Element) -> Iterator[str]:
    """Yield the texts of a slide's shapes and tables, in file order."""
    inside_tables = {id(paragraph) for found in slide.iter("tbl") for paragraph in found.iter("p")}
    for element in slide.iter():
        if element.tag == "tbl":
            rows = [[squeezed(" ".join(_lines(cell))) for cell in row.iter("tc")] for row in element.iter("tr")]
            yield table(rows).rstrip("\n")
        elif element.tag == "txBody" and not any(id(paragraph) in inside_tables for paragraph in element.iter("p")):
            yield "\n".join(_lines(element))


def _lines(body: Element) -> Iterator[str]:
    for paragraph in body.iter("p"):
        parts = []
        for run in paragraph.iter():
            if run.tag == "t":
                parts.append(run.text or "")
            elif run.tag == "br":
                parts.append("\n")
        if text := "".join(parts).strip():
            yield text


def _related(package: Package, name: str) -> Iterator[str]:
    for _, kind, part in package.related(name):
        if part not in package.names:
            continue
        if kind == "notesSlide":
            if text := "\n".join(_notes(package.xml(part))):
                yield f"Notes: {text}"
        elif kind == "chart":
            yield _chart(package.xml(part))
        elif kind == "diagramData":
            yield "\n".join(_lines(package.xml(part)))
        elif kind == "comments":
            yield from (f"[comment: {squeezed(''.join(text.itertext()))}]" for text in package.xml(part).iter("text"))


def _notes(notes: Element) -> Iterator[str]:
    for shape in notes.iter("sp"):
        kinds = [attribute(holder, "type") for holder in shape.iter("ph")]
        if "sldNum" not in kinds and "dt" not in kinds and "hdr" not in kinds and "ftr" not in kinds:
            yield from _lines(shape)


def _chart(chart: Element) -> str:
    title = squeezed("".join(text.text or "" for found in chart.iter("title") for text in found.iter("t")))
    rows: list[list[str]] = []
    for series in chart.iter("ser"):
        names = [value.text or "" for found in series.findall("tx") for value in found.iter("v")]
        categories = [value.text or "" for found in series.findall("cat") for value in found.iter("v")]
        numbers = [value.text or "" for found in series.findall("val") for value in found.iter("v")]
        if not rows:
            rows.append(["", *categories])
        rows.append([" ".join(names), *numbers])
    return "\n\n".join(part for part in (f"Chart: {title}".strip(), table(rows).rstrip("\n")) if part)
