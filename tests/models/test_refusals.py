"""Whatever a provider refuses a request with, it is one clear error."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models.failures import explain
from rlmbox.models.target import Target, resolve
from rlmbox.models.transport import Exchange, Refused

TARGETS = [
    resolve(name, "http://127.0.0.1:1", "sk-secret-0123456789") for name in ("openai:m", "anthropic:m", "google:m")
]
NAMES = """
choices message content usage prompt_tokens completion_tokens finish_reason prompt_tokens_details cached_tokens text
thinking stop_reason input_tokens output_tokens candidates parts thought usageMetadata promptTokenCount refusal detail
type candidatesTokenCount promptFeedback blockReason error code status details retryDelay
"""


def refused(status: int, headers: httpx2.Headers, body: bytes, target: Target) -> ModelError:
    return explain(RuntimeError("whatever the SDK made of it"), target, Exchange(True, Refused(status, headers, body)))


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
