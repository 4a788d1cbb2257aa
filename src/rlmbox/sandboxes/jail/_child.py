"""The steps that turn a forked process into a jail: namespaces, mounts, limits, privileges, filter, worker.

No step is undone or loosened later, and nothing of a session is known before all of them are complete. If a step fails,
the process ends: there is never a jail with a wall missing.
"""

from __future__ import annotations

import _socket
import fcntl
import json
import os
import resource
import signal
import sys

from rlmbox.sandboxes.jail._channel import CONTEXT_FD, INSIDE_ID, PROC_FD, WIRE_FD, receive, send
from rlmbox.sandboxes.kernel import _calls as kernel
from rlmbox.sandboxes.kernel import _landlock, _seccomp
from rlmbox.sandboxes.kernel._seccomp import GATE_FD
from rlmbox.sandboxes.worker import _worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType
    from typing import Any, NoReturn

SCRATCH_BYTES = 32 << 20
"""Size of the jail's /tmp, which is in memory."""

PROCESSES = 128
"""Tasks of one jail, which are threads of the worker: it cannot fork."""

OPEN_FILES = 128
"""Descriptors that a jail may have open; `GATE_FD` is beyond it."""

_STATM_FD = 5
_SCRATCH_FILES = 4096
_REHEARSED = 32  # number of host functions
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
    """RLIMIT_AS set as by the worker, but without /proc, and never optional.

    Args:
        memory_bytes: Memory for cells beyond what is mapped now, including the context.
    """

    def __init__(self, memory_bytes: int) -> None:
        mapped = int(os.read(_STATM_FD, 100).split()[0]) * resource.getpagesize()
        os.close(_STATM_FD)
        self.bind(resource, mapped + memory_bytes)


def build(gate_fd: int, session_fds: Sequence[int], language: Mapping[str, CodeType]) -> NoReturn:
    """Build a jail, wait at the gate for a session, and serve it.

    Args:
        gate_fd: Connects to the fork server, which is sent `pid N`, `ready` and `armed` and answers `alone`. Finally
            the host, which has the other end by then, sends `go`, with or without a file that holds the context.
        session_fds: The wire and the output pipes, for a session that is not known yet.
        language: Compiled modules of the language side, by name.
    """
    gate = None
    try:
        gate = _arrange(gate_fd, session_fds)
        _enter_namespaces(gate)
        _furnish()
        worker = _worker_for(language)
        program = _seccomp.program(os.uname().machine, in_namespaces=True)
        send(gate, b"ready")
        if receive(gate)[0] != b"alone":
            os._exit(0)
        # From here on the jail dies with the fork server; the intermediate process, its parent so far, has ended.
        kernel.die_with_parent(signal.SIGKILL)
        kernel.install_filter(program)
        gate.send(b"armed")
        _await_session(gate)
    except BaseException as error:  # noqa: BLE001 - no failed step may be skipped
        _fail(gate, error)
    _serve(worker)


def _fail(gate: _socket.socket | None, error: BaseException) -> NoReturn:
    text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    try:
        if gate is not None:
            gate.send(b"-" + text.encode())
    finally:
        os._exit(1)


def _arrange(gate_fd: int, session_fds: Sequence[int]) -> _socket.socket:
    """Move the descriptors to their fixed numbers, and close all others except /proc."""
    given = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, GATE_FD + 1) for fd in (gate_fd, *session_fds)]
    for fd, place in zip(given, (GATE_FD, WIRE_FD, 1, 2), strict=True):
        os.dup2(fd, place, inheritable=False)
    for fd in range(WIRE_FD + 1, PROC_FD):
        _close(fd)
    kernel.close_from(PROC_FD + 1, but=GATE_FD)
    return _socket.socket(fileno=GATE_FD)


