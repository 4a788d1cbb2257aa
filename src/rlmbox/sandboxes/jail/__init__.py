"""`jail`: cells run in CPython behind the Linux kernel's walls. The strongest sandbox that needs no installation."""

from rlmbox.sandboxes.jail._sandbox import JailSandbox

__all__ = ["JailSandbox"]
