"""Measures what the issues and the README promise, in one run; `--write` puts it into RESULTS.md.

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
    "sandboxes": "Sandboxes",
    "contexts": "Texts of gigabytes",
    "handles": "Texts of gigabytes in a sandbox",
    "ranking": "Ranked search",
}
"""Modules of this folder with `figures()`, and their headings."""


def figures_of(part: str) -> list[Figure]:
    """Measures one part."""
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
    lines = [
        "# What was measured",
        "",
        f"`make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.",
        "Medians, in one run; trust ratios more than absolutes. What takes less than a few milliseconds is the lowest",
        "of the medians of several rounds, since other users of the machine come and go.",
    ]
    print("\n".join(lines), flush=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for part in arguments.only or PARTS:
            section = ["", f"## {PARTS[part]}", "", "| figure | asked for, at most | measured | met |"]
            section += ["| --- | --- | --- | --- |", *(figure.row for figure in pool.submit(figures_of, part).result())]
            print("\n".join(section), flush=True)
            lines += section
    if arguments.write:
        Path(__file__).with_name("RESULTS.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
