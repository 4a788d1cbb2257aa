"""A refusal that names what the provider wants is learned from once, and costs nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rlmbox.errors import ModelError
from rlmbox.models.adapting import Adaptations
from rlmbox.models.complaints import Complaint
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.testing import ProviderRequest, ProviderServer, RawReply
from rlmbox.types import Message

TALK = (
    Message("system", "You are terse."),
    Message("user", "One?"),
    Message("user", "And two?"),
    Message("assistant", "Two."),
    Message("user", "Three?"),
)
Body = dict[str, Any]


def refusing(wants: Callable[[Body], str | None]) -> Callable[[ProviderRequest], RawReply | str]:
    """A server that says what it wants until it gets it."""

    def entry(request: ProviderRequest) -> RawReply | str:
        said = wants(dict(request.body))
        return RawReply({"error": {"message": said}}, 400) if said else "ok"

    return entry


def roles(body: Body) -> list[str]:
    return [message["role"] for message in body["messages"]]


MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
TURNS = "Conversation roles must alternate user/assistant/user/assistant/..."
CAP = "max_tokens is too large: 16384. This model supports at most 4096 completion tokens"
GROQ_CAP = "`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens`"
ANTHROPIC_CAP = "max_tokens: 16384 > 4096, which is the maximum allowed number of output tokens for claude"
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) is supported."
)

WANTS: dict[str, Callable[[Body], str | None]] = {
    "max_completion_tokens": lambda body: MAX_TOKENS if "max_tokens" in body else None,
    "no system role": lambda body: "System role not supported" if "system" in roles(body) else None,
    "no developer": lambda body: "Developer instruction is not enabled for m" if "system" in roles(body) else None,
    "strict turns": lambda body: TURNS if roles(body)[1:3] == ["user"] * 2 else None,
    "strict turns without system": lambda body: TURNS if roles(body) != ["user", "assistant", "user"] else None,
    "a cap on the reply": lambda body: CAP if _asked(body) > 4_096 else None,
    "a cap in Groq's words": lambda body: GROQ_CAP if _asked(body) > 4_096 else None,
    "a cap in Anthropic's words": lambda body: ANTHROPIC_CAP if _asked(body) > 4_096 else None,
    "no temperature": lambda body: TEMPERATURE if "temperature" in body else None,
    "a deprecated one": lambda body: "`temperature` is deprecated for this model." if "temperature" in body else None,
    "all of it": lambda body: next((said for want in ALL if (said := WANTS[want](body)) is not None), None),
}
ALL: tuple[str, ...] = (
    "max_completion_tokens",
    "no system role",
    "strict turns without system",
    "a cap in Groq's words",
)


def _asked(body: Body) -> int:
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)


def model_at(server: ProviderServer, **options: Any) -> ProviderModel:
    # What is learned is remembered by address and name, so each test has a name of its own.
    return provider_model(f"openai:adapts-{server.port}", base_url=server.openai_url, api_key="k", **options)


@pytest.mark.parametrize("want", WANTS)
async def test_what_a_provider_names_it_gets_in_the_next_attempt_and_from_then_on(want: str) -> None:
    async with ProviderServer(refusing(WANTS[want])) as server:
        first = model_at(server, temperature=0.5)
        assert (await first.complete(TALK, max_output_tokens=16_384)).text == "ok"
        asked = len(server.requests)
        assert 2 <= asked <= 6
        # Another object for the same model knows it already.
        second = model_at(server, temperature=0.5)
        assert (await second.complete(TALK, max_output_tokens=16_384)).text == "ok"
        assert len(server.requests) == asked + 1
        for model in (first, second):
            await model.aclose()
    last = server.requests[-1].body
    told = " ".join(message["content"] for message in last["messages"])
    assert all(message.content in told for message in TALK)  # nothing of what was said is lost
    if "cap" in want:
        assert _asked(last) == 4_096
        assert first.output_cap_tokens == 4_096


async def test_google_is_capped_and_folded_in_its_own_form() -> None:
    said = (
        "Unable to submit request because it has a maxOutputTokens value of 16384 but the supported range is from 1 "
        "(inclusive) to 8193 (exclusive)."
    )

    def entry(request: ProviderRequest) -> RawReply | str:
        if request.body["generationConfig"]["maxOutputTokens"] > 8_192:
            return RawReply({"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}, 400)
        if "systemInstruction" in request.body:
            words = "Developer instruction is not enabled for models/gemma-3-27b-it"
            return RawReply({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}, 400)
        return "ok"

    async with ProviderServer(entry) as server:
        model = provider_model(f"google:gemma-{server.port}", base_url=server.url, api_key="k")
        assert (await model.complete(TALK, max_output_tokens=16_384)).text == "ok"
        await model.aclose()
    body = server.requests[-1].body
    assert body["generationConfig"]["maxOutputTokens"] == 8_192
    assert "You are terse." in json.dumps(body["contents"][0])


async def test_a_provider_that_is_never_content_is_not_asked_for_ever() -> None:
    async with ProviderServer(lambda _: RawReply({"error": {"message": "System role not supported"}}, 400)) as server:
        model = model_at(server)
        with pytest.raises(ModelError, match="System role not supported"):
            await model.complete(TALK, max_output_tokens=5)
        await model.aclose()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "said",
    ["Invalid value: 'messages'.", "Unknown parameter: 'model'.", "Unsupported parameter: 'max_tokens'", "no", ""],
)
def test_what_a_request_cannot_do_without_is_never_left_out(said: str) -> None:
    learned = Adaptations()
    body = {"model": "m", "messages": [], "max_tokens": 5, "temperature": 1}
    learned.learn(Complaint(json.dumps({"error": {"message": said}}).encode()), json.dumps(body).encode())
    applied = learned.apply(body)
    assert {"model", "messages", "temperature"} <= set(applied)
    assert applied.get("max_tokens", applied.get("max_completion_tokens")) == 5


SENT: Body = {
    "model": "m",
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
    "max_tokens": 16_384,
    "stream": False,
    "temperature": 0.2,
    "prompt_cache_key": "k",
}


def learned(said: str | Body, body: Body = SENT, status: int = 400) -> Body | None:
    """Return the body as it is sent next; None where nothing was learned."""
    adaptations = Adaptations()
    raw = json.dumps(said if isinstance(said, dict) else {"error": {"message": said}}).encode()
    is_learned = adaptations.learn(Complaint(raw), json.dumps(body).encode(), status)
    return adaptations.apply(dict(body)) if is_learned else None


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        ("invalid temperature: only 1 is allowed for this model", "temperature"),
        ("`temperature` may only be set to 1 when thinking is enabled.", "temperature"),
        ("Model grok-4 does not support parameter temperature.", "temperature"),
        ("Argument not supported on this model: temperature", "temperature"),
        ("UnsupportedParamsError: gpt-5 models don't support temperature=0.2. Only temperature=1", "temperature"),
        ("1 validation error\nprompt_cache_key\n  Extra inputs are not permitted [type=extra]", "prompt_cache_key"),
        ("[{'type': 'extra_forbidden', 'loc': ('body', 'prompt_cache_key')}]", "prompt_cache_key"),
        ({"detail": [{"loc": ["body", "prompt_cache_key"], "msg": "extra fields"}]}, "prompt_cache_key"),
        ('json: unknown field "prompt_cache_key"', "prompt_cache_key"),
        ("unknown field `prompt_cache_key`, expected one of `model`, `messages`", "prompt_cache_key"),
        ("Additional properties are not allowed ('prompt_cache_key' was unexpected)", "prompt_cache_key"),
        ('Unknown name "prompt_cache_key": Cannot find field.', "prompt_cache_key"),
        ("#: extraneous key [prompt_cache_key] is not permitted", "prompt_cache_key"),
        ("promptCacheKey is not supported", "prompt_cache_key"),
        ("body.prompt_cache_key: property not allowed", "prompt_cache_key"),
    ],
)
def test_a_parameter_is_left_out_in_whatever_words_it_is_named(said: str | Body, dropped: str) -> None:
    assert learned(said) == {name: value for name, value in SENT.items() if name != dropped}


@pytest.mark.parametrize(
    ("said", "cap_tokens"),
    [
        ("Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 16384.", 4_096),
        ("Malformed input request: #/max_tokens: 16384 is not less or equal to 8192, please reformat", 8_192),
        ({"detail": [{"loc": ["body", "max_tokens"], "msg": "Input should be less than or equal to 4096"}]}, 4_096),
        ("invalid params, max_tokens must be less than or equal 10240", 10_240),
        ("max tokens must be less than or equal to 4096", 4_096),
        ("Value at 'maxTokens' failed to satisfy constraint: Member must have value less than or equal to 4096", 4_096),
        ("max_tokens must be less than 8192", 8_191),
        ("max_tokens 参数非法:取值范围[1, 4095]", 4_095),
        ("max_tokens参数非法。请限制在[1,8192]", 8_192),
        ("too many max_tokens: 16384 exceeds the maximum of 4000", 4_000),
        ("Requested max_tokens 16384 exceeds model maximum 4096.", 4_096),
        ("'max_tokens' must be between 1 and 8192, got 16384", 8_192),
        ("This model supports a maximum of 4096 output tokens", 4_096),
        ("The requested max_tokens 16384 exceeds the limit 4096", 4_096),
        ("Invalid parameter: max_tokens must be \u2264 4096", 4_096),
        ("max_tokens too large, max is 4096", 4_096),
        ("Requested 16384 output tokens, but model allows only 8192 output tokens", 8_192),
        ("max_output_tokens should be in range 1..8192", 8_192),
        ("max_new_tokens must be strictly less than 2048", 2_047),
        ("the maximum output length is 8192 tokens, but max_tokens was 16384", 8_192),
        ("The value of max_tokens is too large", 8_192),  # half of it, and half again, where nobody says how much
    ],
)
def test_a_cap_on_the_reply_is_kept_in_whatever_words_it_is_named(said: str | Body, cap_tokens: int) -> None:
    assert learned(said) == {**SENT, "max_tokens": cap_tokens}


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Invalid role: system",
        "'system' is not one of ['user', 'assistant']",
        "Please use a valid role: user, model.",
        "messages.0.role: Input should be 'user' or 'assistant'",
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter',
        "This model doesn't support the system message",
        "unexpected value; permitted: 'user', 'assistant'",
    ],
)
def test_a_model_without_a_system_role_is_asked_without_one(said: str) -> None:
    body = learned(said)
    assert body is not None
    assert roles(body) == ["user"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Invalid 'messages[0].content': string too short.", 400),
        ("You exceeded your current quota of temperature", 429),
        ("upstream failed over max_tokens", 500),
        ("Your request was flagged", 400),
        ("messages is required", 400),
    ],
)
def test_a_refusal_over_something_else_changes_nothing(said: str, status: int) -> None:
    assert learned(said, status=status) is None


def test_googles_settings_are_left_out_where_they_stand() -> None:
    sent: Body = {"contents": [], "generationConfig": {"temperature": 0.2, "maxOutputTokens": 100}}
    assert learned("temperature is not supported for this model", sent) == {
        "contents": [],
        "generationConfig": {"maxOutputTokens": 100},
    }
