"""`MCPTools`: the tools of an MCP server, over stdio or streamable HTTP, as tools of a run.

The SDK's client has to be opened and closed by the same task, while a session's methods run in many: a task of the
connection itself holds the client open, from the start of the run to its end.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import parse_qsl, urlsplit

from anyio import to_thread

from rlmbox.errors import ConfigError
from rlmbox.guard import secrets_of_environment
from rlmbox.loop.tool_secrets import SecretValues
from rlmbox.loop.tools import Tool
from rlmbox.mcp.results import value_of
from rlmbox.mcp.schemas import ToolParameters, identifier

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool as ServerTool

_CLOSING_S = 15.0  # more than the SDK takes to end a server that resists
_DESCRIPTION_CHARS = 1_000
_STDERR_CHARS = 300
_MOST_PAGES = 100
_KEY_HEADERS = ("auth", "key", "token", "secret", "cookie", "password")


class MCPTools:
    """The tools of an MCP server; each run opens a connection, and closes it with its session.

    Args:
        server: URL of a server (`https://…/mcp`), or the command that starts one on this machine, as a list or a
            string.
        name: A name for the server, in messages and as a prefix of its tools; None for the server's own.
        prefix: Whether to prefix the names of its tools; None to do so only for names that would clash.
        only: Names of the tools to use; None for all.
        env: Environment variables of a command, besides the few that it inherits (`PATH`, `HOME` and the like).
        cwd: Working directory of a command.
        headers: HTTP headers for a URL, such as `Authorization`.
        timeout_s: Timeout of a call, in seconds; None for `Limits.tool_timeout_s`.
        start_timeout_s: Timeout of the connection, in seconds.
        depths: Depths of the sessions that have the tools, 0 for the root; None for all.
        pure: Names of the tools that only compute; see `Tool`.
        idempotent: Names of the tools that may be called again; see `Tool`.

    Raises:
        ConfigError: The server is neither a URL nor a command, or an option does not apply to it.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        name: str | None = None,
        prefix: bool | None = None,
        only: Collection[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        start_timeout_s: float = 30.0,
        depths: Collection[int] | None = None,
        pure: Collection[str] = (),
        idempotent: Collection[str] = (),
    ) -> None:
        self.url = server if isinstance(server, str) and server.startswith(("http://", "https://")) else None
        words = shlex.split(server) if isinstance(server, str) else [str(word) for word in server]
        self.command = () if self.url else tuple(words)
        if not (self.url or self.command):
            raise ConfigError(
                "an MCP server is an address (https://…/mcp) or a command, such as ['python', 'server.py']"
            )
        for option, value, goes in (
            ("env", env, not self.url),
            ("cwd", cwd, not self.url),
            ("headers", headers, self.url),
        ):
            if value is not None and not goes:
                raise ConfigError(f"{option}= goes with {'a command' if self.url else 'an address'}")
        self.name, self.prefix = name, prefix
        self.only = None if only is None else frozenset(only)
        self.env, self.cwd, self.headers = dict(env or {}), cwd, dict(headers or {})
        self.timeout_s, self.start_timeout_s = timeout_s, start_timeout_s
        self.depths, self.pure, self.idempotent = depths, frozenset(pure), frozenset(idempotent)

    def __repr__(self) -> str:
        return f"<MCPTools {self.label}>"

    @property
    def label(self) -> str:
        """The server's name in messages: the given one, or its host or command."""
        if self.name:
            return self.name
        return (urlsplit(self.url).hostname or "server") if self.url else Path(self.command[0]).name

    @cached_property
    def secrets(self) -> SecretValues:
        """The values that must not leave: keys in the headers, the URL and the command's environment."""
        found = list(secrets_of_environment(self.env))
        for name, value in self.headers.items():
            if any(word in name.lower() for word in _KEY_HEADERS):
                found += [value, value.partition(" ")[2]]
        if self.url:
            parts = urlsplit(self.url)
            found += [parts.password or "", *(value for _, value in parse_qsl(parts.query) if len(value) >= 8)]
        return SecretValues(found)

    def connection(self) -> MCPConnection:
        """Return a connection for one run, not yet open.

        Raises:
            ConfigError: The SDK is not installed.
        """
        if find_spec("mcp") is None:
            raise ConfigError("MCPTools needs the MCP SDK; install it: pip install 'rlmbox[mcp]'")
        return MCPConnection(self)


