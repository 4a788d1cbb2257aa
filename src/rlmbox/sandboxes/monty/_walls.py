"""The kernel's walls around a worker of Monty, where they hold."""

from __future__ import annotations


def launcher() -> str | None:
    """Return the program that starts a worker; None for Monty's own."""
    return None
