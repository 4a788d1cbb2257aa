"""The nursery: a process that lives in the jail's root, holds nothing, and forks one jail after another.

Forking an interpreter that is ready takes a millisecond where starting one takes ten. A few jails are built in
advance; each is used once. The nursery is a fresh process with an empty environment and no descriptor but the
channel to the host: its forks share nothing with the host, and no memory that a session has written to.
"""

from __future__ import annotations

import _socket
import gc
import marshal
import os
import resource
import select
import sys

from rlmbox.sandboxes import _jail_child
from rlmbox.sandboxes import _jail_kernel as kernel
from rlmbox.sandboxes._jail_launch import CODE_FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BUILD_TIMEOUT_S = 10.0
_DESCRIPTORS = 65_536  # three for each jail
# What the worker needs, and then what cells import most; imported once here instead of in each jail.
_NEEDED = ("ast", "re", "json", "math", "base64", "binascii", "zlib", "linecache", "traceback")
_WELCOME = ("collections", "datetime", "itertools", "functools", "textwrap", "csv", "string", "statistics", "random")


class _Born(BaseException):
    """Raised in a fork, so that it leaves the nursery's frames behind.

    Args:
        gate: The fork's end of the channel to the nursery.
    """

    def __init__(self, gate: _socket.socket) -> None:
        super().__init__()
        self.gate = gate


class _Failed(Exception):
    """A jail could not be built."""


class _Jail:
    def __init__(self, pid: int, gate: _socket.socket) -> None:
        self.pid = pid
        self.gate = gate
        self.pidfd = os.pidfd_open(pid)
        self.status: _socket.socket | None = None


def main() -> NoReturn:
    """Serves the host until it is gone."""
    control, spares = (int(word) for word in sys.argv[1:])
    sys.path[:] = [path for path in sys.path if path]
    for name in _NEEDED:
        __import__(name)
    with open(f"{CODE_FOLDER}/_repl.py", encoding="utf-8") as file:  # noqa: PTH123
        source = file.read()
    with open(f"{CODE_FOLDER}/_repl.code", "rb") as file:  # noqa: PTH123
        code = marshal.load(file)  # noqa: S302 - written by the host
    try:
        _Nursery(_socket.socket(fileno=control), spares).serve()
    except _Born as born:
        gate = born.gate
    _jail_child.build(gate, (source, code))


class _Nursery:
    def __init__(self, control: _socket.socket, spares: int) -> None:
        os.set_inheritable(control.fileno(), False)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        kernel.set_name(b"rlmbox-nursery")
        kernel.become_subreaper()
        self._control = control
        self._wanted = spares
        self._spares: list[_Jail] = []
        self._jails: dict[int, _Jail] = {}
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        # A process that the host forked may hold the other end of the channel for longer than the host lives.
        self._host = os.pidfd_open(os.getppid())
        self._poll.register(self._host, select.POLLIN)
        self._settled = self._has_work = False

    def serve(self) -> NoReturn:
        """Answers the host; raises `_Born` in each fork."""
        gc.freeze()  # so that a collection in a fork does not copy what they share
        while True:
            events = self._poll.poll(0 if self._has_work else None)
            if not events:
                self._work_ahead()
                continue
            self._has_work = True
            fd = events[0][0]  # one at a time: what comes of it may give another's number to something new
            if fd == self._host:
                os._exit(0)
            elif fd == self._control.fileno():
                self._answer()
            else:
                self._bury(self._jails[fd])

    def _work_ahead(self) -> None:
        """Does a piece of what can wait until nobody waits for the nursery."""
        if not self._settled:
            self._settled = True
            for name in _WELCOME:
                __import__(name)
            gc.freeze()
        elif len(self._spares) < self._wanted:
            try:
                self._spares.append(self._built())
            except _Failed:  # the next session is told why
                self._has_work = False
        else:
            self._has_work = False

    def _answer(self) -> None:
        message, fds = kernel.receive(self._control)
        if not message:
            os._exit(0)
        status = _socket.socket(fileno=fds.pop(0))
        try:
            self._begin(status, fds)
        except _Failed as error:
            _tell(status, b"-" + str(error).encode())
            status.close()
        finally:
            for fd in fds:
                os.close(fd)

    def _begin(self, status: _socket.socket, fds: list[int]) -> None:
        while True:
            jail = self._spares.pop(0) if self._spares else self._built()
            try:
                kernel.send(jail.gate, b"go", fds)
                break
            except OSError:  # it ended while it waited
                self._bury(jail)
        jail.status = status
        try:
            kernel.send(status, b"+%d" % jail.pid, [jail.pidfd])
        except OSError:  # the session is gone already; it must not run on for nobody
            os.kill(jail.pid, 9)

    def _built(self) -> _Jail:
        """Builds a jail, up to its gate.

        Raises:
            _Failed: It cannot be built here.
        """
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        first = os.fork()
        if first == 0:
            raise _Born(theirs)
        theirs.close()
        ours.settimeout(_BUILD_TIMEOUT_S)
        pid, error = _awaited(ours)
        os.waitpid(first, 0)
        if error or not pid:
            ours.close()
            if pid:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            raise _Failed(error or "it ended while it was built")
        jail = _Jail(pid, ours)
        self._jails[jail.pidfd] = jail
        self._poll.register(jail.pidfd, select.POLLIN)
        return jail

    def _bury(self, jail: _Jail) -> None:
        """Takes note of the end of a jail, which is the end of all that was in it."""
        self._poll.unregister(jail.pidfd)
        del self._jails[jail.pidfd]
        if jail in self._spares:
            self._spares.remove(jail)
        jail.gate.close()
        _, status = os.waitpid(jail.pid, 0)
        if jail.status is not None:
            _tell(jail.status, b"exit %d" % os.waitstatus_to_exitcode(status))
            jail.status.close()
        os.close(jail.pidfd)


def _awaited(gate: _socket.socket) -> tuple[int, str]:
    """Waits until a jail stands; gives its process's number, and what went wrong."""
    pid, ready = 0, False
    while not (pid and ready):
        try:
            message, _ = kernel.receive(gate)
        except OSError as error:
            return pid, f"no word from it: {error}"
        if not message or message.startswith(b"-"):
            return pid, message[1:].decode(errors="replace") or "it ended while it was built"
        if message == b"ready":
            ready = True
        else:
            pid = int(message.removeprefix(b"pid "))
    return pid, ""


def _tell(status: _socket.socket, message: bytes) -> None:
    try:
        kernel.send(status, message)
    except OSError:  # the host does not want to know any more
        return
