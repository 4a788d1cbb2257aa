"""Cells that test a limit, for the self-check and the attack suite; without the limit they end by themselves."""

from __future__ import annotations


def forks(most: int) -> str:
    """Return a cell that forks until that fails, kills the processes, and has the value `{"made": n}`.

    Args:
        most: Maximum number of processes.
    """
    return f"""
import os, time
made = []
try:
    while len(made) < {most}:
        pid = os.fork()
        if pid == 0:
            time.sleep(2)
            os._exit(0)
        made.append(pid)
except OSError:
    pass
for pid in made:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
{{"made": len(made)}}
"""


def fills(most_bytes: int) -> str:
    """Return a cell that writes files until that fails, removes them, and has the value `{"size": largest file}`.

    If file sizes are limited, single bytes at large offsets show it without using memory; otherwise a file is written.

    Args:
        most_bytes: Maximum number of bytes to write in each place.
    """
    return f"""
import os
most, block = 0, bytes(1 << 20)
for place in ("/dev/shm", "/tmp", "."):
    path, size = place + "/rlmbox-probe", 0
    try:
        with open(path, "wb", buffering=0) as file:
            beyond = {most_bytes}
            while beyond - size > len(block):
                middle = (size + beyond) // 2
                try:
                    file.seek(middle - 1)
                    file.write(b"x")
                    size = middle
                except OSError:
                    beyond = middle
            if beyond == {most_bytes}:
                size = file.seek(0)
            while beyond == {most_bytes} and size < {most_bytes}:
                size += file.write(block)
    except (OSError, MemoryError):
        pass
    try:
        os.unlink(path)
    except OSError:
        pass
    most = max(most, size)
{{"size": most}}
"""
