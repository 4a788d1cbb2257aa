"""What opening, addressing and searching a context of gigabytes costs, beside ripgrep in the same run.

    python bench/contexts.py --mb 256

The files are made in the temporary directory (`--in` names another) and deleted afterwards, with the cache. All is
measured with the file in the page cache; the better of three, in turn with ripgrep, because the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Figure
from rlmbox import Context
from rlmbox.context.storage.index import count_chars
from rlmbox.context.storage.source import InFile

LINES = 23_000
ASCII_WORDS = ("handled in time", "no such user", "by worker of the pool")
OTHER_WORDS = ("größer als nötig", "São Paulo, coração", "by worker 漢字 of the pool")
RUNS = 3
SLICES = 10_000
SLICE_CHARS = 2_000

# What ours may take, as a multiple of ripgrep's time.
LITERALS = (("literal count, rare", "ERROR code", 3), ("literal count, absent", "worker of a pool", 3))
PATTERNS = (
    ("expression with a literal prefix, about 1,000 hits", r"ERROR code=\d+", 5),
    ("expression with a literal later on", r"[a-z]+ ERROR code=\d+", 12),
    ("expression without a literal", r"[A-Z]{5,}|\d{9}", 12),
)
IGNORING_CASE = ("literal ignoring case", "error CODE", 12)


@contextmanager
def file_of(size_bytes: int, words: tuple[str, ...], folder: str | None) -> Iterator[Path]:
    """Makes a log of about a size, with an error about each 2 MB, deleted at the end with the cache."""
    dice = random.Random(1)
    lines = [
        f"{i:08d} INFO request id={dice.randrange(10**7):07d} {dice.choice(words)} {i % 997:03d} ms, svc-{i % 13}\n"
        for i in range(LINES)
    ]
    lines[LINES // 2] = f"{LINES // 2:08d} and then ERROR code=7431\n"
    block = "".join(lines).encode()
    with tempfile.TemporaryDirectory(prefix="rlmbox-bench-", dir=folder) as place:
        path = Path(place, "large.log")
        with path.open("wb") as file:
            for _ in range(max(1, size_bytes // len(block))):
                file.write(block)
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = place
        try:
            yield path
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def anonymous_mb() -> float:
    """Gives the memory of this process that is no file's."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith(("RssAnon", "RssShmem"))) / 1024


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_cache(path: Path) -> None:
    """Reads a file, so that it is in the page cache."""
    buffer = bytearray(1 << 22)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def opening_rows(path: Path, size: str) -> list[Figure]:
    Context.from_text("imports\n").metadata()
    before, times = anonymous_mb(), []
    for _ in range(RUNS):
        began = time.perf_counter()
        context = Context.from_path(path)
        context.metadata()
        times.append((time.perf_counter() - began) * 1_000)
        grown = anonymous_mb() - before
        del context
    return [
        Figure(f"open {size} of ASCII text and its first `metadata()`", min(times), 50),
        Figure("the same: anonymous memory", max(0.0, grown), 5, "MB"),
        Figure("the same: until all is known but the lines", seconds(Context.from_path(path).prepare) * 1_000, None),
    ]


def search_rows(path: Path, size: str) -> list[Figure]:
    """Takes each search in turn with ripgrep's, which counts lines."""
    context = Context.from_path(path)
    context.line_count  # noqa: B018 - counted once, and kept
    before = anonymous_mb()
    rows = []
    for name, text, bound in LITERALS:
        rows += compared(name, size, lambda text=text: context.count(text), ("-c", "-F", text, str(path)), bound)
    for name, pattern, bound in PATTERNS:
        ours = lambda pattern=pattern: context.search(pattern, max_matches=10_000, timeout_s=60)  # noqa: E731
        rows += compared(name, size, ours, ("-c", pattern, str(path)), bound)
    name, text, bound = IGNORING_CASE
    ours = lambda: context.count(text, case_sensitive=False, timeout_s=60)  # noqa: E731
    rows += compared(name, size, ours, ("-c", "-i", "-F", text, str(path)), bound)
    return [*rows, Figure("anonymous memory after these searches", max(0.0, anonymous_mb() - before), 100, "MB")]


def compared(
    name: str, size: str, ours: Callable[[], object], arguments: tuple[str, ...], bound: float
) -> list[Figure]:
    plain = shutil.which("rg")
    times, others = [], []
    for _ in range(RUNS):
        times.append(seconds(ours))
        if plain:
            others.append(seconds(lambda: subprocess.run([plain, *arguments], capture_output=True)))
    rows = [Figure(f"{name}, {size}", min(times) * 1_000, None)]
    if others:
        rows.append(Figure(f"{name}: `rg`", min(others) * 1_000, None))
        rows.append(Figure(f"{name}: ours / `rg`", min(times) / min(others), bound, "times"))
    return rows


def position_rows(path: Path, size: str) -> list[Figure]:
    counts = count_chars(InFile(path))[1]
    assert counts
    taken = min(seconds(lambda: count_chars(InFile(path))) for _ in range(2))
    context = Context.from_path(path)
    dice = random.Random(2)
    context.prepare()
    context.line_count  # noqa: B018 - so that the thread that counts them is not in the way
    times = []
    for _ in range(SLICES):
        start = dice.randrange(context.length - SLICE_CHARS)
        began = time.perf_counter()
        text = context.slice(start, start + SLICE_CHARS)
        times.append((time.perf_counter() - began) * 1e6)
        assert len(text) == SLICE_CHARS
    return [
        Figure(f"index of the characters of {size} of multi-byte text", taken * 1_000, 1_500),
        Figure("the same: its size", counts.size_bytes / 1e6, 0.5, "MB"),
        Figure(f"a random slice of {SLICE_CHARS:,} characters of it", statistics.median(times), 60, "µs"),
    ]


def figures(size_mb: int = 2_048, folder: str | None = None) -> list[Figure]:
    """Measures all."""
    found, size = [], f"{size_mb:,} MB"
    with file_of(size_mb << 20, ASCII_WORDS, folder) as path:
        in_cache(path)
        found += [*opening_rows(path, size), *search_rows(path, size)]
    with file_of(size_mb << 20, OTHER_WORDS, folder) as path:
        in_cache(path)
        found += position_rows(path, size)
    return found


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=2_048, help="size of the text")
    parser.add_argument("--in", dest="folder", help="directory in which the files are made")
    arguments = parser.parse_args()
    for figure in figures(arguments.mb, arguments.folder):
        print(figure.row, flush=True)


if __name__ == "__main__":
    main()
