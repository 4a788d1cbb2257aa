"""`wasm`: cells run in CPython compiled to WebAssembly, without access to the host."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes._installed import ELSEWHERE, explained, with_advice
from rlmbox.sandboxes._texts import NamedText
from rlmbox.sandboxes.wasm._cache import PreparedModule, artifacts, preparation, prepared
from rlmbox.sandboxes.worker._child import Child
from rlmbox.sandboxes.worker._sandbox import NOTES, WorkerSandbox
from rlmbox.types import Cell, CellLimits, Execution

# Programs of separate processes. The one of each session is imported there, since a script is compiled each time.
_PREPARE = Path(__file__).with_name("_prepare.py")
_RUN = (
    f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport _runner\ndel sys.path[0]\n_runner.main()"
)
_NO_FILES = (
    "there are no files here, also no temporary ones: io.StringIO() or io.BytesIO() takes what would be written, and "
    "sqlite3 has ':memory:'"
)
_FILE_ERRORS = ("FileNotFoundError", "PermissionError", "OperationalError")
_OF_FILES = re.compile(r"\[Errno \d+\] |unable to open database file")
_tried: set[str] = set()
"""Keys of guests for which this process has tried to compile the worker's modules."""


class WasmSandbox(WorkerSandbox):
    """Runs cells in CPython compiled to WebAssembly, in a process of its own.

    The guest has no network, no processes, no threads, an empty environment and no files but its standard library,
    which is read-only; numpy, pandas, scipy, scikit-learn and some forty other packages are included. It calls the host
    through one function. The process around it is limited by the kernel too, and drops root privileges if rlmbox has
    them. Needs the extra `rlmbox[wasm]`, on Linux or macOS.

    The first start on a machine compiles the guest, once: see `prepare`.
    """

    name = "wasm"
    notes = (
        "This is CPython 3.15, some three times slower than usual, with its standard library, numpy, pandas and scipy.",
        *NOTES[1:],
        "There are no threads and no processes: for calls at once, use a function of the host that takes a list.",
        "There are no files that can be written, also no temporary ones: use io.StringIO() and io.BytesIO().",
    )

    def __init__(self) -> None:
        super().__init__(_Wasm())

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`. Explains why there are no files, and imports of packages of the host."""
        execution = await super().execute(cell)
        error = execution.error
        if error and error.type.endswith(_FILE_ERRORS) and _OF_FILES.match(error.message):
            return with_advice(execution, _NO_FILES)
        return await explained(execution, ELSEWHERE)


async def prepare() -> PreparedModule:
    """Compile the guest for this machine, if that has not been done.

    It takes about a minute, 2.5 GB of memory and 350 MB in the user's cache directory. Later starts take a fraction of
    a second.

    Raises:
        SandboxUnavailable: The packages are not installed, the cache cannot be trusted, or the compilation failed.
    """
    if not hasattr(os, "killpg"):
        raise SandboxUnavailable("WasmSandbox needs Linux or macOS; use `monty`")
    found = artifacts()
    ready = prepared(found)
    if ready is not None and (ready.code is not None or found.key in _tried):
        return ready
    _tried.add(found.key)
    command = [sys.executable, "-I", "-S", str(_PREPARE), json.dumps(preparation(found))]
    done = await anyio.run_process(command, check=False, env={}, cwd="/")
    # Without the worker's compiled modules a guest compiles them itself, so it starts even where none can be kept.
    ready = prepared(found) if done.returncode == 0 or ready is not None else None
    if ready is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        memory = (
            "; it was killed, perhaps because it needs 2.5 GB of memory" if done.returncode == -signal.SIGKILL else ""
        )
        raise SandboxUnavailable(f"the guest of the wasm sandbox could not be compiled: {said[-1][:500]}{memory}")
    return ready


class _Wasm:
    """Launches guests."""

    _prepared: PreparedModule

    async def prepare(self, limits: CellLimits, texts: Sequence[NamedText], case_bytes: int) -> CellLimits:
        """Compile the guest, if that has not been done; see `Wall.prepare`."""
        self._prepared = await prepare()
        return limits

    async def launch(self, context_fd: int | None) -> Child:
        """Launch a guest; see `Wall.launch`."""
        try:
            return await anyio.to_thread.run_sync(_launched, self._prepared, context_fd)
        except OSError as error:
            raise SandboxUnavailable(f"the guest's process cannot be launched: {error}") from error


def _launched(guest: PreparedModule, context_fd: int | None) -> Child:
    interrupts = os.pipe()

    def command(wire: int, lifeline: int) -> list[str]:
        config = {
            "site": guest.site,
            "module": str(guest.module),
            "library": str(guest.library),
            "words": guest.words,
            "wire": wire,
            "lifeline": lifeline,
            "context": context_fd,
            "code": None if guest.code is None else str(guest.code),
            "interrupts": interrupts[0],
        }
        return [sys.executable, "-I", "-S", "-X", "utf8", "-c", _RUN, json.dumps(config)]

    # The process reads the file for the guest, which gets no descriptor.
    child = Child(
        command,
        folder=os.sep,
        context_fd=context_fd,
        context={"door": True} if context_fd is not None else {},
        interrupts=interrupts,
    )
    child.has_language = guest.code is not None
    return child
