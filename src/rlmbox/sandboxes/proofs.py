"""Results of self-checks on this machine, kept across processes.

A self-check takes a tenth of a second or more. Its result remains valid as long as nothing that it depends on has
changed: this boot of this kernel, this interpreter, this user and this state of rlmbox. Whenever a result is saved,
obsolete ones are removed: those of other boots, of other states of rlmbox in the same place, and of one that no longer
exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from rlmbox.context.storage.caching import cache_folder, cache_path
from rlmbox.errors import ContextError

_FOLDER = "self_checks"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_WRITTEN_WITHIN_S = 60.0
_known: dict[tuple[Path, str], str] = {}  # results read or saved by this process, during which nothing changes


def recall(name: str) -> str | None:
    """Return the result of a sandbox's check, in one line; None if it has to be checked.

    Args:
        name: The sandbox's name.
    """
    place = _place_of(name)
    known = None if place is None else _known.get(place)
    if known is not None:
        return known
    path = _path(name)
    if place is None or path is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(path.read_bytes())["shown"]
        if isinstance(found, str):
            _known[place] = found
            return found
    return None


def remember(name: str, shown: str) -> None:
    """Save the result of a sandbox's check, if possible; otherwise it is checked again next time.

    Args:
        name: The sandbox's name.
        shown: The result, in one line.
    """
    place, path = _place_of(name), _path(name)
    if place is None or path is None:
        return
    _known[place] = shown
    beside = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"shown": shown, **_place()}, file)
        beside.replace(path)
        _prune(path.parent)


def forget(name: str) -> None:
    """Discard the result of a sandbox's check.

    Args:
        name: The sandbox's name.
    """
    place, path = _place_of(name), _path(name)
    if place is not None:
        _known.pop(place, None)
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _place() -> dict[str, str]:
    """Return the origin of a result: the boot, and the paths of the interpreter and its rlmbox."""
    with suppress(OSError):
        return {"boot": _BOOT_ID.read_text().strip(), "python": sys.executable, "code": str(Path(__file__).parent)}
    return {}


def _prune(folder: Path) -> None:
    """Remove obsolete results."""
    here, key = _place(), str(_machine())
    for path in folder.iterdir():
        try:
            if path.suffix != ".json":  # left by a process that ended while writing
                is_current = path.stat().st_mtime > time.time() - _WRITTEN_WITHIN_S
            else:
                found = json.loads(path.read_bytes())
                place = {name: str(found[name]) for name in here}
                is_current = place["boot"] == here["boot"] and Path(place["code"]).exists()
                is_current = is_current and (place != here or path.stem.endswith(f"-{key}"))
        except (OSError, ValueError, KeyError, TypeError):
            is_current = False
        if not is_current:
            with suppress(OSError):
                path.unlink()


def _path(name: str) -> Path | None:
    key = _machine()
    if key is None:
        return None
    with suppress(ContextError):
        return cache_folder(_FOLDER) / f"{name}-{key}.json"
    return None


def _place_of(name: str) -> tuple[Path, str] | None:
    """Return the folder of results, which depends on the environment, and the sandbox's name; None without a folder."""
    with suppress(ContextError):
        return cache_path(_FOLDER), name
    return None


@cache
def _machine() -> str | None:
    """Return an identifier of everything that a result depends on; None if a boot has no id, and nothing is kept."""
    try:
        boot = _BOOT_ID.read_text()
    except OSError:
        return None
    code = Path(__file__).parent
    changed = max((path.stat().st_mtime_ns for path in code.rglob("*.py")), default=0)
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    facts = [boot, platform.release(), platform.version(), sys.executable, sys.version, user, str(code), changed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
