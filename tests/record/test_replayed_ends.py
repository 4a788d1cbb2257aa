"""A run that was ended at some moment ends at the same one when it is replayed, however far its code would get now."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import BudgetExceeded, TimeLimitExceeded
from rlmbox.events import CellStarted, Event, ModelReplied, TurnFinished
from rlmbox.models.prices import FlatPrice
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Usage
from runs import TEXT, repl

LIMITS = Limits(max_seconds=600, max_turns=1, last_answer=False)


@pytest.fixture
def use_up_the_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which an hour has passed."""
    now = time.monotonic

    def later() -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now() + 3_600)

    return later


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (repl("x = 1"), TurnFinished),
        (repl("FINAL('Paris')"), CellStarted),
        ("FINAL(Paris)", ModelReplied),
    ],
)
async def test_a_run_whose_time_was_up_is_replayed_to_the_same_end(
    reply: str, kind: type[Event], use_up_the_time: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()

    def slow(event: Event) -> None:
        if isinstance(event, kind):
            use_up_the_time()

    def made(*replies: str, **options: Any) -> RLM:
        return RLM(ScriptedModel(replies), store=store, sandbox="monty", direct_below_chars=0, **options)

    with pytest.raises(TimeLimitExceeded) as ended:
        await made(reply, limits=LIMITS, hooks=[slow]).aask("How?", TEXT, run_id="r")
    monkeypatch.undo()
    events = await store.read("r")

    with pytest.raises(TimeLimitExceeded) as again:
        await made().areplay("r")

    assert str(again.value) == str(ended.value)
    assert again.value.partial == ended.value.partial is not None
    assert await store.read("r") == events


async def test_a_reply_that_cost_more_than_the_limit_ends_a_replay_too() -> None:
    dear = Completion(repl("x = 1"), Usage(10, 0, 1_000_000, 0, 1), "scripted")
    model = ScriptedModel([dear], price=FlatPrice(Decimal(1), Decimal(1), origin="test"))
    limits = Limits(cost_limit_usd="0.5", max_turns=1, last_answer=False)
    store = MemoryStore()
    with pytest.raises(BudgetExceeded) as ended:
        await RLM(model, store=store, limits=limits, sandbox="monty").aask("How?", TEXT, run_id="r")

    with pytest.raises(BudgetExceeded) as again:
        await RLM(ScriptedModel([]), store=store, sandbox="monty").areplay("r")

    assert str(again.value) == str(ended.value)
    assert again.value.partial == ended.value.partial


async def test_a_session_goes_on_after_a_question_whose_time_was_up_while_its_answer_was_checked(
    use_up_the_time: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()

    async def is_slow(answer: Any) -> None:
        if answer.text == "Paris":
            use_up_the_time()
            await anyio.sleep(10)

    def made(*replies: str) -> RLM:
        return RLM(ScriptedModel(replies), store=store, sandbox="monty", direct_below_chars=0, validate=is_slow)

    async with made("FINAL(Paris)", "FINAL(Rome)").session(TEXT, run_id="r") as session:
        with pytest.raises(TimeLimitExceeded):
            await session.ask("First?", limits=LIMITS)
        monkeypatch.undo()
        assert (await session.ask("Second?")).text == "Rome"
    events = await store.read("r")

    assert (await made().areplay("r")).text == "Rome"
    assert (await made().aresume("r")).text == "Rome"
    assert await store.read("r") == events
