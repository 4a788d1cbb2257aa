"""Reader of archives: the texts of the files in them."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import IO

from rlmbox.context.load.formats.events import Begin, Events, Omitted, Unreadable
from rlmbox.context.load.formats.mail import Attached

MAX_FILES = 10_000
MAX_FILE_BYTES = 128 * 1024**2
MAX_BYTES = 400 * 1024**2
_SKIPPED = frozenset({"__MACOSX", "__pycache__", "node_modules"})


def read_zip(file: IO[bytes], member: Attached) -> Events:
    """Read the files of a ZIP archive, each as a document."""
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise Unreadable("it is damaged, or not what its name says (not a ZIP archive)") from None
    files = _Files()
    for info in archive.infolist():
        if info.is_dir():
            continue
        reason = files.reason(info.filename, info.file_size)
        if not reason and info.flag_bits & 1:
            reason = "locked by a password"
        if stat.S_ISLNK(info.external_attr >> 16):
            reason = "symlink"
        if reason:
            yield Omitted(reason, info.filename)
            continue
        try:
            with archive.open(info) as part:
                data = part.read(MAX_FILE_BYTES + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError):
            yield Omitted("unreadable", info.filename)
            continue
        yield from files.read(info.filename, data, member)
    if not files.any:
        raise Unreadable("it has no file that is text")


def read_tar(file: IO[bytes], member: Attached) -> Events:
    """Read the regular files of a tar archive, each as a document; nothing is written to the disk."""
    files = _Files()
    try:
        # A stream is read to where a member claims to end, however far that is; in a file one can go there.
        with tarfile.open(fileobj=file, mode="r:" if file.seekable() else "r|") as archive:
            yield from _members(archive, files, member)
    except (tarfile.TarError, EOFError) as error:
        if not files.any:
            raise Unreadable(f"it is damaged, or not what its name says ({type(error).__name__})") from None
        yield Omitted("unreadable", "the rest of the archive")
    if not files.any:
        raise Unreadable("it has no file that is text")


def _members(archive: tarfile.TarFile, files: _Files, member: Attached) -> Events:
    for info in archive:
        if info.isdir():
            continue
        reason = files.reason(info.name, info.size) if info.isreg() else "symlink" if info.issym() else "special"
        part = archive.extractfile(info) if info.isreg() and not reason else None
        if part is None:
            yield Omitted(reason or "special", info.name)
        else:
            yield from files.read(info.name, part.read(MAX_FILE_BYTES + 1), member)


class _Files:
    """Selects the files to read from one archive, and limits their total size."""

    def __init__(self) -> None:
        self.any = False
        self._count = 0
        self._size_bytes = 0

    def reason(self, name: str, size_bytes: int) -> str | None:
        """Return why a file is skipped; None if it is not."""
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") and part not in (".", "..") for part in parts):
            return "hidden"
        if not _SKIPPED.isdisjoint(parts):
            return "cache"
        if size_bytes > MAX_FILE_BYTES:
            return "too large"
        return "more than are read" if self._count >= MAX_FILES or self._size_bytes > MAX_BYTES else None

    def read(self, name: str, data: bytes, member: Attached) -> Events:
        """Read a file."""
        if len(data) > MAX_FILE_BYTES:
            yield Omitted("too large", name)
            return
        self._count += 1
        self._size_bytes += len(data)
        for event in member(name, data):
            self.any = self.any or isinstance(event, Begin)
            yield event
