"""`local`: cells run in a plain child process, with no isolation at all. For development only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread

from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes import _worker
from rlmbox.sandboxes._worker_sandbox import NOTES, WorkerSandbox

_REAP_S = 10.0
_EXPLANATION = (
    "LocalSandbox does not isolate: code that a model writes can read, change and send whatever you can. "
    "Use `monty`, or accept that with LocalSandbox(unsafe_no_isolation=True)"
)


class LocalSandbox(WorkerSandbox):
    """Runs cells in a plain child process: no wall, for development and for code that you trust.

    An endless loop, a crash or too much memory ends the child and not you. Everything else is open: the child
    can read your files, reach the network and signal your processes. Its environment is empty and its working
    directory is a private one that is removed afterwards. Works on Linux and macOS; memory is limited on
    Linux only.

    Args:
        unsafe_no_isolation: Must be True; says that you know this.
        package_paths: Directories that imports search after the standard library, such as that of
            site-packages; none unless given.

    Raises:
        ConfigError: `unsafe_no_isolation` is not True.
    """

    name = "local"
    notes = NOTES

    def __init__(self, *, unsafe_no_isolation: bool = False, package_paths: Sequence[str | Path] = ()) -> None:
        if unsafe_no_isolation is not True:
            raise ConfigError(_EXPLANATION)
        super().__init__(_NoWall(), package_paths)


class _NoWall:
    """Launches a worker as a child in a process group of its own."""

    async def launch(self, context_fd: int | None) -> _Child:
        """Launches a worker; see `Wall.launch`."""
        if not hasattr(os, "killpg"):
            raise SandboxUnavailable("LocalSandbox needs Linux or macOS; use `monty`")
        try:
            return await anyio.to_thread.run_sync(_Child, context_fd)
        except OSError as error:
            raise SandboxUnavailable(f"the worker cannot be launched: {error}") from error


class _Child:
    """A worker in a child process.

    Args:
        context_fd: A file that it inherits.
    """

    def __init__(self, context_fd: int | None) -> None:
        self._undo: list[Callable[[], None]] = []
        try:
            self._launch(context_fd)
        except BaseException:
            self._free()
            raise

    def _launch(self, context_fd: int | None) -> None:
        directory = tempfile.mkdtemp(prefix="rlmbox-local-")
        self._undo.append(lambda: _remove(directory))
        self.wire, theirs = socket.socketpair()
        (out, to_out), (err, to_err), (held, lifeline) = os.pipe(), os.pipe(), os.pipe()
        self._undo.append(lambda: os.close(lifeline))
        self.outputs = (out, err)
        self.context: Mapping[str, Any] = {} if context_fd is None else {"fd": context_fd}
        inherited = [theirs.fileno(), held, *(() if context_fd is None else (context_fd,))]
        command = [sys.executable, "-I", "-S", "-X", "utf8", _worker.__file__]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [*command, *(str(fd) for fd in (theirs.fileno(), theirs.fileno(), held))],
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                pass_fds=inherited,
                env={},
                cwd=directory,
                start_new_session=True,
            )
        except BaseException:
            self.wire.close()
            os.close(out)
            os.close(err)
            raise
        finally:
            theirs.close()
            for fd in (to_out, to_err, held):
                os.close(fd)

    def kill(self) -> None:
        """Ends the child's process group; see `WorkerProcess.kill`."""
        # The child is reaped after this only, so that its number cannot be another's yet.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def reap(self) -> str:
        """Waits for the child and frees what it had; see `WorkerProcess.reap`."""
        return await anyio.to_thread.run_sync(self._reap)

    def _reap(self) -> str:
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return "it has not ended yet"
        finally:
            self._free()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _free(self) -> None:
        while self._undo:
            self._undo.pop()()


def _remove(directory: str) -> None:
    """Removes a directory, also where a cell took away its own permissions."""
    shutil.rmtree(directory, ignore_errors=True)
    if Path(directory).exists():
        for parent, _, _ in os.walk(directory):
            with suppress(OSError):
                Path(parent).chmod(0o700)
        shutil.rmtree(directory, ignore_errors=True)
