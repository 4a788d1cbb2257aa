"""A request to a provider and its reply: written by the provider's library, read here.

The libraries know what each provider wants of a request (decision 0015). What comes back is read as it came over the
wire, because they refuse replies over fields that nobody needs.

Imports pydantic-ai and a provider's SDK, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx2
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model as Library
from pydantic_ai.settings import ModelSettings

from rlmbox.models.replies import read_reply
from rlmbox.models.reply_fields import UnreadableReply
from rlmbox.models.target import Target
from rlmbox.models.templates import Template
from rlmbox.models.transport import Call, ClientPool, current_call, open_client, send_filled
from rlmbox.types import Completion, Message


@dataclass(slots=True)
class Connection:
    """A provider's library over the connections of one event loop.

    Attributes:
        pool: The connections.
        library: The provider's library behind pydantic-ai's interface.
        templates: Requests of one prompt as the library has written them, by temperature.
    """

    pool: ClientPool
    library: Library
    templates: dict[float | None, Template] = field(default_factory=dict)


def connect(target: Target, pool: ClientPool, timeout_s: float) -> Connection:
    """Return a connection; nothing is sent yet.

    Args:
        target: The model and where it is.
        pool: The connections of an event loop.
        timeout_s: Longest wait for the next bytes, in seconds.
    """
    return Connection(pool, _library(target, open_client(pool, timeout_s)))


def _library(target: Target, client: httpx2.AsyncClient) -> Library:
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
    return _openai_library(target, client)


def _openai_library(target: Target, client: httpx2.AsyncClient) -> Library:
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
    if target.is_openai:
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
    call: Call,
    *,
    max_output_tokens: int,
    timeout_s: float,
    temperature: float | None,
) -> Completion:
    """Send one request and read its reply.

    Args:
        connection: Of the running event loop.
        target: The model.
        messages: The conversation.
        call: Takes what goes over the wire.
        max_output_tokens: Longest reply, reasoning included.
        timeout_s: Longest wait for the next bytes, in seconds.
        temperature: The sampling temperature; None leaves it to the provider.

    Raises:
        UnreadableReply: What came with status 200 is no reply.
    """
    prompt = messages[0].content if len(messages) == 1 and messages[0].role == "user" else ""
    template = connection.templates.get(temperature) if prompt.strip() else None
    if template is not None:
        await send_filled(
            connection.pool, template, call, prompt, max_output_tokens=max_output_tokens, timeout_s=timeout_s
        )
    else:
        await _ask_library(
            connection,
            target,
            messages,
            call,
            ModelSettings(max_tokens=max_output_tokens, timeout=timeout_s),
            temperature=temperature,
        )
        if prompt.strip() and call.written is not None and call.body is not None:
            template = Template.of(call.written, prompt, max_output_tokens)
            if template is not None:
                connection.templates[temperature] = template
    if call.body is None:
        raise UnreadableReply("nothing came back")
    return read_reply(target.provider, call.body, target.name, messages)


async def _ask_library(
    connection: Connection,
    target: Target,
    messages: Sequence[Message],
    call: Call,
    settings: ModelSettings,
    *,
    temperature: float | None,
) -> None:
    """Have the provider's library write the request and send it; what comes back is noted on the call."""
    settings = _settings(target, messages, settings)
    if temperature is not None and _takes_temperature(connection.library):
        settings["temperature"] = temperature
    token = current_call.set(call)
    try:
        await model_request(connection.library, to_wire(messages), model_settings=settings)
    finally:
        current_call.reset(token)


def _takes_temperature(library: Library) -> bool:
    """Return False for a model that refuses one; its library would leave it out with a warning of its own."""
    profile: Mapping[str, Any] = library.profile
    if profile.get("openai_supports_reasoning", False):
        efforts = profile.get("openai_reasoning_efforts")
        may_not_reason = "none" in efforts if efforts else profile.get("openai_supports_reasoning_effort_none", False)
        return may_not_reason and not profile.get("thinking_enabled_by_default", False)
    return not profile.get("anthropic_disallows_sampling_settings", False)


def _settings(target: Target, messages: Sequence[Message], settings: ModelSettings) -> ModelSettings:
    """Add what a provider needs to be told, so that it tries once and caches what the next request begins with."""
    settings["max_retries"] = 0
    if len(messages) > 1:
        # A single prompt is not asked about again, and to write it to a cache would cost more than it could save.
        settings["cache"] = True
        if target.is_openai:
            # Requests of one conversation go to the machine that has its beginning, which is the same in all of them.
            opening = "\0".join(message.content for message in messages[:2])
            digest = sha256(opening.encode("utf-8", "replace")).hexdigest()
            return {**settings, "openai_prompt_cache_key": f"rlmbox-{digest[:32]}"}  # type: ignore[typeddict-unknown-key]
    return settings


def to_wire(messages: Sequence[Message]) -> list[ModelMessage]:
    """Return the messages in pydantic-ai's form, without empty ones, which providers refuse.

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
