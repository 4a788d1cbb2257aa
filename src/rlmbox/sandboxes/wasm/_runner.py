"""The process around one guest: `python -I -S` running `main`, with its configuration as a JSON argument.

Standard library and wasmtime only; it starts with an empty environment. The guest gets only a read-only directory with
its own standard library, its output pipes, and one host function, `host.call`, which takes these requests:

    R                wait for a frame of the host
    C frame          send a frame, a host call, and wait for one; what the host declares free of the time does not count
    D frame          send a frame, the end of a cell, and wait for one; the alarm is off
    T after every    schedule a SIGALRM and its repetition; returns the seconds that were left
    M                return the code of the worker's modules, which `_prepare.py` had another guest compile
    I                return why the alarm rang: 1 for an interrupt by the host, 0 for the time limit
    P start end      return a range of the file with the texts

A guest that makes any other request is ended. Once a cell has run, no request can be trusted.

WebAssembly has no signals, so the alarm is written into the guest's memory: the three words that
`_thread.interrupt_main` sets there. `_prepare.py` finds their addresses by having a guest call it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import threading
import time
import types
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WASM_STACK_BYTES = 8 << 20
THREAD_STACK_BYTES = WASM_STACK_BYTES + (4 << 20)
WATCH_STACK_BYTES = 1 << 20
FRAME_BYTES = 68 << 20  # as in `_worker.py`
OWN_BYTES = 6 * FRAME_BYTES  # memory that this process may need to pass on a frame, and for its threads
SPARE_BYTES = 8 << 20  # see `_guest.py`
FREE = b'{"free_s":'  # prefix of the answer to a call of whose time some does not count; see `_link.py`
OVERDUE_S = 1e-6  # remaining time of an alarm that should have rung
CHUNK_BYTES = 16 << 20
CODE_NAME = "code-"  # prefix of the files of compiled modules, of all versions of rlmbox
DIGEST_BYTES = 32  # at the start of a file of code
LIBRARY = "/usr/local/lib"
NOBODY = 65534
OPEN_FILES = 64
FOLDERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib costs 5 ms
# One file name for both, by which the worker recognizes its own frames in a traceback.
PLACES = {"_worker": ("worker/_worker.py", "_worker.py"), "_wasm_guest": ("wasm/_guest.py", "_worker.py")}
LOAD = """
import marshal, sys, types
import _host
for _name, _code in marshal.loads(_host.call(b"M")):
    _m = sys.modules[_name] = types.ModuleType(_name)
    exec(_code, vars(_m))
"""
BEGIN = """
_guest = sys.modules["_wasm_guest"].boot()
sys.modules["_wasm_guest"].guest = _guest
_guest.begin()
"""


def source(place: str) -> str:
    with open(os.path.join(FOLDERS, place), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        return file.read()


def imported(site: str) -> Any:
    """Import wasmtime from a directory, without making the rest of `site` importable."""
    sys.path.append(site)
    package = __import__("wasmtime")
    sys.path.remove(site)
    return package


def engine(wasmtime: Any) -> Any:
    config = wasmtime.Config()
    # The Python binding lacks this one; without it a larger stack is refused.
    wasmtime._ffi.wasmtime_config_async_stack_size_set(config.ptr(), WASM_STACK_BYTES + (2 << 20))  # noqa: SLF001
    config.max_wasm_stack = WASM_STACK_BYTES
    config.memory_may_move = False
    return wasmtime.Engine(config)


class Alarm:
    """An alarm that can be set repeatedly; `watch` is the thread that rings it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._turn = threading.Condition(threading.Lock())
        self._due = self._waking = float("inf")
        self.every_s = 0.0

    def set(self, after_s: float, every_s: float) -> float:
        """Set the time, 0 for never; return the seconds that were left."""
        now = time.monotonic()
        with self._turn:
            left = 0.0 if self._due == float("inf") else max(self._due - now, OVERDUE_S)
            self._due, self.every_s = now + after_s if after_s > 0 else float("inf"), every_s
            # The other thread is woken only if it would sleep too long: most alarms never ring.
            if self._due < self._waking:
                self._turn.notify()
        return left

    def ring(self, every_s: float) -> None:
        """Ring now, and then every `every_s` seconds."""
        with self._turn:
            self._ring()
        self.set(every_s, every_s)

    def watch(self) -> None:
        with self._turn:
            while True:
                now = time.monotonic()
                if self._due <= now:
                    self._ring()
                    self._due = now + self.every_s if self.every_s > 0 else float("inf")
                self._waking = self._due
                self._turn.wait(min(max(self._waking - now, 0), threading.TIMEOUT_MAX))


