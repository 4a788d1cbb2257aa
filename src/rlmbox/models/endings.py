"""Stop reasons, from the various words that servers use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rlmbox.types import StopReason

_NAMES = ("finish_reason", "finishReason", "stop_reason", "done_reason", "native_finish_reason", "stopReason")
_NOTHING = frozenset({"", "null", "none"})  # DashScope sends these texts while a stream continues
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS: Mapping[StopReason, frozenset[str]] = MappingProxyType(
    {
        "tool_calls": frozenset({"tool", "function"}),
        "content_filter": frozenset(
            {
                *("filter", "filtered", "safety", "recitation", "blocklist", "blocked", "prohibited", "spii"),
                *("sensitive", "refusal", "guardrail", "language", "toxic", "moderation"),
            }
        ),
        # An aborted reply counts as truncated, too.
        "length": frozenset(
            {
                *("length", "len", "max", "limit", "exceeded", "truncated", "truncation", "incomplete", "finished"),
                *("error", "abort", "aborted", "cancelled", "canceled", "interrupted", "timeout", "insufficient"),
                *("overloaded", "failed"),
            }
        ),
    }
)


def named_end(choice: Mapping[str, Any]) -> str:
    """Return why a reply ended, in the server's word; empty if it does not say.

    Args:
        choice: The choice, or a reply without choices.
    """
    return next((word for name in _NAMES if (word := end_word(choice.get(name)))), "")


def end_word(value: object) -> str:
    """Return a stop reason as a text; empty if there is none yet.

    Args:
        value: The value of its field.
    """
    word = "" if value is None else str(value).strip()
    return "" if word.lower() in _NOTHING else word


def stop_reason_of(word: str) -> StopReason:
    """Return the meaning of a server's stop reason, judged by the words it consists of; `stop` if unknown.

    Args:
        word: The word, such as `max_tokens`, `FinishReason.SAFETY` or `contentFilter`.
    """
    last = word.rpartition(".")[2]  # of an enum member as Python prints it
    parts = set(re.split(r"[^a-z0-9]+", _HUMP.sub("_", last).lower()))
    if "finished" in parts and "not" not in parts:
        parts.discard("finished")
    return next((reason for reason, words in _WORDS.items() if parts & words), "stop")
