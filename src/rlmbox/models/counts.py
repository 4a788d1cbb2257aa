"""Parsing of token usage from a reply, under the names and in the places that different servers use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlmbox.models.reply_fields import first_of, mapping, object_in

_MOST_TOKENS = 100_000_000  # a larger count is implausible
_DEPTH = 4  # maximum nesting of the counts in a reply
_MOST_OBJECTS = 100

# Names of the same count at different servers; the first one present is used.
_SENT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_eval_count",
    "inputTokens",
    "promptTokens",
    "prompt_n",
    "native_tokens_prompt",
    "prompt_token_count",
    "input_token_count",
    "num_prompt_tokens",
    "tokens_evaluated",
    "tokens_in",
)
_SENT_BESIDE = ("toolUsePromptTokenCount", "cache_n")  # Google, llama.cpp
_RECEIVED = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "eval_count",
    "outputTokens",
    "completionTokens",
    "predicted_n",
    "native_tokens_completion",
    "candidates_token_count",
    "generated_token_count",
    "num_completion_tokens",
    "tokens_predicted",
    "generated_tokens",
    "tokens_out",
)
_TOTAL = ("total_tokens", "totalTokenCount", "totalTokens", "total_token_count")
_REASONING = ("reasoning_tokens", "thinking_tokens", "thoughtsTokenCount", "reasoningTokens")
_CACHED = (
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "cachedContentTokenCount",
    "cacheReadInputTokens",
    "cache_n",
)
_WRITTEN = ("cache_creation_input_tokens", "cache_write_tokens", "cacheWriteInputTokens")
_BESIDE = ("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """A provider's token counts for a reply.

    Attributes:
        sent: Input tokens, including cached ones; None if not reported.
        received: Output tokens, including reasoning; None if not reported.
        total: Both together; None if not reported.
        cached: Input tokens read from a cache.
        written: Input tokens written to a cache.
        reasoning: Reasoning tokens.
        agree: Whether the counts are consistent.
    """

    sent: int | None
    received: int | None
    total: int | None
    cached: int
    written: int
    reasoning: int
    agree: bool


def counts_in(found: Mapping[str, Any], choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object with the counts of a reply in OpenAI's protocol, wherever a server or a gateway has put it.

    Args:
        found: The reply.
        choice: Its choice.
    """
    meta = mapping(found.get("meta"))
    usage = first_of(found.get("usage"))
    places = (
        first_of(usage.get("billed_units")),  # Cohere
        first_of(usage.get("tokens")),
        usage,
        found.get("usageMetadata"),  # Google behind a gateway
        mapping(found.get("x_groq")).get("usage"),
        choice.get("usage"),  # Moonshot
        mapping(choice.get("message")).get("usage"),
        found.get("metrics"),
        meta.get("billed_units"),  # Cohere
        meta.get("tokens"),
        found if "eval_count" in found else None,
        found.get("timings"),  # llama.cpp
    )
    return next(filter(_has_counts, map(mapping, places)), None) or _nearest(found)


def _nearest(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the outermost object with a count under one of the names; an empty one if there is none."""
    level: list[object] = [found]
    for _ in range(_DEPTH):
        for each in level:
            if isinstance(each, Mapping) and _has_counts(each):
                return each
        level = [value for each in level for value in _values(each)][:_MOST_OBJECTS]
    return {}


def _has_counts(found: Mapping[str, Any]) -> bool:
    return _count(_places_of(found), _SENT + _RECEIVED + _TOTAL) is not None


def _values(value: object) -> list[object]:
    if isinstance(value, list):
        return value[:1]
    if not isinstance(value, Mapping):
        return []
    # The model's own output may contain anything.
    return [
        inner if isinstance(inner, str) and "token" not in inner else object_in(inner)
        for name, inner in value.items()
        if name not in ("content", "text", "arguments")
    ]


def read_counts(counts: Mapping[str, Any]) -> TokenCounts:
    """Parse the counts, and reconcile input and output with the total.

    Args:
        counts: The object that contains them.
    """
    places = _places_of(counts)
    sent, received, total = (_count(places, names) for names in (_SENT, _RECEIVED, _TOTAL))
    cached, written = _count(places, _CACHED) or 0, _count(places, _WRITTEN) or 0
    reasoning = _count(places, _REASONING) or 0
    if sent is not None:
        sent += sum(_count(places, (name,)) or 0 for name in _SENT_BESIDE)
        if _is_apart(counts, cached + written, sent, received, total):
            sent += cached + written
    sent, received, agree = _reconciled(sent, received, total, reasoning, google="candidatesTokenCount" in counts)
    return TokenCounts(sent, received, total, cached, written, reasoning, agree)


def _places_of(counts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects that may contain counts: the given one, and its details."""
    return [counts, *(mapping(counts[name]) for name in _DETAILS if name in counts)]


def _count(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int | None:
    """Return a count under the first of its names with a number from 0 up, which may be given as text."""
    for place in places:
        for name in names:
            if name in place and (number := _number(place[name])) is not None:
                return number
    return None


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except ValueError:
        return None
    return math.ceil(number) if 0 <= number <= _MOST_TOKENS else None


def _is_apart(counts: Mapping[str, Any], cached: int, sent: int, received: int | None, total: int | None) -> bool:
    """Return True if cached tokens are counted separately from the input, as by Anthropic, and not included."""
    if total:
        return cached > 0 and sent + cached + (received or 0) == total
    return any(name in counts for name in _BESIDE)


def _reconciled(
    sent: int | None, received: int | None, total: int | None, reasoning: int, *, google: bool
) -> tuple[int | None, int | None, bool]:
    """Return input, output and whether the provider's counts are consistent."""
    if sent is None and total is not None and received is not None:
        return (total - received if total > received else None), received, total > received
    if received is None and total is not None and sent is not None:
        return sent, max(total - sent, 0), total >= sent
    if sent is None or received is None:
        return sent, received, False
    if total is None or total == 0:
        # Without a total, more reasoning than output shows that output does not include reasoning.
        outside = reasoning if google or reasoning > received else 0
        return sent, received + outside, True
    if sent + received == total:
        # More reasoning than output means that output does not include it; the total may lack it, too, as Perplexity's.
        return (sent, received, True) if reasoning <= received else (sent, received + reasoning, False)
    if total > sent + received:
        return sent, total - sent, sent + received + reasoning == total or google
    return sent, received + (reasoning if reasoning > received else 0), False
