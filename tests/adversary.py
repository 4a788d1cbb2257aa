"""A provider that does what it likes and keeps its own account of what it bills, and runs that ask it.

The account is not of `rlmbox.testing`: what the ledger says is compared with a bookkeeping that shares no code with it.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import anyio

from rlmbox import RLM
from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.budget.limits import Limits
from rlmbox.errors import LimitExceeded, RLMError
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.requests.client import Calls
from rlmbox.requests.retries import RetryPolicy
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ProviderRequest, ProviderServer, RawReply
from rlmbox.types import Message, Usage

PRICE = FlatPrice(Decimal("1.25"), Decimal(10), origin="test")
FREE_FAULTS = ("429", "500", "503", "400", "error_in_200", "too_long")
BILLED_FAULTS = ("hang_up", "half", "half_json", "hang", "page", "empty", "tool_call")
USAGES = ("right", "right", "right", "missing", "text", "outside", "no_prompt", "zero", "less", "more")


@dataclass
class Biller:
    """A server of OpenAI's protocol.

    Attributes:
        seed: Decides all that it does.
        fault_share: Share of the requests that meet a fault.
        tokens_per_byte: By which it counts what it is sent.
        usages: The ways in which it reports what it counted.
        faults: What goes wrong.
        reply_tokens: Lengths of replies, the shortest and the longest.
        billed_usd: What it bills.
        answered: Good replies that it sent whole.
    """

    seed: int
    fault_share: float = 0.25
    tokens_per_byte: float = 0.25
    usages: tuple[str, ...] = USAGES
    faults: tuple[str, ...] = FREE_FAULTS + BILLED_FAULTS
    reply_tokens: tuple[int, int] = (1, 400)
    delay_s: float = 0.0
    hang_s: float = 3600.0
    billed_usd: Decimal = field(default_factory=Decimal)
    answered: int = 0
    requests: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Biller]:
        writers: set[asyncio.StreamWriter] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._converse(reader, writer):
                    pass
            writer.close()
            writers.discard(writer)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(writers):
                writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(head.split("content-length:")[1].split("\r\n")[0])
        asked = json.loads(await reader.readexactly(size))
        self.requests += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        fault = self.random.choice(self.faults) if self.random.random() < self.fault_share else ""
        if fault == "page" and not self.answered:
            fault = "hang_up"
        if fault in FREE_FAULTS:
            return await self._refuse(writer, fault)
        sent = math.ceil(sum(len(m["content"].encode()) for m in asked["messages"]) * self.tokens_per_byte) + 1
        longest = asked.get("max_tokens") or asked["max_completion_tokens"]
        received = min(self.random.randint(*self.reply_tokens), longest)
        self.billed_usd += PRICE.cost_usd(Usage(sent, 0, received, 0, 1))
        return await self._answer(reader, writer, fault, sent, received, cut=received == longest)

    async def _refuse(self, writer: asyncio.StreamWriter, fault: str) -> bool:
        if fault == "error_in_200":
            return await _send(writer, 200, {"error": {"message": "Rate limit exceeded", "code": 429}})
        if fault == "too_long":
            return await _send(writer, 400, {"error": {"message": "Input is too long for requested model."}})
        return await _send(writer, int(fault), {"error": {"message": "no", "type": "server_error"}})

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fault: str,
        sent: int,
        received: int,
        *,
        cut: bool,
    ) -> bool:
        if fault == "hang":
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), self.hang_s)
            return False
        if fault == "hang_up":
            return False
        if fault == "page":
            return await _send(writer, 200, "<html><title>Bad gateway</title></html>")
        message: dict[str, Any] = {"role": "assistant", "content": "w " * received}
        if fault == "empty":
            message["content"] = self.random.choice([None, ""])
        if fault == "tool_call":
            message |= {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
        reply: dict[str, Any] = {
            "id": "1", "object": "chat.completion", "created": self.random.choice([1, 1.5, None]), "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}],
        }  # fmt: skip
        usage = self._usage(sent, received)
        reply |= {"usage": usage} if usage is not None else {}
        if fault in ("half", "half_json"):
            return await _send(writer, 200, reply, half=fault)
        self.answered += not fault
        return await _send(writer, 200, reply)

    def _usage(self, sent: int, received: int) -> dict[str, Any] | None:
        right = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
        reasoning = received // 2
        kinds: dict[str, dict[str, Any] | None] = {
            "right": right,
            "missing": None,
            "text": {name: str(count) for name, count in right.items()},
            "outside": {
                **right,
                "completion_tokens": received - reasoning,
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
            "no_prompt": {"completion_tokens": received, "total_tokens": sent + received},
            "zero": dict.fromkeys(right, 0),
            "less": {**right, "total_tokens": 1},
            "more": {**right, "completion_tokens": max(received - 3, 0)},
        }
        return kinds[self.random.choice(self.usages)]


async def _send(writer: asyncio.StreamWriter, status: int, body: object, *, half: str = "") -> bool:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if half == "half_json":
        raw = raw[: len(raw) // 2]
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + (raw[: len(raw) // 2] if half == "half" else raw))
    await writer.drain()
    return half != "half"


@dataclass
class Outcome:
    """What a run came to, by the ledger and by the provider."""

    certain_usd: Decimal
    billed_usd: Decimal
    total_usd: Decimal
    limit_usd: Decimal
    answered: int

    @property
    def keeps_the_law(self) -> bool:
        return self.certain_usd <= self.billed_usd <= self.total_usd and self.billed_usd <= self.limit_usd


async def random_run(seed: int) -> Outcome:
    """Run a tree of sessions, three deep and up to 64 requests wide, that is cancelled here and there."""
    dice = random.Random(seed)
    limit = Decimal(dice.choice(["0.002", "0.01", "0.05", "0.3"]))
    biller = Biller(
        seed,
        fault_share=dice.choice([0.0, 0.25, 0.5]),
        tokens_per_byte=dice.choice([0.25, 0.3, 1.0]),
        reply_tokens=dice.choice([(1, 50), (1, 400), (300, 5_000)]),
        hang_s=0.3,
    )
    policy = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002, failures_to_open=0, attempt_timeout_s=0.25)
    budget = Budget(Limits(cost_limit_usd=limit, concurrency=dice.choice([1, 10, 64]), max_output_tokens=6_000))
    calls = Calls(budget, retries=policy)
    answered = 0
    async with biller.serving():
        model = _model(biller)
        await model.ready()

        async def ask(account: Account, size: int, patience_s: float | None) -> None:
            nonlocal answered
            prompt = [Message("user", "word " * size)]
            with suppress(RLMError), anyio.move_on_after(patience_s):
                await calls.complete(model, prompt, account=account, timeout_s=5, whole=dice.random() < 0.8)
                answered += 1

        async def session(account: Account, depth: int) -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(dice.choice([1, 3, 8, 64 if depth == 1 else 16])):
                    patience_s = dice.choice([None, None, None, 0.005, 0.02])
                    tasks.start_soon(ask, account.below(), dice.choice([1, 30, 700, 3_000]), patience_s)
                if depth < 3:
                    for _ in range(dice.choice([0, 1, 2])):
                        share = dice.choice([None, limit / 3])
                        tasks.start_soon(session, account.below(cost_limit_usd=share), depth + 1)

        with anyio.move_on_after(dice.choice([None, None, 0.1])):
            await ask(budget.root, 100, None)
            await session(budget.root, 1)
        await model.aclose()
    cost = budget.cost
    return Outcome(cost.total_usd - cost.uncertain_usd, biller.billed_usd, cost.total_usd, limit, answered)


def _model(biller: Biller) -> ProviderModel:
    name = f"openai:m{biller.seed}"
    return provider_model(name, base_url=f"http://127.0.0.1:{biller.port}/v1", api_key="k", prices={name: PRICE})


async def many_sub_calls(
    count: int,
    *,
    seed: int = 1,
    limit_usd: str = "5",
    prompt_bytes: int = 4_000,
    reply_tokens: tuple[int, int] = (50, 250),
) -> Outcome:
    """Ask many sub-calls, a quarter of which meet a fault."""
    faults = ("429", "500", "503", "429", "500", "half", "half_json", "hang_up", "page")
    usages = ("right",) * 12 + ("missing", "zero", "outside")
    biller = Biller(seed, fault_share=0.25, faults=faults, usages=usages, reply_tokens=reply_tokens, delay_s=0.01)
    policy = RetryPolicy(base_delay_s=0.001, max_delay_s=0.005)
    budget = Budget(Limits(cost_limit_usd=limit_usd, concurrency=64, max_subcalls=count))
    calls = Calls(budget, retries=policy)
    answered = 0
    async with biller.serving():
        model = _model(biller)
        await model.ready()

        async def ask(number: int) -> None:
            nonlocal answered
            prompt = [Message("user", f"part {number}: " + "some words of a text " * (prompt_bytes // 21))]
            with suppress(RLMError):
                await calls.complete(model, prompt, account=budget.root.below(), timeout_s=60, whole=True)
                answered += 1

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(ask, number)
        await model.aclose()
    cost = budget.cost
    return Outcome(cost.total_usd - cost.uncertain_usd, biller.billed_usd, cost.total_usd, Decimal(limit_usd), answered)


def long_sub_call_run(limit_usd: str = "0.10", chars: int = 100_000) -> Outcome:
    """Run a question whose first cell has one long sub-call, and which goes on until its limit ends it."""
    cell = f"```repl\nsummary = llm_query('Sum up: ' + context[:{chars}])\nprint(summary)\n```"
    billed: list[Decimal] = []

    def reply(request: ProviderRequest) -> RawReply:
        sent = math.ceil(sum(len(message.content.encode()) for message in request.messages) / 4)
        is_root = len(request.messages) > 1
        text = f"```repl\nprint({len(billed)})\n```" if is_root and billed else cell if is_root else "w " * 200
        received = 500 if is_root else 200  # with reasoning that nobody sees
        billed.append(PRICE.cost_usd(Usage(sent, 0, received, 0, 1)))
        usage = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
        return RawReply({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage})

    with ProviderServer(reply) as server:
        name = f"openai:m{server.port}"
        model = provider_model(name, base_url=server.openai_url, api_key="k", prices={name: PRICE})
        limits = Limits(cost_limit_usd=limit_usd, max_turns=200)
        rlm = RLM(model, sandbox=lambda: LocalSandbox(unsafe_no_isolation=True), limits=limits)
        try:
            answer = rlm.ask("What is it about?", "some words of a text. " * (3 * chars // 22))
        except LimitExceeded as error:
            if error.partial is None:
                raise
            answer = error.partial
    cost = answer.cost
    certain = cost.total_usd - cost.uncertain_usd
    return Outcome(certain, sum(billed, Decimal(0)), cost.total_usd, Decimal(limit_usd), answer.subcalls)
