"""The HTTP client under every provider: one attempt, bounded replies, proxies from the environment.

The connections of one event loop are shared by all models of the process, so that a model made for one question leaves
nothing behind, and they are closed on the loop they belong to: with the last model that uses them, or with the loop.
Nothing is left to the garbage collector, which would close a file number that another connection has got by then.

Imports httpx2 and pydantic-ai, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpx2
from pydantic_ai.models import create_async_httpx2_client

from rlmbox.models.adapting import Adaptations
from rlmbox.models.allowance import allowances_of
from rlmbox.models.base import Exchange, current_request_key, trace_headers
from rlmbox.models.reply_fields import WireProtocol
from rlmbox.models.streams import Delta, StreamText
from rlmbox.models.templates import Template, WrittenRequest

MAX_REPLY_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 1000
LANE_CONNECTIONS, MAX_LANES = 4, 40
MAX_STREAM_BYTES = 4 * MAX_REPLY_BYTES
"""The same for a stream, in which each token comes with a frame of its own."""

CONNECT_TIMEOUT_S = 10.0
_DROPPED_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})

# What a provider's library is given in place of each good reply: it has nothing to do but to be content.
_PLACEHOLDERS: Mapping[WireProtocol, bytes] = MappingProxyType(
    {
        **dict.fromkeys(
            ("openai", "azure"),
            b'{"id":"0","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
            b'"message":{"role":"assistant","content":"."}}]}',
        ),
        "anthropic": b'{"id":"0","type":"message","role":"assistant","model":"m","stop_reason":"end_turn",'
        b'"content":[{"type":"text","text":"."}],"usage":{"input_tokens":0,"output_tokens":0}}',
        "google": b'{"candidates":[{"content":{"role":"model","parts":[{"text":"."}]},"finishReason":"STOP"}]}',
    }
)


class ReplyTooLarge(httpx2.TransportError):
    """A reply's body is longer than `MAX_REPLY_BYTES`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that a provider answered with, as it came over the wire.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The body.
    """

    status: int
    headers: httpx2.Headers
    body: bytes


@dataclass(slots=True)
class Call:
    """One request and its reply, as they go over the wire.

    Attributes:
        protocol: The protocol that the provider speaks.
        exchange: Where to report how far the request came.
        adaptations: How the request is changed before it is sent.
        streams: Whether the reply is asked for as a stream.
        written: The request as the provider's library wrote it.
        content: The request's body as it was sent.
        refused: The error that it was answered with; None where there was none.
        body: The body of a good reply; None where there was none.
        headers: The headers of a good reply.
    """

    protocol: WireProtocol
    exchange: Exchange
    adaptations: Adaptations
    streams: bool = False
    written: WrittenRequest | None = None
    content: bytes = b"{}"
    refused: Refused | None = None
    body: bytes | None = None
    headers: httpx2.Headers | None = None

    async def trace(self, event: str, _info: object) -> None:
        """Take an event of the HTTP connection: from here on the server may have the whole request."""
        if event.endswith("send_request_body.started"):
            self.exchange.sent = True


current_call: ContextVar[Call] = ContextVar("current_call")
"""The call that the running task is making."""


def open_client(pool: ClientPool, timeout_s: float) -> httpx2.AsyncClient:
    """Return a client over shared connections; closing it closes none of them.

    Args:
        pool: The connections.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    return create_async_httpx2_client(timeout=timeout, transport=_WholeReplies(pool.transport))


class _WholeReplies(httpx2.AsyncBaseTransport):
    """A transport that adapts each request to its provider, and reads each reply to its end, within `MAX_REPLY_BYTES`.

    The bound counts decoded bytes: a small compressed body can become any size.
    """

    def __init__(self, wire: httpx2.AsyncBaseTransport) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = current_call.get()
        headers = tuple((k, v) for k, v in request.headers.multi_items() if k.lower() not in _DROPPED_HEADERS)
        call.written = WrittenRequest(request.method, str(request.url), headers, request.content, request.extensions)
        await send(self._wire, request, call)
        if call.refused is None:
            placeholder, kind = _PLACEHOLDERS[call.protocol], {"content-type": "application/json"}
            return httpx2.Response(200, headers=kind, content=placeholder, request=request)
        refused = call.refused
        kept = [(k, v) for k, v in refused.headers.multi_items() if k.lower() not in _DROPPED_HEADERS]
        return httpx2.Response(refused.status, headers=kept, content=refused.body, request=request)


