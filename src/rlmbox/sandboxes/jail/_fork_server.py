"""The fork server: a process in the jail's root that holds no data, and forks one jail after another.

Forking an initialised interpreter takes a millisecond, starting one takes ten. A few jails are built in advance, when
there is nothing else to do, and queued in the channel to the host, which takes one when a session begins and opens its
gate directly. Each is used once.

The fork server is a fresh process with an empty environment and no descriptor except the channel to the host: its forks
share nothing with the host, and no memory that a session has written to.
"""

from __future__ import annotations

import _socket
import errno
import gc
import marshal
import os
import resource
import select
import sys

from rlmbox.sandboxes.jail import _child
from rlmbox.sandboxes.jail._channel import CODE_FOLDER, receive, send
from rlmbox.sandboxes.kernel import _calls as kernel
from rlmbox.sandboxes.kernel._seccomp import GATE_FD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BUILD_TIMEOUT_S = 10.0
_REST_MS = 3  # building in advance takes a core, which a session that begins or ends needs more
_DESCRIPTORS = 65_536  # three for each jail
_FEWEST_DESCRIPTORS = GATE_FD + 16
# The worker's imports, and then the most common ones of cells; imported once here instead of in each jail.
_NEEDED = ("ast", "re", "json", "math", "base64", "binascii", "zlib", "linecache", "mmap")
_WELCOME = (
    "traceback",
    "collections",
    "datetime",
    "itertools",
    "functools",
    "textwrap",
    "csv",
    "string",
    "statistics",
    "random",
)


class _Born(BaseException):
    """Raised in a fork, so that it leaves the fork server's frames.

    Args:
        gate: The fork's end of the channel to the fork server.
        session: The fork's ends of the session's descriptors.
    """

    def __init__(self, gate: int, session: list[int]) -> None:
        super().__init__()
        self.gate, self.session = gate, session


class _Failed(Exception):
    """A jail could not be built."""


class _Jail:
    """A running jail.

    Args:
        pid: Its first process.
        status: Descriptor on which to report how it ended.
    """

    def __init__(self, pid: int, status: _socket.socket) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.status = status


def main() -> NoReturn:
    """Serve the host until it is gone."""
    control, spares = (int(word) for word in sys.argv[1:])
    sys.path[:] = [path for path in sys.path if path]
    for name in _NEEDED:
        __import__(name)
    with open(f"{CODE_FOLDER}/_language.code", "rb") as file:  # noqa: PTH123
        language = marshal.load(file)  # noqa: S302 - written by the host
    try:
        _ForkServer(_socket.socket(fileno=control), spares).serve()
    except _Born as born:
        gate, session = born.gate, born.session
    _child.build(gate, session, language)


