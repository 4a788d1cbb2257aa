"""Reading a reply as it came over the wire: its text, why it ended, and what it used.

Nothing else of a reply is looked at, so that a field nobody needs cannot spoil one that was paid for. Servers that
speak one protocol borrow names from another, write numbers as text, and leave out what they do not know; all of that is
read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rlmbox.models.complaints import Complaint
from rlmbox.models.reply_fields import (
    Protocol,
    UnreadableReply,
    first,
    first_of,
    mapping,
    reasoning_of,
    text_of,
    thinking_of,
)
from rlmbox.models.streams import is_stream, joined
from rlmbox.types import Completion, Message, StopReason, Usage

_BYTES_PER_TOKEN = 3
_MOST_TOKENS = 100_000_000  # a count beyond it is absurd
_STOP_REASONS: Mapping[str, StopReason] = MappingProxyType(
    {
        **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
        "model_context_window_exceeded": "length",
        **dict.fromkeys(
            ("content_filter", "safety", "recitation", "blocklist", "prohibited_content"), "content_filter"
        ),
        **dict.fromkeys(("spii", "sensitive", "refusal", "guardrail_intervened", "language"), "content_filter"),
        **dict.fromkeys(("tool_calls", "tool_use", "function_call", "malformed_function_call"), "tool_calls"),
    }
)
_COMMENTS = re.compile(rb"(?::[^\n]*\n|\s)*")
_WRAPPERS = ("data", "result", "response", "output")  # gateways put the reply into an envelope
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Part:
    """The parts of a reply: text, reasoning, why it ended, and the provider's counts."""

    text: str
    reasoning: str
    finish: str
    refusal: str
    called: bool
    counts: Mapping[str, Any]


def read_reply(protocol: Protocol, body: bytes, name: str, messages: Sequence[Message]) -> Completion:
    """Read a reply.

    The text is without the model's reasoning; a refusal's own words stand in where there is no text.

    Args:
        protocol: The protocol that the provider speaks.
        body: The reply's body.
        name: The model's full name.
        messages: What was asked, for estimating tokens where the provider does not count them.

    Raises:
        UnreadableReply: There is no reply in it.
    """
    found = _decoded(protocol, body)
    part = _READERS[protocol](found)
    text = _whole_characters(_THOUGHT.sub("", part.text, count=1) if _THOUGHT.match(part.text) else part.text)
    stop = _STOP_REASONS.get(part.finish.lower(), "stop")
    if part.refusal and not text.strip():
        text, stop = _whole_characters(part.refusal), "refusal"
    elif part.called and not text.strip():
        stop = "tool_calls"
    elif stop == "tool_calls" and text.strip():
        stop = "stop"
    usage, counted = _usage(part, messages, text, made=bool(part.text or part.reasoning or part.called or part.refusal))
    return Completion(text, usage, name, stop, counted)


def _decoded(protocol: Protocol, body: bytes) -> Mapping[str, Any]:
    text = body.lstrip()
    if text[:1] == b"<":
        raise UnreadableReply("a web page", is_page=True)
    if is_stream(text):
        if (whole := _COMMENTS.sub(b"", text, count=1)).startswith(b"{"):  # sent to keep the connection open
            body = whole
        else:
            return joined(protocol, text)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableReply(f"it is not whole JSON: {error}") from None
    if isinstance(found, list) and len(found) > 1 and protocol == "google":
        return joined(protocol, b"\n".join(b"data: " + json.dumps(chunk).encode() for chunk in found))
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, Mapping):
        raise UnreadableReply(f"it is JSON of another kind: {str(found)[:80]}")
    return _unwrapped(found, body)


def _unwrapped(found: Mapping[str, Any], body: bytes) -> Mapping[str, Any]:
    """Return the object that has the reply."""
    if _has_reply(found):
        return found
    inner = next((found[name] for name in _WRAPPERS if _has_reply(mapping(found.get(name)))), None)
    if inner is not None:
        return mapping(inner)
    if found.get("error") or Complaint(body).message.strip():
        raise UnreadableReply("an error", is_error=True)
    return found


def _has_reply(found: Mapping[str, Any]) -> bool:
    """Return True if an object has a reply of any of the protocols."""
    choices = first_of(found.get("choices"))
    if choices.get("error") and not text_of(mapping(choices.get("message")).get("content")).strip():
        return False  # OpenRouter: the provider behind it failed
    return bool(choices or isinstance(found.get("message"), Mapping) or found.get("content") or found.get("candidates"))


def _openai(found: Mapping[str, Any]) -> _Part:
    choice = first_of(found.get("choices"))
    message = mapping(choice.get("message")) or mapping(choice.get("delta"))
    if not choice and isinstance(found.get("message"), Mapping):  # Ollama's own protocol behind a gateway
        choice, message = found, mapping(found["message"])
    if not message and "text" not in choice:
        raise UnreadableReply("it has no message")
    content = message.get("content") if message else choice.get("text")
    return _Part(
        text=text_of(content),
        reasoning=reasoning_of(message) + thinking_of(content),
        finish=str(choice.get("finish_reason") or choice.get("done_reason") or ""),
        refusal=text_of(message.get("refusal")),
        called=bool(message.get("tool_calls") or message.get("function_call")),
        counts=_openai_counts(found, choice),
    )


