"""Tool calls in a reply although no tool was offered, turned back into the text that a model would write.

A server that parses tool calls from a model's output removes them from the text. So the call is restored: if it calls
something that runs Python, its code is read as in any other reply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from rlmbox.models.reply_fields import mapping

_MOST_CALLS = 100


def called_in(calls: object) -> str:
    """Return the tool calls of a message as text, one element for each; empty if there are none.

    Args:
        calls: The value of `tool_calls` or `function_call`, or of a part of the content that is a call; also the
            pieces of those in a stream.
    """
    merged: dict[object, tuple[str, Any]] = {}
    for number, call in enumerate(_flat(calls)):
        function = mapping(call.get("function")) or call
        index = call.get("index", number)
        key = index if isinstance(index, int | str) else number
        given = next((function[name] for name in ("arguments", "input", "args") if name in function), "")
        name, before = merged.get(key, ("", ""))
        # The pieces in a stream are texts to be joined.
        given = before + given if isinstance(before, str) and isinstance(given, str) else given or before
        merged[key] = (name or str(function.get("name") or ""), given)
        if len(merged) >= _MOST_CALLS:
            break
    return "\n".join(_element(name, given) for name, given in merged.values())


def _flat(calls: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(calls, Mapping):
        yield calls
    elif isinstance(calls, list):
        for call in calls[:100_000]:
            yield from _flat(call) if isinstance(call, list) else [mapping(call)]


def _element(name: str, given: Any) -> str:
    if isinstance(given, str):
        with suppress(ValueError, RecursionError):
            given = json.loads(given)
    call = json.dumps({"name": name, "arguments": given}, default=str).replace("</", "\\u003c/")
    return f"<tool_call>\n{call}\n</tool_call>"
