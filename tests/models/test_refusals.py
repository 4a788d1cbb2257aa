"""Whatever a provider refuses a request with, it is one clear error."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models import failures
from rlmbox.models.call import Refused
from rlmbox.models.target import Target, resolve

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
    ("Cannot truncate prompt with n_keep (12334) >= n_ctx (4096)", 4_096),
    ("Reached context length of 4096 tokens with model that does not support mid-generation context overflow.", 4_096),
    ("The input (6701 tokens) is longer than the model's context length (4096 tokens).", 4_096),
    ("Invalid request: Your request exceeded model token limit: 8192", 8_192),
    ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]", 129_024),
    ("Total message token length exceed model limit (10240 tokens)", 10_240),
    ("too many tokens: size limit exceeded by 100 tokens. The limit for this model is 128000 tokens.", 128_000),
    ("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.", 4_081),
    (
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 6000 `inputs` tokens and 1000 `max_new_tokens`",
        4_096,
    ),
    ("Input validation error: `inputs` must have less than 1024 `input` tokens. Given: 5000", 1_024),
    ("This model's maximum prompt length is 131072 but the request contains 537812 tokens.", 131_072),
    ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", 32_768),
    ("The prompt is too long: 140000, model maximum context length: 131071", 131_071),
    ("prompt token count of 128361 exceeds the limit of 64000", 64_000),
    ("prompt is too long: 250000 tokens > 200000 maximum", 200_000),
    ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length", 200_000),
    ("The input token count (250000) exceeds the maximum number of tokens allowed (200000).", 200_000),
    ("the input token count is 1200293 but model only supports up to 1048576. Reduce the input", 1_048_576),
    ("This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (1000 + 4000).", 4_097),
    ("'max_tokens' is too large: 16384. This model's maximum context length is 8192 tokens (16384 > 7192).", 8_192),
    ("You passed 9097 tokens. However, the model's context length is only 4096 tokens.", 4_096),
    (
        "You passed 2000 tokens. However, the model's context length is only 4096 tokens, maximum input length of 1096",
        4_096,
    ),
    ("invalid params, context window exceeds limit (2013)", None),  # MiniMax: that is its code
    ("This endpoint's maximum context length is 8,192 tokens. However, you requested about 10000 tokens.", 8_192),
    ("Requested tokens (6701) exceed context window of 4096", 4_096),
    ("Requested token count exceeds the model's maximum context length of 32768 tokens. 39000 from the input", 32_768),
    ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000.", 272_000),
    ("AiError: The estimated number of tokens (10000) exceeded this model context window limit (7968).", 7_968),
    ("Input length 140000 exceeds maximum allowed token size 131072", 131_072),
    ("Input length 140000 exceeds the maximum length 131072. Request id: 02", 131_072),
    ("Requested input length 140000 exceeds maximum input length 131072", 131_072),
    ("generating 16384 tokens requires 21384, but the maximum supported sequence length is just 4096!", 4_096),
    ("Request prompt has 6701 tokens in total, larger than the model input length limit 4096.", 4_096),
    ("The sum of prompt length (6701.0), query length (0) should not exceed max_num_tokens (4096)", 4_096),
    ("Prompt token count (6701) cannot exceed 4096. Total tokens requested: 6801 (6701 prompt + 100).", 4_096),
    ("the number of input tokens 6701 cannot exceed the total tokens limit 4096 for this model.", 4_096),
    ("Prompt length 6701 is greater than max_seq_len 4096", 4_096),
    ("token length of the input exceeds the model's limit: 6701 > 4096", 4_096),
    ("输入长度超过模型最大上下文长度 4096", 4_096),
    ("Input prompt (9000 tokens) is too long and exceeds limit of 8191", 8_191),
    ("The request has context size 9000 tokens but the model supports 8192", 8_192),
    ("This request requires 9000 tokens but the model only has a context of 8192 tokens", 8_192),
    ("tokens in request more than max tokens allowed: 16384", 16_384),
    ("Input is too long for requested model.", None),
    ("context_length_exceeded", None),
    ("Token limit exceeded", None),
    ("Input Tokens Exceeded: Number of input tokens exceeds maximum length.", None),
    ("Total tokens of image and text exceed max message tokens. Request id: 02", None),
    ("the request exceeds the available context size. try increasing the context size", None),
    ("The number of tokens to keep from the initial prompt is greater than the context length.", None),
    ("Context size has been exceeded.", None),
    ("input length exceeds maximum context length", None),
    ("Your input exceeds the context window of this model. Please adjust your input and try again.", None),
    ("The message you submitted was too long, please submit something shorter.", None),
    ("Prompt exceeds max length", None),
)


@pytest.mark.parametrize(("said", "window"), WINDOWS)
def test_a_window_is_read_out_of_whatever_words_name_it(said: str, window: int | None) -> None:
    for body in ({"error": {"message": said}}, {"error": said}, {"object": "error", "message": said}, {"detail": said}):
        for status in (400, 422, 500):
            error = refused(status, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
            assert isinstance(error, ContextLimitExceeded), said
            assert error.window_tokens == window


def test_a_code_says_what_the_number_in_the_words_is_about() -> None:
    said = "Please reduce the length of the messages or completion. Current length is 9154 while limit is 8192"
    for words in (said, "Current length is 9154. Limit: 8192"):
        body = {"message": words, "type": "invalid_request_error", "code": "context_length_exceeded"}
        error = refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
        assert isinstance(error, ContextLimitExceeded)
        assert error.window_tokens == 8_192


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
        "Too many tokens, please wait before trying again.",
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
        (429, "(TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.597142857s.", 7_000),
        (429, "Rate limit reached on tokens per min. Limit: 10000 / min. Current: 0 / min. Requested: 12000.", 10_000),
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
    "body",
    [
        {"message": "Too many tokens, please wait before trying again."},  # Bedrock
        {"message": "Tokens per minute limit exceeded - too many tokens processed.", "code": "token_quota_exceeded"},
        {"error": {"message": "Number of request tokens has exceeded your per-minute rate limit"}},
        {"error": {"message": "would exceed your organization's rate limit of 40,000 input tokens per minute"}},
        {"error": {"message": "Requests have exceeded token rate limit of your current OpenAI S0 pricing tier."}},
        {"error": {"message": "您当前使用该API的并发数过高,请降低并发,或联系客服增加限额。", "code": "1302"}},
        {"error": {"message": "Allocated quota exceeded, please increase your quota limit.", "code": "Throttling"}},
        {"message": "You are using a Trial key, which is limited to 20 API calls / minute."},
        {"object": "error", "message": "Service tier capacity exceeded for this model.", "code": "3505"},
    ],
)
def test_too_much_in_a_minute_is_neither_too_long_nor_out_of_credit(body: object) -> None:
    error = refused(429, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert not isinstance(error, ContextLimitExceeded)
    assert (error.retryable, error.status) == (True, 429)


def test_a_code_of_throttling_counts_whatever_the_status_is() -> None:
    body = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    assert refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0]).retryable
    assert refused(424, httpx2.Headers(), b'{"error": "Request failed during generation"}', TARGETS[0]).retryable


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
        (429, {"message": "Too many tokens per day, please wait before trying again."}),
        (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
        (429, {"code": "exhausted", "error": "Your team has either used all available credits or reached its limit."}),
        (400, {"error": {"message": "Budget has been exceeded! Current cost: 10.0", "type": "budget_exceeded"}}),
        (403, {"error": {"message": "The free tier of the model has been exhausted.", "code": "x"}}),
        (400, {"error": {"message": "You have reached your specified API usage limits."}}),
        (429, {"error": {"message": "Extra usage is required for long context requests."}}),
        (429, {"error": {"message": "You have exceeded the 5-hour usage quota. It will reset at 2090-02-19 05:11:50"}}),
    ],
)
def test_a_used_up_quota_is_told_from_a_busy_provider(status: int, body: object) -> None:
    error = refused(status, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])
    assert "quota or credit is used up" in str(error)
    assert not error.retryable
    assert error.status == 402


def test_a_server_that_will_never_run_the_model_is_asked_once() -> None:
    body = b'{"error": {"message": "model requires more system memory (12.3 GiB) than is available (7.2 GiB)"}}'
    error = refused(500, httpx2.Headers(), body, TARGETS[0])
    assert "cannot run the model" in str(error)
    assert not error.retryable
    assert refused(
        498, httpx2.Headers(), b'{"error": {"message": "flex tier capacity exceeded"}}', TARGETS[0]
    ).retryable


def test_a_wrong_key_is_one_whatever_the_status_is() -> None:
    body = b'{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}'
    error = refused(400, httpx2.Headers(), body, TARGETS[0])
    assert "the key was refused (HTTP 400" in str(error)


def test_a_prompt_that_a_filter_refused_says_so() -> None:
    body = b'{"error": {"code": "content_filter", "message": "The response was filtered"}}'
    error = refused(400, httpx2.Headers(), body, TARGETS[0])
    assert "content filter refused" in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    "body",
    [
        {"errors": ["the words"]},
        {"errors": {"model": ["the words"]}},
        {"success": False, "errors": [{"code": 10000, "message": "the words"}]},
        {"title": "Bad Request", "status": 400, "detail": "the words"},
        {"title": "the words", "status": 400},
        {"fault": {"faultstring": "the words", "detail": {"errorcode": "x"}}},
        {"Error": "the words"},
        {"error": {"msg": "the words"}},
        {"error": {"code": "the words"}},
        {"error": {"message": None, "type": "the words"}},
        {"response": {"error": {"message": "the words"}}},
        {"error": {"error": {"error": {"message": "the words"}}}},
        {"error": {"message": 'BadRequestError: OpenAIException - {"error": {"message": "the words"}}'}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": {"error": "the words"}}}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": "the words"}}},
    ],
)
def test_the_words_are_found_wherever_a_gateway_has_put_them(body: object) -> None:
    assert '"the words"' in str(refused(400, httpx2.Headers(), json.dumps(body).encode(), TARGETS[0])).replace("'", '"')


def test_a_remedy_is_about_what_the_provider_says() -> None:
    policy = b'{"error": {"message": "No endpoints found matching your data policy.", "code": 404}}'
    error = refused(404, httpx2.Headers(), policy, TARGETS[0])
    assert "check the account's settings" in str(error)
    assert "model's name" not in str(error)
    flagged = b'{"error": {"message": "Your input was flagged by moderation"}}'
    assert "ask in other words" in str(refused(403, httpx2.Headers(), flagged, TARGETS[0]))
    assert "base URL" in str(refused(405, httpx2.Headers(), b'{"detail": "Method Not Allowed"}', TARGETS[0]))
