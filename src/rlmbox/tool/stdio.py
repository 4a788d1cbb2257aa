"""The tool as a service: one JSON object per line in, one per line out.

Standard input and output are read and written in a thread each, which works for pipes, terminals and files alike,
without making them non-blocking, since other processes may share them.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from rlmbox.tool.result import failure
from rlmbox.tool.schema import MAX_CODE_BYTES
from rlmbox.tool.sessions import ToolSessions

MAX_LINE_BYTES = 6 * MAX_CODE_BYTES + 64 * 1024
"""The longest request: code of the greatest length with each byte escaped, and the other fields."""

_READ_BYTES = 1 << 16
_AT_ONCE = 1024  # requests that are running or queued; beyond that no input is read
_AT_ONCE_BYTES = 64 << 20


class LineSplitter:
    """Splits bytes into lines, buffering at most one line of the greatest length.

    Args:
        max_bytes: The longest line that is kept; a longer one is discarded up to its end.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._begun = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Process bytes; yield each completed line without its end, or None for one that is too long."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            yield self._ended(part)
        self._keep(rest)

    def end(self) -> Iterator[bytes | None]:
        """Yield the last line if it has no line end."""
        if self._begun or self._is_too_long:
            yield self._ended(b"")

    def _keep(self, part: bytes) -> None:
        self._is_too_long = self._is_too_long or len(self._begun) + len(part) > self._max_bytes
        if self._is_too_long:
            self._begun.clear()
        else:
            self._begun += part

    def _ended(self, part: bytes) -> bytes | None:
        self._keep(part)
        line = None if self._is_too_long else bytes(self._begun)
        self._begun.clear()
        self._is_too_long = False
        return line


class Service:
    """Answers requests from one descriptor on another, until the end of input or a signal.

    Args:
        sessions: Answers the requests.
        read_fd: Descriptor to read requests from.
        write_fd: Descriptor to write answers to.
        warn: Called with one line for a problem that does not end the service.
    """

    def __init__(self, sessions: ToolSessions, read_fd: int, write_fd: int, warn: Callable[[str], None]) -> None:
        self._sessions, self._read_fd, self._write_fd, self._warn = sessions, read_fd, write_fd, warn
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = _Room(_AT_ONCE, _AT_ONCE_BYTES)
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[int]
        self._loop: asyncio.AbstractEventLoop

    async def serve(self) -> int:
        """Serve; return 0 after the end of input, or 128 plus the number of a signal.

        Raises:
            OSError: An answer could not be written, for example because the client is gone.
        """
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
            with suppress(NotImplementedError):  # on Windows, where Ctrl-C raises instead
                self._loop.add_signal_handler(number, self._end, 128 + number)
        writer = threading.Thread(target=self._write, daemon=True)
        writer.start()
        threading.Thread(target=self._read, daemon=True).start()
        starting = asyncio.ensure_future(self._start())
        try:
            code = await self._ended
            if code == 0:
                await self._finish()
        finally:
            starting.cancel()
            await self._sessions.aclose()
            self._answers.put(None)
        if code == 0:
            await asyncio.to_thread(writer.join)
            if self._ended.done() and self._ended.exception() is not None:
                self._ended.result()
        return code

    async def _start(self) -> None:
        why_not = await self._sessions.start()
        if why_not:
            self._warn(f"Python cannot start here, and each call will say so: {why_not}")

    async def _finish(self) -> None:
        """Answer the requests before the end of input, unless a signal or the loss of the client ends that too."""
        self._ended = self._loop.create_future()
        answered: asyncio.Future[Any] = asyncio.ensure_future(asyncio.gather(*self._under_way))
        ended: asyncio.Future[Any] = self._ended
        await asyncio.wait([answered, ended], return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            self._ended.result()

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _fail(self, error: OSError) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _accept(self, line: bytes | None) -> None:
        task = self._loop.create_task(self._answer(line))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, line: bytes | None) -> None:
        try:
            if line is None:
                answer = failure(f"a request has at most {MAX_LINE_BYTES:,} bytes: run the code in parts").as_dict()
            else:
                answer = await self._sessions.answer(line)
            self._answers.put(json.dumps(answer).encode() + b"\n")
        finally:
            self._room.leave(len(line or b""))

    # In threads of their own

    def _read(self) -> None:
        lines = LineSplitter()
        with suppress(OSError):  # a closed standard input counts as its end
            while data := os.read(self._read_fd, _READ_BYTES):
                self._deliver(lines.feed(data))
        self._deliver(lines.end())
        self._tell(partial(self._end, 0))

    def _deliver(self, lines: Iterator[bytes | None]) -> None:
        for line in lines:
            if line is None or line.strip():
                self._room.enter(len(line or b""))
                self._tell(partial(self._accept, line))

    def _write(self) -> None:
        while (data := self._answers.get()) is not None:
            left = memoryview(data)
            try:
                while left:
                    left = left[os.write(self._write_fd, left) :]
            except OSError as error:
                self._tell(partial(self._fail, error))
                return

    def _tell(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call)


class _Room:
    """Limits the running and queued requests, in number and size, by blocking the reader.

    Args:
        most: Largest number of requests.
        most_bytes: Largest total size; a single request may always enter.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._number = self._size_bytes = 0
        self._changed = threading.Condition()

    def enter(self, size_bytes: int) -> None:
        """Wait for room, and take it."""
        with self._changed:
            while self._number and (self._number >= self._most or self._size_bytes + size_bytes > self._most_bytes):
                self._changed.wait()
            self._number += 1
            self._size_bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """Release room."""
        with self._changed:
            self._number -= 1
            self._size_bytes -= size_bytes
            self._changed.notify()


def unwritable(error: OSError) -> int:
    """Report that answers cannot be written, unless the client has simply gone; return the exit code."""
    if not isinstance(error, BrokenPipeError):
        print(f"error: the answers cannot be written: {error.strerror or error}", file=sys.stderr)  # noqa: T201
    # Buffered output would fail again when Python exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
