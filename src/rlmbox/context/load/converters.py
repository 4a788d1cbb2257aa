"""Conversion of documents and archives to text, in the child process that `converting` starts.

Files are untrusted, so nothing here runs in the host's process, and the libraries are memory-safe: pure Python, and
Rust for older spreadsheets. Limits are set before they are imported, and on Linux the process is put behind the walls
that a jail has: the list of system calls, and Landlock, which leaves the files that Python is made of.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Protocol

from rlmbox.context.load import kinds
from rlmbox.context.load.formats.events import Begin, Events, Note, Omitted, Piece, Unreadable

FAILED = 3
"""The exit status when the answer is a reason instead of text."""

_RECURSION_DEPTH = 4_000
_OPEN_FILES = 64
_PR_SET_DUMPABLE = 4
_REASON_CHARS = 200
_MAX_NESTING = 3
# Where shared libraries are, and what says which they are; `sys.path` and the interpreter's own are added.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_READABLE = (*_LIBRARIES, "/usr/share/zoneinfo", "/etc/localtime")
_ZIPPED = frozenset(("zip", "word", "workbook", "slides", "odt", "ods", "odp", "epub"))
_MAX_NOTES = 50
_PIECE_BYTES = 1024 * 1024


def main(kind: str, name: str, seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Convert standard input to standard output: a line of JSON, then the texts.

    Args:
        kind: The file's kind, one of those in `kinds.SUFFIXES`.
        name: The file's name.
        seconds: Limit on processor time.
        memory_bytes: Limit on memory.
        output_bytes: Limit on the output.
    """
    _limit(seconds, memory_bytes, output_bytes)
    _wall_in()
    sys.setrecursionlimit(_RECURSION_DEPTH)
    output, status = sys.stdout.buffer, 0
    answer: dict[str, object]
    body = b""
    try:
        if kind in kinds.COMPRESSED:
            _unpack(kind, sys.stdin.buffer, output)
            output.flush()
            sys.exit(0)
        answer, body = _collected(_read(kind, name, sys.stdin.buffer))
    except ImportError as error:
        answer, status = {"missing": error.name}, FAILED
    except MemoryError:
        answer, status = {"error": "it needs too much memory"}, FAILED
    except Unreadable as error:
        answer, status = {"error": str(error)}, FAILED
    except Exception as error:  # noqa: BLE001 - a library may raise anything for a broken file
        reason = f"{type(error).__name__}: {error}"[:_REASON_CHARS]
        answer, status = {"error": f"it is damaged, or not what its name says ({reason})"}, FAILED
    target = sys.stderr.buffer if kind in kinds.COMPRESSED else output
    target.write(json.dumps(answer).encode() + b"\n")
    target.write(body)
    target.flush()
    sys.exit(status)


def _limit(seconds: int, memory_bytes: int, output_bytes: int) -> None:
    _be_unreadable()
    try:
        import resource
    except ImportError:  # no such limits on Windows; the host's timeout still applies
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
    """Prevent the user's other processes, and crash reporters, from reading this process's memory."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _wall_in() -> None:
    """Restrict this process by the kernel's means, if available: no network, no new program, no files but Python's own.

    Code that takes over a converter can reach only the descriptors that it was given, the file and the output.
    """
    if sys.platform != "linux":
        return
    import mimetypes

    from rlmbox.sandboxes.kernel import _calls, _landlock, _seccomp

    mimetypes.knownfiles.clear()  # it would insist on reading those that there are
    machine = os.uname().machine
    with suppress(OSError):  # where this process runs in a container, that may not allow them
        _calls.forbid_new_privileges()
        _calls.drop_capabilities()
        _landlock.restrict({path: _rights(path, _landlock.READ) for path in _readable()})
    if machine in _seccomp.MACHINES:
        with suppress(OSError):
            _calls.install_filter(_seccomp.program(machine))


def _readable() -> list[str]:
    own = (*sys.path, *(os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)))  # noqa: PTH118
    return [path for path in dict.fromkeys((*_READABLE, *own)) if os.path.isabs(path) and os.path.exists(path)]  # noqa: PTH110, PTH117


def _rights(path: str, rights: int) -> int:
    from rlmbox.sandboxes.kernel._landlock import READ_DIR

    return rights if os.path.isdir(path) else rights & ~READ_DIR  # noqa: PTH112


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


def _unpack(kind: str, file: IO[bytes], output: _Sink) -> None:
    """Write the content of a compressed file, which may be long, in pieces."""
    source: Any
    if kind == "gzip":
        import gzip

        source = gzip.GzipFile(fileobj=file)
    elif kind == "bzip2":
        import bz2

        source = bz2.BZ2File(file)
    elif kind == "xz":
        import lzma

        source = lzma.LZMAFile(file)  # noqa: SIM115 - closed when the process ends
    else:
        import zstandard

        source = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(file, read_across_frames=True)
    while piece := source.read(_PIECE_BYTES):
        output.write(piece)


class _Text:
    """The document being read."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.pieces: list[str] = []
        self.page_starts: list[int] = []
        self.length = 0

    def add(self, piece: Piece) -> None:
        if piece.is_page:
            self.page_starts.append(self.length)
        # An unreadable font yields NULs, which would make the text look binary.
        self.pieces.append(piece.text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        self.length += len(piece.text)


def _collected(events: Events) -> tuple[dict[str, object], bytes]:
    """Return the header of the answer, and the concatenated texts of all documents."""
    texts = [_Text(None)]
    notes: list[str] = []
    omitted: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, Piece):
            texts[-1].add(event)
        elif isinstance(event, Begin):
            texts.append(_Text(event.name))
        elif isinstance(event, Note):
            notes.append(event.text)
        else:
            omitted.append((event.reason, event.name))
    if not texts[0].length and len(texts) > 1:
        del texts[0]
    documents = [{"name": text.name, "length": text.length, "page_starts": text.page_starts} for text in texts]
    body = _encoded("".join(piece for text in texts for piece in text.pieces))
    return {"documents": documents, "notes": notes[:_MAX_NOTES], "omitted": omitted}, body


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # One character per lone surrogate, so that page positions still hold.
        return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def _read(kind: str, name: str, file: IO[bytes], depth: int = 0) -> Events:
    """Read a file of any supported kind."""
    if kind in _ZIPPED:
        data = file.read()
        kind, file = _zip_kind(data) or kind, io.BytesIO(data)
    reader = _reader(kind)
    if reader is not None:
        return reader(file)
    from rlmbox.context.load.formats import archives, mail

    def member(inner_name: str, data: bytes) -> Events:
        return _member(inner_name, data, depth + 1)

    readers = {
        "zip": archives.read_zip,
        "tar": archives.read_tar,
        "mail": mail.read_mail,
        "mailbox": mail.read_mailbox,
    }
    return readers[kind](file, member)


