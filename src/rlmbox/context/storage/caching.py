"""Where copies and indexes are kept between runs, and how much of them."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rlmbox.errors import ContextError


def cache_folder(name: str) -> Path:
    """Makes, if need be, and gives a folder of this user's cache, which nobody else can read.

    Args:
        name: What is kept there.

    Raises:
        ContextError: There is no place for it, or others could write there.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():
        try:
            base = str(Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache"))
        except RuntimeError:
            raise ContextError("there is no home directory for a cache; set XDG_CACHE_HOME") from None
    folder = Path(base) / "rlmbox" / name
    try:
        for part in (folder.parent, folder):
            part.mkdir(0o700, parents=True, exist_ok=True)
            status = part.lstat()
            # What is kept here is believed later, so that only its owner may have written it.
            if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                raise ContextError(f"{part}: others can write there; chmod 700 it, or set XDG_CACHE_HOME")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ContextError(f"{folder}: the cache cannot be used ({why}); set XDG_CACHE_HOME") from None
    return folder


def trim(folder: Path, most_bytes: int, *, keep: Path) -> None:
    """Removes the entries of a folder that were not used for longest until the rest fits.

    Called after something was added, so that of several who add at once the last one sees it all.

    Args:
        folder: The folder; its entries are files, or folders that are one thing each.
        most_bytes: What may stay.
        keep: An entry that stays in any case.
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
    """Removes a file or a folder with all that is in it, if it is there."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink(missing_ok=True)
