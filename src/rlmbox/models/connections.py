"""The connections to providers: shared by all models of the process, one pool for each event loop.

A model created for one question leaves nothing behind. Connections are closed on the loop that they belong to, with the
last model that uses them, or with the loop. Nothing is left to the garbage collector, which could close a descriptor
that another connection has been assigned by then.

Imports httpx2, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpx2

from rlmbox.models.http11 import Http11, HttpWire
from rlmbox.models.proxied import Proxied


@dataclass(eq=False, slots=True, weakref_slot=True)
class ClientPool:
    """The connections of one event loop that go through one proxy, or through none.

    Attributes:
        loop: The event loop.
        wire: The connections.
        users: Objects that need them open.
    """

    loop: asyncio.AbstractEventLoop
    wire: HttpWire
    users: WeakSet[object] = field(default_factory=WeakSet)
    _lease: AsyncGenerator[None, None] | None = None

    async def hold(self) -> None:
        """Tie the connections to the running event loop, once, so that they are closed before it ends."""
        if self._lease is None:
            # Event loops close their open generators before they end, even if nobody calls `aclose`.
            self._lease = _lease(self)
            await anext(self._lease)

    async def release(self, user: object) -> None:
        """Close the connections if nobody else needs them; must be called on their event loop."""
        self.users.discard(user)
        if not self.users:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        with _lock:
            for key in [key for key, pool in _pools.items() if pool is self]:
                del _pools[key]
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await lease.aclose()


async def _lease(pool: ClientPool) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await pool.wire.aclose()


_lock = threading.Lock()
_pools: dict[tuple[asyncio.AbstractEventLoop, str | None], ClientPool] = {}


def pool_of(loop: asyncio.AbstractEventLoop, base_url: str, user: object) -> ClientPool:
    """Return the connections of an event loop.

    Args:
        loop: The event loop.
        base_url: The address of requests, which determines the proxy.
        user: The user; connections stay open until all users have released them.
    """
    proxy = _proxy(base_url)
    with _lock:
        for key in [key for key in _pools if key[0].is_closed()]:
            del _pools[key]
        pool = _pools.get((loop, proxy))
        if pool is None:
            trusted = httpx2.create_ssl_context()  # once, because it reads all certificates
            wire = Http11(trusted) if proxy is None else Proxied(proxy, trusted)
            pool = _pools[loop, proxy] = ClientPool(loop, wire)
        pool.users.add(user)
        return pool


def _proxy(base_url: str) -> str | None:
    # A client with its own transport does not read HTTP_PROXY and the like by itself.
    url = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(url.netloc.rpartition("@")[2]) else proxy
