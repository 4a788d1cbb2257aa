"""Conversion of documents to text, in a child process with limits because files may be hostile."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NamedTuple

from rlmbox.context.load import converters, kinds
from rlmbox.context.storage.cache import NewText
from rlmbox.context.storage.caching import cache_folder, trim
from rlmbox.context.storage.source import InFile
from rlmbox.errors import ContextError

TIMEOUT_S = 300
MEMORY_BYTES = 1024**3
OUTPUT_BYTES = 512 * 1024**2
KEPT_S = 1.0
"""What took this many seconds to convert is kept in the cache."""
CACHE_BYTES = 2 * 1024**3
MAX_UNPACKED_BYTES = 4 * 1024**3
REMEDY = "pip install 'rlmbox[documents]'"
REMEDIES = {"pyarrow": "pip install 'rlmbox[parquet]'"}

# Text compresses to a tenth or a fiftieth; anything that expands much more was made to fill a disk.
_MAX_PACKING, _ALWAYS_UNPACKED_BYTES = 200, 16 * 1024**2
_FORMAT = 2
_MAX_NOTES = 50
_LINE_CHARS = 1_000
_FOLDER = "converted"
_SETTLED_NS = 2_000_000_000
_HEAD_BYTES = 16 * 1024**2
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# The module path is passed on, because `-I` ignores PYTHONPATH.
_BOOT = """\
import json, sys
kind, name, seconds, memory, output, sys.path[:] = json.loads(sys.argv[1])
from rlmbox.context.load.converters import main
main(kind, name, seconds, memory, output)
"""


class ConvertedDocument(NamedTuple):
    """One of several documents in a file.

    Attributes:
        name: Its name in the file; None for the file's own text.
        length: Its length in characters.
        page_starts: The start of each of its pages, in characters from the document's start.
    """

    name: str | None
    length: int
    page_starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Converted:
    """The text of a file.

    Attributes:
        text: Markdown for Word and HTML, a block of CSV below a heading for each sheet of a workbook, plain text for
            PDF, and so on; the texts of several documents one after the other.
        page_starts: The start of each page, or sheet, in characters; empty if there are none.
        notes: Notes on missing parts and the like.
        omitted: The files that were skipped in an archive: the reason and the name.
        documents: The documents that the text consists of, if there are several.
    """

    text: str
    page_starts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    omitted: tuple[tuple[str, str], ...] = ()
    documents: tuple[ConvertedDocument, ...] = ()

    def each(self) -> Iterator[tuple[str | None, str, tuple[int, ...]]]:
        """Yield each document's name, text and page starts."""
        start = 0
        for name, length, page_starts in self.documents or (ConvertedDocument(None, len(self.text), self.page_starts),):
            yield name, self.text[start : start + length], page_starts
            start += length


def convertible(path: Path, *, named: bool = True) -> bool:
    """Return whether a file is a document that has to be converted, by its extension.

    HTML can also be read as text. It is converted if the user named the file and the packages for it are installed;
    within a folder it is read as source, since it may be a program's template.

    Args:
        path: The file, which need not exist.
        named: Whether the user named the file.
    """
    kind = kinds.SUFFIXES.get(path.suffix.lower())
    return named and find_spec("markdownify") is not None if kind == "html" else kind is not None


