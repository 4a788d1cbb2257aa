"""Replies that come as streams: their text as it comes in, and the reply that is put together from it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from rlmbox import RLM, Limits
from rlmbox.budget.budget import Budget
from rlmbox.errors import ModelError
from rlmbox.events import Event, ModelReplied, ReplyDelta, SessionFinished
from rlmbox.models.base import Exchange, current_exchange
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.models.replies import read_reply
from rlmbox.models.reply_fields import UnreadableReply, WireProtocol
from rlmbox.reply.parse import parse_reply
from rlmbox.requests.client import Calls
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import QUIRKS, ProviderFault, ProviderReply, ProviderServer, QuirkServer, RawReply
from rlmbox.types import Completion, Message

NAMES = ("openai:m", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-flash", "azure:deployment")
ASKED = [Message("user", "a question")]
REPLY = ProviderReply("three words here", input_tokens=21, output_tokens=9, reasoning="let me see", reasoning_tokens=4)


def model_at(server: ProviderServer, name: str = "openai:m") -> ProviderModel:
    url = server.openai_url if name.startswith("openai") else server.url
    return provider_model(name, base_url=url, api_key="k", prices={name: FlatPrice(Decimal(1), Decimal(2))})


async def read_along(model: ProviderModel) -> tuple[Completion, list[tuple[str, bool]]]:
    pieces: list[tuple[str, bool]] = []

    def read(text: str, *, is_reasoning: bool) -> None:
        pieces.append((text, is_reasoning))

    token = current_exchange.set(Exchange(read))
    try:
        return await model.complete(ASKED, max_output_tokens=100), pieces
    finally:
        current_exchange.reset(token)
        await model.aclose()


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_is_the_reply_in_one_piece_and_its_pieces_are_seen(name: str) -> None:
    async with ProviderServer(REPLY) as server:
        streamed, pieces = await read_along(model_at(server, name))
        whole = await model_at(server, name).complete(ASKED, max_output_tokens=100)
    assert [request.streams for request in server.requests] == [True, False]
    assert streamed == whole
    assert streamed.counted
    assert "".join(text for text, is_reasoning in pieces if not is_reasoning) == "three words here"
    assert "".join(text for text, is_reasoning in pieces if is_reasoning) == "let me see"


@pytest.mark.parametrize("name", NAMES)
async def test_text_comes_in_while_the_model_writes(name: str) -> None:
    async with ProviderServer(ProviderReply("one two three", pause_s=0.05)) as server:
        _, pieces = await read_along(model_at(server, name))
    assert len(pieces) > 1


@pytest.mark.parametrize("name", NAMES[:3])
async def test_a_reply_that_is_cut_is_told_so_by_a_stream_too(name: str) -> None:
    async with ProviderServer(ProviderReply("half of", stop_reason="length")) as server:
        completion, _ = await read_along(model_at(server, name))
    assert completion.stop_reason == "length"


async def test_nobody_who_does_not_read_along_is_sent_a_stream() -> None:
    async with ProviderServer("ok") as server:
        await model_at(server).complete(ASKED, max_output_tokens=100)
    assert not server.requests[0].streams


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "Your organization must be verified to stream this model.", "param": "stream"}),
        (400, {"message": "stream is not supported by this deployment"}),
        (400, {"message": "This model does not support streaming responses."}),
        (501, {"message": "not implemented"}),
        (422, {"message": "cannot do that"}),
    ],
)
async def test_a_server_that_cannot_stream_is_asked_in_one_piece_from_then_on(
    status: int, error: dict[str, object]
) -> None:
    def answer(request: object) -> RawReply | ProviderReply:
        return RawReply({"error": error}, status) if request.streams else REPLY  # type: ignore[attr-defined]

    async with ProviderServer(answer) as server:
        first, pieces = await read_along(model_at(server))
        again, _ = await read_along(model_at(server))
    assert (first.text, again.text, pieces) == ("three words here", "three words here", [])
    assert [request.streams for request in server.requests] == [True, False, False]


async def test_a_refusal_of_the_options_of_a_stream_leaves_the_stream() -> None:
    forbids = [quirk for quirk in QUIRKS["mistral"] if "forbids fields" in quirk.name]
    async with QuirkServer("mistral", lambda _: "ok", quirks=forbids) as server:
        completion, _ = await read_along(model_at(server))
    assert completion.text == "ok"
    assert server.requests[-1].streams


async def test_a_server_that_counts_no_tokens_of_streams_is_asked_in_one_piece_from_then_on() -> None:
    def answer(request: object) -> ProviderReply:
        return ProviderReply("ok", input_tokens=None if request.streams else 5)  # type: ignore[attr-defined]

    async with ProviderServer(answer) as server:
        first, _ = await read_along(model_at(server))
        again, _ = await read_along(model_at(server))
    assert (first.counted, again.counted) == (False, True)


async def test_a_server_that_takes_no_notice_of_streams_is_understood() -> None:
    body = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}  # fmt: skip
    async with ProviderServer(RawReply(body)) as server:
        completion, pieces = await read_along(model_at(server))
    assert (completion.text, pieces) == ("whole", [])


def chunks(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


BEGUN: dict[WireProtocol, object] = {
    "openai": {"choices": [{"delta": {"content": "half"}}]},
    "anthropic": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "half"}},
    "google": {"candidates": [{"content": {"parts": [{"text": "half"}]}}]},
}


@pytest.mark.parametrize("protocol", BEGUN)
def test_a_stream_without_its_end_is_no_reply(protocol: WireProtocol) -> None:
    with pytest.raises(UnreadableReply, match="broke off before its end") as caught:
        read_reply(protocol, chunks(BEGUN[protocol]), "m", ASKED)
    assert not caught.value.is_error


@pytest.mark.parametrize("protocol", BEGUN)
@pytest.mark.parametrize("begun", [True, False])
def test_an_error_in_a_stream_may_have_been_billed_once_something_of_the_reply_has_come(
    protocol: WireProtocol, begun: bool
) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(UnreadableReply) as caught:
        read_reply(protocol, chunks(*[BEGUN[protocol]] * begun, error), "m", ASKED)
    assert caught.value.is_error is not begun


@pytest.mark.parametrize(
    ("body", "is_error", "says"),
    [
        (chunks({"object": "error", "message": "maximum context length is 4096 tokens", "code": 400}), True, "4096"),
        (b"event: error\n" + chunks({"message": "Overloaded", "code": 529}), True, "Overloaded"),
        (b'error: {"code": 500, "message": "Context size has been exceeded."}\n\n', True, "Context size"),
        (chunks(BEGUN["openai"], {"message": "the engine died", "code": 500}), False, "the engine died"),
    ],
)
def test_an_error_in_a_stream_is_one_under_whatever_name(body: bytes, is_error: bool, says: str) -> None:
    with pytest.raises(UnreadableReply) as caught:
        read_reply("openai", body, "m", ASKED)
    assert caught.value.is_error is is_error
    assert says in f"{caught.value} {caught.value.error!r}"


def test_a_stream_that_says_in_a_text_that_there_is_no_end_yet_is_not_over() -> None:
    begun = {"choices": [{"delta": {"content": "half"}, "finish_reason": "null"}]}
    with pytest.raises(UnreadableReply, match="broke off before its end"):
        read_reply("openai", chunks(begun), "m", ASKED)


def test_counts_of_zero_at_the_end_of_a_stream_are_none() -> None:
    some = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": dict.fromkeys(some, 0)}
    usage = read_reply("openai", chunks({**BEGUN["openai"], "usage": some}, last), "m", ASKED).usage  # type: ignore[dict-item]
    assert (usage.input_tokens, usage.output_tokens) == (9, 2)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 50, "output_tokens": 1}}}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 0, "output_tokens": 5},
    }
    reply = read_reply("anthropic", chunks(start, BEGUN["anthropic"], end), "m", ASKED)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.counted) == (50, 5, True)


def test_a_call_and_a_refusal_in_a_stream_are_what_they_are_in_one_piece() -> None:
    call = {"choices": [{"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"}]}
    assert read_reply("openai", chunks(call), "m", ASKED).stop_reason == "tool_calls"
    pieces = [{"name": "python", "arguments": '{"code": "x '}, {"arguments": '= 1"}'}]
    told: list[dict[str, object]] = [
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": piece}]}}]} for piece in pieces
    ]
    assert parse_reply(read_reply("openai", chunks(*told, call), "m", ASKED).text).cells == ("x = 1",)
    no = {"choices": [{"delta": {"refusal": "I will not"}, "finish_reason": "stop"}]}
    assert read_reply("openai", chunks(no), "m", ASKED).text == "I will not"
    use = ({"type": "content_block_start", "content_block": {"type": "tool_use"}},
           {"type": "message_delta", "delta": {"stop_reason": "tool_use"}})  # fmt: skip
    assert read_reply("anthropic", chunks(*use), "m", ASKED).stop_reason == "tool_calls"
    begun: list[dict[str, object]] = [
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "python"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"code": '}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"x = 1"}'}},
    ]
    assert parse_reply(read_reply("anthropic", chunks(*begun, use[1]), "m", ASKED).text).cells == ("x = 1",)


def test_google_sends_a_stream_as_one_array_where_it_is_not_asked_for_events() -> None:
    parts = [{"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in ("a", "b")]
    parts[-1]["candidates"][0]["finishReason"] = "STOP"  # type: ignore[assignment]
    assert read_reply("google", json.dumps(parts).encode(), "m", ASKED).text == "ab"


@pytest.mark.parametrize("fault", ["reset", "truncated"])
async def test_a_stream_that_breaks_off_is_charged_what_it_may_have_been_billed_and_asked_for_again(
    fault: str,
) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    async with ProviderServer([ProviderFault(fault), REPLY]) as server:  # type: ignore[arg-type]
        budget, model = Budget(Limits()), model_at(server)
        reply = await Calls(budget, retries=RetryPolicy(base_delay_s=0)).complete(
            model, ASKED, account=budget.root, streams=True,
            tell=lambda kind, **fields: told.append((kind.__name__, fields)),
        )  # fmt: skip
        await model.aclose()
    assert (reply.completion.text, reply.attempts) == ("three words here", 2)
    assert budget.cost.uncertain_usd > 0
    attempts = {fields["attempt"] for name, fields in told if name == "ReplyDelta"}
    assert attempts == {1, 2}


async def test_an_overload_before_a_stream_begins_costs_nothing() -> None:
    overloaded = RawReply(chunks({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                          headers={"Content-Type": "text/event-stream"})  # fmt: skip
    async with ProviderServer(overloaded) as server:
        with pytest.raises(ModelError) as caught:
            await read_along(model_at(server, "anthropic:claude-sonnet-5-5"))
    assert (caught.value.retryable, caught.value.possibly_billed) == (True, False)


async def test_the_events_of_a_run_have_the_replies_of_its_sessions_as_they_come_in(tmp_path: Path) -> None:
    async with ProviderServer(ProviderReply('FINAL("It is 7 days, then.")', pause_s=0.01)) as server:
        model = model_at(server)
        rlm = RLM(model, store=tmp_path / "runs.db", sandbox="monty")
        seen: list[Event] = [event async for event in rlm.stream("How long?", "a text")]
        await model.aclose()
        run = await rlm._setup.recorded().read(seen[0].run_id)
        await rlm.aclose()
    deltas = [event for event in seen if isinstance(event, ReplyDelta)]
    assert "".join(event.text for event in deltas) == 'FINAL("It is 7 days, then.")'
    assert seen.index(deltas[0]) < next(i for i, event in enumerate(seen) if isinstance(event, ModelReplied))
    assert isinstance(seen[-1], SessionFinished)
    assert not any(isinstance(event, ReplyDelta) for event in run)
    assert [event for event in seen if event.KEPT] == list(run)


def test_hooks_see_pieces_of_replies_only_where_they_are_asked_for() -> None:
    with ProviderServer('FINAL("x")') as server:
        for wanted, streams in ((None, False), (False, False), (True, True)):
            seen: list[Event] = []
            with RLM(
                "openai:m",
                base_url=server.openai_url,
                api_key="k",
                hooks=[seen.append],
                sandbox="monty",
                stream_replies=wanted,
            ) as rlm:
                rlm.ask("How long?", "a text")
            assert any(isinstance(event, ReplyDelta) for event in seen) is streams
