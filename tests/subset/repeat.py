"""Runs cells a number of times and writes a line of digests each time: a program of `test_determinism.py`."""

import hashlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from subset.cpython import ROOMY, cells, run


def digests(programs: dict[str, str]) -> str:
    """Return what becomes of programs: bytes, errors and steps, as one digest each."""
    found = []
    for name, code in programs.items():
        outcome = repr((name, run(code, limits=ROOMY)))
        found.append(hashlib.sha256(outcome.encode("utf-8", "surrogatepass")).hexdigest()[:16])
    return " ".join(found)


def main(programs: Path, delay_s: float, rounds: int) -> None:
    time.sleep(delay_s)
    generated = dict(enumerate(programs.read_text("utf-8").split("\n###\n")))
    programs_by_name = {**cells(), **{f"generated {number}": code for number, code in generated.items()}}
    for _ in range(rounds):
        sys.stdout.write(digests(programs_by_name) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
