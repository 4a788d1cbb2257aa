# ruff: noqa: RUF001 - headers are in any language
"""Detection of the files in a text that was concatenated from many.

Tools that pack a repository into one text, `head` and `cat` with banners, and rlmbox itself put a header before each
file. If a text has several headers of one kind that name files, each file becomes a document, with its name and its
position; the text itself is unchanged.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from rlmbox.context.search.search import Deadline, regex_spans
from rlmbox.context.storage.documents import Documents, printable_name
from rlmbox.context.storage.text import TextStore

_HEAD_CHARS = 256 * 1024
_TIMEOUT_S = 5.0
_MIN_DOCUMENTS = 2
_MAX_DOCUMENTS = 200_000
_TAIL_CHARS = 2_000
# Minimum shares of names that look like files, and of names that differ.
_MOSTLY, _DISTINCT = 0.8, 0.6

_NAME = r"(?P<name>[^\s\n][^\n]{0,300}?)"
_LABEL = r"(?:(?P<label>[^\W\d_]{2,20}(?: [^\W\d_]{2,20})?) ?[:：] ?)"
# Comments mention files in many ways, so only the word for one counts.
_FILE_LABEL = (
    r"(?i:file ?(?:name|path)?|path|source|datei|fichier|archivo|fichero|arquivo|ficheiro|bestand|plik|soubor|fil|dosya"
    r"|tiedosto|fájl|файл|文件|檔案|ファイル|파일) ?[:：] ?"
)
_FILE_WORDS = (
    "ile",
    "ILE",
    "ath",
    "ATH",
    "ource",
    "atei",
    "ichier",
    "rchivo",
    "ichero",
    "rquivo",
    "icheiro",
    "estand",
    "lik",
    "oubor",
    "osya",
    "iedosto",
    "ájl",
    "айл",
    "АЙЛ",
    "文件",
    "檔案",
    "ファイル",
    "파일",
)
# A path, or a name with an extension that is not a number.
_PATH = re.compile(
    r"[^\s<>|\"*?:]*/[^<>|\"*?:]*[^\s<>|\"*?:]|[^/<>|\"*?:]*\.(?=[A-Za-z0-9_]*[A-Za-z])[A-Za-z0-9_]{1,10}"
    r"|Makefile|Dockerfile|LICENSE|README"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """A kind of header.

    Attributes:
        pattern: The header, up to the end of its last line; RE2 finds it, and `re` extracts the name.
        closing: The text after a document that is not part of it.
        is_own: Whether any name is accepted, because nothing else looks like this at the beginning of a text.
        signs: A text without two of these has no such header, so no pattern needs to be compiled.
    """

    pattern: str
    signs: tuple[str, ...]
    closing: str = ""
    is_own: bool = False


_BAR = r"(?:={8,200}|-{8,200}|#{8,200}|\*{8,200})"
_OPENING = r"(?:={2,100}|-{2,100}|#{2,100}|\*{2,100}|~{3,100}|>{2,100}|/{2,100}|\+{3,100})"
_CLOSING = r"(?:={2,100}|-{2,100}|#{2,100}|\*{2,100}|~{3,100}|<{2,100}|/{2,100}|\+{3,100})"
_FORMS = (
    _Form(rf"^===== {_NAME} =====$", is_own=True, signs=("===== ",)),
    _Form(
        rf"^{_BAR}\r?\n{_LABEL}{_NAME}\r?\n{_BAR}\r?$",
        signs=("========", "--------", "########", "********"),
    ),
    _Form(rf"^==> {_NAME} <==\r?$", signs=("==> ",)),
    _Form(
        rf"^{_OPENING} ?{_LABEL}?{_NAME} ?{_CLOSING}\r?$",
        signs=("==", "--", "##", "**", "~~~", ">>", "//", "+++"),
    ),
    _Form(
        r"^<(?:file|document|source_file|doc)\b[^>\n]{0,200}?\b(?:path|name|filename|src|source)="
        rf"[\"']{_NAME}[\"'][^>\n]{{0,200}}>\r?$",
        closing=r"</(?:file|document|source_file|doc)>\s*(?:</\w+>\s*)?",
        signs=("<file", "<doc", "<source_file"),
    ),
    _Form(
        rf"^<document\b[^>\n]{{0,200}}>\r?\n<source>{_NAME}</source>\r?\n<document_contents?>\r?$",
        closing=r"</document_contents?>\s*</document>\s*",
        signs=("<source>",),
    ),
    _Form(
        rf"^#{{1,6}} {_LABEL}`?{_NAME}`?\r?\n(?:\r?\n)?(?:```|~~~)[^\n]{{0,40}}$",
        closing=r"(?:```|~~~)\s*",
        signs=("```", "~~~"),
    ),
    _Form(
        rf"^(?:\*\*)?`{_NAME}`(?:\*\*)?:?\r?\n(?:\r?\n)?(?:```|~~~)[^\n]{{0,40}}$",
        closing=r"(?:```|~~~)\s*",
        signs=("```", "~~~"),
    ),
    _Form(rf"^(?://|#|--|;|<!--|/\*) ?{_FILE_LABEL}(?P<name>[^\s]{{1,300}}) ?(?:-->|\*/)?\r?$", signs=_FILE_WORDS),
    _Form(rf"^{_NAME}\r?\n---\r?$", closing=r"---\s*", signs=("\n---",)),
    _Form(r"^From (?P<name>\S{1,100} [^\n]{8,80}\d{4})\r?$", signs=("From ",)),
)


@dataclass(frozen=True, slots=True)
class _Header:
    begin: int
    end: int
    name: str
    is_apart: bool = True  # whether a blank line precedes it


def documents_of(store: TextStore, name: str) -> Documents | None:
    """Return the documents of a text that was concatenated from several files; None for any other text.

    Args:
        store: The text.
        name: The text's own name, for the part before the first header.
    """
    beginning = store.view(0, _HEAD_CHARS)
    head = beginning.slice(None, None)
    characters = set(head)  # most signs contain a rare character, which is quicker to check than the whole sign
    for form in _FORMS:
        if sum(head.count(sign) for sign in form.signs if characters.issuperset(sign)) < _MIN_DOCUMENTS:
            continue
        found = list(_headers(beginning, form))
        if _are_files(found, form):
            headers = list(_headers(store, form)) if store.length > len(head) else found
            return _documents(store, headers, form, name)
    return None


def _are_files(headers: list[_Header], form: _Form) -> bool:
    if len(headers) < _MIN_DOCUMENTS:
        return False
    if form.is_own:
        return headers[0].begin == 0 and all(header.is_apart for header in headers[1:])
    names = [header.name for header in headers]
    is_mail = form.pattern.startswith("^From ")
    files = sum(1 for name in names if is_mail or _PATH.fullmatch(name))
    return files >= _MOSTLY * len(names) and len(set(names)) >= _DISTINCT * len(names)


def _headers(store: TextStore, form: _Form) -> Iterator[_Header]:
    """Find the headers of a form with RE2, because the text could make Python's `re` take exponential time."""
    try:
        for begin, end in regex_spans(store, f"(?m){form.pattern}", deadline=Deadline(_TIMEOUT_S)):
            text = store.decode(begin, end)
            found = re.fullmatch(form.pattern, text)
            if found:
                is_apart = store.before(begin, 2) == "\n\n"
                yield _Header(store.char_offset(begin), store.char_offset(end), found["name"], is_apart)
    except ValueError:  # time is up: what was found so far is still right
        return


