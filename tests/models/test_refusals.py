"""Whatever a provider refuses a request with, it is one clear error."""

import json
import time
from datetime import UTC, datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models import failures
from rlmbox.models.target import Target, resolve
from rlmbox.models.transport import Refused

TARGETS = [
    resolve(name, "http://127.0.0.1:1", "sk-secret-0123456789") for name in ("openai:m", "anthropic:m", "google:m")
]
NAMES = """
choices message content usage prompt_tokens completion_tokens finish_reason prompt_tokens_details cached_tokens text
thinking stop_reason input_tokens output_tokens candidates parts thought usageMetadata promptTokenCount refusal detail
type candidatesTokenCount promptFeedback blockReason error code status details retryDelay
"""


def refused(status: int, headers: httpx2.Headers, body: bytes, target: Target) -> ModelError:
    return failures.refused(Refused(status, headers, body), target)


keys = st.sampled_from(NAMES.split())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("text"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(TARGETS), st.integers(300, 599), anything | st.binary(max_size=50))
def test_any_refusal_is_one_line_without_the_key(target: Target, status: int, body: object) -> None:
    raw = body if isinstance(body, bytes) else json.dumps({"error": body, "message": target.key}).encode()
    error = refused(status, httpx2.Headers({"retry-after": "1e9"}), raw, target)
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert target.key not in str(error)
    assert not error.possibly_billed


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
        (400, {"error": {"message": "This model's maximum context length is 4096 tokens."}}),
        (400, {"error": {"type": "exceed_context_size_error", "message": "…", "code": 400}}),
        (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
        (400, {"object": "error", "message": "maximum context length is 8192 tokens", "code": 400}),
        (400, {"detail": "The input exceeds the context window of the model"}),
    ],
)
def test_however_a_server_says_that_a_request_is_too_long_it_is_understood(status: int, body: object) -> None:
    error = refused(status, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert isinstance(error, ContextLimitExceeded)


WINDOWS = (
    # The wordings are those of public reports; `rlmbox.testing.quirks` names most of them.
    ("Trying to keep the first 6701 tokens, the model is loaded with context length of only 4096 tokens", 4_096),
    ("The input (6701 tokens) is longer than the model's context length (4096 tokens).", 4_096),
    ("Invalid request: Your request exceeded model token limit: 8192", 8_192),
    ("Range of input length should be [1, 129024]", 129_024),
    ("too many tokens: size limit exceeded by 100 tokens. The limit for this model is 128000 tokens.", 128_000),
    (
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 6000 `inputs` tokens and 1000 `max_new_tokens`",
        4_096,
    ),
    ("Input validation error: `inputs` must have less than 1024 `input` tokens. Given: 5000", 1_024),
    ("This model's maximum prompt length is 131072 but the request contains 537812 tokens.", 131_072),
    ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32_768),
    ("The prompt is too long: 140000, model maximum context length: 131071", 131_071),
    ("prompt token count of 128361 exceeds the limit of 64000", 64_000),
    ("prompt is too long: 250000 tokens > 200000 maximum", 200_000),
    ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length", 200_000),
    ("The input token count (250000) exceeds the maximum number of tokens allowed (200000).", 200_000),
    ("This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (1000 + 4000).", 4_097),
    ("'max_tokens' is too large: 16384. This model's maximum context length is 8192 tokens (16384 > 7192).", 8_192),
    ("This endpoint's maximum context length is 8,192 tokens. However, you requested about 10000 tokens.", 8_192),
    ("Input is too long for requested model.", None),
    ("the request exceeds the available context size. try increasing the context size", None),
    ("Prompt exceeds max length", None),
)


@pytest.mark.parametrize(("said", "window"), WINDOWS)
def test_a_window_is_read_out_of_whatever_words_name_it(said: str, window: int | None) -> None:
    for body in ({"error": {"message": said}}, {"error": said}, {"object": "error", "message": said}, {"detail": said}):
        error = refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
        assert isinstance(error, ContextLimitExceeded), said
        assert error.window_tokens == window


def test_llama_cpp_sends_its_window_beside_the_words() -> None:
    body = {"error": {"code": 400, "message": "the request is too large", "type": "exceed_context_size_error",
                      "n_prompt_tokens": 5_000, "n_ctx": 4_096}}  # fmt: skip
    error = refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert isinstance(error, ContextLimitExceeded)
    assert error.window_tokens == 4_096


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 16384. This model supports at most 4096 completion tokens, you provided 16384.",
        "System role not supported",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Missing required parameter: 'messages'.",
        "Invalid image: the picture is larger than 20 MB.",
        "Invalid 'messages[0].content': string too short.",
    ],
)
def test_a_refusal_about_something_else_is_not_taken_for_the_window(said: str) -> None:
    error = refused(400, httpx2.Headers(), json.dumps({"error": {"message": said}}).encode(), TARGETS[0])
    assert not isinstance(error, ContextLimitExceeded)
    assert said[:40] in str(error)
    assert "check the model's name" not in str(error)