def convert(
    path: Path,
    *,
    name: str | None = None,
    label: Path | None = None,
    timeout_s: int = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
) -> Converted:
    """Read a document or an archive.

    Args:
        path: The file; its kind is determined by its first bytes and its name.
        name: Its name if different, such as that of an unpacked file.
        label: Its path in errors if different, such as that of the compressed file.
        timeout_s: Seconds of wall time, and of processor time, after which the conversion is aborted.
        memory_bytes: Memory limit of the child process, including the packages.

    Raises:
        ContextError: It cannot be read, is broken, protected or without text, or exceeds the limits; or the
            packages for it are not installed.
    """
    shown = label or path
    with _opened(path) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ContextError(f"{shown}: is not a regular file; write its content to a file and give that")
        called = name or path.name
        kind = kinds.file_kind(_beginning(descriptor), called)
        if kind.label:
            raise ContextError(f"{shown}: is {kind.label}")
        if kind.name in kinds.COMPRESSED:
            raise ContextError(f"{shown}: is compressed more than once; unpack it first")
        if not kind.is_converted:
            raise ContextError(
                f"{shown}: does not have the extension of a document that can be converted; convert it to text first"
            )
        key = _key(path, status, called)
        if (kept := _kept(key)) is not None:
            return kept
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            limits = [timeout_s, memory_bytes, OUTPUT_BYTES]
            ended = _run(shown, [kind.name, called, *limits], descriptor, output.fileno(), timeout_s)
            converted = _answer(shown, called, ended, output, timeout_s)
        # A file that has just changed may change again within the same timestamp.
        if time.monotonic() - began >= KEPT_S and abs(time.time_ns() - status.st_mtime_ns) > _SETTLED_NS:
            _keep(key, converted)
        return converted


def unpack(path: Path, *, timeout_s: int = TIMEOUT_S) -> InFile:
    """Unpack a compressed file to one in the cache, which is removed when it is closed.

    Args:
        path: The file.
        timeout_s: Seconds of wall time, and of processor time, after which it is aborted.

    Raises:
        ContextError: It cannot be read, is broken, or expands far too much; or there is no room.
    """
    with _opened(path) as descriptor:
        most = min(MAX_UNPACKED_BYTES, max(_ALWAYS_UNPACKED_BYTES, _MAX_PACKING * os.fstat(descriptor).st_size))
        kind = kinds.file_kind(_beginning(descriptor), path.name)
        new = NewText(str(path))
        try:
            with tempfile.TemporaryFile() as said:
                arguments: list[object] = [kind.name, path.name, timeout_s, MEMORY_BYTES, most]
                ended = _run(path, arguments, descriptor, new.fileno(), timeout_s, said.fileno())
                _check_unpacked(path, ended, os.fstat(new.fileno()).st_size >= most, said, timeout_s)
            return new.keep(None)
        except BaseException:
            new.discard()
            raise


def _check_unpacked(path: Path, ended: int, is_full: bool, said: IO[bytes], timeout_s: float) -> None:
    if ended and is_full:
        raise ContextError(f"{path}: unpacks to far more than its size, or to more than 4 GiB; unpack it yourself")
    if ended:
        _answer(path, path.name, ended, said, timeout_s)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ContextError(f"{path}: cannot be read ({why}); check the path and its permissions") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _beginning(descriptor: int) -> bytes:
    try:
        head = os.read(descriptor, kinds.HEAD_BYTES)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        return b""
    return head


def _key(path: Path, status: os.stat_result, name: str) -> str:
    """Return the cache key of a file's text: its path, its state, and the version of the converter."""
    state = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    seen = repr((os.path.abspath(path), name, state, _FORMAT, _versions()))  # noqa: PTH100 - links are not resolved
    return hashlib.sha256(seen.encode("utf-8", "surrogateescape")).hexdigest()


