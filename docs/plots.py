"""Plots of `bench/RESULTS.md` as SVG, one a section: what was measured beside what was asked for.

They are drawn when the site is built, so a plot never shows other figures than the table under it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_ROW_PX, _LABEL_PX, _BAR_PX, _EDGE_PX = 22, 520, 300, 70
_DECADES_BELOW = 2  # the scale is of powers of ten: it begins at a hundredth of what was asked for
_STYLE = (
    "text{font:13px sans-serif;fill:#555} .met{fill:#4a8f5c} .missed{fill:#c0562f} "
    "line{stroke:#888;stroke-width:1} .asked{stroke-dasharray:4 3}"
)


@dataclass(frozen=True)
class Row:
    """A figure of a section.

    Attributes:
        name: What was measured.
        bound: At most so much was asked for, in the figure's unit; None where nothing was.
        measured: What was measured, in the same unit.
        shown: The same with its unit, as the table has it.
    """

    name: str
    bound: float | None
    measured: float
    shown: str


def _rows(body: str) -> Iterator[Row]:
    for line in body.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1]
        if len(cells) != 4 or not (measured := re.match(r"-?[\d.]+(?:e[+-]?\d+)?", cells[2])):
            continue
        bound = re.match(r"[\d.]+(?:e[+-]?\d+)?", cells[1])
        yield Row(cells[0], float(bound[0]) if bound else None, float(measured[0]), cells[2])


def plot(section: str) -> str | None:
    """Draw the figures of a section that something but 0 was asked for; None where there are none.

    A bar ends at what was measured, in parts of what was asked for, on a scale of powers of ten; the dashed line is
    what was asked for.
    """
    asked = [row for row in _rows(section) if row.bound]
    if not asked:
        return None
    most = max(1.0, *(row.measured / (row.bound or 1) for row in asked))
    decades = _DECADES_BELOW + max(0.3, math.log10(most))
    height = _ROW_PX * len(asked) + 30

    def x(ratio: float) -> float:
        return _LABEL_PX + _BAR_PX * max(0.005, (math.log10(max(ratio, 1e-9)) + _DECADES_BELOW) / decades)

    width = _LABEL_PX + _BAR_PX + _EDGE_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>Measured, in parts of what was asked for</title><style>{_STYLE}</style>",
    ]
    for n, row in enumerate(asked):
        ratio = row.measured / (row.bound or 1)
        y, kind = _ROW_PX * n + 4, "met" if ratio <= 1 else "missed"
        name = row.name.replace("`", "")
        name = name if len(name) <= 76 else name[:75] + "…"
        parts += [
            f'<text x="{_LABEL_PX - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect class="{kind}" x="{_LABEL_PX}" y="{y}" width="{x(ratio) - _LABEL_PX:.1f}" height="15"/>',
            f'<text x="{x(ratio) + 4:.1f}" y="{y + 12}">{html.escape(row.shown)}</text>',
        ]
    parts += [
        f'<line class="asked" x1="{x(1):.1f}" y1="0" x2="{x(1):.1f}" y2="{height - 18}"/>',
        f'<text x="{x(1):.1f}" y="{height - 4}" text-anchor="middle">asked for</text>',
        "</svg>",
    ]
    return "\n".join(parts)
