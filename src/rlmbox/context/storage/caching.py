"""The folders in which copies, indexes and compiled code are kept between runs, and limits on their size."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

from rlmbox.errors import ContextError


def cache_path(name: str) -> Path:
    """Return the path of a folder of this user's cache; it need not exist.

    The only place that reads the environment for this: `$XDG_CACHE_HOME/rlmbox/NAME` if that is an absolute path,
    otherwise `~/.cache/rlmbox/NAME` (`~/Library/Caches/rlmbox/NAME` on macOS).

    Args:
        name: The folder's name, such as `texts`.

    Raises:
        ContextError: There is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    if not Path(base).is_absolute():
        try:
            base = str(Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache"))
        except RuntimeError:
            raise ContextError("there is no home directory for a cache; set XDG_CACHE_HOME") from None
    return Path(base) / "rlmbox" / name


def cache_folder(name: str) -> Path:
    """Return a folder of this user's cache that nobody else can enter, creating it if needed.

    Args:
        name: The folder's name; see `cache_path`.

    Raises:
        ContextError: There is no place for it, it is a link, or it is owned or writable by others.
    """
    folder = cache_path(name)
    try:
        folder.parent.parent.mkdir(0o700, parents=True, exist_ok=True)
        for part in (folder.parent, folder):
            part.mkdir(0o700, exist_ok=True)
            _make_private(part)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ContextError(f"{folder}: the cache cannot be used ({why}); set XDG_CACHE_HOME") from None
    return folder


def _make_private(folder: Path) -> None:
    """Check that only this user can have written to a folder, and deny others access to it."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise ContextError(f"{folder}: is a link, which the cache does not follow; remove it, or set XDG_CACHE_HOME")
    # The content of the cache is trusted later, so only its owner may have written it.
    if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise ContextError(f"{folder}: other users can write to it; run chmod 700, or set XDG_CACHE_HOME")
    if status.st_mode & 0o077 and hasattr(os, "geteuid"):
        folder.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; never writes to an existing file or link.

    Raises:
        OSError: It exists, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(data)


def trim(folder: Path, most_bytes: int, *, keep: Path) -> None:
    """Remove the least recently used entries of a folder until the rest fits.

    Called after an addition, so that of several concurrent ones the last sees all entries.

    Args:
        folder: The folder; its entries are files, or folders that form a unit.
        most_bytes: Maximum total size.
        keep: An entry that is never removed.
    """
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                inside = _size_bytes(entry.path) if entry.is_dir(follow_symlinks=False) else 0
                found.append((status.st_mtime_ns, status.st_size + inside, Path(entry.path)))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most_bytes:
            break
        if path != keep:
            remove(path)
            total -= size


def _size_bytes(folder: str) -> int:
    total = 0
    for path in Path(folder).rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def remove(entry: Path) -> None:
    """Remove a file, or a folder with its content, if it exists."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink(missing_ok=True)