def _openai_counts(found: Mapping[str, Any], choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that has the counts, wherever a server or a gateway has put it."""
    meta = mapping(found.get("meta"))
    places = (
        found.get("usage"),
        found.get("usageMetadata"),  # Google behind a gateway
        mapping(found.get("x_groq")).get("usage"),
        choice.get("usage"),  # Moonshot
        meta.get("billed_units"),  # Cohere
        meta.get("tokens"),
        found if "eval_count" in found else None,
        found.get("timings"),  # llama.cpp
    )
    return next((counts for counts in map(mapping, places) if counts), {})


def _anthropic(found: Mapping[str, Any]) -> _Part:
    blocks = found.get("content")
    if not isinstance(blocks, list):
        raise UnreadableReply("it has no content")
    kinds = {str(block.get("type")) for block in blocks if isinstance(block, Mapping)}
    return _Part(
        text=text_of(blocks),
        reasoning=thinking_of(blocks),
        finish=str(found.get("stop_reason") or ""),
        refusal="",
        called="tool_use" in kinds,
        counts=mapping(found.get("usage")),
    )


def _google(found: Mapping[str, Any]) -> _Part:
    candidate = first(found.get("candidates"))
    parts = mapping(candidate.get("content")).get("parts")
    parts = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    blocked = mapping(found.get("promptFeedback")).get("blockReason")
    return _Part(
        text="".join(text_of(part.get("text")) for part in parts if not part.get("thought")),
        reasoning="".join(text_of(part.get("text")) for part in parts if part.get("thought")),
        finish="content_filter" if blocked else str(candidate.get("finishReason") or ""),
        refusal="",
        called=any("functionCall" in part for part in parts),
        counts=mapping(found.get("usageMetadata")),
    )


_READERS: Mapping[Protocol, Callable[[Mapping[str, Any]], _Part]] = MappingProxyType(
    {"openai": _openai, "azure": _openai, "anthropic": _anthropic, "google": _google}
)


def _whole_characters(text: str) -> str:
    # JSON may hold halves of characters, which nothing that encodes the text later could take.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# The same count under the names that servers give it; the first that is there is taken.
_SENT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_eval_count",
    "inputTokens",
    "promptTokens",
    "prompt_n",
)
_RECEIVED = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "eval_count",
    "outputTokens",
    "completionTokens",
    "predicted_n",
)
_TOTAL = ("total_tokens", "totalTokenCount", "totalTokens")
_REASONING = ("reasoning_tokens", "thinking_tokens", "thoughtsTokenCount")
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cachedContentTokenCount")
_WRITTEN = ("cache_creation_input_tokens", "cache_write_tokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")


def _count(counts: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return a count under the first of its names that holds a number from 0 up, also where it is in a text."""
    for place in (counts, *(mapping(counts.get(name)) for name in _DETAILS)):
        for name in names:
            number = _number(place.get(name))
            if number is not None:
                return number
    return None


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return math.ceil(number) if 0 <= number <= _MOST_TOKENS else None


def _usage(part: _Part, messages: Sequence[Message], text: str, *, made: bool) -> tuple[Usage, bool]:
    """Return the provider's counts and True; where they are missing or contradict each other, the more and False.

    A count of zero for something that was sent, or one that leaves the reasoning out, would let a run spend past its
    budget: input and output have to come to the total.
    """
    counts = part.counts
    sent, received, total = (_count(counts, names) for names in (_SENT, _RECEIVED, _TOTAL))
    cached, written = _count(counts, _CACHED) or 0, _count(counts, _WRITTEN) or 0
    reasoning = _count(counts, _REASONING) or 0
    if sent is not None and _apart(counts, cached + written, sent, received, total):
        sent += cached + written
    sent, received, agrees = _reconciled(sent, received, total, reasoning, google="candidatesTokenCount" in counts)
    counted = agrees and bool(sent) and received is not None and (received > 0 or not made)
    if not sent:
        sent = _estimate(*(message.content for message in messages)) + 4 * len(messages)
    if received is None or (received == 0 and made):
        received = max(_estimate(text, part.reasoning), 1)
    cached = min(cached, sent)
    usage = Usage(
        input_tokens=sent,
        cached_input_tokens=cached,
        output_tokens=received,
        reasoning_tokens=min(reasoning, received),
        requests=1,
        cache_write_tokens=min(written, sent - cached),
    )
    return usage, counted


def _apart(counts: Mapping[str, Any], cached: int, sent: int, received: int | None, total: int | None) -> bool:
    """Return True if cached tokens are counted beside the input, as Anthropic does, and not within it."""
    if not any(name in counts for name in ("cache_read_input_tokens", "cache_creation_input_tokens")):
        return False
    return total is None or sent + cached + (received or 0) == total


def _reconciled(
    sent: int | None, received: int | None, total: int | None, reasoning: int, *, google: bool
) -> tuple[int | None, int | None, bool]:
    """Return input, output and whether the provider's counts agree."""
    if sent is None and total is not None and received is not None:
        return (total - received if total > received else None), received, total > received
    if received is None and total is not None and sent is not None:
        return sent, max(total - sent, 0), total >= sent
    if sent is None or received is None:
        return sent, received, False
    if total is None or total == 0:
        # Where there is no total, more reasoning than output shows that the one is not part of the other.
        outside = reasoning if google or reasoning > received else 0
        return sent, received + outside, True
    if sent + received == total:
        return sent, received, True
    if total > sent + received:
        return sent, total - sent, sent + received + reasoning == total or google
    return sent, received + (reasoning if reasoning > received else 0), False


def _estimate(*texts: str) -> int:
    return math.ceil(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / _BYTES_PER_TOKEN)
