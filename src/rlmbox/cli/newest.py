"""A tree that grows, of which a terminal shows the newest lines while it is live."""

from __future__ import annotations

import time

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.spinner import Spinner
from rich.style import Style
from rich.text import Text

_FIRST_LINES = 2  # the root and the question
_KEPT_LINES = _FIRST_LINES + 1  # and the line that tells how many are not shown
_STATUS_LINES = 1


class NewestLines:
    """The part of a tree that is shown: all of it at the end, and before that the lines that fit, the newest last.

    A live display that is higher than its terminal cannot be drawn again in place, and would show its oldest lines.

    Args:
        tree: The tree.

    Attributes:
        is_live: Whether more is to come. While it is, the last line tells that, and how long it has taken.
    """

    def __init__(self, tree: RenderableType) -> None:
        self._tree = tree
        self._spinner: Spinner | None = None
        self._began = time.monotonic()
        self.is_live = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        lines = console.render_lines(self._tree, options.update(height=None), pad=False)
        room = max(1, console.size.height - _KEPT_LINES - _STATUS_LINES - 1)
        if self.is_live and len(lines) > room + _KEPT_LINES:
            hidden = len(lines) - room - _FIRST_LINES
            above = Segment(f"  ... {hidden:,} lines above, shown at the end"[: options.max_width], Style(dim=True))
            lines = [*lines[:_FIRST_LINES], [above], *lines[-room:]]
        for line in lines:
            yield from line
            yield Segment.line()
        if self.is_live:
            yield self._status(console)

    def _status(self, console: Console) -> RenderableType:
        elapsed_s = int(time.monotonic() - self._began)
        minutes, seconds = divmod(elapsed_s, 60)
        elapsed = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        if self._spinner is None:
            self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        self._spinner.update(text=Text(elapsed, style="dim"))
        return self._spinner
