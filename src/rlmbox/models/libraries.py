"""The providers' libraries: which one is used for a model, and with which settings.

The libraries know each provider's request format (decision 0015); `wire` uses them to write requests.

Imports pydantic-ai and a provider's SDK, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import httpx2
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

from rlmbox.models.replies import whole_characters
from rlmbox.models.target import Target
from rlmbox.types import Message


def library_of(target: Target, client: httpx2.AsyncClient) -> Library:
    """Return a provider's library, set up to send with the given client.

    Args:
        target: The model and its address.
        client: The HTTP client.
    """
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
    # OpenAI's reasoning models refuse `max_tokens`; most other servers support nothing else.
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


def takes_temperature(library: Library) -> bool:
    """Return False for a model that refuses a temperature, which its library would drop with a warning.

    Args:
        library: The provider's library.
    """
    profile: Mapping[str, Any] = library.profile
    if profile.get("openai_supports_reasoning", False):
        efforts = profile.get("openai_reasoning_efforts")
        may_not_reason = "none" in efforts if efforts else profile.get("openai_supports_reasoning_effort_none", False)
        return may_not_reason and not profile.get("thinking_enabled_by_default", False)
    return not profile.get("anthropic_disallows_sampling_settings", False)


def settings_of(
    target: Target, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float
) -> ModelSettings:
    """Return the settings of a request: a single attempt, and caching of the prefix shared with the next request.

    Args:
        target: The model.
        messages: The conversation.
        max_output_tokens: Maximum length of the reply, including reasoning.
        timeout_s: Maximum wait for the next bytes, in seconds.
    """
    settings = ModelSettings(max_tokens=max_output_tokens, timeout=timeout_s)
    settings["max_retries"] = 0
    if len(messages) > 1:
        # A single prompt has no follow-up, so writing it to a cache would cost more than it could save.
        settings["cache"] = True
        if target.is_openai:
            # Routes the requests of one conversation to the machine that has cached their common prefix.
            opening = "\0".join(message.content for message in messages[:2])
            digest = sha256(opening.encode("utf-8", "replace")).hexdigest()
            return {**settings, "openai_prompt_cache_key": f"rlmbox-{digest[:32]}"}  # type: ignore[typeddict-unknown-key]
    return settings


def library_messages(messages: Sequence[Message]) -> list[ModelMessage]:
    """Return the messages in pydantic-ai's form, without empty ones, which providers reject.

    Args:
        messages: The conversation.
    """
    wire: list[ModelMessage] = []
    for message in messages:
        if not message.content.strip():
            continue
        content = whole_characters(message.content)
        if message.role == "assistant":
            wire.append(ModelResponse(parts=[TextPart(content)]))
        elif message.role == "system":
            wire.append(ModelRequest(parts=[SystemPromptPart(content)]))
        else:
            wire.append(ModelRequest(parts=[UserPromptPart(content)]))
    return wire
