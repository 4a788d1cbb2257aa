"""Resolution of model names to a provider, its address, and its key.

A provider is one row of `_KNOWN`. Most of them speak OpenAI's protocol and differ in their address and their key.
"""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from rlmbox.errors import ConfigError
from rlmbox.models.keys import KeySource
from rlmbox.models.provider_names import OTHER_NAMES, usual_provider

Provider = Literal["openai", "anthropic", "google", "azure"]

_FORMS = (
    "openai:gpt-5, anthropic:claude-sonnet-5-5, google:gemini-3.5-flash, azure:DEPLOYMENT, ollama:qwen3, "
    "or openai:NAME with base_url for any server that speaks OpenAI's protocol"
)
_NO_KEY = "no-key-was-set"
_SHORTEST_SECRET = 6  # hiding a shorter key would destroy ordinary words of a text
_BARE_NAMES = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("claude", "anthropic"), ("gemini", "google"))


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider.

    Attributes:
        name: The full name as given, such as `gemini:gemini-2.5-pro`.
        provider: The provider's protocol.
        model: The model's name at the provider.
        base_url: The address of requests.
        official: Whether that is the provider's own, so that its prices apply.
        preset: The provider's own name, such as `groq` where `provider` is `openai`.
        is_local: Whether it is a server on this machine or in its network, of a kind that charges nothing.
        key: The key; never shown.
        key_from: The source of the key, for messages; empty if there is none.
        key_variables: The environment variables that can contain the key.
        api_version: Azure's `api-version`; None for its versionless API.
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
    preset: str = ""
    is_local: bool = False

    @property
    def is_openai(self) -> bool:
        """True if it is OpenAI itself, and not another server with its protocol."""
        return self.official and self.preset == "openai"

    @property
    def start_hint(self) -> str:
        """The command that starts the server, appended to an error; empty if unknown."""
        known = _KNOWN.get(self.preset)
        return f", such as with `{known.start.format(model=self.model)}`" if known and known.start else ""

    @property
    def missing_hint(self) -> str:
        """A hint appended to an error: the command that adds the model to the server, or a missing path."""
        known = _KNOWN.get(self.preset)
        if not self.official and self.provider == "openai" and not urlsplit(self.base_url).path.strip("/"):
            return ", which mostly ends in /v1"
        return f", or run `{known.fetch.format(model=self.model)}`" if known and known.fetch else ""

    @property
    def shown_url(self) -> str:
        """The URL without a user name or password."""
        url = urlsplit(self.base_url)
        return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()

    def hide_key(self, text: str) -> str:
        """Return a text without the key.

        Args:
            text: A text that may come from a server.
        """
        return text.replace(self.key, "<key>") if self.key_from and len(self.key) >= _SHORTEST_SECRET else text


@dataclass(frozen=True, slots=True)
class _Known:
    """A provider.

    Attributes:
        key_variables: Environment variables that can contain the key.
        url_variable: The environment variable that can contain the address.
        url: The default address.
        host: The provider's own host, or the end of it; empty for a server that users run themselves.
        protocol: The protocol that it speaks.
        modules: Python modules that are needed.
        extra: The extra of rlmbox that installs them.
        dropped_path: An end of the address that the library adds by itself.
        added_path: An end that is added to an address without a path.
        start: The command that starts the server.
        fetch: The command that adds a model to the server.
    """

    key_variables: tuple[str, ...]
    url_variable: str
    url: str
    host: str
    protocol: Provider = "openai"
    modules: tuple[str, ...] = ("openai",)
    extra: str = "openai"
    dropped_path: str = ""
    added_path: str = ""
    start: str = ""
    fetch: str = ""


def _served(name: str, port: int, start: str, fetch: str = "") -> _Known:
    """Return the entry of a server that users run themselves."""
    key, url = (f"{name}_API_KEY",), f"{name}_BASE_URL"
    return _Known(key, url, f"http://127.0.0.1:{port}/v1", "", added_path="/v1", start=start, fetch=fetch)


def _compatible(name: str, url: str) -> _Known:
    """Return the entry of a provider that speaks OpenAI's protocol at an address of its own."""
    return _Known((f"{name}_API_KEY",), f"{name}_BASE_URL", url, urlsplit(url).hostname or "")


