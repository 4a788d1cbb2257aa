"""Small, bounded cells that show whether a wall or a limit holds. An attack runs only after its probes.

No probe does harm if the limit is missing: each ends by itself soon after the point where it should be stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import anyio.to_thread

from rlmbox.errors import SandboxError, SandboxUnavailable
from rlmbox.sandboxes._probes import fills, forks
from rlmbox.testing._sandbox_checks._opened import MakeSandbox
from rlmbox.testing.attacks.report import Probe
from rlmbox.testing.attacks.stage import LIMITS, Broken, is_missing, opened, told
from rlmbox.testing.attacks.watch import HostWatch
from rlmbox.types import CellLimits, CellOutcome, Execution

MOST_PROCESSES = 128
DISK_BYTES = 256 * 2**20

_SMALL = replace(LIMITS, memory_bytes=96 * 2**20)
_LOUD = replace(LIMITS, output_flood_bytes=2**20)
_BRISK = replace(LIMITS, cell_timeout_s=0.2)

_LOOP = "n = 0\nfor i in range(10**9):\n    try:\n        n += i\n    except BaseException:\n        pass"
# Ends by itself at four times the memory limit.
_GROW = "parts = []\nfor i in range(400):\n    parts.append('x' * 1_000_000 + str(i))"
_PRINT = "for i in range(400):\n    print('x' * 10_000)"
_RECURSE = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nf(20_000)"
_REACH = (
    "print(open('@SECRET_FILE@').read())",
    "import os\nprint(os.listdir('@WRITE_DIR@/..'))",
    "open('@WRITE_DIR@/probe', 'w').write('x')",
    "import socket\nsocket.create_connection(('127.0.0.1', @TCP_PORT@), 1).close()",
    "import os\nos.kill(@HOST_PID@, 0)\nprint('ESCAPE: the host process can be signalled')",
)


async def _walls(make_sandbox: MakeSandbox, watch: HostWatch) -> Probe:
    """Try to read, list and write our canaries, to connect to our listener, and to find our process."""
    before = await anyio.to_thread.run_sync(watch.snapshot)
    found: list[str] = []
    async with opened(make_sandbox) as room:
        if room.sandbox.name == "local":
            return Probe("walls", holds=False, detail="local has none")
        for code in _REACH:
            text = told(await room.run(watch.filled(code)))
            found += watch.told(text)
            # An error repeats the path that the cell used, or a part of it.
            if "secret.txt" in text and "@SECRET_FILE@" not in code:
                found.append("a folder of the host can be listed")
            found += [line for line in text.splitlines() if line.startswith("ESCAPE:")]
    found += await anyio.to_thread.run_sync(watch.changes, before)
    return Probe("walls", holds=not found, detail=found[0] if found else "no file, listener or process was reached")


async def _limited(
    name: str, make_sandbox: MakeSandbox, limits: CellLimits, codes: Sequence[str], ends: tuple[CellOutcome, ...]
) -> Probe:
    """Run cells that exceed a limit, up to the first that does not end as expected."""
    async with opened(make_sandbox, limits) as room:
        for code in codes:
            execution = await room.run(code)
            if execution.outcome not in ends:
                break
    return Probe(name, execution.outcome in ends, f"{_ending(execution)} after {execution.duration_s:.2f} s")


def _ending(execution: Execution) -> str:
    return execution.error.type if execution.error else "it was not stopped"


async def _time(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    return await _limited("time", make_sandbox, _BRISK, [_LOOP], ("timeout",))


async def _memory(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    return await _limited("memory", make_sandbox, _SMALL, ["x = 'x' * 400_000_000", _GROW], ("memory",))


async def _output(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    return await _limited("output", make_sandbox, _LOUD, [_PRINT], ("output",))


async def _recursion(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    return await _limited("recursion", make_sandbox, LIMITS, [_RECURSE], ("stack",))


async def _processes(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    # A container under gVisor takes seconds for what takes others milliseconds, on a machine that is busy.
    async with opened(make_sandbox, replace(LIMITS, cell_timeout_s=30.0)) as room:
        execution = await room.run(forks(MOST_PROCESSES))
    if is_missing(execution):
        return Probe("processes", holds=True, detail="there is no way to make one")
    made = _number(execution, "made")
    # If the sandbox itself has ended, so has everything in it: a bound as well, if a crude one.
    holds = (isinstance(made, int) and made < MOST_PROCESSES) or execution.outcome in ("error", "crashed", "memory")
    return Probe("processes", holds, f"{made} were made" if execution.error is None else execution.error.type)


async def _disk(make_sandbox: MakeSandbox, _: HostWatch) -> Probe:
    async with opened(make_sandbox, replace(LIMITS, cell_timeout_s=8.0)) as room:
        execution = await room.run(fills(DISK_BYTES))
    if is_missing(execution) or execution.outcome == "error":
        return Probe("disk", holds=True, detail="no file can be written")
    most = _number(execution, "size")
    if isinstance(most, int):
        return Probe("disk", most < DISK_BYTES, f"{most / 2**20:,.0f} MiB were written")
    return Probe("disk", execution.outcome == "memory", _ending(execution))


def _number(execution: Execution, name: str) -> object:
    return execution.value.get(name) if isinstance(execution.value, dict) else execution.value


PROBES: Mapping[str, Callable[[MakeSandbox, HostWatch], Awaitable[Probe]]] = MappingProxyType(
    {
        "walls": _walls,
        "time": _time,
        "memory": _memory,
        "output": _output,
        "recursion": _recursion,
        "processes": _processes,
        "disk": _disk,
    }
)
"""The probes by name."""
_BEHIND_WALLS = frozenset({"processes", "disk"})
"""Probes that are not run where the walls were not seen to hold."""


async def probe(name: str, make_sandbox: MakeSandbox, watch: HostWatch, walls: Probe | None = None) -> Probe:
    """Probe a wall or a limit of a sandbox.

    Args:
        name: A key of `PROBES`.
        make_sandbox: Creates a sandbox without starting it.
        watch: An open watch.
        walls: The result of probing the walls, if that was done; otherwise it is done when needed.

    Raises:
        SandboxUnavailable: The sandbox cannot run here.
    """
    try:
        if name in _BEHIND_WALLS:
            walls = walls or await _walls(make_sandbox, watch)
            if not walls.holds:
                return Probe(name, holds=False, detail=f"not tried without walls: {walls.detail}")
        return await PROBES[name](make_sandbox, watch)
    except SandboxUnavailable:
        raise
    except (SandboxError, Broken) as error:
        return Probe(name, holds=False, detail=f"{type(error).__name__}: {error}")
