"""`monty`: cells run in pydantic-monty, a small Python interpreter written in Rust, in a worker process."""

from rlmbox.sandboxes.monty._sandbox import MontySandbox

__all__ = ["MontySandbox"]
