"""Steps that all sandboxes share: a check of a cell before it runs, and a bound on its messages afterwards."""

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


def bounded(text: str, max_chars: int) -> str:
    """Return a text without its middle where it is longer than allowed.

    Args:
        text: The text.
        max_chars: Characters to keep; the note of what was dropped comes on top.
    """
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} ... [{len(text) - 2 * half:,} characters dropped] ... {text[-half:]}"
