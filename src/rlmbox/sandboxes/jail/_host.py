"""The host's end of the fork server: starts it, requests jails, and ends it with the process."""

from __future__ import annotations

import atexit
import errno
import os
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.jail._channel import bootstrap, receive, send

if TYPE_CHECKING:
    from rlmbox.sandboxes.jail._plan import JailPlan

SPARES = 4
"""Jails that a fork server keeps ready, each about 2 MB."""

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0
_GIVEN = 6  # descriptors that accompany a jail


@dataclass(slots=True)
class GivenJail:
    """A jail received from a fork server.

    Attributes:
        pid: Its first process, by the host's numbering.
        pidfd: A descriptor of that process, which is never reused.
        status: Where the fork server reports how it ended.
        gate: Where it waits for its session.
        wire: Stream socket connected to its worker.
        outputs: Its output pipes.
        fork_server: The fork server that built it.
    """

    pid: int
    pidfd: int
    status: socket.socket
    gate: socket.socket
    wire: socket.socket
    outputs: tuple[int, int]
    fork_server: ForkServer

    def open_gate(self, context_fd: int | None) -> bool:
        """Begin a session, with a file for the worker; return whether the jail was still alive."""
        with self.gate:
            try:
                send(self.gate, b"go", [] if context_fd is None else [context_fd])
            except OSError:  # it ended while waiting
                self.drop()
                return False
        return True

    def drop(self) -> None:
        """Release a jail that is not used."""
        for channel in (self.status, self.gate, self.wire):
            channel.close()
        for fd in (self.pidfd, *self.outputs):
            os.close(fd)


class ForkServer:
    """A process that forks jails.

    Args:
        make_plan: Returns the contents of the jails; called while the process starts, which takes as long.

    Raises:
        SandboxUnavailable: The process cannot be started.
        ConfigError: Raised by `make_plan`.
    """

    def __init__(self, make_plan: Callable[[], JailPlan]) -> None:
        self._owed: deque[bytes] = deque()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan_fd, to_launcher = os.pipe()
        self._errors, to_errors = os.pipe()
        try:
            code = bootstrap(str(Path(__file__).parent.parent), "_launcher")
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", code, str(theirs.fileno()), str(plan_fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=to_errors,
                pass_fds=(theirs.fileno(), plan_fd),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(to_launcher)
            self._control.close()
            os.close(self._errors)
            raise SandboxUnavailable(f"the jail's first process cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(plan_fd)
            os.close(to_errors)
        try:
            with open(to_launcher, "wb") as pipe, suppress(BrokenPipeError):  # noqa: PTH123 - a descriptor
                pipe.write(make_plan().encoded(SPARES))
        except BaseException:
            self.close()
            raise

    def take(self, context_fd: int | None) -> GivenJail | None:
        """Take a jail that is ready and begin a session in it; return None if none is ready.

        Args:
            context_fd: A file for the worker.

        Raises:
            BrokenPipeError: The fork server is gone.
        """
        while True:
            try:
                ticket = self._received(b"taken")
            except BlockingIOError:
                return None
            except SandboxUnavailable:  # reported to another session, or to an earlier one
                continue
            if ticket.open_gate(context_fd):
                return ticket

    def settle(self) -> None:
        """Tell the fork server which jails were taken, so that it builds others; call this when the cores are idle."""
        with suppress(OSError, IndexError):  # the server is gone, though not its jails; nothing is owed any more
            while True:
                send(self._control, self._owed.popleft())

    def admit(self, context_fd: int | None) -> GivenJail:
        """Wait until a jail is ready, and begin a session in it.

        Args:
            context_fd: A file for the worker.

        Raises:
            BrokenPipeError: The fork server is gone.
            SandboxUnavailable: No jail can be built here.
            TimeoutError: None was ready in time.
        """
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        ready = select.poll()
        ready.register(self._control, select.POLLIN)
        while True:
            self.settle()
            send(self._control, b"wait")
            while True:
                if not ready.poll(max(deadline_s - time.monotonic(), 0) * 1_000):
                    raise TimeoutError
                with suppress(BlockingIOError):  # another session was faster
                    try:
                        ticket = self._received(b"got")
                    finally:
                        self.settle()
                    break
            if ticket.open_gate(context_fd):
                return ticket

    def _received(self, answer: bytes) -> GivenJail:
        """Read the next jail from the channel, without waiting; the fork server is owed an answer in any case.

        Raises:
            BlockingIOError: The channel is empty.
            BrokenPipeError: The fork server is gone.
            SandboxUnavailable: The channel contains the reason why no jail can be built.
            OSError: This process may not open more files.
        """
        if self._is_gone():  # jails left in the channel die with it, some only in a moment
            raise BrokenPipeError("the jails' fork server is gone")
        message, fds = receive(self._control, socket.MSG_DONTWAIT)
        if not message:
            raise BrokenPipeError("the jails' fork server is gone")
        self._owed.append(answer)
        if not message.startswith(b"+"):
            raise SandboxUnavailable(with_remedy(message[1:].decode(errors="replace")))
        if len(fds) != _GIVEN:  # this process may open no more, and the kernel has dropped the rest
            for fd in fds:
                os.close(fd)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        pidfd, status_fd, gate_fd, wire_fd, *outputs = fds
        # With all arguments given, because otherwise Python makes three system calls for each.
        status, gate = (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd) for fd in (status_fd, gate_fd))
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, wire_fd)
        return GivenJail(int(message[1:]), pidfd, status, gate, wire, (outputs[0], outputs[1]), self)

    def _is_gone(self) -> bool:
        state = select.poll()
        state.register(self._control, 0)  # a hang-up is always reported
        return bool(state.poll(0))

    def ease(self, pid: int) -> None:
        """Raise a jail's memory limit to the hard limit, which its own user may do, while we may not be allowed to.

        Raises:
            OSError: The fork server is gone.
        """
        send(self._control, b"ease %d" % pid)

    def close(self) -> str:
        """End the process and all its jails; return what it wrote to its standard error."""
        self._control.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.set_blocking(self._errors, False)
        said = b""
        with suppress(BlockingIOError):
            said = os.read(self._errors, 1 << 16)
        os.close(self._errors)
        return said.decode(errors="replace").strip()

    def abandon(self) -> None:
        """Release a fork server that belongs to the process from which this one was forked."""
        self._control.close()
        os.close(self._errors)
        self._process.returncode = 0  # not our child, so never to be waited for


