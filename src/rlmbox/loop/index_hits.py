"""Hits of an index as seen by code: bounded JSON, and the part of a document that each refers to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlmbox.retrieval.base import SearchHit

MAX_RESULT_CHARS = 1_000_000
PART_KEY = "index_part"
"""The one key of the value that stands for a part of a document: its id, and two positions."""

_HIT_KEYS = frozenset({"id", "score", "title", "snippet", "start", "end", "metadata"})
_TITLE_CHARS, _SNIPPET_CHARS, _METADATA_CHARS = 1_000, 2_000, 4_000


def is_of_index(value: object) -> bool:
    """Return True for a hit, and for the result of `document_view`.

    Args:
        value: A value from the sandbox.
    """
    if not isinstance(value, Mapping):
        return False
    if value.keys() == {PART_KEY}:
        part = value[PART_KEY]
        return isinstance(part, list | tuple) and len(part) == 3 and _is_place(*part)
    return value.keys() >= _HIT_KEYS and _is_place(value["id"], value["start"], value["end"])


def is_place(value: object) -> bool:
    """Return True for a reference into the index: a view, or the fields of a hit that say where it is.

    Args:
        value: A source of an answer.
    """
    if is_of_index(value):
        return True
    return isinstance(value, Mapping) and _is_place(*(value.get(key) for key in ("id", "start", "end")))


def place_of(item: Mapping[str, Any]) -> tuple[str, int, int]:
    """Return the document's id, start and end that a value refers to.

    Args:
        item: A value for which `is_place` is True.
    """
    if PART_KEY in item:
        name, start, end = item[PART_KEY]
        return name, start, end
    return item["id"], item["start"], item["end"]


def hits_as_json(hits: Sequence[SearchHit], k: int) -> list[dict[str, object]]:
    """Return hits as JSON, bounded in number and length whatever the retriever returned.

    Args:
        hits: The hits, best first.
        k: Maximum number to return.
    """
    found: list[dict[str, object]] = []
    chars = 0
    for hit in hits[:k]:
        entry: dict[str, object] = {
            "id": clean(hit.id),
            "score": round(float(hit.score), 6),
            "title": clean(hit.title)[:_TITLE_CHARS],
            "snippet": clean(hit.snippet)[:_SNIPPET_CHARS],
            "start": hit.start,
            "end": hit.end,
            "metadata": _bounded(hit.metadata),
        }
        chars += len(json.dumps(entry, ensure_ascii=False))
        if chars > MAX_RESULT_CHARS:
            break
        found.append(entry)
    return found


def _bounded(metadata: Mapping[str, object]) -> dict[str, object]:
    """Convert fields to JSON values; anything else becomes text, and what is too long is dropped."""
    found: dict[str, object] = {}
    chars = 0
    for name, value in metadata.items():
        plain = value if value is None or isinstance(value, bool | int | float) else clean(str(value))
        chars += len(str(name)) + len(str(plain))
        if chars > _METADATA_CHARS:
            found["…"] = "further fields are left out; read them with get_document"
            break
        found[clean(str(name))] = plain
    return found


def clean(text: str) -> str:
    """Return a text without lone surrogates, which cannot be encoded as UTF-8.

    Args:
        text: The text.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _is_place(name: object, start: object, end: object) -> bool:
    return isinstance(name, str) and type(start) is int and type(end) is int and 0 <= start < end
