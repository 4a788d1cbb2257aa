"""The host survives a worker that does whatever it likes, and says what it did."""

import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from rlmbox.sandboxes.worker import _link
from rlmbox.sandboxes.worker._frames import Done, FrameLimits
from rlmbox.sandboxes.worker._link import Link, Lost
from rlmbox.types import HostFunction
from sandboxes.wire import DONE, ECHO, LIMITS, Attacker, call, frame, lost, meet


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_link, "GRACE_S", 0.1)


async def test_a_reply_arrives_byte_by_byte() -> None:
    def script(worker: Attacker) -> None:
        for byte in frame({**DONE, "stdout": "é🎉", "value": [1]}):
            worker.send(bytes([byte]))
        worker.stay()

    reply, _ = await meet(script)
    assert isinstance(reply, Done)
    assert (reply.stdout, reply.value) == ("é🎉", [1])


async def test_half_a_frame_ends_at_the_deadline() -> None:
    def script(worker: Attacker) -> None:
        worker.send(b"\x00\x00\x01\x00{")
        worker.stay()

    assert (await lost(script, timeout_s=0.1)).outcome == "timeout"


async def test_silence_ends_at_the_deadline() -> None:
    assert (await lost(Attacker.stay, timeout_s=0.1)).outcome == "timeout"


async def test_a_worker_that_goes_away_is_noticed() -> None:
    reply = await lost(lambda worker: None)
    assert reply.outcome == "crashed"
    assert reply.ended


async def test_a_worker_that_goes_away_in_a_frame_is_noticed() -> None:
    reply = await lost(lambda worker: worker.send(b"\x00\x00\x01\x00{"))
    assert reply.ended


async def test_a_call_number_cannot_be_used_twice() -> None:
    def script(worker: Attacker) -> None:
        worker.send(call(5, "echo", 1))
        worker.receive()
        worker.send(call(5, "echo", 1))
        worker.stay()

    assert "number of a call again" in (await lost(script, ECHO)).message


async def test_an_urgent_byte_is_a_byte_of_the_wire_like_any_other() -> None:
    def script(worker: Attacker) -> None:
        worker.wire.send(b"x", socket.MSG_OOB)
        worker.send(frame(DONE))
        worker.stay()

    assert "announced a frame of" in (await lost(script)).message


async def test_a_cell_cannot_end_while_a_call_is_under_way() -> None:
    ended = []

    async def wait() -> None:
        try:
            await anyio.sleep(60)
        finally:
            ended.append(True)

    def script(worker: Attacker) -> None:
        worker.send(call(1, "wait") + frame(DONE))
        worker.stay()

    reply = await lost(script, HostFunction("wait", wait, "waits"))
    assert "while it waited for a host call" in reply.message
    assert ended == [True]


async def test_too_many_calls_at_once_end_the_worker() -> None:
    async def wait() -> None:
        await anyio.sleep(60)

    def script(worker: Attacker) -> None:
        for number in range(1, 100):
            worker.send(call(number, "wait"))
        worker.stay()

    assert "more than 16 calls at once" in (await lost(script, HostFunction("wait", wait, "waits"))).message


async def test_answers_that_are_not_taken_do_not_pile_up() -> None:
    def script(worker: Attacker) -> None:
        for number in range(1, 10):  # until the function is known to be quick
            worker.send(call(number, "large"))
            worker.receive()
        while True:
            number += 1
            worker.send(call(number, "large"))

    tracemalloc.start()
    try:
        reply = await lost(script, HostFunction("large", lambda: "x" * 1_000_000, "gives much"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reply.outcome in ("crashed", "timeout")
    assert peak < 60_000_000


async def test_a_flood_of_bytes_ends_the_worker() -> None:
    def script(worker: Attacker) -> None:
        for number in range(1, 100):
            worker.send(call(number, "echo", "x" * 100_000))
            worker.receive()
        worker.stay()

    reply = await lost(script, ECHO, frame_limits=FrameLimits(cell_bytes=1_000_000))
    assert "more than 1,000,000 bytes for one cell" in reply.message


async def test_a_flood_of_frames_ends_the_worker() -> None:
    def script(worker: Attacker) -> None:
        for number in range(1, 1000):
            worker.send(call(number))
            worker.receive()
        worker.stay()

    reply = await lost(script, ECHO, frame_limits=FrameLimits(burst_frames=50, frames_per_s=1))
    assert "frames per second" in reply.message


async def test_a_flood_on_the_descriptors_ends_the_worker() -> None:
    def script(worker: Attacker) -> None:
        while True:
            os.write(worker.out, b"x" * 60_000)

    def resisting(worker: Attacker) -> None:
        try:
            script(worker)
        except BrokenPipeError:
            worker.stay()

    reply = await lost(resisting)
    assert reply.outcome == "output"


async def test_output_on_the_descriptors_is_kept_bounded() -> None:
    def script(worker: Attacker) -> None:
        os.write(worker.out, "é".encode() * 5000 + b"\xff")
        os.write(worker.err, b"err")
        worker.send(frame(DONE))
        worker.stay()

    _, (out, err) = await meet(script)
    assert out.startswith("é" * 500 + "\n... [4,001 characters dropped] ...\n")
    assert out.endswith("é\ufffd")
    assert err == "err"


async def test_descriptors_that_are_closed_do_no_harm() -> None:
    def script(worker: Attacker) -> None:
        for fd in (worker.out, worker.err):
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), fd, inheritable=False)
        time.sleep(0.05)
        worker.send(frame(DONE))
        worker.stay()

    reply, _ = await meet(script)
    assert isinstance(reply, Done)


