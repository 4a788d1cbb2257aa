"""Adaptations of requests to a provider's requirements, learned from its refusals.

A refusal costs nothing and usually names the problem. It is learned from once, and every later request of the process
to the same model at the same address is adapted.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from rlmbox.models.complaints import Complaint

RequestBody = dict[str, Any]

_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens")
_NEVER_DROPPED = frozenset(
    {
        "model",
        "messages",
        "contents",
        "input",
        "system",
        "systemInstruction",
        "generationConfig",
        "maxOutputTokens",
        *_OUTPUT_FIELDS,
    }
)
_SMALLEST_CAP_TOKENS = 16
_MISUNDERSTANDINGS = (400, 422)  # statuses of a refusal because of the request's form
_TOO_MUCH = re.compile(r"too (?:large|big|high|many)|exceed|greater|above|out of range|maximum", re.IGNORECASE)


class Adaptations:
    """Changes to requests to one model at one address. Thread-safe.

    Attributes:
        output_field: `max_tokens` or `max_completion_tokens`, if the provider requires one of them.
        output_cap_tokens: Highest output limit that the provider accepts, or None.
        no_system: Whether the system message is prepended to the first user message.
        alternate: Whether consecutive messages of one role are merged.
        dropped: Parameters that are left out.
        no_stream: Whether replies are never requested as a stream.
        only_stream: Whether replies are always requested as a stream.
        has_answered: Whether a good reply has been received.
        has_streamed: Whether one has been received in response to a request for a stream.
    """

    def __init__(self) -> None:
        self.output_field: str | None = None
        self.output_cap_tokens: int | None = None
        self.no_system = False
        self.alternate = False
        self.dropped: frozenset[str] = frozenset()
        self.no_stream = False
        self.only_stream = False
        self.has_answered = False
        self.has_streamed = False
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self.output_field or self.output_cap_tokens or self.no_system or self.alternate or self.dropped)

    def learn(self, complaint: Complaint, content: bytes, status: int = 400) -> bool:
        """Learn the server's requirements from a refusal.

        Args:
            complaint: The refusal.
            content: The request's body as it was sent.
            status: The refusal's HTTP status.

        Returns:
            Whether something new was learned, so that the request is worth sending again.
        """
        body = json.loads(content)
        with self._lock:
            return (
                self._learn_no_stream(complaint, body)
                or self._learn_only_stream(complaint, body)
                or self._learn_output_field(complaint, body)
                or self._learn_cap(complaint, body)
                or self._learn_roles(complaint)
                or self._learn_dropped(complaint.named_parameters, body)
                or (status in _MISUNDERSTANDINGS and self._learn_mentioned(complaint, body))
            )

    def apply(self, body: RequestBody) -> RequestBody:
        """Return a request body with all adaptations applied.

        Args:
            body: The body written by the provider's library.
        """
        body = {name: value for name, value in body.items() if name not in self.dropped}
        if self.dropped and _config(body):
            kept = {name: value for name, value in _config(body).items() if name not in self.dropped}
            body["generationConfig"] = kept
        if self.output_field is not None:
            for name in _OUTPUT_FIELDS:
                if name in body and name != self.output_field:
                    body[self.output_field] = body.pop(name)
        if self.output_cap_tokens is not None:
            _cap(body, self.output_cap_tokens)
        if self.no_system:
            _fold_system(body)
        if self.alternate and isinstance(body.get("messages"), list):
            body["messages"] = _merged(body["messages"])
        return body

    def _learn_output_field(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        sent = next((name for name in _OUTPUT_FIELDS if name in body), None)
        if sent is None or self.output_field is not None:
            return False
        other = _OUTPUT_FIELDS[1 - _OUTPUT_FIELDS.index(sent)]
        wanted = complaint.mentions(other) and complaint.mentions(sent)
        if not wanted and sent not in complaint.named_parameters:
            return False
        if complaint.output_cap_tokens is not None or complaint.too_long:
            return False
        self.output_field = other
        return True

    def _learn_no_stream(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        if self.no_stream or not body.get("stream") or "stream_options" in complaint.named_parameters:
            return False
        self.no_stream = "stream" in complaint.named_parameters or complaint.wants_no_stream
        return self.no_stream

    def _learn_only_stream(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        if self.only_stream or body.get("stream") or not complaint.wants_stream:
            return False
        self.only_stream, self.no_stream = True, False
        return True

    def _learn_cap(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        cap = complaint.output_cap_tokens
        sent = _asked_output(body)
        if cap is None or sent is None or not _SMALLEST_CAP_TOKENS <= cap < sent:
            return False
        self.output_cap_tokens = cap
        return True

    def _learn_roles(self, complaint: Complaint) -> bool:
        if complaint.wants_no_system and not self.no_system:
            self.no_system = True
            return True
        if complaint.wants_alternate_roles and not (self.alternate and self.no_system):
            # Templates that require alternating roles often support no system message either; that is tried second.
            self.no_system = self.no_system or self.alternate
            self.alternate = True
            return True
        return False

    def _learn_dropped(self, names: Iterable[str], body: Mapping[str, Any]) -> bool:
        sent = {**body, **_config(body)}
        for name in names:
            if name in sent and name not in _NEVER_DROPPED and name not in self.dropped:
                self.dropped |= {name}
                return True
        return False

    def _learn_mentioned(self, complaint: Complaint, body: Mapping[str, Any]) -> bool:
        """Learn from a refusal that names a parameter, but states the problem in unknown words."""
        if complaint.too_long or complaint.wants_no_system or "content_filter" in complaint.codes:
            return False
        optional = [name for name in (*body, *_config(body)) if name != "stream" and complaint.mentions(name)]
        if self._learn_dropped(optional, body):
            return True
        asked = _asked_output(body)
        names = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
        if asked is None or not any(map(complaint.mentions, names)) or not _TOO_MUCH.search(complaint.message):
            return False
        self.output_cap_tokens = max(asked // 2, _SMALLEST_CAP_TOKENS)
        return self.output_cap_tokens < asked


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return Google's object of settings; an empty one if there is none."""
    config = body.get("generationConfig")
    return config if isinstance(config, dict) else {}


