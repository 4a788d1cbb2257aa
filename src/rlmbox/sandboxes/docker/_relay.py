"""Process 1 of a container: `python -I -S -X utf8 -c THIS_FILE SOURCE_OF_THE_WORKER`.

Standard library only, Python 3.11 and later. It starts the worker as its child and forwards the worker's output to the
container's: the wire and both printed streams in one, because an engine does not keep the order of two, and what a cell
printed must arrive before its result. A frame has a byte for its kind, three zero bytes and four bytes of big-endian
length; the last one says how the worker ended. The host's frames arrive on the container's standard input and are
passed to the worker unchanged; a byte between two of them that starts no frame means that the cell is to be
interrupted. When the input is closed, because the host is gone or has finished, this process ends, and the kernel kills
all others in the container.

Like the worker it belongs to the cell once one has run; the host trusts nothing that it sends.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import types
from contextlib import suppress

WIRE, STDOUT, STDERR, END = 1, 2, 3, 4
INTERRUPT = b"\xff"  # no frame is long enough for its length to begin with this
LENGTH_BYTES = 4
PIECE_BYTES = 1 << 16  # a pipe's capacity, so that one read empties it
LEFT_PIECES = 16  # read at most from what a dead worker's children go on writing
CLEAN = "clean"
HASH_SEED = "1"  # as in `_worker.py`


def main() -> None:
    source = sys.argv[1]
    if sys.argv[2:] != [CLEAN]:  # engines and images set variables, which `/proc/1/environ` shows as at the start
        options = [word for given in sys.orig_argv[1:] for word in (("-s", "-P") if given == "-I" else (given,))]
        os.execve(sys.executable, [sys.executable, *options, CLEAN], {"PYTHONHASHSEED": HASH_SEED})  # noqa: S606
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_dumpable(0)
    killed_before = oom_kills()
    wake, to_wake = os.pipe()
    os.set_blocking(to_wake, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(to_wake, warn_on_full_buffer=False)
    pipes = [os.pipe() for _ in range(3)]
    out, err, wire = (write for _, write in pipes)
    from_host, to_worker = os.pipe()
    os.set_blocking(to_worker, False)
    pid = os.fork()
    if pid == 0:
        become_worker(source, from_host, wire, out, err)
    for fd in (out, err, wire, from_host):
        os.close(fd)
    carried = dict(zip((STDOUT, STDERR, WIRE), (read for read, _ in pipes), strict=True))
    status = None
    with suppress(BrokenPipeError):
        status = carry(pid, carried, wake, Inward(pid, to_worker))
        if status is not None:
            for kind, fd in carried.items():
                carry_rest(kind, fd)
            forward(END, words(status, oom_kills() > killed_before))
    os._exit(0 if status is None else 128 - status if status < 0 else status)


def set_dumpable(flag: int) -> None:
    """Allow processes of the same user to read this one's memory, or not."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(4, flag, 0, 0, 0)  # PR_SET_DUMPABLE


