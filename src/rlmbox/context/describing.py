"""What a context is, in a few facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rlmbox.context.load.opening import Opening
from rlmbox.context.storage.documents import Documents, suffix_counts
from rlmbox.context.storage.text import TextStore

Kind = Literal["text", "bytes", "file", "directory", "documents", "dict", "list"]

PREVIEW_CHARS = 200
_SUFFIXES = 20
_SAMPLE_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A text with its documents.

    Attributes:
        store: The text.
        documents: Where its documents are.
        encoding: What it was in.
        replaced: How many U+FFFD stand in for lone surrogates or invalid bytes.
    """

    store: TextStore
    documents: Documents
    encoding: str
    replaced: int


def is_collection(kind: Kind) -> bool:
    """Whether a context of this kind has several documents."""
    return kind in ("directory", "documents", "dict")


def describe(content: Content, kind: Kind) -> dict[str, object]:
    """Describes a text; where its lines have not been counted and would take long to, gives an estimate of them."""
    store, names, lengths = content.store, content.documents.names, content.documents.lengths()
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    structure = "tree" if is_collection(kind) else _schema_kind(store, names[0])
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
        "schema": structure,
        "preview": store.slice(0, PREVIEW_CHARS),
    }
    return described if store.knows_lines else {**described, "estimated": ["lines"]}


def estimate(name: str, opening: Opening, kind: Kind) -> dict[str, object]:
    """Describes a file of which only the beginning has been looked at."""
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
        "schema": _schema_kind(store, name),
        "preview": store.slice(0, PREVIEW_CHARS),
        "estimated": ["length", "size_bytes", "lines", "encoding", "replaced"],
        "skipped": {},
    }


def _estimated_lines(sample: str, length: int) -> int:
    return max(1, sample.count("\n") * length // max(1, len(sample)))


def _schema_kind(store: TextStore, name: str) -> str:
    from rlmbox.context.schema.schema import schema_kind  # takes a while to import

    return schema_kind(store, name)
