"""What `rlmbox mcp` returns to an agent passes the guard, where the operator wants it, by every tool."""

import json
from pathlib import Path

import pytest

from tool.mcp_clients import called, connected, refused, resource

KEY = "AKIA" + "Z7Q2M4X9L3VB8T5N"
TEXT = f"The penalty is 5 percent.\nThe key of the store is {KEY}.\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text(TEXT)
    return tmp_path


async def results(root: Path, *options: str) -> dict[str, str]:
    """What the agent is given by each tool and resource."""
    found = {}
    async with connected("stdio", ["--root", str(root), *options]) as client:
        opened = await called(client, "open_context", path="notes.txt")
        handle, found["open_context"] = opened["handle"], json.dumps(opened)
        found["search"] = json.dumps(await called(client, "search", handle=handle, pattern="key of"))
        found["search for it"] = json.dumps(
            await called(client, "search", handle=handle, pattern="[A-Z0-9]{20}", regex=True)
        )
        found["read"] = json.dumps(await called(client, "read", handle=handle))
        found["rank"] = json.dumps(await called(client, "rank", handle=handle, query="key of the store"))
        found["exec"] = json.dumps(await called(client, "exec", handle=handle, code="print(context)\ncontext"))
        found["exec that fails"] = json.dumps(
            await called(client, "exec", handle=handle, code="raise ValueError(context)")
        )
        found["ask"] = json.dumps(await called(client, "ask", handle=handle, question="What is the key of the store?"))
        found["python"] = json.dumps(await called(client, "python", code=f"print({KEY!r})"))
        found["an error"] = await refused(client, "read", handle=KEY)
        in_keys = "{'handle': context[-22:-2], context[-22:-2]: 1}"
        found["a value"] = json.dumps(await called(client, "exec", handle=handle, code=in_keys))
        found["a context"] = json.dumps(await resource(client, f"rlmbox://contexts/{handle}"))
        runs = await resource(client, "rlmbox://runs")
        found["runs"] = json.dumps(runs)
        found["a run"] = json.dumps(await resource(client, f"rlmbox://runs/{runs[0]['run']}"))
    return found


async def test_a_key_reaches_the_agent_by_no_tool(root: Path) -> None:
    found = await results(root, "--guard", "redact")
    assert [name for name, text in found.items() if KEY in text] == []
    assert "REDACTED" in found["read"]
    assert "The penalty is 5 percent." in found["read"]


async def test_without_the_guard_the_agent_reads_the_text_as_it_is(root: Path) -> None:
    found = await results(root)
    assert KEY in found["read"]
    assert KEY in found["exec"]