def become_worker(source: str, from_host: int, wire: int, out: int, err: int) -> None:
    """Turn this process into the worker: the wire on descriptors of its own, pipes on 1 and 2, nothing on 0."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - slow
        file.write("1000")  # when memory runs out, the worker is killed and not the process that can report it
    set_dumpable(1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for fd in set(range(3, 32)) - {from_host, wire}:
        with suppress(OSError):
            os.close(fd)
    sys.argv[:] = ["", str(from_host), str(wire)]
    sys.orig_argv[:] = [sys.executable]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(source, "_worker.py", "exec"), vars(module))  # noqa: S102 - the host's own source
    except BaseException:  # noqa: BLE001 - this process must not continue as a second relay
        sys.excepthook(*sys.exc_info())
    os._exit(1)


class Inward:
    """Forwards the host's frames to the worker.

    Args:
        pid: The worker's process id.
        fd: The pipe to it, which is non-blocking.
    """

    def __init__(self, pid: int, fd: int) -> None:
        self._pid, self.fd = pid, fd
        self._length = b""
        self._left = 0  # bytes left of the frame being read
        self.waiting = b""
        self.is_watched = False

    def read(self) -> bool:
        """Read what the host has sent; return False at the end."""
        data = os.read(0, PIECE_BYTES)
        if not data:
            return False
        at = 0
        while at < len(data):
            if self._left:
                at += (passed := min(self._left, len(data) - at))
                self._left -= passed
            elif not self._length and data[at : at + 1] == INTERRUPT:
                data = data[:at] + data[at + 1 :]
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGINT)
            else:
                self._length += data[at : at + 1]
                at += 1
                if len(self._length) == LENGTH_BYTES:
                    self._left, self._length = int.from_bytes(self._length, "big"), b""
        self.waiting += data
        self.write()
        return True

    def write(self) -> None:
        """Forward as much as there is room for."""
        try:
            while self.waiting:
                self.waiting = self.waiting[os.write(self.fd, self.waiting) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # how the worker ended is reported soon
            self.waiting = b""


def carry(pid: int, carried: dict[int, int], wake: int, inward: Inward) -> int | None:
    """Forward frames until the worker ends; return its status as `ended` does, None if the input has ended first."""
    poll = select.poll()
    for fd in carried.values():
        poll.register(fd, select.POLLIN)
    poll.register(wake, select.POLLIN)
    poll.register(0, select.POLLIN)
    printed = {kind: fd for kind, fd in carried.items() if kind != WIRE}
    for fd in printed.values():
        os.set_blocking(fd, False)
    while True:
        ready = dict(poll.poll())
        if 0 in ready and (ready[0] & ~select.POLLIN or not inward.read()):
            return None
        if inward.fd in ready:
            inward.write()
        watch(poll, inward)
        # The wire is read first and forwarded last: what was printed before a frame is in the pipes by then.
        frames = os.read(carried[WIRE], PIECE_BYTES) if carried[WIRE] in ready else None
        for fd in forward_printed(printed):
            poll.unregister(fd)
        if frames:
            forward(WIRE, frames)
        elif frames is not None:
            poll.unregister(carried[WIRE])
        if wake in ready and (status := ended(pid, wake)) is not None:
            return status


def watch(poll: select.poll, inward: Inward) -> None:
    """Poll for room towards the worker while data waits for it, and read no more until then."""
    if inward.waiting:
        poll.register(0, 0)
        poll.register(inward.fd, select.POLLOUT)
    elif inward.is_watched:
        poll.register(0, select.POLLIN)
        poll.unregister(inward.fd)
    inward.is_watched = bool(inward.waiting)


def forward_printed(printed: dict[int, int]) -> list[int]:
    """Forward the pending printed output; return the pipes that have ended, which are dropped."""
    over = []
    for kind, fd in tuple(printed.items()):
        data = read_now(fd)
        if data:
            forward(kind, data)
        elif data is not None:
            over.append(printed.pop(kind))
    return over


def read_now(fd: int) -> bytes | None:
    """Read all that is in a pipe; return nothing at its end, None if there is nothing yet."""
    try:
        return os.read(fd, PIECE_BYTES)
    except BlockingIOError:
        return None


def ended(worker: int, wake: int) -> int | None:
    """Reap ended children; if the worker is among them, return its exit status, or its signal as a negative number."""
    with suppress(BlockingIOError):
        os.read(wake, 4096)
    found = None
    with suppress(ChildProcessError):
        while (pid := (reaped := os.waitpid(-1, os.WNOHANG))[0]) != 0:
            if pid == worker:
                found = os.waitstatus_to_exitcode(reaped[1])
    return found


def words(status: int, has_run_out: bool) -> bytes:
    """Describe how the worker ended, and whether memory ran out."""
    return (f"signal {-status}" if status < 0 else f"exit status {status}").encode() + b" oom" * has_run_out


def carry_rest(kind: int, fd: int) -> None:
    """Forward what is still in a pipe."""
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        for _ in range(LEFT_PIECES):
            data = os.read(fd, PIECE_BYTES)
            if not data:
                break
            forward(kind, data)


def forward(kind: int, data: bytes) -> None:
    """Write a frame."""
    left = memoryview(struct.pack(">BxxxI", kind, len(data)) + data)
    while left:
        left = left[os.write(1, left) :]


def oom_kills() -> int:
    """Count the processes of this container that the kernel has killed for memory."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
