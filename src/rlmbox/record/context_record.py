"""The record of a run's text: its paths, with evidence that they did not change, or the text itself."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlmbox.context import Context
from rlmbox.context.load.walking import is_pattern
from rlmbox.errors import ContextError, StoreError

STORED_BYTES = 64 * 1024 * 1024
"""Most bytes of a run's texts that are stored where they cannot be opened again from their paths."""

_log = logging.getLogger("rlmbox")
_NOT_STORED = (
    "%s has %d bytes and no path, and more than %d are not stored in the record: the run can only go on, or be "
    "replayed, with rlm.resume(run, %s); give the text as a file to go on without"
)
_POINT = "if it was moved, say where it is now with --context PATH, or resume(…, context=Path(…))"

_SAMPLE_BYTES = 64 * 1024
_SAMPLES = 64
_SAMPLES_BEFORE = 3  # number of samples in records of earlier versions
_DIGESTED_BYTES = 16 * 1024 * 1024  # texts up to this size are hashed in full
_MOST_NAMES = 20_000
_REMOTE = "://"


def record_context(context: Context) -> dict[str, object]:
    """Describe how to open a text again, as a JSON value.

    Args:
        context: The text.
    """
    return _recorded(context, STORED_BYTES, ("the text", "context=…"))


def record_texts(texts: Mapping[str, Context], context: Context) -> dict[str, dict[str, object]]:
    """Describe how to open inputs that are texts again; those that must be stored are, the shortest ones first.

    Args:
        texts: The inputs, by name.
        context: The run's text, which is stored before them.
    """
    left = STORED_BYTES - (context.size_bytes if _is_stored(context, STORED_BYTES) else 0)
    found = {}
    for name in sorted(texts, key=lambda name: texts[name].size_bytes):
        found[name] = _recorded(texts[name], left, (f"the input {name!r}", f"inputs={{{name!r}: …}}"))
        left -= texts[name].size_bytes if _is_stored(texts[name], left) else 0
    return {name: found[name] for name in texts}


def _is_stored(context: Context, most_bytes: int) -> bool:
    """Return whether the text itself is stored."""
    origin = context._origin  # noqa: SLF001
    return not (origin is not None and origin.can_reopen) and context.size_bytes <= most_bytes


def _recorded(context: Context, most_bytes: int, words: tuple[str, str]) -> dict[str, object]:
    """Describe how to open a text again: its paths, or the text up to a size limit, otherwise how to pass it."""
    origin = context._origin  # noqa: SLF001 - a context's origin is not public
    if origin is not None and origin.can_reopen:
        selection = origin.options.selection
        return {
            "kind": "paths",
            "paths": origin.paths if isinstance(origin.paths, str) else list(origin.paths),
            "include": list(selection.include),
            "exclude": list(selection.exclude),
            "encoding": origin.options.encoding,
            "parts": [list(part) for part in origin.parts],
            "folder": os.getcwd(),  # noqa: PTH109 - to which relative paths refer
            **_names(context),
            **_evidence(_paths_of(origin.paths), context),
        }
    if not _is_stored(context, most_bytes):
        what, given = words
        _log.warning(_NOT_STORED, what, context.size_bytes, most_bytes, given)
        return {"kind": "none", "size_bytes": context.size_bytes, "sample": _digest_of_sample(context)}
    facts: dict[str, object] = {"sha256": context.sha256}
    if context.kind == "table":  # its pandas object, if code has pandas, is among the inputs
        return {"kind": "table", "text": context.slice(0, context.length), "data": context.data, **facts}
    if context.data is not None:
        return {"kind": "data", "of": context.kind, "data": context.data, **facts}
    facts["facts"] = context._origin_facts()  # noqa: SLF001 - so that cells that print them print the same again
    names = context.document_names
    if len(names) == 1:
        return {"kind": "text", "name": names[0], "text": context.slice(0, context.length), **facts}
    documents = [[name, context.get_document(name)] for name in names]
    return {"kind": "documents", "documents": documents, **facts}


def reopen_context(record: Mapping[str, Any]) -> Context:
    """Open the text of a run again.

    Args:
        record: What `record_context` returned.

    Raises:
        ContextError: It has changed since, or no longer exists.
        StoreError: It was not stored.
    """
    kind = record.get("kind")
    if kind == "paths":
        return _of_paths(record)
    if kind == "text":
        context = Context.from_text(record["text"], name=record["name"])
    elif kind == "table":
        context = Context._of_csv(record["text"], record["data"])  # noqa: SLF001 - not a public constructor
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