async def test_announcing_much_allocates_nothing() -> None:
    def script(worker: Attacker) -> None:
        worker.send((64 * 1024 * 1024).to_bytes(4, "big") + b"[")
        worker.stay()

    tracemalloc.start()
    try:
        reply = await lost(script, timeout_s=0.1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reply.outcome == "timeout"
    assert peak < 5_000_000


async def test_calls_are_answered_as_they_finish() -> None:
    async def wait(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    got: list[object] = []

    def script(worker: Attacker) -> None:
        worker.send(call(1, "wait", 0.2) + call(2, "wait", 0.01) + call(3, "echo", "x"))
        got.extend(worker.receive() for _ in range(3))
        worker.send(frame(DONE))
        worker.stay()

    await meet(script, HostFunction("wait", wait, "waits"), ECHO)
    assert sorted(got, key=lambda answer: answer["id"]) == [
        {"id": 1, "value": 0.2},
        {"id": 2, "value": 0.01},
        {"id": 3, "value": "x"},
    ]
    assert [answer["id"] for answer in got][-1] == 1


FAILURES: dict[str, tuple[Callable[[], object], dict[str, str]]] = {
    "a plain exception": (lambda: int("x"), {"type": "ValueError"}),
    "a key error": (lambda: {}["k"], {"type": "KeyError", "message": "k"}),
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
    assert answered == [{"id": 1, "value": None}]
    assert reply.outcome == "timeout"


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


async def test_a_large_answer_does_not_wait_for_a_slow_reader_for_ever() -> None:
    def script(worker: Attacker) -> None:
        worker.send(call(1, "large"))
        time.sleep(1.5)

    reply = await lost(script, HostFunction("large", lambda: "x" * 20_000_000, "gives much"), timeout_s=0.1)
    assert reply.outcome == "timeout"


async def test_bytes_sent_between_two_requests_end_the_worker() -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {})
    try:
        theirs.sendall(frame(DONE))
        reply = await link.request({"type": "execute", "code": ""}, 1)
        assert isinstance(reply, Lost)
        assert "not asked for" in reply.message
    finally:
        link.close()
        theirs.close()


async def test_a_worker_that_ended_between_two_requests_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {})
    try:
        theirs.close()
        reply = await link.request({"type": "execute", "code": ""}, 1)
        assert isinstance(reply, Lost)
        assert reply.ended
    finally:
        link.close()


async def test_calls_are_refused_before_the_first_cell() -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {"echo": ECHO})
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, partial(_answer_start, theirs, call(1, "echo")))
            reply = await link.open({}, 5)
        assert isinstance(reply, Lost)
    finally:
        link.close()
        theirs.close()


def _answer_start(theirs: socket.socket, data: bytes) -> None:
    assert Attacker(theirs, -1, -1).receive() == {"type": "start"}
    theirs.sendall(data)


async def test_a_request_can_be_cancelled() -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {})
    try:
        with anyio.move_on_after(0.05) as scope:
            await link.request({"type": "execute", "code": ""}, 60)
        assert scope.cancelled_caught
    finally:
        link.close()
        theirs.close()


async def test_what_comes_between_two_requests_is_left_where_it_is_until_the_next() -> None:
    ours, theirs = socket.socketpair()
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    link = Link(ours, (out, err), LIMITS, {})
    try:
        worker = Attacker(theirs, to_out, to_err)
        for number in (1, 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, partial(_answer, worker, number))
                assert isinstance(await link.request({"type": "execute", "code": ""}, 5), Done)
            os.write(to_out, b"late")
            await anyio.sleep(0.01)  # the event loop has seen it by then
        theirs.sendall(b"unasked")
        await anyio.sleep(0.01)
        assert "not asked for" in getattr(await link.request({"type": "execute", "code": ""}, 5), "message", "")
    finally:
        link.close()
        theirs.close()
        os.close(to_out)
        os.close(to_err)


def _answer(worker: Attacker, number: int) -> None:
    worker.receive()
    worker.send(frame({**DONE, "id": number}))


def test_a_link_may_be_used_on_one_event_loop_after_another() -> None:
    ours, theirs = socket.socketpair()
    worker = Attacker(theirs, -1, -1)

    async def once(link: Link, number: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, partial(_answer, worker, number))
            assert isinstance(await link.request({"type": "execute", "code": ""}, 5), Done)

    async def first() -> Link:
        link = Link(ours, (), LIMITS, {})
        await once(link, 1)
        return link

    link = anyio.run(first)
    try:
        anyio.run(once, link, 2)
    finally:
        link.close()
        theirs.close()


async def test_a_link_that_was_aborted_answers_nothing_more() -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {})
    try:
        link.abort()
        reply = await link.request({"type": "execute", "code": ""}, 60)
        assert isinstance(reply, Lost)
        assert "closed" in reply.message
    finally:
        link.close()
        theirs.close()