class Interrupts:
    """Requests of the host to interrupt the running cell: a byte in a pipe, ignored between cells.

    Args:
        fd: The read end of the pipe.
        ring: Makes the guest ask why.
    """

    def __init__(self, fd: int, ring: Callable[[], None]) -> None:
        self._fd, self._ring = fd, ring
        os.set_blocking(fd, False)
        self._turn = threading.Lock()
        self._is_running = self._is_wanted = False

    def begin(self) -> None:
        """Record the start of a cell; earlier requests were for another one."""
        with self._turn:
            self._read()
            self._is_running, self._is_wanted = True, False

    def end(self) -> None:
        """Record the end of a cell."""
        with self._turn:
            self._is_running = False

    def taken(self) -> bool:
        """Return whether an interrupt is requested, and clear the request."""
        with self._turn:
            wanted, self._is_wanted = self._is_wanted, False
        return wanted

    def watch(self) -> None:
        """Wait for requests."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            poll.poll()
            with self._turn:
                got = self._read()
                if got and self._is_running:
                    self._is_wanted = True
                    self._ring()
            if got == b"":
                return

    def _read(self) -> bytes | None:
        """Read the pipe: b"" if the host is gone, None if there is nothing yet."""
        try:
            return os.read(self._fd, 4096)
        except BlockingIOError:
            return None


class Machine:
    """An instance of the guest.

    Args:
        wasmtime: The package.
        module: The compiled guest.
        library: Directory with the guest's standard library.
        door: Answers the guest's requests, given the request and the size of the guest's memory.
    """

    def __init__(self, wasmtime: Any, module: Any, library: str, door: Callable[[bytes, int], bytes]) -> None:
        self._wasmtime = wasmtime
        self._door = door
        self._store = wasmtime.Store(module_engine := module[0])
        wasi = wasmtime.WasiConfig()
        wasi.argv, wasi.env = ["python"], [("PYTHONHASHSEED", "1")]  # as in `_worker.py`
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        wasi.preopen_dir(library, LIBRARY, False)
        self._store.set_wasi(wasi)
        linker = wasmtime.Linker(module_engine)
        linker.define_wasi()
        i32 = wasmtime.ValType.i32()
        linker.define_func("host", "call", wasmtime.FuncType([i32] * 4, [i32]), self._call, access_caller=True)
        self._exports = linker.instantiate(self._store, module[1]).exports(self._store)
        self._memory = self._exports["memory"]
        self._allocate = allocation(wasmtime, self._exports["host_alloc"])
        self._base = ctypes.cast(self._memory.data_ptr(self._store), ctypes.c_void_p).value or 0

    @property
    def size_bytes(self) -> int:
        return int(self._memory.data_len(self._store))

    def contents(self, size: int) -> bytes:
        return ctypes.string_at(self._base, size)

    def limit(self, size: int) -> None:
        self._store.set_limits(memory_size=size)

    def turn(self, code: str) -> int:
        """Run code in the guest's `__main__`; return its exit status."""
        data = code.encode()
        at = self._allocate(self._store, len(data))
        self._memory.write(self._store, data, at)
        return int(self._exports["turn"](self._store, at, len(data)))

    def poke(self, words: list[list[int]]) -> None:
        for at, bits in words:
            ctypes.c_uint32.from_address(self._base + at).value |= bits

    def _call(self, caller: Any, at: int, size: int, answer_at: int, answer_size_at: int) -> int:
        at, size, answer_at, answer_size_at = (n & 0xFFFFFFFF for n in (at, size, answer_at, answer_size_at))
        end = self._memory.data_len(caller)
        if size > FRAME_BYTES + 1 or at + size > end or max(answer_at, answer_size_at) + 4 > end:
            os._exit(71)
        answer = self._door(ctypes.string_at(self._base + at, size), end)
        to = self._allocate(caller, len(answer))
        if not to or to + len(answer) > self._memory.data_len(caller):
            return -2  # the guest raises; its memory is full
        ctypes.memmove(self._base + to, answer, len(answer))
        ctypes.c_uint32.from_address(self._base + answer_at).value = to
        ctypes.c_uint32.from_address(self._base + answer_size_at).value = len(answer)
        return 0


