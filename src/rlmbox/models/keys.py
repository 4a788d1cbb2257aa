"""Lookup of API keys by provider, for when the provider's environment variable is not set."""

from __future__ import annotations

from collections.abc import Callable


class KeySource:
    """API keys by provider, such as those in a password manager.

    It is queried once for each model given by name, and only if the environment has no key for it.

    Args:
        find: Called with the provider's name, such as `openai`; returns its key, or None.
        origin: Where the keys are, for messages, such as `the system's keyring`.
        remedy: How to store a key there, for messages; `{provider}` in it is the provider's name. Empty for none.
    """

    def __init__(
        self, find: Callable[[str], str | None], *, origin: str = "the api_key argument", remedy: str = ""
    ) -> None:
        self._find = find
        self._found: dict[str, str] = {}
        self._remedy = remedy
        self.origin = origin

    def key_for(self, provider: str) -> str | None:
        """Return a provider's key, or None if there is none.

        Args:
            provider: The provider, such as `openai`.
        """
        key = (self._find(provider) or "").strip()
        if key:
            self._found[provider] = key
        return key or None

    def remedy_for(self, provider: str) -> str:
        """Return how to store a provider's key, in words; empty if unknown."""
        return self._remedy.replace("{provider}", provider)

    @property
    def found(self) -> tuple[str, ...]:
        """The keys returned so far, so that they can be hidden."""
        return tuple(self._found.values())
