"""Measures what the issues and the README promise; `--write` puts it into RESULTS.md, `--only PART` a part of it.

Figures are medians. A bound is what was asked for; a ratio or difference is taken within the same run, because
the machine's speed drifts between runs. Each part has a process of its own, so that none pays for another's memory.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from figures import Figure

PARTS = {
    "loop": "Sessions",
    "ledger": "The ledger",
    "spend": "Sub-calls",
    "tools": "Tools",
    "steering": "A session of 300 turns",
    "sandboxes": "Sandboxes",
    "scenarios": "The scenarios of the first documents",
    "subset": "The deterministic subset",
    "contexts": "Texts of gigabytes",
    "handles": "Texts of gigabytes in a sandbox",
    "ranking": "Ranked search",
    "guard": "What may leave",
    "retrieval": "Retrieval",
    "record": "The record of a run",
    "tool": "The Python tool for other agents",
    "baseline": "The offline baseline",
    "billing": "The ledger beside an account of its own",
    "evaluation": "Evaluations",
    "suites": "Suites of gigabytes",
}
"""Modules of this folder with `figures()`, and their headings."""

LONG = ("suites",)
"""Parts that take hours, and are measured only where `--only` names them."""


RESULTS = Path(__file__).with_name("RESULTS.md")
HEADER = ("| figure | asked for, at most | measured | met |", "| --- | --- | --- | --- |")
HEAD = """# What was measured

`make bench` on {day}: {machine}.
Each section is one run, of medians; trust ratios more than absolutes. The pieces of a sandbox are the lowest of the
medians of several rounds, since other users of the machine come and go.
"""


def figures_of(part: str) -> list[Figure]:
    """Measures one part; what it returns has a `row`."""
    figures: list[Figure] = importlib.import_module(part).figures()
    return figures


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part, and others named so")
    arguments = parser.parse_args()
    wanted = arguments.only or [part for part in PARTS if part not in LONG]
    sections = {name: table for name, table in kept().items() if arguments.only or name in map(PARTS.get, LONG)}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for part in wanted:
            rows = [figure.row for figure in pool.submit(figures_of, part).result()]
            sections[PARTS[part]] = "\n".join([*HEADER, *rows])
            print(f"## {PARTS[part]}\n\n{sections[PARTS[part]]}\n", flush=True)
    if arguments.write:
        body = "\n\n".join(f"## {name}\n\n{sections[name]}" for name in PARTS.values() if name in sections)
        head = HEAD.format(day=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
        RESULTS.write_text(f"{head}\n{body}\n", encoding="utf-8")
    return 0


def kept() -> dict[str, str]:
    """Reads the sections that were measured before, by heading."""
    _, *parts = RESULTS.read_text("utf-8").split("\n## ")
    return {name: table.strip() for name, table in (part.split("\n", 1) for part in parts)}


if __name__ == "__main__":
    sys.exit(main())
