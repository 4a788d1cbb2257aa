"""What a model's name stands for: the provider, where it is, and the key for it."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from rlmbox.errors import ConfigError

Provider = Literal["openai", "anthropic", "google", "azure"]

_FORMS = (
    "openai:gpt-5, anthropic:claude-sonnet-5-5, google:gemini-3.5-flash, azure:DEPLOYMENT, "
    "or openai:NAME with base_url for any server that speaks OpenAI's protocol"
)
_NO_KEY = "no-key-was-set"
_BARE_NAMES = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("claude", "anthropic"), ("gemini", "google"))


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider.

    Attributes:
        name: The full name as it was given, such as `gemini:gemini-2.5-pro`.
        provider: The provider's protocol.
        model: The model's name at the provider.
        base_url: Where requests go.
        official: Whether that is the provider itself, so that its prices apply.
        key: The key; never shown.
        key_from: Where the key came from, for messages; empty where there is none.
        key_variables: The environment variables that can hold the key.
        api_version: Azure's `api-version`; None uses its versionless API.
    """

    name: str
    provider: Provider
    model: str
    base_url: str
    official: bool
    key: str = field(repr=False)
    key_from: str
    key_variables: tuple[str, ...]
    api_version: str | None = None

    @property
    def shown_url(self) -> str:
        """The URL without a user name or password that may be in it."""
        url = urlsplit(self.base_url)
        return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()

    def hide_key(self, text: str) -> str:
        """Replaces the key in a text.

        Args:
            text: A text that a server may have written.
        """
        return text.replace(self.key, "<key>") if self.key_from else text


@dataclass(frozen=True, slots=True)
class _Known:
    key_variables: tuple[str, ...]
    url_variable: str
    url: str
    host: str
    modules: tuple[str, ...]
    extra: str
    dropped_path: str = ""


_KNOWN: Mapping[Provider, _Known] = MappingProxyType(
    {
        "openai": _Known(
            ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "https://api.openai.com/v1", "api.openai.com", ("openai",), "openai"
        ),
        "anthropic": _Known(
            ("ANTHROPIC_API_KEY",),
            "ANTHROPIC_BASE_URL",
            "https://api.anthropic.com",
            "api.anthropic.com",
            ("anthropic",),
            "anthropic",
            # The SDK adds the version itself.
            dropped_path="/v1",
        ),
        "google": _Known(
            ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            "GOOGLE_GEMINI_BASE_URL",
            "https://generativelanguage.googleapis.com",
            "generativelanguage.googleapis.com",
            ("google.genai",),
            "google",
            dropped_path="/v1beta",
        ),
        "azure": _Known(("AZURE_OPENAI_API_KEY",), "AZURE_OPENAI_ENDPOINT", "", ".azure.com", ("openai",), "openai"),
    }
)
_NAMES: Mapping[str, Provider] = MappingProxyType(
    {"openai": "openai", "anthropic": "anthropic", "google": "google", "gemini": "google", "azure": "azure"}
)


def resolve(name: str, base_url: str | None, api_key: str | None) -> Target:
    """Finds out what a name stands for, from the arguments and the environment.

    Args:
        name: `provider:model`.
        base_url: Where the model is; None takes the provider's variable, else its own address.
        api_key: The key; None takes it from the provider's variable.

    Raises:
        ConfigError: The name, the URL or the key is missing or wrong, or the provider's library is not installed.
    """
    provider, model = _parse(name)
    known = _KNOWN[provider]
    _check_installed(name, known)
    given_url = base_url or os.environ.get(known.url_variable, "").strip() or known.url
    if not given_url:
        raise ConfigError(
            f"{name}: set {known.url_variable} to the resource's address, such as https://NAME.openai.azure.com, "
            "or pass base_url"
        )
    url = _check_url(name, given_url)
    official = url.scheme == "https" and f".{url.hostname}".endswith(f".{known.host.lstrip('.')}")
    key, key_from = _key(name, known, api_key, needed=official)
    api_version = None
    cleaned = given_url.rstrip("/").removesuffix(known.dropped_path)
    if provider == "azure":
        cleaned, api_version = _azure_address(cleaned)
    return Target(name, provider, model, cleaned, official, key, key_from, known.key_variables, api_version)


def _parse(name: str) -> tuple[Provider, str]:
    prefix, colon, model = name.partition(":")
    if not colon or not model.strip() or not prefix.strip() or any(c.isspace() for c in name):
        guess = next((f"; did you mean {p}:{name}?" for start, p in _BARE_NAMES if name.startswith(start)), "")
        raise ConfigError(f"{name!r} does not name a model{guess or '; write provider:model'}, such as {_FORMS}")
    provider = _NAMES.get(prefix.lower())
    if provider is None:
        close = difflib.get_close_matches(prefix.lower(), _NAMES, n=1)
        guess = f"did you mean {close[0]}:{model}? " if close else ""
        raise ConfigError(f"{name!r} names an unknown provider {prefix!r}; {guess}the forms are {_FORMS}")
    return provider, model


def _check_installed(name: str, known: _Known) -> None:
    for module in ("pydantic_ai", *known.modules):
        try:
            found = importlib.util.find_spec(module) is not None
        except ImportError:  # the parent package of a dotted name is missing
            found = False
        if not found:
            raise ConfigError(f'{name}: {module} is not installed; run: pip install "rlmbox[{known.extra}]"')


def _check_url(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name}: the base URL must look like https://host/v1 or http://localhost:11434/v1")
    return parts


def _key(name: str, known: _Known, given: str | None, *, needed: bool) -> tuple[str, str]:
    if given and given.strip():
        return _check_key(name, given.strip(), "the api_key argument"), "the api_key argument"
    for variable in known.key_variables:
        value = os.environ.get(variable, "").strip()
        if value:
            return _check_key(name, value, variable), variable
    if needed:
        raise ConfigError(f"{name} needs a key; set {' or '.join(known.key_variables)}, or pass api_key")
    return _NO_KEY, ""


def _check_key(name: str, key: str, origin: str) -> str:
    # A key travels in a header; the error of the HTTP library would show it.
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{name}: {origin} holds characters that no key has; copy the key again")
    return key


def _azure_address(url: str) -> tuple[str, str | None]:
    """Gives the endpoint and version: without `OPENAI_API_VERSION`, Azure's versionless API under `/openai/v1`."""
    if url.endswith("/v1"):
        return url, None
    version = os.environ.get("OPENAI_API_VERSION", "").strip()
    return (url, version) if version else (f"{url}/openai/v1", None)
