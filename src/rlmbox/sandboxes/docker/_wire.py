"""A container's wire that does not pass the engine: the worker's ends are handed in through a socket that is mounted.

The socket lies in a folder that nobody but us can look into. One connection is accepted, before any cell has run; it is
given three descriptors, nothing is read from it, and then nobody listens any more and the socket's name is gone.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker._relay import DIRECT
from rlmbox.sandboxes.docker._stream import AttachedSocket

_PREFIX = "rlmbox-docker-"
_START_TIMEOUT_S = 30.0
_NEW_S = 60.0
_PASS_RIGHTS = 83  # SO_PASSRIGHTS, since Linux 6.16; Python does not name it


@dataclass(frozen=True, slots=True)
class Ends:
    """Our ends of what the worker was given.

    Attributes:
        wire: A stream to the worker.
        outputs: Where to read what it prints.
    """

    wire: socket.socket
    outputs: tuple[int, int]

    def close(self) -> None:
        """Closes them, where nobody has them."""
        self.wire.close()
        for fd in self.outputs:
            os.close(fd)


class Door:
    """A socket where the first process of one container can take its worker's wire and pipes.

    Raises:
        OSError: It cannot be made here.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            folder = undo.enter_context(private_folder())
            self.path = str(folder / "wire")
            """The socket's name, to be mounted."""
            self._listener = undo.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.setblocking(False)
            with _opened(folder) as fd:  # the path of a socket may have 107 bytes, and the folder's own be longer
                self._listener.bind(f"/proc/self/fd/{fd}/wire")
            Path(self.path).chmod(0o666)  # the container's user is any; the folder keeps others out
            self._listener.listen(1)
            self._undo = undo.pop_all()

    def fileno(self) -> int:
        """Gives the descriptor to wait for."""
        return self._listener.fileno()

    def hand_over(self) -> Ends | None:
        """Gives the first who has come the worker's ends, and closes the door; None where that did not succeed."""
        with ExitStack() as passed:
            passed.callback(self.close)
            try:
                visitor = passed.enter_context(self._listener.accept()[0])
            except OSError:  # it is gone again
                return None
            ends, theirs = _made(passed)
            try:
                visitor.sendmsg([b"w"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=3i", *theirs))])
            except OSError:
                ends.close()
                return None
            return ends

    def close(self) -> None:
        """Ends the listening and removes the socket; may be called again."""
        with suppress(OSError):  # for a process that was forked in the meantime too
            self._listener.shutdown(socket.SHUT_RDWR)
        self._undo.close()


def agreed(stream: AttachedSocket, door: Door) -> Ends | None:
    """Waits until the relay has said which way it goes; gives our ends if the worker has a wire of its own.

    None is also for a container that has ended or broken the protocol, as whoever reads the stream will find out. The
    door is closed.

    Raises:
        OSError: This process may not open more files.
        SandboxUnavailable: The relay said nothing in time.
    """
    ends = None
    deadline = time.monotonic() + _START_TIMEOUT_S
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    poll.register(door, select.POLLIN)
    try:
        while not (stream.way or stream.has_ended or stream.problem):
            ready = [fd for fd, _ in poll.poll(1000 * max(deadline - time.monotonic(), 0))]
            if not ready:
                raise SandboxUnavailable(f"the container's first process said nothing for {_START_TIMEOUT_S:g} s")
            if stream.fileno() in ready:
                stream.hear()
            else:
                poll.unregister(door)
                ends = door.hand_over()
        if ends is not None and stream.way == DIRECT:
            stream.close_pipes()
            taken, ends = ends, None
            return taken
        return None
    finally:
        door.close()
        if ends is not None:
            ends.close()


@contextmanager
def private_folder() -> Iterator[Path]:
    """Makes a folder that no other user can look into, and removes it; `sweep` does so if this process is killed."""
    import fcntl

    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with _opened(path) as fd:
            with suppress(OSError):  # not every file system has such locks; then nobody will sweep there
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Removes the folders of processes of ours that are gone: the kernel has opened their locks."""
    import fcntl

    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _opened(path) as fd:
            folder = os.fstat(fd)
            if folder.st_uid != os.geteuid() or time.time() - folder.st_mtime < _NEW_S:  # it may not be locked yet
                continue
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def _made(theirs: ExitStack) -> tuple[Ends, tuple[int, int, int]]:
    """Makes a wire and two pipes; gives our ends, and the worker's descriptors, which `theirs` closes."""
    with ExitStack() as undo:
        ours, wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.enter_context(ours)
        theirs.enter_context(wire)
        with suppress(OSError):  # no reader of the wire takes descriptors; a kernel that can refuses them at once
            ours.setsockopt(socket.SOL_SOCKET, _PASS_RIGHTS, 0)
        reads, writes = [], []
        for _ in range(2):
            read, write = os.pipe()
            undo.callback(os.close, read)
            theirs.callback(os.close, write)
            os.fchmod(write, 0o222)  # or a cell could not open /dev/stdout, which belongs to the host's user
            reads.append(read)
            writes.append(write)
        undo.pop_all()
        return Ends(ours, (reads[0], reads[1])), (writes[0], writes[1], wire.fileno())
