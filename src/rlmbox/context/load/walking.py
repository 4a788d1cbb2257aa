"""The text files below a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rlmbox.context.load.converting import convertible
from rlmbox.context.load.encodings import has_byte_order_mark
from rlmbox.context.load.ignoring import Ignored
from rlmbox.context.storage.source import InFile, unreadable
from rlmbox.errors import ContextError

_SNIFFED_BYTES = 8192
_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "node_modules"})
_BINARY = (
    ".7z .a .avi .bin .bmp .bz2 .class .db .dll .doc .docx .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg .jpg .lib"
    " .mkv .mo .mov .mp3 .mp4 .npy .npz .o .obj .odt .ogg .otf .parquet .pdf .pickle .pkl .png .ppt .pptx .pyc .pyd"
    " .pyo .rar .so .sqlite .sqlite3 .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 .xls .xlsx"
    " .xz .zip .zst"
)
_BINARY_SUFFIXES = frozenset(_BINARY.split())

Take = Callable[[str, Path], None]
"""Takes a file's name and path."""
Skip = Callable[[str], None]
"""Takes the reason for which a file or directory is left out."""


def walk(root: Path, take: Take, skip: Skip, prefix: str = "") -> None:
    """Finds every text file below a directory, in the order of their names.

    Left out, with a reason: `hidden` names, what git would leave out (`ignored`), `cache` directories, `binary` and
    `special` files, `symlink`s to directories and to what is outside of the root, and what is `unreadable`.

    Args:
        root: The directory.
        take: Takes the files.
        skip: Takes the reasons.
        prefix: Goes before each name.

    Raises:
        ContextError: The directory itself cannot be read.
    """
    try:
        stack = [_entries(root)]
    except OSError as error:
        raise unreadable(str(root), error) from None
    base = Path(os.path.realpath(root))
    ignored, start = Ignored(root), os.path.join(root, "")  # noqa: PTH118 - as `scandir` begins its paths
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        name = entry.path[len(start) :].replace(os.sep, "/")
        is_directory = _is_directory(entry)
        reason = _reason_to_skip(entry, base) or ("ignored" if ignored.skips(name, is_directory) else None)
        if reason:
            skip(reason)
        elif is_directory:
            try:
                stack.append(_entries(entry.path))
            except OSError:
                skip("unreadable")
        else:
            take(prefix + name, Path(entry.path))


def _entries(directory: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


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
    return "binary" if is_called_binary(Path(entry.name)) else None


def _reason_to_skip_link(entry: os.DirEntry[str], base: Path) -> str | None:
    # A link may name a file of the same tree; one that leads out would show what nobody asked to show.
    target = Path(os.path.realpath(entry.path))  # `Path.resolve` fails on a link to itself
    if target.is_file() and target.is_relative_to(base):
        return "binary" if is_called_binary(target) else None
    return "symlink"


def is_called_binary(path: Path) -> bool:
    """Whether a file's ending is one of files that are not text and cannot be converted."""
    return path.suffix.lower() in _BINARY_SUFFIXES and not convertible(path)


def is_binary(file: InFile) -> bool:
    """Whether a file begins like one that is not text."""
    head = file.read(0, min(_SNIFFED_BYTES, file.size_bytes))
    return b"\0" in head and not has_byte_order_mark(head)


def matches(pattern: str, take: Take, skip: Skip) -> None:
    """Finds the files that a pattern such as `logs/**/*.txt` names, in order; see `walk` for what is left out.

    Raises:
        ContextError: It names nothing.
    """
    import glob

    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - `Path.glob` cannot begin anywhere
    if not found:
        raise ContextError(f"{pattern}: no file has such a name; check the pattern")
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    ignored = Ignored(fixed)
    for name in found:
        path = Path(name)
        inside = os.path.relpath(path, fixed).replace(os.sep, "/")
        if path.is_dir():
            continue
        if not path.is_file():
            skip("special")
        elif not _SKIPPED_DIRECTORIES.isdisjoint(Path(inside).parts):
            skip("cache")
        elif ignored.skips(inside, False):
            skip("ignored")
        elif is_called_binary(path):
            skip("binary")
        else:
            take(path.as_posix(), path)


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern rather than the name of something that is there."""
    import glob

    return glob.has_magic(name) and not os.path.lexists(name)
