"""Keys that are looked up by provider, where the provider's own environment variable is not set."""

from __future__ import annotations

from collections.abc import Callable


class KeySource:
    """Keys by provider, such as those that a password manager keeps.

    It is asked once for each model that is given by name, and only where the environment has no key for it.

    Args:
        find: Called with the provider's name, such as `openai`; returns its key, or None where there is none.
        origin: Where the keys are, for messages, such as `the system's keyring`.
        remedy: How a key gets there, for messages; `{provider}` in it is the provider's name. Empty for nothing.
    """

    def __init__(
        self, find: Callable[[str], str | None], *, origin: str = "the api_key argument", remedy: str = ""
    ) -> None:
        self._find = find
        self._found: dict[str, str] = {}
        self._remedy = remedy
        self.origin = origin

    def key_for(self, provider: str) -> str | None:
        """Return a provider's key, or None where there is none.

        Args:
            provider: Such as `openai`.
        """
        key = (self._find(provider) or "").strip()
        if key:
            self._found[provider] = key
        return key or None

    def remedy_for(self, provider: str) -> str:
        """Return how a provider's key is set, in words; empty where that is not known."""
        return self._remedy.replace("{provider}", provider)

    @property
    def found(self) -> tuple[str, ...]:
        """The keys that were found until now, so that they can be hidden."""
        return tuple(self._found.values())
