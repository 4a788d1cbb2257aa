"""Replies and refusals that were reported in public, through a whole run: each kind with its right answer and cost."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import RLMError
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import provider_model
from rlmbox.testing import ProviderServer, RawReply
from rlmbox.types import Answer

TEXT = "a needle, a needle and one more needle in the hay"
COUNT = "```repl\nFINAL(str(context.count('needle')))\n```"
COUNTS = {"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050}
PRICE = FlatPrice(Decimal(3), Decimal(15))


def reply(text: str | None = COUNT, *, finish: str | None = "stop", usage: Any = COUNTS, **fields: Any) -> RawReply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return RawReply(body | fields)


def refusal(status: int, message: str, *, headers: dict[str, str] | None = None, **fields: Any) -> RawReply:
    return RawReply({"error": {"message": message, **fields}}, status, headers or {})


def run(script: Sequence[RawReply], *, name: str = "openai:case", **limits: Any) -> tuple[Answer | RLMError, int]:
    """Ask over a script whose last entry is repeated, and return the answer or the error, and the requests made."""
    entries = [*script, *[script[-1]] * 50]
    with ProviderServer(entries) as server:
        # What is learned of a model is remembered by its address and name.
        name = f"{name}-{server.port}"
        model = provider_model(name, base_url=server.openai_url, api_key="k-123456", prices={name: PRICE})
        result: Answer | RLMError
        try:
            result = RLM(model, limits=Limits(max_turns=5, **limits)).ask("How many needles?", TEXT)
        except RLMError as error:
            result = error
        return result, len(server.requests)


LONG = reply("```repl\nprint('row of data ' * 1500)\n```")
NAMED = "This model supports at most 4096 completion tokens, whereas you provided 16384."

ANSWERED: dict[str, list[RawReply]] = {
    "K4 another name for the output cap": [
        refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"),
        reply(),
    ],
    "K4 no system role": [refusal(400, "System role not supported"), reply()],
    "K4 a cap on the reply": [refusal(400, f"max_tokens is too large: 16384. {NAMED}"), reply()],
    "K5 a window in LM Studio's words": [
        LONG,
        RawReply({"error": "Trying to keep the first 6701 tokens, with context length of only 4096 tokens"}, 400),
        reply(),
    ],
    "K5 a window in SGLang's words": [
        LONG,
        RawReply({"object": "error", "message": "Longer than the model's context length (4096 tokens)."}, 400),
        reply(),
    ],
    "K5 a window in DashScope's words": [LONG, refusal(400, "Range of input length should be [1, 4096]"), reply()],
    "K4 a range of the reply's length": [refusal(400, "max_tokens must be between 1 and 8192"), reply()],
    "K4 Bedrock's words for a cap": [
        refusal(400, "The maximum tokens you requested exceeds the model limit of 4096."), reply()
    ],
    "K4 a reply that the credit does not cover": [
        refusal(402, "Add more credits, or fewer max_tokens. You requested up to 16384, but can only afford 2371."),
        reply(),
    ],
    "K4 nothing but streams": [
        refusal(400, "This model only support stream mode, please enable the stream parameter."), reply()
    ],
    "K4 no thinking without a stream": [
        refusal(400, "parameter.enable_thinking must be set to false for non-streaming calls"), reply()
    ],
    "K5 a code of a gateway": [LONG, refusal(400, "[错误码 400]", type="context_window_exceeded", code=400), reply()],
    "K5 a window in LiteLLM's words": [
        LONG, refusal(400, "ContextWindowExceededError: Context Window exceeded for given call. No models"), reply()
    ],
    "K5 a window in Z.ai's words": [LONG, refusal(400, "Prompt 超长", code="1261"), reply()],
    "K5 a window in MiniMax's words": [
        LONG,
        RawReply({"base_resp": {"status_code": 2013, "status_msg": "context window exceeds limit"}}, 400),
        reply(),
    ],
    "K5 a window in vLLM's older words": [
        LONG, refusal(400, "The decoder prompt (length 6701) is longer than the maximum model length of 4096."), reply()
    ],
    "K5 a window in SiliconFlow's words": [
        LONG, refusal(400, "max_total_tokens (16384) must be less than or equal to max_seq_len (4096)"), reply()
    ],
    "K5 a window in Baichuan's words": [LONG, refusal(400, "total tokens exceed max limit 4096"), reply()],
    "K6 an envelope": [RawReply({"code": 0, "msg": "ok", "data": reply().body})],
    "K6 one choice and no list": [reply(choices={"message": {"role": "assistant", "content": COUNT}})],
    "K6 a piece of a stream": [reply(choices=[{"delta": {"role": "assistant", "content": COUNT}}])],
    "K6 comments before the reply": [RawReply(": OPENROUTER PROCESSING\n\n" + json.dumps(reply().body))],
    "K9 counts of Groq": [reply(usage=None, x_groq={"usage": COUNTS})],
    "K9 counts of Moonshot": [
        reply(usage=None, choices=[{"message": {"content": COUNT}, "finish_reason": "stop", "usage": COUNTS}])
    ],
    "K9 counts of llama.cpp": [reply(usage=None, timings={"prompt_n": 1_000, "predicted_n": 50})],
    "K9 counts of Cohere": [reply(usage=None, meta={"billed_units": {"input_tokens": 1_000, "output_tokens": 50}})],
    "K9 counts of Google behind a gateway": [
        reply(usage=None, usageMetadata={"promptTokenCount": 1_000, "candidatesTokenCount": 50})
    ],
    "K6 a fraction as the time of creation": [reply(created=1_700_000_000.25)],
    "K6 nothing where something was to be": [reply(created=None, id=None, model=None)],
    "K6 an end without a word": [reply(finish="")],
    "K6 an end without anything": [reply(finish=None)],
    "K9 counts as texts": [reply(usage={name: str(count) for name, count in COUNTS.items()})],
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERED)
def test_each_kind_of_reply_and_refusal_ends_in_the_right_answer_after_one_attempt_more_at_most(case: str) -> None:
    script = ANSWERED[case]
    answer, asked = run(script)
    assert isinstance(answer, Answer), answer
    assert answer.text == "3"
    assert asked == len(script)
    assert answer.cost.uncertain_usd == 0
    good = sum(entry.status == 200 for entry in script)
    assert answer.cost.total_usd == good * (3 * 1_000 + 15 * 50) / Decimal(1_000_000)


def test_reasoning_that_is_counted_beside_the_reply_is_charged() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 4_000}}
    answer, _ = run([reply(usage={**COUNTS, "total_tokens": 5_050, **details})])
    assert isinstance(answer, Answer)
    assert (answer.usage.output_tokens, answer.cost.total_usd) == (4_050, Decimal("0.06375"))


@pytest.mark.parametrize(
    ("entry", "words", "most"),
    [
        (refusal(200, "Rate limit exceeded: free-models-per-day", code=429), "free-models-per-day", 1),
        (refusal(403, "Country, region, or territory not supported"), "territory not supported", 1),
        (RawReply("<html><title>413 Request Entity Too Large</title></html>", 413), "413 Request Entity Too Large", 1),
        (RawReply("<html><title>Sign in</title></html>"), "Sign in", 1),
        (
            refusal(429, "Request too large for model on tokens per min (TPM): Limit 10000, Requested 35000."),
            "larger than the account may use in a minute",
            3,
        ),
        (refusal(400, "messages: text content blocks must be non-empty"), "text content blocks must be non-empty", 1),
        (refusal(401, "You must be a member of an organization to use the API"), "member of an organization", 1),
        (refusal(429, "余额不足或无可用资源包,请充值。", code="1113"), "余额不足", 1),
        (refusal(429, "Tokens per day (TPD): Limit 9. Please try again in 1h12m3.5s."), "Tokens per day", 1),
        (RawReply({"error_code": 17, "error_msg": "Open api daily request limit reached"}), "daily request limit", 1),
        (RawReply({"detail": "Model not loaded"}), "Model not loaded", 1),
        (RawReply({"code": 400, "msg": "account suspended", "data": None}), "account suspended", 1),
        (RawReply({"status": "error", "status_msg": "no such model"}), "no such model", 1),
        (
            RawReply({"choices": [{"error": {"message": "upstream died", "code": 400}, "message": {}}]}),
            "upstream died",
            1,
        ),
        (
            RawReply({"__type": "ValidationException", "Message": "The model identifier is invalid."}, 400),
            "identifier",
            1,
        ),
    ],
    ids=[
        "error-in-200",
        "territory",
        "body-limit",
        "page",
        "per-minute",
        "plain-400",
        "no-member",
        "credit",
        "a-day",
        "Baidu",
        "FastAPI",
        "code-and-msg",
        "status-msg",
        "choice",
        "AWS",
    ],
)
def test_what_cannot_succeed_is_told_in_the_providers_words_and_costs_nothing(
    entry: RawReply, words: str, most: int
) -> None:
    error, asked = run([entry])
    assert isinstance(error, RLMError)
    assert words in str(error)
    assert "check the model's name" not in str(error)
    assert "validation error" not in str(error)
    assert asked <= most
    assert error.partial is not None
    assert error.partial.cost.total_usd == 0


@pytest.mark.parametrize(
    "entry",
    [
        refusal(429, "Limit 30000, Used 29000. Please try again in 0.3s."),
        refusal(
            429, "slow down", headers={"x-ratelimit-reset-requests": "300ms", "x-ratelimit-remaining-requests": "0"}
        ),
        refusal(200, "Provider returned error", code=429, metadata={"raw": "busy upstream; retry in 300 ms"}),
    ],
    ids=["words", "headers", "behind-200"],
)
def test_a_wait_is_kept_wherever_it_is_told(entry: RawReply) -> None:
    from rlmbox.events import CallRetried

    waits: list[float] = []
    with ProviderServer([entry, reply()]) as server:
        model = provider_model(f"openai:waits-{server.port}", base_url=server.openai_url, api_key="k-123456")
        limits = Limits(cost_limit_usd=None)
        hooks = [lambda event: waits.append(event.wait_s) if isinstance(event, CallRetried) else None]
        assert RLM(model, limits=limits, hooks=hooks).ask("How many needles?", TEXT).text == "3"
    assert [round(wait_s, 1) for wait_s in waits] == [0.3]


@pytest.mark.parametrize("words", ["Model is loading", "loading model", "The engine is warming up", "model not ready"])
def test_a_server_that_gets_ready_and_says_so_with_status_200_is_asked_again(words: str) -> None:
    answer, asked = run([refusal(200, words), reply()])
    assert isinstance(answer, Answer), answer
    assert (answer.text, asked) == ("3", 2)


@pytest.mark.parametrize("words", ["Failed to load model", "error loading model: not enough memory"])
def test_a_server_that_cannot_load_its_model_is_asked_once(words: str) -> None:
    error, asked = run([refusal(200, words)])
    assert asked == 1
    assert words in str(error)


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_an_empty_reply_of_a_sub_call_is_an_error_that_the_code_sees(text: str | None) -> None:
    answer, _ = run([reply("```repl\nFINAL(repr(llm_query_batched(['a'])))\n```"), reply(text)])
    assert isinstance(answer, Answer)
    assert "Error" in answer.text
    assert "the reply is empty" in answer.text


@pytest.mark.parametrize(
    "key", ["sk-proj-aB3dEfGh1jKl", "sk-pr***1jKl", "…9f2c", "12345678-aaaa-bbbb-cccc-1234567890ab"]
)
def test_the_words_of_a_refused_key_are_told_without_it(key: str) -> None:
    error, asked = run([refusal(401, f"Incorrect API key provided: {key}. Ask your admin.")])
    assert asked == 1
    assert "Ask your admin" in str(error)
    assert key not in str(error)


@pytest.mark.parametrize("options", [{}, {"instructions": "In caf\udce9 style."}], ids=["question", "instructions"])
def test_what_is_no_character_in_utf_8_is_sent_as_a_question_mark(options: dict[str, Any]) -> None:
    with ProviderServer([reply()]) as server:
        model = provider_model(f"openai:odd-{server.port}", base_url=server.openai_url, api_key="k-123456")
        asked = RLM(model, limits=Limits(cost_limit_usd=None), **options)
        assert asked.ask("What of the caf\udce9?", TEXT).text == "3"
        assert "What of the caf?" in "".join(message.content for message in server.requests[0].messages)
