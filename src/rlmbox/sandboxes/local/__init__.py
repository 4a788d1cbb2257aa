"""`local`: cells run in a plain child process, with no isolation at all. For development only."""

from rlmbox.sandboxes.local._sandbox import LocalSandbox

__all__ = ["LocalSandbox"]
