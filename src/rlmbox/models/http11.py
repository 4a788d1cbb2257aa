"""Persistent connections to providers: HTTP/1.1, parsed and written by h11, on asyncio's transports.

A request costs a fifth of what it costs in the HTTP client's pool, which is still used for proxies; see `proxied` and
decision 0112. Connections belong to one event loop and are used on no other.

Imports h11 and httpx2, whose errors it raises, so it is itself imported late, by `connections`.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from itertools import zip_longest
from typing import NamedTuple, Protocol, cast

import anyio
import h11
import httpx2

from rlmbox.models.templates import WrittenRequest

MAX_CONNECTIONS = 1000
KEPT_S = 4.0
"""Seconds that an idle connection is used again; many servers close theirs after five."""

_MAX_IDLE = 160
_MAX_HEAD_BYTES = 100 * 1024
_MOST_UNREAD_BYTES = 1024 * 1024  # received at most before earlier data have been read
_NEXT_ADDRESS_S = 0.25  # delay before the next address of a host is tried, too

Headers = tuple[tuple[str, str], ...]
Timeouts = Mapping[str, float | None]
"""Longest waits in seconds, by phase: `connect`, `write` and `read` (for the next bytes), `pool`; None for no limit."""


class HttpReply(Protocol):
    """A reply whose head has been received."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Headers:
        """The headers."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it arrives, without decoding."""

    async def aclose(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""


class HttpWire(Protocol):
    """A transport of requests to servers."""

    async def send(self, request: WrittenRequest, timeouts: Timeouts, on_sent: Callable[[], None]) -> HttpReply:
        """Send a request and wait for the head of its reply, which has to be closed.

        Raises an `httpx2.TransportError` if no connection can be opened, if it breaks, or on a timeout.

        Args:
            request: The request, including `Host`; the length of its body is added.
            timeouts: The timeouts.
            on_sent: Called once the server may have received all of it.
        """

    async def aclose(self) -> None:
        """Close all connections; their requests fail."""


class _Address(NamedTuple):
    host: str
    port: int
    is_tls: bool
    is_name: bool


@lru_cache(maxsize=256)
def _place(url: str) -> tuple[_Address, bytes]:
    """Return the address of a URL, and the request target."""
    read = httpx2.URL(url)
    if read.scheme not in ("http", "https") or not read.host:
        raise httpx2.UnsupportedProtocol(f"{url!r} is not the address of an HTTP server")
    is_tls = read.scheme == "https"
    host = read.raw_host.decode("ascii")
    return _Address(host, read.port or (443 if is_tls else 80), is_tls, _is_name(host)), read.raw_path


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


async def _resolved(loop: asyncio.AbstractEventLoop, address: _Address) -> list[str]:
    """Resolve a host to addresses, alternating between families, in the order in which to try them."""
    if not address.is_name:
        return [address.host]
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    first = [str(place[0]) for family, _, _, _, place in found if family == found[0][0]]
    other = [str(place[0]) for family, _, _, _, place in found if family != found[0][0]]
    turns = [host for pair in zip_longest(first, other) for host in pair if host is not None]
    return list(dict.fromkeys(turns))


class _Link(asyncio.Protocol):
    """One connection: busy with one request, or idle. Read `send` first, then `next_event`.

    Args:
        loop: The running event loop.
        all_open: The set of open connections.

    Attributes:
        gone: Done once the connection is closed by the system.
    """

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, all_open: set[_Link]) -> None:
        self._loop = loop
        self._all_open = all_open
        self.gone: asyncio.Future[None] = loop.create_future()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._waiter: asyncio.Future[bool] | None = None
        self._idle_since_s: float | None = None
        self._is_full = False  # whether the transport's write buffer is full
        self._is_lost = False
        self._error: Exception | None = None
        self._came_bytes = 0
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._all_open.add(self)

    def data_received(self, data: bytes) -> None:
        """Handle received data; on an idle connection there should be none."""
        if self._idle_since_s is not None:
            self.close()
            return
        self._http.receive_data(data)
        self._came_bytes += len(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > _MOST_UNREAD_BYTES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Handle the end of input; the transport closes itself."""
        self._http.receive_data(b"")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        self._is_lost, self._error = True, exc
        if exc is None:
            self._http.receive_data(b"")
        self._all_open.discard(self)
        self.gone.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        """Record that the write buffer is full."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Record that the write buffer has room again."""
        self._is_full = False
        self._wake()

    async def send(
        self, request: WrittenRequest, target: bytes, timeouts: Timeouts, on_sent: Callable[[], None]
    ) -> h11.Response:
        """Send a request and wait for the head of its reply."""
        self._idle_since_s, self._came_bytes = None, 0
        headers = [*request.headers, ("content-length", str(len(request.content)))]
        try:
            head = self._http.send(h11.Request(method=request.method, target=target, headers=headers))
        except h11.LocalProtocolError as error:
            raise httpx2.LocalProtocolError(str(error)) from error
        parts = (head, self._http.send(h11.Data(data=request.content)), self._http.send(h11.EndOfMessage()))
        on_sent()
        self._transport.write(b"".join(part for part in parts if part))
        # A server may refuse a long request before it has read all of it.
        while self._is_full and not self._came_bytes and not self._is_lost:
            await self._change(timeouts.get("write"), httpx2.WriteTimeout)
        while True:
            event = await self.next_event(timeouts.get("read"))
            if isinstance(event, h11.Response):
                return event

    async def next_event(self, timeout_s: float | None) -> h11.Event | type[h11.PAUSED]:
        """Return the next event of the reply."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                said = str(error) if self._came_bytes else "the server ended the connection without a reply"
                raise httpx2.RemoteProtocolError(said) from error
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11 types its sentinels as classes
            if self._is_lost:
                raise httpx2.ReadError(str(self._error or "the connection was closed"))
            if self._unread_bytes > _MOST_UNREAD_BYTES:
                self._transport.resume_reading()
            self._unread_bytes = 0
            await self._change(timeout_s, httpx2.ReadTimeout)

    async def _change(self, timeout_s: float | None, late: type[httpx2.TimeoutException]) -> None:
        """Wait until something happens on the connection."""
        waiter = self._waiter = self._loop.create_future()
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _settle, waiter, False)
        try:
            if not await waiter:
                raise late("")
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None:
            _settle(self._waiter, True)

    def may_be_used_again(self) -> bool:
        """Return True if the connection is idle from now on; False if it cannot be reused."""
        http, transport = self._http, self._transport
        if h11.DONE is not http.our_state or h11.DONE is not http.their_state or http.trailing_data[0]:
            return False
        if self._is_lost or transport.is_closing() or transport.get_write_buffer_size():
            return False
        http.start_next_cycle()
        self._idle_since_s = self._loop.time()
        return True

    @property
    def is_old(self) -> bool:
        """True if the connection has been idle for too long."""
        return self._idle_since_s is not None and self._loop.time() - self._idle_since_s > KEPT_S

    def is_alive(self) -> bool:
        """Return True if an idle connection appears to be open."""
        return not (self._is_lost or self.is_old or self._transport.is_closing() or _has_input(self._transport))

    def close(self) -> None:
        """Close the connection immediately."""
        self._transport.abort()


def _settle(waiter: asyncio.Future[bool], result: bool) -> None:
    if not waiter.done():
        waiter.set_result(result)


def _has_input(transport: asyncio.Transport) -> bool:
    """Return True if an idle connection has unread input, that is, its end, which the event loop has not seen."""
    number = transport.get_extra_info("socket").fileno()
    if number < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


class _LinkReply:
    """A reply on one of our connections."""

    def __init__(
        self, response: h11.Response, connection: _Link, timeout_s: float | None, leave: Callable[[], None]
    ) -> None:
        self.status = response.status_code
        self.headers: Headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers
        )
        self._connection = connection
        self._timeout_s = timeout_s
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        event = await self._connection.next_event(self._timeout_s)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Http11:
    """The connections of one event loop.

    Args:
        trusted: The trusted certificates.
    """

    def __init__(self, trusted: ssl.SSLContext) -> None:
        trusted.set_alpn_protocols(["http/1.1"])
        self._trusted = trusted
        self._idle: dict[_Address, deque[_Link]] = {}
        self._open: set[_Link] = set()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._is_closed = False

    async def send(self, request: WrittenRequest, timeouts: Timeouts, on_sent: Callable[[], None]) -> HttpReply:
        """Send a request and wait for the head of its reply; see `HttpWire.send`.

        Args:
            request: The request.
            timeouts: The timeouts.
            on_sent: Called once the server may have received all of it.
        """
        address, target = _place(request.url)
        await self._enter(timeouts.get("pool"))
        connection: _Link | None = None
        try:
            connection = self._kept(address) or await self._connect(address, timeouts.get("connect"))
            response = await connection.send(request, target, timeouts, on_sent)
        except BaseException:
            self._room.release()
            if connection is not None:
                connection.close()
            raise
        used = connection
        return _LinkReply(response, used, timeouts.get("read"), lambda: self._leave(address, used))

    async def _enter(self, timeout_s: float | None) -> None:
        """Wait for a free connection slot; there nearly always is one."""
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        except TimeoutError as error:
            raise httpx2.PoolTimeout("too many connections are open") from error

    def _leave(self, address: _Address, connection: _Link) -> None:
        """Keep a connection for later requests, or close it."""
        self._room.release()
        for others in self._idle.values():
            while others and others[0].is_old:
                others.popleft().close()
        idle = self._idle.setdefault(address, deque())
        if not self._is_closed and len(idle) < _MAX_IDLE and connection.may_be_used_again():
            idle.append(connection)
        else:
            connection.close()

    def _kept(self, address: _Address) -> _Link | None:
        """Return the connection that was used last; None if none is open."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if connection.is_alive():
                return connection
            connection.close()
        return None

    async def _connect(self, address: _Address, timeout_s: float | None) -> _Link:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._first_open(address)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(str(error) or "no connection in time") from error
        except OSError as error:  # includes TLS errors
            raise httpx2.ConnectError(str(error)) from error

    async def _first_open(self, address: _Address) -> _Link:
        """Try the addresses of a host, each with a delay after the previous one, and return the first open connection.

        asyncio's own implementation leaks a connection that opens while it is being cancelled, and uvloop has none.
        """
        loop = asyncio.get_running_loop()
        found = await _resolved(loop, address)
        opened: list[_Link] = []
        errors: list[Exception] = []

        async def attempt(host: str, failed: anyio.Event) -> None:
            tls = self._trusted if address.is_tls else None
            try:
                _, connection = await loop.create_connection(
                    lambda: _Link(loop, self._open),
                    host,
                    address.port,
                    ssl=tls,
                    server_hostname=address.host if tls else None,
                )
            except Exception as error:  # noqa: BLE001 - raised where the connection is needed
                errors.append(error)
                failed.set()
                return
            opened.append(connection)
            group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for host in found:
                    failed = anyio.Event()
                    group.start_soon(attempt, host, failed)
                    with anyio.move_on_after(_NEXT_ADDRESS_S):
                        await failed.wait()
        except BaseException:
            for connection in opened:
                connection.close()
            raise
        for connection in opened[1:]:
            connection.close()
        if not opened:
            raise errors[-1]
        return opened[0]

    async def aclose(self) -> None:
        """Close all connections and wait until the system has closed them; their requests fail.

        A connection that is being opened is closed after its request.
        """
        self._is_closed = True
        self._idle.clear()
        closing = tuple(self._open)
        for connection in closing:
            connection.close()
        await asyncio.gather(*(connection.gone for connection in closing))
