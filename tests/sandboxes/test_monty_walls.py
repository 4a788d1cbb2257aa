"""What puts a worker of Monty behind the kernel's walls: here with Python behind them, which can be asked."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from rlmbox.sandboxes.kernel._landlock import READ, landlock_abi
from rlmbox.sandboxes.monty import _native, _walls

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in _walls._EXECVE or not landlock_abi(),
    reason="needs Linux with Landlock",
)

ASK = """
import json, os, resource, socket, sys
def outcome(work):
    try:
        return repr(work())
    except OSError as error:
        return type(error).__name__
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
host = os.getppid()
core = next(line.split()[4] for line in open("/proc/self/limits") if line.startswith("Max core"))
size = next(line.split()[3] for line in open("/proc/self/limits") if line.startswith("Max file"))
print(json.dumps({
    "arguments": sys.argv[1:], "environment": sorted({*os.environ} - {"LC_CTYPE"}),  # Python's own
     "group": os.getpgid(0) == os.getpid(),
    "privileges": status["NoNewPrivs"], "filter": status["Seccomp"], "core": core, "file size": size,
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "capabilities": status["CapEff"].strip("0") + status["CapPrm"].strip("0"),
    "errors to": os.readlink("/proc/self/fd/2"),
    "passwords": outcome(lambda: open("/etc/passwd").read()),
    "secret": outcome(lambda: open(sys.argv[1]).read()),
    "list": outcome(lambda: os.listdir("/")),
    "write": outcome(lambda: open("/tmp/rlmbox-wall", "w")),
    "mode": outcome(lambda: os.chmod(sys.argv[1], 0o777)),
    "times": outcome(lambda: os.utime(sys.argv[1], (1, 1))),
    "host's limits": outcome(lambda: resource.prlimit(host, resource.RLIMIT_CPU)),
    "host's priority": outcome(lambda: os.setpriority(os.PRIO_PROCESS, host, os.getpriority(os.PRIO_PROCESS, 0))),
    "signal": outcome(lambda: os.kill(host, 0)),
    "socket": outcome(lambda: socket.socket()),
    "fork": outcome(os.fork),
    "shell": outcome(lambda: os.execv("/bin/sh", ["sh", "-c", "echo out"])),
}))
"""


@pytest.fixture(params=["native", "script"])
def python_behind_walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A launcher of Python; the path of the program."""
    machine = platform.machine()
    if request.param == "native" and machine != _native.MACHINE:
        pytest.skip(f"there is none for {machine}")
    if request.param == "script":
        monkeypatch.setattr(_native, "MACHINE", "another")
    python = os.path.realpath(sys.executable)
    monkeypatch.setattr(_walls, "_READABLE", (*_walls._READABLE, sys.base_prefix, "/proc"))
    return _walls._write_launcher(machine, python)


def asked(program: str, *arguments: str) -> dict[str, object]:
    inherited = os.open(os.devnull, os.O_RDONLY)
    done = subprocess.run(
        [program, "-I", "-S", "-c", ASK, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"SECRET": "1"},
        pass_fds=[inherited],
    )
    os.close(inherited)
    assert done.stderr == ""
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_what_starts_behind_the_walls_has_its_arguments_and_nothing_else(
    python_behind_walls: str, tmp_path: Path
) -> None:
    import resource  # which Windows has not

    secret = tmp_path / "secret"
    secret.write_text("secret")
    core = "1" if resource.getrlimit(resource.RLIMIT_CORE)[1] else "0"
    assert asked(python_behind_walls, str(secret), "", "ž 🧪") == {
        "arguments": [str(secret), "", "ž 🧪"],
        "environment": [],
        "group": True,
        "privileges": "1",
        "filter": "2",
        "core": core,
        "file size": "0",
        "descriptors": [0, 1, 2],
        "capabilities": "",
        "errors to": "/dev/null",
        "passwords": "PermissionError",
        "secret": "PermissionError",
        "list": "PermissionError",
        "write": "PermissionError",
        "mode": "PermissionError",
        "times": "PermissionError",
        "host's limits": "PermissionError",
        "host's priority": "PermissionError",
        "signal": "PermissionError",
        "socket": "PermissionError",
        "fork": "PermissionError",
        "shell": "PermissionError",
    }


def test_what_cannot_be_put_behind_all_walls_does_not_start(tmp_path: Path) -> None:
    if platform.machine() != _native.MACHINE:
        pytest.skip(f"there is none for {platform.machine()}")
    python = os.path.realpath(sys.executable)
    readable = {path: _walls._rights(path) for path in (*_walls._READABLE, sys.base_prefix) if Path(path).exists()}
    loader = os.path.realpath(_walls._dynamic_loader(platform.machine()))
    good = {**readable, python: _walls._EXECUTE | _walls._rights(python), loader: _walls._EXECUTE}
    allowing_all = b"\x06\0\0\0\0\0\xff\x7f"
    broken = {
        "a path that is not there": ({**good, str(tmp_path / "gone"): 4}, allowing_all),
        "a filter of nothing": (good, b""),
        "a filter that does not return": (good, b"\x20\0\0\0\0\0\0\0"),
        "a right that files have not": ({**good, python: _walls._EXECUTE | READ}, allowing_all),
    }
    for name, (paths, program) in {"nothing": (good, allowing_all), **broken}.items():
        file = tmp_path / "launcher"
        file.write_bytes(_native.launcher(python, paths, program, core_bytes=0))
        file.chmod(0o700)
        done = subprocess.run([str(file), "-I", "-S", "-c", "print(1)"], capture_output=True, text=True, check=False)
        expected = (0, "1\n") if name == "nothing" else (_native._FAILED, "")
        assert (done.returncode, done.stdout) == expected, name
