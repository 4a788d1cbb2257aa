"""Descriptions of a context by a few facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rlmbox.context.load.opening import Opening
from rlmbox.context.storage.documents import Documents, suffix_counts
from rlmbox.context.storage.text import TextStore

ContextKind = Literal["text", "bytes", "file", "directory", "documents", "dict", "list", "table"]

PREVIEW_CHARS = 200
_SUFFIXES = 20
_NOTES, _GUESSED = 20, 5
_SAMPLE_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A text with its documents.

    Attributes:
        store: The text.
        documents: The positions of its documents.
        encoding: Its original encoding.
        replaced: Number of U+FFFD that replace lone surrogates or invalid bytes.
        is_guess: Whether the encoding is a guess.
        notes: Notes on what is missing from the text, or was guessed.
    """

    store: TextStore
    documents: Documents
    encoding: str
    replaced: int
    is_guess: bool = False
    notes: tuple[str, ...] = ()


def is_collection(kind: ContextKind) -> bool:
    """Return whether a context of this kind has several documents."""
    return kind in ("directory", "documents", "dict")


def guess_note(encodings: Collection[str], guessed: Sequence[str]) -> tuple[str, ...]:
    """Return the note about encodings that were guessed, if any.

    Args:
        encodings: The encodings of all files.
        guessed: The names of the files whose encoding was guessed.
    """
    if not guessed:
        return ()
    remedy = "name the right one with encoding= if letters are wrong"
    if len(encodings) == 1:
        return (f"the encoding {next(iter(encodings))} is a guess: {remedy}",)
    names = ", ".join(guessed[:_GUESSED]) + (", …" if len(guessed) > _GUESSED else "")
    return (f"the encoding of {len(guessed)} files is a guess ({names}): {remedy}",)


def line_endings(sample: str) -> str:
    """Return the line ending of a text, judged by its beginning: `lf`, `crlf`, `cr`, `mixed` or `none`."""
    both, line_feeds, returns = sample.count("\r\n"), sample.count("\n"), sample.count("\r")
    found = [("crlf", both), ("lf", line_feeds - both), ("cr", returns - both)]
    kinds = [name for name, count in found if count]
    return kinds[0] if len(kinds) == 1 else "mixed" if kinds else "none"


def describe(content: Content, kind: ContextKind) -> dict[str, object]:
    """Describe a text; estimate the number of its lines if counting them would take long."""
    store, names, lengths = content.store, content.documents.names, content.documents.lengths()
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    structure = "tree" if is_collection(kind) or len(names) > 1 else _schema_kind(store, names[0])
    lines = store.line_count if store.knows_lines else _estimated_lines(store.slice(0, _SAMPLE_CHARS), store.length)
    described: dict[str, object] = {
        "kind": kind,
        "length": store.length,
        "size_bytes": store.size_bytes,
        "documents": len(names),
        "lines": lines,
        "suffixes": suffix_counts(names, _SUFFIXES),
        "longest_document": {"name": names[longest], "length": lengths[longest]},
        "encoding": content.encoding,
        "replaced": content.replaced,
        "line_endings": line_endings(store.slice(0, _SAMPLE_CHARS)),
        "schema": structure,
        "preview": store.slice(0, PREVIEW_CHARS),
    }
    if content.is_guess:
        described["encoding_is_guess"] = True
    if content.notes:
        described["notes"] = list(content.notes[:_NOTES])
    return described if store.knows_lines else {**described, "estimated": ["lines"]}


def estimate(name: str, opening: Opening, kind: ContextKind) -> dict[str, object]:
    """Describe a file of which only the beginning has been read."""
    store = opening.beginning()
    bytes_per_char = opening.sample_bytes / max(1, store.length)
    length = int(opening.size_bytes / bytes_per_char)
    return {
        "kind": kind,
        "length": length,
        "size_bytes": opening.size_bytes,
        "documents": 1,
        "lines": _estimated_lines(store.slice(0, _SAMPLE_CHARS), length),
        "suffixes": suffix_counts((name,), _SUFFIXES),
        "longest_document": {"name": name, "length": length},
        "encoding": opening.encoding,
        "replaced": 0,
        "line_endings": line_endings(store.slice(0, _SAMPLE_CHARS)),
        "schema": _schema_kind(store, name),
        "preview": store.slice(0, PREVIEW_CHARS),
        "estimated": ["length", "size_bytes", "lines", "encoding", "replaced"],
        "skipped": {},
    }


def _estimated_lines(sample: str, length: int) -> int:
    return max(1, sample.count("\n") * length // max(1, len(sample)))


def _schema_kind(store: TextStore, name: str) -> str:
    from rlmbox.context.schema.schema import schema_kind  # late: slow to import

    return schema_kind(store, name)