def allocation(wasmtime: Any, function: Any) -> Callable[[Any, int], int]:
    """Return a fast way to call the guest's allocator; wasmtime's own takes longer than the rest of a request."""
    ffi = wasmtime._ffi  # noqa: SLF001
    given, taken = (ffi.wasmtime_val_t * 1)(), (ffi.wasmtime_val_t * 1)()
    given[0].kind = ffi.WASMTIME_I32.value
    pointer = ctypes.byref(function._func)  # noqa: SLF001
    trap = ctypes.POINTER(ffi.wasm_trap_t)()

    def allocate(store: Any, size: int) -> int:
        given[0].of.i32 = size
        context = store._context()  # noqa: SLF001
        if ffi.wasmtime_func_call(context, pointer, given, 1, taken, 1, ctypes.byref(trap)) or trap:
            os._exit(70)
        return int(taken[0].of.i32) & 0xFFFFFFFF

    return allocate


class HostDoor:
    """Answers the guest's requests, with the wire to the host, the texts and the alarm."""

    def __init__(self, wire_fd: int, context_fd: int | None, code: bytes) -> None:
        self._wire = socket.socket(fileno=wire_fd)
        self._wire.setblocking(True)
        self._context_fd = context_fd
        self._code = code
        self.alarm: Alarm
        self.interrupts: Interrupts
        self.memory_bytes = 0
        self._started = False

    def answer(self, said: bytes, _: int) -> bytes:
        try:
            return self._answer(said[:1], said)
        except OSError:
            os._exit(0)  # the host is gone
        except (ValueError, OverflowError):
            os._exit(71)

    def _answer(self, kind: bytes, said: bytes) -> bytes:
        if kind in b"RCD":
            return self._exchange(kind, memoryview(said)[1:])
        if kind == b"T":
            after_s, every_s = (float(word) for word in said[1:].split())
            return b"%r" % self.alarm.set(after_s, max(every_s, 0.01))
        if kind == b"M":
            return self._code
        if kind == b"I":
            return b"%d" % self.interrupts.taken()
        if kind == b"P" and self._context_fd is not None:
            start, end = (int(word) for word in said[1:].split())
            if 0 <= start <= end <= start + CHUNK_BYTES:
                return os.pread(self._context_fd, end - start, start)
        raise ValueError(kind)

    def _exchange(self, kind: bytes, frame: memoryview) -> bytes:
        every_s, left_s = self.alarm.every_s, self.alarm.set(0, 0)
        if kind != b"R":
            head = len(frame).to_bytes(4, "big")
            if len(frame) < CHUNK_BYTES:
                self._wire.sendall(head + frame)
            else:
                self._wire.sendall(head)
                self._wire.sendall(frame)
        is_over = kind in b"RD"
        if is_over:
            self.interrupts.end()
        since = time.monotonic()
        body = self._receive()
        if is_over:
            self.interrupts.begin()
        if kind == b"C" and left_s:
            free_s = float(body[len(FREE) : body.index(b",")]) if body.startswith(FREE) else 0.0
            left_s -= max(0.0, time.monotonic() - since - free_s)
            if left_s > OVERDUE_S:
                self.alarm.set(left_s, every_s)
            else:  # the alarm's thread may not get to it before the next call
                self.alarm.ring(every_s)
        return body

    def _receive(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        body = self._exactly(size)
        if not self._started:  # sent by the host before any cell ran
            self._started = True
            limits = json.loads(body)["limits"]
            self.memory_bytes = int(limits["memory_bytes"]) + int(limits["case_bytes"])
        return body

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = self._wire.recv_into(view)
            if not got:
                os._exit(0)
            view = view[got:]
        return bytes(data)


def restrict(memory_bytes: int, statm: int | None) -> None:
    """Lower the limits of this process to what it needs, in case the guest ever breaks out into it.

    Args:
        memory_bytes: Memory limit of the guest.
        statm: Descriptor of the kernel's file with the memory use of this process; only on Linux.
    """
    import resource

    def lower(what: int, most: int) -> None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))

    for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES)):
        lower(what, most)
    if statm is not None:
        words = os.pread(statm, 200, 0).split()
        os.close(statm)
        mapped, _, _, _, _, data, _ = (int(word) * resource.getpagesize() for word in words)
        # The guest's memory lies in a range that is mapped already; its growth counts as data.
        lower(resource.RLIMIT_AS, mapped + OWN_BYTES)
        lower(resource.RLIMIT_DATA, data + memory_bytes + OWN_BYTES)


