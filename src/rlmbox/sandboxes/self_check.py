"""Verification that a sandbox isolates code on this machine, by a few attacks that are judged from the host's side.

It fails closed: what cannot be shown counts as missing. The checks are small and bounded, so that they do no harm in a
sandbox without isolation.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import anyio

from rlmbox.context import Context
from rlmbox.errors import RLMError, SandboxUnavailable
from rlmbox.sandboxes._probes import fills, forks
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, CellLimits, Execution

Battery = Literal["process", "interpreter"]
"""`process` is for CPython behind kernel walls, which must show them; `interpreter` for what has nothing to wall in."""

BATTERIES: Mapping[str, Battery] = MappingProxyType(
    {"monty": "interpreter", "subset": "interpreter", "wasm": "interpreter"}
)
"""Sandboxes that get the small battery, by name; all others get the large one."""

_TIMEOUT_S = 30.0
_LIMITS = CellLimits(cell_timeout_s=5.0, memory_bytes=64 << 20)
_BRISK = CellLimits(cell_timeout_s=0.05, memory_bytes=64 << 20)
_MOST_PROCESSES = 256
_FILE_BYTES = 256 << 20
_CAPABILITIES = 64
_FAILURES = (RLMError, TimeoutError, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: What was checked, such as `seccomp`.
        holds: Whether the check passed.
        detail: What was observed.
    """

    name: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """The results of the checks of a sandbox.

    Attributes:
        sandbox: Its name.
        findings: The results of the checks that were made; none are made after a wall that is missing.
    """

    sandbox: str
    findings: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Return whether all checks passed."""
        return bool(self.findings) and all(finding.holds for finding in self.findings)

    def __str__(self) -> str:
        missing = [f"{finding.name}: {finding.detail}" for finding in self.findings if not finding.holds]
        if self.ok:
            return f"{self.sandbox} holds: {', '.join(finding.name for finding in self.findings)}"
        return f"{self.sandbox} does not hold: {'; '.join(missing) or 'nothing was checked'}"


_done: dict[tuple[str, int], SelfCheck] = {}


async def self_check(
    make_sandbox: Callable[[], Sandbox], *, battery: Battery | None = None, again: bool = False
) -> SelfCheck:
    """Check a sandbox; the result is kept for the life of this process. Takes a tenth of a second or more.

    Args:
        make_sandbox: Creates a sandbox that has not been started.
        battery: The checks; None for those of the sandbox's name.
        again: Whether to repeat checks made before.

    Raises:
        SandboxUnavailable: The sandbox cannot run here.
    """
    name = make_sandbox().name
    key = name, os.getpid()
    if again or key not in _done:
        found = await _checked(name, make_sandbox, battery or BATTERIES.get(name, "process"))
        if not found.ok:  # not kept, since the cause may be fixed
            return found
        _done[key] = found
    return _done[key]


async def _checked(name: str, make_sandbox: Callable[[], Sandbox], battery: Battery) -> SelfCheck:
    findings: list[CheckResult] = []
    for checks in _BATTERIES[battery]:
        with _Canaries() as canaries:
            findings += await _outcomes(checks, make_sandbox, canaries)
        if not all(finding.holds for finding in findings):
            break  # tests of exhaustion are not made without isolation
    return SelfCheck(name, tuple(findings))


async def _outcomes(
    groups: Sequence[_Group], make_sandbox: Callable[[], Sandbox], canaries: _Canaries
) -> list[CheckResult]:
    """Run groups of checks concurrently, each in its own session, because the caller waits for them."""
    found: dict[int, list[CheckResult]] = {}
    raised: list[Exception] = []

    async def make(number: int) -> None:
        try:
            found[number] = await _in_session(groups[number], make_sandbox, canaries)
        except Exception as error:  # noqa: BLE001 - raised without its exception group
            raised.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(len(groups)):
            tasks.start_soon(make, number)
    if raised:
        raise raised[0]
    return [finding for _, findings in sorted(found.items()) for finding in findings]


async def _in_session(group: _Group, make_sandbox: Callable[[], Sandbox], canaries: _Canaries) -> list[CheckResult]:
    """Make checks in sequence in one session."""
    limits, checks = group
    found: list[CheckResult] = []
    sandbox = make_sandbox()
    try:
        with anyio.move_on_after(_TIMEOUT_S) as scope:
            await sandbox.start(limits, Context.from_text("a self-check"), {})
            for check in checks:
                found += await _outcome(check, sandbox, canaries)
        if scope.cancelled_caught:
            found.append(CheckResult("time", holds=False, detail=f"the checks took longer than {_TIMEOUT_S:g} s"))
    except SandboxUnavailable:
        raise
    except _FAILURES as error:
        found.append(_failed("start", error))
    finally:
        await sandbox.close()
    return found


async def _outcome(check: _Check, sandbox: Sandbox, canaries: _Canaries) -> list[CheckResult]:
    try:
        return await check(sandbox, canaries)
    except SandboxUnavailable:
        raise
    except _FAILURES as error:
        return [_failed(check.__name__.strip("_"), error)]


def _failed(name: str, error: Exception) -> CheckResult:
    return CheckResult(name, holds=False, detail=f"{type(error).__name__}: {error}")


class _Canaries:
    """Secrets that exist only on the host: a variable, a file, a listener."""

    def __enter__(self) -> Self:
        self._secrets = {name: secrets.token_hex(16) for name in ("variable", "file")}
        self.variable = f"RLMBOX_SELF_CHECK_{secrets.token_hex(4)}"  # several checks may run at once
        os.environ[self.variable] = self._secrets["variable"]
        fd, path = tempfile.mkstemp(prefix="rlmbox-self-check-")
        with os.fdopen(fd, "w") as file:
            file.write(self._secrets["file"])
        self.path = Path(path)
        self.path.chmod(0o644)  # so that only the sandbox's isolation protects it
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.path.unlink(missing_ok=True)
        os.environ.pop(self.variable, None)

    def told(self, execution: Execution) -> list[str]:
        """Return which secrets a cell revealed."""
        text = f"{execution.stdout}{execution.stderr}{execution.value}{execution.value_repr}{execution.error}"
        return [name for name, value in self._secrets.items() if value in text]

    def was_reached(self) -> bool:
        """Return whether the listener was contacted."""
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


_Check = Callable[[Sandbox, _Canaries], Awaitable[list[CheckResult]]]
_Group = tuple[CellLimits, tuple[_Check, ...]]


async def _dictionary(sandbox: Sandbox, code: str) -> dict[str, Any]:
    """Run a cell whose last expression is a dictionary; raise ValueError if it returns anything else."""
    execution = await sandbox.execute(Cell(code))
    if not isinstance(execution.value, dict):
        raise ValueError(f"it gave no answer: {execution.error or execution.value_repr}")  # noqa: TRY004
    return execution.value


_KERNEL = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
head, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
known = libc.capget(head, sets)
{{
    "seccomp": libc.prctl(21, 0, 0, 0, 0), "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
    "capget": known, "capabilities": list(sets),
    "bounding": [n for n in range({_CAPABILITIES}) if libc.prctl(23, n, 0, 0, 0) == 1], "uid": os.getuid(),
}}
"""


