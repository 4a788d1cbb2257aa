"""The process in which cells run: `python -s -P -S -X utf8 _worker.py READ_FD WRITE_FD [LIFELINE_FD]`.

One file, standard library only, Python 3.11 and later; it is started where nothing of rlmbox is installed, and holds no
secret. Its environment has one variable, PYTHONHASHSEED, the same for all sessions, so that sets have the same order in
each; `-I` would ignore it. It exchanges JSON frames (length in four bytes, big-endian, then UTF-8) over the two
descriptors, which may be the same one. The language side, `_repl.py` and its modules, arrives as source in the first
frame, so that a container image is independent of the version of rlmbox.

Once a cell has run, this process belongs to whoever wrote the cell: the clean-up here serves well-meaning cells, and
the host trusts nothing that it sends.
"""

from __future__ import annotations

import _thread
import io
import json
import operator
import os
import signal
import sys
import threading
import time
import types
from contextlib import suppress
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any

MAIN = threading.get_ident()
START_THREAD = threading.Thread.start
HASH_SEED = "1"
VALUE_BYTES = 64 << 20
FRAME_BYTES = VALUE_BYTES + (4 << 20)  # including the output, names and the like
PIECE_CHARS = 1 << 20
SPARE_BYTES = 16 << 20  # for the worker itself while a cell's data fill the memory
OWN_FRAMES = 50  # Python frames of the worker below a cell, and of a host call above it
LOWEST_PRIORITY = 19
FREE_CALLS_S = 30.0  # how long a cell may wait for calls that read the context, in addition to its running time
AGAIN_S = 0.3  # a cell that swallowed its interrupt gets another before the host kills it
REPORT_S, LONG_REPORT_S = 0.4, 3.0  # how long a cell's classes may take to describe its error; within its time
DECODE = json.JSONDecoder().decode
ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # `json.dumps` would make an encoder per frame
ODD_TEXT = "backslashreplace"
BROKEN = b"an earlier cell has changed modules of Python without which no other cell can run\n"
CONTINUATION = bytes(range(0x80, 0xC0))  # all bytes of a UTF-8 character except the first


class CellTimeout(BaseException):
    """The cell's time is over. Not an `Exception`, so that an ordinary `except` does not catch it."""


class CellFlooded(BaseException):
    """The cell printed more than allowed."""