class MCPConnection:
    """A connection to a server, for one run.

    Args:
        given: The user's settings.
    """

    def __init__(self, given: MCPTools) -> None:
        self.given = given
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[tuple[str, list[ServerTool]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._stderr: TextIO | None = None

    async def open(self) -> list[MCPTool]:
        """Connect, and list the server's tools.

        Raises:
            ConfigError: There is no such server, it is not an MCP server, or it lacks a tool.
        """
        self._ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(self._ready))
        await asyncio.wait([self._ready], timeout=self.given.start_timeout_s)
        if not self._ready.done():
            said = self._stderr_tail()
            await self.aclose()
            raise ConfigError(
                f"the MCP server {self.given.label} did not answer within {self.given.start_timeout_s:g} s"
                f"{said}; see whether it runs, or allow more with start_timeout_s="
            )
        try:
            own_name, listed = self._ready.result()
        except Exception as error:  # noqa: BLE001 - any failure becomes one line for the user
            reason = f"{self._line(error)}{self._stderr_tail()}"
            await self.aclose()
            raise ConfigError(
                f"the MCP server {self.given.label} cannot be reached: {reason}; "
                f"see whether {'it runs and the address is right' if self.given.url else 'the command is right'}"
            ) from None
        only = self.given.only
        lacking = sorted((only or set()) - {tool.name for tool in listed})
        if lacking:
            there = ", ".join(sorted(tool.name for tool in listed)) or "none"
            raise ConfigError(f"the MCP server {self.given.label} has no tool {lacking[0]!r}; there are {there}")
        prefix = identifier(self.given.name or own_name or self.given.label)
        return [MCPTool(self, tool, prefix) for tool in listed if only is None or tool.name in only]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool of the server.

        Args:
            tool: Its name.
            arguments: Its arguments.

        Returns:
            The result, as the SDK returns it.

        Raises:
            ConnectionError: The server is gone, or violates the protocol.
            RuntimeError: It refused the call.
        """
        from mcp import MCPError

        client = self._client
        if client is None or self._task is None or self._task.done():
            raise ConnectionError(self._gone("it has ended"))
        try:
            return await client.call_tool(tool, arguments)
        except MCPError as error:
            if await self._has_ended():
                raise ConnectionError(self._gone(self._line(error))) from None
            raise RuntimeError(self._line(error)) from None
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - any failure is raised in the cell
            raise ConnectionError(self._gone(self._line(error))) from None

    async def aclose(self) -> None:
        """Close the connection, and end a server that was started by command."""
        self._stop.set()
        if self._task is not None:
            if self._ready is not None and not self._ready.done():
                self._task.cancel()  # still connecting, and may never finish
            done, _ = await asyncio.wait([self._task], timeout=_CLOSING_S)
            if not done:
                self._task.cancel()
                await asyncio.wait([self._task])
        if self._stderr is not None:
            self._stderr.close()

    async def _hold(self, ready: asyncio.Future[tuple[str, list[ServerTool]]]) -> None:
        """Hold the client open until the run ends."""
        try:
            await to_thread.run_sync(import_module, "mcp")  # takes a second, so not on the loop
            async with AsyncExitStack() as stack:
                client = self._client = await self._connected(stack)
                listed = await _listed(client)
                own = client.server_info
                if not ready.done():
                    ready.set_result((own.name if own is not None else "", listed))
                await self._stop.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - reported to the waiting caller, or by the next call
            if not ready.done():
                ready.set_exception(_first(error))
        finally:
            self._client = None
            if not ready.done():
                ready.cancel()

    async def _connected(self, stack: AsyncExitStack) -> Client:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        given = self.given
        if given.url:
            return await stack.enter_async_context(await _over_http(stack, given.url, given.headers))
        self._stderr = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by `aclose`
        command, *arguments = given.command
        parameters = StdioServerParameters(command=command, args=arguments, env=given.env, cwd=given.cwd)
        return await stack.enter_async_context(Client(stdio_client(parameters, errlog=self._stderr)))

    async def _has_ended(self) -> bool:
        """Return True if the connection is gone, rather than only one call having failed."""
        if self._client is None:
            return True
        try:
            async with asyncio.timeout(2):
                await self._client.session.list_tools()
        except Exception:  # noqa: BLE001 - in any case the server does not answer
            return True
        return False

    def _gone(self, reason: str) -> str:
        return (
            f"the MCP server {self.given.label} is gone ({reason}{self._stderr_tail()}); its tools cannot be called "
            "any more in this run, so go on without them"
        )

    def _stderr_tail(self) -> str:
        """Return the last line that a command wrote to standard error."""
        if self._stderr is None or self._stderr.closed:
            return ""
        self._stderr.seek(0)
        lines = [line for line in self._stderr.read().splitlines() if line.strip()]
        return f"; it wrote: {self.given.secrets.hidden_in(lines[-1].strip()[:_STDERR_CHARS])}" if lines else ""

    def _line(self, error: BaseException) -> str:
        said = " ".join(str(_first(error)).split())[:_STDERR_CHARS] or type(_first(error)).__name__
        return self.given.secrets.hidden_in(said)


@dataclass(frozen=True)
class _Call:
    """A tool of a server as an async function."""

    connection: MCPConnection
    tool: str
    parameters: ToolParameters

    async def __call__(self, **arguments: Any) -> Any:
        result = await self.connection.call(self.tool, self.parameters.arguments(arguments))
        return value_of(result, is_wrapped=self.parameters.is_wrapped)


class MCPTool:
    """A tool of a server, whose name is not decided yet.

    Args:
        connection: The connection.
        tool: The tool, as the server lists it.
        prefix: The server's name as an identifier.
    """

    def __init__(self, connection: MCPConnection, tool: ServerTool, prefix: str) -> None:
        self._connection, self._tool, self._prefix = connection, tool, prefix

    @property
    def name(self) -> str:
        """Its name in the REPL, unless that clashes."""
        return self.prefixed_name if self._connection.given.prefix else identifier(self._tool.name)

    @property
    def prefixed_name(self) -> str:
        """Its name with the server's as prefix; unchanged if the user wants no prefix."""
        own = identifier(self._tool.name)
        return own if self._connection.given.prefix is False else f"{self._prefix}_{own}"

    def named(self, name: str) -> Tool:
        """Return a `Tool` of the given name.

        Args:
            name: The name.
        """
        given = self._connection.given
        parameters = ToolParameters(self._tool.input_schema, self._tool.output_schema)
        said = " ".join((self._tool.description or self._tool.title or "a tool of an MCP server").split())
        said = said[:_DESCRIPTION_CHARS].rstrip() + (" …" if len(said) > _DESCRIPTION_CHARS else "")
        if parameters.others:
            said += f" (with **{{…}} also: {', '.join(parameters.others)})"
        return _Server(
            _Call(self._connection, self._tool.name, parameters),
            name=name,
            timeout_s=given.timeout_s,
            depths=given.depths,
            pure=self._tool.name in given.pure,
            idempotent=self._tool.name in given.idempotent,
            secrets=MappingProxyType({}),
            signature=parameters.signature,
            said=said,
            hidden=given.secrets,
        )


@dataclass(frozen=True)
class _Server(Tool):
    """A tool whose signature and description are the server's.

    Attributes:
        signature: The signature for calls from code.
        said: Its description.
        hidden: Values that must not leave.
    """

    signature: Any = None
    said: str = ""
    hidden: SecretValues = field(default_factory=lambda: SecretValues(()))

    @cached_property
    def _shown(self) -> Any:
        return self.signature

    @cached_property
    def _checked(self) -> Callable[..., Any]:
        return self.function

    @cached_property
    def _summary(self) -> str:
        return self.said

    @cached_property
    def _hidden(self) -> SecretValues:
        return self.hidden


async def _over_http(stack: AsyncExitStack, url: str, headers: Mapping[str, str]) -> Client:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(30.0, read=300.0)
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(headers), timeout=timeout))
    return Client(streamable_http_client(url, http_client=http))


async def _listed(client: Client) -> list[ServerTool]:
    found: list[ServerTool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _first(error: BaseException) -> BaseException:
    """Unwrap the exception inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
