"""What a sub-call costs besides its provider: time, CPU and memory."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx2

from figures import Figure
from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.models.providers import provider_model
from rlmbox.requests.client import Calls
from rlmbox.testing import ProviderServer, ScriptedModel
from rlmbox.types import Message

MANY = 100_000
WAVES, WIDE = 16, 64
PROMPT = "Say hello, please. " * 20


async def batch_figures() -> list[Figure]:
    """1,000 sub-calls at once, against the ten rounds of 100 that they cannot take less than, and their CPU."""
    figures = []
    for delay_ms, bound_ms, rounds in ((50, 650, 5), (100, 1_300, 3)):
        times, cpu = [], []
        for _ in range(rounds):
            budget = Budget(Limits(concurrency=100, max_subcalls=1_000))
            calls, model = Calls(budget), ScriptedModel({"?": "ok"}, delay_s=delay_ms / 1_000)

            async def ask(calls: Calls = calls, model: ScriptedModel = model, budget: Budget = budget) -> None:
                await calls.complete(model, [Message("user", "?")], account=budget.root, timeout_s=60)

            began, began_cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(ask() for _ in range(1_000)))
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - began_cpu)
        name = f"1,000 sub-calls of {delay_ms} ms at concurrency 100"
        figures += [
            Figure(f"{name}; the ideal is {delay_ms * 10} ms", statistics.median(times) * 1_000, bound_ms),
            Figure("CPU of one of them, engine and event loop", statistics.median(cpu), 0.65),
        ]
    return figures


async def runs_figures() -> list[Figure]:
    """60 runs of one turn of 1 s at once: without a pace none waits for another."""
    model = ScriptedModel({"?": "ok"}, delay_s=1.0)

    async def run() -> None:
        budget = Budget(Limits())
        await Calls(budget).complete(model, [Message("user", "?")], account=budget.root)

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(60)))
    return [Figure("60 runs of one turn of 1 s at once", time.perf_counter() - began, 1.5, "s")]


async def cpu_figures() -> list[Figure]:
    """CPU of a sub-call over HTTP, less that of the same request by the HTTP client alone, in the same run."""
    figures = []
    async with served() as port:
        names = {
            "openai:llama3": f"http://127.0.0.1:{port}/v1",
            "anthropic:claude-sonnet-5-5": f"http://127.0.0.1:{port}",
            "google:gemini-2.5-pro": f"http://127.0.0.1:{port}",
        }
        body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100}
        async with httpx2.AsyncClient() as client:

            async def bare() -> None:
                response = await client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body)
                assert response.json()["choices"][0]["message"]["content"] == "ok"

            for name, url in names.items():
                model = provider_model(name, base_url=url, api_key="k")
                budget = Budget(Limits(cost_limit_usd=None, max_subcalls=1_000_000))
                calls = Calls(budget)

                async def ours(model: object = model, calls: Calls = calls, budget: Budget = budget) -> None:
                    await calls.complete(model, [Message("user", PROMPT)], account=budget.root, timeout_s=60)  # type: ignore[arg-type]

                async def alone(model: object = model) -> None:
                    await model.complete([Message("user", PROMPT)], max_output_tokens=100)  # type: ignore[attr-defined]

                await cpu_ms(ours, 20)
                beyond, own = [], []
                for _ in range(9):  # in turn, so that a drift of the machine's speed meets all three
                    whole = await cpu_ms(ours, 100)
                    beyond.append(whole - await cpu_ms(bare, 100))
                    own.append(whole - await cpu_ms(alone, 100))
                figures += [
                    Figure(f"CPU of a sub-call to `{name}`, beyond the bare HTTP client", statistics.median(beyond), 1),
                    Figure("of it the engine's, beyond the same model asked directly", statistics.median(own), None),
                ]
                await model.aclose()
    return figures


async def collected_figures() -> list[Figure]:
    """Replies that are lost when the garbage is collected at every turn of the event loop, and descriptors left."""
    before, lost = open_descriptors(), 0
    async with served() as port:
        for number in range(WAVES):
            model = provider_model("openai:llama3", base_url=f"http://127.0.0.1:{port}/v1", api_key="k")
            await model.ready()
            gc.collect()
            gc.freeze()
            budget = Budget(Limits(cost_limit_usd=None, concurrency=WIDE))
            calls = Calls(budget)

            async def ask(item: int, number: int = number, calls: Calls = calls, budget: Budget = budget,
                          model: object = model) -> bool:  # fmt: skip
                prompt = [Message("user", f"{number} {item}")]
                reply = await calls.complete(model, prompt, account=budget.root, timeout_s=60)  # type: ignore[arg-type]
                return reply.attempts == 1 and reply.completion.text == "ok"

            tasks = [asyncio.create_task(ask(item)) for item in range(WIDE)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0)
                gc.collect()
            lost += sum(not task.result() for task in tasks)
            del model, calls, tasks, ask
            gc.unfreeze()
        left = max(open_descriptors() - before, 0)
    return [
        Figure(f"{WAVES} new models, {WIDE} sub-calls each, a collection at every await: replies lost", lost, 0, ""),
        Figure("descriptors more than before, the shared connections included", left, WIDE + 10, ""),
    ]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def memory_figures(calls_to_make: int = MANY) -> list[Figure]:
    """What 100,000 sub-calls leave behind, after as many as it takes for everything to be warm."""
    budget = Budget(Limits(concurrency=100, max_subcalls=10**9, cost_limit_usd=None))
    calls, model = Calls(budget), Forgetful({"?": "ok"})

    async def some(count: int) -> None:
        for _ in range(count // 100):
            await asyncio.gather(
                *(calls.complete(model, [Message("user", "?")], account=budget.root) for _ in range(100))
            )

    await some(2_000)
    gc.collect()
    tracemalloc.start()
    await some(1_000)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    tracemalloc.start()
    began = time.process_time()
    share = min(calls_to_make, 10_000)  # tracing is slow; the rest is what these come to
    await some(share)
    gc.collect()
    left = max(tracemalloc.get_traced_memory()[0] - before, 0)
    tracemalloc.stop()
    assert time.process_time() > began
    return [Figure("memory that 100,000 sub-calls leave behind", left / share * calls_to_make / 1e6, 1, "MB")]


class Forgetful(ScriptedModel):
    """A scripted model that keeps no record of what it was asked."""

    async def complete(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        reply = await super().complete(*args, **kwargs)  # type: ignore[arg-type]
        self.requests.clear()
        self.max_output_tokens.clear()
        return reply


async def cpu_ms(work: Callable[[], Awaitable[object]], runs: int) -> float:
    began = time.process_time()
    for _ in range(runs):
        await work()
    return (time.process_time() - began) / runs * 1_000


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A provider in a process of its own, so that its CPU is not counted."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield await asyncio.to_thread(here.recv)
    finally:
        here.send(None)
        await asyncio.to_thread(process.join)


def serve(connection: Connection) -> None:
    with ProviderServer("ok") as server:
        connection.send(server.port)
        connection.recv()


async def measure() -> list[Figure]:
    return [*await batch_figures(), *await runs_figures(), *await cpu_figures(), *await collected_figures(),
            *await memory_figures()]  # fmt: skip


def figures() -> list[Figure]:
    """Measures all."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print("\n".join(figure.row for figure in figures()))