_fork_servers: dict[tuple[str, ...], ForkServer] = {}
_lock = threading.Lock()
_owner = 0


def take(packages: tuple[str, ...], context_fd: int | None) -> GivenJail | None:
    """Take a jail that is ready, without waiting; return None if there is none.

    Args:
        packages: Names of distributions.
        context_fd: As in `ForkServer.take`.
    """
    fork_server = _fork_servers.get(packages)
    if fork_server is None or _owner != os.getpid():
        return None
    try:
        return fork_server.take(context_fd)
    except OSError:  # `admit` handles it
        return None


def admit(packages: tuple[str, ...], context_fd: int | None) -> GivenJail:
    """Request a jail with these packages from its fork server, starting that if needed.

    Args:
        packages: Names of distributions.
        context_fd: As in `ForkServer.take`.

    Raises:
        ConfigError: A package cannot be made available in a jail.
        SandboxUnavailable: No jail can be built here.
    """
    for _ in range(2):
        fork_server = _fork_server(packages)
        try:
            return fork_server.admit(context_fd)
        except (BrokenPipeError, ConnectionResetError):
            said = _discard(packages, fork_server)
            if said:
                raise SandboxUnavailable(with_remedy(said)) from None
        except TimeoutError:
            raise SandboxUnavailable(f"no jail was ready within {_START_TIMEOUT_S:g} s") from None
    raise SandboxUnavailable("the process that makes jails ended twice without a message; see the kernel's log")


def close_fork_servers() -> None:
    """End all fork servers and jails; the next session starts new ones."""
    with _lock:
        fork_servers = list(_fork_servers.values())
        _fork_servers.clear()
    if _owner == os.getpid():
        for fork_server in fork_servers:
            fork_server.close()


def _fork_server(packages: tuple[str, ...]) -> ForkServer:
    global _owner
    with _lock:
        if _owner != os.getpid():
            for inherited in _fork_servers.values():
                inherited.abandon()
            _fork_servers.clear()
            _owner = os.getpid()
            atexit.register(close_fork_servers)
        if packages not in _fork_servers:
            _fork_servers[packages] = ForkServer(partial(_plan_for, packages))
        return _fork_servers[packages]


def _plan_for(packages: tuple[str, ...]) -> JailPlan:
    from rlmbox.sandboxes.jail import _plan  # late: imported while the launcher starts

    return _plan.plan_for(packages)


def _discard(packages: tuple[str, ...], fork_server: ForkServer) -> str:
    with _lock:
        if _fork_servers.get(packages) is not fork_server:
            return ""
        del _fork_servers[packages]
    return fork_server.close()


def how_it_ended(ticket: GivenJail, timeout_s: float) -> str:
    """Wait until nothing of a jail is left, and return how its first process ended.

    Args:
        ticket: The jail; its descriptors are closed.
        timeout_s: Seconds to wait.
    """
    try:
        with selectors.DefaultSelector() as selector:
            # The kernel reports the end of a namespace's first process only after all others in it have ended.
            selector.register(ticket.pidfd, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return "it has not ended yet"
        ticket.status.settimeout(timeout_s)
        message, _ = receive(ticket.status)
    except OSError:
        message = b""
    finally:
        os.close(ticket.pidfd)
        ticket.status.close()
    code = int(message.removeprefix(b"exit ") or -9)
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def with_remedy(said: str) -> str:
    """Return the reason why no jail can be built, with a remedy.

    Args:
        said: What the system or the fork server said.
    """
    line = said.splitlines()[-1] if said else "it gave no reason"
    remedy = "allow unprivileged user namespaces, or use `monty`"
    if "No space left" in line:
        remedy = "raise user.max_user_namespaces and its like with sysctl, or use `monty`"
    elif "Too many open files" in line:
        remedy = "raise the limit of open files (ulimit -n), or close some"
    elif "not permitted" in line or "denied" in line:
        remedy = (
            "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 or "
            "kernel.unprivileged_userns_clone=1; in a container, a seccomp profile that lets unshare and mount "
            "through), or use `monty`"
        )
    return f"no jail can be built here: {line}; {remedy}"
