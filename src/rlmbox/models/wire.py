"""A request to a provider and its reply: written by the provider's library, sent and read here.

The libraries know each provider's request format (decision 0015), and are given an HTTP client with the transport
defined here: it adapts the request to what was learned about the provider, and limits and reads the reply. Replies are
parsed as received, because the libraries reject them over irrelevant fields.

Imports pydantic-ai and a provider's SDK, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType

import httpx2
from pydantic_ai.direct import model_request
from pydantic_ai.models import Model as Library
from pydantic_ai.models import create_async_httpx2_client
from pydantic_ai.settings import ModelSettings

from rlmbox.models.allowance import allowances_of
from rlmbox.models.base import Exchange, current_request_key, trace_headers
from rlmbox.models.call import Call, Refused, ReplyTooLarge
from rlmbox.models.connections import ClientPool
from rlmbox.models.http11 import Headers, HttpReply, HttpWire, Timeouts
from rlmbox.models.libraries import library_messages, library_of, settings_of, takes_temperature
from rlmbox.models.replies import read_reply
from rlmbox.models.reply_fields import UnreadableReply, WireProtocol
from rlmbox.models.streams import Delta, StreamText
from rlmbox.models.target import Target
from rlmbox.models.templates import Template, WrittenRequest
from rlmbox.types import Completion, Message

MAX_REPLY_BYTES = 16 * 1024 * 1024
MAX_STREAM_BYTES = 4 * MAX_REPLY_BYTES
"""The same for a stream, in which each token comes with a frame of its own."""

CONNECT_TIMEOUT_S = 10.0
_DROPPED_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_ABOUT_THIS_MACHINE = "x-stainless-"  # headers with which some libraries describe the machine, which are dropped

# Returned to a provider's library in place of each good reply, to satisfy its parser.
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


_current_call: ContextVar[Call] = ContextVar("current_call")
"""The call that the running task is making."""


@dataclass(slots=True)
class Connection:
    """A provider's library over the connections of one event loop.

    Attributes:
        pool: The connections.
        library: The provider's library behind pydantic-ai's interface.
        templates: Templates of single-prompt requests, by temperature.
    """

    pool: ClientPool
    library: Library
    templates: dict[float | None, Template] = field(default_factory=dict)


def connect(target: Target, pool: ClientPool, timeout_s: float) -> Connection:
    """Create a connection; nothing is sent yet.

    Args:
        target: The model and its address.
        pool: The connections of an event loop.
        timeout_s: Maximum wait for the next bytes, in seconds.
    """
    timeout = httpx2.Timeout(**_timeouts(timeout_s))
    client = create_async_httpx2_client(timeout=timeout, transport=_WholeReplies(pool.wire))
    return Connection(pool, library_of(target, client))


async def request(
    connection: Connection,
    target: Target,
    messages: Sequence[Message],
    call: Call,
    *,
    max_output_tokens: int,
    timeout_s: float,
    temperature: float | None,
) -> Completion:
    """Send one request and read its reply.

    Args:
        connection: The running event loop's connection.
        target: The model.
        messages: The conversation.
        call: Receives what is sent and received.
        max_output_tokens: Maximum length of the reply, including reasoning.
        timeout_s: Maximum wait for the next bytes, in seconds.
        temperature: The sampling temperature; None for the provider's default.

    Raises:
        UnreadableReply: The response with status 200 contains no reply.
    """
    prompt = messages[0].content if len(messages) == 1 and messages[0].role == "user" else ""
    template = connection.templates.get(temperature) if prompt.strip() else None
    if template is not None:
        filled = replace(template.written, content=template.filled(prompt, max_output_tokens))
        await _send(connection.pool.wire, filled, call, _timeouts(timeout_s))
    else:
        settings = settings_of(target, messages, max_output_tokens=max_output_tokens, timeout_s=timeout_s)
        if temperature is not None and takes_temperature(connection.library):
            settings["temperature"] = temperature
        await _ask_library(connection.library, messages, call, settings)
        if prompt.strip() and call.written is not None and call.body is not None:
            template = Template.of(call.written, prompt, max_output_tokens)
            if template is not None:
                connection.templates[temperature] = template
    if call.body is None:
        raise UnreadableReply("nothing came back")
    return read_reply(target.provider, call.body, target.name, messages)


async def _ask_library(library: Library, messages: Sequence[Message], call: Call, settings: ModelSettings) -> None:
    """Have the provider's library write the request and send it; the response is stored on the call."""
    token = _current_call.set(call)
    try:
        await model_request(library, library_messages(messages), model_settings=settings)
    finally:
        _current_call.reset(token)


