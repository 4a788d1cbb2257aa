"""What `docker` says of an engine or an image that it cannot use, and how an image is made."""

import io
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker import _sandbox as module
from rlmbox.sandboxes.docker import image as docker_image
from rlmbox.sandboxes.docker._config import (
    container_config,
)
from rlmbox.types import Cell
from sandboxes.docker_engine import runtimes
from sandboxes.docker_here import (
    LIMITS,
    containers,
    needs_engine,
    needs_runc,
    unavailable,
)


async def test_without_an_engine_it_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    assert f"no container engine answers at unix://{tmp_path}/none.sock" in await unavailable(DockerSandbox())
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(Path, "is_socket", lambda _: False)
    assert "start Docker, or Podman's service" in await unavailable(DockerSandbox())


async def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    assert await unavailable(DockerSandbox()) == engine._NO_SDK


@pytest.mark.parametrize("address", ["ssh://user@host", "https://host:2376", "npipe:////./pipe/docker_engine"])
async def test_an_engine_that_cannot_be_attached_to_is_refused(address: str) -> None:
    pytest.importorskip("docker")
    assert "ssh -nNT -L" in await unavailable(DockerSandbox(engine_url=address))


def test_a_directory_without_python_is_no_image(tmp_path: Path) -> None:
    told = io.StringIO()
    assert docker_image.main(["--from-root", str(tmp_path)], told) == 1
    assert (
        told.getvalue()
        == f"{tmp_path} has no python3 in usr/bin or usr/local/bin, so it cannot be the root of an image\n"
    )


@needs_runc
async def test_a_container_that_ends_at_once_is_no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = {"Entrypoint": ["python3", "-c", "1 / 0"]}
    monkeypatch.setattr(module, "container_config", lambda plan: {**container_config(plan), **failing})
    sandbox = DockerSandbox(runtime="runc")
    with anyio.fail_after(10), pytest.raises(SandboxUnavailable, match=r"(?s)\(exit status 1\).*ZeroDivisionError"):
        await sandbox.start(LIMITS, Context.from_text("x"), {})
    await sandbox.close()
    assert containers() == []


@needs_engine
async def test_a_missing_image_is_told_with_the_command_that_makes_it() -> None:
    assert "pull it with `docker pull no-such-image:1`" in await unavailable(DockerSandbox("no-such-image:1"))
    assert containers() == []


@needs_engine
async def test_a_missing_default_image_is_told_with_the_command_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEFAULT_IMAGE", "no-such-image:1")
    told = await unavailable(DockerSandbox("no-such-image:1"))
    assert "`python -m rlmbox.sandboxes.docker.image --from-host`" in told


@needs_engine
async def test_a_missing_runtime_is_told_with_those_there_are() -> None:
    told = await unavailable(DockerSandbox(runtime="no-such-runtime"))
    assert "the engine has no runtime 'no-such-runtime'; it has " in told
    assert runtimes()[0] in told
    assert containers() == []


@needs_engine
def test_an_image_is_built_from_the_dockerfile_and_from_a_root() -> None:
    tag = "rlmbox-python:test"
    told = io.StringIO()
    assert docker_image.main(["--base", engine.DEFAULT_IMAGE, "--tag", tag], told) == 0, told.getvalue()
    assert told.getvalue() == f"made the image {tag}\n"
    with engine.connect(None) as client:
        assert client.inspect_image(tag)["Config"]["User"] == "10001:10001"
        client.remove_image(tag, force=True)


@needs_engine
async def test_the_image_of_a_root_file_system_runs(tmp_path: Path) -> None:
    tag = "rlmbox-python:root"
    root = tmp_path / "root"
    with engine.connect(None) as client:
        packed = tmp_path / "root.tar"
        number = client.create_container_from_config({"Image": engine.DEFAULT_IMAGE, "Cmd": ["python3"]})["Id"]
        with packed.open("wb") as file, closing(client.export(number)) as pieces:
            file.writelines(pieces)
        client.remove_container(number)
        await anyio.run_process(["tar", "-x", "-C", str(tmp_path), "--one-top-level=root", "-f", str(packed)])
        docker_image.import_root(root, tag=tag)
        sandbox = DockerSandbox(tag)
        try:
            await sandbox.start(LIMITS, Context.from_text("x"), {})
            assert (await sandbox.execute(Cell("6 * 7"))).value == 42
        finally:
            await sandbox.close()
            client.remove_image(tag, force=True)
