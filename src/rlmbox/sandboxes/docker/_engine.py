"""The parts of a container engine's API, Docker's or Podman's, that `DockerSandbox` needs. Everything here blocks."""

from __future__ import annotations

import os
import secrets
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker._stream import AttachedSocket

DEFAULT_IMAGE = "rlmbox-python:local"
"""The image that is started unless another is named."""

LABEL = "rlmbox.sandbox"
"""Label of every container of ours; its value is one container's own."""

OWNER_LABEL = "rlmbox.owner"
"""Label with the process that a container belongs to."""

MAKE_IMAGE = "python -m rlmbox.sandboxes.docker.image"
STRONG_RUNTIME = "runsc"

_TIMEOUT_S = 60
_GONE_S = 10.0
_KILLED = 128 + 9
_NO_SDK = "DockerSandbox needs the Docker SDK: pip install 'rlmbox[docker]'"
_NO_ENGINE = (
    "no container engine was found: start Docker, or Podman's service (podman system service), "
    "or set DOCKER_HOST to its address, such as unix:///run/docker.sock"
)
_SHARED_KERNEL = (
    "the container shares the host's kernel, behind rlmbox's own seccomp profile; "
    "gVisor is a stronger wall: install runsc and register it with the engine as a runtime"
)
_LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes", "CpuCfsQuota": "CPU time"}


@dataclass(frozen=True, slots=True)
class Survey:
    """The capabilities of an engine.

    Attributes:
        runtimes: Names of the available runtimes.
        default_runtime: The default one.
        lacking: Limits that the engine cannot enforce.
        is_podman: Whether it is Podman, which needs some settings in another form than Docker.
    """

    runtimes: tuple[str, ...]
    default_runtime: str
    lacking: tuple[str, ...] = ()
    is_podman: bool = False

    def runtime(self, wanted: str | None) -> str:
        """Return the name of the runtime to use: the wanted one, or `runsc` if available.

        Raises:
            SandboxUnavailable: The engine does not have the wanted one.
        """
        have = {*self.runtimes, self.default_runtime}
        chosen = wanted or (STRONG_RUNTIME if STRONG_RUNTIME in have else self.default_runtime)
        if chosen not in have:
            names = ", ".join(sorted(have - {""}))
            raise SandboxUnavailable(f"the engine has no runtime {chosen!r}; it has {names}")
        return chosen

    def warning(self, runtime: str) -> str | None:
        """Describe how the isolation is weaker than it could be; None if it is not."""
        faults = [] if runtime == STRONG_RUNTIME else [_SHARED_KERNEL]
        if self.lacking:
            faults.append(f"the engine cannot limit {', '.join(self.lacking)}: its host has no such cgroup")
        if self.is_podman:
            faults.append("Podman limits the files in /tmp by the container's memory only")
        return "; ".join(faults) or None


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """The end of a container that we did not kill.

    Attributes:
        how: A description such as `signal 9`.
        for_memory: Whether the kernel killed the worker because the container's memory was used up.
    """

    how: str
    for_memory: bool

    @classmethod
    def of(cls, words: str, state: Mapping[str, Any], *, in_gvisor: bool = False) -> ContainerExit:
        """Determine it from what the relay and the engine report.

        The relay reports how the worker ended, and whether the kernel counted a kill for memory; the engine has a
        flag for that too, but not with every engine and kernel. Under Linux nothing inside can kill process 1, so if
        that was killed without a report, the kernel did it, for memory. Under gVisor a cell can kill it, so there only
        the engine's flag counts.

        Args:
            words: The relay's last words, or ''.
            state: `State` of the engine's answer, or nothing.
            in_gvisor: Whether the container's kernel was gVisor's.
        """
        status = state.get("ExitCode")
        was_killed = words.startswith("signal 9") if words else status == _KILLED
        is_counted = words.endswith(" oom") or state.get("OOMKilled") is True
        for_memory = was_killed and (is_counted or (not words and not in_gvisor))
        how = f"exit status {status}" if isinstance(status, int) else "the engine does not say how"
        if in_gvisor and was_killed and not words and not for_memory:
            how = f"{how}: a cell killed the container's process 1, or its memory ran out"
        return cls(words.removesuffix(" oom") or how, for_memory)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn exceptions of the SDK into SandboxUnavailable, in one line that begins with `what`."""
    from docker.errors import DockerException

    try:
        yield
    except (OSError, DockerException) as error:
        reason = getattr(error, "explanation", None) or error
        raise SandboxUnavailable(f"{what}: {' '.join(str(reason).split())[:1000]}") from error


@contextmanager
def connect(url: str | None) -> Iterator[Any]:
    """Open a client of the engine, and close it.

    Args:
        url: The engine's address; None uses DOCKER_HOST or the first engine that listens in a known place.

    Raises:
        SandboxUnavailable: The SDK is not installed, or no engine answers.
    """
    try:
        import docker
    except ImportError as error:
        raise SandboxUnavailable(_NO_SDK) from error
    address = url or _found()
    if not address.startswith(("unix://", "tcp://", "http://")) or os.environ.get("DOCKER_TLS_VERIFY"):
        raise SandboxUnavailable(
            f"the engine at {address} can be reached by a unix socket or plain TCP only; "
            "forward its socket with `ssh -nNT -L /tmp/engine.sock:/run/docker.sock HOST` and name that"
        )
    with explained(f"no container engine answers at {address}; start it, or set DOCKER_HOST to another"):
        _check_listens(address)
        client = docker.APIClient(base_url=address, version="auto", timeout=_TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()


def _check_listens(address: str) -> None:
    """Raise OSError if nobody listens on a unix socket; the SDK would leak one of its own."""
    scheme, _, path = address.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(_TIMEOUT_S)
            tried.connect(path)


def _found() -> str:
    named = os.environ.get("DOCKER_HOST")
    if named:
        return named
    own = os.environ.get("XDG_RUNTIME_DIR")
    folders = [Path("/var/run"), Path("/run"), *([Path(own)] if own else []), Path.home() / ".docker/run"]
    sockets = [*(folder / "docker.sock" for folder in folders), *(folder / "podman/podman.sock" for folder in folders)]
    for path in sockets:
        with suppress(OSError):
            if path.is_socket() and os.access(path, os.R_OK | os.W_OK):
                return f"unix://{path}"
    raise SandboxUnavailable(_NO_ENGINE)


def survey(client: Any) -> Survey:
    """Query an engine's capabilities."""
    with explained("the engine does not tell what it has"):
        info = client.info()
        podman = any("podman" in str(part.get("Name")).lower() for part in client.version().get("Components") or ())
    # Podman lists every runtime that it knows, installed or not, and accepts none in a request.
    runtimes = () if podman else tuple(info.get("Runtimes") or ())
    lacking = tuple(what for key, what in _LIMITS.items() if info.get(key) is False)
    default = Path(str(info.get("DefaultRuntime") or "")).name  # Podman returns its path
    return Survey(runtimes, default, lacking, is_podman=podman)


