"""What the deterministic subset costs: steps per second, bombs, session start, and regular expressions over 10 MB.

    python bench/subset.py

Each bomb runs in a process of its own, in which nothing ran before, so that the growth is its own.
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


def main() -> None:
    print("steps per second of CPU time")
    for name, code in LOOPS.items():
        rates = []
        for _ in range(3):
            own = session(StepLimits(steps=10**9))
            prepared = own.prepare(code)
            began = time.process_time()
            steps = own.run(prepared).steps
            rates.append(steps / (time.process_time() - began))
        print(f"  {name:<14} {max(rates) / 1e6:.2f} million")
    starts = [timed(lambda: session(StepLimits())) for _ in range(200)]
    print(f"session start    {statistics.median(starts) * 1e3:.2f} ms")
    print("bombs, each refused in")
    worst = (0.0, 0.0)
    for name in AT_ONCE:
        took, grown, end = bomb(bombs()[name])
        worst = max(worst[0], took), max(worst[1], grown)
        print(f"  {name:<26} {took:6.1f} ms {grown:5.1f} MiB  {end}")
    print(f"  worst: {worst[0]:.1f} ms, {worst[1]:.1f} MiB")
    print("re.findall over 10 MB")
    for name, (pattern, count) in PATTERNS.items():
        unit = "user1234567@example " + "lorem ipsum " * (10_000_000 // count // 12 - 2)
        text = (unit * (10_000_000 // len(unit) + 1))[:10_000_000]
        own = session(StepLimits(steps=10**7), context=text)
        prepared = own.prepare(f"found = re.findall({pattern!r}, context)")
        ours = min(timed(lambda own=own, prepared=prepared: own.run(prepared)) for _ in range(3))
        python = min(timed(lambda text=text, pattern=pattern: re.findall(pattern, text)) for _ in range(3))
        matches = len(own.variables["found"])
        each = f", {ours / matches * 1e6:.1f} us a match" if matches else ""
        print(f"  {name:<16} {ours * 1e3:6.1f} ms, re {python * 1e3:6.1f} ms, {ours / python:.2f} times{each}")
    text = "lorem ipsum dolor " * 560_000
    own = session(default_limits("wide"), context=text)
    for code in ("len(re.findall('qqq', context))", "len(context.replace('lorem', 'ipsum'))"):
        result = own.run(own.prepare(code))
        print(f"under the default steps: {code} {'takes ' + str(result.steps) if not result.error else result.error}")


if __name__ == "__main__":
    main()
