"""The host's end of a container's attach stream, in which its relay sends the worker's wire and printed output.

There are two layers of frames with the same eight-byte header. The outer ones are the engine's, which name one of the
container's two outputs. The inner ones are `_relay.py`'s and so hostile: nothing is allocated for a claimed length,
kinds are checked, and frames are counted, because each costs work however small it is.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from rlmbox.sandboxes.docker._relay import END, INTERRUPT, STDERR, STDOUT, WIRE

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_HEADER_BYTES = 8
_ENGINE_STDOUT, _ENGINE_STDERR = 1, 2
_FRAMES_PER_S = 250_000
_SMALL_PIPE_BYTES = 4096
_WORDS_BYTES = 64
_END = re.compile(r"(signal|exit status) \d{1,3}( oom)?")


class BrokenStream(ConnectionAbortedError):
    """The stream is not that of our container; an OSError, as if the connection had ended."""


class Frames:
    """Parses a stream of frames incrementally.

    Args:
        kinds: The valid kinds of frames.
        frames_per_s: Maximum rate of frames; twice as many may arrive at once.
    """

    def __init__(self, kinds: Collection[int], frames_per_s: float = _FRAMES_PER_S) -> None:
        self._kinds, self._rate = frozenset(kinds), frames_per_s
        self._header = b""
        self._kind = self._left = 0
        self._allowance, self._counted_at = 2 * frames_per_s, time.monotonic()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the parts of payloads in another part of the stream, each with its kind.

        Raises:
            BrokenStream: A header is invalid, or there are too many frames.
        """
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield self._kind, piece
                continue
            taken = _HEADER_BYTES - len(self._header)
            self._header += data[at : at + taken]
            at += taken
            if len(self._header) == _HEADER_BYTES:
                self._begin_frame()

    def _begin_frame(self) -> None:
        header, self._header = self._header, b""
        self._kind, self._left = header[0], int.from_bytes(header[4:], "big")
        if self._kind not in self._kinds or any(header[1:4]):
            raise BrokenStream(f"a frame begins with {header.hex()}")
        self._allowance -= 1
        if self._allowance < 0:
            now = time.monotonic()
            self._allowance += self._rate * (now - self._counted_at)
            self._allowance, self._counted_at = min(self._allowance, 2 * self._rate), now
            if self._allowance < 0:
                raise BrokenStream(f"more than {self._rate:,} frames came in a second")


class AttachedSocket(socket.socket):
    """A container's attach connection, with the interface of a socket to the worker alone.

    The output of the worker's process goes into two pipes; before a frame of the wire is returned, everything printed
    before it is in them.

    Args:
        fd: The connection, owned by this object.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fileno=fd)
        self._engine = Frames((_ENGINE_STDOUT, _ENGINE_STDERR))
        self._relay = Frames((WIRE, STDOUT, STDERR, END))
        self._pipes: dict[int, tuple[int, int]] = {}
        self._words = b""
        self._full = self._is_interrupting = False
        self._left = 0  # bytes left of the frame being sent
        self.has_ended = False
        self.problem = ""
        try:
            for kind in (STDOUT, STDERR):
                self._pipes[kind] = os.pipe()
                os.set_blocking(self._pipes[kind][1], False)
            # An empty pipe takes this much in one write, unless its user has very many pipes and so gets small ones.
            self._piece_bytes = min(_pipe_bytes(write) for _, write in self._pipes.values())
        except BaseException:
            self.close()
            raise

    @property
    def outputs(self) -> tuple[int, int]:
        """The file descriptors of printed output, which their reader closes."""
        return self._pipes[STDOUT][0], self._pipes[STDERR][0]

    @property
    def last_words(self) -> str:
        """The worker's end, such as `signal 9`, followed by ` oom` if memory ran out; '' if unknown."""
        text = self._words.decode("ascii", "replace")
        return text if _END.fullmatch(text) else ""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Return what the worker wrote to the wire, and put the rest into the pipes.

        Raises:
            BlockingIOError: There is nothing for the wire yet, or the pipes have to be read first.
            BrokenStream: The stream is not that of our container.
        """
        if self.problem:
            raise BrokenStream(self.problem)
        if self._full and not self._are_pipes_empty():
            raise BlockingIOError
        data = super().recv(min(max(bufsize, _HEADER_BYTES), self._piece_bytes), flags)
        if not data:
            self.has_ended = True
            return b""
        try:
            wire = self._sorted(data)
        except BrokenStream as error:
            self.problem = str(error)
            raise
        if not wire:
            raise BlockingIOError
        return wire

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send more of a frame for the worker; the next frame begins where this one ends."""
        if not self._left:
            self._send_interrupt()
            self._left = len(memoryview(data))
        sent = super().send(data, flags)
        self._left -= sent
        if not self._left:
            self._send_interrupt()
        return sent

    def interrupt(self) -> bool:
        """Have the relay interrupt the cell, once the current frame has been sent; return False if it is gone.

        The relay processes its input in order, so the interrupt cannot hit a cell that is sent later.
        """
        self._is_interrupting = True
        try:
            if not self._left:
                self._send_interrupt()
        except OSError:
            return False
        return True

    def _send_interrupt(self) -> None:
        if self._is_interrupting:
            self._is_interrupting = False
            super().send(INTERRUPT)

    def discard(self) -> None:
        """Close everything if nobody has taken the outputs."""
        super().close()
        for read, write in self._pipes.values():
            os.close(read)
            os.close(write)
        self._pipes = {}

    def close(self) -> None:
        """Close the connection and our ends of the pipes."""
        super().close()
        for _, write in self._pipes.values():
            with suppress(OSError):
                os.close(write)
        self._pipes = {kind: (read, -1) for kind, (read, _) in self._pipes.items()}

    def _sorted(self, data: bytes) -> bytes:
        parts: dict[int, list[bytes]] = {WIRE: [], STDOUT: [], STDERR: []}
        for stream, payload in self._engine.feed(data):
            if stream == _ENGINE_STDERR:  # from the relay itself, which writes there only when it fails
                parts[STDERR].append(payload)
                continue
            for kind, piece in self._relay.feed(payload):
                if kind == END:
                    self._words = (self._words + piece)[:_WORDS_BYTES]
                else:
                    parts[kind].append(piece)
        for kind, (_, write) in self._pipes.items():
            if parts[kind]:
                self._full = True
                os.write(write, b"".join(parts[kind]))
        return b"".join(parts[WIRE])

    def _are_pipes_empty(self) -> bool:
        import fcntl
        import termios

        sizes = (fcntl.ioctl(read, termios.FIONREAD, b"\0" * 4) for read, _ in self._pipes.values())
        self._full = any(int.from_bytes(size, sys.byteorder) for size in sizes)
        return not self._full


def _pipe_bytes(fd: int) -> int:
    import fcntl

    ask = getattr(fcntl, "F_GETPIPE_SZ", None)
    return _SMALL_PIPE_BYTES if ask is None else fcntl.fcntl(fd, ask)
