"""Bytes to and from a worker: its wire, and the pipes at its descriptors 1 and 2, all with limits.

The event loop watches the descriptors for as long as the wire lives; bytes are read only while someone waits.
Registering for every wait, as `anyio.wait_readable` does, took a third of the time of a short cell.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes.worker._frames import Inbox, Violation
from rlmbox.types import CellLimits

_READ_BYTES = 1 << 18
_SHORT_BYTES = 1 << 15  # room for most frames; allocating more each time costs 15 µs
_LEFTOVER_BYTES = 1 << 20
_TURN_S = 0.005
_REST_S = 0.002


class OutputFlood(Exception):
    """More was written to a descriptor of the worker than is allowed."""


class _Pipe:
    """The output of the worker's process on one of its descriptors, up to a limit.

    Args:
        fd: Our end of the pipe; made non-blocking.
        limits: Limits of a cell.
    """

    def __init__(self, fd: int, limits: CellLimits) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        self.is_used = self.is_flooded = False
        self.text = BoundedText(self._limits.output_chars)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._size_bytes = 0

    def drop(self) -> None:
        """Read and discard what is available."""
        taken = 0
        with suppress(OSError):
            while taken < _LEFTOVER_BYTES and (data := os.read(self.fd, _READ_BYTES)):
                taken += len(data)

    def read(self) -> int:
        """Read what is available; return the number of bytes, 0 at the end, -1 if nothing is available yet."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return -1
        except OSError:
            return 0
        self.is_used = True
        if self.is_flooded:
            return len(data)
        self._size_bytes += len(data)
        self.text.write(self._decoder.decode(data))
        self.is_flooded = self._size_bytes > self._limits.output_flood_bytes
        if self.is_flooded:
            raise OutputFlood
        return len(data)