_KNOWN: Mapping[str, _Known] = MappingProxyType(
    {
        "openai": _Known(("OPENAI_API_KEY",), "OPENAI_BASE_URL", "https://api.openai.com/v1", "api.openai.com"),
        "anthropic": _Known(
            ("ANTHROPIC_API_KEY",),
            "ANTHROPIC_BASE_URL",
            "https://api.anthropic.com",
            "api.anthropic.com",
            "anthropic",
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
            "google",
            ("google.genai",),
            "google",
            dropped_path="/v1beta",
        ),
        "azure": _Known(("AZURE_OPENAI_API_KEY",), "AZURE_OPENAI_ENDPOINT", "", ".azure.com", "azure"),
        "openrouter": _compatible("OPENROUTER", "https://openrouter.ai/api/v1"),
        "groq": _compatible("GROQ", "https://api.groq.com/openai/v1"),
        "xai": _compatible("XAI", "https://api.x.ai/v1"),
        "deepseek": _compatible("DEEPSEEK", "https://api.deepseek.com/v1"),
        "mistral": _compatible("MISTRAL", "https://api.mistral.ai/v1"),
        "ollama": _served("OLLAMA", 11434, "ollama serve", "ollama pull {model}"),
        "vllm": _served("VLLM", 8000, "vllm serve {model}"),
        "llamacpp": _served("LLAMACPP", 8080, "llama-server -m MODEL.gguf"),
        "lmstudio": _served("LMSTUDIO", 1234, "lms server start", "lms load {model}"),
    }
)


def providers() -> tuple[str, ...]:
    """Return the names that may precede the colon in a model's name."""
    return (*_KNOWN, *OTHER_NAMES)


def key_variables(provider: str) -> tuple[str, ...]:
    """Return the environment variables that can contain a provider's key.

    Args:
        provider: One of `provider_names()`.
    """
    return _KNOWN[provider].key_variables


def provider_names() -> tuple[str, ...]:
    """Return the usual names of the providers."""
    return tuple(_KNOWN)


def provider_named(name: str) -> str:
    """Return the usual name of a provider.

    Args:
        name: One of `providers()`, in any case, or a model's name that begins with one.

    Raises:
        ConfigError: There is no such provider.
    """
    given = name.partition(":")[0].strip().lower()
    provider = usual_provider(given)
    if provider not in _KNOWN:
        close = difflib.get_close_matches(given, providers(), n=1)
        guess = f"did you mean {close[0]}?" if close else f"there are {', '.join(_KNOWN)}"
        raise ConfigError(f"there is no provider {given!r}; {guess}")
    return provider


def checked_key(owner: str, key: str, origin: str) -> str:
    """Check that a key can be sent in a header, and return it.

    Args:
        owner: Its owner, for the message.
        key: The key.
        origin: Its source, for the message.

    Raises:
        ConfigError: It contains invalid characters; the message does not repeat it.
    """
    # The error of the HTTP library would show the key.
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{owner}: {origin} holds characters that no key has; copy the key again")
    return key


def resolve(name: str, base_url: str | None, api_key: str | KeySource | None) -> Target:
    """Resolve a name, with the arguments and the environment.

    Args:
        name: `provider:model`.
        base_url: The model's address; None for the provider's variable, or its own address.
        api_key: The key; None for the provider's variable; a `KeySource` is queried if that is not set.

    Raises:
        ConfigError: The name, the URL or the key is missing or invalid, or the provider's library is not installed.
    """
    preset, model = _parse(name)
    known = _KNOWN[preset]
    _check_installed(name, known)
    given_url = base_url or _url_of_environment(preset, known) or known.url
    if not given_url:
        raise ConfigError(
            f"{name}: set {known.url_variable} to the resource's address, such as https://NAME.openai.azure.com, "
            "or pass base_url"
        )
    url = _check_url(name, given_url)
    at_home = bool(known.host) and f".{url.hostname}".endswith(f".{known.host.lstrip('.')}")
    official = url.scheme == "https" and at_home
    key, key_from = _key(name, preset, api_key, needed=official)
    api_version = None
    cleaned = _without_call(given_url.rstrip("/"), known.protocol).removesuffix(known.dropped_path)
    if known.added_path and not url.path.strip("/"):
        cleaned += known.added_path
    if preset == "azure":
        cleaned, api_version = _azure_address(cleaned)
    return Target(
        name,
        known.protocol,
        model,
        cleaned,
        official,
        key,
        key_from,
        known.key_variables,
        api_version,
        preset,
        is_local=not known.host and bool(known.start) and _is_near(url.hostname or ""),
    )


