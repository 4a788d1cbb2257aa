"""A mutation fuzzer for the `subset` interpreter: cells of the parity corpus and of the bombs, cut, joined and changed.

    python bench/fuzz_subset.py 200000

Each input has to end in a structured result. Run it in a process of its own, since what it looks for is a crash.
"""

import ast
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "subset"))

from bombs import ZLIB_BOMB, bombs
from cpython import CONTEXT, QUERY, cells

from rlmbox.sandboxes.subset.errors import SubsetError
from rlmbox.sandboxes.subset.evaluate import SubsetSession
from rlmbox.sandboxes.subset.grammar import table
from rlmbox.sandboxes.subset.meter import StepLimits
from rlmbox.sandboxes.subset.snapshot import snapshot

LIMITS = StepLimits(steps=1_500, memory_bytes=4 * 2**20)
WORDS = [
    *(row.name.rpartition(".")[2] for row in table()),
    *(row.example for row in table() if row.example),
    *[
        "10**9",
        "-1",
        "0",
        "None",
        "True",
        "'a'",
        "b'x'",
        "''",
        "[]",
        "{}",
        "()",
        "{1}",
        "1.5",
        "context",
        "query",
        "lambda:",
        "*",
        "**",
        ":=",
        ":",
        ",",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=",
        "<",
        "|",
    ],
    *(
        " in ",
        " if ",
        " else ",
        " for x in ",
        " and ",
        " not ",
        "\n",
        "\n    ",
        "\\",
        "é",
        "\ud800",
        "\x00",
        "{0.__class__}",
    ),
    *(
        "__class__",
        "__globals__",
        "f'{x}'",
        "f'{x!r:>9}'",
        "'{}'.format(",
        "'%s' % ",
        "1e400",
        "0x",
        "@",
        ";",
        "global x",
    ),
]


def mutated(chance: random.Random, corpus: list[str]) -> str:
    code = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        at = chance.randrange(len(code) + 1)
        end = min(len(code), at + int(chance.expovariate(0.1)))
        way = chance.randrange(7)
        if way == 0:
            code = code[:at] + code[end:]
        elif way == 1:
            code = code[:at] + chance.choice(WORDS) + code[at:]
        elif way == 2:
            code = code[:at] + chance.choice(WORDS) + code[end:]
        elif way == 3:
            other = chance.choice(corpus)
            cut = chance.randrange(len(other) + 1)
            code = code[:at] + other[cut : cut + chance.randrange(80)] + code[at:]
        elif way == 4:
            lines = code.split("\n")
            lines.insert(chance.randrange(len(lines) + 1), chance.choice(chance.choice(corpus).split("\n")))
            code = "\n".join(lines)
        elif way == 5:
            code = code[:at] + code[at:end] * chance.randrange(2, 30) + code[end:]
        else:
            code = code + "\n" + chance.choice(corpus)
    return code[:5_000]


Place = tuple[int, int, int]
"""Line, from 0, and first and last column of an expression."""


def crossed(chance: random.Random, places: list[tuple[list[str], list[Place]]], expressions: list[str]) -> str:
    """Put expressions of other cells into the places of expressions of one."""
    lines, found = chance.choice(places)
    lines = lines.copy()
    changed: set[int] = set()
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        line, first, last = chance.choice(found)
        if line not in changed:
            changed.add(line)
            lines[line] = lines[line][:first] + chance.choice(expressions) + lines[line][last:]
    return "\n".join(lines)


def taken_apart(corpus: list[str]) -> tuple[list[tuple[list[str], list[Place]]], list[str]]:
    places, expressions = [], []
    for code in corpus:
        lines = code.split("\n")
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        found = [
            (node.lineno - 1, node.col_offset, node.end_col_offset or 0)
            for node in ast.walk(tree)
            if isinstance(node, ast.expr)
            and node.lineno == node.end_lineno <= len(lines)  # Python's lines end at more characters than ours
            and lines[node.lineno - 1].isascii()
        ]
        if found:
            places.append((lines, found))
            expressions += [lines[line][first:last] for line, first, last in found]
    return places, expressions


def main(count: int, seed: int) -> None:
    chance = random.Random(seed)
    corpus = [*cells().values(), *(code for code in bombs().values() if len(code) < 5_000)]
    places, expressions = taken_apart(corpus)
    ends: Counter[str] = Counter()
    slowest, began = (0.0, ""), time.monotonic()
    highest = 80.0
    for number in range(count):
        code = crossed(chance, places, expressions) if chance.random() < 0.7 else mutated(chance, corpus)
        written: list[int] = []
        session = SubsetSession(
            chance.choice(("wide", "wide", "wide", "strict")),
            LIMITS,
            lambda text, written=written: written.append(len(text)),
            {"context": CONTEXT, "query": QUERY, "zlib_bomb": ZLIB_BOMB[:1000]},
        )
        at = time.process_time()
        result = session.run(session.prepare(code))
        assert result.error is None or isinstance(result.error, SubsetError), code
        assert result.steps <= LIMITS.steps * 1.1 or result.error is not None, (result.steps, code)
        ends[result.error.code if result.error else "ok"] += 1
        if result.error and "interpreter failed" in result.error.message:
            print("FAULT", repr(code), result.error.message, flush=True)
        if not number % 20:
            snapshot(session)
        took = time.process_time() - at
        slowest = max(slowest, (took, code))
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if now > highest + 20:
            print(f"grew to {now:.0f} MiB: {code[:400]!r}", flush=True)
            highest = now
        if not number % 10_000:
            print(number, f"{time.monotonic() - began:.0f} s", dict(ends.most_common(4)), flush=True)
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:,} inputs in {time.monotonic() - began:.0f} s, {size:.0f} MiB at the highest; ends: {dict(ends)}")
    print(f"slowest {slowest[0] * 1e3:.0f} ms: {slowest[1][:300]!r}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
