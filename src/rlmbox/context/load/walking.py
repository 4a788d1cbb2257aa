"""The files below a directory or matching a pattern: one walk, which judges every file by its real location.

Links to directories are never followed. A link to a file is judged twice, by its own name and by that of its target,
and the target is read: a file that would be skipped cannot be included under another name.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rlmbox.context.load.ignoring import Ignored, Rules
from rlmbox.context.load.kinds import is_called_binary
from rlmbox.context.storage.source import unreadable
from rlmbox.errors import ContextError

_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "node_modules"})
_MAGIC = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"
_Pattern = tuple[str, ...]
_EVERYTHING: _Pattern = ("",)  # any name at any depth, including hidden ones, so that skipped files are counted

Take = Callable[[str, Path], None]
"""Take a file's name and its resolved path."""
Skip = Callable[[str, str], None]
"""Take the reason for which a file or directory is left out, and its name."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of a tree to read, as patterns in the syntax of `.gitignore`.

    Attributes:
        include: Only files that match one of these; empty for all.
        exclude: Files and directories to skip.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


ALL = Selection()


def walk(root: Path, take: Take, skip: Skip, prefix: str = "", selection: Selection = ALL) -> None:
    """Find every text file below a directory, in name order.

    Skipped, each with a reason: `hidden` names, what git would ignore (`ignored`), `cache` directories, `binary`
    and `special` files, `symlink`s to directories and to targets outside the root, what `exclude` names or
    `include` does not (`excluded`), and what is `unreadable`.

    Args:
        root: The directory.
        take: Called with each file.
        skip: Called with each reason.
        prefix: Prepended to each name.
        selection: The files to read.

    Raises:
        ContextError: The directory itself cannot be read.
    """
    _Walk(root, take, skip, prefix, selection).run([_EVERYTHING])


def matches(pattern: str, take: Take, skip: Skip, selection: Selection = ALL) -> None:
    """Find the files that match a pattern such as `logs/**/*.txt`, in order; see `walk` for what is skipped.

    `*`, `?` and `[…]` match within a name, and none that begins with a dot; `**` matches directories of any depth.

    Raises:
        ContextError: Nothing matches, or the directory in which it begins cannot be read.
    """
    parts = pattern.replace(os.sep, "/").split("/")
    prefix = beginning(pattern)
    first = prefix.count("/")
    root = Path(prefix or ".")
    seen = _Seen(take, skip)
    if root.is_dir():
        wanted = tuple(part for part in parts[first:] if part)
        _Walk(root, seen.take, seen.skip, prefix, selection).run([wanted])
    if not seen.any:
        raise ContextError(f"{pattern}: no file matches; check the pattern")


def beginning(pattern: str) -> str:
    """Return the folder in which a pattern begins, with a trailing slash; empty for the current one.

    Args:
        pattern: The pattern.
    """
    parts = pattern.replace(os.sep, "/").split("/")
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    return "".join(f"{part}/" for part in parts[:first])


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern rather than an existing file."""
    return _MAGIC.search(name) is not None and not os.path.lexists(name)


class _Seen:
    def __init__(self, take: Take, skip: Skip) -> None:
        self._take, self._skip = take, skip
        self.any = False

    def take(self, name: str, path: Path) -> None:
        self.any = True
        self._take(name, path)

    def skip(self, reason: str, name: str) -> None:
        self.any = True
        self._skip(reason, name)


