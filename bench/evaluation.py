"""Evaluations: the engine held to the suites without any model, the statistics to simulation, the ledger to a kill."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from figures import Figure
from rlmbox.evaluation.arms import DirectArm
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, read_evaluation
from rlmbox.evaluation.outcomes import Arm
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.report import report_of
from rlmbox.evaluation.running import Evaluation, Plan, head_of
from rlmbox.evaluation.statistics import accuracy, deviation_of, difference, questions_needed
from rlmbox.evaluation.suites import SUITES, generate, parse_size
from rlmbox.evaluation.suites.policies import PolicyArm
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.testing import ProviderReply, ProviderServer

SIZES = ("8k", "1M")  # longer ones are the part `suites`, which takes hours
SANDBOXES = ("auto", "monty")
SIMULATED = 2_000
PRICE = FlatPrice(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))
QUESTIONS, REPEATS, CONCURRENCY, DELAY_S = 500, 3, 50, 0.1


def figures() -> Iterator[Figure]:
    yield from coverage()
    yield found_difference()
    yield from throughput()
    yield from policies()


# --- the engine -------------------------------------------------------------------------------------------------


def policies(sizes: Sequence[str] = SIZES, sandboxes: Sequence[str] = SANDBOXES) -> Iterator[Figure]:
    """Answers every suite with its policy; a text is made, asked of in each sandbox, and taken away again.

    Each sandbox has a process of its own for each size, so that the most memory that it takes can be told.
    """
    for size in sizes:
        answered: dict[str, list[Answered]] = {sandbox: [] for sandbox in sandboxes}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            processes = {each: stack.enter_context(_process(f"{folder}/cache-{each}")) for each in sandboxes}
            for name in SUITES:
                texts = Path(folder, name)
                began = time.perf_counter()
                asked = generate(name, texts, parse_size(size), seed=7, count=1)
                print(f"{name:18s} {size:6s} made in {time.perf_counter() - began:7.2f} s", flush=True)
                for sandbox, process in processes.items():
                    each = process.submit(_answered, texts, asked, sandbox).result()
                    print(f"{name:18s} {size:6s} {sandbox:6s} {each}", flush=True)
                    answered[sandbox].append(each)
                shutil.rmtree(texts)
        for sandbox, found in answered.items():
            head = f"{len(found)} suites of {size} characters in `{sandbox}`"
            wrong = sum(each.kind != "right" for each in found)
            yield Figure(f"{head}: answers of the policies that are wrong", wrong, 0, f"of {len(found)}")
            yield Figure(f"{head}: all of them", sum(each.took_s for each in found), None, "s")
            yield Figure(f"{head}: the slowest", max(each.took_s for each in found), None, "s")
            yield Figure(f"{head}: most memory of the host", max(each.peak_mib for each in found), None, "MiB")


@dataclass(frozen=True)
class Answered:
    kind: str
    took_s: float
    peak_mib: float
    note: str

    def __str__(self) -> str:
        return f"{self.kind:8s} {self.took_s:7.2f} s {self.peak_mib:7.0f} MiB {self.note}"


def _process(cache: str) -> ProcessPoolExecutor:
    """A process whose cache is its own, so that a sandbox finds nothing of a text that another left."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_keep_in, initargs=(cache,))


def _keep_in(cache: str) -> None:
    os.environ["XDG_CACHE_HOME"] = cache


def _answered(folder: Path, asked: Sequence[Question], sandbox: str) -> Answered:
    arm = PolicyArm(sandbox=sandbox, cell_timeout_s=600)
    began = time.perf_counter()
    [result] = evaluate(folder, asked, [arm], name=sandbox).results
    return Answered(result.kind, time.perf_counter() - began, _peak_mib(), result.outcome.note)


def _peak_mib() -> float:
    """The most memory that this process has had; `getrusage` counts what its parent had as well."""
    try:
        [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)


def evaluate(
    folder: Path, asked: Sequence[Question], arms: Sequence[Arm], *, name: str, concurrency: int = 1
) -> Recorded:
    plan, recorded, journal = (
        Plan(asked, arms, concurrency=concurrency),
        Recorded(name),
        EvaluationJournal(folder, name),
    )
    head = head_of(plan, {})
    journal.write(head)
    recorded.apply(head)
    try:
        asyncio.run(Evaluation(plan, journal, recorded).run())
    finally:
        journal.close()
    return recorded


# --- the statistics ---------------------------------------------------------------------------------------------


def simulated(
    rng: random.Random, share: float, questions: int, repeats: int, spread: float
) -> tuple[list[float], list[list[float]]]:
    """Draws each question's own chance of success (a beta distribution), and its repeats."""
    weight = share * (1 - share) / spread**2 - 1
    chances = [rng.betavariate(share * weight, (1 - share) * weight) for _ in range(questions)]
    return chances, [[float(rng.random() < chance) for _ in range(repeats)] for chance in chances]


def coverage(runs: int = SIMULATED, resamples: int = 1_000) -> list[Figure]:
    found = []
    for share, spread in ((0.5, 0.25), (0.9, 0.15)):
        for questions, repeats in ((30, 5), (100, 3), (300, 1)):
            rng, inside = random.Random(11), 0
            for run in range(runs):
                _, scores = simulated(rng, share, questions, repeats, spread)
                interval = accuracy({str(n): each for n, each in enumerate(scores)}, seed=run, resamples=resamples)
                inside += interval.low <= share <= interval.high
            name = (
                f"intervals that miss 93 to 97 %: accuracy {share}, {questions} questions x {repeats}, distance from 95"
            )
            found.append(Figure(name, abs(100 * inside / runs - 95), 2, "points"))
    return found


