"""Aliases of providers."""

from __future__ import annotations

from types import MappingProxyType

OTHER_NAMES = MappingProxyType(
    {"gemini": "google", "grok": "xai", "x-ai": "xai", "llama.cpp": "llamacpp", "lm-studio": "lmstudio"}
)


def usual_provider(given: str) -> str:
    """Return the usual name of a provider, in lower case; an unknown one is returned unchanged.

    Args:
        given: A name or alias, in any case.
    """
    given = given.strip().lower()
    return OTHER_NAMES.get(given, given)


def usual_name(name: str) -> str:
    """Return a model's full name with its provider's usual name.

    Args:
        name: The full name, such as `Gemini:gemini-2.5-pro`.
    """
    provider, colon, model = name.partition(":")
    return f"{usual_provider(provider)}{colon}{model}"
