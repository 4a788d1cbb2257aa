"""Texts of a run in the form in which spans have them, where somebody asked for them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rlmbox.types import Message


def messages_json(messages: Iterable[Message]) -> str:
    """Return the messages of a request.

    Args:
        messages: The messages.
    """
    return json_text([{"role": each.role, "parts": [{"type": "text", "content": each.content}]} for each in messages])


def reply_json(text: str, finish_reason: str) -> str:
    """Return the reply to a request.

    Args:
        text: Its text.
        finish_reason: Why it ended.
    """
    parts = [{"type": "text", "content": text}]
    return json_text([{"role": "assistant", "parts": parts, "finish_reason": finish_reason}])


def json_text(value: object) -> str:
    """Return any value as the text of its JSON form.

    Args:
        value: The value.
    """
    return json.dumps(value, ensure_ascii=False, default=str)
