"""Checks of a cell before it is run, in any sandbox."""

from __future__ import annotations

from rlmbox.types import Cell, CellError, CellLimits, Execution


def refused(cell: Cell, limits: CellLimits) -> Execution | None:
    """Return the execution of a cell that is too long to be run; None where it is not.

    Args:
        cell: The cell.
        limits: What says how long it may be.
    """
    if len(cell.code.encode("utf-8", "surrogatepass")) <= limits.code_bytes:
        return None
    message = f"a cell may have at most {limits.code_bytes:,} bytes of code"
    return Execution("error", error=CellError("ValueError", message, f"ValueError: {message}"))
