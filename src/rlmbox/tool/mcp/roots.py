"""The folders whose files an agent may open; the rest of the file system is out of reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rlmbox.context import Context
from rlmbox.errors import ConfigError, ContextError


class Roots:
    """The folders that the operator has allowed.

    Args:
        folders: Their paths; none to allow no files.

    Raises:
        ConfigError: A path is not a folder.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        self._folders = [_real_folder(folder) for folder in folders]

    def __str__(self) -> str:
        return ", ".join(str(folder) for folder in self._folders) or "none"

    def real_path(self, path: str) -> Path:
        """Resolve a path that an agent names, following links.

        Args:
            path: A path below a root, relative to it or absolute.

        Raises:
            ContextError: It does not exist or is not below a root; only for paths below a root the message says which.
        """
        if not self._folders:
            raise ContextError(
                "no files can be opened here: the server was started without --root; give a text instead"
            )
        if "\0" in path or not path:
            raise ContextError("path is the path of a file or folder below a root, not empty and without NUL")
        for folder in self._folders:
            found = Path(os.path.realpath(folder / path))
            if found.is_relative_to(folder) and os.path.lexists(found):
                return found
        raise ContextError(f"{path!r} does not exist, or is outside of the roots; the roots are {self}")

    def open(self, path: str) -> Context:
        """Open a file or folder; links that lead outside are skipped.

        Raises:
            ContextError: It is not below a root, or cannot be opened.
        """
        found = self.real_path(path)
        context = Context.from_path(found)
        # If a link was put into the path in the meantime, another file was opened.
        if Path(os.path.realpath(found)) != found:
            raise ContextError(f"{path!r} changed while it was being opened; open it again")
        return context


def _real_folder(folder: str | os.PathLike[str]) -> Path:
    found = Path(os.path.realpath(Path(folder).expanduser()))
    if not found.is_dir():
        raise ConfigError(f"--root {os.fspath(folder)} is not a folder")
    return found
