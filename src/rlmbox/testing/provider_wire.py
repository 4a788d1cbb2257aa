"""The providers' protocols for requests, replies and errors, used by `ProviderServer`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from rlmbox.models.reply_fields import WireProtocol
from rlmbox.types import Message, Role, StopReason

Json = dict[str, Any]

_PATHS: tuple[tuple[WireProtocol, re.Pattern[str]], ...] = (
    ("azure", re.compile(r"/openai/deployments/(?P<model>[^/]+)/chat/completions")),
    ("azure", re.compile(r"/openai/v1/chat/completions")),
    ("openai", re.compile(r"(?:/[\w.-]+)*/chat/completions")),
    ("anthropic", re.compile(r"/v1/messages")),
    ("google", re.compile(r"/v1beta/models/(?P<model>[^/:]+):(?:generate|streamGenerate)Content")),
)
_FINISH: Mapping[str, Mapping[StopReason, str]] = MappingProxyType(
    {
        "openai": MappingProxyType({"stop": "stop", "length": "length", "content_filter": "content_filter"}),
        "anthropic": MappingProxyType({"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}),
        "google": MappingProxyType({"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}),
    }
)
_ANTHROPIC_ERRORS = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
)
_GOOGLE_ERRORS = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }
)
_CODES = MappingProxyType({401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"})


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """A received request.

    Attributes:
        path: The path with its query.
        headers: The headers, with lowercase names.
        body: The JSON body.
        protocol: The provider whose protocol it uses.
        model: Name of the model.
    """

    path: str
    headers: Mapping[str, str]
    body: Json
    protocol: WireProtocol
    model: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation, in the same form for all protocols."""
        if self.protocol == "google":
            instruction = _google_text(self.body.get("systemInstruction"))
            turns = [_message(turn.get("role"), _google_text(turn)) for turn in self.body.get("contents", [])]
        else:
            instruction = _text(self.body.get("system"))
            turns = [_message(turn["role"], _text(turn.get("content"))) for turn in self.body.get("messages", [])]
        return (*([Message("system", instruction)] if instruction else []), *turns)

    @property
    def max_output_tokens(self) -> int | None:
        """The limit of the reply in tokens; None if not given."""
        places = (self.body, self.body.get("generationConfig", {}))
        names = ("max_completion_tokens", "max_tokens", "maxOutputTokens")
        return next((int(place[name]) for place in places for name in names if name in place), None)

    @property
    def streams(self) -> bool:
        """True if the reply is to be a stream of events."""
        return bool(self.body.get("stream")) or ":streamGenerateContent" in self.path

    @property
    def key(self) -> str:
        """The API key, from whichever header the provider uses."""
        for name in ("authorization", "api-key", "x-api-key", "x-goog-api-key"):
            if name in self.headers:
                return self.headers[name].removeprefix("Bearer ")
        return ""


@dataclass(frozen=True, slots=True)
class ProviderReply:
    """A reply, in the same form for all protocols.

    Attributes:
        text: The text.
        stop_reason: Why it ended.
        input_tokens: Tokens sent, including cached ones; None leaves the usage out of the reply.
        cached_input_tokens: The cached part of them.
        output_tokens: Tokens received, including reasoning.
        reasoning_tokens: The reasoning part of them.
        reasoning: The reasoning, sent in the protocol's field for it.
        delay_s: Delay of the reply, in seconds.
        cache_write_tokens: The part of `input_tokens` that was written to the cache; only in Anthropic's protocol.
        pause_s: Pause between the events of a streamed reply, in seconds.
    """

    text: str = ""
    stop_reason: StopReason = "stop"
    input_tokens: int | None = 11
    cached_input_tokens: int = 0
    output_tokens: int = 7
    reasoning_tokens: int = 0
    reasoning: str = ""
    delay_s: float = 0.0
    cache_write_tokens: int = 0
    pause_s: float = 0.0


def recognise(path: str, headers: Mapping[str, str], body: object) -> ProviderRequest | None:
    """Return the request if it uses a known protocol, else None.

    Args:
        path: The path with its query.
        headers: The headers, with lowercase names.
        body: The decoded JSON body.
    """
    if not isinstance(body, dict):
        return None
    for protocol, pattern in _PATHS:
        match = pattern.fullmatch(path.partition("?")[0])
        if match:
            model = match.groupdict().get("model") or str(body.get("model", ""))
            return ProviderRequest(path, headers, body, protocol, model)
    return None


def reply_body(request: ProviderRequest, reply: ProviderReply) -> Json:
    """Encode a reply in the request's protocol.

    Args:
        request: The request.
        reply: The reply.
    """
    if request.protocol == "anthropic":
        return _anthropic_reply(request, reply)
    if request.protocol == "google":
        return _google_reply(request, reply)
    return _openai_reply(request, reply)


def stream_body(request: ProviderRequest, reply: ProviderReply) -> bytes:
    """Encode a reply in the request's protocol as a stream of events, one word each.

    Args:
        request: The request.
        reply: The reply.
    """
    whole = reply_body(request, reply)
    if request.protocol == "anthropic":
        events = _anthropic_events(reply, whole)
    elif request.protocol == "google":
        events = _google_events(reply, whole)
    else:
        events = _openai_events(request, reply, whole)
    named = request.protocol == "anthropic"
    lines = (f"{'event: ' + event['type'] + chr(10) if named else ''}data: {json.dumps(event)}\n\n" for event in events)
    end = "" if request.protocol in ("anthropic", "google") else "data: [DONE]\n\n"
    return ("".join(lines) + end).encode()


