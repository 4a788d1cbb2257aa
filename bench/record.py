"""Figures of the record: what a turn waits for, a batch's syncs, opening a long run, a replay.

python bench/record.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio

from figures import Figure
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
ROUNDS = 4
REPLAYS = 9
CELL = "```repl\nx = {turn}\nfor i in range(20000):\n    x = (x * 31 + i) % 65521\nprint(x)\n```"
ASKS = CELL.replace("\nprint(x)", "\nprint(x, llm_query(str(x)))")


class TimedStore(SqliteStore):
    """A store that keeps, by turn, how long it held up who wrote or waited, and the disk's part of the waits.

    In each turn a page is written to a file beside it and waited for, too: a bare `fdatasync`, in the same rhythm,
    since a disk that was asked just before answers sooner.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.turns: list[dict[str, float]] = []
        self._turn: Counter[str] = Counter()
        self._disk_ms = 0.0
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
        before_ms, began_s = self._disk_ms, time.perf_counter()
        await super().sync()
        waited_ms = 1e3 * (time.perf_counter() - began_s)
        disk_ms = min(self._disk_ms - before_ms, waited_ms)
        self._turn["beside_ms"] += waited_ms - disk_ms
        self._turn["disk_ms"] += disk_ms
        self._turn["waits"] += 1

    def _wait_for_disk(self, descriptor: int) -> None:
        began_s = time.perf_counter()
        super()._wait_for_disk(descriptor)
        self._disk_ms += 1e3 * (time.perf_counter() - began_s)

    def mean(self, name: str) -> float:
        return statistics.mean(turn.get(name, 0.0) for turn in self.turns)

    def median(self, name: str) -> float:
        return statistics.median(turn.get(name, 0.0) for turn in self.turns)


def root(turns: int, cell: str = CELL) -> ScriptedModel:
    replies = [cell.format(turn=turn) for turn in range(turns - 1)]
    return ScriptedModel([*replies, "FINAL(done)"], name="root")


async def run_s(store: SqliteStore | None, turns: int = TURNS, run_id: str = "bench", cell: str = CELL) -> float:
    began_s = time.perf_counter()
    limits = Limits(max_turns=turns + 1)
    sub = ScriptedModel(["said"] * turns, name="sub")
    rlm = RLM(root(turns, cell), sub_model=sub, store=store, limits=limits, sandbox="monty")
    await rlm.aask("How?", "A text.", run_id=run_id)
    return time.perf_counter() - began_s


async def batch_syncs(path: Path) -> int:
    store = SqliteStore(path)
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

    rlm._setup.hooks = (*rlm._setup.hooks, ended)  # noqa: SLF001 - a second hook that needs the store
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


async def asking(folder: Path, number: int) -> TimedStore:
    """Takes turns with a sub-call each; gives the store."""
    store = TimedStore(folder / f"asking-{number}.db")
    for each in range(2):
        await run_s(store, run_id=f"a{each}", cell=ASKS)
    return store


async def round_of(folder: Path, number: int) -> tuple[TimedStore, float, float]:
    """Takes turns without and with a record; gives the store, and the seconds of a run without and with it."""
    plain_s = statistics.median([await run_s(None, run_id=f"p{n}") for n in range(2)])
    store = TimedStore(folder / f"runs-{number}.db")
    kept_s = statistics.median([await run_s(store, run_id=f"k{n}") for n in range(2)])
    return store, plain_s, kept_s


async def replay_share(store: SqliteStore) -> float:
    """Gives how long a replay takes, as a multiple of its cells' time; of pairs of a run and its replay the median."""
    shares = []
    for number in range(REPLAYS):
        await run_s(store, run_id=f"r{number}")
        cells_s = sum(e.execution.duration_s for e in store.events(f"r{number}") if isinstance(e, CellExecuted))
        began_s = time.perf_counter()
        await RLM(store=store, sandbox="monty").areplay(f"r{number}")
        shares.append((time.perf_counter() - began_s) / cells_s)
    return statistics.median(shares)


async def measure() -> list[Figure]:
    """Measures all; of several rounds the lowest, since other users of the machine and of its disk come and go."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        await run_s(None)
        rounds = [await round_of(folder, number) for number in range(ROUNDS)]
        stores = [store for store, *_ in rounds]
        syncs = min([await batch_syncs(folder / f"batch-{number}.db") for number in range(3)])
        replays = SqliteStore(folder / "replays.db")
        share = await replay_share(replays)
        askers = [await asking(folder, number) for number in range(ROUNDS)]
        for store in (*stores, *askers, replays):
            store.close()
        path = folder / "long.db"
        long_run(path, 10_000)
        long = SqliteStore(path)
        shown_s = min(median_s(lambda: str(Run(tuple(long.events("long"))))) for _ in range(3))
        long.close()
    return [
        Figure("waits for the disk in a turn", max(store.mean("waits") for store in stores), 1.1, ""),
        Figure("waits for the disk in a turn with a sub-call", max(store.mean("waits") for store in askers), 1.1, ""),
        Figure(
            "such a wait, in bare `fdatasync`s of the same turns",
            min(store.median("disk_ms") / store.median("bare_ms") for store in askers),
            1.5,
            "",
        ),
        Figure("one bare `fdatasync`", min(store.median("bare_ms") for store in stores), None),
        Figure("what recording takes of a turn beside", min(store.median("beside_ms") for store in stores), 0.5),
        Figure(
            "what it takes of a turn with a sub-call beside", min(store.median("beside_ms") for store in askers), None
        ),
        Figure("waits for the disk of a batch of 64 sub-calls", syncs, 4, ""),
        Figure("a run of 30 turns, not recorded", 1_000 * min(plain_s for _, plain_s, _ in rounds), None),
        Figure("the same, recorded", 1_000 * min(kept_s for *_, kept_s in rounds), None),
        Figure("opening a run of 10,000 events in `show`", 1_000 * shown_s, 200),
        Figure("a replay of 30 turns, in times of its cells", share, 1.2, ""),
    ]


def figures() -> list[Figure]:
    """Measures all."""
    return anyio.run(measure)


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