def paths_in(given: object) -> list[str] | None:
    """Return the paths of a text that is passed as paths; None for any other text.

    Args:
        given: The text as it was passed; see `Context.of`.
    """
    if isinstance(given, Context):
        origin = given._origin  # noqa: SLF001 - as above
        return _paths_of(origin.paths) if origin is not None and origin.can_reopen and not origin.parts else None
    if isinstance(given, os.PathLike):
        return [str(os.fspath(given))]
    if isinstance(given, Sequence) and given and all(isinstance(each, os.PathLike) for each in given):
        return [str(os.fspath(each)) for each in given]
    return None


def moved_record(record: Mapping[str, Any], paths: Sequence[str]) -> Mapping[str, Any]:
    """Return the record of a text whose files were moved; `reopen_context` checks that they are the same.

    Args:
        record: What `record_context` returned.
        paths: Their new locations, in the original order.

    Raises:
        ContextError: They cannot be the same files.
    """
    recorded = record.get("paths")
    if recorded is None:
        raise ContextError(
            "the run's text is in its record, or was given by a program, and was of no path; leave --context out, or "
            "go on there with rlm.resume(run, context=…)"
        )
    then = [recorded] if isinstance(recorded, str) else list(recorded)
    if len(paths) != len(then):
        raise ContextError(
            f"the run has {len(then)} paths ({', '.join(then)[:200]}); say of each where it is now, in this order, not "
            f"of {len(paths)}"
        )
    return {**record, "at": [os.path.abspath(path) if _is_here(path) else path for path in paths]}  # noqa: PTH100


def given_context(record: Mapping[str, Any], given: Context) -> Context:
    """Return a text that is passed again, after checking that it is the one that the run was started with.

    Args:
        record: What `record_context` returned.
        given: The text.

    Raises:
        ContextError: It is a different text.
    """
    kind = record.get("kind")
    if kind == "none":
        same = given.size_bytes == record["size_bytes"]
        same = same and record.get("sample") in (None, _digest_of_sample(given))
    elif kind == "paths":
        same = record.get("sha256") in (None, given.sha256)
    else:
        recorded = reopen_context(record)
        if given.sha256 == recorded.sha256:
            return recorded
        same = False
    if not same:
        raise ContextError(
            f"the text {given!r} is not the one that the run was started with; pass that one, or start a new run"
        )
    return given


def _of_paths(record: Mapping[str, Any]) -> Context:
    recorded = record["paths"]
    then = [recorded] if isinstance(recorded, str) else list(recorded)
    now = _looked_up(then, record.get("folder"))
    moved: list[str] = record.get("at") or []
    is_moved = bool(moved) and (all(map(_is_there, moved)) or not all(map(_is_there, now)))  # unless moved back
    now = moved if is_moved else now
    for path, at in zip(then, now, strict=True):
        _check_file(path, at, record, is_moved=is_moved)
    context = Context._from_recorded(  # noqa: SLF001 - only here is there a record of paths
        now,
        recorded,
        include=record["include"],
        exclude=record["exclude"],
        encoding=record["encoding"],
        only=record.get("names"),
    )
    for first, last in record["parts"]:
        context = context.slice_view(first, last)
    label = ", ".join(now)[:200]
    if "sha256" in record and context.sha256 != record["sha256"]:
        raise _changed(label, is_moved)
    if "sha256" not in record and "documents" in record and _digest_of_documents(now, context) != record["documents"]:
        raise _changed(label, is_moved)
    return context


def _looked_up(paths: list[str], folder: str | None) -> list[str]:
    """Return paths relative to the recorded folder, if that is another one than the current."""
    relative = [path for path in paths if not Path(path).is_absolute() and _REMOTE not in path]
    if folder is None or not relative or os.getcwd() == folder:  # noqa: PTH109
        return paths
    return [str(Path(folder, path)) if path in relative else path for path in paths]


def _check_file(path: str, at: str, record: Mapping[str, Any], *, is_moved: bool) -> None:
    """Check that a file, or the one it was moved to, did not change."""
    if is_moved and not _is_there(at):
        raise ContextError(f"{at} is not there; the run was started with {path}: say where that is now")
    recorded = record["files"].get(_absolute(path, record.get("folder")))
    if recorded is None:
        return
    now = _state(Path(at), recorded)
    if (is_moved or "sha256" in record) and now is not None and "digest" in recorded:
        now, recorded = ({**each, "mtime_ns": 0} for each in (now, recorded))  # a copy has another timestamp
    if now != recorded:
        raise _changed(at, is_moved)