def _documents(store: TextStore, headers: list[_Header], form: _Form, name: str) -> Documents:
    headers = headers[:_MAX_DOCUMENTS]
    names: dict[str, None] = {}
    regions, starts, ends = array("Q"), array("Q"), array("Q")
    if headers[0].begin and store.slice(0, headers[0].begin).strip():
        _add(names, name or "beginning")
        regions.append(0)
        starts.append(0)
        ends.append(headers[0].begin)
    for number, header in enumerate(headers):
        limit = headers[number + 1].begin if number + 1 < len(headers) else store.length
        start = min(header.end + 1, limit)  # after the newline
        _add(names, header.name)
        regions.append(header.begin if regions else 0)
        starts.append(start)
        ends.append(_end(store, start, limit, form))
    return Documents(tuple(names), regions, starts, ends)


def _end(store: TextStore, start: int, limit: int, form: _Form) -> int:
    """Return the end of a document's text, before its closing and the blank lines that follow."""
    tail_start = max(start, limit - _TAIL_CHARS)
    tail = store.slice(tail_start, limit)
    if form.closing and (found := re.search(rf"(?m)^{form.closing}\Z", tail)):
        tail = tail[: found.start()]
    kept = tail.rstrip()
    if not kept:
        return max(start, tail_start)
    newline = re.match(r"[ \t]*\r?\n", tail[len(kept) :])
    return tail_start + len(kept) + (newline.end() if newline else 0)


def _add(names: dict[str, None], name: str) -> None:
    base = printable_name(name.strip()) or "document"
    number, unused = 1, base
    while unused in names:
        number += 1
        unused = f"{base} ({number})"
    names[unused] = None
