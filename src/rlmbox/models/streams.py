"""Streamed replies: their text as it arrives, and the whole reply assembled from the events.

The text shown meanwhile is for a person. The reply itself is assembled from everything received, and parsed in the same
way as a complete one.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from rlmbox.models.counts import counts_in
from rlmbox.models.endings import end_word
from rlmbox.models.error_bodies import layers_of, words_of
from rlmbox.models.reply_fields import (
    UnreadableReply,
    WireProtocol,
    content_text,
    first,
    first_of,
    mapping,
    reasoning_of,
    thinking_of,
)

Chunk = Mapping[str, Any]


_OF_A_REPLY = frozenset({"choices", "candidates", "delta", "content_block"})  # fields that errors do not have


class Delta(NamedTuple):
    """The next piece of a reply.

    Attributes:
        text: The text.
        reasoning: Text of the model's reasoning, if the provider sends it.
    """

    text: str
    reasoning: str


def is_stream(body: bytes) -> bool:
    """Return True if a body is a stream of server-sent events."""
    return body.lstrip().startswith((b"data:", b"event:", b"id:", b"retry:", b":", b"error:"))


class StreamText:
    """The text of a stream, extracted as its bytes arrive.

    Args:
        protocol: The protocol that the provider speaks.
    """

    def __init__(self, protocol: WireProtocol) -> None:
        self._read = _DELTAS[protocol]
        self._rest = b""

    def feed(self, part: bytes) -> Delta:
        """Return the text that another part of the body adds.

        Args:
            part: The next bytes.
        """
        *lines, self._rest = (self._rest + part).split(b"\n")
        found = [self._read(chunk) for chunk in map(_chunk, lines) if chunk is not None]
        return Delta("".join(delta.text for delta in found), "".join(delta.reasoning for delta in found))


def joined(protocol: WireProtocol, body: bytes) -> Chunk:
    """Assemble a stream to the reply that the provider would have sent without streaming.

    Args:
        protocol: The protocol that the provider speaks.
        body: Everything received.

    Raises:
        UnreadableReply: It contains no reply, or was truncated.
    """
    parts: _Parts = _JOINS[protocol]()
    said: Chunk | None = None  # an error that is not labelled as one, as sent by vLLM and others
    for line in body.splitlines():
        chunk = _chunk(line)
        if chunk is None:
            parts.is_over |= line.removeprefix(b"data:").strip() == b"[DONE]"
            continue
        if chunk.get("error"):
            raise _broken_by(chunk, begun=parts.begun)
        parts.add(chunk)
        if not chunk.keys() & _OF_A_REPLY and words_of(layers_of(json.dumps(chunk).encode())):
            said = chunk
    if parts.begun and parts.is_over:
        return parts.reply()
    if said is not None:
        raise _broken_by(said, begun=parts.begun)
    raise UnreadableReply("the stream broke off before its end" if parts.begun else "a stream without a reply")


def _broken_by(chunk: Chunk, *, begun: bool) -> UnreadableReply:
    """Return the error for a stream that ends with one; what preceded it may have been billed."""
    body = json.dumps(chunk).encode()
    if not begun:
        return UnreadableReply("an error", is_error=True, error=body)
    said = words_of(layers_of(body)) or str(chunk["error"])
    return UnreadableReply(f"the stream broke off with an error: {said}", error=body)


def _chunk(line: bytes) -> Chunk | None:
    name, _, value = line.partition(b":")
    if name not in (b"data", b"error"):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if name == b"error":  # llama.cpp
        return {"error": found}
    return found if isinstance(found, Mapping) else None


def _openai_delta(chunk: Chunk) -> Delta:
    choice = first_of(chunk.get("choices"))
    delta = mapping(choice.get("delta")) or mapping(choice.get("message"))
    content = delta.get("content")
    return Delta(content_text(content), reasoning_of(delta) + thinking_of(content))


def _anthropic_delta(chunk: Chunk) -> Delta:
    delta = mapping(chunk.get("delta"))
    block = mapping(chunk.get("content_block"))
    return Delta(
        content_text(delta.get("text")) + content_text(block.get("text")),
        content_text(delta.get("thinking")) + content_text(block.get("thinking")),
    )


def _google_delta(chunk: Chunk) -> Delta:
    parts = mapping(first(chunk.get("candidates")).get("content")).get("parts")
    known = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return Delta(
        "".join(content_text(part.get("text")) for part in known if not part.get("thought")),
        "".join(content_text(part.get("text")) for part in known if part.get("thought")),
    )


_DELTAS: Mapping[WireProtocol, Callable[[Chunk], Delta]] = MappingProxyType(
    {"openai": _openai_delta, "azure": _openai_delta, "anthropic": _anthropic_delta, "google": _google_delta}
)


@dataclass
class _Parts(ABC):
    """A reply that is assembled from chunks."""

    begun: bool = False
    is_over: bool = False
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish: str = ""
    counts: dict[str, Any] = field(default_factory=dict)

    def take(self, delta: Delta) -> None:
        self.text.append(delta.text)
        self.reasoning.append(delta.reasoning)

    def count(self, counts: Mapping[str, Any]) -> None:
        """Update the counts; a zero or missing count does not replace an earlier one."""
        self.counts |= {name: value for name, value in counts.items() if value or not self.counts.get(name)}

    @abstractmethod
    def add(self, chunk: Chunk) -> None: ...

    @abstractmethod
    def reply(self) -> Chunk: ...


@dataclass
class _OpenAIParts(_Parts):
    refusal: list[str] = field(default_factory=list)
    calls: list[object] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        choice = first_of(chunk.get("choices"))
        self.count(counts_in(chunk, choice))
        if not choice:
            return
        self.begun = True
        self.take(_openai_delta(chunk))
        delta = mapping(choice.get("delta")) or mapping(choice.get("message"))
        self.refusal.append(content_text(delta.get("refusal")))
        self.calls += [call for call in (delta.get("tool_calls"), delta.get("function_call")) if call]
        self.finish = end_word(choice.get("finish_reason")) or self.finish
        self.is_over |= bool(self.finish)

    def reply(self) -> Chunk:
        message = {"content": "".join(self.text), "reasoning": "".join(self.reasoning)}
        message |= {"refusal": "".join(self.refusal), "tool_calls": self.calls}  # type: ignore[dict-item]
        return {"choices": [{"message": message, "finish_reason": self.finish}], "usage": self.counts}


@dataclass
class _AnthropicParts(_Parts):
    calls: dict[object, dict[str, Any]] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> None:
        message = mapping(chunk.get("message"))
        self.begun = self.begun or bool(message) or chunk.get("type") in ("content_block_start", "content_block_delta")
        # Counts sent at the start are repeated at the end if they have changed.
        self.count(mapping(message.get("usage")))
        self.count(mapping(chunk.get("usage")))
        self.take(_anthropic_delta(chunk))
        block, delta = mapping(chunk.get("content_block")), mapping(chunk.get("delta"))
        if block.get("type") == "tool_use":
            self.calls[chunk.get("index")] = {**block, "input": ""}
        elif "partial_json" in delta and chunk.get("index") in self.calls:
            self.calls[chunk.get("index")]["input"] += content_text(delta["partial_json"])
        self.finish = end_word(mapping(chunk.get("delta")).get("stop_reason")) or self.finish
        self.is_over |= bool(self.finish) or chunk.get("type") == "message_stop"

    def reply(self) -> Chunk:
        content = [
            {"type": "thinking", "thinking": "".join(self.reasoning)},
            {"type": "text", "text": "".join(self.text)},
        ]
        content += list(self.calls.values())
        return {"content": content, "stop_reason": self.finish, "usage": self.counts}


@dataclass
class _GoogleParts(_Parts):
    feedback: Chunk = field(default_factory=dict)
    calls: list[object] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        self.count(mapping(chunk.get("usageMetadata")))
        self.feedback = mapping(chunk.get("promptFeedback")) or self.feedback
        candidate = first(chunk.get("candidates"))
        self.begun = self.begun or bool(candidate) or bool(self.feedback)
        self.take(_google_delta(chunk))
        parts = mapping(candidate.get("content")).get("parts")
        self.calls += [part for part in parts if "functionCall" in mapping(part)] if isinstance(parts, list) else []
        self.finish = end_word(candidate.get("finishReason")) or self.finish
        self.is_over |= bool(self.finish) or "blockReason" in self.feedback

    def reply(self) -> Chunk:
        parts: list[object] = [{"text": "".join(self.reasoning), "thought": True}, {"text": "".join(self.text)}]
        parts += self.calls
        candidate = {"content": {"parts": parts}, "finishReason": self.finish}
        return {"candidates": [candidate], "promptFeedback": self.feedback, "usageMetadata": self.counts}


_JOINS: Mapping[WireProtocol, Callable[[], _Parts]] = MappingProxyType(
    {"openai": _OpenAIParts, "azure": _OpenAIParts, "anthropic": _AnthropicParts, "google": _GoogleParts}
)
