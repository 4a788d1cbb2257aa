"""The paths from which a context was created, for opening it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlmbox.context.load import loaders, remote, walking
from rlmbox.context.load.loaders import Options


@dataclass(frozen=True, slots=True)
class Origin:
    """The paths and options from which a context was created.

    Attributes:
        paths: The path, or the paths; a single one is absolute.
        options: How they were read.
        parts: The successive slices taken from it, the first one outermost, each with start and end.
    """

    paths: str | tuple[str, ...]
    options: Options
    parts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, paths: str | Sequence[str], options: Options) -> Origin:
        """Return the origin of paths as they were given.

        A single path becomes absolute, so that it can be opened from another folder; several, and patterns, stay as
        they are, because documents are named after them.

        Args:
            paths: The path, or the paths.
            options: How they are read.
        """
        if not isinstance(paths, str):
            return cls(tuple(paths), options)
        stays = paths == loaders.STANDARD_INPUT or remote.is_remote(paths) or walking.is_pattern(paths)
        return cls(paths if stays else os.path.abspath(paths), options)  # noqa: PTH100 - links are not resolved

    @property
    def can_reopen(self) -> bool:
        """True if the same paths yield the same text again, unlike standard input and pipes."""
        paths = (self.paths,) if isinstance(self.paths, str) else self.paths
        return not any(path == loaders.STANDARD_INPUT or loaders.is_descriptor(path) for path in paths)

    @property
    def label(self) -> str:
        """The paths, for error messages."""
        return self.paths if isinstance(self.paths, str) else ", ".join(self.paths)[:200]

    def part(self, first: int, last: int) -> Origin:
        """Return the origin of a part of the text."""
        return replace(self, parts=(*self.parts, (first, last)))
