"""Figures of the record: what a turn waits for, a batch's syncs, opening a long run, a replay.

python bench/record.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from rlmbox import RLM, Limits, Run
from rlmbox.events import CellExecuted, Event, HostCallFinished, ModelReplied, QuestionAsked, SessionStarted
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Usage

TURNS = 30
CELL = "```repl\nx = {turn}\nfor i in range(20000):\n    x = (x * 31 + i) % 65521\nprint(x)\n```"


def bare_sync_ms(folder: Path, times: int = 200) -> float:
    """Return what writing a page and waiting for the disk takes, alone."""
    taken = []
    with (folder / "bare").open("wb", buffering=0) as file:
        for _ in range(times):
            began_s = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - began_s))
    return statistics.median(taken)


class TimedStore(SqliteStore):
    """A store that keeps how long it held up who wrote or waited."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.write_ms: list[float] = []
        self.sync_ms: list[float] = []

    def write(self, event: Event) -> None:
        began_s = time.perf_counter()
        super().write(event)
        self.write_ms.append(1e3 * (time.perf_counter() - began_s))

    async def sync(self) -> None:
        began_s = time.perf_counter()
        await super().sync()
        self.sync_ms.append(1e3 * (time.perf_counter() - began_s))


def root(turns: int) -> ScriptedModel:
    replies = [CELL.format(turn=turn) for turn in range(turns - 1)]
    return ScriptedModel([*replies, "FINAL(done)"], name="root")


async def run_s(store: SqliteStore | None, turns: int = TURNS, run_id: str = "bench") -> float:
    began_s = time.perf_counter()
    limits = Limits(max_turns=turns + 1)
    await RLM(root(turns), store=store, limits=limits, sandbox="monty").aask("How?", "A text.", run_id=run_id)
    return time.perf_counter() - began_s


async def batch_syncs(folder: Path) -> int:
    store = SqliteStore(folder / "batch.db")
    code = "```repl\na = llm_query_batched([str(i) for i in range(64)])\nFINAL(len(a))\n```"
    sub = ScriptedModel(["said"] * 64, name="sub")
    before = 0

    def note(event: Event) -> None:
        nonlocal before
        if event.kind == "cell_started":
            before = store.syncs

    rlm = RLM(ScriptedModel([code], name="root"), sub_model=sub, store=store, sandbox="monty", hooks=[note])
    after: list[int] = []

    def ended(event: Event) -> None:
        if isinstance(event, CellExecuted):
            after.append(store.syncs)

    rlm._hooks = (*rlm._hooks, ended)  # noqa: SLF001 - a second hook that needs the store
    await rlm.aask("How?", "A text.")
    store.close()
    return after[0] - before


def long_run(path: Path, count: int) -> None:
    store = SqliteStore(path)
    place = {"run_id": "long", "session_id": "long", "parent_id": None, "depth": 0, "state": "ACTION"}
    store.write(SessionStarted(**place, sequence=1, model="m", sandbox="s", context={}))
    store.write(QuestionAsked(**place, sequence=2, number=1, question="How?"))
    for number in range(3, count + 1):
        if number % 10 == 0:
            completion = Completion("x = 1", Usage(1, 0, 1, 0, 1), "m")
            store.write(ModelReplied(**place, sequence=number, key=f"k{number}", turn=number, completion=completion))
        else:
            store.write(HostCallFinished(**place, sequence=number, key=f"k{number}", function="f", value="said"))
    store.close()


def median_s(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        began_s = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken)


async def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        bare_ms = bare_sync_ms(folder)
        await run_s(None)
        plain_s = statistics.median([await run_s(None, run_id=f"p{n}") for n in range(3)])
        store = TimedStore(folder / "runs.db")
        kept_s = statistics.median([await run_s(store, run_id=f"k{n}") for n in range(3)])
        runs = 3
        found: dict[str, object] = {
            "bare_fdatasync_ms": round(bare_ms, 2),
            "sync_ms_median": round(statistics.median(store.sync_ms), 2),
            "syncs_waited_for_per_turn": round(len(store.sync_ms) / (runs * TURNS), 2),
            "beside_ms_per_turn": round(sum(store.write_ms) / (runs * TURNS), 3),
            "run_not_recorded_s": round(plain_s, 3),
            "run_recorded_s": round(kept_s, 3),
            "syncs_of_a_batch_of_64": await batch_syncs(folder),
        }
        cells_s = sum(e.execution.duration_s for e in store.events("k0") if isinstance(e, CellExecuted))
        began_s = time.perf_counter()
        await RLM(store=store, sandbox="monty").areplay("k0")
        found["replay_s"], found["cells_s"] = round(time.perf_counter() - began_s, 3), round(cells_s, 3)
        store.close()
        long_run(folder / "long.db", 10_000)
        long = SqliteStore(folder / "long.db")
        long.events("long")
        found["show_of_10000_events_s"] = round(median_s(lambda: str(Run(tuple(long.events("long"))))), 3)
        long.close()
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    anyio.run(main)
