"""`docker`: cells run in a container that has nothing but a Python, no network and no rights."""

from rlmbox.sandboxes.docker._sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
