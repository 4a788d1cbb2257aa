"""Starts the processes around guests of `wasm` without importing wasmtime each time: a process that has it forks.

Half of such a start is imports. Here a process of the same interpreter with the same flags, which has imported what
`_runner.py` does and has done nothing else, becomes two for each start; the new one has the same parent as the first,
so that it is waited for as usual. Where a test looks at the process or attacks it, it is started for real.
"""

import atexit
import json
import os
import platform
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlmbox.sandboxes.wasm import _sandbox
from rlmbox.sandboxes.worker import _child

_REQUEST_BYTES = 1 << 16
_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine()) if sys.platform == "linux" else None
_FORKS = """
import ctypes, gc, json, os, socket, sys
folder, site, clone, request_bytes = json.loads(sys.argv[1])
sys.path.insert(0, folder)
import _runner
del sys.path[0]
import resource
_runner.find_packages()
from rlmbox.sandboxes.kernel import _calls, _landlock, _seccomp
from rlmbox.sandboxes.worker import _worker
_runner.imported(site)
door = socket.socket(fileno=0)
call = ctypes.CDLL(None).syscall
gc.freeze()
while True:
    request, given, _, _ = socket.recv_fds(door, request_bytes, 16)
    if not request:
        os._exit(0)
    process = call(clone, 0x8000 | 17, 0, 0, 0, 0)  # CLONE_PARENT, and SIGCHLD when it ends
    if process == 0:
        break
    for fd in given:
        os.close(fd)
    door.send(b"%d" % process)

folder, numbers, sys.argv[1] = json.loads(request)
above = max(*numbers, *given) + 1
for n, fd in enumerate(given):
    os.dup2(fd, above + n)
door.detach()
os.closerange(0, above)
for n, number in enumerate(numbers):
    os.dup2(above + n, number)
os.closerange(above, above + len(numbers))
os.setsid()
os.chdir(folder)
_runner.main()
"""
_turn = threading.Lock()  # sessions are started in threads
_started: "dict[int, tuple[subprocess.Popen[bytes], socket.socket]]" = {}


@pytest.fixture
def preloaded_wasm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have guests of this test start quickly."""
    if _CLONE is not None:
        instead = SimpleNamespace(Popen=_launched, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
        monkeypatch.setattr(_child, "subprocess", instead)


def _launched(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int],
    env: dict[str, str],
    cwd: str | Path,
    start_new_session: bool,
) -> "subprocess.Popen[bytes] | _Forked":
    """Do what `Popen` does; all but guests are started by it."""
    if _sandbox._RUN not in command:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, env=env, cwd=cwd,
            start_new_session=start_new_session,
        )  # fmt: skip
    request = json.dumps([str(cwd), [0, 1, 2, *pass_fds], command[-1]])
    with _turn, Path(os.devnull).open("rb") as nothing:
        door = _door(json.loads(command[-1])["site"], env)
        socket.send_fds(door, [request.encode()], [nothing.fileno(), stdout, stderr, *pass_fds])
        answer = door.recv(_REQUEST_BYTES)
    assert answer, "the process that forks for guests has ended"
    return _Forked(int(answer))


class _Forked:
    """A child of this process that another one has made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; see `Popen.wait`."""
        if self.returncode is None:
            ended, process = select.poll(), os.pidfd_open(self.pid)
            ended.register(process, select.POLLIN)
            try:
                if not ended.poll(timeout_s * 1000):
                    raise subprocess.TimeoutExpired(_sandbox._RUN, timeout_s)
            finally:
                os.close(process)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def _door(site: str, environment: dict[str, str]) -> socket.socket:
    """Return the way to the process that forks, which this one starts once and which ends with it."""
    if os.getpid() not in _started:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = json.dumps([str(Path(_sandbox.__file__).parent), site, _CLONE, _REQUEST_BYTES])
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _FORKS, given]
        process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment, cwd=os.sep)
        theirs.close()
        _started[os.getpid()] = process, ours
        atexit.register(_stop, os.getpid())
    return _started[os.getpid()][1]


def _stop(starter: int) -> None:
    if os.getpid() == starter:
        process, door = _started.pop(starter)
        door.close()
        process.wait()
