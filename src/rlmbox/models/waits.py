"""The waiting time that a provider requests: in headers, in a message, or in fields of an error body.

It is a number of seconds, a duration, or a point in time, each written in many ways.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

_EPOCH_S, _EPOCH_MS, _EPOCH_US = 1e8, 1e11, 1e14  # larger reset values are points in time, not seconds
_UNITS_S: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
        **dict.fromkeys(("us", "µs", "μs", "microsecond", "microseconds"), 1e-6),
        **dict.fromkeys(("ms", "millis", "millisecond", "milliseconds", "毫秒"), 1e-3),
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒", "秒钟"), 1.0),
        **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "分", "分钟"), 60.0),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "小时"), 3_600.0),
        **dict.fromkeys(("d", "day", "days", "天"), 86_400.0),
    }
)
_AMOUNT = r"\d+(?:\.\d+)?\s*(?:" + "|".join(sorted(map(re.escape, _UNITS_S), key=len, reverse=True)) + r")(?![a-zµμ])"
_DURATION = rf"(?P<wait>{_AMOUNT}(?:(?:\s|,|and\b)*{_AMOUNT})*)"
_MOMENT = r"(?P<moment>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s?(?:Z|UTC|[+-]\d\d:?\d\d)?)"
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµμ]+|[秒分毫小天][钟秒时]?)", re.IGNORECASE)
_WORDS = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        rf"\b(?:try|retry|retrying|again|available|resets?)\b[^\d\n.]{{0,30}}?\b(?:in|after|for)\b[^\d\n.]{{0,12}}?{_DURATION}",
        rf"\b(?:wait|back ?off|cool-?down)\b[^\d\n.]{{0,24}}?{_DURATION}",
        rf"{_DURATION}\s*(?:之?后|以后)",
        rf"(?:等待|等)\s*{_DURATION}",
        rf"\b(?:again|retry|resets?|available)\b[^\d\n]{{0,12}}?\b(?:at|after)\b\s*:?\s*{_MOMENT}",
        (
            r"\bretry[-_ ]?(?:after|in)[\"']?\s*[:=]?\s*[\"']?(?P<seconds>\d+(?:\.\d+)?)"
            r"(?![\d.:/-]|\s*(?:tokens|requests|times|attempts|tries))"
        ),
    )
)
_FIELDS_S = frozenset(
    {
        *("retry_after", "retry_after_s", "retry_after_sec", "retry_after_seconds", "retry_in", "retry_in_seconds"),
        *("retry_delay", "retry_delay_seconds", "estimated_time", "wait", "wait_time", "wait_seconds"),
        *("reset_in", "resets_in", "reset_in_seconds", "resets_in_seconds", "reset_after", "reset_at", "resets_at"),
    }
)
_FIELDS_MS = frozenset({"retry_after_ms", "retry_in_ms", "reset_in_ms", "retry_delay_ms"})
_REPEATED = re.compile(r"\d{1,9}(?:\.\d{1,9})?(?:\s*,\s*\d{1,9}(?:\.\d{1,9})?)+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def number_of(text: str) -> float | None:
    """Return the number in a header, or None if it has no valid one: 0 or more, and finite.

    Args:
        text: The header's value.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def duration_s(text: str) -> float | None:
    """Read a duration such as `2s`, `6m0s`, `120ms`, `1 minute` or `1 hour and 30 seconds`.

    Args:
        text: The duration.

    Returns:
        Seconds, or None if it is not a duration.
    """
    parts = [(float(amount), _UNITS_S.get(unit.lower())) for amount, unit in _PART.findall(text)]
    known = [amount * unit for amount, unit in parts if unit is not None]
    return sum(known) if known else None


def until_s(value: str) -> float | None:
    """Parse when a limit is reset: seconds, a duration, a date, or a Unix timestamp in seconds or smaller units.

    Args:
        value: The header's value.

    Returns:
        Seconds from now, or None if it is none of these.
    """
    value = value.strip().strip("\"'")
    if _REPEATED.fullmatch(value):  # a repeated header
        value = max(value.split(","), key=float)
    number = number_of(value)
    if number is not None:
        for least, per_second in ((_EPOCH_US, 1e6), (_EPOCH_MS, 1e3), (_EPOCH_S, 1.0)):
            if number > least:
                return max(number / per_second - time.time(), 0.0)
        return number
    moment = _moment(value)
    return duration_s(value) if moment is None else max(moment.timestamp() - time.time(), 0.0)


