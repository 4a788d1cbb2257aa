"""`docker`: cells run in a container that has nothing but Python, no network and no privileges."""

from rlmbox.sandboxes.docker._sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
