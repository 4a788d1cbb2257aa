"""The test server says what is wrong with a test, and speaks to programs in other processes."""

import json
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.testing import ProviderReply, ProviderRequest, ProviderServer
from rlmbox.types import Message

ASK = (Message("user", "Well?"),)


def model_at(server: ProviderServer) -> ProviderModel:
    return provider_model("openai:m", base_url=server.openai_url)


async def test_a_script_that_is_over_says_so() -> None:
    async with ProviderServer(["one"]) as server:
        model = model_at(server)
        await model.complete(ASK, max_output_tokens=5)
        with pytest.raises(ModelError, match="script is over"):
            await model.complete(ASK, max_output_tokens=5)
        await model.aclose()


async def test_a_mistake_in_a_script_is_shown_to_the_test() -> None:
    def wrong(_request: ProviderRequest) -> str:
        raise KeyError("oops")

    async with ProviderServer(wrong) as server:
        model = model_at(server)
        with pytest.raises(ModelError, match="script raised KeyError"):
            await model.complete(ASK, max_output_tokens=5)
        await model.aclose()


async def test_a_path_of_no_protocol_is_not_found() -> None:
    async with ProviderServer() as server:
        model = provider_model("anthropic:m", base_url=f"{server.url}/elsewhere", api_key="k")
        with pytest.raises(ModelError, match=r"nothing at /elsewhere/v1/messages"):
            await model.complete(ASK, max_output_tokens=5)
        await model.aclose()
    assert server.requests == []


async def test_a_function_can_drive_a_whole_session() -> None:
    def count(request: ProviderRequest) -> ProviderReply:
        return ProviderReply(f"{len(request.messages)} messages of {request.model}")

    async with ProviderServer(count) as server:
        model = model_at(server)
        assert (await model.complete(ASK, max_output_tokens=5)).text == "1 messages of m"
        assert (await model.complete(ASK * 3, max_output_tokens=5)).text == "3 messages of m"
        await model.aclose()


def test_a_program_in_another_process_reaches_it() -> None:
    program = (
        "import json, sys, urllib.request as r\n"
        "body = json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': 'hi'}]}).encode()\n"
        "print(r.urlopen(r.Request(sys.argv[1] + '/chat/completions', body)).read().decode())\n"
    )
    with ProviderServer("hello") as server:
        command = [sys.executable, "-c", program, server.openai_url]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["choices"][0]["message"]["content"] == "hello"


def test_it_stops_while_a_client_still_hangs_on() -> None:
    with ProviderServer() as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
    client.close()


async def test_a_request_to_openai_itself_has_openais_form() -> None:
    async with ProviderServer("ok") as server:
        model = model_at(server)
        # The server stands in for the provider's own address.
        model._target = model._connections.target = replace(model._target, official=True)
        assert (await model.complete(ASK, max_output_tokens=5)).text == "ok"
        await model.aclose()
    assert server.requests[0].body["max_completion_tokens"] == 5
    assert "max_tokens" not in server.requests[0].body


@pytest.mark.parametrize("name", ["openai:gpt-5", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro"])
async def test_without_a_base_url_a_request_goes_to_the_provider_and_by_the_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on the proxy's port, so nothing leaves this machine.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    model = provider_model(name, api_key="k")
    with pytest.raises(ModelError, match=r"no connection to https://(api|generativelanguage)\."):
        await model.complete(ASK, max_output_tokens=5)
    await model.aclose()


async def test_a_library_that_cannot_be_imported_is_named_and_the_next_request_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ProviderServer("ok") as server:
        model = model_at(server)
        with monkeypatch.context() as broken:
            broken.setitem(sys.modules, "pydantic_ai.models.openai", None)
            # Warming up is silent; the request says what is wrong.
            model.warm()
            with pytest.raises(ConfigError, match=r'pip install "rlmbox\[models\]"'):
                await model.complete(ASK, max_output_tokens=5)
        assert (await model.complete(ASK, max_output_tokens=5)).text == "ok"
        await model.aclose()
