"""Calls at once share a model: in turn, at its pace, and leaving nothing behind."""

import time
from collections.abc import Sequence

import anyio

from asking import Asking, Stubborn, busy
from rlmbox.models.pace import Pace
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import model_state_of
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Message


async def test_cancelling_frees_the_slot_at_once_and_charges_the_worst_case() -> None:
    asking = Asking(model=Stubborn([3600.0]), concurrency=1)
    with anyio.move_on_after(0.02):
        await asking.ask()
    with anyio.fail_after(60):
        assert (await asking.ask()).completion.text == "ok"
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_one_run_does_not_hold_up_another() -> None:
    model = Paced(Pace(max_concurrency=5), delay_s=0.01)
    large, small = Asking(model=model, concurrency=5), Asking(model=model, concurrency=5)
    done: list[str] = []

    async def one(name: str, asking: Asking) -> None:
        await asking.ask()
        done.append(name)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one, "large", large)
        await anyio.sleep(0.015)
        for _ in range(5):
            tasks.start_soon(one, "small", small)
    # In turn: by the time that the small run is done, the large one had about as many turns.
    assert max(index for index, name in enumerate(done) if name == "small") < 40
    assert model.max_concurrency == 5


class Held(ScriptedModel):
    """A model that answers nobody until it is let go."""

    def __init__(self) -> None:
        super().__init__(["ok"] * 1_000)
        self.waiting = 0
        self.let_go = anyio.Event()

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        self.waiting += 1
        await self.let_go.wait()
        return await super().complete(messages, max_output_tokens=max_output_tokens)


async def test_without_a_pace_each_run_keeps_its_own_limit_and_waits_for_no_other() -> None:
    model = Held()
    runs = [Asking(model=model, concurrency=2) for _ in range(30)]
    async with anyio.create_task_group() as tasks:
        for run in runs:
            for _ in range(4):
                tasks.start_soon(run.ask)
        await anyio.wait_all_tasks_blocked()
        assert model.waiting == 60
        model.let_go.set()
    assert len(model.requests) == 120


async def test_all_runs_of_a_process_share_a_models_limit() -> None:
    model = Paced(Pace(max_concurrency=3))
    runs = [Asking(model=model, concurrency=10) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for run in runs:
            for _ in range(10):
                tasks.start_soon(run.ask)
    assert model.max_concurrency == 3
    assert len(model.requests) == 40


class Paced(ScriptedModel):
    """A model with an address and a pace."""

    settings = "{}"

    def __init__(self, pace: Pace, delay_s: float = 0.002) -> None:
        super().__init__(["ok"] * 1_000, delay_s=delay_s)
        self.pace = pace
        self.endpoint = f"http://test/{id(self)}"


async def sent_until(enough: int, model: Paced, text: str) -> tuple[int, float]:
    """Ask 200 times at once until some were sent; return how many were, and the seconds that it took."""
    asking, began_s = Asking(model=model, concurrency=200), time.monotonic()
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            await asking.ask([Message("user", text)])
            if len(model.requests) >= enough:
                tasks.cancel_scope.cancel()

        for _ in range(200):
            tasks.start_soon(ask)
    return len(model.requests), time.monotonic() - began_s


async def test_requests_of_a_minute_are_spread_over_it() -> None:
    model = Paced(Pace(requests_per_minute=600))  # 60 at once, then 9 a second
    sent, took_s = await sent_until(62, model, "hello")
    assert sent <= 61 + 9 * took_s


async def test_tokens_of_a_minute_are_spread_over_it() -> None:
    model = Paced(Pace(tokens_per_minute=60_000))  # 6,000 at once, then 900 a second
    sent, took_s = await sent_until(5, model, "word " * 400)  # 400 tokens and more
    assert sent <= 1 + (6_000 + 900 * took_s) / 400


async def test_a_provider_that_asks_to_wait_is_not_asked_by_others_meanwhile() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=1.5)
    asking = Asking(busy(429, retry_after_s=1.5), *["ok"] * 10, retries=slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking.ask)
        await anyio.sleep(0.1)
        tasks.start_soon(asking.ask)
        await anyio.sleep(0.1)
        assert len(asking.model.requests) == 1
    assert len(asking.model.requests) == 3


async def test_a_session_that_is_over_leaves_nothing_behind() -> None:
    model = ScriptedModel({"hello": "ok"})
    for _ in range(3):
        asking = Asking(model=model)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(asking.ask)
    limiter = model_state_of(model).rate_limiter
    assert limiter.active == 0
    assert limiter._queues == {}
    assert not limiter._turns
