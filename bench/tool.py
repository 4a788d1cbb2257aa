"""The Python tool for other agents: a round trip over standard input and output, memory over many calls, the start.

Another program drives the service through pipes, as an agent does. Memory is that of the service and of the interpreter
in its sandbox, together with what the kernel shares out to both (PSS). Growth is that of memory that no file is behind:
the share of a mapped library changes with the number of other programs on the machine that use it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure

CALLS = 50_000
SETTLED = 1_000
STARTS = 7
_OF_NO_FILE = ("Pss_Anon", "Pss_Shmem")


class Service:
    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, code: str) -> dict[str, object]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"code": code}).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def figures() -> list[Figure]:
    return [*calls(), *starts()]


def calls() -> list[Figure]:
    service = Service(sys.executable, "-m", "rlmbox", "tool")
    service.ask("x = 0")
    times, before = [], 0.0
    for number in range(CALLS):
        began = time.perf_counter()
        service.ask("x += 1")
        times.append((time.perf_counter() - began) * 1_000)
        if number + 1 == SETTLED:
            before = memory_mib(service.process.pid, _OF_NO_FILE)
    after, whole = memory_mib(service.process.pid, _OF_NO_FILE), memory_mib(service.process.pid)
    service.end()
    return [
        Figure("a call over standard input and output, default sandbox", statistics.median(times), 1),
        Figure("the same, the quickest of ten", statistics.quantiles(times, n=10)[0], None),
        Figure(f"memory after {CALLS:,} calls beside that after {SETTLED:,}", 100 * (after / before - 1), 2, "%"),
        Figure("memory of service and interpreter", whole, None, "MiB"),
    ]


def memory_mib(pid: int, kinds: tuple[str, ...] = ("Pss",)) -> float:
    """Sums the memory of a process and of all that it has started."""
    return sum(_pss_kib(each, kinds) for each in {pid, *_below(pid)}) / 1024


def _below(pid: int) -> set[int]:
    children: set[int] = set()
    for threads in Path(f"/proc/{pid}/task").glob("*/children"):
        children |= {int(child) for child in threads.read_text().split()}
    return children.union(*map(_below, children))


def _pss_kib(pid: int, kinds: tuple[str, ...]) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in kinds)


def starts() -> list[Figure]:
    """Times the start until the first answer: of the tree, of the file the first time, and of the file from then on."""
    if sys.platform != "linux":
        return []
    with tempfile.TemporaryDirectory() as folder:
        build = Path(__file__).parents[1] / "packaging" / "tool_binary.py"
        subprocess.run([sys.executable, str(build), folder], check=True, stdout=subprocess.DEVNULL)
        tree, file = Path(folder, "tree", "rlmbox-tool"), Path(folder, "rlmbox-tool")
        cache = Path(folder, "cache")
        once(tree, cache)  # what `auto` has found to hold is kept
        of_tree = [once(tree, cache) for _ in range(STARTS)]
        first = []
        for _ in range(3):
            shutil.rmtree(cache / "rlmbox" / unpacked(cache), ignore_errors=True)
            first.append(once(file, cache))
        again = [once(file, cache) for _ in range(STARTS)]
        sizes = [sum(path.lstat().st_size for path in tree.parent.rglob("*")), file.stat().st_size]
    load = os.getloadavg()[0]
    return [
        Figure("start of the unpacked tree, to the first answer", statistics.median(of_tree), 500),
        Figure("start of the single file, unpacking itself", statistics.median(first), 2_000),
        Figure("start of the single file from then on", statistics.median(again), None),
        Figure("size of the tree", sizes[0] / 2**20, None, "MiB"),
        Figure("size of the single file", sizes[1] / 2**20, None, "MiB"),
        Figure("load of the machine meanwhile", load, None, "processes"),
    ]


def unpacked(cache: Path) -> str:
    found = sorted((cache / "rlmbox").glob("rlmbox-tool-*"))
    return found[0].name if found else "nothing"


def once(program: Path, cache: Path) -> float:
    """Starts a program without anything of this environment; returns milliseconds until it has answered."""
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b'{"code": "print(1)"}\n')
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    took_ms = (time.perf_counter() - began) * 1_000
    process.stdin.close()
    process.wait()
    if answer["stdout"] != "1\n":
        raise SystemExit(f"{program} answered {answer}")
    return took_ms
