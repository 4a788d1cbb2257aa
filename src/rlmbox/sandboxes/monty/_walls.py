"""Confines Monty's worker process by seccomp and Landlock, where the kernel supports them.

Monty's interpreter has no access to the system; this is a second barrier in case of a bug in it. On Linux, a launcher
drops all privileges, closes what it inherited, forbids other programs and the network (a seccomp filter) and files
(Landlock: only the interpreter and the libraries it needs are readable), and then executes the worker. On x86_64 the
launcher consists of those system calls alone (`_native`), elsewhere it is written in Python.
"""

from __future__ import annotations

import atexit
import importlib
import inspect
import marshal
import os
import platform
import shutil
import struct
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlmbox.sandboxes.kernel import _seccomp
from rlmbox.sandboxes.kernel._landlock import READ, READ_DIR, landlock_abi
from rlmbox.sandboxes.monty import _native

_lock = threading.Lock()
_failed = _proved = False

_EXECUTE = 1
_EXECVE = {"x86_64": (0xC000003E, 59), "aarch64": (0xC00000B7, 221)}
# Libraries, the loader's cache, and what the C and Rust runtimes read.
_READABLE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")

_PROGRAM = """\
#!{python} -IS
import marshal, os, resource, sys

for name in ("rlmbox", "rlmbox.sandboxes", "rlmbox.sandboxes.kernel", *{names!r}):
    module = sys.modules[name] = type(sys)(name)
with open({code!r}, "rb") as file:
    for name, code in marshal.load(file).items():
        exec(code, vars(sys.modules[name]))
calls, landlock = (sys.modules[name] for name in {names!r})
os.setpgid(0, 0)  # Ctrl-C at a terminal is for the host, which ends a cell or not
calls.close_from(3)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
core = ({core_bytes}, {core_bytes}) if resource.getrlimit(resource.RLIMIT_CORE)[1] else (0, 0)
resource.setrlimit(resource.RLIMIT_CORE, core)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
calls.forbid_new_privileges()
calls.drop_capabilities()
landlock.restrict({paths!r})
calls.install_filter({program!r})
os.execve({binary!r}, [{binary!r}, *sys.argv[1:]], {{}})
"""
# With a core limit of one byte the kernel writes no core; with 0 it would still pipe one to a core_pattern program.
_CORE_BYTES = 1
_NAMES = ("rlmbox.sandboxes.kernel._calls", "rlmbox.sandboxes.kernel._landlock")


def launcher() -> str | None:
    """Return the path of the launcher, or None to start Monty's worker directly, unconfined."""
    with _lock:
        return None if _failed else _written_launcher().program


def give_up() -> bool:
    """Record that a confined worker failed to start; return whether to continue without confinement.

    If a confined worker has started before, the failure has another cause.
    """
    global _failed
    with _lock:
        if _failed or _proved or _written_launcher().program is None:
            return False
        _failed = True
        return True


def prove() -> None:
    """Record that a worker has started with the result of `launcher`."""
    global _proved
    with _lock:
        _proved = not _failed and _written_launcher().program is not None


def why_none() -> str:
    """Return why workers start without confinement; empty if they start with it."""
    with _lock:
        return "none starts behind them here" if _failed else _written_launcher().why_none


@dataclass(frozen=True, slots=True)
class _Launcher:
    """The launcher of confined workers, or why there is none."""

    program: str | None = None
    why_none: str = ""


@cache
def _written_launcher() -> _Launcher:
    machine, binary = platform.machine(), _binary()
    if sys.platform != "linux" or machine not in _EXECVE:
        return _Launcher(why_none=f"they are for Linux on {' and '.join(_EXECVE)}")
    if binary is None:
        return _Launcher(why_none="the program monty was not found, so that nothing of rlmbox can start it")
    if " " in sys.executable and machine != _native.MACHINE:
        return _Launcher(why_none=f"the path of Python has a space ({sys.executable})")
    if not landlock_abi():
        return _Launcher(why_none="this kernel has no Landlock")
    try:
        return _Launcher(_write_launcher(machine, binary))
    except OSError as error:
        return _Launcher(why_none=f"what starts it cannot be written to {tempfile.gettempdir()}: {error.strerror}")


def _write_launcher(machine: str, binary: str) -> str:
    paths = {path: _rights(path) for path in _READABLE if Path(path).exists()}
    for path in (binary, _dynamic_loader(machine)):
        if Path(path).exists():
            paths[os.path.realpath(path)] = _EXECUTE | _rights(path)
    folder = Path(tempfile.mkdtemp(prefix="rlmbox-monty-"))
    atexit.register(_remove, folder, os.getpid())
    program = _with_execve(machine) + _seccomp.program(machine)
    worker = folder / "worker"
    if machine == _native.MACHINE:
        import resource  # not on Windows

        core_bytes = _CORE_BYTES if resource.getrlimit(resource.RLIMIT_CORE)[1] else 0
        _write(worker, _native.launcher(binary, paths, program, core_bytes=core_bytes), 0o700)
    else:
        _write_script(folder, worker, binary=binary, paths=paths, program=program)
    return str(worker)


def _write_script(folder: Path, worker: Path, *, binary: str, paths: Mapping[str, int], program: bytes) -> None:
    """Write a launcher in Python, for machines that `_native` does not support."""
    code = folder / "code"
    # Compiled ahead, since the launcher starts with every session.
    sources = {name: inspect.getsource(importlib.import_module(name)) for name in _NAMES}
    _write(code, marshal.dumps({name: compile(text, name, "exec") for name, text in sources.items()}), 0o600)
    text = _PROGRAM.format(
        python=sys.executable,
        names=_NAMES,
        code=str(code),
        paths=paths,
        program=program,
        binary=binary,
        core_bytes=_CORE_BYTES,
    )
    _write(worker, text.encode(), 0o700)


def _rights(path: str) -> int:
    return READ if Path(path).is_dir() else READ & ~READ_DIR


def _write(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a process forked from it
        shutil.rmtree(folder, ignore_errors=True)


def _binary() -> str | None:
    """Return the path of Monty's executable, found as Monty finds it."""
    if from_environment := os.environ.get("MONTY_BIN"):
        return from_environment
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / "monty").is_file():
            return str(folder / "monty")
    return shutil.which("monty")


def _dynamic_loader(machine: str) -> str:
    with suppress(OSError):
        for path in Path("/lib64" if machine == "x86_64" else "/lib").glob("ld-linux*"):
            return str(path)
    return "/lib/ld-musl-" + machine + ".so.1"


def _with_execve(machine: str) -> bytes:
    """Return the part of a filter that allows execve, by which the launcher becomes the worker.

    Landlock still limits what can be executed to Monty itself.
    """
    audit, number = _EXECVE[machine]
    load, equal, give, allow = 0x20, 0x15, 0x06, 0x7FFF0000
    steps = ((load, 0, 0, 4), (equal, 0, 3, audit), (load, 0, 0, 0), (equal, 0, 1, number), (give, 0, 0, allow))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