async def _kernel_walls(sandbox: Sandbox, _: _Canaries) -> list[CheckResult]:
    """Query the kernel directly, since there may be no /proc."""
    seen = await _dictionary(sandbox, _KERNEL)
    has = seen["capget"] != 0 or any(seen["capabilities"]) or seen["bounding"]
    return [
        CheckResult("seccomp", seen["seccomp"] == 2, f"mode {seen['seccomp']}"),
        CheckResult("no_new_privs", seen["no_new_privs"] == 1, str(seen["no_new_privs"])),
        CheckResult("capabilities", not has, f"sets {seen['capabilities']}, bounding {seen['bounding']}"),
        CheckResult("user", seen["uid"] != 0, f"uid {seen['uid']}"),
    ]


_NETWORK = """
import socket
made, reached, names = [], [], []
for family in (socket.AF_INET, socket.AF_INET6, 16, 17, 40):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
            made.append([int(family), int(kind)])
        except OSError:
            pass
try:
    socket.create_connection(("127.0.0.1", @PORT@), 1).close()
    reached.append("the host's loopback")
except OSError:
    pass
try:
    names = [name for _, name in socket.if_nameindex()]
except OSError:
    pass
{"made": made, "reached": reached, "interfaces": names}
"""


async def _network(sandbox: Sandbox, canaries: _Canaries) -> list[CheckResult]:
    seen = await _dictionary(sandbox, _NETWORK.replace("@PORT@", str(canaries.port)))
    others = [name for name in seen["interfaces"] if name != "lo"]
    reached = canaries.was_reached() or seen["reached"]
    quiet = not others and not reached and (not seen["made"] or bool(seen["interfaces"]))
    detail = f"sockets {seen['made']}, interfaces {seen['interfaces']}, reached {seen['reached']}"
    return [CheckResult("network", quiet, detail if not quiet else "no socket" if not seen["made"] else "only lo")]


