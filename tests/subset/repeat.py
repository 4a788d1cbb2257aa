"""Runs cells and writes a line of digests, one for each: run by `test_determinism.py` in processes of its own."""

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


def main(programs: Path, delay_s: float) -> None:
    time.sleep(delay_s)
    generated = dict(enumerate(programs.read_text("utf-8").split("\n###\n")))
    found = digests({**cells(), **{f"generated {number}": code for number, code in generated.items()}})
    sys.stdout.write(found + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
