"""The HTTP client for remote addresses.

A public address must not lead into the machine's own network: a redirect to a private address is refused, by its host
name and again by the address connected to, because the name may be resolved differently in between.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp

from rlmbox.context.load.private_network import LeadsInside

CONNECT_S, SILENCE_S = 20.0, 60.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def client(url: str, **options: object) -> aiohttp.ClientSession:
    """Return a client for one address; the usual proxy variables apply.

    Args:
        url: The address that the user gave, which may be private.
        options: Additional options from fsspec, such as its event loop.
    """
    guard = _Guard(await _is_public_host(urlsplit(url).hostname or ""))
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(guard.check_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=guard.socket),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        trust_env=True,
        trace_configs=[tracing],
        # Decompressed by us instead, with a limit.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )


class _Guard:
    def __init__(self, is_public: bool) -> None:
        self._is_public = is_public
        # With a proxy, the connection goes to the proxy, whose address may be private.
        self._is_direct = not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)

    async def check_redirect(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestRedirectParams
    ) -> None:
        target = request.response.headers.get("Location") or request.response.headers.get("URI") or ""
        host = urlsplit(target).hostname
        if self._is_public and host is not None and not await _is_public_host(host):
            raise LeadsInside

    def socket(self, address: _AddressInfo) -> socket.socket:
        family, kind, protocol, _, place = address
        if self._is_public and self._is_direct and not is_public(str(place[0])):
            raise LeadsInside
        return socket.socket(family, kind, protocol)


async def _is_public_host(host: str) -> bool:
    """Return whether a host is on the public internet; an unknown one counts as public."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(is_public(str(place[0])) for *_, place in found)


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet.

    Args:
        address: The address, such as `127.0.0.1`.
    """
    known = ipaddress.ip_address(address.partition("%")[0])
    mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
    return (mapped or known).is_global
