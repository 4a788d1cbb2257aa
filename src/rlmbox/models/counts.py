"""Reading what a reply used, by the provider's counts, under whatever names and in whatever place a server has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlmbox.models.reply_fields import first_of, mapping, object_in

_MOST_TOKENS = 100_000_000  # a count beyond it is absurd
_DEPTH = 4  # how deep in a reply its counts may be
_MOST_OBJECTS = 100

# The same count under the names that servers give it; the first that is there is taken.
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
    """A provider's counts of a reply.

    Attributes:
        sent: Tokens of the input, cached ones included; None where the provider does not say.
        received: Tokens of the reply, reasoning included; None where the provider does not say.
        total: Tokens of both; None where the provider does not say.
        cached: Tokens of the input that were read from a cache.
        written: Tokens of the input that were written to one.
        reasoning: Tokens of the reasoning.
        agree: Whether the counts do not contradict each other.
    """

    sent: int | None
    received: int | None
    total: int | None
    cached: int
    written: int
    reasoning: int
    agree: bool


def counts_in(found: Mapping[str, Any], choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that has the counts of a reply of OpenAI's protocol, wherever a server or a gateway has put it.

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
    """Return the outermost object that has a count under one of the names; an empty one where there is none."""
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
    # What the model wrote may hold anything.
    return [
        inner if isinstance(inner, str) and "token" not in inner else object_in(inner)
        for name, inner in value.items()
        if name not in ("content", "text", "arguments")
    ]


def read_counts(counts: Mapping[str, Any]) -> TokenCounts:
    """Read the counts, and make input and output come to the total.

    Args:
        counts: The object that has them.
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
    """Return where counts may be: the object itself, and its details."""
    return [counts, *(mapping(counts[name]) for name in _DETAILS if name in counts)]


def _count(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int | None:
    """Return a count under the first of its names that holds a number from 0 up, also where it is in a text."""
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
    """Return True if cached tokens are counted beside the input, as Anthropic does, and not within it."""
    if total:
        return cached > 0 and sent + cached + (received or 0) == total
    return any(name in counts for name in _BESIDE)


def _reconciled(
    sent: int | None, received: int | None, total: int | None, reasoning: int, *, google: bool
) -> tuple[int | None, int | None, bool]:
    """Return input, output and whether the provider's counts agree."""
    if sent is None and total is not None and received is not None:
        return (total - received if total > received else None), received, total > received
    if received is None and total is not None and sent is not None:
        return sent, max(total - sent, 0), total >= sent
    if sent is None or received is None:
        return sent, received, False
    if total is None or total == 0:
        # Where there is no total, more reasoning than output shows that the one is not part of the other.
        outside = reasoning if google or reasoning > received else 0
        return sent, received + outside, True
    if sent + received == total:
        # More reasoning than output is outside of it, and the total leaves it out as well, as Perplexity's does.
        return (sent, received, True) if reasoning <= received else (sent, received + reasoning, False)
    if total > sent + received:
        return sent, total - sent, sent + received + reasoning == total or google
    return sent, received + (reasoning if reasoning > received else 0), False
