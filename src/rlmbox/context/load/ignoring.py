"""The files of a tree that git would ignore, so that sources are read without build products."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MAX_BYTES = 1024 * 1024
_MAX_PATTERNS = 10_000
_TOGETHER_CHARS = 32 * 1024
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


_Chain = tuple[tuple[str, "Rules"], ...]


class Ignored:
    """The rules of a tree's `.gitignore` files, at every level, and of its `.git/info/exclude`.

    As in git, a deeper file takes precedence over one above it, and a later line over an earlier one; `!` negates a
    pattern, and nothing inside an ignored folder can be included again. Files above the root, and the user's own, do
    not apply, because a folder's text must not depend on its location.
    """

    def __init__(self, root: Path) -> None:
        """Start at a root.

        Args:
            root: The tree's folder.
        """
        self._root = root
        self._skipped: dict[str, bool] = {}
        self._chains: dict[str, _Chain] = {"": self._own_rules("")}
        self._excluded = Rules(_lines(str(root / ".git" / "info" / "exclude")))

    def skips(self, relative_posix_path: str, is_dir: bool) -> bool:
        """Return whether a path is ignored, by itself or because of a parent folder.

        Args:
            relative_posix_path: The path below the root, with `/` between its parts.
            is_dir: Whether it is a folder.
        """
        path = relative_posix_path.strip("/")
        # Top-down, because nothing inside an ignored folder can be included again.
        for end in (at for at, char in enumerate(path) if char == "/"):
            if self._skips_folder(path[:end]):
                return True
        return self._skips_folder(path) if is_dir else self.skips_entry(path, False)

    def skips_entry(self, path: str, is_dir: bool) -> bool:
        """Return whether a path itself is ignored, regardless of its parent folders.

        Args:
            path: The path below the root, with `/` between its parts.
            is_dir: Whether it is a folder.
        """
        mark = "/" if is_dir else ""
        for folder, rules in self._chain(path.rpartition("/")[0]):
            said = rules.verdict(path[len(folder) + 1 if folder else 0 :] + mark)
            if said is not None:
                return said
        return bool(self._excluded.verdict(path + mark))

    def _skips_folder(self, path: str) -> bool:
        if path not in self._skipped:
            self._skipped[path] = self.skips_entry(path, True)
        return self._skipped[path]

    def _chain(self, folder: str) -> _Chain:
        """Return the rules that apply in a folder, with the folder of each, the innermost first."""
        missing = []
        while folder not in self._chains:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        chain = self._chains[folder]
        for folder in reversed(missing):
            chain = self._chains[folder] = (*self._own_rules(folder), *chain)
        return chain

    def _own_rules(self, folder: str) -> _Chain:
        path = os.path.join(self._root, folder, ".gitignore")  # noqa: PTH118 - a `Path` is slow for a deep one
        rules = Rules(_lines(path))
        return ((folder, rules),) if rules else ()


def _lines(path: str) -> list[str]:
    """Return the lines of a file; none if it does not exist, is not a regular file, or is too large."""
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


class Rules:
    """Patterns in the syntax of `.gitignore`, matched by RE2 so that a hostile one takes no longer than any other."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Compile the patterns.

        Args:
            lines: One pattern each; comments and blank lines are ignored.
        """
        patterns = [_inside(line.removesuffix("\r")) for line in lines if line.strip() and line[0] != "#"]
        self._specs = _specs(patterns) if patterns else []

    def __bool__(self) -> bool:
        return bool(self._specs)

    def verdict(self, path: str) -> bool | None:
        """Return the verdict of the last pattern that matches a path: True to ignore it; None without a match."""
        text = path.encode("utf-8", "replace").decode()
        return next((said for spec in self._specs if (said := spec.check_file(text).include) is not None), None)


def _inside(pattern: str) -> str:
    """Rewrite `folder/**` to mean the content of the folder: the library lets it match the folder itself, too."""
    return f"{pattern}/*" if pattern.endswith("/**") else pattern


def _specs(patterns: list[str]) -> list[GitIgnoreSpec]:
    """Compile patterns, the last ones first; more than RE2 compiles at once become several automata.

    A pattern that cannot be compiled is ignored, as git does with an invalid line.
    """
    import re2
    from pathspec import GitIgnoreSpec

    middle = len(patterns) // 2
    if not middle or sum(map(len, patterns)) <= _TOGETHER_CHARS:
        with suppress(ValueError, re2.error):
            return [GitIgnoreSpec.from_lines(patterns, backend="re2")]
    return [*_specs(patterns[middle:]), *_specs(patterns[:middle])] if middle else []
