"""Opening the files of records, which belong to their owner alone."""

from __future__ import annotations

import errno
import os
from os import PathLike
from pathlib import Path


def open_private(path: str | PathLike[str], flags: int) -> int:
    """Open a file, made for its owner alone if it does not exist; return its descriptor.

    A link is not followed: in a folder that others write to, such as a repository, it could lead to any file of the
    user's.

    Args:
        path: The file.
        flags: As of `os.open`.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    flags |= os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o600)
    except OSError:
        if Path(path).is_symlink():
            raise OSError(errno.ELOOP, "it is a link; name the file that it leads to", str(path)) from None
        raise


def write_text(path: str | PathLike[str], text: str, errors: str = "strict") -> None:
    """Write a text to a file in UTF-8, in place of what it holds; see `open_private`.

    Args:
        path: The file.
        text: The text.
        errors: What to do with lone surrogates, as for `str.encode`.

    Raises:
        OSError: It cannot be written, or is a link.
    """
    with open(open_private(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8", errors=errors, newline="") as file:
        file.write(text)
