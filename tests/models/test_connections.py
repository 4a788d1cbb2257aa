"""Connections are shared, closed on the loop they belong to, and never left to the garbage collector."""

import asyncio
import gc
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.requests.client import Calls
from rlmbox.testing import ProviderReply, ProviderServer
from rlmbox.types import Message

WIDE = 64
PRICE = FlatPrice(Decimal(1), Decimal(10), origin="test")
NAMES = ("openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro")


@pytest.fixture(autouse=True)
def _quick_collections() -> None:
    """Leaves what the imports made out of every collection, which then takes a millisecond and not a quarter second."""
    for module in ("openai", "anthropic", "google"):
        importlib.import_module(f"pydantic_ai.models.{module}")
    gc.collect()
    gc.freeze()


def model_at(server: ProviderServer, name: str = NAMES[0]) -> ProviderModel:
    url = server.openai_url if name.startswith("openai") else server.url
    return provider_model(name, base_url=url, api_key="k", prices={name: PRICE})


def open_descriptors() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else 0


async def settled_descriptors(at_most: int, *, tries: int = 500) -> int:
    """Count them once the server, which is of this process as well, has closed its ends."""
    for _ in range(tries):
        if open_descriptors() <= at_most:
            break
        await asyncio.sleep(0.02)
    return open_descriptors()


async def one_question(model: ProviderModel, number: int) -> tuple[int, Budget]:
    """Ask 64 sub-calls at once, with a collection in the middle, and count the replies that came."""
    budget = Budget(Limits(cost_limit_usd="100", concurrency=WIDE))
    calls = Calls(budget)

    async def ask(item: int) -> bool:
        prompt = [Message("user", f"question {number}, part {item}")]
        if item == WIDE // 2:
            gc.collect()
        reply = await calls.complete(model, prompt, account=budget.root.below(), timeout_s=30)
        return reply.completion.text == "ok" and reply.attempts == 1

    tasks = [asyncio.create_task(ask(item)) for item in range(WIDE)]
    for _ in range(5):
        await asyncio.sleep(0.002)
        gc.collect()
    return sum(await asyncio.gather(*tasks)), budget


@pytest.mark.parametrize(
    ("name", "rounds", "closed"),
    [(NAMES[0], 8, False), (NAMES[0], 3, True), (NAMES[1], 3, False), (NAMES[2], 3, False)],
)
async def test_one_new_model_after_another_loses_no_reply_and_leaves_no_descriptor(
    name: str, rounds: int, closed: bool
) -> None:
    answered, descriptors = 0, 0
    async with ProviderServer(ProviderReply("ok", delay_s=0.01)) as server:
        for number in range(rounds):
            model = model_at(server, name)
            came, budget = await one_question(model, number)
            answered += came
            assert budget.cost.uncertain_usd == 0
            if closed:
                await model.aclose()
            del model
            if number == 0:
                descriptors = open_descriptors()
        assert len(server.requests) == rounds * WIDE
        assert await settled_descriptors(descriptors) <= descriptors
    assert answered == rounds * WIDE


def test_a_model_for_each_question_over_a_loop_for_each_question_leaves_nothing() -> None:
    async def main(server: ProviderServer, number: int) -> int:
        return (await one_question(model_at(server), number))[0]

    with ProviderServer(ProviderReply("ok", delay_s=0.005)) as server:
        assert asyncio.run(main(server, 0)) == WIDE
        before = asyncio.run(settled_descriptors(0, tries=20))
        assert [asyncio.run(main(server, number)) for number in range(1, 6)] == [WIDE] * 5
        assert asyncio.run(settled_descriptors(before)) <= before


async def test_models_of_one_loop_share_their_connections_until_the_last_is_closed() -> None:
    from rlmbox.models import connections

    async with ProviderServer("ok") as server:
        first, second = model_at(server), model_at(server)
        for model in (first, second):
            await model.complete([Message("user", "?")], max_output_tokens=5)
        loop = asyncio.get_running_loop()
        mine = [key for key in connections._pools if key[0] is loop]
        assert len(mine) == 1
        await first.aclose()
        assert connections._pools.get(mine[0]) is not None
        assert (await second.complete([Message("user", "?")], max_output_tokens=5)).text == "ok"
        await second.aclose()
        assert connections._pools.get(mine[0]) is None
        assert (await first.complete([Message("user", "?")], max_output_tokens=5)).text == "ok"
        await first.aclose()


async def test_closing_from_another_loop_waits_until_the_connections_are_closed_on_theirs() -> None:
    from rlmbox.models import connections

    ready, done = threading.Event(), threading.Event()
    async with ProviderServer("ok") as server:
        model = model_at(server)
        loops: list[asyncio.AbstractEventLoop] = []

        async def elsewhere() -> None:
            await model.complete([Message("user", "?")], max_output_tokens=5)
            loops.append(asyncio.get_running_loop())
            ready.set()
            await asyncio.to_thread(done.wait)

        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        await asyncio.to_thread(ready.wait)
        await model.aclose()
        assert not [key for key in connections._pools if key[0] is loops[0]]
        done.set()
        await asyncio.to_thread(thread.join)


async def test_a_blocking_close_from_the_loop_that_has_the_connections_does_not_wait_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rlmbox.models import connections, providers

    monkeypatch.setattr(providers, "_LONGEST_CLOSE_S", 0.05)
    async with ProviderServer("ok") as server:
        model = model_at(server)
        await model.complete([Message("user", "?")], max_output_tokens=5)
        loop = asyncio.get_running_loop()
        # This holds the loop up until the other one is done.
        with ThreadPoolExecutor() as elsewhere:
            elsewhere.submit(asyncio.run, model.aclose()).result(timeout=30)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not [key for key in connections._pools if key[0] is loop]:
                break
        assert not [key for key in connections._pools if key[0] is loop]
