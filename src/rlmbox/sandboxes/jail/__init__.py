"""`jail`: cells run in CPython, isolated by the Linux kernel. The strongest sandbox that needs no installation."""

from rlmbox.sandboxes.jail._sandbox import JailSandbox

__all__ = ["JailSandbox"]