def _moment(value: str) -> datetime | None:
    """Parse a point in time in the format of ISO 8601 or of HTTP; without a zone it is in UTC."""
    for read in (lambda text: datetime.fromisoformat(text.removesuffix("UTC").strip()), parsedate_to_datetime):
        try:
            moment = read(value)
            moment.timestamp()
        except (ValueError, OverflowError, OSError, TypeError):
            continue
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None


def wait_in_words_s(message: str) -> float | None:
    """Return the wait stated in a provider's message, in seconds; None if there is none.

    Args:
        message: The message.
    """
    for wording in _WORDS:
        found = wording.search(message)
        if found is None:
            continue
        groups = found.groupdict()
        return until_s(groups["moment"]) if groups.get("moment") else _seconds_of(groups)
    return None


def _seconds_of(groups: Mapping[str, str]) -> float | None:
    return duration_s(groups["wait"]) if "wait" in groups else float(groups["seconds"])


def wait_in_fields_s(objects: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the wait in a field of an error body, in seconds; None if there is none.

    Args:
        objects: The objects of the body, outermost first.
    """
    for found in objects:
        for key, value in found.items():
            name = _HUMP.sub("_", str(key)).lower().replace("-", "_")
            if name in _FIELDS_MS or name in _FIELDS_S:
                wait_s = None if isinstance(value, bool | dict | list) else until_s(str(value))
                if wait_s is not None:
                    return wait_s * (0.001 if name in _FIELDS_MS else 1.0)
    return None


def wait_in_headers_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait in a header for it, in seconds; None if there is none.

    Args:
        headers: The headers, by name.
    """
    ends = (("retry-after-ms", 0.001), ("retry-after", 1.0), ("retry-after-seconds", 1.0))
    named = [(name.lower(), value) for name, value in headers.items()]
    for end, factor in ends:
        for name, value in named:
            wait_s = until_s(value) if name.endswith(end) else None
            if wait_s is not None:
                return wait_s * factor
    return None


def reset_in_headers_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the exhausted limits are reset; None if no header says so.

    Args:
        headers: The headers, by name.
    """
    limits = limits_in_headers(headers.items()).values()
    used_up = [fields for fields in limits if not number_of(fields.get("remaining", "")) and "reset" in fields]
    waits = [wait_s for fields in used_up if (wait_s := until_s(fields["reset"])) is not None]
    return max(waits, default=None)


def limits_in_headers(headers: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Return an account's limits as reported in headers.

    Each provider has its own names for them. They are recognised by the words that all of them use: `ratelimit`, and
    `limit`, `remaining` or `reset`.

    Args:
        headers: Their names and values.

    Returns:
        By the rest of the name, such as `x-ratelimit-tokens`: the values of `limit`, `remaining` and `reset`.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in headers:
        words = name.lower().replace("_", "-").replace("rate-limit", "ratelimit").split("-")
        if not any(word.startswith("ratelimit") for word in words) or "policy" in words:
            continue
        field = next((field for field in ("remaining", "reset", "limit") if field in words), None)
        rest = "-".join(word for word in words if word not in (field, "after"))
        if field is not None:
            found.setdefault(rest, {})[field] = value
        elif "=" in value:
            found.setdefault(rest, {}).update(_combined(value))
    return found


_COMBINED: Mapping[str, str] = MappingProxyType(
    {"limit": "limit", "remaining": "remaining", "reset": "reset", "r": "remaining", "t": "reset", "q": "limit"}
)


def _combined(value: str) -> dict[str, str]:
    """Parse the single header of the IETF's drafts: `limit=10, remaining=0, reset=5`, or `"default";r=0;t=5`."""
    pairs = [part.partition("=") for part in re.split(r"[;,]", value)]
    return {_COMBINED[name.strip()]: said.strip() for name, _, said in pairs if name.strip() in _COMBINED}


def header_objects(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the headers of the provider behind a gateway, as repeated in the gateway's body.

    Args:
        objects: The objects of the body.
    """
    found: dict[str, str] = {}
    for each in objects:
        headers = each.get("headers")
        if isinstance(headers, str) and headers.startswith("{"):
            try:
                headers = json.loads(headers)
            except (ValueError, RecursionError):
                continue
        if isinstance(headers, Mapping):
            found |= {str(name): str(value) for name, value in headers.items()}
    return found
