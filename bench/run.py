"""Measures what the issues and the README promise; `--write` puts it into RESULTS.md, `--only PART` a part of it.

Rows are printed, and written, as they come. `--only PART:WHAT` measures some rows of a part that can be divided, and
leaves its others as they were.

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
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

PARTS = {
    "loop": "Sessions",
    "long_texts": "Long texts and the event loop",
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
"""Parts that take an hour, and are measured only where `--only` names them; their rows are written one by one."""


RESULTS = Path(__file__).with_name("RESULTS.md")
HEADER = ("| figure | asked for, at most | measured | met |", "| --- | --- | --- | --- |")
HEAD = """# What was measured

`make bench` on {day}: {machine}.
Each section is one run, of medians; trust ratios more than absolutes. The pieces of a sandbox are the lowest of the
medians of several rounds, since other users of the machine come and go.
"""


def rows_of(part: str, rows: Connection) -> None:
    """Measures a part, such as `suites` or `suites:2GB`, and sends each row when it is there, and None at the end."""
    module, *wanted = part.split(":")
    for figure in importlib.import_module(module).figures(*wanted):
        print(figure.row, flush=True)
        rows.send(figure.row)
    rows.send(None)


def measured(part: str) -> Iterator[str]:
    """Gives the rows of a part as they come from a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=rows_of, args=(part, theirs))
    process.start()
    theirs.close()
    try:
        while (row := ours.recv()) is not None:
            yield row
    except EOFError:
        raise SystemExit(f"{part} failed") from None
    finally:
        process.join()


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--only", type=_part, action="append", help="measure this part, and others named so")
    arguments = parser.parse_args()
    wanted = arguments.only or [part for part in PARTS if part not in LONG]
    left = None if arguments.only else frozenset(map(PARTS.get, LONG))
    sections: dict[str, str] = {}
    for part in wanted:
        module, *some = part.split(":")
        before, rows = sections.get(PARTS[module]) or kept(left).get(PARTS[module], ""), []
        print("\n".join((f"## {PARTS[module]}", "", *HEADER)), flush=True)
        for row in measured(part):
            rows.append(row)
            sections[PARTS[module]] = merged(before, rows) if some or module in LONG else "\n".join((*HEADER, *rows))
            if arguments.write and module in LONG:
                write(kept(left) | sections)
        print(flush=True)
    if arguments.write:
        write(kept(left) | sections)
    return 0


def _part(text: str) -> str:
    if text.split(":")[0] not in PARTS:
        raise argparse.ArgumentTypeError(f"there is no part {text}; there are {', '.join(PARTS)}")
    return text


def merged(table: str, rows: Sequence[str]) -> str:
    """Gives a table with rows in the place of those of the same name, and the others behind it."""
    new = {_name(row): row for row in rows}
    lines = table.splitlines() or HEADER
    return "\n".join((*(new.pop(_name(line), line) for line in lines), *new.values()))


def _name(row: str) -> str:
    return row.split(" | ")[0]


def write(sections: Mapping[str, str]) -> None:
    body = "\n\n".join(f"## {name}\n\n{sections[name]}" for name in PARTS.values() if name in sections)
    head = HEAD.format(day=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
    RESULTS.write_text(f"{head}\n{body}\n", encoding="utf-8")


def kept(names: Collection[str | None] | None = None) -> dict[str, str]:
    """Reads the sections that were measured before, by heading, others that were measured meanwhile among them."""
    _, *parts = RESULTS.read_text("utf-8").split("\n## ")
    found = {name: table.strip() for name, table in (part.split("\n", 1) for part in parts)}
    return {name: table for name, table in found.items() if names is None or name in names}


if __name__ == "__main__":
    sys.exit(main())
