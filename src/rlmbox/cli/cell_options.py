"""The options of a cell, as they come from the command line."""

from __future__ import annotations

import math
from dataclasses import replace

from rlmbox.errors import ConfigError
from rlmbox.types import CellLimits


def cell_limits(timeout_s: float | None, memory_mb: float | None, otherwise: CellLimits | None = None) -> CellLimits:
    """Return the limits of a cell.

    Args:
        timeout_s: Seconds that it may run; None for what counts otherwise.
        memory_mb: MiB that it may use beyond the context; None for what counts otherwise.
        otherwise: The limits without these options; None for the library's defaults.

    Raises:
        ConfigError: An option is not a number above 0.
    """
    for name, value in (("--cell-timeout", timeout_s), ("--memory", memory_mb)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be a number above 0, not {value:g}")
    limits = otherwise or CellLimits()
    return replace(
        limits,
        cell_timeout_s=limits.cell_timeout_s if timeout_s is None else timeout_s,
        memory_bytes=limits.memory_bytes if memory_mb is None else int(memory_mb * 2**20),
    )


def with_image(sandbox: str, image: str | None) -> str:
    """Return a sandbox's name with the image that it starts.

    Args:
        sandbox: The name.
        image: The image of the docker sandbox, which is for no other; None for its own.
    """
    return f"{sandbox}:{image}" if image and sandbox == "docker" else sandbox


def image_note(sandbox: str, image: str | None) -> str | None:
    """Return a line that says that an image is not used, or None where there is none, or it is.

    Args:
        sandbox: The sandbox's name.
        image: As for `with_image`.
    """
    if not image or sandbox == "docker":
        return None
    return f"the image {image} is not used: it is for --sandbox docker, and this is {sandbox}"
