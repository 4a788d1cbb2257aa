"""Tables that lose nothing on a narrow terminal: where they do not fit, each row becomes lines of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlmbox.guard.visible import printable

_GAP = 2


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    folds: Collection[str] = (),
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print a table, or where the terminal is too narrow for it, a block of lines for each row.

    Args:
        headings: The columns.
        rows: The cells, as plain text.
        right: Columns of figures, which stand at the right.
        folds: Columns that may be broken into several lines.
        title: Stands above it; the empty string for none.
        console: Where to print; None for standard output.
    """
    console = console or Console()
    table = Table(box=None, pad_edge=False, title=Text(printable(title)) if title else None)
    for heading in headings:
        table.add_column(
            Text(printable(heading)),  # which a user may have named, as an arm of an evaluation
            justify="right" if heading in right else "left",
            no_wrap=heading not in folds,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if _width(headings, rows, folds) <= console.width:
        console.print(table)
        return
    if title:
        console.print(Text(printable(title), style="italic"), soft_wrap=True)
    for row in rows:
        first, *others = zip(headings, row, strict=True)
        console.print(Text(printable(first[1]), style="bold"), soft_wrap=True)
        for heading, cell in others:
            console.print(Text(f"  {printable(heading)}: {printable(cell)}"), soft_wrap=True)


def _width(headings: Sequence[str], rows: Sequence[Sequence[str]], folds: Collection[str]) -> int:
    """Return how many columns of the terminal a table needs; rich itself would cut what may not be broken."""
    widths = (
        max(cell_len(word) for text in column for word in _pieces(printable(text), folded=heading in folds))
        for heading, *column in zip(headings, headings, *rows, strict=True)
    )
    return sum(widths) + _GAP * (len(headings) - 1)


def _pieces(text: str, *, folded: bool) -> Sequence[str]:
    return (text.split() if folded else text.splitlines()) or ("",)