class _WholeReplies(httpx2.AsyncBaseTransport):
    """A transport that adapts each request to its provider, and reads each reply to its end, up to `MAX_REPLY_BYTES`.

    The limit applies to decoded bytes, because a small compressed body can become any size.
    """

    def __init__(self, wire: HttpWire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _current_call.get()
        headers = tuple(
            (name, value)
            for name, value in _kept(tuple(request.headers.multi_items()))
            if not name.lower().startswith(_ABOUT_THIS_MACHINE)
        )
        call.written = WrittenRequest(request.method, str(request.url), headers, request.content)
        await _send(self._wire, call.written, call, request.extensions["timeout"])
        if call.refused is None:
            placeholder, kind = _PLACEHOLDERS[call.protocol], {"content-type": "application/json"}
            return httpx2.Response(200, headers=kind, content=placeholder, request=request)
        refused = call.refused
        kept = list(_kept(tuple(refused.headers.multi_items())))
        return httpx2.Response(refused.status, headers=kept, content=refused.body, request=request)


async def _send(wire: HttpWire, request: WrittenRequest, call: Call, timeouts: Timeouts) -> None:
    """Send an adapted request, and store the body of the response, or the refusal, on the call."""
    request = _named(_adapted(_streamed(request, call.protocol) if call.streams else request, call), call)
    reply = await wire.send(request, timeouts, call.note_sent)
    try:
        body = await _read(reply, call)
    finally:
        await reply.aclose()
    if 200 <= reply.status < 300:
        call.refused, call.body, call.headers = None, body, reply.headers
        call.exchange.allowances = allowances_of(reply.headers)
    else:
        call.refused = Refused(reply.status, httpx2.Headers(list(reply.headers)), body)
        call.exchange.refused = True


def _timeouts(timeout_s: float) -> Timeouts:
    return {"connect": min(CONNECT_TIMEOUT_S, timeout_s), "write": timeout_s, "read": timeout_s, "pool": timeout_s}


def _streamed(request: WrittenRequest, protocol: WireProtocol) -> WrittenRequest:
    """Return the request, changed to ask for a stream."""
    body, url = json.loads(request.content), request.url
    if protocol == "google":
        read = httpx2.URL(url)
        read = read.copy_with(path=read.path.removesuffix(":generateContent") + ":streamGenerateContent")
        url = str(read.copy_merge_params({"alt": "sse"}))
    else:
        body["stream"] = True
    if protocol in ("openai", "azure"):
        body["stream_options"] = {"include_usage": True}
    return replace(request, url=url, content=json.dumps(body).encode())


def _adapted(request: WrittenRequest, call: Call) -> WrittenRequest:
    """Return the request with what was learned about its provider applied."""
    if call.adaptations:
        request = replace(request, content=json.dumps(call.adaptations.apply(json.loads(request.content))).encode())
    call.content = request.content
    return request


def _named(request: WrittenRequest, call: Call) -> WrittenRequest:
    """Return the request with its trace context and its idempotency key.

    The key changes as soon as anything else in the request does.
    """
    added = dict(trace_headers.get())
    key = current_request_key.get()
    if key is not None:
        digest = sha256(key.encode("utf-8", "surrogatepass") + b"\0" + call.content).hexdigest()
        added["Idempotency-Key"] = digest[:40]
    if not added:
        return request
    return replace(request, headers=(*_kept(request.headers, frozenset(map(str.lower, added))), *added.items()))


def _kept(headers: Headers, dropped: frozenset[str] = _DROPPED_HEADERS) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)


async def _read(reply: HttpReply, call: Call) -> bytes:
    parts: list[bytes] = []
    exchange = call.exchange
    headers = {name.lower(): value for name, value in reply.headers}
    # A server that ignores the request for a stream sends its reply at once.
    streams = call.streams and "event-stream" in headers.get("content-type", "") and 200 <= reply.status < 300
    most_bytes = MAX_STREAM_BYTES if streams else MAX_REPLY_BYTES
    text = StreamText(call.protocol) if streams else None
    async for part in _decoded(reply) if "content-encoding" in headers else reply:
        exchange.received_bytes += len(part)
        if exchange.received_bytes > most_bytes:
            raise ReplyTooLarge(f"the reply is longer than {most_bytes // (1024 * 1024)} MB")
        parts.append(part)
        if text is not None:
            _show(text.feed(part), exchange)
    return b"".join(parts)


class _Encoded(httpx2.AsyncByteStream):
    """The encoded body of a reply, which the HTTP client decodes."""

    def __init__(self, reply: HttpReply) -> None:
        self._reply = reply

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reply.__aiter__()


def _decoded(reply: HttpReply) -> AsyncIterator[bytes]:
    return httpx2.Response(reply.status, headers=list(reply.headers), stream=_Encoded(reply)).aiter_bytes()


def _show(delta: Delta, exchange: Exchange) -> None:
    """Pass what has arrived to the reader of the stream."""
    if exchange.on_text is None:
        return
    for text, is_reasoning in ((delta.reasoning, True), (delta.text, False)):
        if text:
            exchange.on_text(text, is_reasoning=is_reasoning)