class WorkerPipes:
    """A worker's wire and pipes, owned by this object.

    Args:
        wire: A stream socket to the worker; made non-blocking.
        outputs: Our ends of the pipes at the worker's descriptors 1 and 2; made non-blocking.
        limits: Limits of a cell.
        inbox: Receives the bytes of frames.
        flooded: Called once per request when too much was printed; later output is discarded.
    """

    def __init__(
        self,
        wire: socket.socket,
        outputs: Sequence[int],
        limits: CellLimits,
        inbox: Inbox,
        flooded: Callable[[], object],
    ) -> None:
        wire.setblocking(False)
        with suppress(OSError):  # otherwise an urgent byte would wake us and never be counted
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._wire = wire
        self._fd = wire.fileno()
        self._inbox, self._flooded = inbox, flooded
        self._outbox: deque[memoryview] = deque()
        self._pipes = [_Pipe(fd, limits) for fd in outputs]
        self._poll = select.poll()
        for fd in (self._fd, *outputs):
            self._poll.register(fd, select.POLLIN)
        self._readers: dict[int, Callable[[], None]] = {self._fd: self._receive}
        self._readers |= {pipe.fd: partial(self._capture, pipe) for pipe in self._pipes}
        self._watched: set[int] = set()
        self._loop: asyncio.AbstractEventLoop
        self._is_writing = False
        self._room = _SHORT_BYTES
        self._news: asyncio.Future[None] | None = None
        self._broken: BaseException | None = None

    @property
    def is_flooded(self) -> bool:
        """Return whether too much was printed during the last request."""
        return any(pipe.is_flooded for pipe in self._pipes)

    @property
    def backlog(self) -> int:
        """Number of frames that the worker has not read yet."""
        return len(self._outbox)

    def begin(self) -> bytes | None:
        """Prepare for a request; return a byte that came unsolicited, or b"" if the worker is gone."""
        self._broken = None
        ready = self._ready()
        for pipe in self._pipes:
            if pipe.fd in ready:  # written by a process that the last cell left behind: it is no cell's output
                pipe.drop()
            if pipe.is_used:
                pipe.begin()
        if self._fd in ready:
            with suppress(BlockingIOError):
                try:
                    return self._wire.recv(1)
                except ConnectionError:
                    return b""
        loop = asyncio.get_running_loop()
        if self._watched and loop is not self._loop:
            for fd in [*self._watched]:
                self._leave(fd)
        self._loop = loop
        return None

    def send(self, frame: bytes) -> None:
        """Send a frame, as much of it immediately as fits.

        Raises:
            OSError: The worker is gone.
        """
        self._outbox.append(memoryview(frame))
        if len(self._outbox) == 1:
            self._flush()

    async def wait(self) -> None:
        """Wait until something was received.

        Raises:
            OSError: The worker is gone.
            Violation: It sent too much.
            BaseException: The exception passed to `fail`.
        """
        if self._broken is not None:
            raise self._broken
        if len(self._watched) < len(self._readers):
            self._watch()
        self._news = self._loop.create_future()
        try:
            await self._news
        finally:
            self._news = None

    def fail(self, error: BaseException) -> None:
        """End the wait with an exception, once everything received before has been used."""
        self._broken = self._broken or error
        self._tell()

    def printed(self) -> tuple[BoundedText, ...]:
        """Return what was written to the pipes since the request began."""
        ready = self._ready() if self._pipes else ()
        for pipe in self._pipes if ready else ():
            with suppress(OutputFlood):
                taken = 0
                while pipe.fd in ready and taken < _LEFTOVER_BYTES and (size := pipe.read()) > 0:
                    taken += size
        return tuple(pipe.text for pipe in self._pipes)

    def close(self) -> None:
        """Close everything; nobody may be waiting."""
        for fd in [*self._watched]:
            self._leave(fd)
        self._wire.close()
        for pipe in self._pipes:
            with suppress(OSError):
                os.close(pipe.fd)
        self._pipes = []

    def _ready(self) -> list[int]:
        return [fd for fd, _ in self._poll.poll(0)]

    def _watch(self) -> None:
        """Register the descriptors that the event loop does not watch yet."""
        for fd in self._readers.keys() - self._watched:
            self._loop.add_reader(fd, self._readers[fd])
            self._watched.add(fd)

    def _leave(self, fd: int) -> None:
        self._watched.discard(fd)
        if not self._loop.is_closed():
            self._loop.remove_reader(fd)
            if fd == self._fd and self._is_writing:
                self._loop.remove_writer(fd)
        self._is_writing = self._is_writing and fd != self._fd

    def _receive(self) -> None:
        if self._news is None:  # nobody waits; the next request reads what came
            self._leave(self._fd)
            return
        try:
            data = self._wire.recv(self._room)
            if not data:
                raise ConnectionResetError
            self._room = _READ_BYTES if len(data) >= _SHORT_BYTES else _SHORT_BYTES
            self._inbox.feed(data)
        except BlockingIOError:
            return
        except (OSError, Violation) as error:
            self.fail(error)
        self._tell()

    def _capture(self, pipe: _Pipe) -> None:
        if self._news is None:
            self._leave(pipe.fd)
            return
        try:
            if pipe.read() == 0:
                self._leave(pipe.fd)
                del self._readers[pipe.fd]
            elif pipe.is_flooded:
                self._rest(pipe)
        except OutputFlood:
            self._rest(pipe)
            self._flooded()

    def _rest(self, pipe: _Pipe) -> None:
        """Read a flooding pipe again after a delay: the end of the cell may be queued behind its contents.

        A guest of `wasm` that waits for room in the pipe cannot be interrupted, and what comes through a container
        engine comes in order.
        """
        self._leave(pipe.fd)
        self._loop.call_later(_REST_S, self._look_again, pipe)

    def _look_again(self, pipe: _Pipe) -> None:
        if self._news is not None and pipe in self._pipes and pipe.fd not in self._watched:
            self._loop.add_reader(pipe.fd, self._readers[pipe.fd])
            self._watched.add(pipe.fd)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _flush(self) -> None:
        # A busy thread may take the interpreter at each send, so a long frame is written in several turns of the loop.
        until_s = time.monotonic() + _TURN_S
        with suppress(BlockingIOError):
            while self._outbox:
                sent = self._wire.send(self._outbox[0])
                self._outbox[0] = self._outbox[0][sent:]
                if not self._outbox[0]:
                    self._outbox.popleft()
                if time.monotonic() > until_s:
                    break
        if self._is_writing == bool(self._outbox):
            return
        self._is_writing = not self._is_writing
        if self._is_writing:
            self._loop.add_writer(self._fd, self._go_on)
        else:
            self._loop.remove_writer(self._fd)

    def _go_on(self) -> None:
        try:
            self._flush()
        except OSError as error:
            self.fail(error)
