"""`subset`: cells run in a deterministic interpreter for a part of Python that can only compute."""

from rlmbox.sandboxes.subset._sandbox import SubsetSandbox

__all__ = ["SubsetSandbox"]
