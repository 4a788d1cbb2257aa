"""Objects as a notebook and a prompt show them: short, and with every character of a text made harmless."""

from __future__ import annotations

import html
from collections.abc import Iterable

_MOST_REPR_CHARS = 120


def short_repr(text: str) -> str:
    """Return the `repr` of a text, cut where it is long.

    Args:
        text: Any text.
    """
    return repr(text if len(text) <= _MOST_REPR_CHARS else text[: _MOST_REPR_CHARS - 1] + "…")


def counted(number: int, what: str) -> str:
    """Return a number with its noun in the right form, such as `1 turn` and `2 turns`.

    Args:
        number: The number.
        what: The noun for one.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def html_text(text: str) -> str:
    """Return a text as HTML: no markup of its own counts, and what cannot be seen is written as an escape.

    Args:
        text: Any text, such as a model wrote it.
    """
    seen = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return html.escape(seen)


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with their values as a table in HTML.

    Args:
        rows: Name and value, as plain text; rows without a value are left out.
    """
    left = 'style="text-align:left"'
    cells = "".join(
        f"<tr><th {left}>{html_text(name)}</th><td {left}>{html_text(value)}</td></tr>" for name, value in rows if value
    )
    return f"<table>{cells}</table>"
