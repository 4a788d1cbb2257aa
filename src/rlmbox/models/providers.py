"""Models at OpenAI, Anthropic, Google, Azure and any server that speaks OpenAI's protocol.

The provider's SDK is reached through pydantic-ai's direct API, behind `ProviderModel`. Those libraries take seconds
to import, so nothing here imports them until a request is made or `ProviderModel.warm` is called.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import anyio

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.base import Price
from rlmbox.models.pace import UNPACED, Pace
from rlmbox.models.prices import FlatPrice, catalogue_window_tokens, price_for
from rlmbox.models.target import Target, resolve
from rlmbox.types import Completion, Message

if TYPE_CHECKING:
    from rlmbox.models.wire import Connection

DEFAULT_WINDOW_TOKENS = 128_000
DEFAULT_TIMEOUT_S = 600.0


def provider_model(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    prices: Mapping[str, FlatPrice] | None = None,
    temperature: float | None = None,
    window_tokens: int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    pace: Pace = UNPACED,
) -> ProviderModel:
    """Makes a model from its name; nothing is sent and nothing heavy is imported.

    Args:
        name: `provider:model` with the provider `openai`, `anthropic`, `google` (or `gemini`) or `azure`.
        base_url: Where the model is. By default OPENAI_BASE_URL, ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL or
            AZURE_OPENAI_ENDPOINT where it is set, else the provider itself. With `openai:`, any server that speaks
            OpenAI's Chat Completions protocol.
        api_key: The key; by default OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY or GEMINI_API_KEY, or
            AZURE_OPENAI_API_KEY. A server other than the provider's own may need none.
        prices: The user's own prices by full name, which come before the catalogue's.
        temperature: The sampling temperature; None leaves it to the provider. OpenAI's reasoning models refuse one, so
            it is not sent to them.
        window_tokens: Most tokens that a request and its reply may have; None takes it from the catalogue, else
            128,000.
        timeout_s: Seconds after which a request is given up, unless the request says otherwise.
        pace: What the model may be asked at once and in a minute; by default nothing but the runs' own limits.

    Raises:
        ConfigError: The name, the URL or the key is missing or wrong, or the provider's library is not installed.
    """
    if timeout_s <= 0:
        raise ConfigError(f"{name}: timeout_s must be more than 0, not {timeout_s:g}")
    if window_tokens is not None and window_tokens < 1:
        raise ConfigError(f"{name}: window_tokens must be at least 1, not {window_tokens}")
    return ProviderModel(
        resolve(name, base_url, api_key),
        prices=prices or {},
        temperature=temperature,
        window_tokens=window_tokens,
        timeout_s=timeout_s,
        pace=pace,
    )


class ProviderModel:
    """A model at a provider; made by `provider_model`.

    It makes one attempt. It may be used from several event loops: each has its own HTTP client, which is closed with
    its loop or by `aclose`. A content filter's refusal is a `Completion` with the stop reason `content_filter`, since
    it was paid for. Tokens that the provider does not count are estimated from bytes, never taken as zero, and the
    `Completion` says so.
    """

    def __init__(
        self,
        target: Target,
        *,
        prices: Mapping[str, FlatPrice],
        temperature: float | None,
        window_tokens: int | None,
        timeout_s: float,
        pace: Pace,
    ) -> None:
        self._target = target
        self._prices = prices
        self._temperature = temperature
        self._given_window_tokens = window_tokens
        self._timeout_s = timeout_s
        self._pace = pace
        self._lock = threading.Lock()
        self._connections: dict[asyncio.AbstractEventLoop, Future[Connection]] = {}

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
    def pace(self) -> Pace:
        """What it may be asked at once and in a minute."""
        return self._pace

    @property
    def settings(self) -> str:
        """The temperature, as JSON."""
        return json.dumps({"temperature": self._temperature})

    @cached_property
    def window_tokens(self) -> int:
        """Most tokens that a request and its reply may have together; 128,000 where that is not known."""
        if self._given_window_tokens is not None:
            return self._given_window_tokens
        return catalogue_window_tokens(self._target.provider, self._target.model) or DEFAULT_WINDOW_TOKENS

    @cached_property
    def price(self) -> Price | None:
        """What it costs; None where that is not known, as for a server of the user's own."""
        return price_for(self.name, self._prices, catalogue=self._target.official)

    def warm(self) -> None:
        """Starts the slow imports in a thread, so that they overlap with other work; returns at once."""
        threading.Thread(target=self._import_ahead, name="rlmbox-model-import", daemon=True).start()

    async def ready(self) -> None:
        """Waits until the provider's library is imported and a client is open; nothing is sent."""
        await self._connection()

    def _import_ahead(self) -> None:
        # What fails here fails again, with its error, where somebody waits for it.
        with suppress(Exception):
            self._import()

    def _import(self) -> None:
        import importlib

        for module in ("wire", "failures"):
            importlib.import_module(f"rlmbox.models.{module}")
        sdk = {"openai": "openai", "azure": "openai"}.get(self._target.provider, self._target.provider)
        importlib.import_module(f"pydantic_ai.models.{sdk}")
        _ = self.price, self.window_tokens

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Answers a conversation.

        Args:
            messages: The conversation; the system message, if any, comes first. Empty messages are left out.
            max_output_tokens: Longest reply, reasoning included.
            timeout_s: Seconds after which the request is given up; None takes the model's own.

        Raises:
            ContextLimitExceeded: The request is longer than the model's window.
            ModelError: The provider refused or failed, or did not answer in time.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        outcome = await self._attempt(messages, max_output_tokens, limit_s)
        # Raised here, outside any `except`: the provider's own exception holds requests with their keys.
        if isinstance(outcome, ModelError):
            raise outcome
        return outcome

    async def _attempt(
        self, messages: Sequence[Message], max_output_tokens: int, limit_s: float
    ) -> Completion | ModelError:
        # The import of the libraries is not the provider's time.
        connection = await self._connection()
        from rlmbox.models.transport import Exchange, current_call
        from rlmbox.models.wire import request

        call = Exchange()
        token = current_call.set(call)
        try:
            with anyio.fail_after(limit_s):
                return await request(
                    connection,
                    self._target,
                    messages,
                    max_output_tokens=max_output_tokens,
                    timeout_s=limit_s,
                    temperature=self._temperature,
                )
        except TimeoutError:
            from rlmbox.models.failures import timed_out

            return timed_out(self._target, call, limit_s)
        except Exception as error:  # noqa: BLE001 - SDKs raise anything on a reply that makes no sense
            from rlmbox.models.failures import explain

            return explain(error, self._target, call)
        finally:
            current_call.reset(token)

    async def _connection(self) -> Connection:
        """Gives the running loop's connection; the first call opens it in a thread, since that takes time."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for dead in [known for known in self._connections if known.is_closed()]:
                del self._connections[dead]
            opening = self._connections.get(loop)
            if opening is None:
                opening = self._connections[loop] = Future()
                opening.set_running_or_notify_cancel()
                threading.Thread(target=self._open, args=(loop, opening), daemon=True).start()
        connection = await asyncio.wrap_future(opening)
        await connection.hold()
        return connection

    def _open(self, loop: asyncio.AbstractEventLoop, opening: Future[Connection]) -> None:
        try:
            self._import()
            from rlmbox.models.wire import connect

            connection = connect(self._target, self._timeout_s)
        except BaseException as error:  # noqa: BLE001 - it is raised where the connection is awaited
            with self._lock:
                self._connections.pop(loop, None)
            if isinstance(error, ImportError):
                error = ConfigError(f'{self.name}: {error}; run: pip install "rlmbox[models]"')
            opening.set_exception(error)
        else:
            opening.set_result(connection)

    async def aclose(self) -> None:
        """Closes the HTTP clients; a later request opens a new one."""
        here = asyncio.get_running_loop()
        with self._lock:
            openings, self._connections = self._connections, {}
        for loop, opening in openings.items():
            if loop.is_closed():
                continue
            if loop is here:
                await asyncio.wait([asyncio.wrap_future(opening)])
            if not opening.done() or opening.exception() is not None:
                continue
            if loop is here:
                await opening.result().close()
            else:
                asyncio.run_coroutine_threadsafe(opening.result().close(), loop)