def error_body(protocol: WireProtocol, status: int, message: str, code: str | None) -> Json:
    """Encode an error in a protocol.

    Args:
        protocol: The protocol.
        status: The HTTP status.
        message: The provider's message.
        code: OpenAI's machine-readable code, or None for the default of the status.
    """
    if protocol == "anthropic":
        return {"type": "error", "error": {"type": _ANTHROPIC_ERRORS.get(status, "api_error"), "message": message}}
    if protocol == "google":
        return {"error": {"code": status, "message": message, "status": _GOOGLE_ERRORS.get(status, "UNKNOWN")}}
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code or _CODES.get(status)}}


def too_long_message(protocol: WireProtocol) -> tuple[str, str | None]:
    """Return the message and code by which a provider refuses a request that exceeds its window.

    Args:
        protocol: The protocol.
    """
    if protocol == "anthropic":
        return "prompt is too long: 250000 tokens > 200000 maximum", None
    if protocol == "google":
        return "The input token count (250000) exceeds the maximum number of tokens allowed (200000).", None
    return "This model's maximum context length is 128000 tokens.", "context_length_exceeded"


def _openai_reply(request: ProviderRequest, reply: ProviderReply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    finish = _FINISH["openai"][reply.stop_reason]
    body: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
    }
    if reply.input_tokens is not None:
        body["usage"] = {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
            "prompt_tokens_details": {"cached_tokens": reply.cached_input_tokens},
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        }
    return body


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*|\s+", text)


def _openai_events(request: ProviderRequest, reply: ProviderReply, whole: Json) -> Iterator[Json]:
    head = {name: whole[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    finish = whole["choices"][0]["finish_reason"]

    def event(delta: Json, finish: str | None = None) -> Json:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield event({"role": "assistant", "content": ""})
    yield from (event({"reasoning_content": word}) for word in _words(reply.reasoning))
    yield from (event({"content": word}) for word in _words(reply.text))
    yield event({}, finish)
    options = request.body.get("stream_options")
    if "usage" in whole and isinstance(options, dict) and options.get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def _anthropic_events(reply: ProviderReply, whole: Json) -> Iterator[Json]:
    usage = {**whole["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": usage}}
    blocks = (("thinking", reply.reasoning), ("text", reply.text))
    for index, (kind, text) in enumerate((kind, text) for kind, text in blocks if text):
        yield {"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: ""}}
        yield {"type": "ping"}
        for word in _words(text):
            delta = {"type": f"{kind}_delta", kind: word}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def _google_events(reply: ProviderReply, whole: Json) -> Iterator[Json]:
    parts = [{"text": word, "thought": True} for word in _words(reply.reasoning)]
    parts += [{"text": word} for word in _words(reply.text)] or [{"text": ""}]
    finish = whole["candidates"][0]["finishReason"]
    for number, part in enumerate(parts, 1):
        candidate: Json = {"index": 0, "content": {"role": "model", "parts": [part]}}
        last = number == len(parts)
        rest: Json = {name: whole[name] for name in ("usageMetadata", "modelVersion") if name in whole and last}
        yield {"candidates": [candidate | ({"finishReason": finish} if last else {})], **rest}


def _anthropic_reply(request: ProviderRequest, reply: ProviderReply) -> Json:
    content: list[Json] = []
    if reply.reasoning:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": "c2lnbmVk"})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    usage: Json = {"input_tokens": 0, "output_tokens": 0}
    if reply.input_tokens is not None:
        # Anthropic does not include cached input in the other counts.
        usage = {
            "input_tokens": reply.input_tokens - reply.cached_input_tokens - reply.cache_write_tokens,
            "cache_read_input_tokens": reply.cached_input_tokens,
            "cache_creation_input_tokens": reply.cache_write_tokens,
            "output_tokens": reply.output_tokens,
        }
        if reply.reasoning_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": reply.reasoning_tokens}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": _FINISH["anthropic"][reply.stop_reason],
        "stop_sequence": None,
        "usage": usage,
    }


def _google_reply(request: ProviderRequest, reply: ProviderReply) -> Json:
    parts: list[Json] = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
    parts.append({"text": reply.text})
    finish = _FINISH["google"][reply.stop_reason]
    body: Json = {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": finish}],
        "modelVersion": request.model,
        "responseId": "response-1",
    }
    if reply.input_tokens is not None:
        # Google does not include reasoning in the candidates' tokens.
        body["usageMetadata"] = {
            "promptTokenCount": reply.input_tokens,
            "cachedContentTokenCount": reply.cached_input_tokens,
            "candidatesTokenCount": reply.output_tokens - reply.reasoning_tokens,
            "thoughtsTokenCount": reply.reasoning_tokens,
            "totalTokenCount": reply.input_tokens + reply.output_tokens,
        }
    return body


def _message(role: object, text: str) -> Message:
    role = {"model": "assistant", "developer": "system"}.get(str(role), role)
    return Message(cast("Role", role), text)


def _text(content: object) -> str:
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _google_text(content: object) -> str:
    return _text(content.get("parts")) if isinstance(content, Mapping) else ""
