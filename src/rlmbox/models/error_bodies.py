"""The body of a refusal, taken apart: the provider's words and codes, however deep gateways have wrapped them."""

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
    """Return the objects of a refusal's body, the outermost first: each is what went wrong within the one before.

    Args:
        body: The body as it came; one that is not JSON is an object with its words.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return [{"message": _plain(body[: 4 * DETAIL_CHARS].decode("utf-8", "replace"))}]
    layers: list[JsonBody] = []
    for _ in range(_DEPTH):  # errors are wrapped in errors by every gateway on the way
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
    """Return the provider's words, those of the innermost object that has any; an empty text where none has.

    Args:
        layers: The objects of the body.
    """
    return next((words for layer in reversed(layers) if (words := _words(layer))), "")


def shown(layers: list[JsonBody]) -> str:
    """Return the body of a refusal that has no words, as it is.

    Args:
        layers: The objects of the body.
    """
    return next((_plain(json.dumps(layer, ensure_ascii=False)) for layer in layers if layer), "")


def fields_of(layers: list[JsonBody]) -> list[JsonBody]:
    """Return the objects in which a refusal may have further fields, the innermost first.

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
    if isinstance(raw, str) and raw.strip():  # OpenRouter: what the provider behind it said
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
            # Rails and the like list what is wrong by field; an envelope without words says nothing.
            inner = json.dumps(inner, ensure_ascii=False) if name == "errors" and inner else None
        if isinstance(inner, Mapping | str) and inner:
            yield inner


def _has_words(found: JsonBody) -> bool:
    return any(name in found for name in (*_WORDS, *_WITHIN))


def _words(error: JsonBody) -> str:
    for key in _WORDS:
        value = error.get(key)
        if isinstance(value, str) and (prefix := _PREFIX.match(value)):  # JSON within the words, as Mistral sends it
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
    """Write a validation error in the manner of FastAPI with the field that it is about."""
    if not isinstance(part, Mapping):
        return str(part)
    place = part.get("loc")
    field = f"`{place[-1]}`: " if isinstance(place, list) and place else ""
    return f"{field}{part.get('msg', part)}"


def _plain(text: str) -> str:
    """Return the words of a web page, or the text as it is."""
    return " ".join(_TAG.sub(" ", text).split()) if "<" in text and ">" in text else text
