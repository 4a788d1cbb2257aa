"""Connections through a proxy, by the HTTP client, which supports all kinds of proxies.

Imports httpx2, so it is itself imported late, by `connections`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx2

from rlmbox.models.http11 import MAX_CONNECTIONS, Headers, HttpReply, Timeouts
from rlmbox.models.templates import WrittenRequest

LANE_CONNECTIONS, MAX_LANES = 4, 40


@dataclass(slots=True)
class _Lane:
    """A small pool of connections, and the number of requests in flight on it."""

    wire: httpx2.AsyncHTTPTransport
    busy: int = 0


class _ProxiedReply:
    """A reply of a lane; closing it frees the lane's place."""

    def __init__(self, response: httpx2.Response, lane: _Lane) -> None:
        self.status = response.status_code
        self.headers: Headers = tuple(response.headers.multi_items())
        self._response, self._lane = response, lane
        self._is_open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_raw()

    async def aclose(self) -> None:
        self._lane.busy -= self._is_open
        self._is_open = False
        await self._response.aclose()


class Proxied:
    """Connections in lanes of a few each, since a pool checks all its connections for each request.

    Args:
        proxy: The proxy's URL.
        trusted: The trusted certificates.
    """

    def __init__(self, proxy: str, trusted: ssl.SSLContext) -> None:
        self._proxy = proxy
        self._trusted = trusted
        self._lanes: list[_Lane] = []

    async def send(self, request: WrittenRequest, timeouts: Timeouts, on_sent: Callable[[], None]) -> HttpReply:
        """Send a request and wait for the head of its reply; see `HttpWire.send`.

        Args:
            request: The request.
            timeouts: The timeouts.
            on_sent: Called once the server may have received all of it.
        """

        async def trace(event: str, _info: object) -> None:
            if event.endswith("send_request_body.started"):
                on_sent()

        outgoing = httpx2.Request(
            request.method,
            request.url,
            headers=list(request.headers),
            content=request.content,
            extensions={"timeout": dict(timeouts), "trace": trace},
        )
        lane = self._free_lane()
        lane.busy += 1
        try:
            return _ProxiedReply(await lane.wire.handle_async_request(outgoing), lane)
        except BaseException:
            lane.busy -= 1
            raise

    def _free_lane(self) -> _Lane:
        """Return the first lane with room, so that open connections are reused."""
        found = next((lane for lane in self._lanes if lane.busy < LANE_CONNECTIONS), None)
        if found is None and len(self._lanes) < MAX_LANES:
            most = MAX_CONNECTIONS // MAX_LANES
            limits = httpx2.Limits(max_connections=most, max_keepalive_connections=LANE_CONNECTIONS)
            found = _Lane(httpx2.AsyncHTTPTransport(verify=self._trusted, limits=limits, proxy=self._proxy))
            self._lanes.append(found)
        return found or min(self._lanes, key=lambda lane: lane.busy)

    async def aclose(self) -> None:
        """Close all connections."""
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            await lane.wire.aclose()