class Output(io.RawIOBase):
    """A raw stream that keeps the head and the tail of what is written and counts the rest."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.begin(0, 0)

    def begin(self, max_chars: int, flood_bytes: float) -> None:
        self._head_chars, self._tail_chars, self.flood_bytes = max_chars - max_chars // 2, max_chars // 2, flood_bytes
        self._head, self._tail = bytearray(), bytearray()
        self._size = self._chars = 0

    @property
    def flooded(self) -> bool:
        return self._size > self.flood_bytes

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._size += len(data)
        self._chars += len(data.translate(None, CONTINUATION))
        # At most four bytes per character; characters are counted only at the end.
        taken = 4 * self._head_chars - len(self._head)
        self._head += data[:taken]
        self._tail += data[taken:][-4 * self._tail_chars :] if self._tail_chars else b""
        if len(self._tail) > 8 * self._tail_chars:
            del self._tail[: -4 * self._tail_chars]
        if self.flooded:
            raise CellFlooded(f"the cell printed more than {self.flood_bytes:,} bytes")
        return len(data)

    def parts(self) -> tuple[str, int]:
        """Return the text kept and the number of characters dropped."""
        whole = (self._head + self._tail).decode("utf-8", "replace")
        dropped = self._chars - self._head_chars - self._tail_chars
        if dropped <= 0:
            return whole, 0
        tail = self._tail.decode("utf-8", "replace")
        tail = whole if len(tail) < self._tail_chars else tail  # nothing was dropped: head and tail are contiguous
        tail = tail[len(tail) - self._tail_chars :]
        return f"{whole[: self._head_chars]}\n... [{dropped:,} characters dropped] ...\n{tail}", dropped

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass  # later cells write here too


def text_stream(output: Any) -> io.TextIOWrapper:
    """Return a text stream for the output of cells."""
    return io.TextIOWrapper(output, "utf-8", ODD_TEXT)


class Clock:
    """The cell's deadline: a timer whose signal raises in the main thread, deferred while the wire is in use.

    Raising in the middle of a frame would leave half a frame on the wire. A cell that swallows the exception, such as
    one with `except BaseException` in an endless loop, is interrupted again after `AGAIN_S`, and from then on at each
    step, its handlers included, until it has ended: the next signal is pending whenever the exception is raised.

    Attributes:
        expired: Whether the deadline has passed.
        runner: Code of the function of the language side that runs cells.
    """

    runner: types.CodeType | None = None

    def __init__(self) -> None:
        self._timeout_s = self._left_s = self._free_left_s = self._free_s = self._since = 0.0
        self.expired = self._armed = self._insists = self._is_again = False
        self._held: BaseException | None = None
        self._shields = self._waiting = 0
        self._handlers: dict[int, Any] = {signal.SIGINT: self._interrupted}
        if hasattr(signal, "setitimer"):
            self._handlers[signal.SIGALRM] = self._ring
        self._listen()

    def start(self, timeout_s: float) -> None:
        self._listen()
        self._timeout_s, self.expired, self._held, self._armed = timeout_s, False, None, True
        self._insists = self._is_again = False
        self._free_left_s = FREE_CALLS_S
        self._left_s = 0.0
        self._timer(timeout_s)

    def go_on(self, least_s: float, most_s: float) -> None:
        """Start with the time that was left when the clock was stopped, within bounds."""
        self._held, self._armed = None, True
        left_s = self._timer(least_s) or self._left_s  # a timer that has not fired reports what is left
        if left_s > least_s:
            self._timer(min(left_s, most_s))

    def stop(self) -> None:
        self._armed = False
        self._left_s = self._timer(0) or self._left_s

    def pause(self) -> None:
        """Pause the deadline while a host call is under way."""
        before, self._waiting = self._waiting, self._waiting + 1
        if self._armed and not before:
            self._left_s, self._since, self._free_s = self._timer(0), time.monotonic(), 0.0

    def resume(self, free_s: float, *, is_read: bool) -> None:
        """Resume when the call is answered, unless another is under way.

        Args:
            free_s: How much of the call's time does not count, by the host's clock.
            is_read: Whether the call only read the context.
        """
        self._waiting -= 1
        self._free_s += free_s
        self._free_left_s -= free_s if is_read else 0.0
        if self._armed and not self._waiting:
            self._timer(max(self._left_s - max(0.0, time.monotonic() - self._since - self._free_s), 1e-6))

    @property
    def message(self) -> str:
        """The message of the timeout."""
        if self._free_left_s <= 0:
            return f"the cell waited longer than {FREE_CALLS_S:g} s for functions that read the context"
        return f"the cell ran longer than {self._timeout_s:g} s"

    def __enter__(self) -> None:
        self._shields += threading.get_ident() == MAIN

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == MAIN:
            self._shields -= 1
            held, self._held = self._held, None
            if held is not None:
                self._throw(held)

    def _listen(self) -> None:
        """Handle signals, whatever an earlier cell has done to them."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers)

    def _interrupted(self, _: int, frame: types.FrameType | None) -> None:
        self._raise(KeyboardInterrupt("interrupted by the host"), frame)

    def _ring(self, _: int, frame: types.FrameType | None) -> None:
        is_again, self._is_again = self._is_again, False
        if is_again and not self._is_in_cell(frame):
            return  # the cell has ended meanwhile
        self._insists, self.expired = self.expired, self.expired or self._armed
        self._raise(CellTimeout(self.message), frame)

    def _raise(self, error: BaseException, frame: types.FrameType | None) -> None:
        if self._armed and self._shields:
            self._held = error
        elif self._armed:
            self._insists = self._insists and self._is_in_cell(frame)
            self._throw(error)

    def _throw(self, error: BaseException) -> None:
        if not self._insists:
            raise error
        # Python handles a signal at certain instructions, of this function too: so it has to be sent, and the exception
        # raised, within a single one. The cell's own handler is then what the signal interrupts.
        self._is_again = True
        list(map(operator.call, (partial(_thread.interrupt_main, signal.SIGALRM), partial(nothing().throw, error))))

    def _is_in_cell(self, frame: types.FrameType | None) -> bool:
        """Return whether a frame was called, indirectly, by the function that runs cells."""
        while frame is not None:
            frame = frame.f_back
            if frame is not None and frame.f_code is self.runner:
                return True
        return False

    @staticmethod
    def _timer(seconds: float) -> float:
        if not hasattr(signal, "setitimer"):  # no such signal here: only the host can end a cell, by killing the worker
            return 0.0
        return signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S if seconds else 0)[0]


