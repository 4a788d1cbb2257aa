"""The cache of texts in UTF-8, and of counts made over texts.

It is in `$XDG_CACHE_HOME/rlmbox/texts` (by default in `~/.cache`), a directory that only this user may enter. A file's
key consists of its path, device, inode, size and modification time. Without such a directory nothing is cached.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
import time
from array import array
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rlmbox.context.storage.caching import cache_folder, trim, write_private
from rlmbox.context.storage.index import BLOCK_BYTES, Counts
from rlmbox.context.storage.source import InFile
from rlmbox.errors import ContextError

MAX_CACHE_BYTES = 16 * 1024**3
"""Most bytes of texts that are kept; the oldest are removed first."""

# A file that changed this recently may change again within the same timestamp.
_SETTLED_NS = 2_000_000_000
_FORMAT = 2
_MAX_FACTS_BYTES = 256 * 1024 * 1024


def folder() -> Path | None:
    """Return the directory, creating it if needed; None if there is none that can be trusted."""
    try:
        return cache_folder("texts")
    except ContextError:
        return None


def cache_key(file: InFile, encoding: str | None = None) -> str:
    """Return the cache key of a file in its present state.

    Args:
        file: The file.
        encoding: The encoding that was requested for it, if any.
    """
    seen = repr((os.path.abspath(file.path), file.stamp, encoding, _FORMAT, BLOCK_BYTES, sys.byteorder))  # noqa: PTH100
    return hashlib.blake2b(seen.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()


def is_settled(file: InFile) -> bool:
    """Return whether a file changed long enough ago that facts about it may be cached."""
    return abs(time.time_ns() - file.stamp[3]) > _SETTLED_NS


class NewText:
    """A file in the cache that is being written; it becomes valid with `keep`, or is removed with its descriptor."""

    def __init__(self, label: str) -> None:
        """Create one.

        Args:
            label: The text's name in errors.

        Raises:
            ContextError: There is nowhere to write.
        """
        self._label = label
        self.size_bytes = 0
        try:
            descriptor, name = tempfile.mkstemp(".part", "text-", folder())
        except OSError as error:
            raise self._unwritable(error) from None
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=1024 * 1024)

    def _unwritable(self, error: OSError) -> ContextError:
        return ContextError(
            f"{self._label}: its text cannot be written to the cache ({error.strerror});"
            " make room, or set XDG_CACHE_HOME to a directory that has it"
        )

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            ContextError: They do not fit.
        """
        if self.size_bytes + len(data) > MAX_CACHE_BYTES:
            self.discard()
            raise ContextError(
                f"{self._label}: has more than {MAX_CACHE_BYTES // 1024**2} MiB of text, which does not fit into the"
                " cache; give a part, or a file that is UTF-8"
            )
        try:
            self._put(data)
        except OSError as error:
            self.discard()
            raise self._unwritable(error) from None
        self.size_bytes += len(data)

    def fileno(self) -> int:
        """Return the descriptor, for a process that writes the text directly."""
        return self._file.fileno()

    def _put(self, data: bytes) -> None:
        self._file.write(data)

    def keep(self, key: str | None) -> InFile:
        """Finish writing, and open what was written.

        Args:
            key: The cache key; None for a text that exists only while it is open.

        Raises:
            ContextError: It does not fit.
        """
        try:
            self._file.close()
        except OSError as error:
            self.discard()
            raise self._unwritable(error) from None
        directory = folder()
        if not (key and directory):
            opened = InFile(self.path, label=self._label)
            opened.remove_when_closed()
            return opened
        self.path.replace(path := directory / f"{key}.utf8")
        self.path = path
        opened = InFile(path, label=self._label)
        trim(directory, MAX_CACHE_BYTES, keep=path)
        return opened

    def discard(self) -> None:
        """Remove it."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a file.

    Attributes:
        encoding: Its encoding.
        length: Length of its text in characters.
        size_bytes: Length of its text in UTF-8.
        replaced: Number of U+FFFD that replace invalid bytes.
        in_place: Whether the file itself is the text, rather than a copy in the cache.
        mark_bytes: Length of its byte order mark.
        is_guess: Whether the encoding is a guess.
        sha256: SHA-256 of the text in UTF-8, if known.
        chars: Counts of characters, unless characters are bytes.
        newlines: Counts of newlines, if known.
    """

    encoding: str
    length: int
    size_bytes: int
    replaced: int
    in_place: bool
    mark_bytes: int
    is_guess: bool = False
    sha256: str | None = None
    chars: Counts | None = None
    newlines: Counts | None = None


def save(key: str, facts: Facts) -> None:
    """Cache facts, if possible; otherwise they are determined again next time."""
    directory = folder()
    if directory is None:
        return
    arrays = [b"" if counts is None else counts.blocks.tobytes() for counts in (facts.chars, facts.newlines)]
    small = asdict(replace(facts, chars=None, newlines=None))
    payload = json.dumps({**small, "arrays": [len(data) for data in arrays]}).encode() + b"\n" + b"".join(arrays)
    part = directory / f"{key}.{secrets.token_hex(4)}.part"
    try:
        write_private(part, hashlib.blake2b(payload, digest_size=20).digest() + payload)
        part.replace(kept := directory / f"{key}.facts")
        trim(directory, MAX_CACHE_BYTES, keep=kept)
    except OSError:
        part.unlink(missing_ok=True)


def load(key: str) -> Facts | None:
    """Return cached facts; None if there are none, or they are damaged."""
    directory = folder()
    path = directory / f"{key}.facts" if directory else None
    try:
        if path is None or path.stat().st_size > _MAX_FACTS_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    digest, payload = data[:20], data[20:]
    if hashlib.blake2b(payload, digest_size=20).digest() != digest:
        return None
    head, _, rest = payload.partition(b"\n")
    values: dict[str, Any] = json.loads(head)
    sizes = values.pop("arrays")
    chars, newlines = (_counts(part) for part in (rest[: sizes[0]], rest[sizes[0] :]))
    return replace(Facts(**values), chars=chars, newlines=newlines)


def _counts(data: bytes) -> Counts | None:
    if not data:
        return None
    blocks = array("H")
    blocks.frombytes(data)
    return Counts(blocks)


def cached_text(key: str, facts: Facts, label: str) -> InFile | None:
    """Return the cached copy of a text; None if it is missing or damaged."""
    directory = folder()
    if directory is None:
        return None
    try:
        file = InFile(directory / f"{key}.utf8", label=label)
    except ContextError:
        return None
    return file if file.size_bytes == facts.size_bytes else None
