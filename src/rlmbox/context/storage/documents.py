"""Several documents as one text, and the mapping from positions to documents."""

from __future__ import annotations

import difflib
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rlmbox.context.storage.cache import NewText
from rlmbox.context.storage.index import Index
from rlmbox.context.storage.source import ByteSource, InMemory
from rlmbox.context.storage.text import TextStore, Utf8, encode

MEMORY_BYTES = 64 * 1024 * 1024
"""Most bytes of several documents together that are kept in memory."""

_COMPRESSED = frozenset((".gz", ".bz2", ".xz", ".zst"))
_MAX_SUGGESTIONS = 5
_MAX_COMPARED = 5_000
_MAX_NAME_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Documents:
    """The positions of the documents of a text, in characters.

    A document owns the text from its header up to the next document's header; its own text is between `starts` and
    `ends`.

    Attributes:
        names: Their unique names.
        regions: Start of each document's header, or of its text if it has none.
        starts: Start of each document's text.
        ends: End of each document's text.
        page_starts: Starts of the pages of a single document that was converted from one with pages, or None.
    """

    names: tuple[str, ...]
    regions: array[int]
    starts: array[int]
    ends: array[int]
    page_starts: tuple[int, ...] | None = None

    @classmethod
    def single(cls, name: str, length: int, page_starts: tuple[int, ...] | None = None) -> Documents:
        """Return the only document of a text without headers."""
        positions = array("Q", [0]), array("Q", [0]), array("Q", [length])
        return cls((printable_name(name) or "context",), *positions, page_starts or None)

    def __len__(self) -> int:
        return len(self.names)

    def at(self, position: int) -> int:
        """Return the index of the document that a position belongs to; a header belongs to the document after it."""
        return max(0, bisect_right(self.regions, position) - 1)

    def within(self, index: int, position: int) -> int:
        """Return the position within a document, clamped to its bounds."""
        return min(max(position, self.starts[index]), self.ends[index]) - self.starts[index]

    def length(self, index: int) -> int:
        """Return the length of a document in characters."""
        return self.ends[index] - self.starts[index]

    def lengths(self) -> list[int]:
        """Return the length of each document in characters."""
        return [end - start for start, end in zip(self.starts, self.ends, strict=True)]

    def clipped(self, start: int, end: int) -> Documents:
        """Return the documents of a part of the text, with positions relative to it."""
        first, last = self.at(start), max(self.at(start) + 1, bisect_left(self.regions, end))

        def moved(positions: array[int]) -> array[int]:
            return array("Q", (min(max(p, start), end) - start for p in positions[first:last]))

        return Documents(self.names[first:last], moved(self.regions), moved(self.starts), moved(self.ends))

    def index_of(self, key: int | str) -> int:
        """Find a document.

        Args:
            key: Its index, negative from the end; its name; or the last parts of its path if they are unique.

        Raises:
            IndexError: There is no document with this index.
            KeyError: No document has this name, or several do; the message suggests similar names.
        """
        if isinstance(key, int):
            if not -len(self) <= key < len(self):
                raise IndexError(f"document index {key} is out of range: there are {len(self)} documents")
            return key % len(self)
        if key in self.names:
            return self.names.index(key)
        tail = "/" + _composed(key.strip("/"))
        ends = (("/" + _composed(name)).endswith(tail) for name in self.names)
        found = [i for i, is_end in enumerate(ends) if is_end] if key.strip("/") else []
        if same := [i for i in found if _composed(self.names[i]) == _composed(key)]:
            found = same
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(repr(self.names[i]) for i in found[:_MAX_SUGGESTIONS])
            raise KeyError(f"{len(found)} documents are called {key[:200]!r}; give more of the path: {some}")
        close = self._close_names(key)
        hint = f"close names: {', '.join(map(repr, close))}" if close else "ctx.document_names() lists them"
        raise KeyError(f"no document is called {key[:200]!r}; {hint}")

    def _close_names(self, key: str) -> list[str]:
        wanted = PurePosixPath(_composed(key[-_MAX_NAME_CHARS:]).lower()).name
        if not wanted:
            return []
        containing = [name for name in self.names if wanted in _composed(name).lower()][:_MAX_SUGGESTIONS]
        if containing:
            return containing
        by_tail = {PurePosixPath(name.lower()).name: name for name in reversed(self.names[:_MAX_COMPARED])}
        return [by_tail[tail] for tail in difflib.get_close_matches(wanted, by_tail, _MAX_SUGGESTIONS)]


