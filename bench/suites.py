"""Suites of gigabytes answered by their policies, in `auto` and in `monty`; takes an hour, and 3 GB of disk.

`--only suites:2GB` measures one size, `--only suites:2GB:monty` one size in one sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator

from evaluation import SANDBOXES, policies
from figures import Figure

SIZES = ("100MB", "2GB")


def figures(*wanted: str) -> Iterator[Figure]:
    sizes = [size for size in SIZES if size in wanted] or SIZES
    sandboxes = [sandbox for sandbox in SANDBOXES if sandbox in wanted] or SANDBOXES
    if unknown := set(wanted) - {*SIZES, *SANDBOXES}:
        raise SystemExit(f"suites knows {', '.join((*SIZES, *SANDBOXES))}, not {', '.join(sorted(unknown))}")
    yield from policies(sizes, sandboxes)
