"""Whether containers can be started here."""

from functools import cache

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import _engine as engine


@cache
def why_no_docker() -> str:
    """Gives why `DockerSandbox` cannot be tried here, or '' where it can."""
    try:
        with engine.connect(None) as client, engine.explained(f"the engine has no image {engine.DEFAULT_IMAGE}"):
            client.inspect_image(engine.DEFAULT_IMAGE)
    except SandboxUnavailable as error:
        return str(error)
    return ""


@cache
def runtimes() -> tuple[str, ...]:
    """Gives the runtimes that this sandbox can be tried with."""
    if why_no_docker():
        return ()
    with engine.connect(None) as client:
        found = engine.survey(client)
    return tuple(name for name in ("runc", "crun", "runsc") if name in {*found.runtimes, found.default_runtime})


@cache
def is_podman() -> bool:
    """Whether the engine is Podman's service."""
    if why_no_docker():
        return False
    with engine.connect(None) as client:
        return engine.survey(client).is_podman