_SEARCH = """
import os
print(dict(os.environ))
for path in ("/proc/self/environ", "/proc/1/environ", "@PATH@"):
    try:
        print(open(path).read())
    except OSError:
        pass
found, looked = [], 0
for folder, folders, files in os.walk("/"):
    looked += 1 + len(files)
    if os.path.basename("@PATH@") in files:
        found.append(folder)
    if looked > 100_000:
        break
try:
    os.kill(@PID@, 0)
    found.append("the host's process")
except OSError:
    pass
{"found": found}
"""


async def _host_is_hidden(sandbox: Sandbox, canaries: _Canaries) -> list[CheckResult]:
    code = _SEARCH.replace("@PATH@", str(canaries.path)).replace("@PID@", str(os.getpid()))
    execution = await sandbox.execute(Cell(code))
    told = canaries.told(execution)
    answer = execution.value if isinstance(execution.value, dict) else {}
    found = answer.get("found", [f"the search failed: {execution.error}"])
    return [
        CheckResult("environment", "variable" not in told, "hidden" if "variable" not in told else "it can be read"),
        CheckResult("files", "file" not in told and found == [], "hidden" if not found else f"found {found}"),
    ]


_TRIES = (
    "import os\nprint(os.environ, os.getenv(@VARIABLE@))",
    "print(open(@PATH@).read())",
    "import pathlib\nprint(pathlib.Path(@PATH@).read_text())",
    "import subprocess\nprint(subprocess.run(['cat', @PATH@], capture_output=True))",
    "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 1)",
)


async def _nothing_to_wall_in(sandbox: Sandbox, canaries: _Canaries) -> list[CheckResult]:
    told: list[str] = []
    words = {"@VARIABLE@": repr(canaries.variable), "@PATH@": repr(str(canaries.path)), "@PORT@": str(canaries.port)}
    for code in _TRIES:
        for word, value in words.items():
            code = code.replace(word, value)
        told += canaries.told(await sandbox.execute(Cell(code)))
    alive = await sandbox.execute(Cell("40 + 2"))
    reached = canaries.was_reached()
    return [
        CheckResult("language", alive.value == 42, "cells run" if alive.value == 42 else f"{alive.error}"),
        CheckResult("environment", "variable" not in told, "hidden" if "variable" not in told else "it can be read"),
        CheckResult("files", "file" not in told, "hidden" if "file" not in told else "they can be read"),
        CheckResult("network", not reached, "the host's loopback was reached" if reached else "not reached"),
    ]


async def _memory_is_bounded(sandbox: Sandbox, _: _Canaries) -> list[CheckResult]:
    ended = await sandbox.execute(Cell("x = 'x' * 300_000_000"))
    return [CheckResult("memory", ended.outcome == "memory", ended.outcome)]


async def _time_is_bounded(sandbox: Sandbox, _: _Canaries) -> list[CheckResult]:
    # If nothing stops it, it ends by itself some seconds later.
    ended = await sandbox.execute(Cell("n = 0\nfor i in range(100_000_000):\n    n += i"))
    return [CheckResult("timeout", ended.outcome == "timeout", ended.outcome)]


async def _processes_and_files_are_bounded(sandbox: Sandbox, _: _Canaries) -> list[CheckResult]:
    made = (await _dictionary(sandbox, forks(_MOST_PROCESSES)))["made"]
    size = (await _dictionary(sandbox, fills(_FILE_BYTES)))["size"]
    return [
        CheckResult("processes", made < _MOST_PROCESSES, f"{made} could be made"),
        CheckResult("file size", size < _FILE_BYTES, f"{size >> 20} MiB could be written"),
    ]


_BATTERIES: Mapping[Battery, tuple[tuple[_Group, ...], ...]] = {
    "process": (
        ((_LIMITS, (_kernel_walls, _network, _host_is_hidden)),),
        (
            (_LIMITS, (_processes_and_files_are_bounded, _memory_is_bounded)),
            (_BRISK, (_time_is_bounded,)),
        ),
    ),
    "interpreter": (
        ((_LIMITS, (_nothing_to_wall_in,)),),
        # On a busy machine a kill for memory may take longer than the short limit.
        ((_LIMITS, (_memory_is_bounded,)), (_BRISK, (_time_is_bounded,))),
    ),
}