def _asked_output(body: Mapping[str, Any]) -> int | None:
    asked = _config(body).get("maxOutputTokens")
    asked = next((body[name] for name in _OUTPUT_FIELDS if name in body), asked)
    return asked if isinstance(asked, int) else None


def _cap(body: RequestBody, cap_tokens: int) -> None:
    for name in _OUTPUT_FIELDS:
        if isinstance(body.get(name), int):
            body[name] = min(body[name], cap_tokens)
    config = body.get("generationConfig")
    if isinstance(config, dict) and isinstance(config.get("maxOutputTokens"), int):
        body["generationConfig"] = {**config, "maxOutputTokens": min(config["maxOutputTokens"], cap_tokens)}


def _fold_system(body: RequestBody) -> None:
    """Prepend the system message to the first user message, in OpenAI's and in Google's format."""
    messages = body.get("messages")
    if isinstance(messages, list):
        system = [m for m in messages if m.get("role") in ("system", "developer")]
        rest = [dict(m) for m in messages if m.get("role") not in ("system", "developer")]
        texts = [m["content"] for m in system if isinstance(m.get("content"), str)]
        first = next((m for m in rest if m.get("role") == "user" and isinstance(m.get("content"), str)), None)
        if texts and first is not None:
            first["content"] = "\n\n".join([*texts, first["content"]])
            body["messages"] = rest
    instruction, contents = body.get("systemInstruction"), body.get("contents")
    if isinstance(instruction, dict) and isinstance(contents, list) and contents:
        parts = [*instruction.get("parts", []), *contents[0].get("parts", [])]
        body["contents"] = [{**contents[0], "parts": parts}, *contents[1:]]
        del body["systemInstruction"]


def _merged(messages: list[RequestBody]) -> list[RequestBody]:
    merged: list[RequestBody] = []
    for message in messages:
        last = merged[-1] if merged else None
        texts = [m.get("content") for m in (last, message) if m is not None]
        if last is not None and last.get("role") == message.get("role") and all(isinstance(t, str) for t in texts):
            merged[-1] = {**last, "content": "\n\n".join(str(text) for text in texts)}
        else:
            merged.append(message)
    return merged


_lock = threading.Lock()
_known: dict[tuple[str, str], Adaptations] = {}


def adaptations_of(endpoint: str, model: str) -> Adaptations:
    """Return the adaptations that this process has learned for a model at an address.

    Args:
        endpoint: The address.
        model: The model's name there.
    """
    with _lock:
        return _known.setdefault((endpoint, model), Adaptations())
