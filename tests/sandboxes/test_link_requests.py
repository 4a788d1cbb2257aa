"""A link over more than one request: what comes before, between and after them."""

import os
import socket
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

from rlmbox.context import Context
from rlmbox.sandboxes.worker._frames import Done
from rlmbox.sandboxes.worker._link import Link, Lost
from rlmbox.types import HostFunction
from sandboxes.wire import DONE, ECHO, LIMITS, Attacker, call, frame, linked

pytestmark = pytest.mark.usefixtures("little_grace")


async def test_bytes_sent_between_two_requests_end_the_worker() -> None:
    with linked() as (link, theirs):
        theirs.sendall(frame(DONE))
        reply = await link.request({"type": "execute", "code": ""}, 1)
        assert isinstance(reply, Lost)
        assert "not asked for" in reply.message


async def test_a_worker_that_ended_between_two_requests_is_noticed() -> None:
    with linked() as (link, theirs):
        theirs.close()
        reply = await link.request({"type": "execute", "code": ""}, 1)
        assert isinstance(reply, Lost)
        assert reply.ended


async def test_calls_are_refused_before_the_first_cell() -> None:
    with linked(ECHO) as (link, theirs):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, partial(_answer_start, theirs, call(1, "echo")))
            reply = await link.open({}, 5)
        assert isinstance(reply, Lost)


def _answer_start(theirs: socket.socket, data: bytes) -> None:
    assert Attacker(theirs, -1, -1).receive() == {"type": "start"}
    theirs.sendall(data)


async def test_a_request_can_be_cancelled() -> None:
    with linked() as (link, _):
        with anyio.move_on_after(0.05) as scope:
            await link.request({"type": "execute", "code": ""}, 60)
        assert scope.cancelled_caught


async def test_a_thread_that_reads_for_a_cell_that_was_stopped_is_told_that_nobody_waits() -> None:
    begun, ended, said = threading.Event(), threading.Event(), list[str]()
    context = Context.from_text("a b c " * 10)

    def count() -> int:
        begun.set()
        try:
            while True:  # a text that has no end
                context.tally(r"\w+", timeout_s=60)
        except ValueError as error:
            said.append(str(error))
            ended.set()
            return 0

    with linked(HostFunction("count", count, "counts")) as (link, theirs):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.request, {"type": "execute", "code": ""}, 60)
            await anyio.to_thread.run_sync(Attacker(theirs, -1, -1).receive)
            theirs.sendall(call(1, "count"))
            assert await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(ended.wait, 30)
    assert said == ["the search was stopped: nobody waits for it any more"]


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
    with linked() as (link, _):
        link.abort()
        reply = await link.request({"type": "execute", "code": ""}, 60)
        assert isinstance(reply, Lost)
        assert "closed" in reply.message
