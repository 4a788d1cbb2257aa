"""Every provider through its real wire protocol, against a server on loopback."""

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from rlmbox.errors import ModelError
from rlmbox.models import wire
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.testing import ProviderFault, ProviderReply, ProviderServer, check_model
from rlmbox.testing.provider_server import Script
from rlmbox.types import Message, Usage

KEY = "sk-test-0123456789abcdef"
NAMES = ("openai:llama3", "openai:gpt-5", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro", "azure:mine")
TALK = (
    Message("system", "You are terse."),
    Message("user", "One?"),
    Message("assistant", "One."),
    Message("user", "Two?"),
    Message("user", "And three?"),
)


def model_at(server: ProviderServer, name: str = "openai:llama3", **options: object) -> ProviderModel:
    url = server.openai_url if name.startswith("openai") else server.url
    options = {"base_url": url, "api_key": KEY, **options}
    return provider_model(name, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def talking(
    script: Script, name: str = "openai:llama3", **options: object
) -> AsyncIterator[tuple[ProviderModel, ProviderServer]]:
    async with ProviderServer(script) as server:
        model = model_at(server, name, **options)
        try:
            yield model, server
        finally:
            await model.aclose()


def announced(seen: threading.Event, answer: ProviderFault) -> Callable[[object], ProviderFault]:
    def entry(_request: object) -> ProviderFault:
        seen.set()
        return answer

    return entry


every_provider = pytest.mark.parametrize("name", NAMES)


@every_provider
async def test_a_conversation_reaches_the_provider_as_it_is(name: str) -> None:
    async with talking("Three.", name) as (model, server):
        completion = await model.complete(TALK, max_output_tokens=77)
    assert completion.text == "Three."
    assert completion.model == name
    (request,) = server.requests
    assert request.messages == TALK
    assert request.model == name.partition(":")[2]
    assert request.max_output_tokens == 77


@every_provider
async def test_what_a_library_tells_of_this_machine_is_not_sent(name: str) -> None:
    async with talking("Three.", name) as (model, server):
        await model.complete(TALK, max_output_tokens=77)
        await model.complete(TALK[-1:], max_output_tokens=77)
        await model.complete(TALK[-1:], max_output_tokens=77)
    assert not [header for request in server.requests for header in request.headers if header.startswith("x-stainless")]


@pytest.mark.parametrize(
    ("name", "path", "header", "limit"),
    [
        ("openai:llama3", "/v1/chat/completions", ("authorization", f"Bearer {KEY}"), "max_tokens"),
        ("openai:gpt-5", "/v1/chat/completions", ("authorization", f"Bearer {KEY}"), "max_completion_tokens"),
        ("anthropic:claude-sonnet-5-5", "/v1/messages", None, "max_tokens"),
        (
            "google:gemini-2.5-pro",
            "/v1beta/models/gemini-2.5-pro:generateContent",
            ("x-goog-api-key", KEY),
            "generationConfig",
        ),
        ("azure:mine", "/openai/v1/chat/completions", ("authorization", f"Bearer {KEY}"), "max_completion_tokens"),
    ],
)
async def test_each_request_has_the_providers_own_form(
    name: str, path: str, header: tuple[str, str] | None, limit: str
) -> None:
    async with talking("ok", name) as (model, server):
        await model.complete(TALK, max_output_tokens=77)
    (request,) = server.requests
    assert request.path.partition("?")[0] == path
    assert request.key == KEY
    assert limit in request.body
    assert not request.body.get("stream")
    if header:
        assert request.headers[header[0]] == header[1]
    if name.startswith("anthropic"):
        assert "anthropic-version" in request.headers
        assert [block["text"] for block in request.body["system"]] == ["You are terse."]


async def test_anthropic_is_asked_to_cache_a_conversation_and_not_a_single_prompt() -> None:
    name = "anthropic:claude-sonnet-5-5"
    async with talking("ok", name) as (model, server):
        await model.complete(TALK, max_output_tokens=5)
        await model.complete([Message("user", "One?")], max_output_tokens=5)
    conversation, prompt = (request.body for request in server.requests)
    assert conversation["system"][-1]["cache_control"]["type"] == "ephemeral"
    assert conversation["cache_control"]["type"] == "ephemeral"  # of what there is, the provider caches all
    assert "cache_control" not in str(prompt)


async def test_openai_is_told_which_requests_belong_together_and_other_servers_are_not() -> None:
    turns = [TALK[:2], TALK, (TALK[0], Message("user", "Another question?")), TALK[1:2]]
    keys = []
    async with talking("ok", "openai:gpt-5") as (model, server):
        model._target = replace(model._target, official=True)  # the server stands in for the provider's own address
        for talk in turns:
            await model.complete(talk, max_output_tokens=5)
        keys = [request.body.get("prompt_cache_key") for request in server.requests]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] is None
    async with talking("ok", "openai:gpt-5") as (model, server):
        await model.complete(TALK, max_output_tokens=5)
    assert "prompt_cache_key" not in server.requests[0].body


async def test_tokens_that_a_provider_writes_to_its_cache_are_counted() -> None:
    reply = ProviderReply("ok", input_tokens=1_000, cached_input_tokens=300, cache_write_tokens=600, output_tokens=7)
    async with talking(reply, "anthropic:claude-sonnet-5-5") as (model, _):
        usage = (await model.complete(TALK, max_output_tokens=5)).usage
    assert usage == Usage(1_000, 300, 7, 0, 1, 600)


async def test_azure_with_a_version_uses_the_deployments_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    async with talking("ok", "azure:mine") as (model, server):
        assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"
    (request,) = server.requests
    assert request.path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == KEY


async def test_the_environment_names_the_server_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ProviderServer("ok") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
        model = provider_model("openai:llama3")
        await model.complete(TALK, max_output_tokens=5)
        await model.aclose()
    assert server.requests[0].key == "sk-from-the-environment"


async def test_the_second_anthropic_credential_of_the_environment_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-another-account")
    async with talking("ok", "anthropic:claude-sonnet-5-5") as (model, server):
        await model.complete(TALK, max_output_tokens=5)
    assert "token-of-another-account" not in str(server.requests[0].headers)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_anthropics_base_url_may_have_the_version_or_not(suffix: str) -> None:
    async with ProviderServer("ok") as server:
        model = model_at(server, "anthropic:claude-sonnet-5-5", base_url=server.url + suffix)
        assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"
        await model.aclose()


async def test_a_temperature_is_sent_only_where_one_is_set() -> None:
    async with talking("ok", temperature=0.2) as (model, server):
        await model.complete(TALK, max_output_tokens=5)
    assert server.requests[0].body["temperature"] == 0.2
    async with talking("ok") as (model, server):
        await model.complete(TALK, max_output_tokens=5)
    assert "temperature" not in server.requests[0].body


@pytest.mark.parametrize(
    ("name", "takes_one"),
    [
        ("openai:gpt-4o", True),
        ("openai:gpt-5", False),
        ("openai:gpt-5.1", True),
        ("openai:o3", False),
        ("azure:o4-mini", False),
        ("anthropic:claude-opus-4-5", True),
        ("anthropic:claude-opus-4-7", False),
        ("google:gemini-2.5-pro", True),
    ],
)
async def test_a_model_that_refuses_a_temperature_is_asked_without_and_without_a_word(
    name: str, takes_one: bool
) -> None:
    async with talking(["ok"], name, temperature=0.2) as (model, server):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            await model.complete([Message("user", "hi")], max_output_tokens=10)
    assert not [str(warning.message) for warning in warned if issubclass(warning.category, UserWarning)]
    body = server.requests[0].body
    assert ("temperature" in {**body, **body.get("generationConfig", {})}) is takes_one


async def test_empty_messages_which_providers_refuse_are_left_out() -> None:
    async with talking("ok", "anthropic:claude-sonnet-5-5") as (model, server):
        await model.complete((*TALK, Message("assistant", " \n"), Message("user", "Well?")), max_output_tokens=5)
    assert server.requests[0].messages == (*TALK, Message("user", "Well?"))


@every_provider
async def test_usage_is_the_providers_and_reasoning_is_not_text(name: str) -> None:
    reply = ProviderReply(
        "done",
        input_tokens=1000,
        cached_input_tokens=400,
        output_tokens=300,
        reasoning_tokens=200,
        reasoning="first I think",
    )
    prices = {name: FlatPrice(Decimal(1), Decimal(10), Decimal("0.1"))}
    async with talking(reply, name, prices=prices) as (model, _):
        completion = await model.complete(TALK, max_output_tokens=500)
    assert completion.text == "done"
    assert completion.usage == Usage(1000, 400, 300, 200, 1)
    assert model.price is not None
    assert model.price.cost_usd(completion.usage) == Decimal("0.00364")


async def test_thoughts_in_the_text_of_an_open_model_are_not_text() -> None:
    async with talking("<think>hm</think>done") as (model, _):
        assert (await model.complete(TALK, max_output_tokens=5)).text.strip() == "done"


@every_provider
async def test_tokens_that_are_not_counted_are_estimated_and_never_zero(name: str) -> None:
    reply = ProviderReply("a reply of thirty characters..", input_tokens=None)
    async with talking(reply, name) as (model, _):
        usage = (await model.complete(TALK, max_output_tokens=50)).usage
    sent_bytes = sum(len(message.content) for message in TALK)
    assert usage.input_tokens >= sent_bytes // 3
    assert usage.output_tokens == 10
    assert usage.requests == 1


# pydantic-ai warns of counts that it cannot read.
@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize("count", [0, -5_000])
async def test_a_server_cannot_lower_the_bill_with_absurd_counts(count: int) -> None:
    reply = ProviderReply("text", input_tokens=count, output_tokens=count, cached_input_tokens=-7, reasoning_tokens=99)
    async with talking(reply) as (model, _):
        usage = (await model.complete(TALK, max_output_tokens=50)).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert 0 <= usage.cached_input_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


@every_provider
async def test_an_empty_reply_is_a_completion_whose_usage_counts(name: str) -> None:
    async with talking(ProviderReply(""), name) as (model, _):
        completion = await model.complete(TALK, max_output_tokens=50)
    assert completion.text == ""
    assert completion.stop_reason == "stop"
    assert completion.usage == Usage(11, 0, 7, 0, 1)


@every_provider
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_the_reason_for_stopping_is_told(name: str, reason: str) -> None:
    async with talking(ProviderReply("half a", stop_reason=reason), name) as (model, _):  # type: ignore[arg-type]
        completion = await model.complete(TALK, max_output_tokens=50)
    assert completion.stop_reason == reason
    assert completion.text in ("half a", "")


async def test_a_reply_of_5_mb_comes_through_whole() -> None:
    text = "línea\n" * 750_000
    async with talking(text) as (model, _):
        assert (await model.complete(TALK, max_output_tokens=50)).text == text


@pytest.mark.parametrize("name", ["openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro"])
async def test_200_requests_at_once_share_one_client(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONNECT_TIMEOUT_S", 120.0)  # a busy machine takes its time for 200 of them
    async with _AtOnce("ok") as server:
        model = model_at(server, name)
        completions = await asyncio.gather(*(model.complete(TALK, max_output_tokens=5) for _ in range(200)))
        await model.aclose()
    assert [completion.text for completion in completions] == ["ok"] * 200


class _AtOnce(ProviderServer):
    """Answers nothing before 100 requests have come, so that fewer at once would never end."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self._have_come = asyncio.Event()

    async def _answer(self, *request: Any) -> Any:
        if self.max_concurrency >= 100:
            self._have_come.set()
        await self._have_come.wait()
        return await super()._answer(*request)


def test_a_model_works_in_one_event_loop_after_another() -> None:
    async def ask(model: ProviderModel) -> str:
        texts = [(await model.complete(TALK, max_output_tokens=5)).text for _ in range(2)]
        return "".join(texts)

    with ProviderServer("ok") as server:
        model = model_at(server)
        assert [asyncio.run(ask(model)) for _ in range(3)] == ["okok"] * 3
    model = None  # type: ignore[assignment]
    # A client that outlived its loop would be found here, as a warning about an open transport.
    gc.collect()


def test_two_event_loops_may_use_a_model_at_once() -> None:
    with ProviderServer(ProviderReply("ok", delay_s=0.1)) as server:
        model = model_at(server)
        texts: list[str] = []

        def ask() -> None:
            texts.append(asyncio.run(model.complete(TALK, max_output_tokens=5)).text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["ok"] * 4


async def test_closing_in_one_loop_closes_the_clients_of_the_others() -> None:
    seen, done = threading.Event(), threading.Event()
    async with talking("ok") as (model, _):

        async def elsewhere() -> str:
            first = (await model.complete(TALK, max_output_tokens=5)).text
            seen.set()
            await asyncio.to_thread(done.wait)
            return first + (await model.complete(TALK, max_output_tokens=5)).text

        other = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        await asyncio.to_thread(seen.wait)
        await model.aclose()
        done.set()
        assert await other == "okok"


async def test_a_closed_model_opens_again() -> None:
    async with talking("ok") as (model, server):
        for _ in range(2):
            assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"
            await model.aclose()
        await model.aclose()
    assert len(server.requests) == 2


async def test_warming_up_starts_the_imports_and_returns() -> None:
    async with talking("ok") as (model, _):
        model.warm()
        model.warm()
        assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"


@every_provider
async def test_cancellation_passes_through_and_the_model_goes_on(name: str) -> None:
    seen = threading.Event()
    async with talking([announced(seen, ProviderFault("hang")), "ok"], name) as (model, _):
        task = asyncio.create_task(model.complete(TALK, max_output_tokens=5))
        await asyncio.to_thread(seen.wait)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"


async def test_a_cancelled_first_request_leaves_the_model_usable() -> None:
    async with talking("ok") as (model, _):
        task = asyncio.create_task(model.complete(TALK, max_output_tokens=5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.complete(TALK, max_output_tokens=5)).text == "ok"


@every_provider
async def test_providers_keep_the_contract_of_a_model(name: str) -> None:
    async with talking(ProviderReply("hello", delay_s=0.01), name) as (model, _):
        assert "can be cancelled" in await check_model(lambda: model)


async def test_a_proxy_of_the_environment_is_used_unless_the_host_is_exempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with ProviderServer("ok") as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        through_proxy = model_at(server)
        with pytest.raises(ModelError, match="no connection"):
            await through_proxy.complete(TALK, max_output_tokens=5)
        await through_proxy.aclose()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        direct = model_at(server)
        assert (await direct.complete(TALK, max_output_tokens=5)).text == "ok"
        await direct.aclose()
