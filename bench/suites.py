"""Suites of 100 MB and 2 GB answered by their policies, in `auto` and in `monty`; takes hours, and 4 GB of disk."""

from __future__ import annotations

from evaluation import policies
from figures import Figure


def figures() -> list[Figure]:
    return policies(("100MB", "2GB"))