class _Walk:
    """One walk below a root."""

    def __init__(self, root: Path, take: Take, skip: Skip, prefix: str, selection: Selection) -> None:
        self._root, self._prefix = root, prefix
        self._take, self._skip = take, skip
        self._base = os.path.realpath(root)
        self._ignored = Ignored(root)
        self._hides = True
        self._include, self._exclude = Rules(selection.include), Rules(selection.exclude)

    def run(self, patterns: Sequence[_Pattern]) -> None:
        """Walk, adding the files whose relative names match one of the patterns."""
        self._hides = patterns[0] is _EVERYTHING  # a pattern must match hidden names explicitly
        try:
            stack = [self._entries("", patterns)]
        except OSError as error:
            raise unreadable(str(self._root), error) from None
        if not self._ignored.is_known(""):
            raise ContextError(
                f"{self._root}: its .gitignore cannot be read or is too large, so nothing says what to leave out;"
                " make it readable, shorten it, or give the files by name"
            )
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            entry, name, left = found
            deeper = self._visit(entry, name, left)
            if deeper is not None:
                stack.append(deeper)

    def _entries(self, below: str, patterns: Sequence[_Pattern]) -> Iterator[_Found]:
        """Yield the entries of a directory that a pattern may match, each with the rest of the patterns."""
        with os.scandir(os.path.join(self._root, below)) as entries:  # noqa: PTH118 - faster than a `Path`
            ordered = sorted(entries, key=lambda entry: entry.name)
        return ((entry, f"{below}{entry.name}", left) for entry in ordered if (left := _after(patterns, entry.name)))

    def _visit(self, entry: os.DirEntry[str], name: str, left: Sequence[_Pattern]) -> Iterator[_Found] | None:
        is_match, deeper = () in left, [pattern for pattern in left if pattern]
        is_directory = _is_directory(entry)
        if not (is_match or is_directory) or (is_directory and not deeper):
            return None
        # No directory on the path is a link, because links are not followed.
        target = os.path.realpath(entry.path) if _is_link(entry) else os.path.join(self._base, name)  # noqa: PTH118
        reason = self._reason(entry, name, target, is_directory)
        if reason:
            self._skip(reason, self._prefix + name)
        elif not is_directory:
            self._take(self._prefix + name, Path(target))
        elif not self._ignored.is_known(name):
            self._skip("unreadable", f"{self._prefix}{name}/.gitignore")
        else:
            try:
                return self._entries(f"{name}/", deeper)
            except OSError:
                self._skip("unreadable", self._prefix + name)
        return None

    def _reason(self, entry: os.DirEntry[str], name: str, target: str, is_directory: bool) -> str | None:
        """Return why an entry is skipped, by its own name and by that of its target; None if it is not."""
        if self._hides and entry.name.startswith("."):
            return "hidden"
        if own := self._reason_of(entry.name, name, is_directory):
            return own
        try:
            if entry.is_symlink():
                return self._reason_of_target(target)
            if not is_directory and not entry.is_file(follow_symlinks=False):
                return "special"
        except OSError:
            return "unreadable"
        return "binary" if not is_directory and is_called_binary(entry.name) else None

    def _reason_of(self, own_name: str, name: str, is_directory: bool) -> str | None:
        if is_directory and own_name in _SKIPPED_DIRECTORIES:
            return "cache"
        if self._ignored.skips_entry(name, is_directory):
            return "ignored"
        if self._exclude.verdict(f"{name}/" if is_directory else name):
            return "excluded"
        return "excluded" if not is_directory and self._include and not self._include.verdict(name) else None

    def _reason_of_target(self, target: str) -> str | None:
        below = target[len(self._base) :].lstrip(os.sep)
        if not os.path.isfile(target) or os.path.join(self._base, below) != target:  # noqa: PTH113, PTH118
            return "symlink"
        parts = Path(below).parts
        if any(part.startswith(".") for part in parts):
            return "hidden"
        if not _SKIPPED_DIRECTORIES.isdisjoint(parts[:-1]):
            return "cache"
        name = "/".join(parts)
        if self._ignored.skips(name, False):
            return "ignored"
        if self._exclude.verdict(name):
            return "excluded"
        return "binary" if is_called_binary(parts[-1]) else None


_Found = tuple[os.DirEntry[str], str, Sequence[_Pattern]]


def _after(patterns: Sequence[_Pattern], name: str) -> list[_Pattern]:
    """Return the rest of each pattern that a name may begin, without duplicates; an empty rest means a match."""
    left: dict[_Pattern, None] = {}
    for pattern in patterns:
        if pattern is _EVERYTHING:
            return [(), _EVERYTHING]
        for head, tail in _starts(pattern):
            if _matches("*" if head == _ANY_DEPTH else head, name):
                left[tail] = None
    return list(left)


def _starts(pattern: _Pattern) -> Iterator[tuple[str, _Pattern]]:
    """Yield the parts that may match the next name, each with the remaining pattern."""
    for number, part in enumerate(pattern):
        if part != _ANY_DEPTH:
            yield part, pattern[number + 1 :]
            return
        yield part, pattern[number:]
    yield "*", ()  # a trailing `**` matches files at any depth


def _matches(part: str, name: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return _compiled(part)(name) is not None


@lru_cache(maxsize=256)
def _compiled(part: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(part)).match


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
