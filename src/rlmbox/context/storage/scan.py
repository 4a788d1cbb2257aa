"""Searching for bytes in a source of any size: piece by piece, by several threads, in order.

Threads help because reading a file and the C library's `strstr` release the GIL; `strstr` is also several times as
fast as `bytes.find`, because it compares many bytes at once.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

from rlmbox.context.storage.source import ByteSource, InMemory, threads

T = TypeVar("T")
R = TypeVar("R")

_FIRST_BYTES = 256 * 1024
_STEP_BYTES = 1024 * 1024
# In the worst case of a poor C library, `strstr` takes time in proportion to text times needle.
_MAX_STRSTR_BYTES = 256
_MANY = 64

Tick = Callable[[], None]
"""Called now and then; what it raises ends the search."""


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    """Yield the result of `work` for each item, in order, while threads work a few items ahead."""
    from concurrent.futures import Future, ThreadPoolExecutor

    count = threads()
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(count, "rlmbox-search")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def occurrences(source: ByteSource, needle: bytes, begin: int, end: int, tick: Tick) -> Iterator[int]:
    """Yield the positions of `needle` between two positions, without overlaps, as `bytes.find` would."""
    if isinstance(source, InMemory):
        yield from _in_memory(source.data, needle, begin, end, tick)
        return

    def starts(step: tuple[int, int]) -> array[int]:
        return _starts(source, needle, step[0], min(step[1] + len(needle) - 1, end))

    done = begin
    for step, places in _stepped(starts, begin, end):
        tick()
        if places and places[0] < done:  # an occurrence that began in the previous step
            places = starts((done, max(done, step[1])))
        for start in places:
            yield start
            tick()
        done = places[-1] + len(needle) if places else done
    tick()


def count(source: ByteSource, needle: bytes, begin: int, end: int, tick: Tick) -> int:
    """Count the occurrences without overlaps."""
    if isinstance(source, InMemory):
        return source.data.count(needle, begin, end)
    if _overlaps_itself(needle):
        return sum(1 for _ in occurrences(source, needle, begin, end, tick))

    def counted(step: tuple[int, int]) -> int:
        return _count(source, needle, step[0], min(step[1] + len(needle) - 1, end))

    total = 0
    for _, many in _stepped(counted, begin, end):
        tick()
        total += many
    return total


def _in_memory(data: bytes, needle: bytes, begin: int, end: int, tick: Tick) -> Iterator[int]:
    while (begin := data.find(needle, begin, end)) >= 0:
        tick()
        yield begin
        begin += len(needle)
    tick()


def _stepped(work: Callable[[tuple[int, int]], R], begin: int, end: int) -> Iterator[tuple[tuple[int, int], R]]:
    """Run `work` on steps of a range; the first step without threads, so that early results come at once."""
    first = (begin, min(begin + _FIRST_BYTES, end))
    yield first, work(first)
    steps = [(at, min(at + _STEP_BYTES, end)) for at in range(first[1], end, _STEP_BYTES)]
    results = in_order(work, steps) if len(steps) > 1 else map(work, steps)
    yield from zip(steps, results, strict=True)


class _Own(threading.local):
    """A buffer for each thread."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def of(self, size: int) -> bytearray:
        if len(self.buffer) < size:
            self.buffer = bytearray(size)
        return self.buffer


_own = _Own()


def filled(source: ByteSource, begin: int, end: int) -> bytearray:
    """Return a buffer of this thread that begins with the bytes between two positions, and has room for one more.

    The buffer is reused: earlier content is overwritten.
    """
    buffer = _own.of(end - begin + 1)
    source.read_into(buffer, begin, end)
    return buffer


def _starts(source: ByteSource, needle: bytes, begin: int, end: int) -> array[int]:
    if end - begin < len(needle):
        return array("Q")
    return array("Q", (begin + at for at in found(filled(source, begin, end), end - begin, needle)))


def _count(source: ByteSource, needle: bytes, begin: int, end: int) -> int:
    if end - begin < len(needle):
        return 0
    buffer, size, total = filled(source, begin, end), end - begin, 0
    for at in found(buffer, size, needle):
        total += 1
        if total == _MANY:
            return total + buffer.count(needle, at + len(needle), size)
    return total


def found(buffer: bytearray, size: int, needle: bytes) -> Iterator[int]:
    """Yield the positions of `needle` among the first `size` bytes of a buffer, whose next byte is overwritten."""
    position = 0
    strstr = _strstr() if 1 < len(needle) <= _MAX_STRSTR_BYTES and b"\0" not in needle else None
    if strstr and buffer.find(b"\0", 0, size) < 0:
        import ctypes

        buffer[size] = 0
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        for _ in range(_MANY):
            place = strstr(address + position, needle)
            if place is None:
                return
            yield place - address
            position = place - address + len(needle)
    # With many occurrences, calling into the C library costs more than it saves.
    while (position := buffer.find(needle, position, size)) >= 0:
        yield position
        position += len(needle)


@lru_cache(maxsize=1)
def _strstr() -> Any:
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        function = ctypes.CDLL(None).strstr
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return function


@lru_cache(maxsize=16)
def _overlaps_itself(needle: bytes) -> bool:
    """Return whether two occurrences may overlap; long needles are not checked."""
    return len(needle) > _MAX_STRSTR_BYTES or any(needle.startswith(needle[at:]) for at in range(1, len(needle)))
