"""Steps shared by all sandboxes: checking a cell before it runs, and shortening its messages afterwards."""

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


def bounded(text: str, max_chars: int) -> str:
    """Return a text, without its middle if it is too long.

    Args:
        text: The text.
        max_chars: Number of characters to keep, in addition to the note about what was dropped.
    """
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} ... [{len(text) - 2 * half:,} characters dropped] ... {text[-half:]}"
