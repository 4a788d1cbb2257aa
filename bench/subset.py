"""What the deterministic subset costs: steps per second, bombs, session start, and regular expressions over 10 MB.

    python bench/run.py --only subset

Times are of the processor. Each bomb runs in a process of its own, in which nothing ran before, so that the growth is
its own.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "subset"))

from bombs import ZLIB_BOMB, bombs

from figures import Figure
from rlmbox.sandboxes.subset.evaluate import SubsetSession
from rlmbox.sandboxes.subset.meter import StepLimits
from rlmbox.sandboxes.subset.service import default_limits

AT_ONCE = (
    "text times a number",
    "nested list multiplication",
    "range as a list",
    "range summed",
    "zfill",
    "ljust",
    "center",
    "expandtabs",
    "replace growth",
    "join growth",
    "translate growth",
    "json indent",
    "json separators",
    "f-string width",
    "f-string precision",
    "format width",
    "percent width",
    "percent star width",
    "power",
    "shift",
    "factorial",
    "bytes of a number",
    "parentheses",
    "brackets",
    "minus signs",
    "attributes",
    "zlib bomb",
    "large repetition",
    "shared lists printed",
    "shared lists compared",
    "shared tuples as a key",
)
LOOPS = {
    "arithmetic": "total = 0\nfor i in range(200_000):\n    total += i % 7\n",
    "words": "d = {}\nfor w in 'a quick fox'.split() * 20_000:\n    if w > 'p':\n        d[w] = d.get(w, 0) + 1\n",
    "comprehension": "[i * i for i in range(200_000) if i % 3 == 0]",
    "calls": "def f(a, b):\n    return a + b\nt = 0\nfor i in range(100_000):\n    t = f(t, i)\n",
    "generator": "sum(i for i in range(300_000))",
}
PATTERNS = {
    "20,000 matches": (r"user(\d+)@", 20_000),
    "20,000 lines": (r"example (.*)", 20_000),
    "20,000 words": (r"\b\w+\d\b", 20_000),
    "20,000 addresses": (r"[\w.+-]+@[\w-]+", 20_000),
    "100,000 matches": (r"user(\d+)@", 100_000),
    "no match": (r"nothing(\d+)here", 20_000),
}


def session(limits: StepLimits, **names: object) -> SubsetSession:
    return SubsetSession("wide", limits, lambda text: None, names)


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def bomb(code: str) -> tuple[float, float, str]:
    """Return milliseconds, MiB of growth and the end of a bomb."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        own = session(default_limits("wide"), context="x", zlib_bomb=ZLIB_BOMB)
        own.run(own.prepare("x = 1"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        error = own.run(own.prepare(code)).error
        took = (time.process_time() - began) * 1e3
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        os.write(writing, f"{took}|{grown}|{error.code if error else 'ok'} {error.limit if error else ''}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        took, grown, end = answer.read().split("|")
    return float(took), float(grown), end


def steps_us(code: str) -> float:
    """Return how long a step of a loop takes, at best of three."""
    found = []
    for _ in range(3):
        own = session(StepLimits(steps=10**9))
        prepared = own.prepare(code)
        began = time.process_time()
        steps = own.run(prepared).steps
        found.append((time.process_time() - began) / steps * 1e6)
    return min(found)


def findall(pattern: str, count: int) -> tuple[float, float]:
    """Return how many times as long as in `re` a search takes, and microseconds for each match."""
    unit = "user1234567@example " + "lorem ipsum " * (10_000_000 // count // 12 - 2) + "\n"
    text = (unit * (10_000_000 // len(unit) + 1))[:10_000_000]
    own = session(StepLimits(steps=10**7), context=text)
    prepared = own.prepare(f"found = re.findall({pattern!r}, context)")
    ours, python = [], []
    for _ in range(7):  # by turns, because the machine is not the same from one second to the next
        ours.append(timed(lambda: own.run(prepared)))
        python.append(timed(lambda: re.findall(pattern, text)))
    return min(ours) / min(python), min(ours) / max(1, len(own.variables["found"])) * 1e6


def figures() -> list[Figure]:
    found = [Figure(f"a step: {name}", steps_us(code), 1, "us") for name, code in LOOPS.items()]
    starts = [timed(lambda: session(StepLimits())) * 1e3 for _ in range(200)]
    found.append(Figure("start of a session", statistics.median(starts), 1))
    worst = [bomb(bombs()[name]) for name in AT_ONCE]
    assert not [end for _, _, end in worst if end.startswith("ok")]
    found.append(Figure(f"{len(worst)} bombs, the slowest refusal", max(took for took, _, _ in worst), 50))
    found.append(Figure(f"{len(worst)} bombs, the most memory", max(grown for _, grown, _ in worst), 10, "MiB"))
    for name, (pattern, count) in PATTERNS.items():
        times, each_us = findall(pattern, count)
        few = count <= 20_000
        title = f"findall over 10 MB, {name}: `{pattern}`".replace("|", "\\|")
        found.append(Figure(f"{title}, beside `re`", times, 3 if few else None, "times"))
        if not few:
            found.append(Figure(f"{title}, for each match", each_us, 6, "us"))
    text = "lorem ipsum dolor " * 560_000
    for code in ("len(re.findall('qqq', context))", "len(context.replace('lorem', 'ipsum'))"):
        own = session(default_limits("wide"), context=text)
        result = own.run(own.prepare(code))
        assert result.error is None, result.error
        found.append(Figure(f"10 MB: `{code}`", result.steps, default_limits("wide").steps, "steps"))
    return found
