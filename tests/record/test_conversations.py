"""A conversation of several questions goes on at the last of them, and those before stay as they ended."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import MaxTurnsExceeded, ModelError, RLMError, TimeLimitExceeded
from rlmbox.events import Event, QuestionAsked, SessionFailed
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion
from runs import TEXT, repl

AWAY = ModelError("away", status=401)
LATE = "late"


class SometimesLate(ScriptedModel):
    """A model that keeps one of its replies for longer than anybody waits."""

    async def complete(self, *arguments: Any, **options: Any) -> Completion:
        reply = await super().complete(*arguments, **options)
        if reply.text == LATE:
            await asyncio.sleep(30)
        return reply


def rlm(store: object, script: Sequence[Any], **options: Any) -> RLM:
    root = SometimesLate(script, name="root")
    return RLM(root, store=store, sandbox="monty", **options)  # type: ignore[arg-type]


async def goes_on(store: MemoryStore, script: Sequence[Any], **options: Any) -> Any:
    """Goes on to an answer, for which no more is asked than the script has, and replays it."""
    limits = options.pop("limits", None)
    again = rlm(store, script, **options)
    before = await store.read("r")
    answer = await again.aresume("r", limits=limits)
    assert len(again.model.requests) == len(script)  # type: ignore[attr-defined]
    after = await store.read("r")
    assert list(after[: len(before)]) == list(before)
    assert _asked(after) == _asked(before)
    seen: list[Event] = []
    replayed = await RLM(store=store, sandbox="monty", hooks=[seen.append]).areplay("r")
    assert replayed == answer
    return answer.value


def _asked(events: Sequence[Event]) -> list[str]:
    return [event.question for event in events if isinstance(event, QuestionAsked)]


async def test_after_a_question_whose_provider_failed() -> None:
    store = MemoryStore()
    async with rlm(store, [repl("x = 20"), AWAY, repl("y = x + 1"), AWAY]).session(TEXT, run_id="r") as session:
        with pytest.raises(ModelError):
            await session.ask("First?")
        with pytest.raises(ModelError):
            await session.ask("Second?")
    assert await goes_on(store, [repl("FINAL(y)")]) == 21


async def test_after_a_question_that_was_interrupted() -> None:
    store = MemoryStore()
    waits = asyncio.Event()

    made = rlm(store, [repl("x = 20"), LATE, repl("y = x + 1"), AWAY])
    async with made.session(
        TEXT, run_id="r", hooks=[lambda e: waits.set() if e.kind == "turn_finished" else None]
    ) as s:
        task = asyncio.create_task(s.ask("First?"))
        await waits.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ModelError):
            await s.ask("Second?")
    assert await goes_on(store, [repl("FINAL(y)")]) == 21


@pytest.mark.parametrize("last_answer", [True, False])
async def test_after_a_question_that_ended_at_a_limit_of_its_own(last_answer: bool) -> None:
    store = MemoryStore()
    script = [repl("x = 20"), *(["FINAL(a guess)"] if last_answer else []), repl("y = x + 1"), AWAY]
    async with rlm(store, script).session(TEXT, run_id="r") as session:
        with pytest.raises(MaxTurnsExceeded):
            await session.ask("First?", limits=Limits(max_turns=1, last_answer=last_answer))
        with pytest.raises(ModelError):
            await session.ask("Second?")
    assert await goes_on(store, [repl("FINAL(y)")]) == 21


async def test_after_a_question_whose_time_was_up() -> None:
    store = MemoryStore()

    script = [repl("x = 20"), LATE, repl("y = x + 1"), AWAY]
    async with rlm(store, script).session(TEXT, run_id="r") as session:
        with pytest.raises(TimeLimitExceeded):
            await session.ask("First?", limits=Limits(max_seconds=1, last_answer=False))
        with pytest.raises(ModelError):
            await session.ask("Second?")
    assert await goes_on(store, [repl("FINAL(y)")]) == 21


async def test_with_wider_limits_an_earlier_question_stays_as_it_ended() -> None:
    store = MemoryStore()
    script = [repl("x = 20"), "FINAL(a guess)", repl("y = x + 1"), AWAY]
    async with rlm(store, script, limits=Limits(max_turns=1)).session(TEXT, run_id="r") as session:
        with pytest.raises(MaxTurnsExceeded):
            await session.ask("First?")
        with pytest.raises(RLMError):
            await session.ask("Second?")
    assert await goes_on(store, [repl("FINAL(y)")], limits=Limits(max_turns=9)) == 21
    failed = [event for event in await store.read("r") if isinstance(event, SessionFailed)]
    assert len(failed) == 2


async def test_the_type_of_an_answer_is_that_of_its_question() -> None:
    store = MemoryStore()
    async with rlm(store, ["FINAL(one)", AWAY]).session(TEXT, run_id="r") as session:
        await session.ask("First?")
        with pytest.raises(ModelError):
            await session.ask("Second?", returns=list[int])
    assert await goes_on(store, ["FINAL(no list)", repl("FINAL([1, 2])")]) == [1, 2]


async def test_the_type_of_the_first_is_not_that_of_the_second() -> None:
    store = MemoryStore()
    async with rlm(store, [repl("FINAL([1])"), AWAY]).session(TEXT, run_id="r") as session:
        assert (await session.ask("First?", returns=list[int])).value == [1]
        with pytest.raises(ModelError):
            await session.ask("Second?")
    assert await goes_on(store, ["FINAL(words)"]) == "words"


async def test_limits_of_the_first_question_alone_hold_when_it_goes_on() -> None:
    store = MemoryStore()
    async with rlm(store, [repl("x = 1"), AWAY]).session(TEXT, run_id="r") as session:
        with pytest.raises(ModelError):
            await session.ask("First?", limits=Limits(max_turns=2, last_answer=False))
    with pytest.raises(MaxTurnsExceeded):
        await rlm(store, [repl("x = 2"), repl("x = 3")]).aresume("r")


async def test_where_the_process_ended_between_two_questions_the_first_has_its_answer() -> None:
    store, script = MemoryStore(), [repl("x = 20"), "FINAL(one)", repl("FINAL(x + 1)")]
    async with rlm(store, script).session(TEXT, run_id="r") as session:
        await session.ask("First?")
        await session.ask("Second?")
    events = await store.read("r")
    second = [event.sequence for event in events if isinstance(event, QuestionAsked)][1]
    for cut in range(second - 3, second):
        shorter = MemoryStore()
        for event in events[:cut]:
            shorter.write(event)
        assert (await rlm(shorter, []).aresume("r")).value == "one"
        assert (await rlm(shorter, []).areplay("r")).value == "one"