def _enter_namespaces(gate: _socket.socket) -> None:
    """Enter new namespaces; return only in their first process."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_ALL_NAMESPACES, "namespaces")
    kernel.map_ids(PROC_FD, INSIDE_ID, user, group)
    pid = os.fork()
    if pid:
        send(gate, b"pid %d" % pid)
        os._exit(0)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:  # it was not open
        return


def _furnish() -> None:
    """Do everything that needs privileges, then drop them."""
    os.setsid()
    kernel.set_name(b"rlmbox-jail")
    kernel.set_host_name(_HOST_NAME)
    options = f"size={SCRATCH_BYTES},nr_inodes={_SCRATCH_FILES},mode=700"
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC, options)  # noqa: S108
    os.chdir("/tmp")  # noqa: S108 - the jail's own
    kernel.write_own(PROC_FD, "oom_score_adj", "1000")  # when memory runs out, a jail is killed before the host
    statm = os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=PROC_FD)
    if statm != _STATM_FD:
        os.dup2(statm, _STATM_FD, inheritable=False)
        os.close(statm)
    nothing, end = os.pipe()  # standard input: immediately at its end
    os.dup2(nothing, 0)
    for fd in (nothing, end):
        os.close(fd)
    kernel.close_from(_STATM_FD + 1, but=GATE_FD)
    for limit, most in _LIMITS:
        if limit != resource.RLIMIT_NPROC or _tasks_are_counted_per_jail():
            _, hard = resource.getrlimit(limit)
            lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (lower, lower))
    kernel.drop_privileges()
    kernel.forbid_dumps()  # after the last change of credentials, which would undo it
    _landlock.restrict({"/": _landlock.READ, "/tmp": _landlock.SCRATCH})  # noqa: S108


def _tasks_are_counted_per_jail() -> bool:
    """Return whether RLIMIT_NPROC is per user namespace (Linux 5.14); before, one jail could starve the others."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(c for c in minor if c.isdigit()))) >= (5, 14)


def _await_session(gate: _socket.socket) -> None:
    """Wait for a session, receive its context and close the gate, which is not used any more."""
    message, context = receive(gate)
    if message != b"go":
        os._exit(0)
    gate.close()
    if context and context[0] != CONTEXT_FD:
        os.dup2(context[0], CONTEXT_FD, inheritable=False)
        os.close(context[0])


def _worker_for(language: Mapping[str, CodeType]) -> _worker.Worker:
    """Prepare the worker as far as possible without a session."""
    for name, code in language.items():
        module = sys.modules[f"_rlm{name}"] = type(sys)(f"_rlm{name}")
        exec(code, vars(module))  # noqa: S102 - the host's own code
    _rehearse(sys.modules["_rlm_repl"])
    setattr(_worker, "Memory", JailMemory)  # noqa: B010
    sys.argv[:] = [""]
    os.environ.clear()
    return _worker.Worker(WIRE_FD, WIRE_FD)


def _rehearse(ready: Any) -> None:
    """Start a session and run a cell as a rehearsal.

    A page shared with the fork server is copied on the first write, which takes 4 µs, and the time of a session counts
    from its start: so the writes are made now, with a typical first frame.
    """
    entry: dict[str, Any] = {
        "name": "ctx.nothing",
        "parameters": ["start", "end"],
        "signature": "-" * 80,
        "summary": "-" * 100,
        "is_read": True,
    }
    frame = {
        "functions": [entry] * _REHEARSED,
        "context": {"text": ""},
        "query": "",
        "path": [],
        "seed": 0,
        "inputs": {},
    }
    file = os.memfd_create("frame")  # no pipe: it holds less than this if its user has very many
    os.write(file, json.dumps(frame).encode())
    os.lseek(file, 0, os.SEEK_SET)
    received = bytearray() + os.read(file, 1 << 15)
    os.close(file)
    ready.Repl(json.loads(received[:].decode("utf-8", "surrogatepass")), _worker.Wire).run("1")


def _serve(worker: _worker.Worker) -> NoReturn:
    try:
        worker.serve()
    except BaseException as error:  # noqa: BLE001 - the host must see why
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(1)
