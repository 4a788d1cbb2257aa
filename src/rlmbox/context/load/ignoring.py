"""The files of a tree that git would ignore, so that sources are read without build products."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MAX_BYTES = 16 * 1024 * 1024
_MAX_LINES, _MAX_GLOBS = 500_000, 10_000  # of a whole tree; compiling so many globs takes a second or two
_TOGETHER_CHARS = 32 * 1024
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


# A name or a path of names, with an optional `!` before and `/` after: most lines, and all of a generated file.
_NAMES = re.compile(r"(!?)(/?)([\w.+@%=~,-]+(?:/[\w.+@%=~,-]+)*)(/?)")

_Chain = tuple[tuple[str, "_FileRules"], ...]


class Ignored:
    """The rules of a tree's `.gitignore` files, at every level, and of its `.git/info/exclude`.

    As in git, a deeper file takes precedence over one above it, and a later line over an earlier one; `!` negates a
    pattern, and nothing inside an ignored folder can be included again. Files above the root, and the user's own, do
    not apply, because a folder's text must not depend on its location. If a `.gitignore` cannot be read or is too
    large, its rules are unknown, and everything in its folder is ignored.
    """

    def __init__(self, root: Path) -> None:
        """Start at a root.

        Args:
            root: The tree's folder.
        """
        self._root = root
        self._skipped: dict[str, bool] = {}
        self._lines_left, self._globs_left = _MAX_LINES, _MAX_GLOBS
        self._unknown: set[str] = set()
        self._chains: dict[str, _Chain] = {"": self._own_rules("")}
        self._excluded = self._rules(str(root / ".git" / "info" / "exclude")) or _FileRules(())

    def is_known(self, folder: str) -> bool:
        """Return whether the rules of a folder's own `.gitignore` are known.

        Args:
            folder: The path below the root, with `/` between its parts; empty for the root.
        """
        self._chain(folder)
        return folder not in self._unknown

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
            if folder in self._unknown:
                return True
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
        rules = self._rules(os.path.join(self._root, folder, ".gitignore"))  # noqa: PTH118 - a `Path` takes long
        if rules is None:
            self._unknown.add(folder)
            rules = _FileRules(())
        elif not rules:
            return ()
        return ((folder, rules),)

    def _rules(self, path: str) -> _FileRules | None:
        """Read a file of rules; None if it cannot be read or has too many."""
        lines = _lines(path)
        if lines is None or len(lines) > self._lines_left:
            return None
        rules = _FileRules(lines)
        if len(rules.globs) > self._globs_left:
            return None
        self._lines_left -= len(lines)
        self._globs_left -= len(rules.globs)
        return rules


def _lines(path: str) -> list[str] | None:
    """Return the lines of a file, none if it does not exist or is not a regular file; None if it cannot be read."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except PermissionError:
        return None
    except (OSError, ValueError):
        return []
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return []
        if status.st_size > _MAX_BYTES:
            return None
        try:
            data = file.read(_MAX_BYTES + 1) or b""
        except OSError:
            return None
    if len(data) > _MAX_BYTES:
        return None
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")


class _FileRules:
    """The patterns of one file, for a path whose parent folders are not ignored.

    Plain names are looked up in a table; a generated file may have a hundred thousand of them.

    Attributes:
        globs: The patterns that are not plain names.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        """Sort the patterns; those in `globs` are compiled when the first path is checked.

        Args:
            lines: One pattern each; comments and blank lines are ignored.
        """
        self.globs: list[str] = []
        self._places: list[int] = []
        self._names: dict[str, tuple[int, bool]] = {}
        self._folders: dict[str, tuple[int, bool]] = {}
        self._rules: Rules | None = None
        for place, line in enumerate(lines):
            self._sort(place, line.removesuffix("\r"))

    def __bool__(self) -> bool:
        return bool(self.globs or self._names or self._folders)

    def _sort(self, place: int, line: str) -> None:
        if (match := _NAMES.fullmatch(line)) is not None:
            negated, rooted, name, is_folder = match.groups()
            key = f"/{name}" if rooted or "/" in name else name
            (self._folders if is_folder else self._names)[key] = place, not negated
        elif _is_pattern(line):
            self.globs.append(line)
            self._places.append(place)

    def verdict(self, path: str) -> bool | None:
        """Return the verdict of the last pattern that matches a path; a folder's ends with `/`."""
        if self._rules is None:
            self._rules = Rules(self.globs)
        bare = path.rstrip("/")
        tables = (self._names, self._folders) if path.endswith("/") else (self._names,)
        keys = (f"/{bare}", bare.rpartition("/")[2])
        found = [table[key] for table in tables for key in keys if key in table]
        if (last := self._rules.last(path)) is not None:
            found.append((self._places[last[0]], last[1]))
        return max(found)[1] if found else None


def _is_pattern(line: str) -> bool:
    return bool(line.strip()) and line[0] != "#"


class Rules:
    """Patterns in the syntax of `.gitignore`, matched by RE2 so that a hostile one takes no longer than any other."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Compile the patterns.

        Args:
            lines: One pattern each; comments and blank lines are ignored.
        """
        patterns = [_inside(line) for line in (line.removesuffix("\r") for line in lines) if _is_pattern(line)]
        self._specs = _specs(patterns, 0) if patterns else []

    def __bool__(self) -> bool:
        return bool(self._specs)

    def verdict(self, path: str) -> bool | None:
        """Return the verdict of the last pattern that matches a path: True to ignore it; None without a match."""
        last = self.last(path)
        return None if last is None else last[1]

    def last(self, path: str) -> tuple[int, bool] | None:
        """Return the place of the last pattern that matches a path, and its verdict."""
        if not self._specs:
            return None
        text = path.encode("utf-8", "replace").decode()
        for first, spec in self._specs:
            found = spec.check_file(text)
            if found.include is not None and found.index is not None:
                return first + found.index, found.include
        return None


def _inside(pattern: str) -> str:
    """Rewrite `folder/**` to mean the content of the folder: the library lets it match the folder itself, too."""
    return f"{pattern}/*" if pattern.endswith("/**") else pattern


def _specs(patterns: list[str], first: int) -> list[tuple[int, GitIgnoreSpec]]:
    """Compile patterns, the last ones first; more than RE2 compiles at once become several automata.

    A pattern that cannot be compiled is ignored, as git does with an invalid line.

    Args:
        patterns: The patterns.
        first: The place of the first among all.
    """
    import re2
    from pathspec import GitIgnoreSpec

    middle = len(patterns) // 2
    if not middle or sum(map(len, patterns)) <= _TOGETHER_CHARS:
        with suppress(ValueError, re2.error):
            return [(first, GitIgnoreSpec.from_lines(patterns, backend="re2"))]
    return [*_specs(patterns[middle:], first + middle), *_specs(patterns[:middle], first)] if middle else []
