"""Conversion of Rich Text to plain text, including headers, footers, notes, comments and text boxes."""

from __future__ import annotations

import re
from typing import IO

from rlmbox.context.load.formats.events import Events, Piece, Unreadable, unread_pictures

_LABELS = {
    "header": "Header: ",
    "headerf": "Header: ",
    "headerl": "Header: ",
    "headerr": "Header: ",
    "footer": "Footer: ",
    "footerf": "Footer: ",
    "footerl": "Footer: ",
    "footerr": "Footer: ",
    "footnote": " [note: ",
    "annotation": " [comment: ",
}
_AROUND = re.compile(r"\{\s*(?:\\\*\s*)?\\(" + "|".join(sorted(_LABELS, key=len, reverse=True)) + r")(?![a-z])-?\d*")
_BOX = re.compile(r"\{\s*\\shptxt(?![a-z])")
_PICTURE = re.compile(r"\{\s*(?:\\\*\s*)?\\pict(?![a-z])")
_FALLBACK = re.compile(r"\{\s*\\(?:nonshppict|shprslt)(?![a-z])")
_BRACE = re.compile(r"\\bin(\d+) ?|\\.|[{}]", re.DOTALL)


def read_rtf(file: IO[bytes]) -> Events:
    """Read Rich Text as plain text."""
    from striprtf.striprtf import rtf_to_text  # type: ignore[import-untyped, unused-ignore]

    # The declared encoding applies to escapes; everything else is ASCII.
    source = file.read().decode("latin-1")
    pictures = len(_PICTURE.findall(_without(source, _FALLBACK)))
    text = str(rtf_to_text(_readable(source), errors="replace"))  # type: ignore[no-untyped-call, unused-ignore]
    if not text.strip():
        raise Unreadable("it has no text")
    yield Piece(text.strip() + "\n")
    if pictures:
        yield unread_pictures(pictures)


def _readable(source: str) -> str:
    """Turn headers, footers, notes and the like into part of the text at their places."""
    boxes = [source[start:end] for start, end in _groups(source, _BOX)]
    found, at = [], 0
    for start, end in _groups(source, _AROUND):
        begun = _AROUND.match(source, start)
        if begun is None or start < at:  # a note within a note stays in place
            continue
        label = _LABELS[begun[1]]
        inner = source[begun.end() : end - 1].strip().removesuffix(r"\par")
        found += [source[at:start], "{", label, inner, "]}" if "[" in label else r"\par}"]
        at = end
    text = "".join([*found, source[at:]])
    # Text boxes are in groups that readers of plain text skip entirely.
    added = "".join(r"\par{Text box: " + _BOX.sub("{", box) + "}" for box in dict.fromkeys(boxes))
    end = text.rfind("}")
    return text[:end] + added + text[end:] if end >= 0 else text


def _without(source: str, pattern: re.Pattern[str]) -> str:
    """Remove the groups that begin with a pattern: alternative forms of content that exists elsewhere."""
    found, at = [], 0
    for start, end in _groups(source, pattern):
        if start >= at:
            found.append(source[at:start])
            at = end
    return "".join([*found, source[at:]])


def _groups(source: str, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """Return start and end of the groups that begin with a pattern, in order."""
    starts = {found.start() for found in pattern.finditer(source)}
    if not starts:
        return []
    found, opened, at = [], list[int](), 0
    while brace := _BRACE.search(source, at):
        at = brace.end() + int(brace[1] or 0)  # \bin is followed by raw bytes
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            start = opened.pop()
            if start in starts:
                found.append((start, at))
    return sorted(found)
