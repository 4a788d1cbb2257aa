"""`jail`: cells run in CPython, isolated by the Linux kernel. The strongest sandbox that needs no installation."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes._installed import explained
from rlmbox.sandboxes._texts import NamedText, inline_bytes
from rlmbox.sandboxes.jail import _cgroups
from rlmbox.sandboxes.kernel import _seccomp
from rlmbox.sandboxes.worker._sandbox import NOTES, WorkerSandbox
from rlmbox.types import Cell, CellLimits, Execution

if TYPE_CHECKING:
    from rlmbox.sandboxes.jail._host import GivenJail

_ALLOWED = "{name} is installed; allow it with --package {name}, or packages=['{name}']"
_REAP_S = 10.0
_SETTLE_S = 0.002  # leaves both cores to a session that begins
_PACKAGES = "/usr/lib/packages"
_SPARE_BYTES = 128 << 20  # for the interpreter, /tmp, pipes and kernel memory
_TASKS = 256


class JailSandbox(WorkerSandbox):
    """Runs cells in a process with its own namespaces: no network, no host files, no privileges, no new processes.

    Inside are this interpreter, its standard library and the named packages, all read-only, and an empty /tmp in memory
    (32 MiB). Memory, threads, files and time are limited by the kernel. Works on Linux on x86_64 and aarch64, as root
    and as an ordinary user if user namespaces are allowed; needs no installation. The limits of a cell are those of
    `CellLimits`.

    Args:
        packages: Names of distributions installed in this environment, such as `numpy`, that cells may import; their
            requirements are included. The memory that their code takes when imported is added to the limit.
        control_group: Whether to limit each jail's memory and tasks by a control group, too, in addition to the
            limits that always apply; costs up to 15 ms per start and needs a cgroup that this process may divide.
    """

    name = "jail"
    notes: tuple[str, ...] = (
        *NOTES,
        "There is no network and no file but your own in /tmp; new processes cannot be started, threads can.",
    )

    def __init__(self, *, packages: Sequence[str] = (), control_group: bool = False) -> None:
        self._jail = _JailWall(tuple(packages), control_group=control_group)
        super().__init__(self._jail, [_PACKAGES] if packages else [])
        if packages:
            self.notes = (*self.notes, f"These packages can be imported: {', '.join(packages)}.")

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`. An error on importing an installed but not named package says so."""
        return await explained(await super().execute(cell), _ALLOWED)

    @staticmethod
    def walls() -> tuple[str, ...]:
        """Describe the isolation of a jail on this machine, in a few words each."""
        return _walls()


class _JailWall:
    """Launches workers in jails.

    Args:
        packages: Names of distributions to make available.
        control_group: Whether to create a control group for each.
    """

    def __init__(self, packages: tuple[str, ...], *, control_group: bool) -> None:
        self._packages = packages
        self._control_group = control_group
        self._group_bytes = 0

    async def prepare(self, limits: CellLimits, texts: Sequence[NamedText], case_bytes: int) -> CellLimits:
        """Add the packages' code to the memory of a worker; see `Wall.prepare`."""
        # A text of n bytes is read, and then decoded to at most four bytes per character.
        shown_bytes = inline_bytes(texts[1:]) + texts[0].text.size_bytes
        self._group_bytes = limits.memory_bytes + case_bytes + 5 * shown_bytes + _SPARE_BYTES
        # The address space of the packages' code counts as memory before a cell has used any of it.
        room = await anyio.to_thread.run_sync(self._code_bytes) if self._packages else 0
        return replace(limits, memory_bytes=limits.memory_bytes + room)

    async def launch(self, context_fd: int | None) -> _Jailed:
        """Launch a worker; see `Wall.launch`."""
        if sys.platform != "linux":
            raise SandboxUnavailable("a jail needs Linux; use `monty`")
        machine = os.uname().machine
        if machine not in _seccomp.MACHINES:
            raise SandboxUnavailable(f"there is no jail for {machine} yet; use `monty`")
        if self._control_group and not _cgroup_place().folders:
            raise SandboxUnavailable(f"{_cgroup_place()}; leave control_group out, or have one delegated to you")
        try:
            # If a jail is ready, taking it is quicker than a thread switch.
            ticket = None if self._control_group else self._ready(context_fd)
            if ticket is not None:
                asyncio.get_running_loop().call_later(_SETTLE_S, ticket.fork_server.settle)
                return _Jailed(ticket, context_fd)
            return await anyio.to_thread.run_sync(self._launch, context_fd)
        except OSError as error:
            from rlmbox.sandboxes.jail._host import with_remedy

            raise SandboxUnavailable(with_remedy(str(error))) from error

    def _code_bytes(self) -> int:
        """Return the address space that the packages' compiled code may take."""
        from rlmbox.sandboxes.jail._plan import code_bytes

        return code_bytes(self._packages)

    def _ready(self, context_fd: int | None) -> GivenJail | None:
        from rlmbox.sandboxes.jail._host import take

        with _read_only(context_fd) as shown:
            return take(self._packages, shown)

    def _launch(self, context_fd: int | None) -> _Jailed:
        from rlmbox.sandboxes.jail._host import admit

        with _read_only(context_fd) as shown:
            jailed = _Jailed(admit(self._packages, shown), context_fd)
        if self._control_group:
            jailed.join_group(self._group_bytes)
        return jailed


