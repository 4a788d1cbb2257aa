"""`docker`: cells run in a container that has nothing but Python, no network and no privileges."""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio.to_thread

from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes import _installed
from rlmbox.sandboxes._texts import NamedText, inline_bytes
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker._config import (
    CONTEXT_PATH,
    GVISOR_THREADS,
    PROCESSES,
    ContainerPlan,
    container_config,
    container_memory_bytes,
    seccomp_profile,
)
from rlmbox.sandboxes.docker._engine import DEFAULT_IMAGE
from rlmbox.sandboxes.docker._folder import private_folder, sweep
from rlmbox.sandboxes.docker._stream import AttachedSocket
from rlmbox.sandboxes.worker._sandbox import NOTES, WorkerSandbox
from rlmbox.types import Cell, CellError, CellLimits, Execution

_INSTALLED = (
    *(f"/usr/local/lib/python3.{minor}/site-packages" for minor in range(11, 21)),
    "/usr/lib/python3/dist-packages",
)
"""Where pip and Debian put packages; those of the image's own Python are there."""
_FIRST_UID, _UIDS = 10_001, 50_000
_COPY_BYTES = 1 << 20


class DockerSandbox(WorkerSandbox):
    """Runs cells in a container of its own, by Docker or by Podman's service.

    The container has no network, a read-only root, 64 MB of /tmp mounted noexec, an unused user id, no capabilities
    and no way to gain any, at least 512 MB of memory and no swap, 50 processes and one CPU. Its kernel is gVisor's if
    the engine has `runsc`; otherwise it is the host's, with a seccomp filter for the system calls that Python needs,
    and `warning` says so. The context is mounted read-only; to an engine on another machine it is sent.

    Args:
        image: An image with Python 3.11 or later as `python3`; it needs nothing of rlmbox.
        engine_url: The engine's address, such as `unix:///run/docker.sock`; None uses DOCKER_HOST, or the first
            engine that listens in one of the known places.
        runtime: The engine's runtime to use, such as `runc`; None uses `runsc` if available.
        packages: Packages of the image that cells may import, such as `numpy`. Nothing is fetched or copied when a
            container starts: if the image lacks one, the error on its import says how to make an image that has it.
        package_paths: Directories of the image that are searched for imports after the standard library; with
            `packages`, the ones into which pip and Debian install are searched, too.

    Raises:
        ConfigError: A package has no name, or more than that.
    """

    name = "docker"
    notes: tuple[str, ...] = NOTES

    def __init__(
        self,
        image: str = DEFAULT_IMAGE,
        *,
        engine_url: str | None = None,
        runtime: str | None = None,
        packages: Sequence[str] = (),
        package_paths: Sequence[str | Path] = (),
    ) -> None:
        for name in packages:
            if not _PACKAGE.fullmatch(name):
                raise ConfigError(f"{name!r} is not the name of one package; give each by itself, without version")
        self._containers = _ContainerWall(_Choice(image, engine_url, runtime))
        self._packages = tuple(packages)
        super().__init__(self._containers, [*package_paths, *(_INSTALLED if packages else ())])
        if packages:
            self.notes = (*self.notes, f"These packages can be imported: {', '.join(packages)}.")

    @property
    def warning(self) -> str | None:
        """A description of how the isolation is weaker than it could be, once started; None if it is not."""
        return self._containers.warning

    @property
    def runtime(self) -> str:
        """The engine's runtime in use, such as `runsc`, once started; '' before."""
        return self._containers.runtime

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`."""
        execution = await super().execute(cell)
        if self._packages and execution.error:  # in a thread, since what provides a module takes a while to find
            execution = await anyio.to_thread.run_sync(explained, execution, self._packages)
        elif not self._packages:
            execution = await _installed.explained(execution, _allowed)
        if execution.outcome != "crashed" or execution.namespace != "lost" or not self._containers.ran_out_of_memory:
            return execution
        message = f"the cell's processes needed more than the container's memory: {(execution.error or _NONE).message}"
        error = CellError("MemoryExceeded", message, f"MemoryExceeded: {message}")
        return replace(execution, outcome="memory", error=error)


_PACKAGE = re.compile(r"[A-Za-z0-9_][\w.-]*")
_NONE = CellError("SandboxCrashed", "")


def explained(execution: Execution, packages: Sequence[str]) -> Execution:
    """Add how to make an image with the packages, if one that was named is missing in it."""
    if not packages or not _installed.missing_module(execution.error):
        return execution
    return _installed.with_advice(execution, recipe(packages))


def recipe(packages: Sequence[str]) -> str:
    """Return how to make an image with the packages, in one line."""
    names = " ".join((name.isidentifier() and _installed.distribution(name)) or name for name in packages)
    return (
        "make an image that has it, with a Dockerfile of two lines, `FROM python:3.13-slim` and "
        f"`RUN python3 -m pip install {names}`, and name it: --sandbox docker:IMAGE"
    )


def _allowed(name: str) -> str:
    return f"if the image has {name}, allow it with --package {name}, or packages=[{name!r}]; if not, {recipe([name])}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """The user's choices; see `DockerSandbox`."""

    image: str
    engine_url: str | None
    runtime: str | None


class _ContainerWall:
    """Launches workers in containers, one after the other.

    Args:
        choice: The user's choices.
    """

    def __init__(self, choice: _Choice) -> None:
        self._choice = choice
        self._survey: engine.Survey | None = None
        self._refused: set[str] = set()
        self._container: _Container | None = None
        self._memory_bytes = 0
        self.warning: str | None = None
        self.runtime = ""

    async def prepare(self, limits: CellLimits, texts: Sequence[NamedText], case_bytes: int) -> CellLimits:
        """Measure a container's memory; see `Wall.prepare`."""
        self._memory_bytes = container_memory_bytes(limits.memory_bytes + case_bytes, inline_bytes(texts))
        return limits

    @property
    def ran_out_of_memory(self) -> bool:
        """Return whether the last container ended because it ran out of memory."""
        return self._container is not None and self._container.ran_out_of_memory

    async def launch(self, context_fd: int | None) -> _Container:
        """Launch a worker; see `Wall.launch`."""
        if os.name != "posix":
            raise SandboxUnavailable("DockerSandbox needs Linux or macOS; use `monty`")
        self._container = await anyio.to_thread.run_sync(self._launch, context_fd)
        return self._container

    def _launch(self, context_fd: int | None) -> _Container:
        plan = ContainerPlan(
            image=self._choice.image,
            runtime=None,
            # With a single user id, one container could use up what the kernel grants to a user.
            uid=_FIRST_UID + secrets.randbelow(_UIDS),
            memory_bytes=self._memory_bytes,
            processes=PROCESSES,
            mounts={},
            seccomp="",
            labels=engine.labels(),
        )
        with ExitStack() as undo:
            client = undo.enter_context(engine.connect(self._choice.engine_url))
            plan = self._fitted(plan, client)
            files: dict[str, str] = {}
            copy = undo.enter_context(ExitStack())
            if context_fd is not None and CONTEXT_PATH not in self._refused:
                files[CONTEXT_PATH] = copy.enter_context(_shared(context_fd))
            number, stream = self._running(client, plan, files, undo)
            if CONTEXT_PATH in self._refused:
                copy.close()
            try:
                context = self._place(context_fd)
            except BaseException:
                stream.discard()
                raise
            in_gvisor = self.runtime == engine.STRONG_RUNTIME
            return _Container(client, number, stream, context, undo.pop_all(), in_gvisor=in_gvisor)

    def _place(self, context_fd: int | None) -> Mapping[str, Any]:
        """Return where the file with the texts is; without one they are sent, or read from the host in parts."""
        return {} if context_fd is None or CONTEXT_PATH in self._refused else {"path": CONTEXT_PATH}

    def _running(
        self, client: Any, plan: ContainerPlan, files: Mapping[str, str], undo: ExitStack
    ) -> tuple[str, AttachedSocket]:
        """Start a container with these files mounted, except those that the engine refuses as unseen."""
        while True:
            shown = {target: source for target, source in files.items() if target not in self._refused}
            with ExitStack() as attempt:
                try:
                    number, stream = _running(client, replace(plan, mounts=shown), attempt)
                except SandboxUnavailable as error:
                    refused = {target for target, source in shown.items() if source in str(error)}
                    if not refused:
                        raise
                    self._refused |= refused
                else:
                    undo.push(attempt.pop_all())
                    return number, stream

    def _fitted(self, plan: ContainerPlan, client: Any) -> ContainerPlan:
        """Adapt the plan to the engine's capabilities, and record what the user should know of them."""
        if self._survey is None:
            self._survey = engine.survey(client)
            engine.sweep(client)
            sweep()
        self.runtime = self._survey.runtime(self._choice.runtime)
        self.warning = self._survey.warning(self.runtime)
        gvisor = self.runtime == engine.STRONG_RUNTIME
        return replace(
            plan,
            seccomp=seccomp_profile(as_path=self._survey.is_podman, for_gvisor=gvisor),
            is_podman=self._survey.is_podman,
            runtime=None if self.runtime == self._survey.default_runtime else self.runtime,
            processes=PROCESSES + (GVISOR_THREADS if gvisor else 0),
        )


class _Container:
    """A worker in a running container.

    Args:
        client: The engine's client.
        number: The container's id.
        stream: The connection to it through the engine, which is the wire.
        context: Where the worker finds the context.
        undo: Releases everything.
        in_gvisor: Whether the container's kernel is gVisor's.
    """

    has_language = False

    def __init__(
        self,
        client: Any,
        number: str,
        stream: AttachedSocket,
        context: Mapping[str, Any],
        undo: ExitStack,
        *,
        in_gvisor: bool,
    ) -> None:
        self._client, self._number, self._in_gvisor = client, number, in_gvisor
        self.wire, self.outputs = stream, stream.outputs
        self.context = context
        self._undo = undo
        self.ran_out_of_memory = False

    def ease(self) -> None:
        """Do nothing: we cannot change the limits of a container's process."""

    def interrupt(self) -> bool:
        """Interrupt the running cell, through the relay; see `WorkerProcess.interrupt`."""
        return self.wire.interrupt()

    def kill(self) -> None:
        """Close the container's input, which ends it; see `WorkerProcess.kill`. `reap` makes sure of that."""
        with suppress(OSError):
            self.wire.shutdown(socket.SHUT_RDWR)

    async def reap(self) -> str:
        """Remove the container and release its resources; see `WorkerProcess.reap`."""
        return await anyio.to_thread.run_sync(self._reap)

    def _reap(self) -> str:
        with self._undo:
            if self.wire.problem:
                return f"it broke the protocol: {self.wire.problem}"
            if not self.wire.has_ended:
                return "it was killed"
            state = engine.end_state(self._client, self._number)
            ending = engine.ContainerExit.of(self.wire.last_words, state, in_gvisor=self._in_gvisor)
            self.ran_out_of_memory = ending.for_memory
            return ending.how


def _running(client: Any, plan: ContainerPlan, undo: ExitStack) -> tuple[str, AttachedSocket]:
    """Create, attach to and start a container; return its id and the connection."""
    number = engine.create(client, container_config(plan))
    undo.callback(engine.remove, client, number)
    stream = engine.attach(client, number)
    try:
        with engine.explained("the container cannot be started"):
            client.start(number)
    except BaseException:
        stream.discard()
        raise
    return number, stream


@contextmanager
def _shared(fd: int) -> Iterator[str]:
    """Yield the path of a file that any user can read where it is mounted: the file itself, or a copy.

    A copy is placed where no other user can reach it. The file itself is used if its path cannot be made to refer to
    another file, since the engine may read files that we may not.
    """
    own = _path_of(fd)
    if own is not None:
        yield own
        return
    with private_folder() as folder:
        path = folder / "context"
        with path.open("wb") as copy:
            at = 0
            while piece := os.pread(fd, _COPY_BYTES, at):
                copy.write(piece)
                at += len(piece)
        path.chmod(0o444)
        yield str(path)


def _path_of(fd: int) -> str | None:
    """Return the path of a world-readable file, if only we or root could replace the file at that path."""
    ours = (0, os.geteuid())
    status = os.fstat(fd)
    try:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        named = path.lstat()
        folders = [folder.stat() for folder in path.parents]
    except OSError:  # the file is gone, or this is not Linux
        return None
    # In a folder with the sticky bit, such as /tmp, others can create files but not replace ours.
    closed = all(f.st_uid in ours and (not f.st_mode & 0o022 or f.st_mode & stat.S_ISVTX) for f in folders)
    same = (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)
    return str(path) if closed and same and named.st_uid in ours and status.st_mode & stat.S_IROTH else None
