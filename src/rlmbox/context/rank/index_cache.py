"""The cache of indexes: written to a temporary folder, moved into place atomically, and verified when opened."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from array import array
from collections.abc import Iterable
from pathlib import Path

from rlmbox.context.rank.engine import RankedText, RankIndex
from rlmbox.context.storage.caching import cache_folder, remove, trim, write_private

CACHE_BYTES = 8 * 1024**3
BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, sqlite3.Error)
"""What an engine may raise for an index that cannot be read."""

_FORMAT = 1
_BOUNDS, _ABOUT = "bounds", "about.json"
_PART = ".part-"
_PART_AGE_S = 24 * 3600.0


def place(context: RankedText, engine: str) -> Path:
    """Return the folder for a text's index, which need not exist.

    Args:
        context: The text. Its document boundaries are part of the key, because passages end there.
        engine: The engine's name.
    """
    spans = array("Q")
    for number in range(context.num_documents):
        spans.extend(context.document_span(number))
    facts = [_FORMAT, engine, context.sha256, hashlib.sha256(spans.tobytes()).hexdigest(), sys.byteorder]
    return cache_folder("indexes") / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def opened(folder: Path, index: RankIndex, length: int) -> array[int] | None:
    """Open an index if it exists and is intact, and return the bounds of its passages.

    Args:
        folder: Its folder.
        index: The engine, which has it open afterwards.
        length: Length of the text in characters.
    """
    try:
        about = json.loads((folder / _ABOUT).read_bytes())
        if about != _about(folder, index.name):
            raise ValueError("not what was written")
        bounds = array("Q")
        bounds.frombytes((folder / _BOUNDS).read_bytes())
        if len(bounds) % 2 or (bounds and max(bounds) > length):
            raise ValueError("bounds of another text")
        index.open(folder)
        os.utime(folder)
    except FileNotFoundError:
        return None
    except BROKEN:
        remove(folder)
        return None
    return bounds


def build(folder: Path, index: RankIndex, passages: Iterable[str], bounds: array[int]) -> None:
    """Build an index, move it into place and open it.

    Args:
        folder: Its folder.
        index: The engine.
        passages: The texts.
        bounds: Their starts and ends, filled while `passages` is iterated.
    """
    _sweep(folder.parent)
    part = Path(tempfile.mkdtemp(prefix=_PART, dir=folder.parent))
    try:
        index.build(part, passages)
        write_private(part / _BOUNDS, bounds.tobytes())
        for path in part.iterdir():
            path.chmod(0o600)
        write_private(part / _ABOUT, json.dumps(_about(part, index.name)).encode())
        try:
            part.rename(folder)
        except OSError:  # another process was faster; its index is just as good if it is intact
            if opened(folder, index, max(bounds, default=0)) is None:
                remove(folder)
                part.rename(folder)
                index.open(folder)
        else:
            index.open(folder)
    finally:
        remove(part)
    trim(folder.parent, CACHE_BYTES, keep=folder)


def _about(folder: Path, engine: str) -> dict[str, object]:
    """Return the expected description of an index: the engine, and its files with their hashes."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != _ABOUT and not path.name.startswith("."):  # except an engine's lock files
            with path.open("rb") as file:
                files[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return {"format": _FORMAT, "engine": engine, "files": files}


def _sweep(folder: Path) -> None:
    """Remove what killed builds left behind."""
    for part in folder.glob(f"{_PART}*"):
        try:
            if time.time() - part.stat().st_mtime > _PART_AGE_S:
                remove(part)
        except OSError:
            continue
