"""The host's end of the nursery: starts it, asks it for jails, and ends it with the process."""

from __future__ import annotations

import atexit
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes._jail_kernel import receive, send
from rlmbox.sandboxes._jail_launch import bootstrap
from rlmbox.sandboxes._jail_plan import Plan, plan_for

SPARES = 2
"""Jails that a nursery keeps ready, each about 2 MB."""

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Ticket:
    """A jail that was asked for and given.

    Attributes:
        pid: Its first process, as the host numbers it.
        pidfd: The same as a descriptor, which no other process can take over.
        status: Where the nursery says how it ended.
    """

    pid: int
    pidfd: int
    status: socket.socket


class Nursery:
    """A process that forks jails.

    Args:
        plan: What is inside them.

    Raises:
        SandboxUnavailable: The process cannot be started.
    """

    def __init__(self, plan: Plan) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        plan_fd = os.memfd_create("plan")
        errors, to_errors = os.pipe()
        self._errors = errors
        try:
            os.write(plan_fd, plan.encoded(SPARES))
            os.lseek(plan_fd, 0, os.SEEK_SET)
            code = bootstrap(str(Path(__file__).parent), "_jail_launch")
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
            self._control.close()
            os.close(errors)
            raise SandboxUnavailable(f"the jail's first process cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(plan_fd)
            os.close(to_errors)

    def admit(self, fds: Sequence[int]) -> Ticket:
        """Asks for a jail.

        Args:
            fds: What its worker gets: the wire, two pipes for what it prints, and perhaps the context.

        Raises:
            BrokenPipeError: The nursery is gone.
            SandboxUnavailable: No jail can be built here.
        """
        status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            status.settimeout(_START_TIMEOUT_S)
            with theirs:
                send(self._control, b"start", [theirs.fileno(), *fds])
            return _ticket(status)
        except BaseException:
            status.close()
            raise

    def close(self) -> str:
        """Ends the process and all its jails; gives what it complained of."""
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
        """Lets go of a nursery that belongs to the process this one was forked from."""
        self._control.close()
        os.close(self._errors)
        self._process.returncode = 0  # not ours to wait for


def _ticket(status: socket.socket) -> Ticket:
    message, fds = receive(status)
    if not message:
        raise BrokenPipeError("the jails' nursery is gone")
    if not message.startswith(b"+"):
        raise SandboxUnavailable(_with_remedy(message[1:].decode(errors="replace")))
    return Ticket(int(message[1:]), fds[0], status)


_nurseries: dict[tuple[str, ...], Nursery] = {}
_lock = threading.Lock()
_owner = 0


def admit(packages: tuple[str, ...], fds: Sequence[int]) -> Ticket:
    """Asks the nursery for these packages for a jail; starts it where there is none.

    Args:
        packages: Names of distributions.
        fds: As in `Nursery.admit`.

    Raises:
        ConfigError: A package cannot be shown in a jail.
        SandboxUnavailable: No jail can be built here.
    """
    for _ in range(2):
        nursery = _nursery(packages)
        try:
            return nursery.admit(fds)
        except (BrokenPipeError, ConnectionResetError):
            said = _discard(packages, nursery)
            if said:
                raise SandboxUnavailable(_with_remedy(said)) from None
        except TimeoutError:
            raise SandboxUnavailable(f"no jail was ready within {_START_TIMEOUT_S:g} s") from None
    raise SandboxUnavailable("the process that makes jails ended twice without a word; see the kernel's log")


def close_nurseries() -> None:
    """Ends the processes that make jails, and all jails; the next session starts them anew."""
    with _lock:
        nurseries = list(_nurseries.values())
        _nurseries.clear()
    if _owner == os.getpid():
        for nursery in nurseries:
            nursery.close()


def _nursery(packages: tuple[str, ...]) -> Nursery:
    global _owner
    with _lock:
        if _owner != os.getpid():
            for inherited in _nurseries.values():
                inherited.abandon()
            _nurseries.clear()
            _owner = os.getpid()
            atexit.register(close_nurseries)
        if packages not in _nurseries:
            _nurseries[packages] = Nursery(plan_for(packages))
        return _nurseries[packages]


def _discard(packages: tuple[str, ...], nursery: Nursery) -> str:
    with _lock:
        if _nurseries.get(packages) is not nursery:
            return ""
        del _nurseries[packages]
    return nursery.close()


def how_it_ended(ticket: Ticket, timeout_s: float) -> str:
    """Waits until nothing of a jail is left, and says how its first process ended.

    Args:
        ticket: The jail; its descriptors are closed.
        timeout_s: Seconds to wait.
    """
    try:
        with selectors.DefaultSelector() as selector:
            # The kernel reports the end of a namespace's first process only after that of all others in it.
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


def _with_remedy(said: str) -> str:
    """Says what would help."""
    line = said.splitlines()[-1] if said else "it gave no reason"
    remedy = "allow unprivileged user namespaces, or use `monty`"
    if "No space left" in line:
        remedy = "raise user.max_user_namespaces and its like with sysctl, or use `monty`"
    elif "not permitted" in line or "denied" in line:
        remedy = (
            "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 or "
            "kernel.unprivileged_userns_clone=1; in a container, a seccomp profile that lets unshare and mount "
            "through), or use `monty`"
        )
    return f"no jail can be built here: {line}; {remedy}"