def _versions() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("pypdf", "mammoth", "markdownify", "python-calamine", "openpyxl", "striprtf", "pyarrow"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def _kept(key: str) -> Converted | None:
    try:
        place = cache_folder(_FOLDER) / key
        with place.open("rb") as file:
            head, data = _head(file), file.read()
        os.utime(place)
    except (OSError, ContextError):
        return None
    if head is None or head.get("sha256") != hashlib.sha256(data).hexdigest():
        return None
    text = data.decode("utf-8", "replace")
    return _converted(head, text)


def _keep(key: str, converted: Converted) -> None:
    """Cache the result if possible; otherwise it is converted again next time."""
    data = converted.text.encode("utf-8", "replace")
    documents = converted.documents or (ConvertedDocument(None, len(converted.text), converted.page_starts),)
    head = {
        "documents": [document._asdict() for document in documents],
        "notes": converted.notes,
        "omitted": converted.omitted,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with suppress(OSError, ContextError):
        folder = cache_folder(_FOLDER)
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=folder)
        part = Path(name)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(json.dumps(head).encode() + b"\n" + data)
            part.replace(folder / key)
        finally:
            part.unlink(missing_ok=True)
        trim(folder, CACHE_BYTES, keep=folder / key)


def _run(
    path: Path, arguments: list[object], file: int, output: int, timeout_s: float, errors: int = subprocess.DEVNULL
) -> int:
    places = [place for place in sys.path if Path(place).is_absolute()]
    command = [sys.executable, "-I", "-X", "utf8", "-c", _BOOT, json.dumps([*arguments, places])]
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    child = subprocess.Popen(  # noqa: S603 - our own interpreter; no argument comes from the file
        command, stdin=file, stdout=output, stderr=errors, env=kept
    )
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise _too_slow(path, timeout_s) from None
    finally:
        child.kill()
        child.wait()


def _too_slow(path: Path, timeout_s: float) -> ContextError:
    return ContextError(f"{path}: converting it took longer than {timeout_s:g} s; give a part of it, or its text")


def _answer(path: Path, name: str, status: int, output: IO[bytes], timeout_s: float) -> Converted:
    output.seek(0)
    head = _head(output) if status in (0, converters.FAILED) else None
    if head is None:
        if status == -getattr(signal, "SIGXCPU", 0):
            raise _too_slow(path, timeout_s)
        raise ContextError(
            f"{path}: cannot be converted: the converter ended with status {status}, most likely out of memory or"
            " with more text than it may write; give a part of it, or its text"
        )
    if "missing" in head:
        remedy = REMEDIES.get(str(head["missing"]).partition(".")[0], REMEDY)
        raise ContextError(f"{path}: reading {Path(name).suffix.lower()} needs other packages: {remedy}")
    if status:
        reason = "".join(c if c.isprintable() else " " for c in str(head.get("error"))[:500])
        raise ContextError(f"{path}: cannot be converted: {reason}")
    return _converted(head, output.read().decode("utf-8", "replace"))


def _converted(head: Mapping[str, object], text: str) -> Converted:
    """Return the child's result, with its documents validated because the child is not trusted."""
    documents = list(_documents(head.get("documents")))
    if sum(document.length for document in documents) != len(text):
        documents = [ConvertedDocument(None, len(text))]
    notes = tuple(_line(note) for note in _list(head.get("notes"))[:_MAX_NOTES])
    omitted = tuple(
        (_line(pair[0])[:50], _line(pair[1])) for pair in _list(head.get("omitted")) if len(_list(pair)) == 2
    )
    if len(documents) == 1 and documents[0].name is None:
        return Converted(text, documents[0].page_starts, notes, omitted)
    return Converted(text, (), notes, omitted, tuple(documents))


def _documents(value: object) -> Iterator[ConvertedDocument]:
    for item in _list(value):
        if not isinstance(item, dict):
            continue
        name, length = item.get("name"), item.get("length")
        if type(length) is int and length >= 0:
            yield ConvertedDocument(
                None if name is None else _line(name), length, _page_starts(item.get("page_starts"), length)
            )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(value: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value)[:_LINE_CHARS])


def _head(output: IO[bytes]) -> dict[str, object] | None:
    try:
        head = json.loads(output.readline(_HEAD_BYTES))
    except (ValueError, RecursionError):
        return None
    return head if isinstance(head, dict) else None


def _page_starts(value: object, length: int) -> tuple[int, ...]:
    """Return the child's page starts, validated because the child is not trusted."""
    if not isinstance(value, list) or not all(type(start) is int for start in value):
        return ()
    return tuple(value) if value == sorted(value) and (not value or 0 <= value[0] <= value[-1] <= length) else ()
