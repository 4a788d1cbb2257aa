"""Attacks on a sandbox that take more than cells: several sessions, or observations between cells."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import anyio
import anyio.to_thread

from rlmbox.errors import SandboxError
from rlmbox.testing.attacks.stage import Escaped, NotExpressible, Room, Stage, is_missing, told

_CALLING_THREAD = """
import threading, time
def w():
    while True:
        time.sleep(0.02)
        try:
            llm_query('late')
            print('late output')
        except Exception:
            pass
threading.Thread(target=w, daemon=False).start()
time.sleep(0.2)
"""

# Each line plants the mark in one place; places that do not exist are skipped.
_PLANT = """
import os
for place in ('.', '/tmp', '/dev/shm', '/var/tmp', '/run', '/'):
    try:
        open(place + '/planted', 'w').write('@MARK@')
    except OSError:
        pass
os.environ['PLANTED'] = '@MARK@'
import builtins, sys
builtins.planted = sys.planted = '@MARK@'
try:
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(libc.shmget(0x5EED, 4096, 0o1666), None, 0)
    if at and at != ctypes.c_void_p(-1).value:
        ctypes.memmove(at, b'@MARK@', len('@MARK@'))
    libc.syscall(248, b'user', b'planted', b'@MARK@', len('@MARK@'), -4)
except Exception:
    pass
try:  # where a worker's code is compiled once for all sessions: by the words with which it was handed over
    import marshal
    import _host
    code = compile("import builtins; builtins.planted = '@MARK@'", '_worker.py', 'exec')
    _host.call(b'M' + marshal.dumps([(name, code) for name in ('_worker', '_wasm_guest', '_rlm_repl')]))
except Exception:
    pass
"""
_LOOK = """
import os
for place in ('.', '/tmp', '/dev/shm', '/var/tmp', '/run', '/'):
    try:
        print(open(place + '/planted').read())
    except OSError:
        pass
print(os.environ.get('PLANTED'))
import builtins, sys
print(getattr(builtins, 'planted', None), getattr(sys, 'planted', None))
try:
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(libc.shmget(0x5EED, 4096, 0), None, 0)
    if at and at != ctypes.c_void_p(-1).value:
        print(ctypes.string_at(at, 32))
    key, text = libc.syscall(249, b'user', b'planted', None, 0), ctypes.create_string_buffer(64)
    if key > 0 and libc.syscall(250, 11, key, text, 64, 0) > 0:
        print(text.value)
except Exception:
    pass
"""


# The first page of a file of the library, mapped to be read and shared; one session waits there, another wakes.
_FUTEX = """
import ctypes, mmap, os, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
page = ctypes.c_void_p(libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, os.open(os.__file__, os.O_RDONLY), 0))
number = {'x86_64': 202, 'aarch64': 98}[platform.machine()]
word = ctypes.c_uint32.from_address(page.value).value
"""
_WAIT = "print(libc.syscall(number, page, 0, word, (ctypes.c_long * 2)(1, 0), None, 0))"
_WAKE = """
import time
woken, began = 0, time.monotonic()
while woken < 1 and time.monotonic() - began < 0.8:
    woken = libc.syscall(number, page, 1, 9, None, None, 0)
    time.sleep(0.02)
print(woken)
"""


async def thread_outlives_its_cell(stage: Stage) -> str:
    """A thread outlives its cell and calls the host: no call arrives between two cells."""
    async with stage.room() as room:
        first = await room.run(_CALLING_THREAD)
        if is_missing(first):
            raise NotExpressible(first.error.message if first.error else "")
        during = len(room.calls)
        await anyio.sleep(0.5)
        late = len(room.calls) - during
        if late > 1:  # one may have been in progress when the cell ended
            raise Escaped(f"{late} host calls arrived while no cell ran")
        try:
            after = await room.run("'another turn'")
        except SandboxError as error:
            return f"{during} calls during the cell, {late} after it; the session ended: {error}"
    return f"{during} calls during the cell, {late} after it; the next cell gave {after.outcome}"


async def sessions_share_nothing(stage: Stage) -> str:
    """A session cannot read marks left by another in files, environment, modules, shared memory, keyrings or code."""
    mark = secrets.token_hex(12)
    async with stage.room() as first:
        planted = await first.run(_PLANT.replace("@MARK@", mark))
        async with stage.room() as second:
            meanwhile = told(await second.run(_LOOK))
    async with stage.room() as third:
        afterwards = told(await third.run(_LOOK))
    if mark in meanwhile or mark in afterwards:
        raise Escaped("another session found what was planted")
    if is_missing(planted):
        raise NotExpressible(planted.error.message if planted.error else "")
    return f"planting gave {planted.outcome}; nothing was found at the same time or afterwards"


async def no_session_wakes_another(stage: Stage) -> str:
    """A session waits at a page of the library, and another that is shown the same file cannot wake it."""
    printed: dict[str, str] = {}

    async def run(room: Room, code: str) -> None:
        printed[code] = (await room.run(code)).stdout.strip()

    async with stage.room() as first, stage.room() as second:
        for room in (first, second):
            ready = await room.run(_FUTEX)
            if ready.outcome != "ok":
                raise NotExpressible(ready.error.message if ready.error else "")
        async with anyio.create_task_group() as both:
            both.start_soon(run, first, _WAIT)
            both.start_soon(run, second, _WAKE)
    if printed[_WAKE] not in ("0", "-1"):
        raise Escaped(f"a session woke another: {printed[_WAKE]}")
    return f"waiting gave {printed[_WAIT]}, waking {printed[_WAKE]}"


async def processes_inherit_nothing(stage: Stage) -> str:
    """No process below this one holds what this one has open and inheritable, or has its environment."""
    async with stage.room() as room:
        await room.run("1")
        held = await anyio.to_thread.run_sync(stage.watch.inherited)
    if held:
        raise Escaped("; ".join(held))
    return "no process has it"


SCENARIOS: Mapping[str, Callable[[Stage], Awaitable[str]]] = MappingProxyType(
    {
        play.__name__: play
        for play in (
            thread_outlives_its_cell,
            sessions_share_nothing,
            no_session_wakes_another,
            processes_inherit_nothing,
        )
    }
)
"""The scenarios by name; each returns a line about what was seen, or raises `Escaped`, `Broken` or `NotExpressible`."""