def _without_call(url: str, protocol: str) -> str:
    """Remove the path of an API call from an address, in case it was copied from a request."""
    return url.removesuffix("/messages" if protocol == "anthropic" else "/chat/completions")


def _url_of_environment(preset: str, known: _Known) -> str:
    """Return the address in the environment, including Ollama's own variable."""
    url = os.environ.get(known.url_variable, "").strip()
    host = os.environ.get("OLLAMA_HOST", "").strip() if preset == "ollama" and not url else ""
    if not host:
        return url
    parts = urlsplit(host if "://" in host else f"http://{host}")
    # A server that listens on all addresses is reached from this machine on its loopback address.
    name = "127.0.0.1" if parts.hostname in ("0.0.0.0", "::", None) else parts.hostname  # noqa: S104
    return f"{parts.scheme}://{f'[{name}]' if ':' in str(name) else name}:{parts.port or 11434}"


def _is_near(host: str) -> bool:
    """Return True if a host is this machine or a private address."""
    if (
        host == "localhost"
        or host.endswith((".localhost", ".local", ".internal"))
        or ("." not in host and ":" not in host)
    ):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _parse(name: str) -> tuple[str, str]:
    prefix, colon, model = name.partition(":")
    if not colon or not model.strip() or not prefix.strip() or any(c.isspace() for c in name):
        maker, _, rest = name.partition("/")  # as LiteLLM names models
        meant = [f"{maker}:{rest}"] if rest and usual_provider(maker) in _KNOWN else []
        meant += [f"{provider}:{name}" for start, provider in _BARE_NAMES if name.startswith(start)]
        guess = f"did you mean {meant[0]}? The forms are" if meant else "write provider:model, such as"
        raise ConfigError(f"{name!r} does not name a model; {guess} {_FORMS}")
    preset = usual_provider(prefix)
    if preset not in _KNOWN:
        close = difflib.get_close_matches(prefix.lower(), providers(), n=1)
        guess = f"did you mean {close[0]}:{model}? " if close else ""
        raise ConfigError(f"{name!r} names an unknown provider {prefix!r}; {guess}the forms are {_FORMS}")
    return preset, model


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


def _key(name: str, preset: str, given: str | KeySource | None, *, needed: bool) -> tuple[str, str]:
    if isinstance(given, str) and given.strip():
        return checked_key(name, given.strip(), "the api_key argument"), "the api_key argument"
    known = _KNOWN[preset]
    for variable in known.key_variables:
        value = os.environ.get(variable, "").strip()
        if value:
            return checked_key(name, value, variable), variable
    source = given if isinstance(given, KeySource) else None
    found = _key_of(source, preset, needed=needed)
    if source is not None and found is not None:
        return checked_key(name, found, source.origin), source.origin
    if needed:
        other = (source.remedy_for(preset) if source else "") or "pass api_key"
        raise ConfigError(f"{name} needs a key; set {' or '.join(known.key_variables)}, or {other}")
    return _NO_KEY, ""


def _key_of(source: KeySource | None, preset: str, *, needed: bool) -> str | None:
    try:
        return source.key_for(preset) if source is not None else None
    except ConfigError:
        if needed:
            raise
        return None  # a server that needs none must not wait for a locked keyring; one that needs one reports it


def _azure_address(url: str) -> tuple[str, str | None]:
    """Return the endpoint and version; without `OPENAI_API_VERSION`, Azure's versionless API under `/openai/v1`.

    An address with `/openai/deployments/…?api-version=…`, as Azure shows it, is reduced to its resource.
    """
    resource, shown, rest = url.partition("/openai/deployments/")
    if shown:
        said = parse_qs(urlsplit(rest).query).get("api-version", [""])[0]
        return (resource, said) if said else _azure_address(resource)
    if url.endswith("/v1"):
        return url, None
    version = os.environ.get("OPENAI_API_VERSION", "").strip()
    return (url, version) if version else (f"{url}/openai/v1", None)
