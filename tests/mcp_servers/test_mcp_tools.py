"""Tools of real MCP servers, over stdio and HTTP: what the model is told of them, and what comes of calls."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from preloaded import python_command
from rlmbox import RLM, Limits, MCPTools
from rlmbox.errors import ConfigError, ModelError
from rlmbox.events import Event
from rlmbox.record.journal import MemoryStore
from rlmbox.telemetry import Telemetry
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl

SERVER = str(Path(__file__).with_name("server.py"))
REAL = [sys.executable, SERVER, "stdio"]
KEY = "sk-live-4f9aQ7zL2mX8"


def stdio() -> list[str]:
    """The server's command for tests that do not look at its process."""
    return [*python_command(), "-c", f"import runpy; runpy.run_path({SERVER!r}, run_name='__main__')", "stdio"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server over HTTP, in a process of its own."""
    with subprocess.Popen([sys.executable, SERVER, "http"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
        process.kill()


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Any:
    return stdio() if request.param == "stdio" else request.getfixturevalue("address")


def children() -> set[str]:
    """The processes that this one has started and that have not ended."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command, status = (entry / "cmdline").read_text(), (entry / "stat").read_text()
            except OSError:
                continue
            if SERVER in command and "stdio" in command and status.rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(entry.name)
    return found


def caught(*calls: str) -> str:
    """A cell that prints what each call gave, or the error it raised."""
    return "\n".join(
        f"try:\n    print({call})\nexcept Exception as error:\n    print(type(error).__name__, error)" for call in calls
    )


async def told(code: str, *tools: Any, **options: Any) -> tuple[str, str]:
    """The system message, and what the model is told of a cell."""
    model = ScriptedModel([repl(code), "FINAL(ok)"])
    assert (await RLM(model, tools=tools, **options).aask("?", TEXT)).text == "ok"
    return model.requests[0][0].content, model.requests[1][-1].content


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_the_tools_of_a_server_are_functions_in_the_repl(server: Any, sandbox: str) -> None:
    calls = (
        "add(2)", "add(2, b=3)", "buy({'id': 1})", "buy({'id': 1}, note=None)", "get_weather('Ulm')", "picture()",
        "plain()", "contracts_peek()", "peek(12)",
    )  # fmt: skip
    prompt, said = await told(caught(*calls), MCPTools(server), sandbox=sandbox)
    for line in (
        "add(a: int, b: int = 1) -> int",
        "Add two numbers. The second is one if it is left out.",
        "buy(order: {'id': int, 'colour': Literal['red', 'blue']}, note: str | None = None)",
        "get_weather(city: str) -> str",
        "contracts_peek() -> str",
    ):
        assert line in prompt
    for line in (
        "3",
        "5",
        "{'id': 1, 'colour': 'red', 'note': None}",
        "rain in Ulm",
        "['a dot', {'type': 'image', 'mime_type': 'image/png', 'data': 'aGVsbG8='}]",
        "only words",
        "peeked",
        TEXT[:12],
    ):
        assert line in said.splitlines(), said


async def test_errors_of_a_server_are_errors_of_the_cell(server: Any) -> None:
    calls = ("buy({'id': 1, 'colour': 'green'})", "buy({'id': 'x'})", "fails('no luck')", "fails()")
    _, said = await told(caught(*calls), MCPTools(server), sandbox="jail")
    assert "TypeError $.order.colour: 'green' is not one of ['red', 'blue']" in said
    assert "TypeError $.order.id" in said
    assert "RuntimeError Error executing tool fails" in said
    assert "TypeError fails(why: str)" in said


async def test_a_call_that_hangs_is_ended_and_the_server_goes_on(server: Any) -> None:
    started = MCPTools(server)
    _, said = await told(caught("hangs()", "add(1)"), started, limits=Limits(tool_timeout_s=2), sandbox="jail")
    assert "TimeoutError hangs took longer than 2 s" in said
    assert "\n2" in said


async def test_a_server_that_dies_is_an_error_with_what_it_said_and_the_run_goes_on() -> None:
    _, said = await told(caught("dies()", "add(1)"), MCPTools(REAL, name="files"), sandbox="jail")
    assert said.count("ConnectionError the MCP server files is gone") == 2
    assert "it wrote: the disk is full" in said
    assert "go on without them" in said
    assert not children()


async def test_keys_of_a_server_reach_neither_model_nor_record() -> None:
    store = MemoryStore()
    model = ScriptedModel([repl(caught("tells()", "fails('no')")), "FINAL(ok)"])
    tools = MCPTools(stdio(), env={"API_KEY": KEY, "NAME": "files"})
    answer = await RLM(model, tools=[tools], store=store).aask("?", TEXT)
    assert "the key is [secret]" in model.requests[1][-1].content
    assert KEY not in repr(model.requests) + repr(await store.read(answer.run_id)) + repr(tools)


async def test_tools_of_one_name_get_the_names_of_their_servers(address: str) -> None:
    def get_weather(city: str) -> str:
        """Return my own."""
        return "sun"

    local = MCPTools(stdio(), name="local files", only=["add", "get-weather"])
    other = MCPTools(address, only=["add", "plain"])
    _, said = await told(
        caught("local_files_add(1)", "contracts_add(2)", "plain()", "get_weather('x')", "local_files_get_weather('y')"),
        local, other, get_weather,
    )  # fmt: skip
    lines = said.splitlines()
    assert {"2", "3", "only words", "sun", "rain in y"} <= set(lines)


async def test_two_servers_of_one_name_are_an_error_that_says_what_to_do(address: str) -> None:
    tools = [MCPTools(address), MCPTools(address)]
    with pytest.raises(ConfigError, match="give the server another name="):
        await RLM(ScriptedModel([]), tools=tools).aask("?", TEXT)


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        (lambda: MCPTools(["no-such-command"]), "the MCP server no-such-command cannot be reached"),
        (lambda: MCPTools([sys.executable, "-c", "raise SystemExit('no licence')"]), "no licence"),
        (lambda: MCPTools("http://127.0.0.1:9/mcp"), "the MCP server 127.0.0.1 cannot be reached"),
        (lambda: MCPTools(stdio(), only=["subtract"]), "has no tool 'subtract'; there are add, buy"),
        (lambda: MCPTools([sys.executable, "-c", "input()\ninput()\ninput()"], start_timeout_s=1), "within 1 s"),
        (lambda: MCPTools(""), "an address"),
        (lambda: MCPTools("http://127.0.0.1/mcp", env={}), "env= goes with a command"),
        (lambda: MCPTools(stdio(), headers={}), "headers= goes with an address"),
    ],
)
async def test_a_server_that_is_not_there_is_one_clear_error(tools: Any, says: str) -> None:
    model = ScriptedModel([])
    if says.startswith("an address") or "goes with" in says:
        with pytest.raises(ConfigError, match=says):
            tools()
        return
    with pytest.raises(ConfigError) as raised:
        await RLM(model, tools=[tools()]).aask("?", TEXT)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not model.requests
    assert not children()


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlmbox.mcp.tools.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"rlmbox\[mcp\]"):
        RLM(ScriptedModel([]), tools=[MCPTools(stdio())]).ask("?", TEXT)