def _composed(name: str) -> str:
    # Some file systems decompose accents, and people type them composed.
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def printable_name(name: str) -> str:
    """Return a name that fits on one line: each unprintable character becomes U+FFFD."""
    name = name[:_MAX_NAME_CHARS]
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def header(name: str) -> str:
    """Return the line that precedes a document."""
    return f"===== {name} =====\n"


class Joining:
    """Joins documents into one text: header, text, a newline if it lacks one, and a blank line in between.

    A text larger than `MEMORY_BYTES` is written to a file of the cache.

    Attributes:
        size_bytes: Bytes so far.
        length: Characters so far.
        replaced: Number of U+FFFD that replace invalid bytes.
    """

    def __init__(self, label: str) -> None:
        """Start a text.

        Args:
            label: The text's name in errors.
        """
        self.size_bytes = self.length = self.replaced = 0
        self._label = label
        self._pieces: list[bytes] = []
        self._file: NewText | None = None
        self._names: dict[str, None] = {}
        self._regions, self._starts, self._ends = array("Q"), array("Q"), array("Q")

    @property
    def has_text(self) -> bool:
        """True if a document has any."""
        return any(end > start for start, end in zip(self._starts, self._ends, strict=True))

    def add(self, name: str, content: Utf8) -> None:
        """Add a document; a repeated name gets a number.

        Raises:
            ContextError: It does not fit into the cache.
        """
        self.add_pieces(name, content.length, (content.data,), content.replaced)

    def add_pieces(self, name: str, length: int, pieces: Iterable[bytes], replaced: int) -> None:
        """Add a document of `length` characters in several pieces.

        Raises:
            ContextError: It does not fit into the cache.
        """
        number = len(self._names)
        name = _unused(printable_name(name) or f"document {number}", self._names)
        self._names[name] = None
        head = encode(("\n" if number else "") + header(name))
        self._regions.append(self.length + (1 if number else 0))
        self._starts.append(self.length + head.length)
        self._ends.append(self.length + head.length + length)
        self._write(head.data)
        last = b""
        for piece in pieces:
            self._write(piece)
            last = piece or last
        tail = b"" if last.endswith(b"\n") else b"\n"
        self._write(tail)
        self.length = self._ends[-1] + len(tail)
        self.replaced += replaced

    def _write(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self._file:
            self._file.write(data)
            return
        self._pieces.append(data)
        if self.size_bytes > MEMORY_BYTES:
            self._file = NewText(self._label)
            for piece in self._pieces:
                self._file.write(piece)
            self._pieces.clear()

    def discard(self) -> None:
        """Remove what was written."""
        if self._file:
            self._file.discard()

    def finish(self) -> tuple[TextStore, Documents]:
        """Return the text and the positions of its documents.

        Raises:
            ContextError: It does not fit into the cache.
        """
        source: ByteSource = self._file.keep(None) if self._file else InMemory(b"".join(self._pieces))
        documents = Documents(tuple(self._names), self._regions, self._starts, self._ends)
        return TextStore.over(Index(source), self.length), documents


def _unused(name: str, taken: dict[str, None]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def suffix_counts(names: Sequence[str], limit: int) -> dict[str, int]:
    """Count file extensions, such as `.py`, most frequent first; files without one count as `""`."""
    counts: dict[str, int] = {}
    for name in names:
        suffix = suffix_of(name)
        counts[suffix] = counts.get(suffix, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:limit])


def suffix_of(name: str) -> str:
    """Return a file's extension in lower case, such as `.py`, ignoring `.gz` and the like; empty if there is none."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in _COMPRESSED and path.with_suffix("").suffix:
        suffix = path.with_suffix("").suffix.lower()
    return suffix if len(suffix) <= 12 and suffix[1:].isalnum() else ""
