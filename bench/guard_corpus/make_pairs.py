"""Makes src/rlmbox/guard/pairs.bin: how rare each pair of characters is in the words of ordinary text.

The text is what an installation of Python has: the standard library's code and docstrings and the texts of installed
packages. Only files whose path's CRC is even are read; the odd half is kept for measuring (`bench/guard.py`).
Lines with digests (lock files, tables of test data) are left out, because keys look like them.
"""

from __future__ import annotations

import math
import re
import sys
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rlmbox.guard.rarity import ALPHABET, SCALE

WORDS = re.compile(r"[0-9A-Za-z_+/=-]{3,80}")
DIGESTS = re.compile(r"[0-9a-fA-F]{32}|[0-9A-Za-z+/]{44}|\\x[0-9a-f]{2}")
SUFFIXES = {".py", ".pyi", ".txt", ".md", ".rst", ".toml", ".cfg", ".json", ".html", ".js", ".css", ".yml"}
MAX_FILE_BYTES = 200_000


def ordinary_files(*, tuning: bool) -> Iterator[Path]:
    """Yields the files of one half, in an order that does not depend on the machine."""
    paths = sysconfig.get_paths()
    for root in (Path(paths["stdlib"]), Path(paths["purelib"])):
        for path in sorted(root.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
                name = str(path.relative_to(root))
                is_even = zlib.crc32(name.encode()) % 2 == 0
                if is_even == tuning and "site-packages" not in name and "RECORD" not in path.name:
                    yield path


def main() -> int:
    size = 0
    pairs: Counter[tuple[str, str]] = Counter()
    for path in ordinary_files(tuning=True):
        text = path.read_text("utf-8", "replace")
        size += len(text)
        for line in text.splitlines():
            if len(line) <= 400 and not DIGESTS.search(line):
                for word in WORDS.findall(line):
                    pairs.update(pairwise(word))
    table = bytearray()
    total = sum(pairs.values())
    for first in ALPHABET:
        of_first = sum(pairs[first, second] for second in ALPHABET)
        for second in ALPHABET:
            likely = (pairs[first, second] + 0.5) / (of_first + 0.5 * len(ALPHABET))
            table.append(min(255, round(-math.log2(likely) * SCALE)))
    Path(sys.argv[1] if len(sys.argv) > 1 else "src/rlmbox/guard/pairs.bin").write_bytes(table)
    print(f"{size:,} characters, {total:,} pairs, {len(table):,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
