"""An HTTP server on loopback that speaks the providers' protocols and plays a script.

With it, tests, also of programs in other processes, go through the real SDK and a real socket without access to a paid
model:

    with ProviderServer(["first reply", http_fault(429), "second reply"]) as server:
        model = provider_model("openai:any", base_url=server.openai_url)
"""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from rlmbox.models.reply_fields import WireProtocol
from rlmbox.testing.provider_wire import (
    ProviderReply,
    ProviderRequest,
    error_body,
    recognise,
    reply_body,
    stream_body,
    too_long_message,
)

FaultKind = Literal[
    "status", "too_long", "reset", "truncated", "not_json", "no_choice", "hang", "hang_up", "bomb", "huge"
]


@dataclass(frozen=True, slots=True)
class ProviderFault:
    """A fault instead of a reply.

    Attributes:
        kind: `status` answers with an HTTP error, `too_long` with the provider's refusal of a request longer than the
            window. `reset` closes the connection in the middle of the body, `truncated` sends half of the JSON as if it
            were complete, `not_json` a web page, and `no_choice` an empty JSON object. `hang` never answers, `hang_up`
            closes the connection instead, `bomb` sends a small compressed body that expands to 80 MB, and `huge` 100 MB
            uncompressed.
        status: The HTTP status of `status`.
        message: The provider's message; by default it repeats the key of the request, as some providers do.
        code: OpenAI's machine-readable code.
        headers: More headers, such as `Retry-After`.
        details: Google's details of an error.
        delay_s: Delay of the answer, in seconds.
    """

    kind: FaultKind = "status"
    status: int = 500
    message: str = ""
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    details: tuple[Mapping[str, str], ...] = ()
    delay_s: float = 0.0


def http_fault(
    status: int, *, retry_after: str | None = None, message: str = "", code: str | None = None
) -> ProviderFault:
    """Return an HTTP error.

    Args:
        status: The status.
        retry_after: The `Retry-After` header, or None.
        message: The provider's message.
        code: OpenAI's machine-readable code.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return ProviderFault("status", status, message, code, MappingProxyType(headers))


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply given byte for byte, for what no provider should send but some do.

    Attributes:
        body: The body: bytes or a string as is, anything else as JSON.
        status: The HTTP status.
        headers: More headers.
        delay_s: Delay of the answer, in seconds.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    delay_s: float = 0.0


ProviderAnswer = str | ProviderReply | ProviderFault | RawReply
ScriptEntry = ProviderAnswer | Callable[[ProviderRequest], ProviderAnswer]
Script = ScriptEntry | Iterable[ScriptEntry]


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    headers: Mapping[str, str]
    sent_bytes: int | None = None
    copies: int = 1
    pause_s: float = 0.0


class ProviderServer:
    """A server that plays a script of replies and faults, one entry per request.

    It runs in a thread of its own while it is open (`with` or `async with`). A script is a list, or a single entry that
    answers every request. An entry is a string, a `ProviderReply`, a `ProviderFault`, or a function from the request to
    one of these, called in the server's thread. After the end of the script, the answer is status 400 with a message
    that says so.

    Attributes:
        requests: The received requests, in order.
        max_concurrency: Largest number of simultaneous requests.
        left: Number of clients that disconnected while their request hung.
        port: The port on 127.0.0.1.
    """

    def __init__(self, script: Script = "ok") -> None:
        self.requests: list[ProviderRequest] = []
        self.max_concurrency = 0
        self.left = 0
        self.port = 0
        one = isinstance(script, str | ProviderReply | ProviderFault | RawReply) or callable(script)
        self._entries: Iterator[ScriptEntry] = repeat(script) if one else iter(script)  # type: ignore[arg-type]
        self._under_way = 0
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="provider-server", daemon=True)

    @property
    def url(self) -> str:
        """The URL without a path: the base URL for Anthropic, Google and Azure."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's protocol."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, None, None, None)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        connections: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            connections[task] = writer
            # Some tests are about clients that disconnect in the middle of an exchange.
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del connections[task]

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        # A connection that was just accepted has no writer yet; closing the server now would leave it open.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in connections.values():
                writer.transport.abort()
            await asyncio.wait(others, timeout=0.02)
        server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request_line, *lines = head.decode("latin-1").split("\r\n")
            path = request_line.split(" ")[1]
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
            self._under_way += 1
            self.max_concurrency = max(self.max_concurrency, self._under_way)
            try:
                response = await self._answer(path, headers, raw, reader)
            finally:
                self._under_way -= 1
            if response is None or not await _send(writer, response):
                return

    async def _answer(
        self, path: str, headers: Mapping[str, str], raw: bytes, reader: asyncio.StreamReader
    ) -> _Response | None:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        request = recognise(path, MappingProxyType(dict(headers)), body)
        if request is None:
            return _error("openai", 404, f"the test server has nothing at {path}")
        self.requests.append(request)
        entry = next(self._entries, None)
        if entry is None:
            return _error(request.protocol, 400, "the test server's script is over")
        try:
            answer = entry(request) if callable(entry) else entry
        except Exception as error:  # noqa: BLE001 - an error of the test, reported as the provider's refusal
            return _error(request.protocol, 400, f"the test server's script raised {error!r}")
        answer = ProviderReply(answer) if isinstance(answer, str) else answer
        if isinstance(answer, ProviderFault) and answer.kind == "hang":
            # A client sends nothing before it has its answer, so the next read ends with the connection.
            if not await reader.read(1):
                self.left += 1
            return None
        if answer.delay_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), answer.delay_s)
        return _response(request, answer)


