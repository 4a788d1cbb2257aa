"""A worker as a child process: launched with a wire and a lifeline, killed with its process group, reaped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread

from rlmbox.sandboxes.worker._worker import HASH_SEED

_REAP_S = 10.0


class Child:
    """A worker in a child process, which leads a process group and inherits only the environment of a worker.

    Args:
        command: Returns the command line, given the descriptors of the wire and of the lifeline (the reading end of a
            pipe that closes when the host dies).
        folder: Working directory of the child.
        context_fd: A file that the child inherits under the same descriptor number; None for none.
        context: Where the worker finds the context; see `WorkerProcess.context`.
        free: Called when the child has ended or could not be launched, to release what belongs to it.
        takes_interrupts: Whether the process is the worker itself, which takes SIGINT as the end of its cell.
        interrupts: Read and write end of a pipe through which a process around the worker is told to interrupt the
            cell. The child inherits the read end; this object owns both.

    Raises:
        OSError: The child cannot be launched.
    """

    has_language = False

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        *,
        folder: str | Path,
        context_fd: int | None,
        context: Mapping[str, Any],
        free: Callable[[], object] = lambda: None,
        takes_interrupts: bool = False,
        interrupts: tuple[int, int] | None = None,
    ) -> None:
        self.context = context
        self.wire, theirs = socket.socketpair()
        (out, to_out), (err, to_err), (held, lifeline) = os.pipe(), os.pipe(), os.pipe()
        self.outputs = (out, err)
        self._lifeline, self._free = lifeline, free
        self._takes_interrupts = takes_interrupts
        inherited = [fd for fd in (context_fd, interrupts and interrupts[0]) if fd is not None]
        self._interrupts = -1 if interrupts is None else interrupts[1]
        if interrupts is not None:
            os.set_blocking(interrupts[1], False)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                command(theirs.fileno(), held),
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                pass_fds=[theirs.fileno(), held, *inherited],
                env={"PYTHONHASHSEED": HASH_SEED},
                cwd=folder,
                start_new_session=True,
            )
        except BaseException:
            self.wire.close()
            os.close(out)
            os.close(err)
            self._let_go()
            raise
        finally:
            theirs.close()
            for fd in (to_out, to_err, held, *(interrupts or ())[:1]):
                os.close(fd)

    def ease(self) -> None:
        """Raise the child's memory limit to the hard limit; see `WorkerProcess.ease`."""
        with suppress(ImportError, AttributeError):  # Linux only
            import resource

            _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_AS)
            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (hard, hard))

    def interrupt(self) -> bool:
        """Interrupt the cell that runs; see `WorkerProcess.interrupt`."""
        if self._takes_interrupts and self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGINT)
                return True
        if self._interrupts >= 0:
            with suppress(OSError):
                return os.write(self._interrupts, b"i") == 1
        return False

    def kill(self) -> None:
        """Kill the process group; see `WorkerProcess.kill`."""
        # The child is reaped only after this, so its process id cannot belong to another process yet.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def reap(self) -> str:
        """Wait for the child and release its resources; see `WorkerProcess.reap`."""
        return await anyio.to_thread.run_sync(self._reap)

    def _reap(self) -> str:
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return "it has not ended yet"
        finally:
            self._let_go()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _let_go(self) -> None:
        if self._interrupts >= 0:
            os.close(self._interrupts)
            self._interrupts = -1
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)
            self._free()
