"""The host's side of an attack: what must not be revealed, changed, reached or left behind.

The cell is never trusted. Each canary is a secret that exists on the host only; each listener detects connections.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rlmbox.testing.attacks import _host

HOST_MEMORY_BYTES = 48 * 2**20
"""Most that an attack may add to this process's resident memory at any time."""

_SETTLE_S, _SETTLED, _SETTLE_TIMEOUT_S = 0.02, 3, 2.0
_VARIABLE = "RLMBOX_ATTACK_CANARY"
_STREWN = ("json.py", "sitecustomize.py", "x.pth", "evil.pth", "fill", "big", "f0", "result.json", "art", "t2", "sda")
_KERNEL = ("/etc/machine-id", "/sys/class/dmi/id/product_uuid", "/proc/cmdline")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the host before an attack.

    Attributes:
        files: Content hash of each path in the watched folder.
        strewn: Files with names that attacks use, in places where a cell might have put them on the host.
        mounts: The mounts.
        processes: Number of our descendants by command.
        memory_bytes: Our resident memory.
    """

    files: Mapping[str, str]
    strewn: frozenset[str]
    mounts: frozenset[str]
    processes: Counter[str]
    memory_bytes: int


class HostWatch:
    """Canaries and listeners on the host; a context manager.

    A file, an environment variable and an inheritable descriptor each hold a secret; TCP and UDP sockets on loopback
    and two unix sockets, one with a path and one abstract, wait for connections. While it is open, orphaned descendants
    become children of this process, so that none escapes notice (Linux).

    Args:
        leave_s: Time for processes to end after an attack, in seconds.

    Attributes:
        unwatched: What cannot be watched on this machine.
        warmed: Names of the sandboxes whose pools, if any, have been filled.
    """

    def __init__(self, *, leave_s: float = 5.0) -> None:
        self._leave_s = leave_s
        self.warmed: set[str] = set()
        self._pooled = Counter[str]()
        names = ("file", "environment", "descriptor")
        self._secrets = {name: f"sk-{name[:4]}{secrets.token_hex(16)}" for name in names}
        self.unwatched: tuple[str, ...] = () if _host.CAN_WATCH else ("processes", "mounts", "memory")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="rlmbox-attack-"))
        self._folder.chmod(0o755)  # the sandbox must keep a cell out, not a permission
        self.write_dir.mkdir(mode=0o777)
        self.write_dir.chmod(0o777)
        self.secret_file.write_text(self._secrets["file"])
        self._before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = self._secrets["environment"]
        self._held = self._inheritable(self._secrets["descriptor"])
        self._listeners = dict(self._listen())
        self._subreaper = _host.become_subreaper(wanted=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _host.become_subreaper(wanted=self._subreaper)
        for listener in self._listeners.values():
            listener.close()
        os.close(self._held)
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def secret_file(self) -> Path:
        """The world-readable file with a secret."""
        return self._folder / "secret.txt"

    @property
    def write_dir(self) -> Path:
        """The world-writable folder."""
        return self._folder / "writable"

    def filled(self, code: str) -> str:
        """Replace the placeholders in a cell's code."""
        words = {
            "@SECRET_FILE@": str(self.secret_file),
            "@WRITE_DIR@": str(self.write_dir),
            "@TCP_PORT@": self._address("tcp"),
            "@UDP_PORT@": self._address("udp"),
            "@UNIX_PATH@": str(self._folder / "socket"),
            "@ABSTRACT@": self._abstract,
            "@HOST_PID@": str(os.getpid()),
        }
        for word, value in words.items():
            code = code.replace(word, value)
        return code

    def expect_pool(self) -> None:
        """Record the processes of pools while no session is open, since an attack may shrink a pool."""
        self._pooled |= _settled_processes()

    def snapshot(self) -> Snapshot:
        """Record the state of the host."""
        _host.forget_peak()
        processes = _settled_processes() | self._pooled
        return Snapshot(self._files(), self._strewn(), _host.mounts(), processes, _host.memory_bytes()[0])

    def changes(self, before: Snapshot) -> list[str]:
        """Return the changes of the host since before an attack, after waiting for dying processes to end."""
        found = [f"{name} on the host was reached" for name, listener in self._listeners.items() if _came(listener)]
        if self._files() != before.files:
            found.append("files on the host were changed")
            self._mend(before)
        strewn = self._strewn() - before.strewn
        found += [f"{path} was written on the host" for path in sorted(strewn)]
        if _host.mounts() != before.mounts:
            found.append("the host's mounts are not the same")
        left = self._left(before.processes)
        found += [f"process {process.pid} is left behind: {process.command[:100]}" for process in left]
        grown = _host.memory_bytes()[1] - before.memory_bytes
        if grown > HOST_MEMORY_BYTES:
            found.append(f"the host's memory grew by {grown / 2**20:,.0f} MiB at its highest")
        return found

    def told(self, text: str) -> list[str]:
        """Return which of the secrets a text contains."""
        return [f"the secret of the host's {name} was told" for name, value in self._secrets.items() if value in text]

    def inherited(self) -> list[str]:
        """Return which of our descendants are seen to hold the descriptor or the environment with a secret."""
        held, secret = os.fstat(self._held), self._secrets["environment"].encode()
        found = []
        for process in _host.descendants():
            if held.st_ino in _host.open_files(process.pid, held.st_dev):
                found.append(f"process {process.pid} inherited a descriptor: {process.command[:100]}")
            if secret in _host.environment(process.pid):
                found.append(f"process {process.pid} has the environment: {process.command[:100]}")
        return found

    def host_facts(self, kinds: Iterable[str]) -> dict[str, str]:
        """Return facts of this host that a text must not contain.

        Args:
            kinds: `kernel` for what identifies this machine, `paths` for locations on it.
        """
        facts: dict[str, str] = {}
        if "kernel" in kinds:
            for path in _KERNEL:
                with suppress(OSError):
                    facts[path] = Path(path).read_text().strip()[:100]
            facts["the port of a listener in /proc/net/tcp"] = f":{int(self._address('tcp')):04X} "
        if "paths" in kinds:
            facts |= {"the installation": str(Path(__file__).parents[3]), "the interpreter": sys.base_prefix}
            facts |= {"the environment": sys.prefix, "the home folder": str(Path.home())}
        return {name: value for name, value in facts.items() if len(value) > 4}

    def _address(self, name: str) -> str:
        return str(self._listeners[name].getsockname()[1])

    @staticmethod
    def _inheritable(secret: str) -> int:
        """Open a file with a secret that a careless launch would pass on to the worker."""
        with tempfile.TemporaryFile() as file:
            file.write(secret.encode())
            file.flush()
            fd = os.dup(file.fileno())
        os.set_inheritable(fd, True)
        return fd

    def _listen(self) -> Iterable[tuple[str, socket.socket]]:
        self._abstract = f"rlmbox-attack-{secrets.token_hex(8)}"
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        listeners = {"tcp": socket.create_server(("127.0.0.1", 0)), "udp": udp}
        if hasattr(socket, "AF_UNIX"):
            addresses = {"unix": str(self._folder / "socket")}
            if sys.platform == "linux":
                addresses["abstract"] = f"\0{self._abstract}"
            for name, address in addresses.items():
                listeners[name] = socket.socket(socket.AF_UNIX)
                listeners[name].bind(address)
                listeners[name].listen()
            (self._folder / "socket").chmod(0o777)
        for listener in listeners.values():
            listener.setblocking(False)
        return listeners.items()

    def _files(self) -> dict[str, str]:
        return {str(path): _content(path) for path in sorted(self._folder.rglob("*"))}

    def _mend(self, before: Snapshot) -> None:
        """Restore the watched folder for the next attack."""
        for path in self.write_dir.iterdir():
            if str(path) not in before.files:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.secret_file.write_text(self._secrets["file"])

    def _strewn(self) -> frozenset[str]:
        places = {Path.cwd(), Path(tempfile.gettempdir()), Path("/dev/shm")}  # noqa: S108 - looked at, not written
        places |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")}
        found = {str(place / name) for place in places for name in _STREWN if (place / name).exists()}
        return frozenset(found | {str(path) for path in Path.cwd().glob("core*") if path.is_file()})

    def _left(self, before: Counter[str]) -> list[_host.Process]:
        deadline = time.monotonic() + self._leave_s
        while (left := _host.surplus(before)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left


def _settled_processes() -> Counter[str]:
    """Count our descendants by command once they are stable: a pool may be replacing a worker."""
    before = Counter[str]()
    same, deadline = 0, time.monotonic() + _SETTLE_TIMEOUT_S
    while True:
        now = Counter(process.command for process in _host.descendants())
        same = same + 1 if now == before else 0
        before = now
        if same >= _SETTLED or time.monotonic() >= deadline:
            return before
        time.sleep(_SETTLE_S)


def _content(path: Path) -> str:
    """Return a hash of a file's content; a symbolic link, which an attack may have planted, is not followed."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "special"


def _came(listener: socket.socket) -> bool:
    """Return whether a listener was reached, closing the connections."""
    came = False
    while True:
        try:
            if listener.type == socket.SOCK_DGRAM:
                listener.recv(65536)
            else:
                listener.accept()[0].close()
        except BlockingIOError:
            return came
        came = True
