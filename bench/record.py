"""Figures of the record: what a turn waits for, a batch's syncs, opening a long run, a replay.

python bench/record.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio

from rlmbox import RLM, Limits, Run
from rlmbox.events import (
    CellExecuted,
    Event,
    HostCallFinished,
    ModelReplied,
    QuestionAsked,
    SessionStarted,
    TurnFinished,
)
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Usage

TURNS = 30
CELL = "```repl\nx = {turn}\nfor i in range(20000):\n    x = (x * 31 + i) % 65521\nprint(x)\n```"


class TimedStore(SqliteStore):
    """A store that keeps, by turn, how long it held up who wrote or waited, and the disk's part of that.

    In each turn a page is written to a file beside it and waited for, too: a bare `fdatasync`, in the same rhythm,
    since a disk that was asked just before answers sooner.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.turns: list[dict[str, float]] = []
        self._turn: Counter[str] = Counter()
        self._bare = path.with_suffix(".bare").open("wb", buffering=0)

    def write(self, event: Event) -> None:
        began_s = time.perf_counter()
        super().write(event)
        self._turn["beside_ms"] += 1e3 * (time.perf_counter() - began_s)
        if isinstance(event, TurnFinished):
            began_s = time.perf_counter()
            self._bare.write(b"x" * 4096)
            os.fdatasync(self._bare.fileno())
            self._turn["bare_ms"] += 1e3 * (time.perf_counter() - began_s)
            self.turns.append(dict(self._turn))
            self._turn.clear()

    async def sync(self) -> None:
        before_ms, began_s = self._turn["disk_ms"], time.perf_counter()
        await super().sync()
        waited_ms = 1e3 * (time.perf_counter() - began_s)
        self._turn["beside_ms"] += waited_ms - (self._turn["disk_ms"] - before_ms)
        self._turn["waits"] += 1

    def _wait_for_disk(self, descriptor: int) -> None:
        began_s = time.perf_counter()
        super()._wait_for_disk(descriptor)
        self._turn["disk_ms"] += 1e3 * (time.perf_counter() - began_s)

    def median(self, name: str) -> float:
        return statistics.median(turn.get(name, 0.0) for turn in self.turns)


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
        await run_s(None)
        plain_s = statistics.median([await run_s(None, run_id=f"p{n}") for n in range(3)])
        store = TimedStore(folder / "runs.db")
        kept_s = statistics.median([await run_s(store, run_id=f"k{n}") for n in range(3)])
        found: dict[str, object] = {
            "bare_fdatasync_ms": round(store.median("bare_ms"), 3),
            "disk_ms_per_turn": round(store.median("disk_ms"), 3),
            "disk_to_bare": round(statistics.median(t.get("disk_ms", 0.0) / t["bare_ms"] for t in store.turns), 2),
            "syncs_waited_for_per_turn": round(sum(t.get("waits", 0) for t in store.turns) / len(store.turns), 2),
            "beside_ms_per_turn": round(store.median("beside_ms"), 3),
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
