"""Why a reply ended, read out of whatever word a server has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rlmbox.types import StopReason

_NAMES = ("finish_reason", "finishReason", "stop_reason", "done_reason", "native_finish_reason", "stopReason")
_NOTHING = frozenset({"", "null", "none"})  # DashScope writes a text while a stream goes on
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
        # What broke off is cut as well, whoever cut it.
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
    """Return why a reply ended, in the server's word; empty where it does not say.

    Args:
        choice: The choice, or a reply that has none.
    """
    return next((word for name in _NAMES if (word := end_word(choice.get(name)))), "")


def end_word(value: object) -> str:
    """Return a word for an end as a text; empty for what says that there is none yet.

    Args:
        value: What stands under its name.
    """
    word = "" if value is None else str(value).strip()
    return "" if word.lower() in _NOTHING else word


def stop_reason_of(word: str) -> StopReason:
    """Return what a server's word for the end means, by the words that it is made of; `stop` for one that nobody knows.

    Args:
        word: The word, such as `max_tokens`, `FinishReason.SAFETY` or `contentFilter`.
    """
    last = word.rpartition(".")[2]  # of an enumeration that was written as Python shows it
    parts = set(re.split(r"[^a-z0-9]+", _HUMP.sub("_", last).lower()))
    if "finished" in parts and "not" not in parts:
        parts.discard("finished")
    return next((reason for reason, words in _WORDS.items() if parts & words), "stop")
