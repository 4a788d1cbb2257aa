"""Serving over standard input and output, or over HTTP on a port."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from rlmbox.errors import ConfigError
from rlmbox.tool.mcp.operations import Operations
from rlmbox.tool.mcp.server import closing

PATH = "/mcp"
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_STOP_S = 3


async def serve_stdio(server: MCPServer[Any], operations: Operations) -> None:
    """Serve one client over standard input and output, until it disconnects."""
    async with closing(operations):
        await server.run_stdio_async()


async def serve_http(
    server: MCPServer[Any],
    operations: Operations,
    *,
    host: str,
    port: int,
    token: str | None,
    origins: Sequence[str],
    listening: Callable[[str], None],
) -> None:
    """Serve clients over streamable HTTP, until the process is stopped.

    Args:
        server: The server.
        operations: Its operations.
        host: The address to listen on.
        port: The port; 0 for any free one.
        token: The bearer token that clients have to send; None only for loopback.
        origins: Web origins (scheme and host) that may connect besides the server's own.
        listening: Called with the server's address once it listens.

    Raises:
        ConfigError: The address is not available, or is reachable by others and no token is set.
    """
    import uvicorn

    is_local = is_loopback(host)
    if token is None and not is_local:
        raise ConfigError(
            f"others can reach {host}: set a token that clients have to send, with --token or RLM_MCP_TOKEN"
        )
    with _listener(host, port) as listener:
        port = listener.getsockname()[1]
        app = server.streamable_http_app(
            streamable_http_path=PATH,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # `Gate` is stricter
            host=host,
        )
        gate = Gate(app, token=token, origins=origins, port=port, is_local=is_local)
        config = uvicorn.Config(gate, log_level="warning", lifespan="on", timeout_graceful_shutdown=_STOP_S)
        listening(f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}")
        async with closing(operations):
            await uvicorn.Server(config).serve(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --port") from error


class Gate:
    """ASGI middleware that rejects requests without the token or from other web pages.

    A web page in a browser can send requests to any address, including this machine's; the browser then names the page
    in `Origin`. A host name that a page has rebound to this machine's address shows in `Host`.

    Args:
        app: The application.
        token: The token that clients have to send; None for none.
        origins: Web origins that may connect.
        port: The server's port.
        is_local: Whether it is reachable only from this machine, which limits `Host` to a few names.
    """

    def __init__(self, app: _App, *, token: str | None, origins: Sequence[str], port: int, is_local: bool) -> None:
        self._app, self._token, self._is_local = app, token, is_local
        names = ("localhost", "127.0.0.1", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
        self._origins = {f"http://{host}" for host in self._hosts} | {origin.rstrip("/") for origin in origins}

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Reject a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(_headers(scope))
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, reason = refused
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reason.encode()})

    def _refused(self, headers: Mapping[str, list[str]]) -> tuple[int, str] | None:
        hosts, origins, given = headers.get("host", []), headers.get("origin", []), headers.get("authorization", [])
        if self._is_local and (len(hosts) != 1 or hosts[0].lower() not in self._hosts):
            return 421, "this server is called localhost or 127.0.0.1\n"
        if any(origin.lower() not in self._origins for origin in origins):
            return 403, "web pages of this origin may not connect; allow it with --origin\n"
        if self._token is not None and not (len(given) == 1 and self._is_token(given[0])):
            return 401, "send the server's token: Authorization: Bearer TOKEN\n"
        return None

    def _is_token(self, given: str) -> bool:
        scheme, _, token = given.partition(" ")
        wanted = (self._token or "").encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted)


def _headers(scope: _Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
