"""An adapter of `_worker.py` to CPython for WebAssembly; its source is handed to the guest, which has no files.

The guest has no processes, threads, signals or sockets. It has one door, `_host.call(bytes) -> bytes`, to the
process that runs it (`_runner.py`); what is said there is listed in that file. The worker's own code stays
as it is: this file gives it a timer, a wire through the door and an event loop that only sleeps.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rlmbox.sandboxes.worker import _worker
else:
    _worker = sys.modules["_worker"]

door = __import__("_host").call

NAP_S = 0.02  # signals are looked for between two naps; the host cannot wake a guest that sleeps
SPARE_BYTES = 8 << 20
CHUNK_BYTES = 4 << 20
NO_THREADS = "there are no threads in this sandbox; do it one after another, or with a function that takes a list"
_sleep = time.sleep


def setitimer(which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
    """Have SIGALRM come after some seconds, as `signal.setitimer` does where there are signals."""
    return float(door(b"T%r %r" % (float(seconds), float(interval)))), 0.0


def sleep(seconds: float) -> None:
    """Sleep, in naps."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > NAP_S:
        _sleep(NAP_S)
    _sleep(max(left, 0))


def start_thread(thread: threading.Thread) -> None:
    """Refuse to start a thread."""
    raise RuntimeError(NO_THREADS)


class GuestClock(_worker.Clock):
    """The worker's clock; the host stops its alarm by itself at the end of a cell and while a call is under way."""

    def pause(self, *, is_free: bool) -> None:
        """Do nothing."""

    def resume(self, free_s: float) -> None:
        """Do nothing."""

    def _ring(self) -> None:
        """End the cell, as the alarm says or a person, who interrupted it."""
        if door(b"I") == b"1":
            self._raise(KeyboardInterrupt("interrupted by the host"))
        else:
            super()._ring()

    @staticmethod
    def _timer(seconds: float) -> float:
        return setitimer(0, seconds, _worker.AGAIN_S)[0] if seconds else 0.0


class GuestWire(_worker.Wire):
    """The worker's wire. The host answers each frame in the same call, so a frame is kept until the worker waits."""

    _frame = b""
    _call = b"C"

    def call(
        self, name: str, args: list[Any], kwargs: dict[str, Any], writer: Any, *, is_free: bool = False
    ) -> dict[str, Any]:
        """Ask the host and wait for its answer; the process around us counts the time of calls that are free."""
        self._call = b"F" if is_free else b"C"
        return super().call(name, args, kwargs, writer)

    def send(self, message: dict[str, Any], writer: Any = None) -> None:
        """Send a frame at the next `receive`, which always follows; see `Wire.send`."""
        _, parts = _worker.framed(message, writer)
        self._frame = b"".join((self._call if message["type"] == "call" else b"D", *parts))

    def receive(self) -> Any:
        """Wait for a frame."""
        frame, self._frame = self._frame or b"R", b""
        return _worker.DECODE(door(frame).decode("utf-8", "surrogatepass"))


class GuestMemory:
    """Keeps a little memory that is let go when a cell has used up the rest, so that the worker can report."""

    def __init__(self, memory_bytes: int) -> None:
        self._spare: bytearray | None = None

    def limit(self, *, cell: bool) -> None:
        """Take the spare memory before a cell, return it up where the cell ran out of memory."""
        if cell and self._spare is None:
            with suppress(MemoryError):
                self._spare = bytearray(SPARE_BYTES)
        elif not cell and isinstance(sys.exc_info()[1], MemoryError):
            self._spare = None


class Guest(_worker.Worker):
    """The worker in its two steps: between them its process sets the memory limit."""

    def begin(self) -> None:
        """Build the namespace."""
        frame = self._wire.receive()
        frame["context"] = opened(frame["context"])
        frame["texts"] = {name: opened(source) for name, source in frame.get("texts", {}).items()}
        self._start(frame)

    def serve(self) -> None:
        """Run cells until the host ends."""
        while True:
            frame = self._wire.receive()
            reply = self._guarded(self._repl.run if "code" in frame else self._repl.listing, frame.get("code", ""))
            self.finish(frame["id"], reply)


def opened(source: dict[str, Any]) -> dict[str, Any]:
    """Return a text of the start frame with its text, or with what reads parts of it, where that is behind the door."""
    if "door" not in source:
        return source
    offset = source["offset"]
    if source["kind"] == "str":
        data = fetched(offset, offset + source["size_bytes"])
        return {**source, "text": data.decode("utf-8", "surrogatepass")}
    return {**source, "fetch": lambda start, end: bytes(fetched(start + offset, end + offset))}


def fetched(start: int, end: int) -> bytearray:
    """Return bytes of the file with the context."""
    data = bytearray(end - start)
    for at in range(0, len(data), CHUNK_BYTES):
        data[at : at + CHUNK_BYTES] = door(b"P%d %d" % (start + at, min(start + at + CHUNK_BYTES, end)))
    return data


class Asyncio:
    """A finder that lets asyncio be imported, with a loop that needs no socket to wake itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Take itself out of the way at the first import of asyncio, and wrap its loader."""
        if name != "asyncio":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = self._loader(spec.loader)
                return spec
        return None

    @staticmethod
    def _loader(loader: Any) -> Any:
        class Loader:
            def __getattr__(self, name: str) -> Any:
                return getattr(loader, name)

            def exec_module(self, module: types.ModuleType) -> None:
                loader.exec_module(module)
                rewire(module)

        return Loader()


def rewire(asyncio: Any) -> None:
    """Give asyncio's loop a selector that sleeps, and no pipe to itself."""
    import selectors

    class Sleeper(selectors.SelectSelector):
        def select(self, timeout: float | None = None) -> list[Any]:
            if timeout is None:
                raise RuntimeError("the event loop waits for something that cannot come: no threads, no sockets")
            sleep(max(timeout, 0))
            return []

    loop = asyncio.selector_events.BaseSelectorEventLoop
    asyncio.selector_events.selectors = types.SimpleNamespace(**{**vars(selectors), "DefaultSelector": Sleeper})
    loop._make_self_pipe = loop._close_self_pipe = loop._write_to_self = lambda self: None  # noqa: SLF001


def boot() -> Guest:
    """Prepare the interpreter and make the worker."""
    changes: list[tuple[Any, dict[str, Any]]] = [
        (signal, {"setitimer": setitimer, "ITIMER_REAL": 0}),
        (time, {"sleep": sleep}),
        (threading, {"stack_size": lambda size=0: 0}),
        (_worker, {"Clock": GuestClock, "Wire": GuestWire, "Memory": GuestMemory, "START_THREAD": start_thread}),
    ]
    for module, names in changes:
        vars(module).update(names)
    sys.meta_path.insert(0, Asyncio())
    sys.argv[:] = [""]
    os.environ.clear()
    return Guest(0, 0)
