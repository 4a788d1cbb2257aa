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


def _zeros(millions: int) -> bytes:
    """Compress millions of zeros as `zlib.compress` would, in no time: parts between full flushes can be repeated."""
    packing = zlib.compressobj(9)
    parts = [packing.compress(bytes(10**6)) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    checksum = (millions * 10**6 % 65_521) << 16 | 1
    return parts[0] + parts[1] * (millions - 1) + packing.flush()[:-4] + checksum.to_bytes(4, "big")


ZLIB_BOMB = _zeros(200)
"""200 million bytes of zero, 200 thousand when compressed."""


def bombs() -> dict[str, str]:
    """Return the cells by name."""
    text = Path(__file__).with_name("bombs.txt").read_text("utf-8")
    blocks = (block.split("\n", 1) for block in text.removeprefix("### ").split("\n### "))
    return {name: _MADE.get(code.strip("\n"), code.strip("\n")) for name, code in blocks}
