"""A terminal's screen, as far as the live tree uses one."""

import re

_CONTROL = re.compile(r"\x1b\[(\??)(\d*)(?:;\d+)*([A-Za-z])|\r|\n|[^\x1b\r\n]+")

_CUT = re.compile(r"\x1b(\[[\d;?]*)?\Z")


class Screen:
    """What a person sees of what was written to a terminal.

    Args:
        width: Columns.
        height: Rows.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._lines, self._row, self._column = [""], 0, 0
        self._begun = ""

    def feed(self, text: str) -> None:
        """Write to it; a sequence that is cut at the end waits for its rest."""
        text, self._begun = self._begun + text, ""
        if cut := _CUT.search(text):
            text, self._begun = text[: cut.start()], cut[0]
        for found in _CONTROL.finditer(text):
            if found[3] == "A":  # up, but never above the top of the screen
                self._row = max(self._row - int(found[2] or 1), len(self._lines) - self.height, 0)
            elif found[3] == "K":
                self._lines[self._row] = ""
            elif found[0] == "\r":
                self._column = 0
            elif found[0] == "\n":
                self._next_line()
            elif found[3] is None:
                self._put(found[0])

    def _next_line(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._lines):
            self._lines.append("")

    def _put(self, text: str) -> None:
        for character in text:
            if self._column == self.width:
                self._next_line()
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def visible(self) -> list[str]:
        """Return the rows that are on the screen."""
        return self._lines[-self.height :]

    def everything(self) -> list[str]:
        """Return the rows, with those that were scrolled out of sight."""
        return self._lines