def found_difference(runs: int = SIMULATED, resamples: int = 600) -> Figure:
    """Finds 10 points of true difference with as many questions as the report names from a pilot."""
    rng, repeats = random.Random(5), 3

    def pair(count: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        chances, theirs = simulated(rng, 0.5, count, repeats, 0.15)
        ours = [[float(rng.random() < min(1.0, chance + 0.1)) for _ in range(repeats)] for chance in chances]
        return {str(n): each for n, each in enumerate(ours)}, {str(n): each for n, each in enumerate(theirs)}

    needed = questions_needed(0.10, deviation_of(*pair(1_000)) or 0)
    told = 0
    for run in range(runs):
        gap = difference(*pair(needed), seed=run, resamples=resamples)
        told += not gap.low <= 0 <= gap.high
    return Figure(
        f"a true difference of 10 points not found with the {needed} questions that are named for it",
        100 - 100 * told / runs,
        20,
        "%",
    )


# --- the ledger and the file ------------------------------------------------------------------------------------


def models(url: str) -> list[ProviderModel]:
    names = [f"openai:m{n}" for n in range(3)]
    return [provider_model(name, base_url=url, api_key="x", prices={name: PRICE}) for name in names]


def run(url: str, folder: Path) -> None:
    asked = [Question(f"q{n}", f"What is number {n}?", str(n), text=f"Number {n} is {n}.") for n in range(QUESTIONS)]
    asked_of = models(url)
    plan = Plan(asked, [DirectArm(model, name=model.name) for model in asked_of], REPEATS, concurrency=CONCURRENCY)
    name = "eval-1"
    recorded = read_evaluation(folder, name) if (folder / f"{name}.jsonl").exists() else Recorded(name)
    journal = EvaluationJournal(folder, name)
    if not recorded.head:
        journal.write(head := head_of(plan, {}))
        recorded.apply(head)

    async def timed() -> tuple[float, float, float]:
        began = time.perf_counter()
        for model in asked_of:
            await model.ready()
        ready, ready_cpu = time.perf_counter(), time.process_time()
        await Evaluation(plan, journal, recorded).run()
        return ready - began, time.perf_counter() - ready, time.process_time() - ready_cpu

    print(*asyncio.run(timed()))
    journal.close()


def throughput() -> list[Figure]:
    def reply(request: object) -> ProviderReply:
        number = request.messages[-1].content.split("What is number ")[1].split("?")[0]  # type: ignore[attr-defined]
        return ProviderReply(number if int(number) % 3 else "wrong", delay_s=DELAY_S)

    trials = QUESTIONS * REPEATS * 3
    with tempfile.TemporaryDirectory() as base, ProviderServer([reply] * (3 * trials)) as server:
        command = [sys.executable, __file__, server.openai_url]
        whole = subprocess.run([*command, f"{base}/whole"], capture_output=True, text=True, check=True)
        import_s, took_s, cpu_s = map(float, whole.stdout.split())
        before = len(server.requests)
        process = subprocess.Popen([*command, f"{base}/killed"], stdout=subprocess.DEVNULL)
        while len(server.requests) - before < trials // 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        subprocess.run([*command, f"{base}/killed"], stdout=subprocess.DEVNULL, check=True)
        keys = Counter(request.headers["idempotency-key"] for request in server.requests[before:])
        tables = [_table(read_evaluation(Path(base, each), "eval-1")) for each in ("whole", "killed")]
    ideal_s = trials * DELAY_S / CONCURRENCY
    title = (
        f"{QUESTIONS} questions x 3 arms x {REPEATS} over a provider of {DELAY_S * 1000:.0f} ms, {CONCURRENCY} at once"
    )
    return [
        Figure(f"{title}: time, of the ideal", took_s / ideal_s, 1 / 0.9, "x"),
        Figure("before it, once a process: the provider's library is imported", import_s, None, "s"),
        Figure("CPU of the evaluation's process for a trial, of 2 ms that there are", 1000 * cpu_s / trials, 1.8, "ms"),
        Figure("the same killed with -9 and resumed: rows of the table that differ", tables[0] != tables[1], 0, ""),
        Figure(
            "requests that were sent again, with the key that they had: under way when it was killed",
            keys.total() - len(keys),
            CONCURRENCY,
            "",
        ),
        Figure("questions that the provider was asked under two keys", abs(len(keys) - trials), 0, ""),
    ]


def _table(recorded: Recorded) -> object:
    return {
        name: (arm["accuracy"], arm["failures"], arm["cost_usd"]) for name, arm in report_of(recorded)["arms"].items()
    }


if __name__ == "__main__" and sys.argv[1:2] == ["throughput"]:
    for figure in throughput():
        print(figure.row)
elif __name__ == "__main__":
    if sys.argv[1:2] == ["policies"]:
        for figure in policies(sys.argv[2].split(","), (sys.argv[3:] or [",".join(SANDBOXES)])[0].split(",")):
            print(figure.row)
    else:
        run(sys.argv[1], Path(sys.argv[2]))
