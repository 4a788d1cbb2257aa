"""A worker on a wire past the engine, or on one that its relay carries; here without an engine."""

import os
import select
import socket
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import getsource
from pathlib import Path

import pytest

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import _relay, _stream, _wire
from rlmbox.sandboxes.docker._relay import DIRECT, END, RELAYED, STDERR, STDOUT, WAY, WIRE, WIRE_PATH
from rlmbox.sandboxes.docker._stream import AttachedSocket
from rlmbox.sandboxes.docker._wire import Door, Ends, agreed
from sandboxes.docker_door import connect
from sandboxes.local_repl import open_descriptors

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an engine runs in a virtual machine"),
    pytest.mark.usefixtures("folders"),
]


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(payload)) + payload


class Container:
    """A relay that runs on this side of all walls, and an engine that passes on what it says."""

    def __init__(self, worker: str, path: str) -> None:
        source = getsource(_relay).replace(f'"{WIRE_PATH}"', repr(path))
        assert path in source
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", source, textwrap.dedent(worker)]
        self._engine, theirs = socket.socketpair()
        self.stream = AttachedSocket(theirs.detach())
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"SECRET": "x"})
        self._passing = threading.Thread(target=self._pass_on)
        self._passing.start()

    def _pass_on(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            self._engine.sendall(frame(1, data))
        self._engine.shutdown(socket.SHUT_WR)

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def last_words(self) -> str:
        self.stream.hear_out()
        return self.stream.last_words

    def close(self) -> None:
        self.close_input()
        self._passing.join()
        with self.process:
            self.process.kill()
        self._engine.close()
        self.stream.discard()


@contextmanager
def container(worker: str, path: str) -> Iterator[Container]:
    running = Container(worker, path)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def direct(worker: str) -> Iterator[tuple[Container, Ends]]:
    """Starts a worker on a wire of its own, and gives our ends of it."""
    door = Door()
    with container(worker, door.path) as running:
        ends = agreed(running.stream, door)
        assert ends is not None
        try:
            yield running, ends
        finally:
            ends.close()


def test_descriptors_that_the_worker_sends_are_not_taken() -> None:
    worker = """
    import _socket, os, struct, sys
    wire = _socket.socket(fileno=int(sys.argv[1]))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("=i", 0))]
    try:
        wire.sendmsg([b"x"], rights)
    except OSError:
        wire.send(b"x")
    wire.recv(1)
    os._exit(0)
    """
    with direct(worker) as (_, ends):
        before = open_descriptors()
        assert ends.wire.recv(100) == b"x"
        assert open_descriptors() <= before


def test_the_worker_has_the_wire_and_two_pipes_and_nothing_else() -> None:
    worker = """
    import os, sys
    read_fd, write_fd = map(int, sys.argv[1:])
    os.write(write_fd, os.read(read_fd, 5))
    print(open("/proc/self/environ").read(), end="")
    print([fd for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")] == [0, 1, 2, read_fd], read_fd == write_fd)
    print(os.read(0, 1), __name__, file=sys.stderr)
    sys.stdout.flush(); sys.stderr.flush()
    os._exit(7)
    """
    with direct(worker) as (running, ends):
        ends.wire.sendall(b"hello")
        assert ends.wire.recv(10) == b"hello"
        assert ends.wire.recv(10) == b""
        assert [os.read(fd, 1000) for fd in ends.outputs] == [b"True True\n", b"b'' __main__\n"]
        assert running.last_words() == "exit status 7"
        assert running.process.wait() == 7


def test_what_was_printed_before_a_frame_is_there_with_it() -> None:
    worker = """
    import os, sys
    wire = int(sys.argv[1])
    for _ in range(200):
        os.write(1, b"a")
        os.write(2, b"b")
        os.write(wire, b"c")
        os.read(wire, 1)
    os._exit(0)
    """
    with direct(worker) as (_, ends):
        for _ in range(200):
            assert ends.wire.recv(10) == b"c"
            assert [os.read(fd, 10) for fd in ends.outputs if select.select([fd], [], [], 0)[0]] == [b"a", b"b"]
            ends.wire.send(b"x")


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        ("import os; os._exit(0)", "exit status 0"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("import os; os.abort()", "signal 6"),
        ("1 / 0", "exit status 1"),
        ("import os, sys; os.close(int(sys.argv[1])); os.read(os.pipe()[0], 1)", "killed"),
    ],
)
def test_how_a_worker_ended_is_told_though_the_input_is_closed_as_soon_as_its_wire_is(worker: str, told: str) -> None:
    for _ in range(5):
        with direct(worker) as (running, ends):
            assert ends.wire.recv(1) == b""
            running.close_input()
            assert running.last_words().removesuffix(" oom") == told