def test_a_session_has_one_server_which_ends_with_it() -> None:
    model = ScriptedModel([repl("FINAL(add(1))"), repl("FINAL(add(2))")])
    with RLM(model, tools=[MCPTools(REAL)]).session(TEXT) as session:
        assert session.ask("first?").value == 2
        first = children()
        assert session.ask("second?").value == 3
        assert children() == first
        assert len(first) == 1
    assert not children()


async def test_children_share_the_server_and_depths_hold() -> None:
    root = ScriptedModel([repl("FINAL([rlm_query('child?'), len(globals_of())])")], name="root")
    sub = ScriptedModel([repl("FINAL(add(20))")], name="sub")
    tools = MCPTools(REAL, depths={1})

    def globals_of() -> list[int]:
        """Return the servers."""
        return [0 for _ in children()]

    answer = await RLM(root, sub_model=sub, tools=[tools, globals_of]).aask("?", TEXT)
    assert answer.value == ["21", 1]
    assert "add(a: int" not in root.requests[0][0].content
    assert "add(a: int" in sub.requests[0][0].content


async def test_a_run_that_goes_on_or_is_replayed_does_not_call_again(address: str) -> None:
    store = MemoryStore()
    tools = [MCPTools(address)]
    script: list[Any] = [repl("a = add(1)"), ModelError("away", status=401)]
    with pytest.raises(ModelError):
        await RLM(ScriptedModel(script, name="m"), tools=tools, store=store).aask("?", TEXT, run_id="r")
    calls = [event for event in await store.read("r") if event.kind == "host_call_started"]
    assert len(calls) == 1
    again = RLM(ScriptedModel([repl("FINAL(a + add(2))")], name="m"), tools=tools, store=store)
    assert (await again.aresume("r")).value == 5
    calls = [event for event in await store.read("r") if event.kind == "host_call_started"]
    assert len(calls) == 2
    assert (await RLM(ScriptedModel([], name="m"), store=store).areplay("r")).value == 5


async def test_a_run_that_goes_on_needs_its_server(address: str) -> None:
    store = MemoryStore()
    script: list[Any] = [repl("a = add(1)"), ModelError("away", status=401)]
    with pytest.raises(ModelError):
        await RLM(ScriptedModel(script, name="m"), tools=[MCPTools(address)], store=store).aask("?", TEXT, run_id="r")
    with pytest.raises(ConfigError, match="tools of an MCP server"):
        await RLM(ScriptedModel([], name="m"), store=store).aresume("r")
    other = RLM(ScriptedModel([], name="m"), tools=[MCPTools(address, only=["plain"])], store=store)
    with pytest.raises(ConfigError, match="the run has the tools add"):
        await other.aresume("r")


async def test_what_the_guard_hides_does_not_reach_a_server(address: str) -> None:
    _, said = await told("print(get_weather('mail ada@example.com'))", MCPTools(address), guard="redact")
    assert "rain in mail" in said
    store = MemoryStore()
    model = ScriptedModel([repl("FINAL(fails('ada@example.com'))"), "FINAL(ok)"])
    await RLM(model, tools=[MCPTools(address)], guard="redact", store=store).aask("?", TEXT)


async def test_a_call_is_a_span(address: str) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    await told("add(1)", MCPTools(address), telemetry=Telemetry(tracer_provider=provider))
    assert [span.name for span in exporter.get_finished_spans()].count("execute_tool add") == 1


async def test_a_run_that_is_cancelled_leaves_no_server() -> None:
    model = ScriptedModel([repl("hangs()")])
    began = time.monotonic()
    with anyio.CancelScope() as scope:

        def cancel_soon(event: Event) -> None:
            if event.kind == "host_call_started":
                scope.deadline = anyio.current_time() + 0.5  # the server has the call by then

        rlm = RLM(model, tools=[MCPTools(REAL)], limits=Limits(tool_timeout_s=600), hooks=[cancel_soon])
        await rlm.aask("?", TEXT)
    assert scope.cancelled_caught
    assert time.monotonic() - began < 60
    assert not children()
