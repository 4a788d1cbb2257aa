"""A request to a provider and its reply: written by the provider's library, sent and read here.

The libraries know what each provider wants of a request (decision 0015), and are given an HTTP client whose transport
is here: it changes the request to what was learned of the provider, and bounds and reads the reply. What comes back is
read as it came over the wire, because the libraries refuse replies over fields that nobody needs.

Imports pydantic-ai and a provider's SDK, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
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


_current_call: ContextVar[Call] = ContextVar("current_call")
"""The call that the running task is making."""


@dataclass(slots=True)
class Connection:
    """A provider's library over the connections of one event loop.

    Attributes:
        pool: The connections.
        library: The provider's library behind pydantic-ai's interface.
        templates: Requests of one prompt as the library has written them, by temperature.
    """

    pool: ClientPool
    library: Library
    templates: dict[float | None, Template] = field(default_factory=dict)


def connect(target: Target, pool: ClientPool, timeout_s: float) -> Connection:
    """Return a connection; nothing is sent yet.

    Args:
        target: The model and where it is.
        pool: The connections of an event loop.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    transport = _WholeReplies(pool)
    client = create_async_httpx2_client(timeout=_timeout(timeout_s), transport=transport)
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
        connection: Of the running event loop.
        target: The model.
        messages: The conversation.
        call: Takes what goes over the wire.
        max_output_tokens: Longest reply, reasoning included.
        timeout_s: Longest wait for the next bytes, in seconds.
        temperature: The sampling temperature; None leaves it to the provider.

    Raises:
        UnreadableReply: What came with status 200 is no reply.
    """
    prompt = messages[0].content if len(messages) == 1 and messages[0].role == "user" else ""
    template = connection.templates.get(temperature) if prompt.strip() else None
    if template is not None:
        filled = _filled(template, prompt, max_output_tokens=max_output_tokens, timeout_s=timeout_s)
        await _send(connection.pool, filled, call)
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
    """Have the provider's library write the request and send it; what comes back is noted on the call."""
    token = _current_call.set(call)
    try:
        await model_request(library, library_messages(messages), model_settings=settings)
    finally:
        _current_call.reset(token)


class _WholeReplies(httpx2.AsyncBaseTransport):
    """A transport that adapts each request to its provider, and reads each reply to its end, within `MAX_REPLY_BYTES`.

    The bound counts decoded bytes: a small compressed body can become any size.
    """

    def __init__(self, pool: ClientPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _current_call.get()
        headers = tuple((k, v) for k, v in request.headers.multi_items() if k.lower() not in _DROPPED_HEADERS)
        call.written = WrittenRequest(request.method, str(request.url), headers, request.content, request.extensions)
        await _send(self._pool, request, call)
        if call.refused is None:
            placeholder, kind = _PLACEHOLDERS[call.protocol], {"content-type": "application/json"}
            return httpx2.Response(200, headers=kind, content=placeholder, request=request)
        refused = call.refused
        kept = [(k, v) for k, v in refused.headers.multi_items() if k.lower() not in _DROPPED_HEADERS]
        return httpx2.Response(refused.status, headers=kept, content=refused.body, request=request)


async def _send(pool: ClientPool, request: httpx2.Request, call: Call) -> None:
    """Send a request as its provider wants it, and note on the call the body that comes back, or the refusal."""
    request = _adapted(_streamed(request, call.protocol) if call.streams else request, call)
    _name(request, call)
    request.headers.update(trace_headers.get())
    request.extensions = {**request.extensions, "trace": call.trace}
    with pool.lane() as transport:
        response = await transport.handle_async_request(request)
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


def _filled(template: Template, prompt: str, *, max_output_tokens: int, timeout_s: float) -> httpx2.Request:
    """Return the request of a template."""
    written = template.written
    return httpx2.Request(
        written.method,
        _address(written.url),
        headers=list(written.headers),
        content=template.filled(prompt, max_output_tokens),
        extensions={**written.extensions, "timeout": _timeout(timeout_s).as_dict()},
    )


def _timeout(timeout_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))


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
