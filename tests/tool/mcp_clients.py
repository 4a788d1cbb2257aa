"""The official MCP client, connected to a running `rlmbox mcp` over either transport."""

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from preloaded import rlmbox_command

TOKEN = "a-token-of-the-tests"


@contextmanager
def http_server(*arguments: str, token: str | None = TOKEN, **environment: str) -> Iterator[tuple[str, Any]]:
    """Run the server over HTTP; give its address and its process."""
    env = {**os.environ, **environment, **({"RLM_MCP_TOKEN": token} if token else {})}
    command = [*rlmbox_command(), "mcp", "--http", "--port", "0", "--no-record", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)
    try:
        assert process.stderr
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                yield found[1], process
                break
        else:
            raise AssertionError("the server did not start")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def http_client(token: str | None = TOKEN, **headers: str) -> httpx2.AsyncClient:
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(headers={**given, **headers}, timeout=60)


@asynccontextmanager
async def connected(
    transport: str, arguments: Sequence[str] = (), environment: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    """Connect a client to a new server."""
    environment = environment or {}
    if transport == "http":
        with http_server(*arguments, **environment) as (address, _):
            async with http_client() as http, Client(streamable_http_client(address, http_client=http)) as client:
                yield client
        return
    command = [*rlmbox_command(), "mcp", "--no-record", *arguments]
    # The SDK's own server parameters pass on only a few variables.
    env = {**os.environ, **environment}
    async with Client(StdioServerParameters(command=command[0], args=command[1:], env=env)) as client:
        yield client


async def called(client: Client, name: str, **arguments: object) -> Any:
    """Call a tool that has to succeed; return its structured result."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    content = result.structured_content
    return content["result"] if isinstance(content, dict) and set(content) == {"result"} else content


async def refused(client: Client, name: str, **arguments: object) -> str:
    """Call a tool that has to fail; return what the client is told."""
    result = await client.call_tool(name, arguments)
    assert result.is_error, result.content
    return str(result.content[0].text)


async def resource(client: Client, uri: str) -> Any:
    """Read a resource that is JSON."""
    return json.loads((await client.read_resource(uri)).contents[0].text)
