"""Adapts `_worker.py` to CPython for WebAssembly; its source is sent to the guest, which has no files.

The guest has no processes, threads, signals or sockets. It has one host function, `_host.call(bytes) -> bytes`, to the
process that runs it (`_runner.py`, which lists the requests). The worker's code is unchanged: this file gives it a
timer, a wire over the host function and an event loop that only sleeps.
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

NAP_S = 0.02  # signals are checked between two naps; the host cannot wake a sleeping guest
SPARE_BYTES = 8 << 20
CHUNK_BYTES = 4 << 20
NO_THREADS = "there are no threads in this sandbox; do it one after another, or with a function that takes a list"
_sleep = time.sleep


def setitimer(which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
    """Schedule a SIGALRM, like `signal.setitimer`."""
    return float(door(b"T%r %r" % (float(seconds), float(interval)))), 0.0


def sleep(seconds: float) -> None:
    """Sleep, in short naps."""
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
    """The worker's clock; the host stops its alarm at the end of a cell and during calls."""

    def pause(self) -> None:
        """Do nothing."""

    def resume(self, free_s: float, *, is_read: bool) -> None:
        """Do nothing."""

    def _ring(self, number: int, frame: types.FrameType | None) -> None:
        """Raise in the cell, for the time limit or for an interrupt by the host."""
        if door(b"I") == b"1":
            self._interrupted(number, frame)
        else:
            super()._ring(number, frame)

    @staticmethod
    def _timer(seconds: float) -> float:
        return setitimer(0, seconds, _worker.AGAIN_S)[0] if seconds else 0.0


class GuestWire(_worker.Wire):
    """The worker's wire. The host answers a frame in the same call, so a frame is kept until the worker waits."""

    _frame = b""

    def send(self, message: dict[str, Any], writer: Any = None) -> None:
        """Queue a frame for the next `receive`, which always follows; see `Wire.send`."""
        _, parts = _worker.framed(message, writer)
        self._frame = b"".join((b"C" if message["type"] == "call" else b"D", *parts))

    def receive(self) -> Any:
        """Wait for a frame."""
        frame, self._frame = self._frame or b"R", b""
        return _worker.DECODE(door(frame).decode("utf-8", "surrogatepass"))


class GuestMemory:
    """Reserves some memory, freed when a cell has used up the rest, so that the worker can report the failure."""

    def __init__(self, memory_bytes: int) -> None:
        self._spare: bytearray | None = None

    def limit(self, *, cell: bool) -> None:
        """Allocate the reserve before a cell, and free it if the cell ran out of memory."""
        if cell and self._spare is None:
            with suppress(MemoryError):
                self._spare = bytearray(SPARE_BYTES)
        elif not cell and isinstance(sys.exc_info()[1], MemoryError):
            self._spare = None


class Guest(_worker.Worker):
    """The worker in two steps, between which its process sets the memory limit."""

    def begin(self) -> None:
        """Build the namespace."""
        frame = self._wire.receive()
        frame["context"] = opened(frame["context"])
        frame["texts"] = {name: opened(source) for name, source in frame.get("texts", {}).items()}
        self._start(frame)

    def serve(self) -> None:
        """Run cells until the host ends the process."""
        while True:
            frame = self._wire.receive()
            reply = self._guarded(self._repl.run if "code" in frame else self._repl.listing, frame.get("code", ""))
            self.finish(frame["id"], reply)


def opened(source: dict[str, Any]) -> dict[str, Any]:
    """Return a text source of the start frame with its text, or with a reader if the text is with the host."""
    if "door" not in source:
        return source
    offset = source["offset"]
    if source["kind"] == "str":
        data = fetched(offset, offset + source["size_bytes"])
        return {**source, "text": data.decode("utf-8", "surrogatepass")}
    return {**source, "fetch": lambda start, end: bytes(fetched(start + offset, end + offset))}


def fetched(start: int, end: int) -> bytearray:
    """Read a range of the file with the texts."""
    data = bytearray(end - start)
    for at in range(0, len(data), CHUNK_BYTES):
        data[at : at + CHUNK_BYTES] = door(b"P%d %d" % (start + at, min(start + at + CHUNK_BYTES, end)))
    return data


class Asyncio:
    """A meta path finder that makes asyncio importable, with a loop that needs no socket to wake itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Remove itself at the first import of asyncio, and wrap the loader."""
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
    """Replace the selector of asyncio's loop by one that sleeps, and remove the self-pipe."""
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
    """Prepare the interpreter and create the worker."""
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
