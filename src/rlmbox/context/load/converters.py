"""PDF, Word, HTML and spreadsheets -> text: what runs in the child process of `converting`.

Files come from anywhere, so nothing here runs in the host's process, and the libraries are ones that cannot be made
to write outside of their memory: pure Python, and Rust for spreadsheets. Limits are set before they are imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

HTML_SUFFIXES = frozenset({".html", ".htm"})
FAILED = 3
"""The exit status when the answer is a reason instead of text."""

_RECURSION_DEPTH = 4_000
_OPEN_FILES = 64
_PR_SET_DUMPABLE = 4
_REASON_CHARS = 200
_Pieces = Iterator[tuple[str, bool]]


class Unreadable(Exception):
    """The file has no text that can be had; says why, and what to do."""


def main(suffix: str, seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Converts standard input to standard output: a line of JSON, then the text.

    Args:
        suffix: The file's ending, such as `.pdf`.
        seconds: Processor time to take at most.
        memory_bytes: Memory to take at most.
        output_bytes: Longest output.
    """
    _limit(seconds, memory_bytes, output_bytes)
    sys.setrecursionlimit(_RECURSION_DEPTH)
    output, status = sys.stdout.buffer, 0
    answer: dict[str, object]
    try:
        text, page_starts = _joined(_READERS[suffix](sys.stdin.buffer))
        answer, body = {"page_starts": page_starts}, _encoded(text)
    except ImportError as error:
        answer, body, status = {"missing": error.name}, b"", FAILED
    except MemoryError:
        answer, body, status = {"error": "it needs too much memory"}, b"", FAILED
    except Unreadable as error:
        answer, body, status = {"error": str(error)}, b"", FAILED
    except Exception as error:  # noqa: BLE001 - whatever a library says of a broken file
        reason = f"{type(error).__name__}: {error}"[:_REASON_CHARS]
        answer, body, status = {"error": f"it is broken or not of its kind ({reason})"}, b"", FAILED
    output.write(json.dumps(answer).encode() + b"\n")
    output.write(body)
    output.flush()
    sys.exit(status)


def _limit(seconds: int, memory_bytes: int, output_bytes: int) -> None:
    _be_unreadable()
    try:
        import resource
    except ImportError:  # no such limits on Windows; the host's clock still counts
        return
    wanted = {
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_MEMLOCK: 0,
        getattr(resource, "RLIMIT_MSGQUEUE", resource.RLIMIT_CORE): 0,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _be_unreadable() -> None:
    """Keep other processes of the user, and what collects crashes, from reading this one's memory."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _joined(pieces: _Pieces) -> tuple[str, list[int]]:
    """Gives the whole text and where its pages begin."""
    texts, starts, length = [], [], 0
    for text, is_page in pieces:
        if is_page:
            starts.append(length)
        # A font that cannot be read gives NULs, which would make the text look binary.
        texts.append(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        length += len(text)
    return "".join(texts), starts


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate each, so that the pages still begin where they did.
        return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def _pdf(file: IO[bytes]) -> _Pieces:
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(file)
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise Unreadable("it is locked by a password; save it without one")
    found = False
    for number, page in enumerate(reader.pages, 1):
        try:
            text = page.extract_text().rstrip()
            found = found or bool(text)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - one broken page must not take the others along, nor vanish
            text = f"[page {number} could not be read]"
        yield text + "\n\n", True
    if not found:
        raise Unreadable("it has no text, only pictures of it; recognise it first (OCR)")


def _word(file: IO[bytes]) -> _Pieces:
    import mammoth  # type: ignore[import-untyped, unused-ignore]

    yield _markdown(mammoth.convert_to_html(file).value), False


def _html(file: IO[bytes]) -> _Pieces:
    yield _markdown(file.read()), False


def _markdown(page: str | bytes) -> str:
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser")
    for tag in soup(["script", "style", "template", "noscript", "svg"]):
        tag.decompose()
    for picture in soup("img"):
        # A picture inside of the text would be megabytes of base64.
        if str(picture.get("src", "")).startswith("data:") or not picture.get("src"):
            picture.replace_with(str(picture.get("alt", "")))
    converter = MarkdownConverter(heading_style="ATX", escape_asterisks=False, escape_underscores=False)
    try:
        text = converter.convert_soup(soup)
    except RecursionError:  # nested deeper than any page that was written for reading: its bare text
        text = soup.get_text("\n", strip=True)
    return text.strip() + "\n"


def _workbook(file: IO[bytes]) -> _Pieces:
    import csv
    import io

    import python_calamine

    try:
        # It wants a name or something to seek in; standard input is the file itself.
        book = python_calamine.load_workbook(io.BytesIO(file.read()))
    except python_calamine.PasswordError:
        raise Unreadable("it is locked by a password; save it without one") from None
    for number, name in enumerate(book.sheet_names):
        try:
            rows = book.get_sheet_by_name(name).iter_rows()
        except python_calamine.WorksheetNotFound:  # a chart is a sheet without cells
            continue
        title = " ".join(name.split())
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for row in rows:
            writer.writerow(_trimmed([_cell(value) for value in row]))
        yield ("\n" if number else "") + f"# Sheet: {title}\n", True
        yield out.getvalue(), False


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _trimmed(cells: list[str]) -> list[str]:
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


_READERS: dict[str, Callable[[IO[bytes]], _Pieces]] = {
    ".pdf": _pdf,
    ".docx": _word,
    **dict.fromkeys(HTML_SUFFIXES, _html),
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), _workbook),
}
SUFFIXES = frozenset(_READERS)