@pytest.mark.parametrize(
    ("status", "said", "limit"),
    [
        (429, "Request too large for model on tokens per min (TPM): Limit 10000, Requested 35000.", 10_000),
        (
            413,
            "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7412, please reduce",
            6_000,
        ),
    ],
)
def test_what_is_larger_than_a_minutes_tokens_is_to_be_made_smaller_and_not_waited_for(
    status: int, said: str, limit: int
) -> None:
    error = refused(status, httpx2.Headers(), json.dumps({"error": {"message": said}}).encode(), TARGETS[0])
    assert isinstance(error, ContextLimitExceeded)
    assert (error.window_tokens, error.retryable) == (limit, False)
    assert "larger than the account may use in a minute" in str(error)


def test_a_minutes_tokens_that_are_used_up_are_waited_for() -> None:
    said = "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 2500. Try again in 3s."
    error = refused(429, httpx2.Headers(), json.dumps({"error": {"message": said}}).encode(), TARGETS[0])
    assert not isinstance(error, ContextLimitExceeded)
    assert (error.retryable, error.retry_after_s) == (True, 3.0)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("Please try again in 2.5s.", 2.5),
        ("Please try again in 6m0s. Visit https://…", 360.0),
        ("Please try again in 250ms.", 0.25),
        ("Please retry after 20 seconds.", 20.0),
        ("Too many requests; retry in 1 minute", 60.0),
        ("Please retry in 53.9s.", 53.9),
        ("slow down", None),
        ("You may try again in the morning", None),
    ],
)
def test_a_wait_is_read_out_of_words(said: str, wait_s: float | None) -> None:
    error = refused(429, httpx2.Headers(), json.dumps({"error": {"message": said}}).encode(), TARGETS[0])
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-remaining-requests": "0"}, 2.0),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360.0),
        ({"x-ratelimit-reset-tokens": "120ms", "x-ratelimit-remaining-tokens": "0",
          "x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "12"}, 0.12),
        ({"x-ratelimit-reset": "7"}, 7.0),
        ({"retry-after": "3", "x-ratelimit-reset": "700"}, 3.0),
        ({"x-ratelimit-reset-requests": "soon", "x-ratelimit-remaining-requests": "0"}, None),
        ({"x-ratelimit-limit-requests": "60"}, None),
    ],
)  # fmt: skip
def test_a_wait_is_read_out_of_the_headers_of_a_limit(headers: dict[str, str], wait_s: float | None) -> None:
    assert refused(429, httpx2.Headers(headers), b"", TARGETS[0]).retry_after_s == wait_s


def test_a_reset_may_be_a_moment() -> None:
    for value in (str(int((time.time() + 30) * 1000)), str(int(time.time() + 30))):
        error = refused(429, httpx2.Headers({"x-ratelimit-reset": value}), b"", TARGETS[0])
        assert 25 < (error.retry_after_s or 0) <= 30
    headers = httpx2.Headers(
        {
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": datetime.fromtimestamp(time.time() + 30, UTC).isoformat(),
        }
    )
    assert 25 < (refused(429, headers, b"", TARGETS[1]).retry_after_s or 0) <= 30


def test_words_of_a_provider_behind_a_gateway_come_through() -> None:
    raw = json.dumps({"error": {"message": "tokens are all gone", "type": "overloaded"}})
    body: dict[str, object] = {
        "error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "X"}}
    }
    assert "tokens are all gone" in str(refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0]))
    body = {"object": "error", "message": {"detail": [{"loc": ["body", "prompt_cache_key"], "msg": "Extra inputs"}]}}
    assert "`prompt_cache_key`: Extra inputs" in str(
        refused(422, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    )


def test_a_403_says_what_the_provider_says_and_not_a_masked_key() -> None:
    body = {"error": {"message": "Country, region, or territory not supported; key sk-ab***********wxyz"}}
    error = refused(403, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert "territory not supported" in str(error)
    assert "wxyz" not in str(error)


def test_a_web_page_as_a_refusal_is_shown_in_words() -> None:
    page = b"<html><head><style>p {color: red}</style><title>413 Request Entity Too Large</title></head></html>"
    error = refused(413, httpx2.Headers(), page, TARGETS[0])
    assert '"413 Request Entity Too Large"' in str(error)
    assert "send less text" in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}),
        (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access"}}),
        (429, [{"error": {"code": 429, "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]}}]),
        (402, {}),
    ],
)
def test_a_used_up_quota_is_told_from_a_busy_provider(status: int, body: object) -> None:
    error = refused(status, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert "quota or credit is used up" in str(error)
    assert not error.retryable
    assert error.status == 402


def test_a_prompt_that_a_filter_refused_says_so() -> None:
    body = b'{"error": {"code": "content_filter", "message": "The response was filtered"}}'
    error = refused(400, httpx2.Headers(), body, TARGETS[0])
    assert "content filter refused" in str(error)
    assert not error.retryable


def test_the_wait_may_be_a_date_or_in_milliseconds() -> None:
    def wait_s(**headers: str) -> float | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return refused(429, httpx2.Headers(named), b"", TARGETS[0]).retry_after_s

    assert wait_s(retry_after_ms="250", retry_after="9") == 0.25
    assert wait_s(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (wait_s(retry_after="Fri, 01 Jan 2100 00:00:00 GMT") or 0) > 1e9
    assert wait_s(retry_after="whenever") is None
