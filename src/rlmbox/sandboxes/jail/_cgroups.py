"""Control groups for jails, where this process may create them: limits on memory and tasks, as the kernel counts them.

They back up RLIMIT_AS and RLIMIT_NPROC, and also count what those do not: pages of /tmp, pipes, kernel memory. Moving a
process into one waits for the whole kernel, measured at 3 to 13 ms, so jails do without unless asked. Both versions are
supported (`admin-guide/cgroup-v1` and `cgroup-v2.rst` in the kernel's documentation).
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "rlmbox-"
_CONTROLLERS = ("memory", "pids")
_MEMORY_FILE = {1: "memory.limit_in_bytes", 2: "memory.max"}
_REMOVE_TIMEOUT_S = 2.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """A place where control groups can be created.

    Attributes:
        version: 1 or 2.
        folders: The parent folder for each controller; the same one in version 2.
        why_not: Why there is none, or not for each controller; empty otherwise.
    """

    version: int
    folders: Mapping[str, Path]
    why_not: str = ""

    def __str__(self) -> str:
        if not self.folders:
            return f"no cgroup: {self.why_not}"
        return f"cgroup v{self.version}: {', '.join(sorted(self.folders))}" + (
            f" ({self.why_not})" * bool(self.why_not)
        )


def find_place() -> CgroupPlace:
    """Find out whether this process may create groups, by creating one; also remove those left by dead processes."""
    mounts, own = _mounts(), _own_groups()
    found: dict[str, Path] = {}
    missing: list[str] = []
    for controller in _CONTROLLERS:
        if controller not in mounts or controller not in own:
            continue
        folder = Path(mounts[controller] + own[controller])
        why = _why_not(folder, 1, controller)
        found, missing = ({**found, controller: folder}, missing) if not why else (found, [*missing, why])
    if found or missing:
        return CgroupPlace(1, found, "; ".join(missing))
    if "" not in mounts or "" not in own:
        return CgroupPlace(2, {}, "no cgroup is mounted")
    folder = Path(mounts[""] + own[""])
    why = _enable(folder) or _why_not(folder, 2, "memory")
    return CgroupPlace(2, {} if why else dict.fromkeys(_CONTROLLERS, folder), why)


def confine(place: CgroupPlace, pid: int, memory_bytes: int, tasks: int) -> list[Path]:
    """Put a process into groups of its own.

    Args:
        place: From `find_place`.
        pid: The process.
        memory_bytes: Memory limit for it and all its descendants, in bytes.
        tasks: Limit on the number of their processes and threads.

    Returns:
        The groups' folders, for `release`.

    Raises:
        OSError: The kernel refuses.
    """
    made: list[Path] = []
    name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
    try:
        for folder in dict.fromkeys(place.folders.values()):
            group = folder / name
            group.mkdir()
            made.append(group)
        for controller, folder in place.folders.items():
            limit = (_MEMORY_FILE[place.version], memory_bytes) if controller == "memory" else ("pids.max", tasks)
            (folder / name / limit[0]).write_text(str(limit[1]))
        for group in made:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        release(made)
        raise
    return made


def release(groups: list[Path]) -> None:
    """Remove groups whose processes have ended, waiting briefly for the kernel to notice."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    for group in groups:
        while group.exists():
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.001)


def _mounts() -> dict[str, str]:
    """Return the mount points of the controllers' hierarchies; version 2 has an empty name."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            place, kind, options = before.split()[4], after.split()[0], after.split()[-1].split(",")
            if kind == "cgroup":
                found |= {name: place for name in _CONTROLLERS if name in options}
            elif kind == "cgroup2":
                found[""] = place
    return found


def _own_groups() -> dict[str, str]:
    with suppress(OSError):
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        return {name: path.rstrip("/") for _, names, path in lines for name in names.split(",")}
    return {}


def _enable(folder: Path) -> str:
    """Enable the controllers of version 2 for child groups; return the reason if that fails."""
    with suppress(OSError):
        offered = (folder / "cgroup.controllers").read_text().split()
        if missing := [name for name in _CONTROLLERS if name not in offered]:
            return f"{folder} has no {' and no '.join(missing)} controller"
        if all(name in (folder / "cgroup.subtree_control").read_text().split() for name in _CONTROLLERS):
            return ""
        try:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
        except OSError as error:
            return f"{folder} is not delegated to us or has processes of its own ({error.strerror})"
        return ""
    return f"{folder} cannot be read"


def _why_not(folder: Path, version: int, controller: str) -> str:
    for stale in _stale(folder):
        with suppress(OSError):
            stale.rmdir()
    trial = folder / f"{_PREFIX}{os.getpid()}-0"
    try:
        trial.mkdir()
        try:
            limit = (_MEMORY_FILE[version], 1 << 30) if controller == "memory" else ("pids.max", 1000)
            (trial / limit[0]).write_text(str(limit[1]))
        finally:
            trial.rmdir()
    except OSError as error:
        return f"no {controller} group can be made in {folder} ({error.strerror})"
    return ""


def _stale(folder: Path) -> list[Path]:
    """List groups left by dead processes."""
    with suppress(OSError):
        groups = [(path, path.name.removeprefix(_PREFIX).partition("-")[0]) for path in folder.glob(f"{_PREFIX}*-*")]
        return [path for path, pid in groups if pid.isdigit() and not Path("/proc", pid).exists()]
    return []
