"""Cells that try a limit, for the self-check and for the attack suite: where it is missing, they end by themselves."""

from __future__ import annotations


def forks(most: int) -> str:
    """Return a cell that forks until that fails, ends what it made, and has the value `{"made": n}`.

    Args:
        most: How many processes it makes at most.
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
    """Return a cell that writes files until that fails, removes them, and gives `{"size": bytes of the largest}`.

    Where the size of a file is bounded, single bytes show it, which take no memory; else a file is written in full.

    Args:
        most_bytes: How much it writes at most in each place.
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
