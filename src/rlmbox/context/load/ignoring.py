"""Which files of a tree git would leave out, so that a folder of sources is read without what was made from them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

_MAX_BYTES = 1024 * 1024
_MAX_PATTERNS = 10_000
_MAX_MEMORY_BYTES = 64 * 1024 * 1024
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# What the library puts where a pattern has matched a folder, or may have.
_DIRECTORY = "(?P<ps_d>/)"


class Ignored:
    """Says what the `.gitignore` files of a tree, at every level, and its `.git/info/exclude` leave out.

    A deeper file counts before one above it, a later line before an earlier one, `!` takes back, and nothing inside
    of a folder that is left out comes back, as in git. Files above the root, or of the user, do not count: what a
    folder's text is must not depend on where the folder is.
    """

    def __init__(self, root: Path) -> None:
        """Begins at a root.

        Args:
            root: The tree's folder.
        """
        self._root = root
        self._rules: dict[str, _Rules] = {}
        self._skipped: dict[str, bool] = {"": False}
        self._excluded = _Rules(_lines(root / ".git" / "info" / "exclude"))

    def skips(self, relative_posix_path: str, is_dir: bool) -> bool:
        """Says whether a path is left out, by itself or with a folder that it is in.

        Args:
            relative_posix_path: The path below the root, with `/` between its parts.
            is_dir: Whether it is a folder.
        """
        path = relative_posix_path.strip("/")
        if not is_dir or path not in self._skipped:
            parent = path.rpartition("/")[0]
            skipped = self.skips(parent, True) or self._own(path, is_dir)
            if not is_dir:
                return skipped
            self._skipped[path] = skipped
        return self._skipped[path]

    def _own(self, path: str, is_dir: bool) -> bool:
        folder = path.rpartition("/")[0]
        mark = "/" if is_dir else ""
        while True:
            rules = self._of(folder)
            below = path[len(folder) + 1 :] if folder else path
            said = rules.says(below + mark)
            if said is not None:
                return said
            if not folder:
                return bool(self._excluded.says(path + mark))
            folder = folder.rpartition("/")[0]

    def _of(self, folder: str) -> _Rules:
        if folder not in self._rules:
            self._rules[folder] = _Rules(_lines(self._root / folder / ".gitignore"))
        return self._rules[folder]


def _lines(path: Path) -> list[str]:
    """Gives the lines of a file; none if it is not there, not a regular file of its own, or too large."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError):
        return []
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        data = file.read(_MAX_BYTES + 1) or b""
    if len(data) > _MAX_BYTES:
        return []
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")[:_MAX_PATTERNS]


class _Rules:
    """The patterns of one file, as one automaton: a hostile pattern must not take longer than another."""

    def __init__(self, lines: list[str]) -> None:
        self._ignores: list[bool] = []
        self._set: Any = None
        if any(line.strip() and not line.startswith("#") for line in lines):
            self._compile(lines)

    def _compile(self, lines: list[str]) -> None:
        import re2
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _MAX_MEMORY_BYTES
        patterns = re2.Set.SearchSet(options)
        for line in lines:
            try:
                regex, ignores = GitIgnoreSpecPattern.pattern_to_regex(line.removesuffix("\r"))
                if regex is None or ignores is None:
                    continue
                patterns.Add(_itself(regex))
            except (ValueError, re2.error):  # git, too, leaves out a line that it cannot read
                continue
            self._ignores.append(ignores)
        if self._ignores:
            patterns.Compile()
            self._set = patterns

    def says(self, path: str) -> bool | None:
        """Gives what the last pattern that matches says; None if there is none."""
        if self._set is None:
            return None
        found = self._set.Match(path.encode("utf-8", "replace").decode())
        return self._ignores[max(found)] if found else None


def _itself(regex: str) -> str:
    """Makes a pattern of the library, which also matches all that is in a folder, match a path alone.

    What is in a folder that is left out is never asked for; but a `!folder/` takes back the folder, not its files.
    """
    if _DIRECTORY in regex:
        return f"(?:{regex.replace(_DIRECTORY, '/')})$"
    return f"(?:{regex})." if regex.endswith("/") else regex
