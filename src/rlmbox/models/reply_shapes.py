"""Conversion of replies in the format of other protocols, as gateways pass them on, to OpenAI's format.

A reply has been paid for: whatever the server's names for its parts, its text is used if it can only be the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlmbox.models.reply_fields import content_text, first_of, mapping, object_in

_ENVELOPES = ("data", "result", "response", "output", "body", "completion", "chat_completion")
_TEXTS = ("output_text", "generated_text", "response", "completion", "text", "content", "result", "answer", "output")
_LISTS = ("results", "outputs", "predictions", "generations", "completions", "output")


def inner_of(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects within a body that may be a wrapped reply.

    Args:
        found: The body.
    """
    inner: list[Mapping[str, Any]] = []
    for name in _ENVELOPES:
        value = object_in(found.get(name))
        if isinstance(value, Mapping):
            inner.append(value)
    return inner


def choice_of(choices: object) -> Mapping[str, Any]:
    """Return the choice with a text, otherwise the first; `choices` may be a list, one choice, or choices by number.

    Args:
        choices: The value of that field.
    """
    if isinstance(choices, Mapping) and isinstance(choices.get("0"), Mapping):
        choices = [choices["0"]]
    while isinstance(choices, list) and choices and isinstance(choices[0], list):
        choices = choices[0]
    found = [mapping(object_in(choice)) for choice in choices] if isinstance(choices, list) else [mapping(choices)]
    filled = (choice for choice in found if content_text(message_of(choice).get("content")).strip())
    return next(filled, found[0] if found else {})


def message_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of a choice, under any of its names; an empty object if there is none.

    Args:
        choice: The choice.
    """
    for name in ("message", "delta"):
        value = choice.get(name)
        if isinstance(value, str):
            return {"content": value}
        if isinstance(value, Mapping) and value:
            return value
    messages = choice.get("messages")
    if isinstance(messages, list) and messages:
        return mapping(messages[-1])
    return choice if "content" in choice else {}


def lone_text(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a choice for a body that has a text outside any choice or message; None if it has none.

    Args:
        found: The body, or an object wrapped in it.
    """
    for name in _TEXTS:
        if isinstance(value := found.get(name), str) and value.strip():
            return {**found, "text": value}
    for name in _LISTS:
        value = found.get(name)
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            # Replicate sends the pieces of one text; others send one text per question, and only one was asked.
            return {**found, "text": "".join(value)}
        if (inner := first_of(value)) and (choice := lone_text(inner)) is not None:
            return {**found, **choice}
    return None
