"""Conversion of Word to Markdown, including headers, footers, notes and comments."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import IO

from rlmbox.context.load.formats.events import Events, Note, Piece, unread_pictures
from rlmbox.context.load.formats.markup import markdown
from rlmbox.context.load.formats.packages import Package, squeezed
from rlmbox.usage import quantity

_BODIES = re.compile(r"word/(?:document\d*|footnotes|endnotes|comments)\.xml")
_AROUND = re.compile(r"word/(header|footer)\d*\.xml")
_FIELD = re.compile(rb"</?w:fldSimple\b[^>]*>")
_DELETED = re.compile(rb"<w:del[ >]")
_FORMULA = re.compile(rb"<m:oMath>.*?</m:oMath>", re.DOTALL)
_FORMULA_TEXT = re.compile(rb"<m:t(?: [^>]*)?>([^<]*)</m:t>")


def read_word(file: IO[bytes]) -> Events:
    """Read a Word document."""
    import mammoth

    data = file.read()
    package = Package(io.BytesIO(data))
    prepared, formulas, deletions = _prepared(package)
    # The library skips comments by default.
    page = mammoth.convert_to_html(prepared, style_map="comment-reference => sup").value
    yield Piece(markdown(page))
    for label, text in _around(package):
        yield Piece(f"\n{label}: {text}\n")
    if formulas:
        yield Note(f"has {quantity(formulas, 'formula')}, of which only the letters and numbers are read")
    if deletions:
        yield Note("has deleted text that is still recorded as a change, and is not read")
    if pictures := sum(name.startswith("word/media/") for name in package.names):
        yield unread_pictures(pictures)
    if any(name.startswith(("word/charts/chart", "word/diagrams/data")) for name in package.names):
        yield Note("has charts or diagrams, which are not read")


def _prepared(package: Package) -> tuple[IO[bytes], int, bool]:
    """Return the package with fields and formulas as plain text, which the library would skip."""
    out = io.BytesIO()
    formulas, deletions = 0, False
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(package.names):
            if name.endswith("/") or name.startswith("word/media/"):
                continue
            part = package.part(name)
            if _BODIES.fullmatch(name):
                part, count = _FORMULA.subn(_formula, _FIELD.sub(b"", part))
                formulas += count
                deletions = deletions or _DELETED.search(part) is not None
            archive.writestr(name, part)
    out.seek(0)
    return out, formulas, deletions


def _formula(found: re.Match[bytes]) -> bytes:
    return b"<w:r><w:t>" + b"".join(_FORMULA_TEXT.findall(found[0])) + b"</w:t></w:r>"


def _around(package: Package) -> Iterator[tuple[str, str]]:
    """Yield the texts of headers and footers, each once."""
    seen: set[tuple[str, str]] = set()
    for name in sorted(package.names):
        if not (found := _AROUND.fullmatch(name)):
            continue
        lines = []
        for paragraph in package.xml(name).iter("p"):
            parts = [run.text or "" if run.tag == "t" else "\t" for run in paragraph.iter() if run.tag in ("t", "tab")]
            if text := squeezed("".join(parts)):
                lines.append(text)
        told = found[1].capitalize(), " / ".join(dict.fromkeys(lines))
        if lines and told not in seen:
            seen.add(told)
            yield told
