"""Containers for tests, and which of them can be had here."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.types import CellLimits, HostFunction
from sandboxes.docker_engine import runtimes, why_no_docker
from sandboxes.repl import Repl

LIMITS = CellLimits(cell_timeout_s=10.0)
LONG = "é" * 40_000  # too long to be sent in the first frame
needs_engine = pytest.mark.skipif(bool(why_no_docker()), reason=why_no_docker())
each_runtime = pytest.mark.parametrize("runtime", runtimes() or [pytest.param("", marks=needs_engine)])
needs_runc = pytest.mark.skipif("runc" not in runtimes(), reason=why_no_docker() or "the engine has no runc")


@asynccontextmanager
async def docker(
    runtime: str | None = None, *functions: HostFunction, text: str = "text", limits: CellLimits = LIMITS
) -> AsyncIterator[Repl[DockerSandbox]]:
    sandbox = DockerSandbox(runtime=runtime or None)
    try:
        await sandbox.start(limits, Context.from_text(text), {f.name: f for f in functions}, query="why?")
        yield Repl(sandbox)
    finally:
        await sandbox.close()


def containers(owner: int | None = None) -> list[dict[str, Any]]:
    """Lists the containers of a process of ours, this one's unless told."""
    with engine.connect(None) as client:
        found = client.containers(all=True, filters={"label": [engine.LABEL]})
        mine = [one for one in found if one["Labels"][engine.OWNER_LABEL].split(":")[1] == str(owner or os.getpid())]
        return [client.inspect_container(one["Id"]) for one in mine]


def shared_copies() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("rlmbox-docker-*"))


async def unavailable(sandbox: DockerSandbox) -> str:
    """Starts a sandbox that must not start; gives why."""
    try:
        with pytest.raises(SandboxUnavailable) as raised:
            await sandbox.start(LIMITS, Context.from_text("x"), {})
    finally:
        await sandbox.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)
