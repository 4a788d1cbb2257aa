"""Processes, mounts and memory as seen by the host's kernel. Linux only; elsewhere nothing is read."""

from __future__ import annotations

import ctypes
import os
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlmbox.sandboxes.kernel._seccomp import GATE_FD

_SET_SUBREAPER, _GET_SUBREAPER = 36, 37

CAN_WATCH = sys.platform == "linux" and Path("/proc/self/stat").exists()
"""True if processes, mounts and memory can be watched."""


@dataclass(frozen=True, slots=True)
class Process:
    """A descendant of this process.

    Attributes:
        pid: Its process id.
        command: Its command line, or its name if that is empty.
    """

    pid: int
    command: str


def descendants() -> list[Process]:
    """List the living descendants of this process."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if CAN_WATCH else ():  # noqa: PTH208 - a large directory, read often
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    parents[int(name)] = int(parent)
    own = _own_pid()
    return [Process(pid, _command(pid)) for pid in parents if _descends(pid, own, parents)]


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name) if CAN_WATCH else 0


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    seen = set()
    while pid not in seen and pid in parents:
        seen.add(pid)
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def _command(pid: int) -> str:
    for name in ("cmdline", "comm"):
        with suppress(OSError):
            text = Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            if text:
                # Descriptor numbers vary between launches.
                return " ".join("N" if word.isdigit() else word for word in text.split())
    return "?"


def open_files(pid: int, device: int) -> frozenset[int]:
    """Return the inodes of the files on a device that a process has open, as far as we may see them."""
    found = set[int]()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                status = entry.stat()
                found.update([status.st_ino] if status.st_dev == device else ())
    return frozenset(found)


def environment(pid: int) -> bytes:
    """Return the environment that a process was started with; empty if we may not see it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def surplus(before: Counter[str]) -> list[Process]:
    """Return the processes in excess of an earlier count by command."""
    left, more = before.copy(), []
    for process in descendants():
        left[process.command] -= 1
        if left[process.command] < 0 and not _waits_for_a_session(process):
            more.append(process)
    return more


def _waits_for_a_session(process: Process) -> bool:
    """Return whether a process is a jail that was started ahead and is not in use yet."""
    # Its gate is closed when its session starts, and no cell can have a descriptor of this number.
    return "jail._fork_server" in process.command and Path(f"/proc/{process.pid}/fd/{GATE_FD}").is_socket()


def memory_bytes() -> tuple[int, int]:
    """Return this process's current resident memory, and its peak since `forget_peak`."""
    found = {"VmRSS": 0, "VmHWM": 0}
    if CAN_WATCH:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


def forget_peak() -> None:
    """Reset the peak memory of this process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def mounts() -> frozenset[str]:
    """Return the mounts that this process sees, without those of a container engine, which come and go."""
    with suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return frozenset(line for line in lines if not _is_a_containers(line))
    return frozenset()


def _is_a_containers(line: str) -> bool:
    """Return whether a line of mountinfo belongs to a container; another user may start one at any time."""
    place, _, rest = line.partition(" - ")
    return rest.split(" ", 1)[0] in ("overlay", "nsfs") or "/containers/" in place


def become_subreaper(*, wanted: bool) -> bool:
    """Make orphaned descendants children of this process, so that none is lost; return the previous setting.

    Args:
        wanted: True to enable, False to disable.
    """
    if not CAN_WATCH:
        return False
    libc = ctypes.CDLL(None)
    before = ctypes.c_int()
    libc.prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_SET_SUBREAPER, int(wanted), 0, 0, 0)
    return bool(before.value)