def wall_in(library: str) -> int | None:
    """Confine this thread and those that it starts; all imports have to be done before.

    They run as a user that owns nothing, without files but the guest's library, under the jail's system call filter.

    Args:
        library: Directory with the guest's standard library.

    Returns:
        The argument `statm` of `restrict`, which can only be opened now.

    Raises:
        OSError: The kernel supports the confinement but refuses it.
    """
    import resource  # noqa: F401 - for `restrict`

    from rlmbox.sandboxes.kernel import _calls as kernel
    from rlmbox.sandboxes.kernel import _landlock as landlock
    from rlmbox.sandboxes.kernel import _seccomp as seccomp

    machine = os.uname().machine if sys.platform.startswith("linux") else ""
    program = seccomp.program(machine) if machine in seccomp.MACHINES else None
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if machine else None
    if program is not None:
        landlock.restrict({library: landlock.READ})
    if os.geteuid() == 0:
        with suppress(OSError):  # root in a container may lack the privilege
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    if program is not None:
        kernel.forbid_dumps()
        kernel.install_filter(program)
    return statm


def find_packages() -> None:
    """Make a few modules of rlmbox importable without the rest, which is not on the path."""
    ours = "rlmbox.sandboxes"
    folders = {f"{ours}.{name}": f"{FOLDERS}/{name}" for name in ("kernel", "worker")}
    for name, place in {"rlmbox": os.sep, ours: FOLDERS, **folders}.items():
        package: Any = types.ModuleType(name)
        package.__path__ = [place]
        sys.modules[name] = package


def loading() -> str:
    """Return code that creates the worker's modules from our sources in the guest; the host sends the language side."""
    lines = ["import sys, types"]
    for name, (place, file) in PLACES.items():
        lines.append(f"_m = sys.modules[{name!r}] = types.ModuleType({name!r})")
        lines.append(f"exec(compile({source(place)!r}, {file!r}, 'exec'), vars(_m))")
    return "\n".join(lines)


def compiled(path: str | None) -> bytes:
    """Return the code that `_prepare.py` wrote, unread by this process; empty if there is none."""
    if path is None:
        return b""
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()[DIGEST_BYTES:]


def run(config: dict[str, Any]) -> None:
    """Run cells; does not return."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS; of this thread and those to come
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: keeps the guest's memory out of crash reports
    find_packages()
    from rlmbox.sandboxes.worker._worker import hold_lifeline

    hold_lifeline(config["lifeline"])
    wasmtime = imported(config["site"])
    code = compiled(config["code"])
    host = HostDoor(config["wire"], config["context"], code)
    machine_engine = engine(wasmtime)
    module = machine_engine, wasmtime.Module.deserialize_file(machine_engine, config["module"])
    machine = Machine(wasmtime, module, config["library"], host.answer)
    host.alarm = Alarm(lambda: machine.poke(config["words"]))
    host.interrupts = Interrupts(config["interrupts"], lambda: machine.poke(config["words"]))
    first = (LOAD if code else loading()) + BEGIN
    statm = wall_in(config["library"])

    def work() -> None:
        status = machine.turn(first)
        if status == 0:
            most = machine.size_bytes + host.memory_bytes + SPARE_BYTES
            machine.limit(most)
            restrict(most, statm)
            status = machine.turn("__import__('sys').modules['_wasm_guest'].guest.serve()")
        os._exit(status & 0xFF)

    threading.stack_size(THREAD_STACK_BYTES)
    threading.Thread(target=lambda: ending(wasmtime, work)).start()
    threading.stack_size(WATCH_STACK_BYTES)
    threading.Thread(target=host.interrupts.watch).start()
    host.alarm.watch()


def ending(wasmtime: Any, work: Callable[[], None]) -> None:
    """Run the guest and end the process with its status."""
    try:
        work()
    except wasmtime.ExitTrap as trap:
        os._exit(trap.code & 0xFF)
    except wasmtime.Trap as trap:
        os.write(2, f"the WebAssembly guest was ended: {str(trap).strip().splitlines()[-1].strip()}\n".encode())
    except BaseException as error:  # noqa: BLE001 - in any case this process cannot continue
        os.write(2, f"{type(error).__name__}: {error}\n"[:2000].encode())
    os._exit(70)


def main() -> None:
    """Run a guest with the configuration in the only argument."""
    config = json.loads(sys.argv[1])
    sys.argv[:] = [""]
    os.environ.clear()
    run(config)
