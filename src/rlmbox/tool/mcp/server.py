"""The MCP server: the operations as tools, contexts and runs as resources.

The SDK hides the message of ordinary exceptions from clients, so messages meant for an agent are raised as `ToolError`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar, cast

from mcp.server.mcpserver import Context as Request
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from rlmbox import __version__
from rlmbox.errors import RLMError
from rlmbox.tool import schema
from rlmbox.tool.mcp.operations import Operations, told

_Result = TypeVar("_Result")

_INSTRUCTIONS = """\
rlmbox gives you text far larger than your window, and a sandboxed Python.
Open a file, a folder or a text with open_context; it returns a handle. Then search and rank find places, read shows
them, and exec runs Python in which the whole text is `context` and `ctx` has search, lines, get_document and more;
variables persist. Print summaries, not the text. {asking}
python is a bare interpreter without a text. close a handle when you are done."""
_WITH_MODEL = "ask lets another model answer a question about all of it, and code in exec may call llm_query(prompt)."
_WITHOUT = "No model is configured, so you do the thinking: ask only quotes sentences."

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

Handle = Annotated[str, Field(description="The handle that open_context returned.")]
CostLimit = Annotated[
    float | None, Field(description="US dollars that this call may cost; never more than the server allows.")
]
_SESSION = {
    "type": "string",
    "description": "A name for variables of their own. Default: those of all calls without one.",
}


def make_server(operations: Operations) -> MCPServer[Any]:
    """Create the server for some operations, which are closed when it ends.

    Args:
        operations: The operations.
    """
    asking = _WITH_MODEL if operations.has_model else _WITHOUT
    server: MCPServer[Any] = MCPServer(
        "rlmbox",
        version=__version__,
        instructions=_INSTRUCTIONS.format(asking=asking),
        log_level="WARNING",
    )
    _add_reading(server, operations)
    _add_running(server, operations)
    _add_resources(server, operations)
    return server


@asynccontextmanager
async def closing(operations: Operations) -> AsyncIterator[None]:
    """Close the operations at the end."""
    try:
        yield
    finally:
        await operations.aclose()


async def _result(operations: Operations, work: Awaitable[_Result]) -> _Result:
    """Await an operation and return its result as filtered for the agent.

    An error is raised for the client with its reason and remedy.
    """
    try:
        return cast("_Result", operations.shown(await work))
    except RLMError as error:
        raise ToolError(operations.shown(told(error))) from error
    except BaseExceptionGroup as group:
        errors = group.subgroup(RLMError)
        if errors is None:
            raise
        raise ToolError(operations.shown(told(_first(errors)))) from group


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: Any = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _add_reading(server: MCPServer[Any], operations: Operations) -> None:
    @server.tool(annotations=_WRITES)
    async def open_context(
        path: Annotated[str | None, Field(description="A file or folder below one of the server's roots.")] = None,
        text: Annotated[str | None, Field(description="A text, in place of a path.")] = None,
    ) -> dict[str, Any]:
        """Open a file, a folder (as a collection of documents) or a text, of any size, and return its handle."""
        return await _result(operations, operations.open_context(path, text))

    @server.tool(annotations=_READS)
    async def search(
        handle: Handle,
        pattern: Annotated[str, Field(description="What to find.")],
        regex: Annotated[bool, Field(description="Whether it is a regular expression (RE2's syntax).")] = False,
        case_sensitive: bool = True,
        max_matches: Annotated[int, Field(description="Most hits to return.")] = 20,
    ) -> list[dict[str, Any]]:
        """Find a text or regular expression: hits with start, end, match, snippet, document, position in it, line."""
        found = operations.search(handle, pattern, regex=regex, case_sensitive=case_sensitive, max_matches=max_matches)
        return await _result(operations, found)

    @server.tool(annotations=_READS)
    async def read(
        handle: Handle,
        start: Annotated[int, Field(description="The first character, from 0.")] = 0,
        max_chars: Annotated[int, Field(description="Most characters to return.")] = 10_000,
        document: Annotated[
            str | None, Field(description="A document's name, within which start counts. Default: the whole text.")
        ] = None,
    ) -> dict[str, Any]:
        """Read a part of the text; next_start is where to read on, null at the end."""
        return await _result(operations, operations.read(handle, document=document, start=start, max_chars=max_chars))

    @server.tool(annotations=_READS)
    async def rank(
        handle: Handle,
        query: Annotated[str, Field(description="Words that the passages should be about.")],
        k: Annotated[int, Field(description="How many passages.")] = 5,
    ) -> list[dict[str, Any]]:
        """Find the passages that fit some words best (BM25): start, end, score, document, snippet."""
        return await _result(operations, operations.rank(handle, query, k))

    @server.tool(annotations=_WRITES)
    async def close(handle: Handle) -> str:
        """Close a context and end its interpreter."""
        await _result(operations, operations.contexts.close(handle))
        return f"{handle} is closed"


def _add_running(server: MCPServer[Any], operations: Operations) -> None:
    @server.tool(name="exec", annotations=_WRITES)
    async def exec_(
        handle: Handle,
        code: Annotated[str, Field(description="Python; the text is `context`, and `ctx` searches it.")],
        timeout: Annotated[
            float | None, Field(description="Maximum execution time in seconds, sub-calls included. Default: 30")
        ] = None,
        cost_limit_usd: CostLimit = None,
    ) -> dict[str, Any]:
        """Run Python over a context, in a sandbox. Variables persist from call to call; print what you want to see."""
        return await _result(operations, operations.exec(handle, code, timeout, cost_limit_usd))

    @server.tool(annotations=_WRITES)
    async def ask(
        handle: Handle,
        question: Annotated[str, Field(description="What you want to know of the text.")],
        request: Request[Any, Any],
        cost_limit_usd: CostLimit = None,
    ) -> dict[str, Any]:
        """Ask a question of the whole text, which a model reads through code; returns the answer, sources and cost."""

        async def report(steps: float, message: str) -> None:
            await request.report_progress(steps, None, message)

        return await _result(operations, operations.ask(handle, question, cost_limit_usd, report))

    @server.tool(name=schema.NAME, description=schema.DESCRIPTION, annotations=_WRITES)
    async def python(code: Any = None, timeout: Any = None, session: Any = None) -> dict[str, Any]:
        arguments = {"code": code} if timeout is None else {"code": code, "timeout": timeout}
        result = await _result(operations, operations.python(arguments, session))
        return cast("dict[str, Any]", operations.shown(result.as_dict()))

    # The model sees the tool's own definition; the function accepts anything, to validate the arguments itself.
    definition = schema.schema()["parameters"]
    tool = server._tool_manager.get_tool(schema.NAME)  # noqa: SLF001 - there is no other way to a tool's schema
    if tool is not None:
        tool.parameters = {**definition, "properties": {**definition["properties"], "session": _SESSION}}


def _add_resources(server: MCPServer[Any], operations: Operations) -> None:
    @server.resource("rlmbox://contexts", mime_type="application/json")
    def contexts() -> str:
        """The contexts that are open: their handles, and what they were opened from."""
        return json.dumps([{"handle": each.handle, "opened_from": each.name} for each in operations.contexts])

    @server.resource("rlmbox://contexts/{handle}", mime_type="application/json")
    def context(handle: str) -> str:
        """An open context: its kind, length, documents and a short preview."""
        try:
            return json.dumps(operations.shown(operations.contexts.get(handle).described()), default=str)
        except RLMError as error:
            raise ResourceNotFoundError(str(error)) from error

    @server.resource("rlmbox://runs", mime_type="application/json")
    def runs() -> str:
        """The questions that this server has answered, each with the name of its run."""
        return json.dumps([{"run": run, "question": operations.shown(asked)} for run, asked in operations.runs.items()])

    @server.resource("rlmbox://runs/{run_id}", mime_type="application/json")
    async def run(run_id: str) -> str:
        """A finished run: question, answer, cost, and the tree of what it did."""
        try:
            return json.dumps(operations.shown(await operations.run(run_id)))
        except RLMError as error:
            raise ResourceNotFoundError(str(error)) from error


__all__ = ["closing", "make_server"]
