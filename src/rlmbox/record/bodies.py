"""The serialized form of an event in a store: JSON, with long strings stored separately.

A typical event takes a few microseconds, because `pydantic_core` serializes it. Values that it cannot write as
`to_json` does, such as a lone surrogate, take a slower path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core

from rlmbox.errors import StoreError
from rlmbox.events import FORMAT, Event, from_json, to_json

PAYLOAD_CHARS = 8_192
"""Longest string that stands in an event's text; a longer one is set aside under its hash."""

_REFERENCE, _LITERAL = "$payload", "$literal"


def body_of(event: Event, keep: Callable[[str, str], None]) -> str:
    """Serialize an event.

    Args:
        event: The event.
        keep: Called with the hash and the text of each string that is stored separately.
    """
    try:
        found = pydantic_core.to_json(event, inf_nan_mode="constants", fallback=_plain).decode()
    except (ValueError, pydantic_core.PydanticSerializationError):
        found = ""
    if not found:
        return json.dumps(_without_payloads(to_json(event), keep))
    found = f'{{"kind":"{event.kind}","format":{FORMAT},{found[1:]}'
    if len(found) <= PAYLOAD_CHARS and _REFERENCE not in found and _LITERAL not in found:
        return found
    form = _without_payloads(pydantic_core.from_json(found), keep)
    return pydantic_core.to_json(form, inf_nan_mode="constants").decode()


def event_of(body: str, payload: Callable[[str], str]) -> Event:
    """Deserialize an event.

    Args:
        body: Its serialized form.
        payload: Returns the string that was stored under a hash.

    Raises:
        StoreError: It is damaged, or a newer version of rlmbox wrote it.
    """
    try:
        found = pydantic_core.from_json(body)
    except ValueError:
        found = _slowly(body)
    if _REFERENCE in body or _LITERAL in body:
        found = _with_payloads(found, payload)
    if not isinstance(found, dict):
        raise StoreError("an event is damaged: it is not an object")
    return from_json(found)


def _slowly(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"an event is damaged: {error}") from None


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _without_payloads(value: object, keep: Callable[[str, str], None]) -> object:
    """Return a JSON value with references in place of its long strings."""
    if isinstance(value, str):
        if len(value) <= PAYLOAD_CHARS:
            return value
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        keep(digest, value)
        return {_REFERENCE: digest}
    if isinstance(value, dict):
        inside = {key: _without_payloads(item, keep) for key, item in value.items()}
        return {_LITERAL: inside} if value.keys() & {_REFERENCE, _LITERAL} else inside
    if isinstance(value, list):
        return [_without_payloads(item, keep) for item in value]
    return value


def _with_payloads(value: object, payload: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        reference = value.get(_REFERENCE)
        if len(value) == 1 and isinstance(reference, str):
            return payload(reference)
        inside = value[_LITERAL] if len(value) == 1 and isinstance(value.get(_LITERAL), dict) else value
        return {key: _with_payloads(item, payload) for key, item in inside.items()}
    if isinstance(value, list):
        return [_with_payloads(item, payload) for item in value]
    return value
