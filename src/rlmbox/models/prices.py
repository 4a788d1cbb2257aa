"""Prices of tokens: from the catalogue of genai-prices, and a user's own from a file.

Nothing here accesses the network: the catalogue is that of the installed genai-prices package, whose version is part of
a price's `origin`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import cast

from rlmbox.errors import ConfigError
from rlmbox.models.base import Price
from rlmbox.models.provider_names import usual_name
from rlmbox.types import Usage

_PER_MILLION = Decimal(1_000_000)
CATALOGUE_PROVIDERS = MappingProxyType(
    {
        **{
            name: name
            for name in ("openai", "anthropic", "google", "azure", "openrouter", "groq", "deepseek", "mistral")
        },
        "gemini": "google",
        "xai": "x-ai",
    }
)
"""The providers whose prices the catalogue has, by their name in rlmbox."""

_REQUIRED = ("input_usd_per_mtok", "output_usd_per_mtok")
_OPTIONAL = ("cached_input_usd_per_mtok", "cache_write_usd_per_mtok")
_EXAMPLE = '["openai:gpt-5"] with input_usd_per_mtok = "1.25" and output_usd_per_mtok = "10"'


@dataclass(frozen=True, slots=True)
class FlatPrice:
    """A price per token that is independent of everything else.

    Attributes:
        input_usd_per_mtok: US dollars per million input tokens.
        output_usd_per_mtok: US dollars per million output tokens, including reasoning.
        cached_input_usd_per_mtok: US dollars per million input tokens that the provider had cached; None for the
            price of other input.
        origin: The source of the price.
        cache_write_usd_per_mtok: US dollars per million tokens that the provider wrote to its cache; None for the price
            of other input.

    Raises:
        ConfigError: A figure is negative or not finite.
    """

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cached_input_usd_per_mtok: Decimal | None = None
    origin: str = "given by the user"
    cache_write_usd_per_mtok: Decimal | None = None

    def __post_init__(self) -> None:
        for name in (*_REQUIRED, *_OPTIONAL):
            given = getattr(self, name)
            if given is None and name in _OPTIONAL:
                continue
            figure = _decimal(given)
            if figure is None or not (figure.is_finite() and figure >= 0):
                raise ConfigError(f"a price per million tokens must be a number from 0 up, not {given!r}")
            object.__setattr__(self, name, figure)

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the cost of some usage in US dollars."""
        total = self.input_usd_per_mtok * usage.input_tokens + self.output_usd_per_mtok * usage.output_tokens
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        if cached and self.cached_input_usd_per_mtok is not None:
            total += (self.cached_input_usd_per_mtok - self.input_usd_per_mtok) * cached
        if written and self.cache_write_usd_per_mtok is not None:
            total += (self.cache_write_usd_per_mtok - self.input_usd_per_mtok) * written
        return total / _PER_MILLION


def _decimal(value: object) -> Decimal | None:
    """Convert a number, a text or a float to the decimal number as written; None if it is no number."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        return None
    try:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None


FREE = FlatPrice(Decimal(0), Decimal(0), origin="free")
"""The price of a model that costs nothing."""


@dataclass(frozen=True, slots=True)
class CataloguePrice:
    """A price from genai-prices, which may depend on the length of the request (tiers) and on the day.

    Attributes:
        provider: The provider's name in the catalogue.
        model: The provider's name for the model.
        origin: The package and version that the price comes from.
    """

    provider: str
    model: str
    origin: str

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the cost of some usage in US dollars.

        Tiers ("over 200,000 input tokens, all of them cost more") are determined by `usage.input_tokens`, so pass the
        usage of one request and add up the costs, rather than the other way round.
        """
        from genai_prices import Usage as CountedUsage
        from genai_prices import calc_price

        cached = min(usage.cached_input_tokens, usage.input_tokens)
        counted = CountedUsage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=cached,
            cache_write_tokens=min(usage.cache_write_tokens, usage.input_tokens - cached),
            output_tokens=usage.output_tokens,
        )
        return calc_price(counted, self.model, provider_id=self.provider).total_price


