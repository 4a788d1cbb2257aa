"""Each make of server is asked as it wants to be asked, whatever it does differently from the others."""

import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.prices import FREE
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.models.target import resolve
from rlmbox.requests.client import Calls, ModelReply
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import QUIRKS, ProviderRequest, ProviderServer, QuirkServer
from rlmbox.types import Message

# Two messages of one role in a row, after one of the system: what templates of open models mind.
TALK = (Message("system", "You are terse."), Message("user", "One?"), Message("user", "And two?"))
LONG = (Message("user", "the head " + "word " * 10_000),)


def model_at(server: ProviderServer, name: str) -> ProviderModel:
    url = server.url if name.startswith("azure") else server.openai_url
    return provider_model(name, base_url=url, api_key="k")


async def ask(model: ProviderModel, messages: tuple[Message, ...], **options: object) -> ModelReply:
    budget = Budget(Limits(cost_limit_usd=None))
    calls = Calls(budget, retries=RetryPolicy(base_delay_s=0.001, max_delay_s=0.001))
    return await calls.complete(model, messages, account=budget.root, **options)  # type: ignore[arg-type]


def echo(request: ProviderRequest) -> str:
    return f"read {len(request.messages[-1].content)} characters"


@pytest.mark.parametrize("preset", QUIRKS)
async def test_a_conversation_with_each_make_of_server_works_and_what_it_wants_is_learned_once(preset: str) -> None:
    async with QuirkServer(preset, echo) as server:
        model = model_at(server, f"{preset}:of-{preset}-{server.port}")
        first = await ask(model, TALK)
        asked = len(server.requests)
        second = await ask(model, TALK)
        await model.aclose()
    assert first.completion.text.startswith("read")
    assert second.completion.text == first.completion.text
    assert len(server.requests) == asked + 1
    assert asked <= 4


@pytest.mark.parametrize("preset", [*QUIRKS])
async def test_a_text_longer_than_the_window_reaches_each_make_of_server_as_far_as_it_fits(preset: str) -> None:
    async with QuirkServer(preset, echo) as server:
        model = model_at(server, f"{preset}:long-{preset}-{server.port}")
        reply = await ask(model, LONG, whole=True)
        await model.aclose()
    assert reply.completion.text.startswith("read")
    assert server.requests[-1].messages[-1].content.startswith("the head word")


def test_each_quirk_names_the_report_that_shows_it() -> None:
    for quirks in QUIRKS.values():
        for quirk in quirks:
            repository, number = quirk.report.split(" ")
            assert repository.count("/") == 1
            assert number.lstrip("#PR").isdecimal()


async def test_ollamas_silent_cut_is_told_to_the_code_that_asked() -> None:
    async with QuirkServer("ollama", echo) as server:
        model = model_at(server, f"ollama:cut-{server.port}")
        reply = await ask(model, LONG, whole=True)
        await model.aclose()
    assert "the server read only a part of the input, some 193 of" in reply.completion.text


async def test_a_model_that_was_not_pulled_says_how_to_pull_it() -> None:
    async with QuirkServer("ollama", echo) as server:
        model = model_at(server, "ollama:missing-model")
        with pytest.raises(ModelError, match=r"not found, try pulling it first.*or run `ollama pull missing-model`"):
            await ask(model, TALK)
        await model.aclose()


async def test_xais_reasoning_is_charged() -> None:
    async with QuirkServer("xai", echo) as server:
        model = model_at(server, f"xai:grok-{server.port}")
        reply = await ask(model, TALK)
        await model.aclose()
    assert (reply.completion.usage.output_tokens, reply.completion.usage.reasoning_tokens) == (387, 386)
    assert reply.completion.counted


async def test_openrouters_error_behind_status_200_is_the_providers_own_words() -> None:
    async with QuirkServer("openrouter", echo, quirks=[QUIRKS["openrouter"][0]]) as server:
        model = model_at(server, f"openrouter:any/{server.port}")
        with pytest.raises(ModelError, match=r"the upstream is overloaded; retry shortly") as caught:
            await model.complete(TALK, max_output_tokens=10)
        await model.aclose()
    assert (caught.value.status, caught.value.retryable, caught.value.possibly_billed) == (429, True, False)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ollama:qwen3", "http://127.0.0.1:11434/v1"),
        ("vllm:m", "http://127.0.0.1:8000/v1"),
        ("llamacpp:m", "http://127.0.0.1:8080/v1"),
        ("llama.cpp:m", "http://127.0.0.1:8080/v1"),
        ("lmstudio:m", "http://127.0.0.1:1234/v1"),
    ],
)
def test_a_server_of_ones_own_needs_no_key_and_costs_nothing(name: str, url: str) -> None:
    model = provider_model(name)
    assert model.endpoint == url
    assert model.price is FREE
    assert provider_model(name, base_url="https://models.example.com/v1").price is None


@pytest.mark.parametrize(
    ("name", "variable", "url"),
    [
        ("openrouter:openai/gpt-5", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
        ("groq:openai/gpt-oss-120b", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
        ("xai:grok-4-0709", "XAI_API_KEY", "https://api.x.ai/v1"),
        ("grok:grok-4-0709", "XAI_API_KEY", "https://api.x.ai/v1"),
        ("deepseek:deepseek-chat", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
        ("mistral:mistral-large-2512", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    ],
)
def test_a_provider_has_its_own_key_address_price_and_window(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, url: str
) -> None:
    with pytest.raises(ConfigError, match=variable):
        provider_model(name)
    monkeypatch.setenv(variable, "k")
    model = provider_model(name)
    assert model.endpoint == url
    assert model.price is not None
    assert "genai-prices" in model.price.origin
    assert model.window_is_known


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:11500", "http://127.0.0.1:11500/v1"),
        ("http://box.local:11434", "http://box.local:11434/v1"),
        ("https://box.local:443", "https://box.local:443/v1"),
    ],
)
def test_ollamas_own_variable_names_its_address(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert resolve("ollama:qwen3:8b", None, None).base_url == url
    assert resolve("ollama:qwen3:8b", None, None).model == "qwen3:8b"
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:1/v1")
    assert resolve("ollama:qwen3", None, None).base_url == "http://127.0.0.1:1/v1"


async def test_a_server_that_does_not_run_says_how_to_start_it() -> None:
    model = provider_model("ollama:qwen3", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=r"check the address and that the server runs, such as with `ollama serve`"):
        await model.complete(TALK, max_output_tokens=5)
    await model.aclose()
