"""The record of a run's text: its paths, with evidence that they did not change, or the text itself."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlmbox.context import Context
from rlmbox.errors import ContextError, StoreError

STORED_BYTES = 64 * 1024 * 1024
"""Largest text that is stored where it cannot be opened again from its paths."""

_log = logging.getLogger("rlmbox")
_NOT_STORED = (
    "the text has %d bytes and no path, and more than %d are not stored in the record: the run can only go on, or be "
    "replayed, with rlm.resume(run, context=…); give the text as a file to go on without"
)

_SAMPLE_BYTES = 64 * 1024
_REMOTE = "://"


def record_context(context: Context) -> dict[str, object]:
    """Return how a text is opened again, as a JSON value.

    Args:
        context: The text.
    """
    origin = context._origin  # noqa: SLF001 - a context has no public way to say where it came from
    if origin is not None and origin.can_reopen:
        selection = origin.options.selection
        return {
            "kind": "paths",
            "paths": origin.paths if isinstance(origin.paths, str) else list(origin.paths),
            "include": list(selection.include),
            "exclude": list(selection.exclude),
            "encoding": origin.options.encoding,
            "parts": [list(part) for part in origin.parts],
            "files": {path: _state(Path(path)) for path in _paths(origin.paths)},
        }
    if context.size_bytes > STORED_BYTES:
        _log.warning(_NOT_STORED, context.size_bytes, STORED_BYTES)
        return {"kind": "none", "size_bytes": context.size_bytes}
    facts: dict[str, object] = {"sha256": context.sha256}
    if context.kind == "table":  # whose pandas object, where code has it, is among the inputs
        return {"kind": "table", "text": context.slice(0, context.length), "data": context.data, **facts}
    if context.data is not None:
        return {"kind": "data", "of": context.kind, "data": context.data, **facts}
    facts["facts"] = context._origin_facts()  # noqa: SLF001 - cells print them, and print the same again
    names = context.document_names
    if len(names) == 1:
        return {"kind": "text", "name": names[0], "text": context.slice(0, context.length), **facts}
    documents = [[name, context.get_document(name)] for name in names]
    return {"kind": "documents", "documents": documents, **facts}


def reopen_context(record: Mapping[str, Any]) -> Context:
    """Return the text that a run was asked about.

    Args:
        record: What `record_context` returned.

    Raises:
        ContextError: It has changed since, or is not there any more.
        StoreError: It was not kept.
    """
    kind = record.get("kind")
    if kind == "paths":
        return _of_paths(record)
    if kind == "text":
        context = Context.from_text(record["text"], name=record["name"])
    elif kind == "table":
        context = Context._of_csv(record["text"], record["data"])  # noqa: SLF001 - nobody else has a CSV with its rows
    elif kind == "data":
        data = record["data"]
        pairs = (
            [tuple(item) if isinstance(item, list) else item for item in data] if record["of"] == "documents" else None
        )
        context = Context.from_documents(pairs) if pairs is not None else Context.of(data)
    elif kind == "documents":
        context = Context.from_documents([(name, text) for name, text in record["documents"]])
    else:
        raise StoreError(
            "the text of this run was too large to be kept and has no path; give it again: rlm.resume(run, context=…)"
        )
    if kind != "documents" and context.sha256 != record["sha256"]:
        raise StoreError("the text of this run is damaged in the record")
    facts = record.get("facts")  # records of earlier versions have none
    return context if facts is None else context._with_origin_facts(facts)  # noqa: SLF001


def _of_paths(record: Mapping[str, Any]) -> Context:
    for path, recorded in record["files"].items():
        if _state(Path(path)) != recorded:
            gone = "" if Path(path).exists() else ", or is gone"
            raise ContextError(f"{path} has changed since the run began{gone}; put it back as it was, or ask anew")
    paths = record["paths"]
    context = Context.from_path(
        paths, include=record["include"], exclude=record["exclude"], encoding=record["encoding"]
    )
    for first, last in record["parts"]:
        context = context.slice_view(first, last)
    return context


def _paths(paths: str | tuple[str, ...]) -> list[str]:
    """Return those of the paths that can be looked at: no addresses and no patterns."""
    each = [paths] if isinstance(paths, str) else list(paths)
    return [os.path.abspath(path) for path in each if _REMOTE not in path and Path(path).exists()]  # noqa: PTH100


def _state(path: Path) -> dict[str, object] | None:
    """Return what shows that a file or a folder did not change; None where it is not there."""
    try:
        if path.is_dir():
            return {"folder": _digest_of_folder(path)}
        status = path.stat()
        digest, whole = _digest_of_file(path, status.st_size)
    except OSError:
        return None
    return {"size_bytes": status.st_size, "mtime_ns": 0 if whole else status.st_mtime_ns, "digest": digest}


def _digest_of_file(path: Path, size_bytes: int) -> tuple[str, bool]:
    """Return the digest of a file's beginning, middle and end, and whether that is all of it."""
    digest = hashlib.sha256()
    whole = size_bytes <= 3 * _SAMPLE_BYTES
    with path.open("rb") as file:
        if whole:
            digest.update(file.read())
        else:
            for start in (0, (size_bytes - _SAMPLE_BYTES) // 2, size_bytes - _SAMPLE_BYTES):
                file.seek(start)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest(), whole


def _digest_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            try:
                status = path.stat()
            except OSError:
                continue
            line = f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
