"""The options of a cell, as they come from the command line."""

from __future__ import annotations

import math

from rlmbox.errors import ConfigError
from rlmbox.types import CellLimits


def cell_limits(timeout_s: float | None, memory_mb: float | None) -> CellLimits:
    """Return the limits of a cell.

    Args:
        timeout_s: Seconds that it may run; None for the library's default.
        memory_mb: MiB that it may use beyond the context; None for the library's default.

    Raises:
        ConfigError: An option is not a number above 0.
    """
    default = CellLimits()
    for name, value in (("--cell-timeout", timeout_s), ("--memory", memory_mb)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is a number above 0, not {value:g}")
    return CellLimits(
        cell_timeout_s=default.cell_timeout_s if timeout_s is None else timeout_s,
        memory_bytes=default.memory_bytes if memory_mb is None else int(memory_mb * 2**20),
    )