async def send(wire: httpx2.AsyncBaseTransport, request: httpx2.Request, call: Call) -> None:
    """Send a request as its provider wants it, and note on the call what comes back.

    Args:
        wire: The connections.
        request: The request as the provider's library writes it.
        call: Takes the body, or the refusal.
    """
    request = _adapted(_streamed(request, call.protocol) if call.streams else request, call)
    _name(request, call)
    request.headers.update(trace_headers.get())
    request.extensions = {**request.extensions, "trace": call.trace}
    response = await wire.handle_async_request(request)
    response.request = request
    try:
        body = await _read(response, call)
    finally:
        await response.aclose()
    if response.is_success:
        call.refused, call.body, call.headers = None, body, response.headers
        call.exchange.allowances = allowances_of(response.headers.items())
    else:
        call.refused = Refused(response.status_code, response.headers, body)
        call.exchange.refused = True


@lru_cache(maxsize=256)
def _address(url: str) -> httpx2.URL:
    return httpx2.URL(url)


async def send_filled(
    pool: ClientPool, template: Template, call: Call, prompt: str, *, max_output_tokens: int, timeout_s: float
) -> None:
    """Send the request of a template; see `send`.

    Args:
        pool: The connections.
        template: The request.
        call: Takes the body, or the refusal.
        prompt: The prompt.
        max_output_tokens: Longest reply, reasoning included.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    written = template.written
    timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    request = httpx2.Request(
        written.method,
        _address(written.url),
        headers=list(written.headers),
        content=template.filled(prompt, max_output_tokens),
        extensions={**written.extensions, "timeout": timeout.as_dict()},
    )
    await send(pool.transport, request, call)


def _streamed(request: httpx2.Request, protocol: WireProtocol) -> httpx2.Request:
    """Return the request as one for a stream."""
    body, url = json.loads(request.content), request.url
    if protocol == "google":
        url = url.copy_with(path=url.path.removesuffix(":generateContent") + ":streamGenerateContent")
        url = url.copy_merge_params({"alt": "sse"})
    else:
        body["stream"] = True
    if protocol in ("openai", "azure"):
        body["stream_options"] = {"include_usage": True}
    return _rewritten(request, url, json.dumps(body).encode())


def _rewritten(request: httpx2.Request, url: httpx2.URL, content: bytes) -> httpx2.Request:
    headers = [(k, v) for k, v in request.headers.multi_items() if k.lower() not in _DROPPED_HEADERS]
    return httpx2.Request(request.method, url, headers=headers, content=content, extensions=request.extensions)


def _adapted(request: httpx2.Request, call: Call) -> httpx2.Request:
    """Return the request with what was learned of its provider."""
    call.content = request.content
    if not call.adaptations:
        return request
    call.content = json.dumps(call.adaptations.apply(json.loads(request.content))).encode()
    return _rewritten(request, request.url, call.content)


def _name(request: httpx2.Request, call: Call) -> None:
    """Give the request its idempotency key, which is another one as soon as something else is asked."""
    key = current_request_key.get()
    if key is not None:
        digest = sha256(key.encode("utf-8", "surrogatepass") + b"\0" + call.content).hexdigest()
        request.headers["Idempotency-Key"] = digest[:40]


async def _read(response: httpx2.Response, call: Call) -> bytes:
    parts: list[bytes] = []
    exchange = call.exchange
    # A server that takes no notice of being asked for a stream sends its reply in one piece.
    streams = call.streams and "event-stream" in response.headers.get("content-type", "") and response.is_success
    most_bytes = MAX_STREAM_BYTES if streams else MAX_REPLY_BYTES
    text = StreamText(call.protocol) if streams else None
    async for part in response.aiter_bytes():
        exchange.received_bytes += len(part)
        if exchange.received_bytes > most_bytes:
            raise ReplyTooLarge(f"the reply is longer than {most_bytes // (1024 * 1024)} MB")
        parts.append(part)
        if text is not None:
            _show(text.feed(part), exchange)
    return b"".join(parts)


def _show(delta: Delta, exchange: Exchange) -> None:
    """Show whoever reads along what has come in."""
    if exchange.on_text is None:
        return
    for text, is_reasoning in ((delta.reasoning, True), (delta.text, False)):
        if text:
            exchange.on_text(text, is_reasoning=is_reasoning)


@dataclass(slots=True)
class _Lane:
    """A few connections, and how many requests they are busy with."""

    wire: httpx2.AsyncHTTPTransport
    busy: int = 0


class _Body(httpx2.AsyncByteStream):
    """A reply's body; when it is closed, its lane has room again."""

    def __init__(self, body: httpx2.AsyncByteStream, lane: _Lane) -> None:
        self._body, self._lane = body, lane
        self._is_open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        self._lane.busy -= self._is_open
        self._is_open = False
        await self._body.aclose()


