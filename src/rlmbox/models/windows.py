"""Context windows of models, in tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from rlmbox.models.prices import CATALOGUE_PROVIDERS

# By the beginning of their name, as documented by their providers: for models that the catalogue has without a window,
# or with one that is older or rounded down.
_DOCUMENTED: Mapping[str, tuple[tuple[re.Pattern[str], int], ...]] = MappingProxyType(
    {
        "google": (
            (
                re.compile(r"gemini-(?:2\.[05]|3(?:\.\d+)?)-(?:pro|flash)(?!.*(?:tts|image|live|audio))"),
                1_048_576,
            ),
            (re.compile(r"gemini-(?:pro|flash(?:-lite)?)-latest"), 1_048_576),
            (re.compile(r"gemma-3-(?:4|12|27)b"), 131_072),
        ),
        "openai": ((re.compile(r"gpt-4\.1"), 1_047_576),),
        "deepseek": ((re.compile(r"deepseek-(?:chat|reasoner)"), 131_072),),
        "groq": (
            (re.compile(r"llama-3\.[123]"), 131_072),
            (re.compile(r"meta-llama/llama-4"), 131_072),
            (re.compile(r"moonshotai/kimi-k2-instruct-0905"), 262_144),
            (re.compile(r"gemma2"), 8_192),
        ),
        "mistral": (
            (re.compile(r"(?:mistral-(?:large|medium|small)|magistral|ministral|devstral)"), 131_072),
            (re.compile(r"(?:pixtral|open-mistral-nemo)"), 131_072),
            (re.compile(r"(?:open-)?mixtral-8x22b"), 65_536),
            (re.compile(r"(?:open-)?(?:mistral-7b|mixtral-8x7b)"), 32_768),
        ),
    }
)
_OPENROUTER_VENDORS = MappingProxyType(
    {
        "google": "google",
        "openai": "openai",
        "anthropic": "anthropic",
        "xai": "x-ai",
        "deepseek": "deepseek",
        "mistral": "mistralai",
    }
)


def window_for(provider: str, model: str, *, official: bool = True) -> int | None:
    """Return the window of a model in tokens.

    Args:
        provider: The provider, such as `google`.
        model: The model's name at the provider.
        official: Whether the model is at the provider itself; elsewhere the same name may mean anything.

    Returns:
        The number of tokens, or None if unknown.
    """
    if not official:
        return None
    documented = next((tokens for name, tokens in _DOCUMENTED.get(provider, ()) if name.match(model)), None)
    found = documented or _catalogued(CATALOGUE_PROVIDERS.get(provider), model)
    if found is None and provider in _OPENROUTER_VENDORS:
        found = _catalogued("openrouter", f"{_OPENROUTER_VENDORS[provider]}/{model}")
    if found is None and provider == "openrouter":
        vendor, _, name = model.partition(":")[0].partition("/")
        maker = next((maker for maker, known in _OPENROUTER_VENDORS.items() if known == vendor), None)
        found = window_for(maker, name) if maker is not None else None
    return found


def _catalogued(provider: str | None, model: str) -> int | None:
    if provider is None:
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return info.context_window
