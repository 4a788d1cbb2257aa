"""What a container sends is taken apart, whatever it is, and what its relay carries comes in order."""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import getsource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.sandboxes.docker import _relay
from rlmbox.sandboxes.docker._relay import END, STDERR, STDOUT, WIRE
from rlmbox.sandboxes.docker._stream import AttachedSocket, BrokenStream, Frames

pytestmark = pytest.mark.skipif(os.name == "nt", reason="descriptors of pipes and sockets are POSIX's")


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(payload)) + payload


def of_engine(*frames: bytes) -> bytes:
    return b"".join(frame(1, one) for one in frames)


class Engine:
    """An attach connection in the hands of a test."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.attached = AttachedSocket(theirs.detach())
        self.attached.setblocking(False)
        self.wire, self.printed = b"", {STDOUT: b"", STDERR: b""}

    def read(self) -> bool:
        """Does what a link does when something can be read; says whether it was more than the pipes."""
        came = False
        try:
            self.wire += self.attached.recv(1 << 18)
            came = True
        except BlockingIOError:
            pass
        for kind, fd in zip((STDOUT, STDERR), self.attached.outputs, strict=True):
            if select.select([fd], [], [], 0)[0]:
                self.printed[kind] += os.read(fd, 1 << 18)
                came = True
        return came

    def send(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 14):
            self.ours.sendall(data[at : at + (1 << 14)])
            while self.read():
                pass

    def close(self) -> None:
        for fd in self.attached.outputs:
            os.close(fd)
        self.attached.close()
        self.ours.close()


@contextmanager
def engine() -> Iterator[Engine]:
    opened = Engine()
    try:
        yield opened
    finally:
        opened.close()


PIECES = st.lists(st.tuples(st.sampled_from((WIRE, STDOUT, STDERR)), st.binary(max_size=40)), max_size=12)


@given(PIECES, st.data())
def test_every_byte_arrives_where_it_belongs_however_the_stream_is_cut(
    pieces: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    relayed = b"".join(frame(*piece) for piece in pieces)
    middle = data.draw(st.integers(0, len(relayed)))
    stream = of_engine(relayed[:middle], relayed[middle:])
    cut = data.draw(st.integers(0, len(stream)))
    with engine() as opened:
        opened.send(stream[:cut])
        opened.send(stream[cut:])
        assert opened.wire == b"".join(payload for kind, payload in pieces if kind == WIRE)
        for kind in (STDOUT, STDERR):
            assert opened.printed[kind] == b"".join(payload for other, payload in pieces if other == kind)


def test_what_was_printed_before_a_frame_can_be_read_before_it() -> None:
    with engine() as opened:
        for size in (1, 4000, 60_000, 200_000):
            opened.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            opened.ours.sendall(of_engine(frame(STDOUT, b"p" * size), frame(WIRE, b"done")))
            seen, wire = 0, b""
            while not wire:
                try:
                    wire = opened.attached.recv(1 << 18)
                except BlockingIOError:
                    seen += len(os.read(opened.attached.outputs[0], 1 << 18))
            while select.select([opened.attached.outputs[0]], [], [], 0)[0]:
                seen += len(os.read(opened.attached.outputs[0], 1 << 18))
            assert (wire, seen) == (b"done", size)


def test_the_relays_own_errors_are_output() -> None:
    with engine() as opened:
        opened.send(frame(2, b"Traceback"))
        assert opened.printed == {STDOUT: b"", STDERR: b"Traceback"}


@pytest.mark.parametrize(
    "stream",
    [
        frame(0, b"x"),
        frame(3, b"x"),
        b"\x01\x00\x01\x00\x00\x00\x00\x01x",
        of_engine(frame(0, b"x")),
        of_engine(frame(9, b"x")),
        of_engine(b"\x01garbage"),
        b"HTTP/1.1 500",
    ],
)
def test_what_is_no_frame_ends_the_connection(stream: bytes) -> None:
    with engine() as opened:
        opened.ours.sendall(stream)
        with pytest.raises(BrokenStream, match="a frame begins with"):
            opened.read()
        assert opened.attached.problem


def test_a_length_is_not_believed() -> None:
    with engine() as opened:
        opened.send(of_engine(struct.pack(">BxxxI", WIRE, 2**32 - 1) + b"x"))
        assert opened.wire == b"x"


def test_a_flood_of_empty_frames_ends_the_connection() -> None:
    frames = Frames((WIRE,), frames_per_s=10)
    with pytest.raises(BrokenStream, match="more than 10 frames"):
        list(frames.feed(frame(WIRE, b"") * 1000))


def test_as_many_frames_as_may_come_at_once_do() -> None:
    assert len(list(Frames((WIRE,), frames_per_s=10).feed(frame(WIRE, b"x") * 20))) == 20


@pytest.mark.parametrize("words", ["signal 9", "signal 9 oom", "exit status 0", "exit status 255"])
def test_last_words_are_heard(words: str) -> None:
    with engine() as opened:
        opened.send(of_engine(frame(END, words.encode())))
        assert opened.attached.last_words == words


@pytest.mark.parametrize(
    "words", [b"", b"signal 9 \x1b[2J", b"signal 9999", b"killed oom", b"exit status 0\n", b"\xff", b"x" * 10_000]
)
def test_last_words_that_are_none_are_not(words: bytes) -> None:
    with engine() as opened:
        opened.send(of_engine(frame(END, words)))
        assert opened.attached.last_words == ""


def test_the_end_of_the_connection_is_seen() -> None:
    with engine() as opened:
        assert not opened.attached.has_ended
        opened.ours.close()
        assert opened.attached.recv(100) == b""
        assert opened.attached.has_ended


def relayed(worker: str, sent: bytes = b"", *, close: bool = False) -> tuple[dict[int, bytes], bytes, int]:
    """Run a program behind the relay; return what came of each kind, the kind of each byte, and the exit status."""
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", getsource(_relay), textwrap.dedent(worker)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"SECRET": "x"})
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(sent)
        process.stdin.flush()
        if close:
            process.stdin.close()
        came: dict[int, bytes] = {WIRE: b"", STDOUT: b"", STDERR: b"", END: b""}
        order = b""
        for kind, piece in Frames(came).feed(process.stdout.read()):
            came[kind] += piece
            order += bytes([kind]) * max(len(piece), 1)
    return came, order, process.returncode


def test_the_worker_has_the_wire_and_two_pipes_and_nothing_else() -> None:
    came, _, status = relayed(
        """
        import os, sys
        read_fd, write_fd = map(int, sys.argv[1:])
        os.write(write_fd, os.read(read_fd, 5))
        print(open("/proc/self/environ").read() if os.path.exists("/proc/self") else "")
        open_fds = [fd for fd in range(64) if fd in (0, 1, 2, read_fd, write_fd) or os.path.exists(f"/dev/fd/{fd}")]
        print(len(open_fds), os.read(0, 1), __name__, file=sys.stderr)
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(7)
        """,
        b"hello",
    )
    assert came[WIRE] == b"hello"
    assert came[STDOUT] == b"PYTHONHASHSEED=1\0\n"
    assert came[STDERR] == b"5 b'' __main__\n"
    assert came[END] == b"exit status 7"
    assert status == 7


def test_output_goes_before_the_frame_that_follows_it() -> None:
    came, order, _ = relayed(
        """
        import os, sys
        for _ in range(200):
            os.write(1, b"a")
            os.write(2, b"b")
            os.write(int(sys.argv[2]), b"c")
            os.read(int(sys.argv[1]), 1)
        os._exit(0)
        """,
        b"x" * 200,
    )
    assert (came[STDOUT], came[STDERR], came[WIRE]) == (b"a" * 200, b"b" * 200, b"c" * 200)
    seen = {WIRE: 0, STDOUT: 0, STDERR: 0, END: 0}
    for kind in order:
        seen[kind] += 1
        assert min(seen[STDOUT], seen[STDERR]) >= seen[WIRE] or kind != WIRE


def test_a_worker_that_is_killed_is_told_from_one_that_ends() -> None:
    came, _, status = relayed("import os, signal\nos.write(1, b'last')\nos.kill(os.getpid(), signal.SIGKILL)")
    assert came[STDOUT] == b"last"
    assert came[END].decode().split()[:2] == ["signal", str(int(signal.SIGKILL))]
    assert status == 128 + signal.SIGKILL


def test_a_worker_that_fails_says_why() -> None:
    came, _, status = relayed("1 / 0")
    assert b"ZeroDivisionError" in came[STDERR]
    assert status == 1


def test_the_relay_ends_with_its_input_whatever_the_worker_does() -> None:
    # In a container it ends with the relay; here only by the alarm.
    came, _, status = relayed("import signal\nsignal.alarm(20)\nwhile True: signal.pause()", close=True)
    assert status == 0
    assert came[END] == b""
