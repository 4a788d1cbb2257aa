"""Questions and sub-calls over MCP: progress, money and cancellation, with a local server in a paid model's place."""

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from mcp import Client

from rlmbox.testing import ProviderServer
from rlmbox.testing.provider_server import ProviderFault
from rlmbox.testing.provider_wire import ProviderReply
from tool.mcp_clients import called, connected, refused, resource

CODE = "```repl\n{}\n```"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"openai:tiny": {"input_usd_per_mtok": 1000, "output_usd_per_mtok": 1000}}))
    return path


def _reply(text: str) -> ProviderReply:
    return ProviderReply(text, input_tokens=100, output_tokens=100)


def _options(server: ProviderServer, prices: Path, *more: str) -> tuple[list[str], dict[str, str]]:
    arguments = ["--model", "openai:tiny", "--base-url", server.openai_url, "--prices", str(prices), *more]
    return arguments, {"OPENAI_API_KEY": "sk-x"}


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what it looks at is another thread's
        await anyio.sleep(0.05)


async def _opened(client: Client) -> str:
    return str((await called(client, "open_context", text="The penalty is 5 percent."))["handle"])


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_question_is_answered_with_progress_and_its_cost(transport: str, prices: Path) -> None:
    script = [_reply(CODE.format("print(len(context))")), _reply(CODE.format("FINAL('5 percent')"))]
    told: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    with ProviderServer(script) as server:
        async with connected(transport, *_options(server, prices, "--cost-limit", "50")) as client:
            handle = await _opened(client)
            result = await client.call_tool(
                "ask", {"handle": handle, "question": "Which penalty?"}, progress_callback=note
            )
            answer = result.structured_content or {}
            run = await resource(client, answer["run"])
    assert answer["answer"] == "5 percent"
    assert answer["cost_usd"] == run["cost_usd"] == "0.4"
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert any("1 turn, " in str(message) and "$0.2000 of $50.00" in str(message) for _, message in told)


async def test_a_call_that_would_cost_more_than_its_limit_is_not_sent(prices: Path) -> None:
    with ProviderServer("never") as server:
        async with connected("stdio", *_options(server, prices, "--cost-limit", "50")) as client:
            handle = await _opened(client)
            said = await refused(client, "ask", handle=handle, question="Which penalty?", cost_limit_usd=0.001)
    assert "0.001" in said
    assert server.requests == []


async def test_calls_together_cannot_cost_more_than_the_server_may(prices: Path) -> None:
    with ProviderServer(lambda _: _reply(CODE.format("FINAL('5 percent')"))) as server:
        options = _options(server, prices, "--cost-limit", "50", "--total-cost-limit", "50.3")
        async with connected("stdio", *options) as client:
            handle = await _opened(client)
            costs = [await called(client, "ask", handle=handle, question="Which penalty?") for _ in range(2)]
            said = ""
            async with anyio.create_task_group() as tasks:

                async def ask() -> None:
                    nonlocal said
                    result = await client.call_tool("ask", {"handle": handle, "question": "Which?"})
                    said += result.content[0].text if result.is_error else ""

                for _ in range(3):  # each takes all that is left while it runs
                    tasks.start_soon(ask)
    assert [answer["cost_usd"] for answer in costs] == ["0.2", "0.2"]
    assert "the server may spend $50.30" in said
    assert "--total-cost-limit" in said


async def test_a_question_can_be_cancelled_and_the_server_goes_on(prices: Path) -> None:
    with ProviderServer(ProviderFault("hang")) as server:
        async with connected("stdio", *_options(server, prices, "--cost-limit", "50")) as client:
            handle = await _opened(client)
            with anyio.move_on_after(240) as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.call_tool, "ask", {"handle": handle, "question": "Which penalty?"})
                    await _until(lambda: bool(server.requests))
                    tasks.cancel_scope.cancel()
            assert not scope.cancelled_caught
            with anyio.fail_after(240):
                await _until(lambda: bool(server.left))  # the request to the model was given up
            assert (await called(client, "exec", handle=handle, code="print(1)"))["stdout"] == "1\n"


async def test_cells_may_ask_the_model_within_the_limits(prices: Path) -> None:
    with ProviderServer(lambda _: _reply("five")) as server:
        async with connected("stdio", *_options(server, prices, "--cost-limit", "50")) as client:
            handle = await _opened(client)
            code = "a = llm_query('How much? ' + context)\nprint(a)\nprint('```')"
            result = await called(client, "exec", handle=handle, code=code)
            again = await called(client, "exec", handle=handle, code="print(a, 2)")
            failed = await called(client, "exec", handle=handle, code="print(a)\n1 / 0")
            after = await called(client, "exec", handle=handle, code="FINAL(a)")
            poor = await called(client, "exec", handle=handle, code="print(llm_query('x'))", cost_limit_usd=0.001)
            kept = await called(client, "exec", handle=handle, code="print(a, 3)")
    assert (result["stdout"], result["cost_usd"]) == ("five\n```\n", "0.2")
    assert (again["stdout"], again["cost_usd"]) == ("five 2\n", "0")
    assert failed["exception"] == "ZeroDivisionError: division by zero"
    assert after["success"] is True
    assert poor["success"] is False or "Error" in poor["stdout"]
    assert kept["stdout"] == "five 3\n"
    assert len(server.requests) == 1


async def test_a_cell_that_may_ask_the_model_has_the_time_of_its_call(prices: Path) -> None:
    with ProviderServer([_reply("five"), ProviderFault("hang")]) as server:
        async with connected("stdio", *_options(server, prices, "--cost-limit", "50")) as client:
            handle = await _opened(client)
            await called(client, "exec", handle=handle, code="a = llm_query('How much?')", timeout=60)
            late = await called(client, "exec", handle=handle, code="b = 2\nwhile True: pass", timeout=0.5)
            kept = await called(client, "exec", handle=handle, code="print(a, b)")
            waiting = await called(client, "exec", handle=handle, code="c = llm_query('And?')", timeout=0.5)
            with anyio.fail_after(240):
                await _until(lambda: bool(server.left))  # the request to the model was given up
            after = await called(client, "exec", handle=handle, code="print(a)")
    for result in (late, waiting):
        assert (result["timed_out"], result["success"]) == (True, False)
        assert "ran longer than 0.5 s and was ended; variables, imports and functions are kept" in result["exception"]
    assert (kept["stdout"], after["stdout"]) == ("five 2\n", "five\n")
    assert len(server.requests) == 2  # what the first cell asked is not asked again
