"""Several documents as one text, and which of them a position belongs to."""

from __future__ import annotations

import difflib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rlmbox.context.text import Utf8, encode

_MAX_SUGGESTIONS = 5
_MAX_COMPARED = 5_000
_MAX_NAME_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Documents:
    """Where the documents of a text are, in characters.

    A document owns the text from its header up to the next document's header; its own text is what lies
    between `starts` and `ends`.

    Attributes:
        names: Their names, each once.
        regions: Where each one's header begins; where its text begins if it has none.
        starts: Where each one's text begins.
        ends: Where each one's text ends.
    """

    names: tuple[str, ...]
    regions: array[int]
    starts: array[int]
    ends: array[int]

    @classmethod
    def single(cls, name: str, length: int) -> Documents:
        """Gives the only document of a text without headers."""
        return cls((printable(name) or "context",), array("Q", [0]), array("Q", [0]), array("Q", [length]))

    def __len__(self) -> int:
        return len(self.names)

    def at(self, position: int) -> int:
        """Gives the index of the document that a position belongs to; a header belongs to what follows it."""
        return max(0, bisect_right(self.regions, position) - 1)

    def within(self, index: int, position: int) -> int:
        """Gives the position in a document, moved to its nearest end if it is outside."""
        return min(max(position, self.starts[index]), self.ends[index]) - self.starts[index]

    def length(self, index: int) -> int:
        """Gives the characters of a document."""
        return self.ends[index] - self.starts[index]

    def lengths(self) -> list[int]:
        """Gives the characters of each document."""
        return [end - start for start, end in zip(self.starts, self.ends, strict=True)]

    def region_end(self, index: int, length: int) -> int:
        """Gives where the region of a document ends in a text of so many characters."""
        return self.regions[index + 1] if index + 1 < len(self) else length

    def clipped(self, start: int, end: int) -> Documents:
        """Gives the documents of a part of the text, with positions relative to it."""
        first, last = self.at(start), max(self.at(start) + 1, bisect_left(self.regions, end))

        def moved(positions: array[int]) -> array[int]:
            return array("Q", (min(max(p, start), end) - start for p in positions[first:last]))

        return Documents(self.names[first:last], moved(self.regions), moved(self.starts), moved(self.ends))

    def index_of(self, key: int | str) -> int:
        """Finds a document.

        Args:
            key: Its index, negative from the end; its name; or the last parts of its path where only one
                document has them.

        Raises:
            IndexError: There is no document with this index.
            KeyError: There is none with this name, or several; the message lists names that are close.
        """
        if isinstance(key, int):
            if not -len(self) <= key < len(self):
                raise IndexError(f"document index {key} is out of range: there are {len(self)} documents")
            return key % len(self)
        if key in self.names:
            return self.names.index(key)
        tail = "/" + key.strip("/")
        found = [i for i, name in enumerate(self.names) if ("/" + name).endswith(tail)] if key.strip("/") else []
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(repr(self.names[i]) for i in found[:_MAX_SUGGESTIONS])
            raise KeyError(f"{len(found)} documents are called {key[:200]!r}; give more of the path: {some}")
        close = self._close_names(key)
        hint = f"close names: {', '.join(map(repr, close))}" if close else "ctx.document_names() lists them"
        raise KeyError(f"no document is called {key[:200]!r}; {hint}")

    def _close_names(self, key: str) -> list[str]:
        wanted = PurePosixPath(key[-_MAX_NAME_CHARS:].lower()).name
        if not wanted:
            return []
        containing = [name for name in self.names if wanted in name.lower()][:_MAX_SUGGESTIONS]
        if containing:
            return containing
        by_tail = {PurePosixPath(name.lower()).name: name for name in reversed(self.names[:_MAX_COMPARED])}
        return [by_tail[tail] for tail in difflib.get_close_matches(wanted, by_tail, _MAX_SUGGESTIONS)]


def printable(name: str) -> str:
    """Gives a name that fits on one line: each unprintable character becomes U+FFFD."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:_MAX_NAME_CHARS])


def header(name: str) -> str:
    """Gives the line that precedes a document."""
    return f"===== {name} =====\n"


def join(parts: Iterable[tuple[str, Utf8]]) -> tuple[Utf8, Documents]:
    """Makes one text of documents: header, text, a newline if the text lacks one, and a blank line between.

    Args:
        parts: Names and texts. A name that occurs again gets a number.
    """
    pieces: list[bytes] = []
    names: dict[str, None] = {}
    regions, starts, ends = array("Q"), array("Q"), array("Q")
    position = replaced = 0
    for number, (raw, content) in enumerate(parts):
        name = _unused(printable(raw) or f"document {number}", names)
        names[name] = None
        head = encode(("\n" if number else "") + header(name))
        regions.append(position + (1 if number else 0))
        starts.append(position + head.length)
        ends.append(position + head.length + content.length)
        tail = b"" if content.data.endswith(b"\n") else b"\n"
        pieces += (head.data, content.data, tail)
        position = ends[-1] + len(tail)
        replaced += content.replaced
    return Utf8(b"".join(pieces), position, replaced), Documents(tuple(names), regions, starts, ends)


def _unused(name: str, taken: dict[str, None]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def suffix_counts(names: Sequence[str], limit: int) -> dict[str, int]:
    """Counts the endings of file names, such as `.py`, most frequent first; files without one count as `""`."""
    counts: dict[str, int] = {}
    for name in names:
        suffix = suffix_of(name)
        counts[suffix] = counts.get(suffix, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:limit])


def suffix_of(name: str) -> str:
    """Gives the ending of a file's name in lower case, such as `.py`, or the empty string."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if len(suffix) <= 12 and suffix[1:].isalnum() else ""