def labels() -> dict[str, str]:
    """Return the labels of a new container."""
    return {LABEL: secrets.token_hex(8), OWNER_LABEL: _owner(os.getpid())}


def create(client: Any, config: dict[str, Any]) -> str:
    """Create a container and return its id.

    Raises:
        SandboxUnavailable: The engine does not have the image, or rejects the request.
    """
    from docker.errors import ImageNotFound

    try:
        with explained("the container cannot be created"):
            return str(client.create_container_from_config(config)["Id"])
    except SandboxUnavailable as error:
        if not isinstance(error.__cause__, ImageNotFound):
            raise
        image = config["Image"]
        remedy = f"`{MAKE_IMAGE} --from-host` makes one of this Python, `{MAKE_IMAGE}` of python:3.13-slim"
        if image != DEFAULT_IMAGE:
            remedy = f"pull it with `docker pull {image}`, or leave the image out"
        raise SandboxUnavailable(f"the engine has no image {image!r}: {remedy}") from error


def attach(client: Any, container: str) -> AttachedSocket:
    """Connect to a container's input and outputs, before it is started."""
    with explained("the container cannot be attached to"):
        stream = client.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        # The SDK returns a reader over the connection of an HTTP response; a descriptor of our own outlives both.
        fd = os.dup(stream.fileno())
        getattr(stream, "_response", stream).close()
    return AttachedSocket(fd)


def end_state(client: Any, container: str) -> dict[str, Any]:
    """Wait for a container's end and return the engine's record of it, or nothing if there is none."""
    from docker.errors import DockerException

    with suppress(OSError, DockerException):
        client.wait(container, timeout=_GONE_S)
        state = client.inspect_container(container).get("State")
        return state if isinstance(state, dict) else {}
    return {}


def remove(client: Any, container: str) -> None:
    """Kill and remove a container, and wait until it is gone. If the engine is gone, it ends by itself."""
    from docker.errors import DockerException, NotFound

    deadline = time.monotonic() + _GONE_S
    while time.monotonic() < deadline:
        try:
            client.remove_container(container, v=True, force=True)
        except NotFound:
            return
        except (OSError, DockerException):  # for example, a removal already in progress
            time.sleep(0.05)


def sweep(client: Any) -> None:
    """Remove ended containers of dead processes, which could not do it themselves if they were killed."""
    from docker.errors import DockerException

    with suppress(OSError, DockerException):
        ended = {"label": [LABEL], "status": ["exited"]}
        for container in client.containers(all=True, filters=ended):
            if not _is_alive((container.get("Labels") or {}).get(OWNER_LABEL, "")):
                remove(client, container["Id"])


def _owner(pid: int) -> str:
    return f"{_machine()}:{pid}:{_started(pid)}"


def _is_alive(owner: str) -> bool:
    """Return whether a container's process is alive; True if that cannot be determined from here."""
    machine, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    return machine != _machine() or not pid.isdecimal() or _started(int(pid)) == started


def _machine() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{socket.gethostname()}-{uuid.getnode():x}"


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; '' if it does not exist."""
    if Path("/proc/self/stat").exists():
        with suppress(OSError, IndexError):
            return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
