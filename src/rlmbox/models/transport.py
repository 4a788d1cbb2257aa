"""The HTTP client under every provider: one attempt, bounded replies, proxies from the environment.

Imports httpx2 and pydantic-ai, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from pydantic_ai.models import create_async_httpx2_client

MAX_REPLY_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 1000
CONNECT_TIMEOUT_S = 10.0


class ReplyTooLarge(httpx2.TransportError):
    """A reply's body is longer than `MAX_REPLY_BYTES`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that a provider answered with, as it came over the wire.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The body.
    """

    status: int
    headers: httpx2.Headers
    body: bytes


@dataclass(slots=True)
class Exchange:
    """What the transport has seen of one request.

    Attributes:
        sent: Whether it got as far as sending, so that it may have been charged for.
        refused: The error that it was answered with; None where there was none.
    """

    sent: bool = False
    refused: Refused | None = None

    async def trace(self, event: str, _info: object) -> None:
        """Takes an event of the HTTP connection."""
        if event.endswith("send_request_headers.started"):
            self.sent = True


current_call: ContextVar[Exchange] = ContextVar("current_call")
"""The request that the running task is making."""


def open_client(base_url: str, timeout_s: float) -> httpx2.AsyncClient:
    """Makes a client; the caller closes it.

    Args:
        base_url: Where requests will go, which decides the proxy.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100)
    wire = httpx2.AsyncHTTPTransport(limits=limits, proxy=_proxy(base_url))
    timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    return create_async_httpx2_client(timeout=timeout, limits=limits, transport=_WholeReplies(wire))


class _WholeReplies(httpx2.AsyncBaseTransport):
    """Reads each reply to its end, within `MAX_REPLY_BYTES`, and notes what was sent and how it was answered.

    The bound counts decoded bytes: a small compressed body can become any size.
    """

    def __init__(self, wrapped: httpx2.AsyncBaseTransport) -> None:
        self._wrapped = wrapped

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = current_call.get(None) or Exchange()
        request.extensions = {**request.extensions, "trace": call.trace}
        response = await self._wrapped.handle_async_request(request)
        response.request = request
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        if not response.is_success:
            call.refused = Refused(response.status_code, response.headers, body)
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx2.Response(
            response.status_code, headers=headers, content=body, request=request, extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._wrapped.aclose()


async def _read(response: httpx2.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise ReplyTooLarge(f"the reply is longer than {MAX_REPLY_BYTES // (1024 * 1024)} MB")
        parts.append(part)
    return b"".join(parts)


def _proxy(base_url: str) -> str | None:
    # A client that is given a transport no longer reads HTTP_PROXY and its kin by itself.
    url = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(url.netloc.rpartition("@")[2]) else proxy
