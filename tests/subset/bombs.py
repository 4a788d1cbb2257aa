"""Cells that would take far too much time or memory, shared by the tests and the benchmark."""

import zlib
from pathlib import Path

_MADE = {
    "@parentheses@": "(" * 10_000 + "1" + ")" * 10_000,
    "@brackets@": "[" * 9_000 + "]" * 9_000,
    "@braces@": "{1:" * 5_000 + "1" + "}" * 5_000,
    "@minus@": "-" * 19_000 + "1",
    "@attributes@": "x" + ".a" * 9_000,
    "@calls@": "f" + "()" * 9_000,
    "@long@": "x = '" + "a" * 2_000_000 + "'",
}
ZLIB_BOMB = zlib.compress(bytes(200_000_000), 9)
"""200 million bytes of zero, 194 thousand when compressed."""


def bombs() -> dict[str, str]:
    """Return the cells by name."""
    text = Path(__file__).with_name("bombs.txt").read_text("utf-8")
    blocks = (block.split("\n", 1) for block in text.removeprefix("### ").split("\n### "))
    return {name: _MADE.get(code.strip("\n"), code.strip("\n")) for name, code in blocks}
