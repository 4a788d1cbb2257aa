"""Models at OpenAI, Anthropic, Google, Azure and any server that speaks OpenAI's protocol.

A request passes from here to `wire`, where the provider's library writes it, and where it is sent and its reply is
read. The libraries take seconds to import, so nothing here imports them before a request is made or
`ProviderModel.warm` is called.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import anyio

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.adapting import adaptations_of
from rlmbox.models.base import Exchange, Price, PriceSource, current_exchange
from rlmbox.models.complaints import Complaint
from rlmbox.models.keys import KeySource
from rlmbox.models.pace import UNPACED, Pace
from rlmbox.models.prices import FREE, FlatPrice, price_for
from rlmbox.models.target import Target, resolve
from rlmbox.models.windows import window_for
from rlmbox.types import Completion, Message

if TYPE_CHECKING:
    from rlmbox.models.call import Call
    from rlmbox.models.wire import Connection

ASSUMED_WINDOW_TOKENS = 128_000
"""The window of a model of which nobody knows it. It is learned from the first refusal that names it."""

DEFAULT_TIMEOUT_S = 120.0
"""Seconds without a byte after which a request is given up, unless the request says otherwise."""

_MOST_ADAPTATIONS = 6
_REFUSALS_OF_STREAMS = (400, 404, 405, 415, 422, 501)
_LONGEST_CLOSE_S = 5.0
_MOST_WAITS = 10  # a server that sends an occasional byte is given up after this many times the wait for one


def provider_model(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | KeySource | None = None,
    prices: Mapping[str, FlatPrice] | PriceSource | None = None,
    temperature: float | None = None,
    window_tokens: int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    pace: Pace = UNPACED,
) -> ProviderModel:
    """Create a model by name; nothing is sent and nothing heavy is imported.

    Args:
        name: `provider:model` with the provider `openai`, `anthropic`, `google` (or `gemini`), `azure`, `openrouter`,
            `groq`, `xai`, `deepseek`, `mistral`, or a server of your own: `ollama`, `vllm`, `llamacpp`, `lmstudio`.
        base_url: The model's address. By default PROVIDER_BASE_URL (GOOGLE_GEMINI_BASE_URL, AZURE_OPENAI_ENDPOINT) if
            set, otherwise the provider's own. With `openai:`, any server with OpenAI's Chat Completions protocol.
        api_key: The key; by default PROVIDER_API_KEY (GOOGLE_API_KEY or GEMINI_API_KEY, AZURE_OPENAI_API_KEY). A server
            other than the provider's own may need none. A `KeySource` is queried if the variable is not set.
        prices: The user's own prices, which take precedence over the catalogue's: by full name, or a function from the
            full name to a price, which is called again for each request.
        temperature: The sampling temperature; None for the provider's default. Not sent to models that refuse one.
        window_tokens: Maximum number of tokens in a request and its reply; None for the catalogue's.
        timeout_s: Seconds without a byte after which a request is aborted, unless the request has its own timeout.
        pace: The model's rate limits; by default there are only the runs' own limits.

    Raises:
        ConfigError: The name, the URL or the key is missing or invalid, or the provider's library is not installed.
    """
    if timeout_s <= 0:
        raise ConfigError(f"{name}: timeout_s must be more than 0, not {timeout_s:g}")
    if window_tokens is not None and window_tokens < 1:
        raise ConfigError(f"{name}: window_tokens must be at least 1, not {window_tokens}")
    target = resolve(name, base_url, api_key)
    return ProviderModel(
        target,
        prices=prices if prices is not None else {},
        temperature=temperature,
        window_tokens=window_tokens,
        timeout_s=timeout_s,
        pace=pace,
        connections=_Connections(target, timeout_s),
    )


class ProviderModel:
    """A model at a provider, from `provider_model`.

    It makes one attempt; a refusal that names a requirement does not count, and is followed by another request that
    meets it. It may be used from several event loops: each has its own connections, which are closed with the loop or
    by `aclose`. A content filter's refusal is a `Completion` with the stop reason `content_filter`, since it was paid
    for. Tokens that the provider does not count are estimated, never taken as zero, and the `Completion` says so.
    """

    def __init__(
        self,
        target: Target,
        *,
        prices: Mapping[str, FlatPrice] | PriceSource,
        temperature: float | None,
        window_tokens: int | None,
        timeout_s: float,
        pace: Pace,
        connections: _Connections,
    ) -> None:
        self._target = target
        self._prices = prices
        self._temperature = temperature
        self._given_window_tokens = window_tokens
        self._timeout_s = timeout_s
        self._pace = pace
        self._connections = connections
        self._adaptations = adaptations_of(target.shown_url, target.model)

    def __repr__(self) -> str:
        return f"ProviderModel({self._target.name!r}, base_url={self._target.shown_url!r})"

    @property
    def name(self) -> str:
        """The full name, such as `openai:gpt-5`."""
        return self._target.name

    @property
    def endpoint(self) -> str:
        """The provider's address."""
        return self._target.shown_url

    @property
    def target(self) -> Target:
        """The provider, address and key."""
        return self._target

    @property
    def pace(self) -> Pace:
        """The model's rate limits."""
        return self._pace

    @property
    def temperature(self) -> float | None:
        """The sampling temperature; None for the provider's default."""
        return self._temperature

    @property
    def settings(self) -> str:
        """The temperature, as JSON."""
        return json.dumps({"temperature": self._temperature})

    @property
    def window_tokens(self) -> int:
        """Maximum number of tokens in a request and its reply together; `ASSUMED_WINDOW_TOKENS` if unknown."""
        return self._known_window_tokens or ASSUMED_WINDOW_TOKENS

    @property
    def window_is_known(self) -> bool:
        """True if `window_tokens` was given or is in the catalogue."""
        return self._known_window_tokens is not None

    @property
    def reports_exchange(self) -> bool:
        """True: progress is reported on `current_exchange`."""
        return True

    @property
    def output_cap_tokens(self) -> int | None:
        """Highest output limit that the provider accepts, if it has stated one."""
        return self._adaptations.output_cap_tokens

    @cached_property
    def _known_window_tokens(self) -> int | None:
        target = self._target
        given = self._given_window_tokens
        return given if given is not None else window_for(target.preset, target.model, official=target.official)

    @property
    def price(self) -> Price | None:
        """The price; None if unknown, as for a gateway. A server on this machine costs nothing."""
        return self._prices(self.name) if callable(self._prices) else self._listed_price

    @cached_property
    def _listed_price(self) -> Price | None:
        overrides = {} if callable(self._prices) else self._prices
        price = price_for(self.name, overrides, preset=self._target.preset, catalogue=self._target.official)
        return FREE if price is None and self._target.is_local else price

    def with_temperature(self, temperature: float) -> ProviderModel:
        """Return the same model at another sampling temperature, over the same connections.

        Args:
            temperature: From 0, the most predictable.
        """
        return ProviderModel(
            self._target,
            prices=self._prices,
            temperature=temperature,
            window_tokens=self._given_window_tokens,
            timeout_s=self._timeout_s,
            pace=self._pace,
            connections=self._connections,
        )

    def warm(self) -> None:
        """Start the slow imports in a thread, so that they overlap with other work; returns immediately."""
        threading.Thread(target=self._import_ahead, name="rlmbox-model-import", daemon=True).start()

    async def ready(self) -> None:
        """Wait until the provider's library is imported and a client is open; nothing is sent."""
        await self._connections.get()

    def _import_ahead(self) -> None:
        # A failure here recurs, with its error, where the result is needed.
        with suppress(Exception):
            self._connections.import_library()
            _ = self.price, self.window_tokens

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answer a conversation.

        Args:
            messages: The conversation; the system message, if any, comes first. Empty messages are dropped.
            max_output_tokens: Maximum length of the reply, including reasoning.
            timeout_s: Seconds without a byte after which the request is aborted; None for the model's own timeout.

        Raises:
            ContextLimitExceeded: The request exceeds the model's window.
            ModelError: The provider refused or failed, or did not answer in time.
        """
        exchange = (current_exchange.get() or Exchange()).begin()
        # Importing the libraries does not count towards the provider's time.
        connection = await self._connections.get()
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        outcome = await self._attempt(connection, messages, exchange, max_output_tokens, limit_s)
        # Raised here, outside any `except`, because the provider's own exception holds requests with their keys.
        if isinstance(outcome, ModelError):
            raise outcome
        return outcome

    async def _attempt(
        self,
        connection: Connection,
        messages: Sequence[Message],
        exchange: Exchange,
        max_output_tokens: int,
        limit_s: float,
    ) -> Completion | ModelError:
        """Send the request, and again if a refusal names a requirement."""
        from rlmbox.models.call import Call

        for _ in range(_MOST_ADAPTATIONS):
            reads_along = exchange.on_text is not None and not self._adaptations.no_stream
            streams = reads_along or self._adaptations.only_stream
            call = Call(self._target.provider, exchange.begin(), self._adaptations, streams)
            outcome = await self._send(connection, messages, call, max_output_tokens, limit_s)
            if call.refused is None:
                return outcome
            complaint = Complaint(call.refused.body)
            learned = self._adaptations.learn(complaint, call.content, call.refused.status)
            if not learned and not self._gives_up_stream(call, complaint):
                return outcome
        return outcome

    def _gives_up_stream(self, call: Call, complaint: Complaint) -> bool:
        """Return True if a refusal may be due to streaming without saying so; the next request shows whether it was."""
        refused = call.refused
        if not call.streams or self._adaptations.has_streamed or refused is None or complaint.too_long:
            return False
        self._adaptations.no_stream = refused.status in _REFUSALS_OF_STREAMS
        return self._adaptations.no_stream

    async def _send(
        self, connection: Connection, messages: Sequence[Message], call: Call, max_output_tokens: int, limit_s: float
    ) -> Completion | ModelError:
        from rlmbox.models import failures
        from rlmbox.models.wire import request

        try:
            with anyio.fail_after(limit_s * _MOST_WAITS):
                completion = await request(
                    connection,
                    self._target,
                    messages,
                    call,
                    max_output_tokens=max_output_tokens,
                    timeout_s=limit_s,
                    temperature=self._temperature,
                )
        except TimeoutError:
            return failures.timed_out(self._target, call, limit_s * _MOST_WAITS)
        except Exception as error:  # noqa: BLE001 - SDKs raise anything
            has_answered = self._adaptations.has_answered
            return failures.explain(error, self._target, call, timeout_s=limit_s, has_answered=has_answered)
        self._adaptations.has_answered = True
        self._adaptations.has_streamed |= call.streams
        # A server that counts no tokens for streams may count those of complete replies, which is worth more.
        self._adaptations.no_stream |= call.streams and not completion.counted and not self._adaptations.only_stream
        return completion

    async def aclose(self) -> None:
        """Close the connections, each on its own event loop; a later request opens new ones."""
        await self._connections.aclose()


@dataclass(eq=False)
class _Connections:
    """The connections of one model, by event loop."""

    target: Target
    timeout_s: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_loop: dict[asyncio.AbstractEventLoop, Future[Connection]] = field(default_factory=dict)

    def import_library(self) -> None:
        """Import what a request needs; takes seconds the first time."""
        import importlib

        for module in ("wire", "failures"):
            importlib.import_module(f"rlmbox.models.{module}")
        sdk = {"azure": "openai"}.get(self.target.provider, self.target.provider)
        importlib.import_module(f"pydantic_ai.models.{sdk}")

    async def get(self) -> Connection:
        """Return the running loop's connection; the first call opens it in a thread, since that takes time."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for dead in [known for known in self._by_loop if known.is_closed()]:
                del self._by_loop[dead]
            opening = self._by_loop.get(loop)
            if opening is None:
                opening = self._by_loop[loop] = Future()
                opening.set_running_or_notify_cancel()
                threading.Thread(target=self._open, args=(loop, opening), daemon=True).start()
        connection = opening.result() if opening.done() else await asyncio.wrap_future(opening)
        await connection.pool.hold()
        return connection

    def _open(self, loop: asyncio.AbstractEventLoop, opening: Future[Connection]) -> None:
        try:
            self.import_library()
            from rlmbox.models.connections import pool_of
            from rlmbox.models.wire import connect

            connection = connect(self.target, pool_of(loop, self.target.base_url, self), self.timeout_s)
        except BaseException as error:  # noqa: BLE001 - raised where the connection is awaited
            with self._lock:
                self._by_loop.pop(loop, None)
            if isinstance(error, ImportError):
                error = ConfigError(f'{self.target.name}: {error}; run: pip install "rlmbox[models]"')
            opening.set_exception(error)
        else:
            opening.set_result(connection)

    async def aclose(self) -> None:
        """Close the connections that no other model uses, each on its own event loop, and wait for that."""
        here = asyncio.get_running_loop()
        with self._lock:
            openings, self._by_loop = self._by_loop, {}
        for loop, opening in openings.items():
            if loop is here:
                await asyncio.wait([asyncio.wrap_future(opening)])
            if not opening.done() or opening.exception() is not None:
                continue
            pool = opening.result().pool
            if loop is here:
                await pool.release(self)
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(pool.release(self), loop)
                # A blocked loop, such as that of the very caller, closes them when it continues.
                await asyncio.wait([asyncio.wrap_future(closing)], timeout=_LONGEST_CLOSE_S)