class _ForkServer:
    def __init__(self, control: _socket.socket, spares: int) -> None:
        os.set_inheritable(control.fileno(), False)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        if most < _FEWEST_DESCRIPTORS:
            needed = f"a jail needs {_FEWEST_DESCRIPTORS}, and {most} are allowed"
            raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: {needed}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        kernel.set_name(b"rlmbox-forks")
        kernel.become_subreaper()
        self._control = control
        self._wanted = spares
        self._offered = self._waiting = 0
        self._jails: dict[int, _Jail] = {}
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        # A process forked by the host may keep the other end of the channel open after the host has died.
        self._host = os.pidfd_open(os.getppid())
        self._poll.register(self._host, select.POLLIN)
        self._settled = False
        self._has_work = True

    def serve(self) -> NoReturn:
        """Answer the host; in each fork, raise `_Born`."""
        gc.freeze()  # so that a collection in a fork does not copy shared pages
        while True:
            is_urgent = self._waiting > self._offered
            events = self._poll.poll(0 if is_urgent else _REST_MS if self._has_work else None)
            if is_urgent:
                self._offer()
            if not events:
                self._work_ahead()
                continue
            self._has_work = True
            fd = events[0][0]  # one at a time: handling it may reuse another's number
            if fd == self._host:
                os._exit(0)
            elif fd == self._control.fileno():
                self._listen()
            else:
                self._bury(self._jails[fd])

    def _listen(self) -> None:
        try:
            message, _ = receive(self._control)
        except ConnectionResetError:  # the host left jails in the channel
            message = b""
        if not message:
            os._exit(0)
        if message.startswith(b"ease "):
            self._ease(int(message[5:]))
        elif message == b"wait":  # a session has found no jail
            self._waiting += 1
        else:
            self._offered -= 1
            self._waiting -= message == b"got"

    def _ease(self, pid: int) -> None:
        """Raise a jail's memory limit by what its worker reserves for reports."""
        if all(jail.pid != pid for jail in self._jails.values()):
            return  # it has ended, and its process id may have been reused
        try:
            _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
            resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        except OSError:  # it is killed soon
            return

    def _work_ahead(self) -> None:
        """Do some deferred work, when nobody waits for the fork server."""
        if not self._settled:
            self._settled = True
            for name in _WELCOME:
                __import__(name)
            gc.freeze()
        elif self._offered < self._wanted:
            self._offer()
        else:
            self._has_work = False

    def _offer(self) -> None:
        """Build a jail and queue it for the host, or the reason why there is none."""
        try:
            pid, fds = self._built()
        except _Failed as error:
            self._has_work = False
            if self._waiting:
                self._offered += 1
                send(self._control, b"-" + str(error).encode())
            return
        try:
            send(self._control, b"+%d" % pid, fds)
            self._offered += 1
        except OSError:  # the host is gone, or its queue is full; the next round finds out
            self._has_work = False
            os.kill(pid, 9)
        for fd in fds[1:]:
            os.close(fd)

    def _built(self) -> tuple[int, list[int]]:
        """Build a jail, up to its gate.

        Returns:
            Its process id, and the descriptors for the host: a pidfd, the status pipe, the gate, the wire and two
            output pipes.

        Raises:
            _Failed: It cannot be built here.
        """
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        wire, its_wire = _socket.socketpair()
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        session = [its_wire.detach(), to_out, to_err]
        first = os.fork()
        if first == 0:
            raise _Born(theirs.detach(), session)
        for fd in (theirs.detach(), *session):
            os.close(fd)
        given = [ours.fileno(), wire.detach(), out, err]
        ours.settimeout(_BUILD_TIMEOUT_S)
        try:
            pid = _awaited(ours, first)
        except _Failed:
            for fd in (ours.detach(), *given[1:]):
                os.close(fd)
            raise
        ours.detach()
        status, its_status = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        jail = _Jail(pid, status)
        self._jails[jail.pidfd] = jail
        self._poll.register(jail.pidfd, select.POLLIN)
        return pid, [jail.pidfd, its_status.detach(), *given]

    def _bury(self, jail: _Jail) -> None:
        """Report the end of a jail's first process, which ends all others in it."""
        self._poll.unregister(jail.pidfd)
        del self._jails[jail.pidfd]
        _, status = os.waitpid(jail.pid, 0)
        try:
            send(jail.status, b"exit %d" % os.waitstatus_to_exitcode(status))
        except OSError:  # the host no longer waits for it
            del status
        jail.status.close()
        os.close(jail.pidfd)


def _awaited(gate: _socket.socket, first: int) -> int:
    """Wait until a jail is complete; return its process id.

    Raises:
        _Failed: It could not be built; nothing of it is left.
    """
    pid = 0
    try:
        for _ in ("pid", "ready"):  # in any order
            message = _told(gate)
            if message != b"ready":
                pid = int(message.removeprefix(b"pid "))
        os.waitpid(first, 0)
        first = 0
        send(gate, b"alone")
        _told(gate)
    except (OSError, _Failed) as error:
        if first:
            os.waitpid(first, 0)
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        raise _Failed(str(error)) from None
    return pid


def _told(gate: _socket.socket) -> bytes:
    try:
        message, _ = receive(gate)
    except TimeoutError:
        raise _Failed("it did not answer") from None
    if not message or message.startswith(b"-"):
        raise _Failed(message[1:].decode(errors="replace") or "it ended while it was built")
    return message
