"""The serialized form of an event in a store: JSON, with long strings stored separately.

A typical event takes a few microseconds, because `pydantic_core` serializes it. Values that it cannot write as
`to_json` does, such as a lone surrogate, take a slower path.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pydantic_core

from rlmbox.errors import StoreError
from rlmbox.events import FORMAT, Event, from_json, to_json
from rlmbox.record.hiding import LONG_CHARS, mapped

PAYLOAD_CHARS = 8_192
"""Longest string that stands in an event's text; a longer one is set aside under its hash."""

_REFERENCE, _LITERAL = "$payload", "$literal"
_MARK = f"set aside {secrets.token_hex(8)} "  # nobody can write what stands for a text
_SAMPLE_CHARS, _PIECE_CHARS, _KEPT_DIGESTS = 64, 1 << 20, 64
_digests: dict[tuple[int, int, str, str], str] = {}
_Keep = Callable[[str, str], None]


def body_of(event: Event, keep: _Keep) -> str:
    """Serialize an event.

    Args:
        event: The event.
        keep: Called with the hash and the text of each string that is stored separately.
    """
    aside: dict[str, tuple[str, str]] = {}
    found = _serialized(event)
    if found is None or len(found) > LONG_CHARS:  # what is long is left out, since reading it back takes long
        event = mapped(event, partial(_set_aside, keep, aside))
        found = _serialized(event) if found is not None or aside else None
    if found is None:
        return json.dumps(_without_payloads(to_json(event), keep, aside))
    if len(found) <= PAYLOAD_CHARS and not aside and _REFERENCE not in found and _LITERAL not in found:
        return found
    form = _without_payloads(pydantic_core.from_json(found), keep, aside)
    return pydantic_core.to_json(form, inf_nan_mode="constants").decode()


def _serialized(event: Event) -> str | None:
    try:
        found = pydantic_core.to_json(event, inf_nan_mode="constants", fallback=_plain).decode()
    except (ValueError, pydantic_core.PydanticSerializationError):
        return None
    return f'{{"kind":"{event.kind}","format":{FORMAT},{found[1:]}'


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


def _set_aside(keep: _Keep, aside: dict[str, tuple[str, str]], text: str) -> str:
    """Store a long text separately; return what stands for it until there is a reference."""
    if len(text) <= LONG_CHARS:
        return text
    digest = digest_of(text)
    keep(digest, text)
    mark = f"{_MARK}{digest}"
    aside[mark] = digest, text
    return mark


def digest_of(text: str) -> str:
    """Return the hash under which a string is stored; a long one is in several events, and is hashed once.

    Args:
        text: The string.
    """
    known = hash(text), len(text), text[:_SAMPLE_CHARS], text[-_SAMPLE_CHARS:]
    found = _digests.get(known)
    if found is None:
        made = hashlib.sha256()
        for start in range(0, len(text), _PIECE_CHARS):
            made.update(text[start : start + _PIECE_CHARS].encode("utf-8", "surrogatepass"))
        found = made.hexdigest()
        if len(text) > LONG_CHARS:
            for old in list(_digests)[:-_KEPT_DIGESTS]:
                _digests.pop(old, None)
            _digests[known] = found
    return found


def _without_payloads(value: object, keep: _Keep, aside: Mapping[str, tuple[str, str]]) -> object:
    """Return a JSON value with references in place of its long strings, of which some are set aside already."""
    if isinstance(value, str):
        if value in aside:
            return {_REFERENCE: aside[value][0]}
        if len(value) <= PAYLOAD_CHARS:
            return value
        digest = digest_of(value)
        keep(digest, value)
        return {_REFERENCE: digest}
    if isinstance(value, dict):
        inside = {
            aside[key][1] if key in aside else key: _without_payloads(item, keep, aside) for key, item in value.items()
        }
        return {_LITERAL: inside} if value.keys() & {_REFERENCE, _LITERAL} else inside
    if isinstance(value, list):
        return [_without_payloads(item, keep, aside) for item in value]
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
