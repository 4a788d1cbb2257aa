"""Private folders for files that are mounted in a container, and their removal."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "rlmbox-docker-"
_NEW_S = 60.0


@contextmanager
def private_folder() -> Iterator[Path]:
    """Create a folder that no other user can access, and remove it; `sweep` does so if this process is killed."""
    import fcntl

    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with _opened(path) as fd:
            with suppress(OSError):  # some file systems lack such locks; then `sweep` does not run there
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of our dead processes, whose locks the kernel has released."""
    import fcntl

    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _opened(path) as fd:
            folder = os.fstat(fd)
            if folder.st_uid != os.geteuid() or time.time() - folder.st_mtime < _NEW_S:  # may not be locked yet
                continue
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
