"""Parsing of an error body: the provider's message and codes, however deeply gateways have nested them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

DETAIL_CHARS = 2_000
"""Most characters of a provider's words that are looked at."""

_DEPTH = 6
_WORDS = (
    "message",
    "detail",
    "error_description",
    "msg",
    "Message",
    "error_msg",
    "errorMessage",
    "error_message",
    "status_msg",
    "faultstring",
    "description",
    "reason",
    "title",
    "err",
)
_WITHIN = ("error", "Error", "errors", "base_resp", "fault", "exception", "response", "data")
_CODES = ("code", "type", "status", "status_code", "error_code", "error_type", "errorcode", "__type")
_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_PREFIX = re.compile(r"[\w.: -]{0,80}(?=\{)")

JsonBody = Mapping[str, Any]


def layers_of(body: bytes) -> list[JsonBody]:
    """Return the nested objects of an error body, outermost first: each describes the cause of the previous one.

    Args:
        body: The body as received; if it is not JSON, it is an object with its text.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return [{"message": _plain(body[: 4 * DETAIL_CHARS].decode("utf-8", "replace"))}]
    layers: list[JsonBody] = []
    for _ in range(_DEPTH):  # every gateway on the way wraps the error
        if isinstance(found, Mapping):
            layers.append(found)
        elif not isinstance(found, list):
            return [*layers, {"message": str(found)}]
        inner = next(_inner(found), None)
        if inner is None:
            break
        found = inner
    return layers or [{"message": str(found)} if found else {}]


def codes_of(layers: list[JsonBody]) -> set[str]:
    """Return the machine-readable codes of a refusal.

    Args:
        layers: The objects of its body.
    """
    return {
        str(layer[key])
        for layer in layers
        for key in _CODES
        if layer.get(key) is not None and not isinstance(layer[key], dict | list)
    }


def words_of(layers: list[JsonBody]) -> str:
    """Return the provider's message, from the innermost object that has one; empty if none has.

    Args:
        layers: The objects of the body.
    """
    return next((words for layer in reversed(layers) if (words := _words(layer))), "")


def shown(layers: list[JsonBody]) -> str:
    """Return the body of a refusal without a message, unchanged.

    Args:
        layers: The objects of the body.
    """
    return next((_plain(json.dumps(layer, ensure_ascii=False)) for layer in layers if layer), "")


def fields_of(layers: list[JsonBody]) -> list[JsonBody]:
    """Return the objects in which a refusal may have further fields, innermost first.

    Args:
        layers: The objects of its body.
    """
    return [each for layer in reversed(layers) for each in (layer, layer.get("metadata")) if isinstance(each, Mapping)]


def _inner(found: object) -> Iterator[object]:
    if isinstance(found, list):
        yield from found[:1]
        return
    if not isinstance(found, Mapping):
        return
    yield from _named(found)
    cause = found.get("cause")
    if isinstance(cause, str) and cause.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            yield json.loads(cause)
    choices = found.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) and choices[0].get("error"):
        yield choices[0]["error"]
    metadata = found.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, Mapping) and raw:
        yield raw
    if isinstance(raw, str) and raw.strip():  # OpenRouter: the error of the provider behind it
        try:
            yield json.loads(raw)
        except (ValueError, RecursionError):
            yield {"message": raw}
    message = found.get("message")
    if isinstance(message, Mapping) and message:
        yield message


def _named(found: JsonBody) -> Iterator[object]:
    for name in _WITHIN:
        inner = found.get(name)
        if isinstance(inner, list):
            inner = inner[0] if inner else None
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            with suppress(ValueError, RecursionError):
                inner = json.loads(inner)
        if isinstance(inner, Mapping) and name in ("errors", "response", "data") and not _has_words(inner):
            # Rails and others list errors by field; an envelope without a message has no information.
            inner = json.dumps(inner, ensure_ascii=False) if name == "errors" and inner else None
        if isinstance(inner, Mapping | str) and inner:
            yield inner


def _has_words(found: JsonBody) -> bool:
    return any(name in found for name in (*_WORDS, *_WITHIN))


def _words(error: JsonBody) -> str:
    for key in _WORDS:
        value = error.get(key)
        if isinstance(value, str) and (prefix := _PREFIX.match(value)):  # JSON within the message, as sent by Mistral
            with suppress(ValueError, RecursionError):
                found = json.loads(value[prefix.end() :])
                value = words_of(layers_of(json.dumps(found).encode())) if isinstance(found, dict) else value
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, Mapping) and value:
            return _words(value)
        if isinstance(value, list) and value:
            return "; ".join(_located(part) for part in value[:3])
    return ""


def _located(part: object) -> str:
    """Format a validation error in FastAPI's style, with the field that it is about."""
    if not isinstance(part, Mapping):
        return str(part)
    place = part.get("loc")
    field = f"`{place[-1]}`: " if isinstance(place, list) and place else ""
    return f"{field}{part.get('msg', part)}"


def _plain(text: str) -> str:
    """Return the text of a web page, or any other text unchanged."""
    return " ".join(_TAG.sub(" ", text).split()) if "<" in text and ">" in text else text
