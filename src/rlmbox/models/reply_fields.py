"""Lenient access to fields of replies, and the error for a body without a reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

_REASONING = ("reasoning_content", "reasoning", "thinking")

WireProtocol = Literal["openai", "azure", "anthropic", "google"]


class UnreadableReply(Exception):
    """A response with status 200 that contains no reply.

    Attributes:
        is_page: Whether it is a web page, as from a proxy or a login.
        is_error: Whether it is an error with the status of success, sent before any part of a reply.
        error: The error's body, if that is only a part of what was received.
    """

    def __init__(
        self, message: str, *, is_page: bool = False, is_error: bool = False, error: bytes | None = None
    ) -> None:
        super().__init__(message)
        self.is_page = is_page
        self.is_error = is_error
        self.error = error


def mapping(value: object) -> Mapping[str, Any]:
    """Return a value if it is an object; otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def first(value: object) -> Mapping[str, Any]:
    """Return the first object of a list; an empty one if there is none."""
    return mapping(value[0]) if isinstance(value, list) and value else {}


def first_of(value: object) -> Mapping[str, Any]:
    """Return a value if it is an object, or the first object of a list; otherwise an empty one."""
    return first(value) or mapping(value)


def content_text(content: object) -> str:
    """Return the text of a content: a string, or a list of parts, without those that are reasoning."""
    if isinstance(content, str):
        return content
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    if isinstance(content, Mapping):
        return _text_of_part(content)
    if isinstance(content, list):
        return "".join(content_text(part) for part in content)
    return ""


def _text_of_part(part: Mapping[str, Any]) -> str:
    kind = part.get("type", "text")
    if isinstance(kind, str) and kind in ("text", "output_text"):
        return next((content_text(part[name]) for name in ("text", "content", "value", "parts") if name in part), "")
    return ""


def thinking_of(content: object) -> str:
    """Return the reasoning in a content that is a list of parts."""
    if not isinstance(content, list):
        return ""
    return "".join(str(part.get("thinking", "")) for part in content if isinstance(part, Mapping))


def refusal_of(content: object) -> str:
    """Return the words of a refusal in the content."""
    parts = map(mapping, content) if isinstance(content, list) else ()
    return "".join(content_text(part.get("refusal")) for part in parts if part.get("type") == "refusal")


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning next to a message's content, in OpenAI's protocol."""
    return next((content_text(message[key]) for key in _REASONING if message.get(key)), "")


def object_in(value: object) -> object:
    """Parse a text that is the JSON of an object, as some gateways send it; return anything else unchanged.

    Args:
        value: The text, or any other value.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
