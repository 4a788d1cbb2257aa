"""Sub-calls over a provider that fails in every way that providers do."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.errors import BudgetExceeded, ModelError
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.requests.client import Calls
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ProviderFault, ProviderReply, ProviderServer, http_fault
from rlmbox.testing.fault_server import FAULTS, Fault, FaultServer
from rlmbox.testing.provider_wire import ProviderRequest
from rlmbox.types import Message, Usage

NAMES = ("openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro")
PRICE = FlatPrice(Decimal(1), Decimal(10), origin="test")
PATIENT = RetryPolicy(attempts=9, base_delay_s=0.01, max_delay_s=0.05, failures_to_open=20, attempt_timeout_s=6)
CALLS = 1_000
every_provider = pytest.mark.parametrize("name", NAMES)


def echo(request: ProviderRequest) -> str:
    return f"answer to {request.messages[-1].content[:12]}"


@asynccontextmanager
async def models(server: ProviderServer, names: Sequence[str] = NAMES) -> AsyncIterator[list[ProviderModel]]:
    prices = dict.fromkeys(names, PRICE)
    made = [
        provider_model(
            name, base_url=server.openai_url if name.startswith("openai") else server.url, api_key="k", prices=prices
        )
        for name in names
    ]
    try:
        yield made
    finally:
        for model in made:
            await model.aclose()


async def test_1000_sub_calls_with_a_fifth_of_faults_all_answer_in_order_and_the_ledger_is_the_servers_own() -> None:
    # One of each kind that takes long is enough, and at the beginning it holds nothing up.
    faults: tuple[Fault, ...] = (ProviderFault("hang"), ProviderFault("huge"), *FAULTS * 30)
    budget = Budget(Limits(cost_limit_usd="1000", concurrency=40, max_output_tokens=500))
    calls = Calls(budget, retries=PATIENT)
    answers: list[str] = [""] * CALLS

    async with FaultServer(echo, faults=faults) as server, models(server) as made:
        for model in made:
            await model.ready()

        async def ask(number: int) -> None:
            model, prompt = made[number % len(made)], [Message("user", f"call {number:06d} of many")]
            reply = await calls.complete(model, prompt, account=budget.root, timeout_s=60)
            answers[number] = reply.completion.text

        async with anyio.create_task_group() as tasks:
            for number in range(CALLS):
                tasks.start_soon(ask, number)

    assert answers == [f"answer to call {number:06d} " for number in range(CALLS)]
    assert len(server.requests) > 1_150
    assert server.charged.refused + server.charged.broken.requests == len(server.requests) // 5
    cost = budget.cost
    assert cost.total_usd - cost.uncertain_usd == PRICE.cost_usd(server.charged.complete)
    assert cost.uncertain_usd >= PRICE.cost_usd(server.charged.broken)
    assert budget.report.calls == server.charged.complete.requests + server.charged.broken.requests


async def test_the_limit_holds_over_faults_that_may_have_been_billed() -> None:
    limit = Decimal("0.05")
    budget = Budget(Limits(cost_limit_usd=limit, concurrency=50, max_output_tokens=500, last_answer=False))
    calls = Calls(budget, retries=PATIENT)
    refused: list[BudgetExceeded] = []

    async with FaultServer(echo, every=3) as server, models(server) as made:

        async def ask(number: int) -> None:
            try:
                await calls.complete(made[number % 3], [Message("user", f"call {number}")], account=budget.root)
            except BudgetExceeded as error:
                refused.append(error)
            except ModelError:
                pass  # a third of faults is more than the retries that a provider gets

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number)
    assert refused
    charged = PRICE.cost_usd(server.charged.complete + server.charged.broken)
    assert charged <= budget.cost.total_usd <= limit


@every_provider
@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        (http_fault(429), False),
        (http_fault(429, retry_after="0"), False),
        (http_fault(500), False),
        (http_fault(529), False),
        (ProviderFault("hang"), True),
        (ProviderFault("reset"), True),
        (ProviderFault("truncated"), True),
        (ProviderFault("hang_up"), True),
        (ProviderFault("huge"), True),
        (ProviderFault("bomb"), True),
    ],
    ids=lambda value: f"{value.kind}-{value.status}-{dict(value.headers)}" if isinstance(value, ProviderFault) else "",
)
async def test_each_fault_is_survived_and_charged_as_its_rule_says(
    name: str, fault: ProviderFault, billed: bool
) -> None:
    budget = Budget(Limits(max_output_tokens=500))
    quick = RetryPolicy(base_delay_s=0.001, attempt_timeout_s=0.5 if fault.kind == "hang" else None)
    async with ProviderServer([fault, "at last"]) as server, models(server, [name]) as (model,):
        reply = await Calls(budget, retries=quick).complete(
            model, [Message("user", "Well?")], account=budget.root, timeout_s=30
        )
    assert (reply.completion.text, reply.attempts) == ("at last", 2)
    assert (budget.cost.uncertain_usd > 0) is billed
    assert budget.cost.total_usd - budget.cost.uncertain_usd == PRICE.cost_usd(reply.completion.usage)


@every_provider
async def test_cancelling_frees_the_connection_within_a_second(name: str) -> None:
    seen = threading.Event()

    def hang(_request: ProviderRequest) -> ProviderFault:
        seen.set()
        return ProviderFault("hang")

    script: list[Callable[[ProviderRequest], ProviderFault] | str] = [hang, "ok"]
    budget = Budget(Limits(concurrency=1))
    calls = Calls(budget)
    async with ProviderServer(script) as server, models(server, [name]) as (model,):
        task = asyncio.create_task(calls.complete(model, [Message("user", "Well?")], account=budget.root))
        await asyncio.to_thread(seen.wait)
        task.cancel()
        with anyio.fail_after(60):
            with pytest.raises(asyncio.CancelledError):
                await task
            while not server.left:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
            reply = await calls.complete(model, [Message("user", "And now?")], account=budget.root)
    assert reply.completion.text == "ok"
    assert server.left == 1


async def test_a_provider_that_is_down_is_left_alone_until_it_is_back() -> None:
    down = True

    def answer(_request: ProviderRequest) -> ProviderFault | str:
        return http_fault(503) if down else "ok"

    policy = RetryPolicy(attempts=2, base_delay_s=0, failures_to_open=5, open_s=0.3)
    budget = Budget(Limits(concurrency=50))
    calls = Calls(budget, retries=policy)
    texts: list[str] = []
    async with ProviderServer(answer) as server, models(server, NAMES[:1]) as (model,):

        async def ask() -> None:
            try:
                texts.append((await calls.complete(model, [Message("user", "?")], account=budget.root)).completion.text)
            except ModelError:
                texts.append("failed")

        for _ in range(3):
            await ask()
        asked = len(server.requests)
        down = False
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
    # Five failures open it; the sixth request is the one that finds the provider still down.
    assert asked == 6
    assert texts[-20:] == ["ok"] * 20


async def test_a_refusal_that_names_the_window_makes_the_next_request_fit() -> None:
    def answer(request: ProviderRequest) -> ProviderFault | str:
        size = sum(len(message.content) for message in request.messages) // 4 + (request.max_output_tokens or 0)
        complaint = "This model's maximum context length is 4096 tokens."
        return "ok" if size <= 4_096 else http_fault(400, message=complaint, code="context_length_exceeded")

    budget = Budget(Limits())
    async with ProviderServer(answer) as server, models(server, NAMES[:1]) as (model,):
        reply = await Calls(budget).complete(model, [Message("user", "word " * 20_000)], account=budget.root)
    assert reply.completion.text == "ok"
    assert len(server.requests) == 2


@every_provider
async def test_what_is_cancelled_before_a_byte_was_sent_costs_nothing(name: str) -> None:
    budget = Budget(Limits())
    calls = Calls(budget)
    async with ProviderServer("ok") as server, models(server, [name]) as (model,):
        # The first request waits until its library is imported and its client is open.
        with anyio.move_on_after(0.0):
            await calls.complete(model, [Message("user", "Well?")], account=budget.root)
        assert server.requests == []
        assert budget.cost.total_usd == 0
        reply = await calls.complete(model, [Message("user", "Well?")], account=budget.root)
    assert reply.completion.text == "ok"
    assert budget.cost.uncertain_usd == 0


@every_provider
async def test_what_is_cancelled_after_it_was_sent_may_have_been_billed(name: str) -> None:
    seen = threading.Event()

    def hang(_request: ProviderRequest) -> ProviderFault:
        seen.set()
        return ProviderFault("hang")

    budget = Budget(Limits(max_output_tokens=500))
    async with ProviderServer(hang) as server, models(server, [name]) as (model,):
        task = asyncio.create_task(Calls(budget).complete(model, [Message("user", "Well?")], account=budget.root))
        await asyncio.to_thread(seen.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert budget.cost.uncertain_usd > PRICE.cost_usd(Usage(0, 0, 500))


async def test_a_prompt_is_charged_as_the_provider_has_counted_others_where_a_connection_broke() -> None:
    prompt = [Message("user", "some words of a text " * 300)]  # 6,300 bytes, of which this server counts a quarter
    answers: list[ProviderReply | ProviderFault] = [
        ProviderReply("ok", input_tokens=1_575, output_tokens=5),
        ProviderFault("hang_up"),
    ]
    budget = Budget(Limits(max_output_tokens=500))
    calls = Calls(budget, retries=RetryPolicy(attempts=1))
    async with ProviderServer(answers) as server, models(server, NAMES[:1]) as (model,):
        await calls.complete(model, prompt, account=budget.root)
        with pytest.raises(ModelError):
            await calls.complete(model, prompt, account=budget.root)
    output = PRICE.cost_usd(Usage(0, 0, 500))
    assert PRICE.cost_usd(Usage(1_575)) + output <= budget.cost.uncertain_usd
    assert budget.cost.uncertain_usd <= PRICE.cost_usd(Usage(1_575)) * Decimal("1.2") + output


async def test_a_server_that_keeps_sending_is_not_taken_for_hung() -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):  # DeepSeek sends empty lines while a request waits for its turn
            writer.write(b"1\r\n\n\r\n")
            await asyncio.sleep(0.1)
        body = b'{"choices": [{"message": {"content": "at last"}}]}'
        writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        writer.close()

    slow = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}/v1"
    model = provider_model("openai:slow", base_url=url, api_key="k", prices={"openai:slow": PRICE})
    await model.ready()
    budget = Budget(Limits())
    calls = Calls(budget, retries=RetryPolicy(attempts=1, attempt_timeout_s=1.0))
    reply = await calls.complete(model, [Message("user", "Well?")], account=budget.root)
    await model.aclose()
    slow.close()
    assert reply.completion.text == "at last"
