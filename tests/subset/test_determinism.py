"""The same cells give the same bytes, the same error and the same steps in every process."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from examples import examples
from subset.cpython import cells
from subset.programs import START, blocks

SCRIPT = Path(__file__).with_name("repeat.py")
TOGETHER = 2


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs from the grammar, in a file."""
    found = ["s = set('hello world') | {'x', 1, (2, 3)}\nprint(s, frozenset(s), list(s), {v: 1 for v in s})"]

    @given(blocks())
    @settings(max_examples=examples(150), database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def keep(code: str) -> None:
        found.append(START + code)

    keep()
    path = tmp_path_factory.mktemp("determinism") / "programs.txt"
    path.write_text("\n###\n".join(found), "utf-8")
    return path


def started(programs: Path, seed: str, delay_s: float, rounds: int) -> subprocess.Popen[str]:
    environment = {
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONIOENCODING": "utf-8",
    }
    line = [sys.executable, str(SCRIPT), str(programs), str(delay_s), str(rounds)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def runs(programs: Path, count: int, rounds: int) -> list[list[str]]:
    """Return the digests of runs with different hash seeds, start times, and company on the machine.

    Args:
        programs: A file of programs.
        count: How many processes run them.
        rounds: How many times each of these does.
    """
    chance = random.Random(5)
    found = []
    for first in range(0, count, TOGETHER):
        size = min(1 + first // TOGETHER % TOGETHER, count - first) if first else TOGETHER
        group = [started(programs, str(chance.randrange(2**32)), chance.random() / 5, rounds) for _ in range(size)]
        for process in group:
            output, error = process.communicate(timeout=120)
            assert process.returncode == 0, error
            found += [line.split() for line in output.splitlines()]
    return found


def assert_same(found: list[list[str]], programs: Path) -> None:
    texts = programs.read_text("utf-8").split("\n###\n")
    names = [*cells(), *texts]
    assert {len(digests) for digests in found} == {len(names)}
    different = [name for name, *digests in zip(names, *found, strict=True) if len(set(digests)) != 1]
    assert not different


def test_cells_and_programs_are_the_same_each_time_with_different_hash_seeds(programs: Path) -> None:
    assert_same(runs(programs, 3, examples(10)), programs)