class _Lanes(httpx2.AsyncBaseTransport):
    """Connections in lanes of a few each: a pool looks at all that it has for each request, which adds up in one."""

    def __init__(self, proxy: str | None) -> None:
        self._proxy = proxy
        self._lanes: list[_Lane] = []
        self._trusted = httpx2.create_ssl_context()  # once: it reads all certificates

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        lane = self._free_lane()
        lane.busy += 1
        try:
            response = await lane.wire.handle_async_request(request)
        except BaseException:
            lane.busy -= 1
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - for the type checker
        response.stream = _Body(response.stream, lane)
        return response

    def _free_lane(self) -> _Lane:
        """Return the first lane that has room, so that connections which are open are used again."""
        found = next((lane for lane in self._lanes if lane.busy < LANE_CONNECTIONS), None)
        if found is None and len(self._lanes) < MAX_LANES:
            most = MAX_CONNECTIONS // MAX_LANES
            limits = httpx2.Limits(max_connections=most, max_keepalive_connections=LANE_CONNECTIONS)
            found = _Lane(httpx2.AsyncHTTPTransport(verify=self._trusted, limits=limits, proxy=self._proxy))
            self._lanes.append(found)
        return found or min(self._lanes, key=lambda lane: lane.busy)

    async def aclose(self) -> None:
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            await lane.wire.aclose()


@dataclass(eq=False, slots=True, weakref_slot=True)
class ClientPool:
    """The connections of one event loop that go through one proxy, or through none.

    Attributes:
        loop: The event loop.
        transport: The connections.
        users: Who needs them open.
    """

    loop: asyncio.AbstractEventLoop
    transport: httpx2.AsyncBaseTransport
    users: WeakSet[object] = field(default_factory=WeakSet)
    _lease: AsyncGenerator[None, None] | None = None

    async def hold(self) -> None:
        """Tie the connections to the running event loop, once, so that they are closed before it ends."""
        if self._lease is None:
            # Event loops close their open generators before they end, also where nobody calls `aclose`.
            self._lease = _lease(self)
            await anext(self._lease)

    async def release(self, user: object) -> None:
        """Close the connections where nobody else needs them; on the event loop that they belong to."""
        self.users.discard(user)
        if not self.users:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        with _lock:
            for key in [key for key, pool in _pools.items() if pool is self]:
                del _pools[key]
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await lease.aclose()


async def _lease(pool: ClientPool) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await pool.transport.aclose()


_lock = threading.Lock()
_pools: dict[tuple[asyncio.AbstractEventLoop, str | None], ClientPool] = {}


def pool_of(loop: asyncio.AbstractEventLoop, base_url: str, user: object) -> ClientPool:
    """Return the connections of an event loop.

    Args:
        loop: The event loop.
        base_url: Where requests will go, which decides the proxy.
        user: Who needs them; they stay open until all users have released them.
    """
    proxy = _proxy(base_url)
    with _lock:
        for key in [key for key in _pools if key[0].is_closed()]:
            del _pools[key]
        pool = _pools.get((loop, proxy))
        if pool is None:
            pool = _pools[loop, proxy] = ClientPool(loop, _Lanes(proxy))
        pool.users.add(user)
        return pool


def _proxy(base_url: str) -> str | None:
    # A client that is given a transport no longer reads HTTP_PROXY and its kin by itself.
    url = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(url.netloc.rpartition("@")[2]) else proxy
