"""The step shared by all sandboxes before a cell runs: a check of its size."""

from __future__ import annotations

from rlmbox.types import Cell, CellError, CellLimits, Execution


def refused(cell: Cell, limits: CellLimits) -> Execution | None:
    """Return the failed execution of a cell that is too long to run; None if it is not.

    Args:
        cell: The cell.
        limits: The limits of a cell.
    """
    if len(cell.code.encode("utf-8", "surrogatepass")) <= limits.code_bytes:
        return None
    message = f"a cell may have at most {limits.code_bytes:,} bytes of code"
    return Execution("error", error=CellError("ValueError", message, f"ValueError: {message}"))
