"""How a process that the nursery forked becomes a jail: namespaces, mounts, limits, privileges, filter, worker.

Nothing here is undone or loosened later, and nothing of a session is known until all but the filter stands. A step
that fails ends the process: there is no jail with a wall missing.
"""

from __future__ import annotations

import _socket
import json
import os
import resource
import signal
import sys

from rlmbox.sandboxes import _jail_kernel as kernel
from rlmbox.sandboxes import _landlock, _seccomp, _worker
from rlmbox.sandboxes._jail_launch import INSIDE_ID, PROC_FD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

WIRE_FD, CONTEXT_FD = 3, 4
"""Where the worker finds the wire and the context's file."""

SCRATCH_BYTES = 32 << 20
"""Size of the jail's /tmp, which is in memory."""

PROCESSES = 128
"""Tasks of one jail, which are threads of the worker: it cannot fork."""

OPEN_FILES = 128
"""Descriptors that a jail may have open."""

_GATE_FD, _STATM_FD = 3, 5
_SCRATCH_FILES = 4096
_HOST_NAME = "jail"
_ALL_NAMESPACES = (
    kernel.NEW_USER
    | kernel.NEW_MOUNTS
    | kernel.NEW_PID
    | kernel.NEW_NET
    | kernel.NEW_IPC
    | kernel.NEW_UTS
    | kernel.NEW_CGROUP
)
_LIMITS = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_FSIZE, SCRATCH_BYTES),
    (resource.RLIMIT_NOFILE, OPEN_FILES),
    (resource.RLIMIT_NPROC, PROCESSES),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_RTPRIO, 0),
    (resource.RLIMIT_SIGPENDING, 2 * PROCESSES),
    (resource.RLIMIT_STACK, 8 << 20),
)


class JailMemory(_worker.Memory):
    """RLIMIT_AS as the worker sets it, where there is no /proc and where it must not be missing.

    Args:
        memory_bytes: What cells may use beyond what is mapped now, the context included.
    """

    def __init__(self, memory_bytes: int) -> None:
        with open(_STATM_FD, "rb") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        self.bind(resource, mapped + memory_bytes)


def build(gate: _socket.socket, repl: tuple[str, CodeType]) -> NoReturn:
    """Builds a jail, waits at the gate for a session, and works for it.

    Args:
        gate: To the nursery: `pid N` and `ready` go there, `go` with the session's descriptors comes from there.
        repl: The source of the language side, and what it compiles to.
    """
    try:
        os.dup2(gate.detach(), _GATE_FD, inheritable=False)
        gate = _socket.socket(fileno=_GATE_FD)
        _enter_namespaces(gate)
        _furnish()
        worker = _worker_for(repl)
        program = _seccomp.program(os.uname().machine)
        kernel.send(gate, b"ready")
        message, fds = kernel.receive(gate)
        if message != b"go":
            os._exit(0)
        _open_up(gate, fds)
        kernel.install_filter(program)
    except BaseException as error:  # noqa: BLE001 - no step may fail and be passed over
        _fail(gate, error)
    _serve(worker)


def _fail(gate: _socket.socket, error: BaseException) -> NoReturn:
    text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    try:
        if gate.fileno() >= 0:
            kernel.send(gate, b"-" + text.encode())
        else:  # a session has come, which sees what is printed
            os.write(2, f"the jail could not be closed: {text}\n".encode())
    finally:
        os._exit(1)


def _enter_namespaces(gate: _socket.socket) -> None:
    """Goes into namespaces of its own; returns in their first process only."""
    user, group = os.geteuid(), os.getegid()
    for fd in range(_GATE_FD + 1, PROC_FD):
        _close(fd)
    kernel.close_from(PROC_FD + 1)
    kernel.unshare(_ALL_NAMESPACES, "namespaces")
    kernel.map_ids(PROC_FD, INSIDE_ID, user, group)
    pid = os.fork()
    if pid:
        kernel.send(gate, b"pid %d" % pid)
        os._exit(0)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:  # it was not open
        return


def _furnish() -> None:
    """Does all that needs privileges, then gives them up."""
    os.setsid()
    kernel.set_name(b"rlmbox-jail")
    kernel.set_host_name(_HOST_NAME)
    options = f"size={SCRATCH_BYTES},nr_inodes={_SCRATCH_FILES},mode=700"
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC, options)  # noqa: S108
    os.chdir("/tmp")  # noqa: S108 - the jail's own
    kernel.write_own(PROC_FD, "oom_score_adj", "1000")  # should memory run out, a jail goes before the host
    statm = os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=PROC_FD)
    if statm != _STATM_FD:
        os.dup2(statm, _STATM_FD, inheritable=False)
        os.close(statm)
    nothing, end = os.pipe()  # standard input: an end of file
    os.dup2(nothing, 0)
    for fd in (nothing, end):
        os.close(fd)
    kernel.close_from(_STATM_FD + 1)
    for limit, most in _LIMITS:
        if limit != resource.RLIMIT_NPROC or _tasks_are_counted_per_jail():
            resource.setrlimit(limit, (most, most))
    kernel.drop_privileges()
    _landlock.restrict({"/": _landlock.READ, "/tmp": _landlock.SCRATCH})  # noqa: S108


def _tasks_are_counted_per_jail() -> bool:
    """Tells whether RLIMIT_NPROC is per user namespace, since Linux 5.14; before, one jail would starve the others."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(c for c in minor if c.isdigit()))) >= (5, 14)


def _open_up(gate: _socket.socket, fds: list[int]) -> None:
    """Takes the session's descriptors and keeps no others; from here on the jail dies with the nursery."""
    kernel.die_with_parent(signal.SIGKILL)
    try:
        if not gate.recv(1, _socket.MSG_DONTWAIT | _socket.MSG_PEEK):
            os._exit(0)
    except BlockingIOError:
        pass  # the nursery is there still
    wire, output, errors, *context = fds
    os.dup2(output, 1)
    os.dup2(errors, 2)
    gate.detach()
    os.dup2(wire, WIRE_FD, inheritable=False)
    if context:
        os.dup2(context[0], CONTEXT_FD, inheritable=False)
    else:
        _close(CONTEXT_FD)
    kernel.close_from(_STATM_FD + 1)


def _worker_for(repl: tuple[str, CodeType]) -> _worker.Worker:
    """Makes the worker ready but for what a session brings."""
    source, code = repl
    ready = sys.modules["_rlm_repl"] = type(sys)("_rlm_repl")
    exec(code, vars(ready))  # noqa: S102 - the host's own code
    instead = compile("from _rlm_repl import *", "_repl.py", "exec")

    def compiled(text: str, name: str, mode: str) -> Any:
        return instead if text == source else compile(text, name, mode)

    _rehearse(ready)
    setattr(_worker, "compile", compiled)  # noqa: B010 - compiling takes longer than all the rest of the start
    setattr(_worker, "Memory", JailMemory)  # noqa: B010
    sys.argv[:] = [""]
    os.environ.clear()
    return _worker.Worker(WIRE_FD, WIRE_FD)


def _rehearse(language: Any) -> None:
    """Runs a cell for nobody, so that the memory which a start writes to is this process's own before it counts."""
    frame = {"functions": [], "context": {"text": ""}, "query": ""}
    language.Repl(frame, _worker.Wire.call).run("1")
    json.dumps(json.loads(json.dumps(frame)))


def _serve(worker: _worker.Worker) -> NoReturn:
    try:
        worker.serve()
    except BaseException as error:  # noqa: BLE001 - the host must see why
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(1)
