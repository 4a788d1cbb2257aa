"""The HTTP client under every provider: one retry policy, bounded replies, proxies from the environment.

Imports httpx2 and pydantic-ai, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from pydantic_ai.models import create_async_httpx2_client
from pydantic_ai.retries import AsyncHTTPX2TenacityTransport, RetryConfig, wait_retry_after
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from rlmbox.models.retries import Call, RetryPolicy, current_call

MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_CONNECTIONS = 1000
CONNECT_TIMEOUT_S = 10.0
_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504, 529})
_QUOTA_IS_GONE = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|credit_balance_exhausted|spend_limit_exceeded|PerDay"
)
_GOOGLE_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')


class ReplyTooLarge(httpx2.TransportError):
    """A reply's body is longer than `MAX_REPLY_BYTES`."""


def open_client(base_url: str, timeout_s: float, retries: RetryPolicy) -> httpx2.AsyncClient:
    """Makes a client that retries by itself; the caller closes it.

    Args:
        base_url: Where requests will go, which decides the proxy.
        timeout_s: Longest wait for the next bytes, in seconds.
        retries: When a request is sent again.
    """
    limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100)
    wire = httpx2.AsyncHTTPTransport(limits=limits, proxy=_proxy(base_url))
    transport = AsyncHTTPX2TenacityTransport(
        RetryConfig(
            retry=retry_if_exception(_cannot_have_been_billed),
            wait=_wait(retries),
            stop=stop_after_attempt(retries.attempts),
            retry_error_callback=_last_outcome,
        ),
        wrapped=_WholeReplies(wire),
        validate_response=_raise_if_worth_retrying,
    )
    timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    return create_async_httpx2_client(timeout=timeout, limits=limits, transport=transport)


class _WholeReplies(httpx2.AsyncBaseTransport):
    """Reads each reply to its end, within `MAX_REPLY_BYTES`, and notes what was sent.

    The bound counts decoded bytes: a small compressed body can become any size.
    """

    def __init__(self, wrapped: httpx2.AsyncBaseTransport) -> None:
        self._wrapped = wrapped

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = current_call.get(None) or Call()
        call.attempts += 1
        call.sent = False
        request.extensions = {**request.extensions, "trace": call.trace}
        response = await self._wrapped.handle_async_request(request)
        response.request = request
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        if response.status_code >= 400:
            # Refused, so there is nothing to charge for.
            call.sent = False
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


def _cannot_have_been_billed(error: BaseException) -> bool:
    return isinstance(error, httpx2.HTTPStatusError | httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)


def _raise_if_worth_retrying(response: httpx2.Response) -> None:
    if response.status_code not in _RETRIED_STATUSES:
        return
    if response.headers.get("x-should-retry", "").lower() == "false" or _QUOTA_IS_GONE.search(_error_code(response)):
        return
    raise httpx2.HTTPStatusError(f"HTTP {response.status_code}", request=response.request, response=response)


def _error_code(response: httpx2.Response) -> str:
    """Gives the machine-readable part of an error body: a message may mention anything."""
    try:
        error = json.loads(response.content)["error"]
        return " ".join(str(error.get(key, "")) for key in ("code", "type", "details"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _wait(retries: RetryPolicy) -> Callable[[RetryCallState], float]:
    backoff = wait_exponential_jitter(
        initial=retries.base_delay_s, max=retries.max_delay_s, jitter=retries.base_delay_s
    )
    asked_in_header = wait_retry_after(backoff, max_wait=retries.max_retry_after_s)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, httpx2.HTTPStatusError) and "retry-after" not in error.response.headers:
            # Google asks for a wait in the body, not in a header.
            asked_in_body = _GOOGLE_DELAY.search(error.response.text)
            if asked_in_body:
                return min(float(asked_in_body[1]), retries.max_retry_after_s)
        return asked_in_header(state)

    return wait


def _last_outcome(state: RetryCallState) -> httpx2.Response:
    """Ends the attempts: the last reply goes on to the SDK, so that its error body is read as any other's."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response
    raise error or RuntimeError("no attempt was made")


def _proxy(base_url: str) -> str | None:
    # A client that is given a transport no longer reads HTTP_PROXY and its kin by itself.
    url = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(url.netloc.rpartition("@")[2]) else proxy
