"""Parsing of a reply as received: its text, its stop reason, and its usage.

Nothing else of a reply is examined, so that an irrelevant field cannot spoil one that was paid for. Servers that speak
one protocol borrow names from another, write numbers as text, and omit what they do not know; all of that is accepted.
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
from rlmbox.models.counts import counts_in, read_counts
from rlmbox.models.endings import end_word, named_end, stop_reason_of
from rlmbox.models.reply_calls import called_in
from rlmbox.models.reply_fields import (
    UnreadableReply,
    WireProtocol,
    content_text,
    first,
    mapping,
    reasoning_of,
    refusal_of,
    thinking_of,
)
from rlmbox.models.reply_shapes import choice_of, inner_of, lone_text, message_of
from rlmbox.models.streams import is_stream, joined
from rlmbox.types import Completion, Message, Usage

_BYTES_PER_TOKEN = 3
_ITEMS = ("message", "function_call", "reasoning")  # in OpenAI's Responses
_COMMENTS = re.compile(rb"(?::[^\n]*\n|\s)*")
_INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]+\Z")
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Part:
    """The parts of a reply: text, reasoning, stop reason, tool calls as text, and the provider's counts."""

    text: str
    reasoning: str
    finish: str
    refusal: str
    called: str
    counts: Mapping[str, Any]


def read_reply(protocol: WireProtocol, body: bytes, name: str, messages: Sequence[Message]) -> Completion:
    """Parse a reply.

    The text excludes the model's reasoning; if there is none, a refusal's own words or tool calls take its place.

    Args:
        protocol: The protocol that the provider speaks.
        body: The reply's body.
        name: The model's full name.
        messages: The request, for estimating tokens if the provider does not count them.

    Raises:
        UnreadableReply: It contains no reply.
    """
    found = _decoded(protocol, body)
    part = _READERS[protocol](found)
    text = whole_characters(_THOUGHT.sub("", part.text, count=1) if _THOUGHT.match(part.text) else part.text)
    text = "" if _INVISIBLE.match(text) else text
    stop = stop_reason_of(part.finish)
    if part.refusal and not text.strip():
        text, stop = whole_characters(part.refusal), "refusal"
    elif part.called and not text.strip():
        text, stop = whole_characters(part.called), "tool_calls"
    elif stop == "tool_calls" and text.strip():
        stop = "stop"
    made = bool(part.text or part.reasoning or part.called or part.refusal)
    usage, counted = _usage(part, messages, text, made=made)
    return Completion(text, usage, name, stop, counted)


def _decoded(protocol: WireProtocol, body: bytes) -> Mapping[str, Any]:
    text = body.lstrip()
    if text[:1] == b"<":
        raise UnreadableReply("a web page", is_page=True)
    if is_stream(text):
        if (whole := _COMMENTS.sub(b"", text, count=1)).startswith(b"{"):  # comments keep the connection open
            body = whole
        else:
            return joined(protocol, text)
    found = _value(body)
    if isinstance(found, list) and len(found) > 1 and protocol == "google":
        return joined(protocol, b"\n".join(b"data: " + json.dumps(chunk).encode() for chunk in found))
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, Mapping):
        raise UnreadableReply(f"it is JSON of another kind: {str(found)[:80]}")
    return _unwrapped(found, body)


def _value(body: bytes) -> Any:
    """Return the JSON of a body, which may be in a string, or followed by something else."""
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        found = json.loads(text)
        return json.loads(found) if isinstance(found, str) and found.lstrip().startswith("{") else found
    except (ValueError, RecursionError) as error:
        lines = _objects(text)
        if not lines:
            raise UnreadableReply(f"it is not whole JSON: {error}") from None
    return lines[0] if len(lines) == 1 else _joined_lines(lines)


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Return the consecutive objects at the beginning of a body."""
    found: list[Mapping[str, Any]] = []
    position, decoder = 0, json.JSONDecoder()
    while text.startswith("{", position):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return []  # truncated
        found.append(value)
        position += len(text[position:]) - len(text[position:].lstrip())
    return found


def _joined_lines(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Join a reply that Ollama sends as lines of JSON; the last line has the counts."""
    if not all(isinstance(line.get("message"), Mapping) for line in lines) or not lines[-1].get("done"):
        return lines[0]
    text = "".join(content_text(mapping(line["message"]).get("content")) for line in lines)
    return {**lines[-1], "message": {"role": "assistant", "content": text}}


def _unwrapped(found: Mapping[str, Any], body: bytes) -> Mapping[str, Any]:
    """Return the object that contains the reply."""
    if _has_reply(found):
        return found
    inner = next((inner for inner in inner_of(found) if _has_reply(inner)), None)
    if inner is not None:
        return {**{name: found[name] for name in ("usage", "meta", "metadata") if name in found}, **inner}
    if found.get("error") or Complaint(body).has_words:
        raise UnreadableReply("an error", is_error=True)
    return found


def _has_reply(found: Mapping[str, Any]) -> bool:
    """Return True if an object contains a reply in any of the protocols."""
    choice = choice_of(found.get("choices"))
    if (
        content_text(found.get("response")).strip()
        or content_text(found.get("generated_text")).strip()
        or _output_of(found)
    ):
        return True
    if choice.get("error") and not content_text(message_of(choice).get("content")).strip():
        return False  # OpenRouter: the provider behind it failed
    return bool(choice or isinstance(found.get("message"), Mapping) or found.get("content") or found.get("candidates"))


