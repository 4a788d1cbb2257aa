"""`rlmbox mcp` as the official client sees it, over both transports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from rlmbox import PythonTool
from tool.mcp_clients import called, connected, refused, resource

TOOLS = {"open_context", "search", "read", "rank", "exec", "ask", "close", "python"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "alpha.txt").write_text("The alpha report.\n" + "filler line\n" * 2000 + "The penalty is 5 percent.\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "beta.md").write_text("# Beta\n\nBeta is about elephants.\n")
    return folder


@pytest.fixture(scope="module", params=["stdio", "http"])
async def client(request: pytest.FixtureRequest, root: Path) -> AsyncIterator[Client]:
    async with connected(request.param, ["--root", str(root)]) as opened:
        yield opened


async def test_the_tools_are_there_each_with_its_description(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == TOOLS
    assert all(tool.description for tool in tools.values())
    assert "open_context" in str(client.instructions)


async def test_python_is_the_tool_to_the_letter(client: Client) -> None:
    tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "python")
    plain = PythonTool.schema("mcp")
    assert tool.description == plain["description"]
    assert tool.input_schema["required"] == plain["inputSchema"]["required"]
    shared = {name: tool.input_schema["properties"][name] for name in ("code", "timeout")}
    assert shared == plain["inputSchema"]["properties"]


async def test_python_keeps_its_variables_by_session(client: Client) -> None:
    await called(client, "python", code="x = 1")
    await called(client, "python", code="x = 2", session="other")
    assert (await called(client, "python", code="print(x)"))["stdout"] == "1\n"
    assert (await called(client, "python", code="print(x)", session="other"))["stdout"] == "2\n"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"code": 5}, {"code": "1", "timeout": -1}, {"code": "1", "timeout": "x"}, {"code": "1", "session": 1}],
)
async def test_python_answers_bad_arguments_with_a_result(client: Client, arguments: dict[str, object]) -> None:
    result = await called(client, "python", **arguments)
    assert result["success"] is False
    assert result["exception"]


async def test_a_folder_is_opened_searched_read_and_ranked(client: Client) -> None:
    opened = await called(client, "open_context", path=".")
    handle = opened["handle"]
    assert opened["documents"] == 2
    hits = await called(client, "search", handle=handle, pattern="penalty")
    assert [(hit["document"], hit["line"]) for hit in hits] == [("alpha.txt", 2002)]
    assert await called(client, "search", handle=handle, pattern=r"ELEPH\w+", regex=True, case_sensitive=False)
    ranked = await called(client, "rank", handle=handle, query="elephants", k=1)
    assert ranked[0]["document"] == "sub/beta.md"
    part = await called(client, "read", handle=handle, document="sub/beta.md", start=2, max_chars=4)
    assert (part["text"], part["start"], part["end"], part["next_start"]) == ("Beta", 2, 6, 6)
    rest = await called(client, "read", handle=handle, document="sub/beta.md", start=6)
    assert (rest["text"], rest["next_start"]) == ("\n\nBeta is about elephants.\n", None)


async def test_a_text_is_opened_and_cells_keep_their_variables(client: Client) -> None:
    handle = (await called(client, "open_context", text="one two two"))["handle"]
    assert (await called(client, "exec", handle=handle, code="n = ctx.count('two')"))["success"]
    assert (await called(client, "exec", handle=handle, code="print(n, len(context))"))["stdout"] == "2 11\n"
    other = (await called(client, "open_context", text="other"))["handle"]
    assert "NameError" in (await called(client, "exec", handle=other, code="n"))["exception"]
    late = await called(client, "exec", handle=handle, code="while True: x = 1", timeout=0.5)
    assert late["timed_out"] is True
    assert (await called(client, "exec", handle=handle, code="print(n)"))["stdout"] == "2\n"


async def test_without_a_model_cells_say_so_and_ask_only_quotes(client: Client) -> None:
    handle = (await called(client, "open_context", path="alpha.txt"))["handle"]
    assert "--model" in (await called(client, "exec", handle=handle, code="llm_query('x')"))["exception"]
    answer = await called(client, "ask", handle=handle, question="What is the penalty?")
    assert "5 percent" in answer["answer"]
    assert "only quotes" in answer["notice"]
    run = await resource(client, answer["run"])
    assert run["question"] == "What is the penalty?"
    assert run["answer"] == answer["answer"]
    assert any(each["question"] == "What is the penalty?" for each in await resource(client, "rlmbox://runs"))


async def test_contexts_are_resources_until_they_are_closed(client: Client) -> None:
    handle = (await called(client, "open_context", text="some text"))["handle"]
    uri = f"rlmbox://contexts/{handle}"
    assert handle in [each["handle"] for each in await resource(client, "rlmbox://contexts")]
    assert (await resource(client, uri))["length"] == 9
    await client.call_tool("close", {"handle": handle})
    assert handle not in [each["handle"] for each in await resource(client, "rlmbox://contexts")]
    with pytest.raises(MCPError, match="there is no open context"):
        await client.read_resource(uri)
    assert "open_context" in await refused(client, "read", handle=handle)
    assert "no open context" in await refused(client, "close", handle=handle)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("open_context", {}, "either path"),
        ("open_context", {"path": ".", "text": "x"}, "either path"),
        ("open_context", {"text": ""}, "no text"),
        ("open_context", {"path": "/etc/passwd"}, "outside of the roots"),
        ("open_context", {"path": "../"}, "outside of the roots"),
        ("open_context", {"path": "missing.txt"}, "does not exist"),
        ("open_context", {"path": ""}, "path"),
        ("open_context", {"path": "a\0b"}, "NUL"),
        ("open_context", {"path": "https://example.org/x"}, "does not exist"),
        ("open_context", {"path": "file:///etc/passwd"}, "does not exist"),
        ("search", {"handle": "ctx-0", "pattern": "x"}, "no open context"),
        ("rank", {"handle": "ctx-0", "query": "x"}, "no open context"),
        ("exec", {"handle": "ctx-0", "code": "1"}, "no open context"),
        ("ask", {"handle": "ctx-0", "question": "x"}, "no open context"),
        ("search", {"pattern": "x"}, "handle"),
    ],
)
async def test_what_is_wrong_is_told_with_its_remedy(
    client: Client, tool: str, arguments: dict[str, object], said: str
) -> None:
    assert said in await refused(client, tool, **arguments)


async def test_arguments_out_of_range_are_told(client: Client) -> None:
    handle = (await called(client, "open_context", path="alpha.txt"))["handle"]
    assert "next_start" in await refused(client, "read", handle=handle, max_chars=10**9)
    assert "not closed" in await refused(client, "search", handle=handle, pattern="(", regex=True)
    assert "beta.md" in await refused(client, "read", handle=handle, document="beta.md")
    assert "question" in await refused(client, "ask", handle=handle, question=" ")
    assert "cost_limit_usd" in await refused(client, "ask", handle=handle, question="x?", cost_limit_usd=-1)
    assert (await called(client, "exec", handle=handle, code="1", timeout=10**9))["success"] is False