class _Jailed:
    """A worker in a jail.

    Args:
        ticket: The jail.
        context_fd: A file that it was given.
    """

    has_language = True

    def __init__(self, ticket: GivenJail, context_fd: int | None) -> None:
        from rlmbox.sandboxes.jail._channel import CONTEXT_FD

        self.context: Mapping[str, Any] = {} if context_fd is None else {"fd": CONTEXT_FD}
        self.wire, self.outputs = ticket.wire, ticket.outputs
        self._ticket = ticket
        self._ended = False
        self._groups: list[Path] = []

    def join_group(self, group_bytes: int) -> None:
        """Also limit it by a control group, to a number of bytes."""
        try:
            self._groups = _cgroups.confine(_cgroup_place(), self._ticket.pid, group_bytes, _TASKS)
        except OSError:
            self.kill()
            self._reap()
            self.wire.close()
            for fd in self.outputs:
                os.close(fd)
            raise

    @property
    def pid(self) -> int:
        """The worker's process id, by the host's numbering."""
        return self._ticket.pid

    def ease(self) -> None:
        """Have the fork server raise its memory limit to the hard limit; see `WorkerProcess.ease`."""
        self._ticket.fork_server.ease(self._ticket.pid)

    def interrupt(self) -> bool:
        """Interrupt the running cell; see `WorkerProcess.interrupt`."""
        if self._ended:
            return False
        try:
            signal.pidfd_send_signal(self._ticket.pidfd, signal.SIGINT)
        except OSError:  # it has ended, or belongs to a user that we may not signal
            return False
        return True

    def kill(self) -> None:
        """Kill the jail's first process, whereupon the kernel kills all others; see `WorkerProcess.kill`."""
        if not self._ended:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._ticket.pidfd, signal.SIGKILL)

    async def reap(self) -> str:
        """Wait for the end of all its processes; see `WorkerProcess.reap`."""
        self._ended = True
        return await anyio.to_thread.run_sync(self._reap)

    def _reap(self) -> str:
        from rlmbox.sandboxes.jail._host import how_it_ended

        how = how_it_ended(self._ticket, _REAP_S)
        _cgroups.release(self._groups)
        return how


@contextmanager
def _read_only(fd: int | None) -> Iterator[int | None]:
    """Reopen a file so that whoever receives the descriptor can read and map it, but not write."""
    if fd is None:
        yield None
        return
    import fcntl

    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    with suppress(OSError):  # a file on disk, or one created without sealing
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    shown = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield shown
    finally:
        os.close(shown)


@cache
def _cgroup_place() -> _cgroups.CgroupPlace:
    return _cgroups.find_place()


def _walls() -> tuple[str, ...]:
    from rlmbox.sandboxes.jail import _child
    from rlmbox.sandboxes.kernel import _landlock

    abi = _landlock.landlock_abi()
    machine = os.uname().machine
    calls = len(_seccomp.allowed(machine, in_namespaces=True)) if machine in _seccomp.MACHINES else 0
    return (
        "namespaces: user, mount, pid, net, ipc, uts, cgroup",
        f"seccomp: {calls} system calls allowed",
        f"Landlock ABI {abi}" if abi else "no Landlock: the kernel has none",
        str(_cgroup_place()),
        f"{_child.PROCESSES} threads, no new processes, {_child.SCRATCH_BYTES >> 20} MiB of /tmp",
    )