def nothing() -> Generator[None]:
    """Return a generator, to throw exceptions into."""
    yield


class Wire:
    """Frames to and from the host. Thread-safe: several threads may call the host at once."""

    def __init__(self, read_fd: int, write_fd: int, clock: Clock) -> None:
        self._read_fd, self._write_fd, self._clock = read_fd, write_fd, clock
        self._turn = threading.Condition(threading.Lock())
        self._slots = threading.BoundedSemaphore(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._pending: dict[int, bool] = {}  # whether each call only reads the context, by its number
        self._reading = self.open = self.forked = False
        self._read, self._last_id = bytearray(), 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def widen(self, parallel_calls: int) -> None:
        self._slots = threading.BoundedSemaphore(parallel_calls)

    def send(self, message: dict[str, Any], writer: Any = None) -> None:
        """Send a frame.

        Args:
            message: Its members.
            writer: The writer of the values in it, which has put long texts aside; see `_values.Writer`.

        Raises:
            ValueError: It is too long, or not JSON.
        """
        size, parts = framed(message, writer)
        begun = size.to_bytes(4, "big")
        try:
            for part in parts:  # a short frame is one part and one write, so that its reader wakes up once
                left = memoryview(begun + part)
                begun = b""
                while left:
                    left = left[os.write(self._write_fd, left) :]
        except OSError:
            os._exit(1)  # the host is gone

    def receive(self) -> Any:
        body = self._exactly(int.from_bytes(self._exactly(4), "big"))
        return DECODE(body.decode("utf-8", "surrogatepass"))

    def _exactly(self, size: int) -> bytearray:
        while (missing := size - len(self._read)) > 0:
            part = b""
            with suppress(OSError):
                part = os.read(self._read_fd, min(max(missing, 1 << 15), 1 << 20))  # often length and frame in one
            if not part:
                os._exit(0)
            self._read += part
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def call(
        self, name: str, args: list[Any], kwargs: dict[str, Any], writer: Any, *, is_read: bool = False
    ) -> dict[str, Any]:
        """Call the host and wait for its answer, which has a `value` or an `error`."""
        with self._clock, self._slots:
            return self._await(self._ask(name, args, kwargs, writer, is_read=is_read))

    def _ask(self, name: str, args: list[Any], kwargs: dict[str, Any], writer: Any, *, is_read: bool) -> int:
        if self.forked:
            raise RuntimeError(f"{name}() cannot be called in a forked process")
        with self._turn:
            if not self.open:
                raise RuntimeError(f"{name}() can be called only while a cell runs")
            call_id = self._last_id + 1
            try:
                self.send({"type": "call", "id": call_id, "name": name, "args": args, "kwargs": kwargs}, writer)
            except ValueError as error:  # too long
                raise ValueError(f"{name}(): {error}") from None
            self._last_id = call_id
            self._pending[call_id] = is_read
            self._clock.pause()
            return call_id

    def _await(self, call_id: int) -> dict[str, Any]:
        """Read frames until the answer arrives; one of the waiting threads reads for all."""
        while True:
            with self._turn:
                while self._reading and call_id not in self._answers:
                    self._turn.wait()
                if call_id in self._answers:
                    return self._answers.pop(call_id)
                self._reading = True
            frame = self.receive()
            with self._turn:
                self._reading = False
                self._answers[frame["id"]] = frame
                is_read = self._pending.pop(frame["id"], False)
                self._clock.resume(frame.get("free_s", 0.0), is_read=is_read)
                self._turn.notify_all()

    def settle(self) -> None:
        """Refuse further calls and wait for those of other threads, so that none outlives its cell."""
        with self._turn:
            self.open = False
            while self._pending:
                self._turn.wait()

    def _in_child(self) -> None:
        self.forked = True
        for fd in {self._read_fd, self._write_fd}:
            with suppress(OSError):
                os.close(fd)


def utf8(text: str) -> bytes:
    """Encode a text as UTF-8, with U+FFFD in place of lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def framed(message: dict[str, Any], writer: Any) -> tuple[int, Iterable[bytes]]:
    """Return the size of a frame's body, and its parts, which are made lazily.

    The body is JSON, followed by a zero byte and the texts that were put aside, unchanged and concatenated; the JSON
    has an empty text in place of each, and in `aside` the path to it and its size. The rest is padding, so that the
    length covers the cost of reading the frame; see `_values.cost_bytes`. So a text as long as a cell's memory limit
    can be sent without ever being copied as a whole.
    """
    if writer is None:
        body = utf8(ENCODE(message))
        return len(body), [body]
    sizes = [size_of(text) for text in writer.aside]
    if sizes:
        writer.place(message)
        ways = [[*reversed(place), size] for place, size in zip(writer.places, sizes, strict=True)]
        message = {**message, "aside": ways}
    head = utf8(ENCODE(message))
    least = writer.frame_bytes(head)
    if sizes or least > len(head):
        head += b"\0"
    size = len(head) + sum(sizes)
    if size > FRAME_BYTES:
        raise ValueError(f"the value is larger than {VALUE_BYTES:,} bytes as JSON, the most that can leave a cell")
    if least > FRAME_BYTES:
        raise ValueError("the value has more parts than can leave a cell: send fewer, or a text")
    filling = max(least - size, 0)
    return size + filling, parts_of(head, writer.aside, filling)


def parts_of(head: bytes, texts: list[str], filling: int) -> Iterator[bytes]:
    """Return the parts of a frame: its JSON, its long texts, and `filling` bytes of padding."""
    yield head
    for text in texts:
        yield from pieces(text)
    for at in range(0, filling, PIECE_CHARS):
        yield bytes(min(filling - at, PIECE_CHARS))


def size_of(text: str) -> int:
    """Return the length of a text in bytes as it is sent."""
    return len(text) if text.isascii() else sum(len(piece) for piece in pieces(text))


def pieces(text: str) -> Iterator[bytes]:
    """Encode a text as UTF-8, in pieces."""
    for at in range(0, len(text), PIECE_CHARS):
        yield utf8(text[at : at + PIECE_CHARS])


class Memory:
    """RLIMIT_AS, where available: lower while a cell runs, so that the worker can still report."""

    def __init__(self, memory_bytes: int) -> None:
        self._tighten: Callable[[], Any] = object
        self._relax: Callable[[], Any] = object
        with suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 5 ms
                self.bind(resource, int(file.read().split()[0]) * resource.getpagesize() + memory_bytes)

    def bind(self, resource: Any, cell: int) -> None:
        """Prepare both calls in advance: after a cell has filled the memory, there is none to build them with."""
        relax = partial(resource.setrlimit, resource.RLIMIT_AS, (cell + SPARE_BYTES, cell + SPARE_BYTES))
        relax()
        self._tighten = partial(resource.setrlimit, resource.RLIMIT_AS, (cell, cell + SPARE_BYTES))
        self._relax = relax

    def limit(self, *, cell: bool) -> None:
        self._tighten() if cell else self._relax()


class Worker:
    """The loop over the host's requests."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._clock = Clock()
        self._wire = Wire(read_fd, write_fd, self._clock)
        self._outputs = Output(1), Output(2)
        self._streams: list[Any] = [text_stream(output) for output in self._outputs]

    def serve(self) -> None:
        self._start(self._wire.receive())
        while True:
            frame = self._wire.receive()
            reply = self._guarded(self._repl.run if "code" in frame else self._repl.listing, frame.get("code", ""))
            if self._wire.forked:
                os._exit(0)  # a child process that a cell forked, which ran on to the end of the cell
            self.finish(frame["id"], reply)

    def finish(self, request_id: int, reply: dict[str, Any]) -> None:
        """Send the result of a request, without the value if that cannot be sent."""
        blank = self._repl.writer()
        writer = reply.pop("writer", blank)
        done = {"type": "done", "id": request_id}
        try:
            self._wire.send({**reply, **done}, writer)
        except (ValueError, MemoryError) as error:
            outcome, kind = ("memory", "MemoryExceeded") if isinstance(error, MemoryError) else ("error", "ValueError")
            message = str(error) or "there was not enough memory to send the value"
            told = {"type": kind, "message": message, "traceback": f"{kind}: {message}"}
            self._wire.send(
                {**reply, **done, "value": None, "value_repr": None, "outcome": outcome, "error": told}, blank
            )

    def _start(self, frame: dict[str, Any]) -> None:
        self._limits = limits = frame["limits"]
        self._wire.widen(limits["parallel_calls"])
        threading.stack_size(1 << 20)  # counts in full towards the memory limit; the default is 8 MiB
        setattr(threading.Thread, "start", start_first_thread)  # noqa: B010 - see there
        sys.setrecursionlimit(limits["recursion_depth"] + OWN_FRAMES)
        sys.path.extend(frame["path"])
        language = load_language(frame["language"])
        self._repl = language.Repl(frame, self._wire)
        self._clock.runner = language.Repl.run.__code__
        self._memory = Memory(limits["memory_bytes"] + limits["case_bytes"])
        self._wire.send({"type": "ready"})

    def _guarded(self, work: Callable[[str], dict[str, Any]], code: str) -> dict[str, Any]:
        """Run `work` under the cell's limits, since it may run the cell's code; return the result."""
        error, reply = None, {"value": None, "value_repr": None}
        for output in self._outputs:
            output.begin(self._limits["output_chars"], self._limits["output_flood_bytes"])
        sys.stdout, sys.stderr = self._streams
        self._wire.open = True
        try:
            try:
                self._memory.limit(cell=True)
                self._clock.start(self._limits["cell_timeout_s"])
                reply = work(code)
            finally:
                self._memory.limit(cell=False)  # first, since the rest may need memory
                self._repl.restore_builtins()
                self._clock.stop()
        except BaseException as raised:  # noqa: BLE001 - any exception is the cell's
            self._memory.limit(cell=False)
            self._repl.restore_builtins()
            self._clock.stop()
            error = raised
        if self._repl.is_reading and not issubclass(type(error), (CellTimeout, CellFlooded, KeyboardInterrupt)):
            os.write(2, BROKEN)
            os._exit(1)
        self._wire.settle()
        yield_to_others()
        try:
            return {**reply, **self._printed(), **self._ended(error), **self._repl.after_cell()}
        except MemoryError as full:  # too little is left for a full report, but the host must get one
            return {"outcome": "memory", "error": {"type": "MemoryExceeded", "message": type(full).__name__}}

    def _printed(self) -> dict[str, Any]:
        self._flooded = any(output.flooded for output in self._outputs)
        for number, output in enumerate(self._outputs):
            output.flood_bytes = float("inf") if self._flooded else output.flood_bytes
            stream = self._streams[number]
            try:
                stream.flush()
                if (stream.encoding, stream.errors) != ("utf-8", ODD_TEXT):
                    stream.reconfigure(encoding="utf-8", errors=ODD_TEXT)
            except CellFlooded:
                pass
            except ValueError:  # a cell has detached the stream
                self._streams[number] = text_stream(output)
            self._flooded = self._flooded or output.flooded
        (stdout, hidden), (stderr, hidden_too) = (output.parts() for output in self._outputs)
        return {"stdout": stdout, "stderr": stderr, "dropped": hidden + hidden_too}

    def _ended(self, error: BaseException | None) -> dict[str, Any]:
        """Tell an exception of the cell from a limit, which counts even if the cell caught it."""
        limits = self._limits
        if self._flooded:
            outcome, kind = "output", "OutputExceeded"
            message = f"the cell printed more than {limits['output_flood_bytes']:,} bytes"
        elif self._clock.expired:
            outcome, kind = "timeout", "ExecutionTimeout"
            message = self._clock.message
        elif error is None:
            return {"outcome": "ok", "error": None}
        elif issubclass(type(error), MemoryError):  # isinstance would run code of the cell's class
            outcome, kind = "memory", "MemoryExceeded"
            message = f"the cell needed more than {limits['memory_bytes']:,} bytes"
        elif issubclass(type(error), RecursionError):
            depth = limits["recursion_depth"]
            outcome, kind, message = "stack", "StackOverflow", f"the cell recursed deeper than {depth:,} calls"
        elif is_of_mapping(error):
            outcome, kind = "memory", "MemoryExceeded"
            message = (
                f"this import needs more than {limits['memory_bytes']:,} bytes of memory; allow more: --memory 512"
            )
        else:
            outcome, kind, message = "error", None, None
        return {"outcome": outcome, "error": self._reported(error, kind, message)}

    def _reported(self, error: BaseException | None, kind: str | None, message: str | None) -> dict[str, Any]:
        """Describe what ended a cell; briefly if its classes, or what it did to the modules, prevent a full report."""
        try:
            self._clock.go_on(REPORT_S, LONG_REPORT_S)
            try:
                report: dict[str, Any] = self._repl.report(error, kind, message)
            finally:
                self._clock.stop()
        except MemoryError:
            raise
        except BaseException:  # noqa: BLE001 - the session continues
            kind = kind or vars(type)["__name__"].__get__(type(error))
            message = message or "what it says could not be told"
            return {"type": kind, "message": message, "traceback": f"{kind}: {message}", "line": None}
        return report


def is_of_mapping(error: BaseException) -> bool:
    """Return whether an import failed because there was no memory to map a library."""
    message = vars(ImportError)["msg"].__get__(error) if issubclass(type(error), ImportError) else None
    return type(message) is str and "failed to map segment" in message


def load_language(sources: dict[str, str]) -> Any:
    """Return `_repl.py` as a module, created from source unless it was loaded in advance."""
    for name, source in sources.items():
        module = sys.modules[f"_rlm{name}"] = types.ModuleType(f"_rlm{name}")
        exec(compile(source, f"{name}.py", "exec"), vars(module))  # noqa: S102 - the host's own source
    language = sys.modules["_rlm_repl"]
    for name in language.OWN_MODULES:  # not for cells
        del sys.modules[name]
    return language


def yield_to_others() -> None:
    """Lower threads that a cell left running to the lowest priority, below the next cell and the host."""
    for thread in threading.enumerate() if threading.active_count() > 1 else ():
        if thread.native_id is not None and thread.ident != MAIN:
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, thread.native_id, LOWEST_PRIORITY)


def start_first_thread(thread: threading.Thread) -> None:
    """Start a cell's first thread, with a single malloc arena: each further one takes 64 MiB of address space."""
    setattr(threading.Thread, "start", START_THREAD)  # noqa: B010 - mypy does not let methods be assigned
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX
    thread.start()


def hold_lifeline(fd: int) -> None:
    """Have the kernel kill this process group when the host dies, whatever the cell is doing."""
    with suppress(ImportError, OSError, AttributeError):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpid() if os.getpgrp() == os.getpid() else os.getpid())
        fcntl.fcntl(fd, 10, signal.SIGKILL)  # F_SETSIG
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)


def main() -> None:
    read_fd, write_fd, *lifeline = (int(word) for word in sys.argv[1:])
    for fd in (read_fd, write_fd, *lifeline):
        os.set_inheritable(fd, False)
    for fd in lifeline:
        hold_lifeline(fd)
    sys.argv[:] = [""]
    os.environ.clear()  # Python itself sets LC_CTYPE
    Worker(read_fd, write_fd).serve()


if __name__ == "__main__":
    main()
