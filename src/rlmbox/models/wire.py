"""A request to a provider through pydantic-ai's direct API, and its reply as a `Completion`.

Imports pydantic-ai and a provider's SDK, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import httpx2
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model as WireModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from rlmbox.models.target import Target
from rlmbox.models.transport import open_client
from rlmbox.types import Completion, Message, StopReason, Usage

_BYTES_PER_TOKEN = 3
_STOP_REASONS: dict[str | None, StopReason] = {"length": "length", "content_filter": "content_filter"}


@dataclass(slots=True)
class Connection:
    """A provider's SDK on a client of its own, for one event loop.

    Attributes:
        client: The HTTP client.
        model: The SDK behind pydantic-ai's interface.
        lease: An open generator that closes the client when it is closed.
        leased: Whether `lease` was started.
    """

    client: httpx2.AsyncClient
    model: WireModel
    lease: AsyncGenerator[None, None]
    leased: bool = False

    async def hold(self) -> None:
        """Ties the client's life to the running event loop, once."""
        if not self.leased:
            self.leased = True
            await anext(self.lease)

    async def close(self) -> None:
        """Closes the client, from the event loop that it belongs to."""
        if self.leased:
            await self.lease.aclose()
        else:
            await self.client.aclose()


def connect(target: Target, timeout_s: float) -> Connection:
    """Makes a connection; nothing is sent yet.

    Args:
        target: The model and where it is.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    client = open_client(target.base_url, timeout_s)
    return Connection(client, _wire_model(target, client), _lease(client))


async def _lease(client: httpx2.AsyncClient) -> AsyncGenerator[None, None]:
    # Event loops close their open generators before they end: so the client goes with the loop it belongs to,
    # also where nobody calls `aclose`.
    try:
        yield
    finally:
        await client.aclose()


def _wire_model(target: Target, client: httpx2.AsyncClient) -> WireModel:
    if target.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(
            target.model,
            provider=AnthropicProvider(api_key=target.key, base_url=target.base_url, http_client=client),
        )
    if target.provider == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(
            target.model, provider=GoogleProvider(api_key=target.key, base_url=target.base_url, http_client=client)
        )
    return _openai_wire_model(target, client)


def _openai_wire_model(target: Target, client: httpx2.AsyncClient) -> WireModel:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile, openai_model_profile
    from pydantic_ai.providers.azure import AzureProvider
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    if target.provider == "azure":
        return OpenAIChatModel(
            target.model,
            provider=AzureProvider(
                azure_endpoint=target.base_url,
                api_version=target.api_version,
                api_key=target.key,
                http_client=client,
            ),
        )
    if target.official:
        return OpenAIChatModel(
            target.model, provider=OpenAIProvider(base_url=target.base_url, api_key=target.key, http_client=client)
        )
    # OpenAI's reasoning models refuse `max_tokens`; most other servers know nothing else.
    reasoning = bool(openai_model_profile(target.model).get("openai_supports_reasoning", False))
    return OpenAIChatModel(
        target.model,
        provider=OpenAICompatibleProvider(
            "openai-compatible",
            base_url=target.base_url,
            api_key=target.key,
            http_client=client,
            profile=OpenAIModelProfile(openai_chat_supports_max_completion_tokens=reasoning),
        ),
    )


async def request(
    connection: Connection,
    target: Target,
    messages: Sequence[Message],
    *,
    max_output_tokens: int,
    timeout_s: float,
    temperature: float | None,
) -> Completion:
    """Sends one request.

    Args:
        connection: Of the running event loop.
        target: The model.
        messages: The conversation.
        max_output_tokens: Longest reply, reasoning included.
        timeout_s: Longest wait for the next bytes, in seconds.
        temperature: The sampling temperature; None leaves it to the provider.
    """
    settings = _settings(target, messages, ModelSettings(max_tokens=max_output_tokens, timeout=timeout_s))
    if temperature is not None:
        settings["temperature"] = temperature
    response = await model_request(connection.model, to_wire(messages), model_settings=settings)
    return from_wire(response, target.name, messages)


def _settings(target: Target, messages: Sequence[Message], settings: ModelSettings) -> ModelSettings:
    """Adds what a provider needs to be told, so that it tries once and caches what the next request begins with."""
    settings["max_retries"] = 0
    if len(messages) > 1:
        # A single prompt is not asked about again, and to write it to a cache would cost more than it could save.
        settings["cache"] = True
        if target.provider == "openai" and target.official:
            # Requests of one conversation go to the machine that has its beginning, which is the same in all of them.
            opening = "\0".join(message.content for message in messages[:2])
            digest = sha256(opening.encode("utf-8", "replace")).hexdigest()
            return {**settings, "openai_prompt_cache_key": f"rlmbox-{digest[:32]}"}  # type: ignore[typeddict-unknown-key]
    return settings


def to_wire(messages: Sequence[Message]) -> list[ModelMessage]:
    """Gives the messages in pydantic-ai's form, without empty ones, which providers refuse.

    Args:
        messages: The conversation.
    """
    wire: list[ModelMessage] = []
    for message in messages:
        if not message.content.strip():
            continue
        if message.role == "assistant":
            wire.append(ModelResponse(parts=[TextPart(message.content)]))
        elif message.role == "system":
            wire.append(ModelRequest(parts=[SystemPromptPart(message.content)]))
        else:
            wire.append(ModelRequest(parts=[UserPromptPart(message.content)]))
    return wire


def from_wire(response: ModelResponse, name: str, messages: Sequence[Message]) -> Completion:
    """Gives a reply as a `Completion`.

    The text is the text parts only, without reasoning; a refusal's own words stand in where there is no text.

    Args:
        response: The reply.
        name: The model's full name.
        messages: What was asked, for estimating tokens where the provider does not count them.
    """
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    if not text and response.provider_details:
        text = str(response.provider_details.get("refusal") or "")
    if not text.isascii():
        # JSON may hold halves of characters, which nothing that encodes the text later could take.
        text = text.encode("utf-8", "replace").decode()
    usage, counted = _usage(response.usage, messages, text, response.parts)
    return Completion(text, usage, name, _STOP_REASONS.get(response.finish_reason, "stop"), counted)


def _usage(
    counts: RequestUsage, messages: Sequence[Message], text: str, parts: Sequence[ModelResponsePart]
) -> tuple[Usage, bool]:
    """Gives the provider's counts and True; where they are missing or absurd, an estimate in their place and False.

    A count of zero for something that was sent, or a negative one, would let a run spend past its budget.
    """
    sent, received = counts.input_tokens, counts.output_tokens
    made = bool(text or parts)
    counted = sent > 0 and (received > 0 or (received == 0 and not made))
    if sent <= 0:
        sent = _estimate(*(message.content for message in messages)) + 4 * len(messages)
    if received < 0 or (received == 0 and made):
        reasoning = [str(getattr(part, "content", "")) for part in parts if not isinstance(part, TextPart)]
        received = max(_estimate(text, *reasoning), 1)
    cached = min(max(counts.cache_read_tokens, 0), sent)
    usage = Usage(
        input_tokens=sent,
        cached_input_tokens=cached,
        output_tokens=received,
        reasoning_tokens=min(max(counts.output_reasoning_tokens, 0), received),
        requests=1,
        cache_write_tokens=min(max(counts.cache_write_tokens, 0), sent - cached),
    )
    return usage, counted


def _estimate(*texts: str) -> int:
    return math.ceil(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / _BYTES_PER_TOKEN)
