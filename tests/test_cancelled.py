"""A run that a program cancels, with asyncio's own means, at whatever moment: it is closed, and can be resumed."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from rlmbox import RLM
from rlmbox.guard import Finding, Guard
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion
from runs import TEXT, repl

MOST = 200
LONG = "word " * 30_000


class CancelledAt:
    """Awaits something, and cancels the task where it is suspended for the n-th time.

    Args:
        work: What to await.
        places: The numbers of the suspensions, from 1.
    """

    def __init__(self, work: Awaitable[object], *places: int) -> None:
        self.suspended = 0
        self._steps = work.__await__()
        self._places = places

    def __await__(self) -> Generator[Any, Any, object]:
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._steps.send(None) if error is None else self._steps.throw(error)
            except StopIteration as end:
                return end.value
            self.suspended += 1
            task = asyncio.current_task()
            if self.suspended in self._places and task is not None:
                task.cancel()
            error = None
            try:
                yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - it is passed on to where it belongs
                error = thrown


@pytest.mark.parametrize("times", [1, 2])
async def test_a_run_cancelled_at_any_moment_lets_go_of_its_record_and_is_resumed_to_its_answer(
    tmp_path: Path, times: int
) -> None:
    ends: Counter[str] = Counter()
    store = SqliteStore(tmp_path / "runs.db")
    for place in range(1, MOST):
        run = f"r{place}"
        rlm = RLM(ScriptedModel(["It is Paris."] * 2), store=store, direct_below_chars=8_000)
        asked = CancelledAt(rlm.aask("Where?", "It was signed in Paris.", run_id=run), *range(place, place + times))

        async def waited(work: CancelledAt = asked) -> object:
            return await work

        try:
            await asyncio.create_task(waited())
        except asyncio.CancelledError:
            ends["cancelled"] += 1
        events = await store.read(run)
        store.hold(run).release()  # and raises if the cancelled one still has it
        if any(event.kind == "question_asked" for event in events):
            assert (await rlm.aresume(run)).text == "It is Paris."
            ends["resumed"] += 1
        assert [event.kind for event in events].count("session_finished") <= 1
        assert {event.kind for event in events}.isdisjoint({"session_failed"}) or events[-1].kind == "session_failed"
        if asked.suspended < place:
            break
    store.close()
    assert asked.suspended < place
    assert ends["cancelled"] > 5
    assert ends["resumed"] > 5


class Interrupting(ScriptedModel):
    """A model that is interrupted with Ctrl-C while it is asked for the second time."""

    async def complete(self, *arguments: Any, **options: Any) -> Completion:
        completion = await super().complete(*arguments, **options)
        if len(self.requests) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()
        return completion


def asked_of_a_session(rlm: RLM) -> None:
    with rlm.session(TEXT) as session:
        session.ask("Where?")


def taken_step_by_step(rlm: RLM) -> None:
    with rlm.session(TEXT, question="Where?") as session:
        while not session.is_finished:
            session.step()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals")
@pytest.mark.parametrize("ask", [lambda rlm: rlm.ask("Where?", TEXT), asked_of_a_session, taken_step_by_step])
def test_an_interrupt_has_the_results_so_far_however_the_question_was_put(ask: Callable[[RLM], object]) -> None:
    model = Interrupting(["In Paris, I think.\n" + repl("x = 1"), "FINAL(Paris)"])
    with pytest.raises(KeyboardInterrupt) as interrupt:
        ask(RLM(model, sandbox="monty"))
    partial = getattr(interrupt.value, "partial", None)
    assert partial is not None
    assert (partial.text, partial.turns, partial.complete) == ("In Paris, I think.", 1, False)


async def test_a_cancellation_has_the_results_so_far() -> None:
    class Cancelling(ScriptedModel):
        async def complete(self, *arguments: Any, **options: Any) -> Completion:
            completion = await super().complete(*arguments, **options)
            if len(self.requests) == 2:
                asked.cancel()
                await anyio.sleep_forever()
            return completion

    model = Cancelling(["In Paris, I think.\n" + repl("x = 1"), "FINAL(Paris)"])
    asked = asyncio.create_task(RLM(model, sandbox="monty").aask("Where?", TEXT))
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await asked
    assert getattr(cancelled.value, "partial", None).text == "In Paris, I think."


async def test_a_check_under_way_in_a_thread_has_ended_when_a_cancelled_question_has() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def detector(text: str) -> list[Finding]:
        if "word word" in text and threading.current_thread() is not threading.main_thread():
            begun.set()
            go_on.wait(20)
            ended.set()
        return []

    rlm = RLM(ScriptedModel([repl(f"print({LONG!r})"), "FINAL(x)"]), sandbox="monty", guard=Guard(detectors=[detector]))
    asked = asyncio.create_task(rlm.aask("Where?", TEXT))
    await anyio.to_thread.run_sync(begun.wait, 8)
    asked.cancel()
    asyncio.get_running_loop().call_later(0.2, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert begun.is_set()
    assert ended.is_set()
