"""`local`: cells run in a plain child process, with no isolation at all. For development only."""

from __future__ import annotations

import marshal
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import anyio.to_thread

from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes._installed import explained
from rlmbox.sandboxes._texts import NamedText
from rlmbox.sandboxes.worker import _worker
from rlmbox.sandboxes.worker._child import Child
from rlmbox.sandboxes.worker._compiled import compiled
from rlmbox.sandboxes.worker._language import LANGUAGE
from rlmbox.sandboxes.worker._sandbox import NOTES, WorkerSandbox
from rlmbox.types import Cell, CellLimits, Execution

_BOOT = Path(__file__).with_name("_boot.py")
_MODULES = tuple(Path(_worker.__file__).with_name(f"{name}.py") for name in LANGUAGE)
_EXPLANATION = (
    "LocalSandbox does not isolate: code that a model writes can read, change and send whatever you can. "
    "Use `monty`, or accept that with LocalSandbox(unsafe_no_isolation=True)"
)


class LocalSandbox(WorkerSandbox):
    """Runs cells in a plain child process, without isolation, for development and for code that you trust.

    An endless loop, a crash or too much memory ends the child and not your process. Everything else is open: the child
    can read your files, reach the network and signal your processes. Its environment is empty and its working
    directory is a private one that is removed afterwards. Works on Linux and macOS; memory is limited on Linux only.

    Args:
        unsafe_no_isolation: Must be True, to confirm that you know this.
        package_paths: Directories, such as site-packages, that are searched for imports after the standard library;
            none by default.

    Raises:
        ConfigError: `unsafe_no_isolation` is not True.
    """

    name = "local"
    notes = NOTES

    def __init__(self, *, unsafe_no_isolation: bool = False, package_paths: Sequence[str | Path] = ()) -> None:
        if unsafe_no_isolation is not True:
            raise ConfigError(_EXPLANATION)
        super().__init__(_NoWall(), package_paths)

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`. An error on importing an installed but not allowed package says so."""
        return await explained(await super().execute(cell), _allowed)


def _allowed(name: str) -> str:
    place = sysconfig.get_path("purelib")
    return f"{name} is installed; allow it with --package {name}, or package_paths=[{place!r}]"


class _NoWall:
    """Launches a worker as a child in a process group of its own."""

    async def prepare(self, limits: CellLimits, texts: Sequence[NamedText], case_bytes: int) -> CellLimits:
        """Prepare nothing; see `Wall.prepare`."""
        return limits

    async def launch(self, context_fd: int | None) -> Child:
        """Launch a worker; see `Wall.launch`."""
        if not hasattr(os, "killpg"):
            raise SandboxUnavailable("LocalSandbox needs Linux or macOS; use `monty`")
        try:
            return await anyio.to_thread.run_sync(_launched, context_fd)
        except OSError as error:
            raise SandboxUnavailable(f"the worker cannot be launched: {error}") from error


class _LocalWorker(Child):
    has_language = True


def _launched(context_fd: int | None) -> Child:
    folder = tempfile.mkdtemp(prefix="rlmbox-local-")
    worker, modules = _worker.__file__, os.pathsep.join(str(path) for path in _MODULES)

    def command(wire: int, lifeline: int) -> list[str]:
        return [sys.executable, "-s", "-P", "-S", "-X", "utf8", str(_BOOT), worker, modules, str(wire), str(lifeline)]

    context = {} if context_fd is None else {"fd": context_fd}
    child = _LocalWorker(
        command,
        folder=folder,
        context_fd=context_fd,
        context=context,
        free=partial(_remove, folder),
        takes_interrupts=True,
    )
    with suppress(OSError):  # it has ended, and the start frame finds out how
        child.wire.sendall(_code(worker))
    return child


@lru_cache(maxsize=1)
def _code(worker: str) -> bytes:
    """Return the code that `_boot.py` reads from the wire."""
    codes = [compiled(Path(worker), worker), *(compiled(path, path.name) for path in _MODULES)]
    written = [marshal.dumps(code) for code in codes]
    return MAGIC_NUMBER + b"".join(len(code).to_bytes(4, "big") + code for code in written)


def _remove(directory: str) -> None:
    """Remove a directory, even if a cell took away its own permissions."""
    shutil.rmtree(directory, ignore_errors=True)
    if Path(directory).exists():
        for parent, _, _ in os.walk(directory):
            with suppress(OSError):
                Path(parent).chmod(0o700)
        shutil.rmtree(directory, ignore_errors=True)
