"""A worker's end of the wire in the hands of a test, and one request over it."""

import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread

from rlmbox.sandboxes.worker._frames import Done, FrameLimits
from rlmbox.sandboxes.worker._link import Link, Lost
from rlmbox.types import CellLimits, HostFunction

LIMITS = CellLimits(output_chars=1000, output_flood_bytes=100_000)
DONE = {"type": "done", "id": 1, "outcome": "ok"}


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body


def raw(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def call(number: int, name: str = "echo", *args: object, **kwargs: object) -> bytes:
    return frame({"type": "call", "id": number, "name": name, "args": list(args), "kwargs": kwargs})


class Attacker:
    """The worker's end of the wire, in the hands of a test."""

    def __init__(self, wire: socket.socket, out: int, err: int) -> None:
        self.wire, self.out, self.err = wire, out, err

    def receive(self) -> Any:
        size = int.from_bytes(self._exactly(4), "big")
        return json.loads(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.wire.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def send(self, data: bytes) -> None:
        self.wire.sendall(data)

    def stay(self) -> None:
        """Sends nothing more and stays until the host hangs up."""
        while self.wire.recv(65536):
            pass

    def stay_without_reading(self) -> None:
        """Reads nothing and stays until the host hangs up."""
        hung_up = select.poll()
        hung_up.register(self.wire, 0)
        hung_up.poll()


@contextmanager
def linked(*functions: HostFunction) -> Iterator[tuple[Link, socket.socket]]:
    """Gives a link to a worker that prints nothing, and the worker's end of the wire."""
    ours, theirs = socket.socketpair()
    link = Link(ours, (), LIMITS, {f.name: f for f in functions})
    try:
        yield link, theirs
    finally:
        link.close()
        theirs.close()


Script = Callable[[Attacker], None]


async def meet(
    script: Script,
    *functions: HostFunction,
    limits: CellLimits = LIMITS,
    frame_limits: FrameLimits | None = None,
    timeout_s: float = 5.0,
) -> tuple[Done | Lost, tuple[str, ...]]:
    """Sends one request to a worker that follows the script, and gives what came of it."""
    ours, theirs = socket.socketpair()
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    link = Link(ours, (out, err), limits, {f.name: f for f in functions}, frame_limits)

    def play() -> None:
        attacker = Attacker(theirs, to_out, to_err)
        try:
            attacker.receive()
            script(attacker)
        except OSError:
            pass  # the host has hung up
        finally:
            theirs.close()
            os.close(to_out)
            os.close(to_err)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, play)
        try:
            reply = await link.request({"type": "execute", "code": ""}, timeout_s)
            printed = tuple(text.text() for text in link.printed())
        finally:
            link.close()
    return reply, printed


async def lost(script: Script, *functions: HostFunction, **options: Any) -> Lost:
    reply, _ = await meet(script, *functions, **options)
    assert isinstance(reply, Lost), reply
    return reply


ECHO = HostFunction("echo", lambda value=None: value, "gives its argument back")