def catalogue_price(provider: str, model: str) -> Price | None:
    """Return a model's price in genai-prices.

    The first call imports the catalogue, which takes about 0.5 s.

    Args:
        provider: A name in `CATALOGUE_PROVIDERS`.
        model: The provider's name for the model.

    Returns:
        The price, or None if the catalogue has no price per token for that model.
    """
    catalogue_id = CATALOGUE_PROVIDERS.get(provider)
    if catalogue_id is None:
        return None
    import genai_prices
    from genai_prices.data_snapshot import get_snapshot

    price = CataloguePrice(catalogue_id, model, f"genai-prices {genai_prices.__version__}")
    try:
        found = get_snapshot().calc(genai_prices.Usage(), model, catalogue_id, None, None).model_price
    except (LookupError, ValueError):
        return None
    # Models billed by the second or by the image have no price per token, and would seem free.
    return price if getattr(found, "input_mtok", None) is not None else None


def price_for(
    name: str,
    overrides: Mapping[str, FlatPrice] | None = None,
    *,
    preset: str | None = None,
    catalogue: bool = True,
) -> Price | None:
    """Return the price of a model: the user's own if there is one, otherwise the catalogue's.

    Args:
        name: The full name, such as `openai:gpt-5`.
        overrides: The user's prices by full name; `gemini:` and `google:`, for example, are the same provider.
        preset: The provider, if the name uses another name for it, such as `grok:`.
        catalogue: Whether to use the catalogue; False for a server that merely speaks a provider's protocol.

    Returns:
        The price, or None if unknown.
    """
    if overrides:
        given = {usual_name(key): price for key, price in overrides.items()} | dict(overrides)
        own = given.get(name, given.get(usual_name(name)))
        if own is not None:
            return own
    provider, _, model = name.partition(":")
    return catalogue_price(preset or provider, model) if catalogue else None


def load_overrides(path: str | Path) -> Mapping[str, FlatPrice]:
    """Read a user's prices from a TOML file, or a JSON file if its name ends in `.json`.

    Each table is named after a model, such as `["openai:gpt-5"]`, and has `input_usd_per_mtok`, `output_usd_per_mtok`
    and optionally `cached_input_usd_per_mtok` and `cache_write_usd_per_mtok`: US dollars per million tokens, as a
    number or a string.

    Args:
        path: The file.

    Raises:
        ConfigError: The file cannot be read, or an entry is not a price; the message names it.
    """
    path = Path(path)
    entries = _read(path)
    if not isinstance(entries, dict):
        raise ConfigError(f"{path}: must be a table of models; write {_EXAMPLE}")
    return MappingProxyType({name: _override(path, name, entry) for name, entry in entries.items()})


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: the price file cannot be read: {reason}") from None
    try:
        # Numbers stay text until they become Decimal: a float would turn 0.1 into 0.1000000000000000055.
        if path.suffix.lower() == ".json":
            return cast("object", json.loads(text, parse_float=str))
        return tomllib.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: the price file cannot be parsed: {error}; write {_EXAMPLE}") from None


def _override(path: Path, name: str, entry: object) -> FlatPrice:
    if not isinstance(entry, dict):
        raise ConfigError(f'{path}: "{name}" must be a table; write {_EXAMPLE}')
    known = (*_REQUIRED, *_OPTIONAL)
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise ConfigError(f'{path}: "{name}" has an unknown key {unknown[0]!r}; the keys are {", ".join(known)}')
    missing = [key for key in _REQUIRED if key not in entry]
    if missing:
        raise ConfigError(f'{path}: "{name}" has no {missing[0]}; write {_EXAMPLE}')
    figures = {key: _figure(path, name, key, value) for key, value in entry.items()}
    return FlatPrice(
        figures["input_usd_per_mtok"],
        figures["output_usd_per_mtok"],
        figures.get("cached_input_usd_per_mtok"),
        origin=str(path),
        cache_write_usd_per_mtok=figures.get("cache_write_usd_per_mtok"),
    )


def _figure(path: Path, name: str, key: str, value: object) -> Decimal:
    try:
        figure = Decimal(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        figure = None
    if figure is None or not figure.is_finite() or figure < 0:
        raise ConfigError(
            f'{path}: "{name}" has {key} = {value!r}; write US dollars per million tokens, from 0 up, such as "1.25"'
        )
    return figure
