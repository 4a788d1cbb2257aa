"""Whether containers can be started here."""

from functools import cache
from pathlib import Path

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker._wire import Door

RELAYED = " relayed"
"""Ends the name of a way in which a runtime that could do without has everything pass the engine."""


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


def ways() -> tuple[str, ...]:
    """Gives the runtimes, and those again where a wire past the engine is possible but is not to be had."""
    return (*runtimes(), *(name + RELAYED for name in runtimes() if name != engine.STRONG_RUNTIME))


class ShutDoor(Door):
    """A door that no container can go through, as where a policy of the machine forbids it."""

    def __init__(self) -> None:
        super().__init__()
        Path(self.path).chmod(0o600)


@cache
def is_podman() -> bool:
    """Whether the engine is Podman's service."""
    if why_no_docker():
        return False
    with engine.connect(None) as client:
        return engine.survey(client).is_podman