def test_a_worker_that_is_busy_is_killed_when_the_input_is_closed() -> None:
    with direct("import os, sys\nos.write(int(sys.argv[1]), b'x')\nwhile True: pass") as (running, ends):
        assert ends.wire.recv(1) == b"x"
        running.close_input()
        assert running.last_words() == "killed"
        assert running.process.wait() == 0
        assert ends.wire.recv(1) == b""


def dead_socket(folder: Path) -> str:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        fd = os.open(folder, os.O_RDONLY)
        gone.bind(f"/proc/self/fd/{fd}/s")
        os.close(fd)
    return str(path)


@pytest.mark.parametrize("make", [dead_socket, lambda folder: str(folder / "none"), str])
def test_a_relay_that_cannot_come_to_its_host_carries_everything(make: Callable[[Path], str], folders: Path) -> None:
    worker = "import os, sys\nos.write(1, b'printed')\nos.write(int(sys.argv[2]), b'frame')\nos._exit(0)"
    path = make(folders)
    opened = Door()
    with container(worker, path) as running:
        assert agreed(running.stream, opened) is None
        assert running.stream.way == RELAYED
        assert not Path(opened.path).exists()
        wire = printed = b""
        while not running.stream.has_ended:
            try:
                wire += running.stream.recv(1 << 16)
            except BlockingIOError:
                if select.select(running.stream.outputs[:1], [], [], 0)[0]:
                    printed += os.read(running.stream.outputs[0], 100)
        assert (wire, printed, running.stream.last_words) == (b"frame", b"printed", "exit status 0")


def test_a_host_that_closes_its_door_lets_the_relay_carry_everything(door: Door) -> None:
    with container("import os; os._exit(0)", door.path) as running:
        poll = select.poll()
        poll.register(door, select.POLLIN)
        assert poll.poll(10_000)
        door.close()
        while not running.stream.way:
            running.stream.hear()
        assert running.stream.way == RELAYED


# What an engine, or a container that is not ours, may send in the place of a relay's word.


@contextmanager
def engine() -> Iterator[tuple[socket.socket, AttachedSocket]]:
    ours, theirs = socket.socketpair()
    stream = AttachedSocket(theirs.detach())
    try:
        with ours:
            yield ours, stream
    finally:
        stream.discard()


def test_a_connection_that_ends_is_left_to_its_reader(door: Door) -> None:
    with engine() as (ours, stream):
        ours.sendall(frame(2, b"Traceback"))
        ours.shutdown(socket.SHUT_WR)
        assert agreed(stream, door) is None
        assert os.read(stream.outputs[1], 100) == b"Traceback"
        assert stream.recv(10) == b""
        assert not Path(door.path).exists()


def test_a_connection_that_is_none_of_ours_is_left_to_its_reader(door: Door) -> None:
    with engine() as (ours, stream):
        ours.sendall(b"HTTP/1.1 500 Internal Server Error")
        assert agreed(stream, door) is None
        with pytest.raises(_stream.BrokenStream):
            stream.recv(10)


def test_who_claims_a_wire_that_was_not_handed_out_has_none(door: Door) -> None:
    with engine() as (ours, stream):
        ours.sendall(frame(1, frame(WAY, DIRECT)))
        assert agreed(stream, door) is None


def test_who_was_handed_a_wire_and_says_otherwise_has_none(door: Door) -> None:
    with engine() as (ours, stream), connect(door.path):
        before = open_descriptors()
        told = threading.Timer(0.2, ours.sendall, (frame(1, frame(WAY, RELAYED)),))
        told.start()
        assert agreed(stream, door) is None
        told.join()
        assert open_descriptors() <= before - 2


def test_a_relay_that_says_nothing_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "_START_TIMEOUT_S", 0.2)
    with engine() as (ours, stream):
        ours.sendall(frame(1, frame(WAY, b"neither")) + frame(2, b"x" * 100_000))
        with pytest.raises(SandboxUnavailable, match="said nothing"):
            agreed(stream, door)
    assert not Path(door.path).exists()


def test_last_words_are_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stream, "_FAREWELL_S", 0.2)
    with engine() as (_, stream):
        stream.hear_out()
        assert not stream.has_ended
    monkeypatch.setattr(_stream, "_FAREWELL_S", 60.0)
    monkeypatch.setattr(_stream, "_FAREWELL_BYTES", 1000)
    with engine() as (ours, stream):
        ours.sendall(frame(1, frame(STDOUT, b"x" * 5000) + frame(STDERR, b"x") + frame(WIRE, b"x")))
        stream.hear_out()
        assert not stream.has_ended
        ours.sendall(frame(1, frame(END, b"signal 9")))
        ours.shutdown(socket.SHUT_WR)
        stream.hear_out()
        assert (stream.has_ended, stream.last_words) == (True, "signal 9")
