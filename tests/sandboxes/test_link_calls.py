"""How calls of host functions that a cell makes are answered."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from rlmbox.sandboxes.worker._frames import Done
from rlmbox.types import HostFunction
from sandboxes.wire import DONE, ECHO, LIMITS, Attacker, call, frame, lost, meet

pytestmark = pytest.mark.usefixtures("little_grace")


async def test_calls_are_answered_as_they_finish() -> None:
    async def wait(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    got: list[Any] = []

    def script(worker: Attacker) -> None:
        worker.send(call(1, "wait", 0.2) + call(2, "wait", 0.01) + call(3, "echo", "x"))
        got.extend(worker.receive() for _ in range(3))
        worker.send(frame(DONE))
        worker.stay()

    await meet(script, HostFunction("wait", wait, "waits"), ECHO)
    assert sorted((answer["id"], answer["value"]) for answer in got) == [(1, 0.2), (2, 0.01), (3, "x")]
    assert [answer["id"] for answer in got][-1] == 1


FAILURES: dict[str, tuple[Callable[[], object], dict[str, str]]] = {
    "a plain exception": (lambda: int("x"), {"type": "ValueError"}),
    "a key error": (lambda: dict[str, str]()["k"], {"type": "KeyError", "message": "k"}),
    "an object": (object, {"type": "TypeError"}),
    "not a number": (lambda: float("nan"), {"type": "TypeError"}),
    "a set in a list": (lambda: [{1}], {"type": "TypeError"}),
}


@pytest.mark.parametrize(("function", "wanted"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failing_function_is_an_answer(function: Callable[[], object], wanted: dict[str, str]) -> None:
    got: list[dict[str, Any]] = []

    def script(worker: Attacker) -> None:
        for number in range(1, 8):  # in a thread first, at once later
            worker.send(call(number, "fails"))
            got.append(worker.receive())
        worker.send(frame(DONE))
        worker.stay()

    reply, _ = await meet(script, HostFunction("fails", function, "fails"))
    assert isinstance(reply, Done)
    assert len(got) == 7
    for answer in got:
        assert {key: answer["error"][key] for key in wanted} == wanted


async def test_the_deadline_stands_still_during_a_call_and_goes_on_after_it() -> None:
    async def wait() -> None:
        await anyio.sleep(0.6)

    answered = []

    def script(worker: Attacker) -> None:
        worker.send(call(1, "wait"))
        answered.append(worker.receive())
        worker.stay()

    reply = await lost(script, HostFunction("wait", wait, "waits"), timeout_s=0.2)
    assert [(answer["id"], answer["value"]) for answer in answered] == [(1, None)]
    assert answered[0]["free_s"] >= 0.6
    assert reply.outcome == "timeout"


async def test_the_deadline_goes_on_during_calls_that_are_answered_at_once() -> None:
    answered = []

    async def note() -> None:
        """Do nothing."""

    def script(worker: Attacker) -> None:
        for number in range(1, 10**9):
            worker.send(call(number, "note"))
            answered.append(worker.receive())

    began = time.monotonic()
    reply = await lost(script, HostFunction("note", note, "notes"), timeout_s=0.2)
    assert reply.outcome == "timeout"
    assert time.monotonic() - began < 10
    assert all("free_s" not in answer for answer in answered[:10])


async def test_more_calls_than_allowed_are_refused_without_being_made() -> None:
    made: list[int] = []
    got: list[Any] = []

    def script(worker: Attacker) -> None:
        for number in range(1, 6):
            worker.send(call(number, "note", number))
            got.append(worker.receive())
        worker.send(frame(DONE))
        worker.stay()

    await meet(script, HostFunction("note", made.append, "notes"), limits=replace(LIMITS, host_calls=3))
    assert made == [1, 2, 3]
    assert [("error" in answer) for answer in got] == [False, False, False, True, True]
    assert "3 calls" in got[-1]["error"]["message"]


async def test_a_function_that_turns_slow_goes_back_to_a_thread() -> None:
    threads: list[int] = []
    pauses = iter([0.0] * 6 + [0.05] + [0.0] * 2)

    def note() -> None:
        threads.append(threading.get_ident())
        time.sleep(next(pauses))

    def script(worker: Attacker) -> None:
        for number in range(1, 10):
            worker.send(call(number, "note"))
            worker.receive()
        worker.send(frame(DONE))
        worker.stay()

    await meet(script, HostFunction("note", note, "notes"))
    here = [thread == threading.get_ident() for thread in threads]
    assert not any(here[:3])
    assert not any(here[7:])


async def test_a_function_may_give_something_to_await() -> None:
    async def answer() -> int:
        return 7

    got = []

    def script(worker: Attacker) -> None:
        for number in range(1, 8):
            worker.send(call(number, "later"))
            got.append(worker.receive()["value"])
        worker.send(frame(DONE))
        worker.stay()

    await meet(script, HostFunction("later", lambda: answer(), "answers later"))
    assert got == [7] * 7
