"""A tree that grows, of which a terminal shows the newest lines while it is live."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.spinner import Spinner
from rich.style import Style
from rich.text import Text

_FIRST_LINES = 2  # the root and the question
_KEPT_LINES = _FIRST_LINES + 1  # and the line that tells how many are not shown
_STATUS_LINES = 1
_SPINNER_COLUMNS = 3  # and what keeps it off the last column


class NewestLines:
    """The part of a tree that is shown: all of it at the end, and before that the lines that fit, the newest last.

    A live display that is higher than its terminal cannot be drawn again in place, and would show its oldest lines.

    Args:
        tree: The tree.
        status: The last line while more is to come, as `str()` of it has it.

    Attributes:
        is_live: True as long as more is to come.
    """

    def __init__(self, tree: RenderableType, status: object) -> None:
        self._tree = tree
        self._status = status
        self._spinner: Spinner | None = None
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
            yield self._last_line(console, options.max_width)

    def _last_line(self, console: Console, width: int) -> RenderableType:
        if self._spinner is None:
            self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        text = Text(str(self._status), style="dim")
        text.truncate(max(1, width - _SPINNER_COLUMNS), overflow="crop" if console.options.ascii_only else "ellipsis")
        self._spinner.update(text=text)
        return self._spinner