def _changed(label: str, is_moved: bool) -> ContextError:
    if is_moved:
        return ContextError(
            f"{label} is not what the run was started with: its content differs; name that, or ask anew"
        )
    gone = "" if Path(label).exists() or ", " in label else ", or is gone"
    return ContextError(
        f"{label} has changed since the run began{gone}; put it back as it was, or ask anew"
        + (f"; {_POINT}" if gone else "")
    )


def _evidence(paths: list[str], context: Context) -> dict[str, object]:
    """Return evidence that paths still have the same text: a digest of all of it, or of samples with timestamps."""
    there = [path for path in paths if _is_here(path) and Path(path).exists()]
    files = {path: _state(Path(path)) for path in there if not Path(path).is_dir()}
    found: dict[str, object] = {"files": {_absolute(path): state for path, state in files.items()}}
    sizes = [state["size_bytes"] for state in files.values() if state is not None]
    if max((size for size in sizes if isinstance(size, int)), default=0) <= _DIGESTED_BYTES:
        if context.size_bytes <= _DIGESTED_BYTES:
            found["sha256"] = context.sha256
        elif len(files) < len(paths):
            found["documents"] = _digest_of_documents(paths, context)
    return found


def _names(context: Context) -> dict[str, object]:
    """Return the names of a folder's documents, since files added later are not part of the text."""
    names = context.document_names if context.kind in ("directory", "documents") else ()
    is_part = context._origin is not None and context._origin.parts  # noqa: SLF001 - as above
    return {"names": list(names)} if 0 < len(names) <= _MOST_NAMES and not is_part else {}


def _paths_of(paths: str | Sequence[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _is_there(path: str) -> bool:
    return not _is_here(path) or is_pattern(path) or Path(path).exists()


def _is_here(path: str) -> bool:
    return _REMOTE not in path


def _absolute(path: str, folder: str | None = None) -> str:
    return os.path.abspath(os.path.join(folder or "", path))  # noqa: PTH100, PTH118 - links are not resolved


def _state(path: Path, recorded: Mapping[str, Any] | None = None) -> dict[str, object] | None:
    """Return evidence that a file did not change; None if it does not exist.

    Args:
        path: The file.
        recorded: The state to compare with; None when recording.
    """
    samples = _SAMPLES if recorded is None else int(recorded.get("samples", _SAMPLES_BEFORE))
    try:
        if path.is_dir():
            return {"folder": _digest_of_folder(path)}  # as earlier versions recorded
        status = path.stat()
        digest, whole = _digest_of_file(path, status.st_size, samples)
    except OSError:
        return None
    state: dict[str, object] = {
        "size_bytes": status.st_size,
        "mtime_ns": 0 if whole else status.st_mtime_ns,
        "digest": digest,
    }
    return state if recorded is not None and "samples" not in recorded else {**state, "samples": samples}


def _digest_of_file(path: Path, size_bytes: int, samples: int) -> tuple[str, bool]:
    """Return the digest of samples across a file, and whether they cover all of it."""
    digest = hashlib.sha256()
    whole = size_bytes <= samples * _SAMPLE_BYTES
    with path.open("rb") as file:
        if whole:
            digest.update(file.read())
        else:
            for number in range(samples):
                file.seek((size_bytes - _SAMPLE_BYTES) * number // (samples - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest(), whole


def _digest_of_documents(paths: Sequence[str], context: Context) -> str:
    """Return a digest of a text's size, and of the names, sizes and timestamps of its files below paths."""
    digest = hashlib.sha256(f"{context.size_bytes}\n".encode())
    folders = [Path(path) for path in paths if _is_here(path) and Path(path).is_dir()] or [Path()]
    for name in context.document_names:
        for folder in folders:
            try:
                status = (folder / name).stat()
            except (OSError, ValueError):
                continue
            line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _digest_of_sample(context: Context) -> str:
    """Return a digest of samples across a text."""
    digest = hashlib.sha256()
    for number in range(_SAMPLES):
        start = max(context.length - _SAMPLE_BYTES, 0) * number // (_SAMPLES - 1)
        digest.update(context.slice(start, start + _SAMPLE_BYTES).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


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