def _reader(kind: str) -> Callable[[IO[bytes]], Events] | None:
    """Return the reader of a kind without embedded files; its package is imported here."""
    if kind in ("odt", "ods", "odp"):
        from rlmbox.context.load.formats import opendocument

        return {"odt": opendocument.read_text, "ods": opendocument.read_tables, "odp": opendocument.read_slides}[kind]
    if kind in ("rtf", "parquet"):
        from rlmbox.context.load.formats import rich_text, small

        return {"rtf": rich_text.read_rtf, "parquet": small.read_parquet}[kind]
    module, name = {
        "pdf": ("pdf", "read_pdf"),
        "word": ("word", "read_word"),
        "html": ("markup", "read_html"),
        "workbook": ("sheets", "read_workbook"),
        "slides": ("slides", "read_slides"),
        "epub": ("books", "read_book"),
        "notebook": ("notebooks", "read_notebook"),
    }.get(kind, ("", ""))
    if not module:
        return None
    from importlib import import_module

    reader: Callable[[IO[bytes]], Events] = getattr(import_module(f"rlmbox.context.load.formats.{module}"), name)
    return reader


def _zip_kind(data: bytes) -> str | None:
    """Return the kind of document that a ZIP archive is, by its content."""
    import zipfile

    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        return None
    names = set(archive.namelist())
    for name, kind in (
        ("word/document.xml", "word"),
        ("xl/workbook.xml", "workbook"),
        ("xl/workbook.bin", "workbook"),
        ("ppt/presentation.xml", "slides"),
    ):
        if name in names:
            return kind
    mime = archive.read("mimetype")[:100].decode("ascii", "replace").strip() if "mimetype" in names else ""
    return {
        "application/epub+zip": "epub",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/vnd.oasis.opendocument.presentation": "odp",
    }.get(mime)


def _member(name: str, data: bytes, depth: int) -> Events:
    """Read a file that is embedded in another."""
    from rlmbox.context.load.encodings import decoded

    kind = kinds.file_kind(data[: kinds.HEAD_BYTES], name)
    if kind.name in kinds.COMPRESSED and depth <= _MAX_NESTING:
        out = io.BytesIO()
        try:
            _unpack(kind.name, io.BytesIO(data), _Bounded(out, len(data)))
        except (OSError, EOFError, ValueError):
            yield Omitted("unreadable", name)
            return
        yield from _member(kinds.without_compression(name), out.getvalue(), depth + 1)
    elif kind.name == kinds.BINARY or kinds.is_called_binary(name):
        yield Omitted("binary", name)
    elif kind.is_converted and kind.name != "html":
        yield from _inner_document(kind.name, name, data, depth)
    elif kinds.has_nul(data[: kinds.HEAD_BYTES]):
        yield Omitted("binary", name)
    else:
        found = decoded(data)
        yield Begin(name)
        yield Piece(found.content.data.decode())
        if found.is_guess:
            yield Note(f"{name}: the encoding {found.encoding} is a guess")


def _inner_document(kind: str, name: str, data: bytes, depth: int) -> Events:
    if depth > _MAX_NESTING:
        yield Omitted("nested too deeply", name)
        return
    try:
        events = list(_read(kind, name, io.BytesIO(data), depth))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - one broken file must not affect the others; it is counted
        yield Omitted("not converted", name)
        return
    if events and not isinstance(events[0], Begin):
        yield Begin(name)
    for event in events:
        if isinstance(event, Begin):
            yield Begin(f"{name}/{event.name}")
        elif isinstance(event, Note):
            yield Note(f"{name}: {event.text}")
        else:
            yield Omitted(event.reason, f"{name}/{event.name}") if isinstance(event, Omitted) else event


class _Bounded:
    """A writer that fails once the unpacked data is far larger than the packed file."""

    def __init__(self, out: IO[bytes], packed_bytes: int) -> None:
        self._out, self._left = out, max(16 * 1024**2, 200 * packed_bytes)

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to too much")
        return self._out.write(data)
