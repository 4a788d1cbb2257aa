"""Paths, mappings and sequences -> documents."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rlmbox.context.text import Utf8, encode, has_byte_order_mark, repair
from rlmbox.errors import ContextError

MAX_BYTES = 4 * 1024**3
"""Most bytes that are read into memory."""

_SNIFFED_BYTES = 8192
_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "node_modules"})
_BINARY = (
    ".7z .a .avi .bin .bmp .bz2 .class .db .dll .doc .docx .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg .jpg .lib"
    " .mkv .mo .mov .mp3 .mp4 .npy .npz .o .obj .odt .ogg .otf .parquet .pdf .pickle .pkl .png .ppt .pptx .pyc .pyd"
    " .pyo .rar .so .sqlite .sqlite3 .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 .xls .xlsx"
    " .xz .zip .zst"
)
_BINARY_SUFFIXES = frozenset(_BINARY.split())
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_SPECIAL_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Found:
    """What walking paths gave: documents, and how many files were left out for which reason."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, Utf8]] = []
        self.skipped: dict[str, int] = {}
        self.size_bytes = 0

    def skip(self, reason: str) -> None:
        """Counts a file or directory that is left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def add(self, name: str, content: Utf8, path: Path) -> None:
        """Takes a document.

        Raises:
            ContextError: There is more text than fits.
        """
        self.size_bytes += len(content.data)
        if self.size_bytes > MAX_BYTES:
            raise _too_large(path)
        self.parts.append((name, content))


def _unreadable(path: Path, error: OSError) -> ContextError:
    why = error.strerror or type(error).__name__
    return ContextError(f"{path}: cannot be read ({why}); check its permissions or give another path")


def _too_large(path: str | Path) -> ContextError:
    return ContextError(f"{path}: has more than {MAX_BYTES // 1024**2} MiB of text, which does not fit; give a part")


def kind_of(path: Path) -> str:
    """Says whether a path is a `file` or a `directory`.

    Raises:
        ContextError: It does not exist, cannot be reached, or is something else, such as a FIFO.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ContextError(f"{path}: no such file or directory; check the path") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:
        raise ContextError(f"{str(path)!r}: is not a path; it has a NUL character") from None
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    kind = next((kind for test, kind in _SPECIAL_KINDS if test(mode)), "a special file")
    raise ContextError(f"{path}: is {kind}, not a file; write its content to a file and give that")


def read_file(path: Path) -> Utf8:
    """Reads one text file that was asked for by name.

    Raises:
        ContextError: It cannot be read, is too large, or is not text.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    if data is None:
        kind_of(path)
        raise ContextError(f"{path}: changed while it was opened; try again")
    if _is_binary(data[:_SNIFFED_BYTES]):
        raise ContextError(
            f"{path}: is binary, not text; convert it to text, or read it anyway with Context.from_bytes"
        )
    return repair(data)


def _read(path: str | Path, *, sniff: bool = False) -> bytes | None:
    """Gives a file's bytes; None if it is not a regular file, or, when sniffing, if it is binary."""
    # Not blocking, and looked at after opening: what the name stood for a moment ago does not count.
    descriptor = os.open(path, _OPEN_FLAGS)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = file.read(_SNIFFED_BYTES)
        if sniff and _is_binary(head):
            return None
        if status.st_size > MAX_BYTES:
            raise _too_large(path)
        pieces, size = [head], len(head)
        while pieces[-1] and size <= MAX_BYTES:
            pieces.append(file.read(max(_SNIFFED_BYTES, status.st_size)))
            size += len(pieces[-1])
        if size > MAX_BYTES:
            raise _too_large(path)
        return b"".join(pieces)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head and not has_byte_order_mark(head)


def walk(root: Path, found: Found, prefix: str = "") -> None:
    """Adds every text file below a directory, in the order of their names.

    Left out and counted by reason: `hidden` names, `cache` directories, `binary` and `special` files,
    `symlink`s to directories and to what is outside of the root, and what is `unreadable` or `too large`.

    Args:
        root: The directory.
        found: Takes the documents.
        prefix: Goes before each name.

    Raises:
        ContextError: The directory itself cannot be read, or there is too much text.
    """
    try:
        stack = [_entries(root)]
    except OSError as error:
        raise _unreadable(root, error) from None
    base = Path(os.path.realpath(root))
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif reason := _reason_to_skip(entry, base):
            found.skip(reason)
        elif entry.is_dir(follow_symlinks=False):
            try:
                stack.append(_entries(entry.path))
            except OSError:
                found.skip("unreadable")
        else:
            _add_file(entry, root, found, prefix)


def _entries(directory: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _reason_to_skip(entry: os.DirEntry[str], base: Path) -> str | None:
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_symlink():
            return _reason_to_skip_link(entry, base)
        if entry.is_dir(follow_symlinks=False):
            return "cache" if entry.name in _SKIPPED_DIRECTORIES else None
        if not entry.is_file(follow_symlinks=False):
            return "special"
    except OSError:
        return "unreadable"
    return "binary" if os.path.splitext(entry.name)[1].lower() in _BINARY_SUFFIXES else None  # noqa: PTH122


def _reason_to_skip_link(entry: os.DirEntry[str], base: Path) -> str | None:
    # A link may name a file of the same tree; one that leads out would show what nobody asked to show.
    target = Path(os.path.realpath(entry.path))  # `Path.resolve` fails on a link to itself
    if target.is_file() and target.is_relative_to(base):
        return "binary" if target.suffix.lower() in _BINARY_SUFFIXES else None
    return "symlink"


def _add_file(entry: os.DirEntry[str], root: Path, found: Found, prefix: str) -> None:
    try:
        data = _read(entry.path, sniff=True)
    except OSError:
        found.skip("unreadable")
        return
    except ContextError:
        found.skip("too large")
        return
    if data is None:
        found.skip("binary")
        return
    name = os.path.relpath(entry.path, root).replace(os.sep, "/")
    found.add(prefix + name, repair(data), root)


def load_paths(paths: Sequence[Path]) -> Found:
    """Reads several files and directories, each under its path as given.

    Raises:
        ContextError: One of them cannot be read.
    """
    found = Found()
    for path in paths:
        if kind_of(path) == "directory":
            prefix = path.as_posix()
            walk(path, found, "" if prefix == "." else prefix.rstrip("/") + "/")
        else:
            found.add(path.as_posix(), read_file(path), path)
    return found


def document(item: object, number: int) -> tuple[str, Utf8]:
    """Gives the name and text of one item of a list of documents.

    Args:
        item: A text; a name and a text; or a mapping with `text` or `content`, and perhaps a `name`, `path`,
            `title` or `id`.
        number: Its place in the list, which names it if nothing else does.

    Raises:
        TypeError: It is something else.
    """
    name: object = None
    text: object = item
    if isinstance(item, Mapping):
        text = item.get("text", item.get("content"))
        name = next((item[key] for key in ("name", "path", "title", "id") if item.get(key) not in (None, "")), None)
    elif isinstance(item, tuple) and len(item) == 2:
        name, text = item
    if not isinstance(text, str):
        raise TypeError(
            f"document {number} must be a str, a (name, text) pair, or a mapping with a 'text' or 'content' str,"
            f" not {type(item).__name__}"
        )
    return f"document {number}" if name is None else str(name), encode(text)


def dict_part(key: object, value: object) -> tuple[str, Utf8]:
    """Gives the document of one item of a mapping: a `str` as it is, anything else as indented JSON."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return str(key), encode(text)