def _response(request: ProviderRequest, answer: ProviderReply | ProviderFault | RawReply) -> _Response | None:
    if isinstance(answer, RawReply):
        text = answer.body if isinstance(answer.body, str | bytes) else json.dumps(answer.body)
        raw = text if isinstance(text, bytes) else text.encode()
        return _Response(answer.status, raw, {"Content-Type": "application/json", **answer.headers})
    if isinstance(answer, ProviderReply):
        return _replied(request, answer)
    if answer.kind == "status":
        message = answer.message or f"refused the request of {request.key}"
        body = error_body(request.protocol, answer.status, message, answer.code)
        if answer.details:
            body["error"]["details"] = [dict(detail) for detail in answer.details]
        return _json(answer.status, body, answer.headers)
    if answer.kind == "too_long":
        return _error(request.protocol, 400, *too_long_message(request.protocol))
    return _broken(request, answer.kind)


def _replied(request: ProviderRequest, reply: ProviderReply) -> _Response:
    """Return a good reply, in the requested form."""
    if not request.streams:
        return _json(200, reply_body(request, reply))
    return _Response(200, stream_body(request, reply), {"Content-Type": "text/event-stream"}, pause_s=reply.pause_s)


def _broken(request: ProviderRequest, kind: FaultKind) -> _Response | None:
    """Return an unusable reply with status 200; None to send no reply."""
    whole = _replied(request, ProviderReply("a reply that is never read whole"))
    if kind == "reset":
        return _Response(200, whole.body, whole.headers, sent_bytes=len(whole.body) // 2)
    json_type = {"Content-Type": "application/json"}
    bodies: dict[FaultKind, Callable[[], _Response]] = {
        "truncated": lambda: _Response(200, whole.body[: len(whole.body) // 2], whole.headers),
        "not_json": lambda: _Response(200, b"<html>Please log in</html>", {"Content-Type": "text/html"}),
        "no_choice": lambda: _json(200, {}),
        "huge": lambda: _Response(200, b" " * (1024 * 1024), json_type, copies=100),
        "bomb": lambda: _Response(200, _bomb(), {**json_type, "Content-Encoding": "gzip"}),
    }
    return bodies[kind]() if kind in bodies else None


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * 1024 * 1024) for _ in range(80)) + packer.flush()


def _json(status: int, body: object, headers: Mapping[str, str] = MappingProxyType({})) -> _Response:
    return _Response(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def _error(protocol: WireProtocol, status: int, message: str, code: str | None = None) -> _Response:
    return _json(status, error_body(protocol, status, message, code))


async def _send(writer: asyncio.StreamWriter, response: _Response) -> bool:
    """Write a response; return whether the connection can be reused."""
    head = [f"HTTP/1.1 {response.status} Scripted", f"Content-Length: {len(response.body) * response.copies}"]
    head += [f"{name}: {value}" for name, value in response.headers.items()]
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
    body = response.body[: response.sent_bytes]
    pieces = [body] * response.copies
    if response.pause_s:
        pieces = [event + b"\n\n" for event in body.removesuffix(b"\n\n").split(b"\n\n")]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(response.pause_s)
    if response.sent_bytes is not None:
        writer.transport.abort()
        return False
    return True