def _openai(found: Mapping[str, Any]) -> _Part:
    choice = choice_of(found.get("choices"))
    message = message_of(choice)
    if not choice:
        other = _of_another_protocol(found)
        if other is not None:
            return other
        choice, message = found, mapping(found.get("message"))  # Ollama's or Cohere's own protocol through a gateway
    if not message and "text" not in choice:
        alone = next((alone for each in (found, *inner_of(found)) if (alone := lone_text(each)) is not None), None)
        if alone is None or choice is not found:
            return _empty(found)
        choice = alone
    content = message.get("content") if message else choice.get("text")
    if isinstance(content, Mapping) and not content.keys() & {"text", "type", "parts"}:
        content = json.dumps(content, ensure_ascii=False)  # a gateway has parsed the JSON that the model wrote
    return _Part(
        text=content_text(content),
        reasoning=reasoning_of(message) + thinking_of(content),
        finish=named_end(choice),
        refusal=content_text(message.get("refusal")) or refusal_of(content),
        called=called_in([message.get("tool_calls") or [], message.get("function_call") or []]),
        counts=counts_in(found, choice),
    )


def _empty(found: Mapping[str, Any]) -> _Part:
    """Return a reply without content, if the provider has counted it.

    Raises:
        UnreadableReply: Nothing indicates that the model has run.
    """
    counts = counts_in(found, {})
    if not counts or found.get("choices"):
        raise UnreadableReply("it has no message")
    return _Part("", "", "", "", called="", counts=counts)


def _of_another_protocol(found: Mapping[str, Any]) -> _Part | None:
    """Parse a reply that a gateway has passed on in its provider's protocol; None if it is none."""
    if isinstance(found.get("candidates"), list):
        return _google(found)
    if isinstance(found.get("content"), list):
        return _anthropic(found)
    items = _output_of(found)
    if not items:
        return None
    # OpenAI's Responses, Bedrock's Converse
    content = [part for item in items for part in item.get("content") or [] if item.get("type", "message") == "message"]
    incomplete = mapping(found.get("incomplete_details")).get("reason")
    return _Part(
        content_text(content),
        "",
        end_word(found.get("stopReason") or incomplete),
        refusal_of(content),
        called=called_in([item for item in items if item.get("type") == "function_call"]),
        counts=counts_in(found, {}),
    )


def _output_of(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages, calls and reasoning in a reply's `output`."""
    output = found.get("output")
    output = [mapping(output).get("message")] if isinstance(output, Mapping) else output
    items = map(mapping, output) if isinstance(output, list) else ()
    return [item for item in items if isinstance(item.get("content"), list) or item.get("type") in _ITEMS]


def _anthropic(found: Mapping[str, Any]) -> _Part:
    blocks = found.get("content")
    blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
    if not isinstance(blocks, list):
        if "choices" in found:  # a gateway that speaks OpenAI's protocol at this path, too
            return _openai(found)
        raise UnreadableReply("it has no content")
    return _Part(
        text=content_text(blocks),
        reasoning=thinking_of(blocks),
        finish=end_word(found.get("stop_reason")),
        refusal="",
        called=called_in([block for block in blocks if mapping(block).get("type") == "tool_use"]),
        counts=mapping(found.get("usage")),
    )


def _google(found: Mapping[str, Any]) -> _Part:
    candidate = first(found.get("candidates"))
    parts = mapping(candidate.get("content")).get("parts")
    parts = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    blocked = mapping(found.get("promptFeedback")).get("blockReason")
    return _Part(
        text="".join(content_text(part.get("text")) for part in parts if not part.get("thought")),
        reasoning="".join(content_text(part.get("text")) for part in parts if part.get("thought")),
        finish="content_filter" if blocked else end_word(candidate.get("finishReason")),
        refusal="",
        called=called_in([part["functionCall"] for part in parts if "functionCall" in part]),
        counts=mapping(found.get("usageMetadata")),
    )


_READERS: Mapping[WireProtocol, Callable[[Mapping[str, Any]], _Part]] = MappingProxyType(
    {"openai": _openai, "azure": _openai, "anthropic": _anthropic, "google": _google}
)


def whole_characters(text: str) -> str:
    """Return a text with `?` in place of lone surrogates, which JSON and command lines may hold, and UTF-8 may not.

    Args:
        text: The text.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _usage(part: _Part, messages: Sequence[Message], text: str, *, made: bool) -> tuple[Usage, bool]:
    """Return the provider's counts and True; if they are missing or contradictory, the higher values and False.

    A count of zero for a non-empty input, or one without the reasoning, would let a run exceed its budget: input and
    output have to add up to the total.
    """
    counts = read_counts(part.counts)
    sent, received = counts.sent, counts.received
    counted = counts.agree and bool(sent) and received is not None and (received > 0 or not made)
    if not sent:
        sent = _estimate(*(message.content for message in messages)) + 4 * len(messages)
    if received is None or (received == 0 and made):
        received = max(_estimate(text, part.reasoning), 1, (counts.total or 0) - sent)
    cached = min(counts.cached, sent)
    usage = Usage(
        input_tokens=sent,
        cached_input_tokens=cached,
        output_tokens=received,
        reasoning_tokens=min(counts.reasoning, received),
        requests=1,
        cache_write_tokens=min(counts.written, sent - cached),
    )
    return usage, counted


def _estimate(*texts: str) -> int:
    return math.ceil(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / _BYTES_PER_TOKEN)
