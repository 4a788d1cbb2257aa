"""The host survives a worker that does whatever it likes, and says what it did."""

import asyncio
import os
import socket
import time
import tracemalloc
from typing import Any

import anyio
import pytest

from rlmbox.sandboxes.worker._frames import Done, FrameLimits
from rlmbox.sandboxes.worker._link import Link
from rlmbox.types import HostFunction
from sandboxes.wire import DONE, ECHO, LIMITS, Attacker, call, frame, lost, meet

pytestmark = pytest.mark.usefixtures("little_grace")


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


async def test_a_large_answer_does_not_wait_for_a_slow_reader_for_ever() -> None:
    def script(worker: Attacker) -> None:
        worker.send(call(1, "large"))
        worker.stay_without_reading()

    reply = await lost(script, HostFunction("large", lambda: "x" * 20_000_000, "gives much"), timeout_s=0.1)
    assert reply.outcome == "timeout"


class SlowSocket(socket.socket):
    """A socket whose sends take their time, as they do beside a thread that wants to run Python."""

    turn: int = 0
    sent_in: list[int]

    def send(self, data: Any, flags: int = 0) -> int:
        time.sleep(0.004)
        self.sent_in.append(self.turn)
        return super().send(data[:4_096], flags)


async def test_a_long_frame_is_written_in_turns_with_the_other_tasks_of_the_loop() -> None:
    ours, theirs = socket.socketpair()
    wire = SlowSocket(fileno=ours.detach())
    wire.sent_in = []
    link = Link(wire, (), LIMITS, {})

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            wire.turn += 1

    def read_and_answer() -> None:
        Attacker(theirs, -1, -1).receive()
        theirs.sendall(frame(DONE))

    beside = asyncio.create_task(others())
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, read_and_answer)
            reply = await link.request({"type": "execute", "code": "#" * 200_000}, 30.0)
        assert isinstance(reply, Done)
        assert len({*wire.sent_in}) >= len(wire.sent_in) / 3  # two sends in a turn at most
    finally:
        beside.cancel()
        link.close()
        theirs.close()
