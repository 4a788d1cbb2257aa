"""A fuzzer for the `subset` interpreter that is guided by the lines it reaches; needs `pip install atheris`.

    python bench/fuzz_subset_guided.py 200000

It begins with the cells of the parity corpus and the bombs, changes them as `fuzz_subset.py` does and by bytes, and
keeps what reaches something new. Each input has to end in a structured result within its steps, what is alive
afterwards has to be within 110 % of the limit, and so has the growth of the process during it.
"""

import random
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests" / "subset")]

with atheris.instrument_imports(include=["rlmbox.sandboxes.subset"]):
    from rlmbox.sandboxes.subset.errors import SubsetError
    from rlmbox.sandboxes.subset.evaluate import SubsetSession
    from rlmbox.sandboxes.subset.meter import StepLimits, live_bytes
    from rlmbox.sandboxes.subset.snapshot import restore, snapshot

from bombs import ZLIB_BOMB, bombs  # noqa: E402 - after what is instrumented
from cpython import CONTEXT, QUERY, cells  # noqa: E402

from fuzz_subset import crossed, mutated, taken_apart  # noqa: E402

LIMITS = StepLimits(steps=1_500, memory_bytes=16 * 2**20)
SLACK_BYTES = 4 * 2**20  # of the allocator, which does not give back every page
CORPUS = [*cells().values(), *(code for code in bombs().values() if len(code) < 5_000)]
PLACES, EXPRESSIONS = taken_apart(CORPUS)
ENDS: Counter[str] = Counter()
HIGHEST = {"alive": 0.0, "growth": 0.0, "steps": 0}


def highest_bytes() -> int:
    """Return the most memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def change(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input: by its syntax mostly, by its bytes now and then."""
    chance = random.Random(seed)
    code = data.decode("utf-8", "replace")
    way = chance.random()
    if way < 0.05:
        return bytes(atheris.Mutate(data, max_size))
    if way < 0.85:
        places, _ = taken_apart([code])
        if places:
            return crossed(chance, places, EXPRESSIONS).encode("utf-8", "replace")[:max_size]
    return mutated(chance, [code, code, *CORPUS[:1]]).encode("utf-8", "replace")[:max_size]


def one_input(data: bytes) -> None:
    code = data.decode("utf-8", "replace")
    profile = "strict" if len(data) % 5 == 0 else "wide"
    names = {"context": CONTEXT, "query": QUERY, "zlib_bomb": ZLIB_BOMB[:1000]}
    session = SubsetSession(profile, LIMITS, lambda text: None, names)
    before, highest = resident_bytes(), highest_bytes()
    result = session.run(session.prepare(code))
    growth = max(resident_bytes(), highest_bytes() if highest_bytes() > highest else 0) - before
    assert result.error is None or isinstance(result.error, SubsetError), code
    assert result.error is None or "interpreter failed" not in result.error.message, (code, result.error)
    assert result.error is not None or result.steps <= LIMITS.steps, (result.steps, code)
    alive, _ = live_bytes([session.variables.values()], {id(CONTEXT), id(ZLIB_BOMB)}, 10**9)
    assert alive <= LIMITS.memory_bytes * 1.1, (alive, code)
    assert growth <= LIMITS.memory_bytes * 1.1 + SLACK_BYTES, (growth, code)
    ENDS[result.error.code if result.error else "ok"] += 1
    HIGHEST["alive"] = max(HIGHEST["alive"], alive / LIMITS.memory_bytes)
    HIGHEST["growth"] = max(HIGHEST["growth"], growth / LIMITS.memory_bytes)
    HIGHEST["steps"] = max(HIGHEST["steps"], result.steps)
    if sum(ENDS.values()) % 20 == 0:
        restore(SubsetSession(profile, LIMITS, lambda text: None, names), snapshot(session))
    if sum(ENDS.values()) % 10_000 == 0:
        print(sum(ENDS.values()), dict(ENDS), HIGHEST, flush=True)


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, code in enumerate(CORPUS):
            Path(folder, str(number)).write_bytes(code.encode("utf-8", "replace"))
        options = [sys.argv[0], f"-runs={runs}", "-max_len=5000", "-timeout=120", "-rss_limit_mb=2048", folder]
        atheris.Setup(options, one_input, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
