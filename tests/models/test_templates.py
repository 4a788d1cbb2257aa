"""A sub-call's request is written by the provider's library once, and is the same to the byte when it is filled in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ModelError
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.models.templates import Template, WrittenRequest
from rlmbox.testing import ProviderFault, ProviderServer, QuirkServer, http_fault
from rlmbox.types import Message

NAMES = ("openai:gpt-5", "openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-flash", "azure:deployment")
VOLATILE = {"content-length"}


def model_at(server: ProviderServer, name: str, **options: float) -> ProviderModel:
    url = server.openai_url if name.startswith("openai") else server.url
    return provider_model(name, base_url=url, api_key="k", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "temperature"),
    [*((name, None) for name in NAMES), ("openai:llama3", 0.5), ("google:gemini-2.5-flash", 0.5)],
)
async def test_a_request_that_is_filled_in_is_the_one_that_the_library_writes(
    name: str, temperature: float | None
) -> None:
    options = {} if temperature is None else {"temperature": temperature}
    prompt = [Message("user", 'another prompt, with "quotes", \n lines and ü')]
    async with ProviderServer("ok") as server:
        filling = model_at(server, name, **options)
        await filling.complete([Message("user", "a first prompt")], max_output_tokens=100)
        await filling.complete(prompt, max_output_tokens=2_000, timeout_s=30)
        await filling.aclose()
        writing = model_at(server, name, **options)
        await writing.complete(prompt, max_output_tokens=2_000, timeout_s=30)
        await writing.aclose()
    _, filled, written = server.requests
    assert (filled.path, filled.body) == (written.path, written.body)
    kept = [{k: v for k, v in each.headers.items() if k not in VOLATILE} for each in (filled, written)]
    assert kept[0] == kept[1]


async def test_what_is_learned_of_a_provider_holds_for_requests_that_are_filled_in() -> None:
    async with QuirkServer("groq", lambda _: "ok") as server:
        model = model_at(server, "openai:llama3")
        await model.complete([Message("user", "a first prompt")], max_output_tokens=100)
        await model.complete([Message("user", "another prompt")], max_output_tokens=5_000)
        await model.aclose()
    assert [request.max_output_tokens for request in server.requests] == [100, 5_000, 4_000]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (http_fault(401), "the key was refused"),
        (http_fault(429), "too many requests"),
        (ProviderFault("reset"), "broke before the reply was complete"),
        (ProviderFault("hang_up"), "broke before the reply was complete"),
        (ProviderFault("hang"), "within 0.3 s"),
        (ProviderFault("not_json"), "cannot be read"),
        (ProviderFault("huge"), "longer than 16 MB"),
    ],
)
@pytest.mark.parametrize("name", NAMES[1:4])
async def test_faults_are_named_the_same(name: str, fault: ProviderFault, words: str) -> None:
    async with ProviderServer(["ok", fault]) as server:
        model = model_at(server, name)
        await model.complete([Message("user", "a first prompt")], max_output_tokens=100)
        with pytest.raises(ModelError, match=words):
            await model.complete([Message("user", "another prompt")], max_output_tokens=100, timeout_s=0.3)
        await model.aclose()


def written(body: object) -> WrittenRequest:
    return WrittenRequest("POST", "http://x/", (), json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"content": "a prompt"}], "user": "a prompt", "max_tokens": 9},
        {"messages": [{"content": "a prompt"}], "metadata": "about a prompt", "max_tokens": 9},
        {"messages": [{"content": "a prompt"}], "max_tokens": 9, "max_completion_tokens": 9},
        {"messages": [{"content": "a prompt"}], "top_k": 9},
        {"messages": [{"content": "A prompt"}], "max_tokens": 9},
    ],
)
def test_where_it_is_not_certain_what_stands_where_nothing_is_filled_in(body: object) -> None:
    assert Template.of(written(body), "a prompt", 9) is None


@given(st.text(), st.integers(1, 10**6))
def test_whatever_is_filled_in_is_what_arrives(prompt: str, longest: int) -> None:
    template = Template.of(written({"m": [{"content": "a prompt"}], "config": {"maxOutputTokens": 9}}), "a prompt", 9)
    assert template is not None
    body = json.loads(template.filled(prompt, longest))
    assert body == {"m": [{"content": prompt}], "config": {"maxOutputTokens": longest}}
