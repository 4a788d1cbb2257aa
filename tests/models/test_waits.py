"""A wait is kept in whatever way a provider tells of it."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.models import failures
from rlmbox.models.call import Refused
from rlmbox.models.target import resolve
from rlmbox.models.waits import duration_s, until_s, wait_in_words_s

TARGET = resolve("openai:m", "http://127.0.0.1:1", "sk-secret-0123456789")
SLOW: dict[str, Any] = {"error": {"message": "slow down"}}


def asked_s(body: object = SLOW, **headers: str) -> float | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failures.refused(Refused(429, httpx2.Headers(named), json.dumps(body).encode()), TARGET).retry_after_s


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        ("2s", 2.0),
        ("12ms", 0.012),
        ("500us", 0.0005),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("1h0m2s", 3_602.0),
        ("1d2h", 93_600.0),
        ("1m26.4s", 86.4),
        ("2 seconds", 2.0),
        ("1 minute", 60.0),
        ("-1", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_header_is_a_number_or_a_duration(value: str, wait_s: float | None) -> None:
    used_up = {"x_ratelimit_remaining_requests": "0"}
    assert asked_s(x_ratelimit_reset_requests=value, **used_up) == pytest.approx(wait_s)
    assert asked_s(retry_after=value) == pytest.approx(wait_s)


MOMENTS: dict[str, Callable[[datetime], str]] = {
    "seconds since the epoch": lambda at: str(int(at.timestamp())),
    "milliseconds since the epoch": lambda at: str(int(at.timestamp() * 1_000)),
    "ISO 8601": lambda at: at.isoformat(),
    "ISO 8601 with a Z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "ISO 8601 without a zone": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "LiteLLM's": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "HTTP": lambda at: format_datetime(at, usegmt=True),
}


@pytest.mark.parametrize("form", MOMENTS)
@pytest.mark.parametrize("name", ["retry_after", "x_ratelimit_reset", "anthropic_ratelimit_requests_reset"])
def test_a_header_may_be_a_moment(name: str, form: str) -> None:
    value = MOMENTS[form](datetime.now(UTC) + timedelta(seconds=300))
    assert asked_s(**{name: value}) == pytest.approx(300, abs=60)


def test_a_moment_that_is_over_is_no_wait() -> None:
    assert asked_s(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (asked_s(retry_after="Fri, 01 Jan 2100 00:00:00 GMT") or 0) > 1e9


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"x_ms_retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "5, 20"}, 20.0),
        ({"x_ratelimit_retry_after": "4"}, 4.0),
        ({"llm_provider_retry_after": "3"}, 3.0),
        ({"retry_after": "3", "x_ratelimit_reset": "700"}, 3.0),
        ({"x_ratelimit_reset": "7"}, 7.0),
        ({"x_ratelimit_reset_after": "1.5"}, 1.5),
        ({"x_rate_limit_reset": "7", "x_rate_limit_remaining": "0"}, 7.0),
        ({"ratelimit": "limit=10, remaining=0, reset=5"}, 5.0),
        ({"ratelimit": '"default";r=0;t=5', "ratelimit_policy": '"default";q=10;w=60'}, 5.0),
        ({"ratelimit": '"default";r=3;t=5'}, None),
        ({"ratelimitbysize_reset": "33", "ratelimitbysize_remaining": "0"}, 33.0),
        ({"x_ratelimit_reset_tokens": "120ms", "x_ratelimit_remaining_tokens": "0",
          "x_ratelimit_reset_requests": "9s", "x_ratelimit_remaining_requests": "12"}, 0.12),
        ({"x_ratelimit_reset_tokens_minute": "12.5", "x_ratelimit_remaining_tokens_minute": "0",
          "x_ratelimit_reset_requests_day": "33011", "x_ratelimit_remaining_requests_day": "800"}, 12.5),
        ({"x_ratelimit_limit_requests": "60"}, None),
    ],
)  # fmt: skip
def test_the_header_may_have_any_of_its_names(headers: dict[str, str], wait_s: float | None) -> None:
    assert asked_s(**headers) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("Please try again in 50.597142857s. Visit https://…", 50.597),
        ("Please try again in 6m0s. Visit https://…", 360.0),
        ("Please try again in 250ms.", 0.25),
        ("The model is in a cooldown of 15 seconds", 15.0),
        ("Please try again in 5 minutes and 30 seconds.", 330.0),
        ("request reached organization max RPM: 3, please try again after 1 seconds", 1.0),
        ("Please retry after 20 seconds.", 20.0),
        ("Please retry your requests after 6 seconds.", 6.0),
        ("Too many requests; retry in 1 minute", 60.0),
        ("No deployments available for selected model, Try again in 60 seconds. Passed model=gpt-4.", 60.0),
        ("Request was throttled. Expected available in 12 seconds.", 12.0),
        ("Request was throttled. Your rate limit resets in ~4s.", 4.0),
        ("Your quota will reset after 3s.", 3.0),
        ("Please wait 20 seconds before retrying.", 20.0),
        ("Retry after: 12", 12.0),
        ("retry_after=7", 7.0),
        ("请在 5 秒后重试", 5.0),
        ("请求过于频繁,请1分钟后再试", 60.0),
        ("slow down", None),
        ("You may try again in the morning", None),
        ("Failed to retry after 3 attempts", None),
        ("Request timed out after 60 seconds", None),
        ("Rate limit reached: 60 requests per 1 minute", None),
    ],
)
def test_a_wait_is_read_out_of_words(said: str, wait_s: float | None) -> None:
    assert asked_s({"error": {"message": said}}) == pytest.approx(wait_s, abs=0.001)


def test_words_may_name_the_moment() -> None:
    at = (datetime.now(UTC) + timedelta(seconds=300)).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert asked_s({"error": {"message": f"Limit type: tokens. Limit resets at: {at}"}}) == pytest.approx(300, abs=60)


@pytest.mark.parametrize(
    ("body", "wait_s"),
    [
        ({"title": "Too Many Requests", "status": 429, "retry_after": 4}, 4.0),
        ({"error": {"message": "no", "retry_after": "4s"}}, 4.0),
        ({"error": {"message": "no", "retryAfterMs": 1_500}}, 1.5),
        ({"error": "Model is currently loading", "estimated_time": 20.0}, 20.0),
        ({"error": {"message": "The usage limit has been reached", "resets_in_seconds": 12}}, 12.0),
        ({"error": {"message": "busy", "metadata": {"raw": "retry shortly", "retry_after_seconds": 6}}}, 6.0),
        ({"error": {"message": "no", "details": [{"@type": "RetryInfo", "retryDelay": "30.5s"}]}}, 30.5),
        ({"error": {"message": "no", "retry_after": None, "wait": True}}, None),
    ],
)
def test_a_wait_may_be_a_field_of_the_body(body: object, wait_s: float | None) -> None:
    assert asked_s(body) == wait_s


def test_a_gateway_repeats_the_headers_of_the_provider_behind_it() -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int((time.time() + 300) * 1_000))}
    body = {"error": {"message": "free-models-per-min", "code": 429, "metadata": {"headers": headers}}}
    assert asked_s(body) == pytest.approx(300, abs=60)


@given(st.text(max_size=60))
def test_any_text_is_a_wait_or_none(text: str) -> None:
    for read in (until_s, duration_s, wait_in_words_s):
        found = read(text)
        assert found is None or found >= 0
