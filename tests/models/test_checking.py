"""Whether a model can be reached is told step by step, with what to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from rlmbox.models.checking import ModelStep, check_reachable
from rlmbox.models.prices import FlatPrice
from rlmbox.testing import ProviderServer, live


@asynccontextmanager
async def listing(models: object, status: int = 200) -> AsyncIterator[str]:
    """A server that lists models and answers questions."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "content-length:" in head:
            await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        reply: Any = {"choices": [{"message": {"content": "ready"}}]}
        body = json.dumps(models if head.startswith("get") else reply).encode()
        code = status if head.startswith("get") else 200
        head_lines = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head_lines}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def steps(name: str, url: str | None, **options: Any) -> Mapping[str, ModelStep]:
    found = [step async for step in check_reachable(name, base_url=url, api_key="k-123456", **options)]
    assert all("\n" not in step.found for step in found)
    return {step.name: step for step in found}


async def test_a_model_that_is_there_is_ready() -> None:
    price = {"openai:qwen3": FlatPrice(Decimal(1), Decimal(2), origin="mine")}
    async with listing({"data": [{"id": "qwen3", "max_model_len": 8_192}]}) as url:
        found = await steps("openai:qwen3", url, prices=price, window_tokens=8_192)
    assert list(found) == ["key", "server", "model", "price", "window", "question"]
    assert all(step.ok for step in found.values()), found
    assert "from the api_key argument" in found["key"].found
    assert "$1 in, $2 out" in found["price"].found
    assert 'answered "ready"' in found["question"].found
    assert "estimated" in found["question"].found


async def test_what_nobody_knows_is_shown_as_unknown() -> None:
    async with listing({"data": [{"id": "qwen3"}]}) as url:
        found = await steps("openai:qwen3", url, ask=False)
    assert (found["price"].ok, found["window"].ok) == (None, None)
    assert "not known" in found["price"].found
    assert "128,000 tokens are assumed" in found["window"].found


@pytest.mark.parametrize("field", ["context_length", "context_window", "max_model_len", "max_context_length"])
async def test_a_window_that_the_server_names_is_told(field: str) -> None:
    async with listing({"data": [{"id": "m", field: 4_096}]}) as url:
        found = await steps("openai:m", url, ask=False)
        assert "give --window 4096" in found["window"].found
        found = await steps("openai:m", url, ask=False, window_tokens=32_000)
    assert found["window"].ok is False
    assert "the server says 4,096" in found["window"].found


async def test_a_model_that_is_not_there_names_those_that_are() -> None:
    async with listing({"data": [{"id": "qwen3:8b"}, {"id": "llama3:latest"}]}) as url:
        assert (await steps("ollama:llama3", url, ask=False))["model"].ok
        found = await steps("ollama:qwen3", url, ask=False)
    assert found["model"].ok is False
    assert "ollama pull qwen3" in found["model"].found
    assert "qwen3:8b" in found["model"].found


async def test_a_server_that_is_not_there_ends_the_check() -> None:
    found = await steps("ollama:qwen3", "http://127.0.0.1:9/v1")
    assert list(found) == ["key", "server"]
    assert found["server"].ok is False
    assert "ollama serve" in found["server"].found


async def test_a_key_that_is_refused_ends_the_check_and_is_not_shown() -> None:
    async with listing({"error": "bad key k-123456"}, status=401) as url:
        found = await steps("groq:m", url)
    assert list(found) == ["key", "server"]
    assert "refused the key" in found["server"].found
    assert "k-123456" not in str(found)


async def test_a_key_that_is_missing_is_the_first_thing_told() -> None:
    found = [step async for step in check_reachable("openai:gpt-5")]
    assert [(step.name, step.ok) for step in found] == [("key", False)]
    assert "OPENAI_API_KEY" in found[0].found


def test_live_asks_each_provider_whose_key_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live.main([]) == 2
    assert "no key is set" in capsys.readouterr().out
    monkeypatch.setattr(live, "CHEAPEST", {"OPENAI_API_KEY": "openai:gpt-5-nano"})
    with ProviderServer("```repl\nFINAL(context.count('needle'))\n```") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        # At another address than the provider's own a price is not known: the limit is one of tokens there.
        assert live.main([]) == 0
        assert "ok   openai:gpt-5-nano: '7'" in capsys.readouterr().out
        monkeypatch.setenv("OLLAMA_BASE_URL", server.openai_url)
        assert live.main(["ollama:any"]) == 0
    assert "ok   ollama:any: '7'" in capsys.readouterr().out
