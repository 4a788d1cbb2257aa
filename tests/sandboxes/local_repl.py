"""A session in `local`, and what the host can see of it from outside."""

import gc
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.worker import _worker
from rlmbox.types import CellLimits, HostFunction
from sandboxes.repl import Repl

LIMITS = CellLimits(cell_timeout_s=10.0)
# Memory that is full of small objects within a `with`, and so far down that CPython needs an int to leave it.
FULL_FAR_DOWN = (
    "import contextlib\n"
    + "\n".join(f"a{n} = len('x')" for n in range(60))
    + ("\nd = {}\nwith contextlib.suppress(ValueError):\n    for i in range(10**9): d[i] = str(i)")
)


@asynccontextmanager
async def local(
    *functions: HostFunction,
    text: str = "text",
    limits: CellLimits = LIMITS,
    packages: list[Path] | None = None,
    worker: str = "",
    inputs: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[Repl[LocalSandbox]]:
    """Start a session; `worker` is the source of another worker than the usual one."""
    sandbox = LocalSandbox(unsafe_no_isolation=True, package_paths=packages or ())
    with ExitStack() as undo:
        if worker:
            file = Path(undo.enter_context(tempfile.TemporaryDirectory())) / "_worker.py"
            file.write_text(worker)
            undo.enter_context(pytest.MonkeyPatch.context()).setattr(_worker, "__file__", str(file))
        host = {f.name: f for f in functions}
        await sandbox.start(limits, Context.from_text(text), host, query="why?", inputs=inputs)
    try:
        yield Repl(sandbox)
    finally:
        await sandbox.close()


def is_running(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped by somebody else."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def wait_for_end(pid: int) -> None:
    for _ in range(500):
        if not is_running(pid):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still running")


async def child_of_killed_host(program: str, **environment: str) -> int:
    """Runs a host that prints the number of its child, and kills it while that lives; gives the number.

    Args:
        program: The host's code; may be indented.
        environment: Variables that are set for it.
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    host = await anyio.open_process(command, stdout=subprocess.PIPE, env={**os.environ, **environment})
    async with host:
        assert host.stdout is not None
        pid = int((await host.stdout.receive()).decode())
        await anyio.sleep(0.2)
        assert is_running(pid)
        host.kill()
    return pid


def open_descriptors() -> int:
    """Return how many are open, but for those that texts keep that nobody has any more."""
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


def private_directories() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("rlmbox-local-*"))
