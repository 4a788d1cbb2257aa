"""Whatever a server puts into a reply, its text, its end and what it used are read in one attempt."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.models.replies import read_reply
from rlmbox.models.reply_fields import UnreadableReply, WireProtocol
from rlmbox.reply.parse import parse_reply
from rlmbox.types import Completion, Message, Usage

ASK = (Message("user", "How many needles are in the haystack?"),)
PYTHON = {"id": "1", "type": "function", "function": {"name": "python", "arguments": '{"code": "x = 1"}'}}
COUNTS = {"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050}


def read(body: Any, protocol: WireProtocol = "openai") -> Completion:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(protocol, raw, "openai:m", ASK)


def reply(
    content: object = "3", *, usage: object = COUNTS, finish: object = "stop", **fields: object
) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **fields}, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    "field",
    [
        {"created": 1_700_000_000.25},
        {"created": None, "id": None, "model": None},
        {"created": "2026-11-28", "object": "chat.completions"},
        {"system_fingerprint": 7, "service_tier": "unheard-of", "provider": {"x": 1}},
        {"id": 17, "created": -1},
    ],
)
def test_a_field_that_nobody_needs_spoils_no_reply(field: dict[str, object]) -> None:
    completion = read(reply() | field)
    assert (completion.text, completion.stop_reason, completion.counted) == ("3", "stop", True)
    assert completion.usage == Usage(1_000, 0, 50, 0, 1)


@pytest.mark.parametrize("finish", ["", None, "eos", "end_turn", "STOP", "unheard-of", 7])
def test_an_end_that_nobody_knows_is_the_end(finish: object) -> None:
    assert read(reply(finish=finish)).stop_reason == "stop"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("SAFETY", "content_filter"),
        ("error", "length"),
        ("insufficient_system_resource", "length"),  # DeepSeek
        ("FinishReason.MAX_TOKENS", "length"),  # an enumeration, as a gateway in Python writes it
        ("ERROR_TOXIC", "content_filter"),  # Cohere
        ("content_filtered", "content_filter"),  # Bedrock
        ("contentFilter", "content_filter"),
        ("token_limit", "length"),  # watsonx
        ("not_finished", "length"),
        ("finished", "stop"),
        ("eos_token", "stop"),
        ("abort", "length"),  # vLLM
        ("null", "stop"),
    ],
)
def test_an_end_by_any_of_its_names_is_read(finish: str, reason: str) -> None:
    assert read(reply(finish=finish)).stop_reason == reason


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "3"}], "3"),
        ({"type": "text", "text": "3"}, "3"),
        ("<think>hm</think>\n\n3", "3"),
        ("half of a pair: \ud83d", "half of a pair: ?"),
        (None, ""),
        (7, "7"),
        ({"a": 1}, '{"a": 1}'),
        ([{"type": "text", "text": {"value": "3", "annotations": []}}], "3"),
        ([{"type": "text", "content": "3"}], "3"),
        ({"role": "model", "parts": [{"text": "3"}]}, "3"),
        ("\u200b", ""),
    ],
)
def test_a_content_of_any_shape_gives_its_text(content: object, text: str) -> None:
    assert read(reply(content)).text == text


def test_a_tool_call_without_a_text_and_a_refusal_are_told_apart() -> None:
    call = {"function": {"name": "python", "arguments": "{}"}, "id": "1", "type": "function"}
    assert read(reply(None, tool_calls=[call], finish="tool_calls")).stop_reason == "tool_calls"
    assert read(reply(None, function_call={"name": "f"}, finish="stop")).stop_reason == "tool_calls"
    assert parse_reply(read(reply(None, tool_calls=[PYTHON], finish="tool_calls")).text).cells == ("x = 1",)
    code = {"code": "x = 1"}
    use = {"content": [{"type": "tool_use", "name": "python", "input": code}]}
    assert parse_reply(read(use, "anthropic").text).cells == ("x = 1",)
    candidates = [{"content": {"parts": [{"functionCall": {"name": "python", "args": code}}]}}]
    assert parse_reply(read({"candidates": candidates}, "google").text).cells == ("x = 1",)
    with_text = read(reply("3", tool_calls=[call], finish="tool_calls"))
    assert (with_text.text, with_text.stop_reason) == ("3", "stop")
    refused = read(reply(None, refusal="I cannot do that."))
    assert (refused.text, refused.stop_reason) == ("I cannot do that.", "refusal")
    for body in (
        reply([{"type": "refusal", "refusal": "I cannot."}]),
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "I cannot."}]}]},
    ):
        assert (read(body).text, read(body).stop_reason) == ("I cannot.", "refusal")
    blocks = {"content": [{"type": "tool_use", "name": "f", "input": {}}], "stop_reason": "tool_use"}
    assert read(blocks, "anthropic").stop_reason == "tool_calls"
    parts = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}]}
    assert read(parts, "google").stop_reason == "tool_calls"
    assert read({"promptFeedback": {"blockReason": "SAFETY"}}, "google").stop_reason == "content_filter"


def test_a_reply_of_the_responses_protocol_without_a_message_is_a_call_or_was_cut() -> None:
    counts = {"input_tokens": 5, "output_tokens": 300, "total_tokens": 305}
    call = {"type": "function_call", "name": "python", "arguments": '{"code": "x = 1"}'}
    called = read({"output": [{"type": "reasoning", "summary": []}, call], "usage": counts})
    assert called.stop_reason == "tool_calls"
    assert parse_reply(called.text).cells == ("x = 1",)
    cut = {"output": [{"type": "reasoning"}], "incomplete_details": {"reason": "max_output_tokens"}, "usage": counts}
    assert (read(cut).text, read(cut).stop_reason, read(cut).usage.output_tokens) == ("", "length", 300)


def test_a_stream_that_nobody_asked_for_is_put_together() -> None:
    chunks = [
        {"choices": [{"delta": {"role": "assistant"}}]},
        {"choices": [{"delta": {"content": "for"}}]},
        {"choices": [{"delta": {"content": "ty-two"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": COUNTS},
    ]
    body = ": keep-alive\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    completion = read(body.encode())
    assert (completion.text, completion.usage.output_tokens, completion.counted) == ("forty-two", 50, True)


@pytest.mark.parametrize(
    "body",
    [
        {"response": "3", "done": True, "prompt_eval_count": 1_000, "eval_count": 50},  # Ollama
        [{"generated_text": "3"}],  # TGI
        {"id": "x", "message": {"role": "assistant", "content": [{"type": "text", "text": "3"}]}},  # Cohere
        {"content": [{"type": "text", "text": "3"}], "stop_reason": "end_turn"},  # Anthropic behind a gateway
        {"candidates": [{"content": {"parts": [{"text": "3"}]}, "finishReason": "STOP"}]},  # Google behind a gateway
        {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "3"}]}]},
        {"output": {"message": {"role": "assistant", "content": [{"text": "3"}]}}, "stopReason": "end_turn"},  # Bedrock
        {"success": True, "errors": [], "result": {"response": "3"}},  # Cloudflare
        {"choices": [{"message": {"content": None}}, {"message": {"content": "3"}}]},
        {"choices": {"index": 0, "message": {"content": "3"}}},
        {"choices": {"0": {"message": {"content": "3"}}}},
        {"choices": [[{"message": {"content": "3"}}]]},
        {"choices": [json.dumps({"message": {"content": "3"}})]},
        {"choices": [{"message": "3"}]},
        {"choices": [{"content": "3"}]},
        {"choices": [{"messages": [{"role": "assistant", "content": "3"}]}]},  # MiniMax
        {"statusCode": 200, "body": json.dumps(reply())},  # an API gateway before a function
        {"output": {"text": "3", "finish_reason": "stop"}},  # DashScope
        {"object": "response", "output_text": "3"},
        {"content": "3", "stop": True, "tokens_evaluated": 1_000, "tokens_predicted": 50},  # llama.cpp's own
        {"completion": "3"},
        {"results": [{"generated_text": "3", "input_token_count": 1_000}]},  # watsonx
        {"status": "succeeded", "output": ["3", ""]},  # Replicate
        {"result": "3", "usage": COUNTS},  # ERNIE
        json.dumps(reply()),  # a text of JSON
        (json.dumps(reply()) + "\ndata: [DONE]").encode(),
        ("\ufeff" + json.dumps(reply())).encode(),
        b'{"message": {"content": ""}, "done": false}\n{"message": {"content": "3"}, "done": true}\n',
    ],
)
def test_a_reply_of_another_protocol_is_read_where_a_gateway_passes_it_on(body: object) -> None:
    assert read(body).text == "3"


@pytest.mark.parametrize(
    ("body", "is_page", "is_error"),
    [
        (b"<html><title>Log in</title></html>", True, False),
        (b"\n<!doctype html>", True, False),
        (b'{"error": {"message": "no"}}', False, True),
        (b'{"error": "no", "choices": []}', False, True),
        (b'data: {"error": {"message": "no"}}\n\n', False, True),
        (b'{"choices": [', False, False),
        (b"", False, False),
        (b"[]", False, False),
        (b'"a text"', False, False),
        (b'{"choices": []}', False, False),
        (b"data: [DONE]\n\n", False, False),
    ],
)
def test_what_is_no_reply_says_what_it_is(body: bytes, is_page: bool, is_error: bool) -> None:
    with pytest.raises(UnreadableReply) as caught:
        read(body)
    assert (caught.value.is_page, caught.value.is_error) == (is_page, is_error)


# name, usage, input tokens, cached, output tokens, reasoning, whether it is the provider's own count
USAGES: list[tuple[str, dict[str, Any] | None, tuple[int, int, int, int], bool]] = [
    ("as they should be", COUNTS, (1_000, 0, 50, 0), True),
    (
        "reasoning within completion",
        {**COUNTS, "completion_tokens_details": {"reasoning_tokens": 30}},
        (1_000, 0, 50, 30),
        True,
    ),
    (
        "reasoning outside, told by the total",  # xAI and gateways
        {**COUNTS, "total_tokens": 5_050, "completion_tokens_details": {"reasoning_tokens": 4_000}},
        (1_000, 0, 4_050, 4_000),
        True,
    ),
    (
        "reasoning outside, told by its size",
        {"prompt_tokens": 1_000, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 4_000}},
        (1_000, 0, 4_050, 4_000),
        True,
    ),
    ("texts", {name: str(count) for name, count in COUNTS.items()}, (1_000, 0, 50, 0), True),
    ("floats", {name: float(count) for name, count in COUNTS.items()}, (1_000, 0, 50, 0), True),
    ("no prompt tokens", {"completion_tokens": 50, "total_tokens": 1_050}, (1_000, 0, 50, 0), True),
    ("no completion tokens", {"prompt_tokens": 1_000, "total_tokens": 1_050}, (1_000, 0, 50, 0), True),
    ("no total", {"prompt_tokens": 1_000, "completion_tokens": 50}, (1_000, 0, 50, 0), True),
    ("a total of nothing", {**COUNTS, "total_tokens": 0}, (1_000, 0, 50, 0), True),
    (
        "Anthropic's names",
        {"input_tokens": 100, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300, "output_tokens": 50},
        (1_000, 600, 50, 0),
        True,
    ),
    (
        "Anthropic's names, cached within",
        {"input_tokens": 1_000, "cache_read_input_tokens": 600, "output_tokens": 50, "total_tokens": 1_050},
        (1_000, 600, 50, 0),
        True,
    ),
    ("DeepSeek's cache", {**COUNTS, "prompt_cache_hit_tokens": 400}, (1_000, 400, 50, 0), True),
    ("Ollama's names", {"prompt_eval_count": 1_000, "eval_count": 50}, (1_000, 0, 50, 0), True),
    (
        "Bedrock's names",
        {"inputTokens": 400, "outputTokens": 50, "totalTokens": 1_050, "cacheReadInputTokens": 600},
        (1_000, 600, 50, 0),
        True,
    ),
    (
        "cached beside, told by the total",
        {**COUNTS, "prompt_tokens": 400, "prompt_tokens_details": {"cached_tokens": 600}},
        (1_000, 600, 50, 0),
        True,
    ),
    ("texts with commas", {"prompt_tokens": "1,000", "completion_tokens": "50"}, (1_000, 0, 50, 0), True),
    (
        "Cohere's second version",
        {"billed_units": {"input_tokens": 1_000, "output_tokens": 50}},
        (1_000, 0, 50, 0),
        True,
    ),
    (
        "Google's tools",
        {"promptTokenCount": 900, "toolUsePromptTokenCount": 100, "candidatesTokenCount": 50, "totalTokenCount": 1_050},
        (1_000, 0, 50, 0),
        True,
    ),
    ("more in total than the parts", {**COUNTS, "total_tokens": 9_000}, (1_000, 0, 8_000, 0), False),
    (
        "reasoning outside of output and of total",
        {**COUNTS, "reasoning_tokens": 4_000},
        (1_000, 0, 4_050, 4_000),
        False,
    ),
    ("less in total than the parts", {**COUNTS, "total_tokens": 7}, (1_000, 0, 50, 0), False),
    ("nothing", None, (17, 0, 1, 0), False),
    ("nothing but zeros", dict.fromkeys(COUNTS, 0), (17, 0, 1, 0), False),
    ("less than zero", dict.fromkeys(COUNTS, -5), (17, 0, 1, 0), False),
    ("words", dict.fromkeys(COUNTS, "many"), (17, 0, 1, 0), False),
    ("absurd", {"prompt_tokens": 10**15, "completion_tokens": float("inf")}, (17, 0, 1, 0), False),
]


@pytest.mark.parametrize(("usage", "counts", "counted"), [u[1:] for u in USAGES], ids=[u[0] for u in USAGES])
def test_usage_is_read_where_it_is_consistent_and_estimated_where_it_is_not(
    usage: dict[str, Any] | None, counts: tuple[int, int, int, int], counted: bool
) -> None:
    completion = read(reply(usage=usage))
    sent, cached, received, reasoning = counts
    found = completion.usage
    assert (found.input_tokens, found.cached_input_tokens) == (sent, cached)
    assert (found.output_tokens, found.reasoning_tokens) == (received, reasoning)
    assert completion.counted is counted


@pytest.mark.parametrize(
    "place",
    [
        {"token_usage": COUNTS},
        {"usage": {"usage": COUNTS}},
        {"usage": json.dumps(COUNTS)},
        {"meta": {"usage": COUNTS}},
        {"response_metadata": {"token_usage": COUNTS}},
        {"usage_metadata": {"prompt_token_count": 1_000, "candidates_token_count": 50, "total_token_count": 1_050}},
        {"usage": {"native_tokens_prompt": 1_000, "native_tokens_completion": 50}},
        {"stats": {"tokens_in": 1_000, "tokens_out": 50}},
    ],
)
def test_counts_are_found_wherever_a_server_puts_them(place: dict[str, object]) -> None:
    body = reply(usage=None)
    completion = read({**body, **place})
    assert (completion.usage.input_tokens, completion.usage.output_tokens, completion.counted) == (1_000, 50, True)


def test_a_count_that_the_model_wrote_is_no_count() -> None:
    completion = read(reply('{"prompt_tokens": 5, "completion_tokens": 5}', usage=None))
    assert not completion.counted
    assert completion.usage.input_tokens > 5


@pytest.mark.parametrize("choices", [[], None])
def test_a_reply_without_a_choice_that_was_counted_is_empty_and_paid_once(choices: object) -> None:
    completion = read({"choices": choices, "usage": COUNTS})
    assert (completion.text, completion.usage.output_tokens, completion.counted) == ("", 50, True)


def test_a_total_alone_is_not_passed_by_what_is_estimated() -> None:
    usage = read(reply(usage={"total_tokens": 1_050})).usage
    assert usage.input_tokens + usage.output_tokens == 1_050


@pytest.mark.parametrize("name", ["finishReason", "stop_reason", "native_finish_reason", "done_reason"])
def test_the_end_is_read_under_the_names_of_other_protocols(name: str) -> None:
    assert read({"choices": [{"message": {"content": "3"}, name: "MAX_TOKENS"}]}).stop_reason == "length"


def test_google_counts_its_thoughts_beside_the_reply() -> None:
    body = {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "3"}]}}],
        "usageMetadata": {"promptTokenCount": 1_000, "candidatesTokenCount": 50, "thoughtsTokenCount": 4_000,
                          "cachedContentTokenCount": 100, "totalTokenCount": 5_050},
    }  # fmt: skip
    completion = read(body, "google")
    assert completion.text == "3"
    assert completion.usage == Usage(1_000, 100, 4_050, 4_000, 1)
    assert completion.counted


NAMES = """
choices message content usage prompt_tokens completion_tokens total_tokens finish_reason prompt_tokens_details text
cached_tokens completion_tokens_details reasoning_tokens thinking stop_reason input_tokens output_tokens type
candidates parts
thought usageMetadata promptTokenCount refusal tool_calls candidatesTokenCount promptFeedback error delta
"""
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("text"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=6),
    max_leaves=30,
)


@given(st.sampled_from(["openai", "azure", "anthropic", "google"]), anything | st.binary(max_size=80))
def test_any_body_at_all_is_a_completion_or_unreadable(protocol: WireProtocol, body: object) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        completion = read_reply(protocol, raw, "openai:m", ASK)
    except UnreadableReply:
        return
    usage = completion.usage
    completion.text.encode()
    assert usage.input_tokens > 0
    assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens
